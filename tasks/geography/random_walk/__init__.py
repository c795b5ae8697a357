"""Where can one go from city to city? A model learns walks `srd_200=c_12,c_807,…` in steps of at most 200 km."""

from dataclasses import dataclass

from tasks.geography.world import WorldOptions
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions
from trainers.options import MAX_SEED, option


@dataclass
class RandomWalkOptions(WorldOptions):
    """How far a step goes, how long a walk is, and the number of walks in each split."""

    radius_km: int = option(
        200, "longest step in km, along the great circle; it is part of the prompt", least=1, most=20_015
    )
    longest_walk: int = option(32, "target lengths, in cities, are uniform from 1 to this", least=1, most=1_000)
    n_train: int = option(100_000, "walks to train on", least=1)
    n_val: int = option(128, "walks to evaluate during training", least=0)
    n_test: int = option(1_000, "walks to evaluate once, at the end (0: none)", least=0)
    dataset_seed: int = option(42, "seed of the walks", least=0, most=MAX_SEED)


TASK = Task(
    package=__name__,
    summary="Continue a random walk whose steps are at most 200 km long, over cities known only by their numbers.",
    licence="cc-by-4.0",
    options=RandomWalkOptions,
    model_options=DecoderOptions,
    build_dataset="data:build",
    build_model="trainers.text:build_text_model",
    metric="metric:WalkLegality",
    trainer="trainer:RandomWalkTrainer",
    probe="tasks.geography.city_probe:CityProbe",
    views={"sweep": "tasks.geography.views.sweep:Sweep"},
    explain="answers:explain",
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
