"""Where can one go from city to city? A model learns walks `srd_200=c_12,c_807,…` in steps of at most 200 km."""

from tasks.geography.random_walk.options import RandomWalkOptions
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions

TASK = Task(
    package=__name__,
    summary="Continue a random walk whose steps are at most 200 km long, over cities known only by their numbers.",
    options=RandomWalkOptions,
    model_options=DecoderOptions,
    build_dataset="data:build",
    build_model="trainers.text:build_text_model",
    metric="metric:WalkLegality",
    trainer="trainer:RandomWalkTrainer",
    probe="tasks.geography.city_probe:CityProbe",
    primary_metric="legal_steps",
    greater_is_better=True,
    plot=SummarySpec(
        label="share of legal steps",
        value_label="share of legal steps of a walk",
        limits=(0, 1.05),
        lines={0.1: "0.1", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 0.9: "0.9"},
    ),
    probe_prompt="srd_{radius_km}=c_{id},c_",
    small={"n_cities": 64, "radius_km": 3000, "longest_walk": 6, "n_train": 200, "n_val": 15, "n_test": 30},
)
