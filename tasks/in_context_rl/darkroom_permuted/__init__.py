"""Which action does what? The way from corner to corner with the actions in an unknown order."""

from tasks.in_context_rl.darkroom_permuted.options import DarkroomPermutedOptions
from tasks.in_context_rl.options import HistoryModelOptions
from trainers.contract import Task

TASK = Task(
    summary="Learn in context what each action does.",
    options=DarkroomPermutedOptions,
    model_options=HistoryModelOptions,
    build_dataset="data:build",
    build_model="tasks.in_context_rl.building:build_model",
    metric="metric:ReturnInContext",
    trainer="trainer:DarkroomPermutedTrainer",
    primary_metric="normalised_return",
    greater_is_better=True,
)
