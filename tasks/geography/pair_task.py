"""The task that every task on distances is a variant of, with options and rows of its own."""

from tasks.geography.world import PairOptions
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions

PAIR_TASK = Task(
    summary="Give the great-circle distance between two cities known only by their numbers.",
    licence="cc-by-4.0",
    options=PairOptions,
    model_options=DecoderOptions,
    build_dataset="data:build",
    build_model="trainers.text:build_text_model",
    metric="tasks.geography.pair_metric:AbsoluteError",
    trainer="tasks.geography.pair_trainer:PairTrainer",
    probe="tasks.geography.city_probe:CityProbe",
    explain="tasks.geography.pair_answers:explain",
    grows="tasks.geography.growing:growing_world",
    probe_prompt="dist(c_{id},c_",
    views={
        "sweep": "tasks.geography.views.sweep:Sweep",
        "behaviour": "tasks.geography.views.behaviour:Behaviour",
        "components": "tasks.geography.views.components:Components",
        "edit": "tasks.geography.views.edit:EditView",
    },
    primary_metric="abs_error_km_mean",
    greater_is_better=False,
    reports={
        "convergence": "tasks.geography.convergence:Convergence",
        "divergence": "tasks.geography.divergence:Divergence",
        "paper": "tasks.geography.paper:Paper",
        "forgetting": "tasks.geography.forgetting:Forgetting",
        "map": "tasks.geography.map_report:MapReport",
    },
    plot=SummarySpec(
        label="mean absolute error (km)",
        value_label="absolute error of a pair (km)",
        limits=(1, 25_000),
        lines={10: "10 km", 100: "100 km", 1_000: "1,000 km", 10_000: "10,000 km", 20_000: "parse failed"},
        log=True,
    ),
    small={"n_cities": 32, "n_train": 200, "n_val": 15, "n_test": 30},
)
