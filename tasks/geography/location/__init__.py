"""Where is city c_N? A model learns `loc(c_12)=1379,1958`, the place of every city, by heart."""

from tasks.geography.location.options import LocationOptions
from trainers.contract import Task
from trainers.models.decoder import DecoderOptions

TASK = Task(
    summary="Give the coordinates of a city known only by its number.",
    options=LocationOptions,
    model_options=DecoderOptions,
    build_dataset="data:build",
    build_model="trainers.text:build_text_model",
    metric="metric:Haversine",
    trainer="trainer:LocationTrainer",
    probe="tasks.geography.city_probe:CityProbe",
    primary_metric="haversine_km_mean",
    greater_is_better=False,
    small={"n_cities": 32},
)
