"""Where is city c_N? A model learns `loc(c_12)=1379,1958`, the place of every city, by heart."""

from dataclasses import dataclass

from tasks.geography.world import WorldOptions
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions
from trainers.options import MAX_SEED, option


@dataclass
class LocationOptions(WorldOptions):
    """Without any option: train on every city, and evaluate on every city (memorisation)."""

    n_train: int | None = option(None, "cities to train on; default: all", least=1)
    n_val: int | None = option(
        None, "cities to evaluate on: held out if n_train leaves enough, else from train", least=1
    )
    all: bool = option(False, "train on all cities (as without n_train)")
    dataset_seed: int = option(42, "seed of the order of the rows and of the choice of cities", least=0, most=MAX_SEED)


TASK = Task(
    package=__name__,
    summary="Give the coordinates of a city known only by its number.",
    licence="cc-by-4.0",
    options=LocationOptions,
    model_options=DecoderOptions,
    build_dataset="data:build",
    build_model="trainers.text:build_text_model",
    metric="metric:Haversine",
    trainer="trainer:LocationTrainer",
    probe="tasks.geography.city_probe:CityProbe",
    views={
        "sweep": "tasks.geography.views.sweep:Sweep",
        "components": "tasks.geography.views.components:Components",
    },
    explain="answers:explain",
    grows="tasks.geography.growing:growing_world",
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
