"""ARC grids: from an input grid, and demonstrations of the rule, generate the output grid."""

from tasks.arc.options import ArcModelOptions, ArcOptions
from trainers.contract import Task

TASK = Task(
    summary="Generate an ARC task's output grid from the input grid, with or without demonstrations of the rule.",
    options=ArcOptions,
    model_options=ArcModelOptions,
    build_dataset="data:build",
    build_model="building:build_model",
    metric="metric:GridMatch",
    trainer="trainer:ArcTrainer",
    primary_metric="exact_match",
    greater_is_better=True,
    defaults={"per_device_eval_batch_size": 64},  # like lengths together: small grids do not wait for large ones
    small={"max_side": 10, "pairs_per_task": 8, "n_val": 1, "n_test": 2},
)
