"""Where is the reward in a room that tells only where one stands? Goals that were never trained on."""

from tasks.in_context_rl.darkroom.options import DarkroomOptions
from tasks.in_context_rl.options import HistoryModelOptions
from trainers.contract import Task

TASK = Task(
    summary="Learn in context where the reward of a dark room is.",
    options=DarkroomOptions,
    model_options=HistoryModelOptions,
    build_dataset="data:build",
    build_model="tasks.in_context_rl.building:build_model",
    metric="metric:ReturnInContext",
    trainer="trainer:DarkroomTrainer",
    primary_metric="normalised_return",
    greater_is_better=True,
)
