"""Task declaration that all rooms and bandits share; each replaces some of its fields."""

from tasks.in_context_rl.options import HistoryModelOptions, HistoryOptions
from trainers.contract import SummarySpec, Task

FAMILY = Task(
    summary="Learn in context what a dark room does not show.",
    licence="mit",
    options=HistoryOptions,
    model_options=HistoryModelOptions,
    build_dataset="tasks.in_context_rl.histories:build",
    build_model="tasks.in_context_rl.model:build_model",
    rows="tasks.in_context_rl.rows:rows_of",
    metric="tasks.in_context_rl.metric:ReturnInContext",
    trainer="tasks.in_context_rl.trainer:HistoryTrainer",
    tokenizer="",
    predictor="",
    primary_metric="normalised_return",
    greater_is_better=True,
    plot=SummarySpec(
        label="return in context (0 random, 1 optimal)",
        value_label="share of a history's actions predicted",
        limits=(0, 1.05),
        lines={1: "optimal"},
    ),
    reports={
        "comparison": "tasks.in_context_rl.compare:Comparison",
        "goal_map": "tasks.in_context_rl.goal_map:GoalMap",
    },
    small={
        "size": 3,
        "n_streams": 3,
        "history_steps": 400,
        "keep_every": 1,
        "max_train_tasks": 8,
        "n_val_tasks": 1,
        "eval_streams": 1,
        "eval_episodes": 2,
        "eval_rollouts": 2,
    },
)
