"""First the key, then the door, neither of them seen: two rewards an episode, and a state that is hidden."""

from tasks.in_context_rl.dark_key_to_door.options import DarkKeyToDoorOptions
from tasks.in_context_rl.options import HistoryModelOptions
from trainers.contract import Task

TASK = Task(
    summary="Learn in context where the key and then the door are.",
    options=DarkKeyToDoorOptions,
    model_options=HistoryModelOptions,
    build_dataset="data:build",
    build_model="tasks.in_context_rl.building:build_model",
    metric="metric:ReturnInContext",
    trainer="trainer:DarkKeyToDoorTrainer",
    primary_metric="normalised_return",
    greater_is_better=True,
)
