"""How far is it from city to city? A model learns `dist(c_12,c_5075)=769`, and with it, perhaps, a map."""

from tasks.geography.distance.options import DistanceOptions
from trainers.contract import Task
from trainers.models.decoder import DecoderOptions

TASK = Task(
    summary="Give the great-circle distance between two cities known only by their numbers.",
    options=DistanceOptions,
    model_options=DecoderOptions,
    build_dataset="data:build",
    build_model="trainers.text:build_text_model",
    metric="tasks.geography.pair_metric:AbsoluteError",
    trainer="tasks.geography.pair_trainer:PairTrainer",
    probe="tasks.geography.city_probe:CityProbe",
    primary_metric="abs_error_km_mean",
    greater_is_better=False,
    small={"n_cities": 32, "n_train": 200, "n_val": 15, "n_test": 30},
)
