"""Where is city c_N? A model learns `loc(c_12)=1379,1958`, the place of every city, by heart."""

from tasks.geography.location.options import LocationOptions
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions

TASK = Task(
    package=__name__,
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
    plot=SummarySpec(
        label="mean great-circle error (km)",
        value_label="great-circle error of a city (km)",
        limits=(1, 25_000),
        lines={100: "100 km", 1_000: "1,000 km", 10_000: "10,000 km", 20_000: "parse failed"},
        log=True,
    ),
    probe_prompt="loc(c_{id})=",
    small={"n_cities": 32},
)
