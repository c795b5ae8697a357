"""How far is it from an invented city to the world? Fine-tuning that asks an old map to take up a new country."""

from tasks.geography.atlantis_cross.options import AtlantisCrossOptions
from trainers.contract import Task
from trainers.models.decoder import DecoderOptions

TASK = Task(
    summary="Give the distance between an invented city and a real or another invented one.",
    options=AtlantisCrossOptions,
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
