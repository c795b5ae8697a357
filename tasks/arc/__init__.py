"""ARC grids: from an input grid, and demonstrations of the rule, generate the output grid."""

from tasks.arc.options import ArcModelOptions, ArcOptions
from trainers.contract import SummarySpec, Task

TASK = Task(
    package=__name__,
    summary="Generate an ARC task's output grid from the input grid, with or without demonstrations of the rule.",
    licence="apache-2.0",
    options=ArcOptions,
    model_options=ArcModelOptions,
    build_dataset="data:build",
    build_model="model:build_model",
    rows="rows:rows_of",
    metric="metric:GridMatch",
    trainer="trainer:ArcTrainer",
    tokenizer="",
    predictor="prediction:GridPredictor",
    adapter="tasks.arc.adapt.adapter:TestTimeTraining",
    primary_metric="exact_match",
    greater_is_better=True,
    reports={"ladder": "ladder:Ladder"},
    defaults={"per_device_eval_batch_size": 64},  # like lengths together: small grids do not wait for large ones
    plot=SummarySpec(
        label="generated exact match",
        value_label="a grid's share of right cells (teacher forcing)",
        limits=(0, 1.02),
        lines={0.5: "half of the grids", 1: "all grids"},
    ),
    small={"max_side": 10, "pairs_per_task": 8, "n_val": 1, "n_test": 2},
)
