"""Trainer of rooms and bandits: it trains on actions of histories, and is evaluated by acting."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from tasks.in_context_rl.compression import Schedule
from tasks.in_context_rl.figures import curves_figure, per_task_figure
from tasks.in_context_rl.metric import LAST, accuracy_by_depth, example_scores
from tasks.in_context_rl.model import HistoryConfig, HistoryModel
from tasks.in_context_rl.rollout import rollout
from tasks.in_context_rl.rows import HistoryRows
from trainers.base import WorldTrainer
from trainers.contract import Evaluation, Predictions

TASKS_SHOWN = 20  # tasks in the table and in the figure with one bar each
ROLLOUT_SEED = 0


class HistoryTrainer(WorldTrainer):
    """Trainer whose evaluation predicts complete histories of held-out tasks, and acts in these tasks."""

    smooths_labels = False  # the model computes its loss itself

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = cast(HistoryConfig, self.unwrapped_model.config)
        self.schedule, self.depth_D = config.schedule, config.depths()[0]
        self.targets_D = np.zeros(len(self.depth_D), dtype=np.int64)
        self.loss_part_D = np.zeros(len(self.depth_D))

    def make_processor(self, model: PreTrainedModel) -> None:
        """Steps need no tokenizer."""

    def describe_row(self, split: str, row: int) -> str:
        """Return the first episode of a history and the labels."""
        rows = cast(HistoryRows, self.rows[split])
        shown = slice(0, rows.room.horizon)
        lines = [f"  task     {rows.table[row]['label']}"]
        names = ("cell", "reward", "next_cell") if rows.room.n_cells > 1 else ("action", "reward")
        lines += [f"  {name:<8} {rows.columns[name][row, shown].tolist()}" for name in names]
        return "\n".join([*lines, f"  loss on  {rows.label_NT[row, shown].tolist()} (action)"])

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Train on one batch, whose targets are counted by depth."""
        rows, length = inputs["labels"].shape
        own = self.schedule
        schedule = Schedule(inputs.get("window", own.window), inputs.get("keep", own.keep))
        plan = cast(HistoryRows, self.rows["train"]).plan_of(schedule)
        counts_D = plan.counts(length)
        self.targets_D += rows * counts_D
        self.loss_part_D += plan.weight_D * counts_D / length
        return super().training_step(model, inputs, *args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add to the loss the targets of each depth, and its share of the loss, in this process since its start."""
        if "loss" in logs and self.targets_D.any():
            share_D = self.loss_part_D / self.loss_part_D.sum()
            for depth, targets, share in zip(self.depth_D, self.targets_D, share_D, strict=True):
                logs |= {f"targets_of_depth_{depth}": float(targets), f"loss_share_of_depth_{depth}": float(share)}
        super().log(logs, *args, **kwargs)

    def evaluate_split(self, rows: HistoryRows) -> Evaluation:
        """Predict the actions of the histories, and act in their tasks."""
        with self.accelerator.autocast():
            return self.score(rows, self._predicted(rows), self._returns(rows))

    def score(self, rows: HistoryRows, correct_NT: np.ndarray, return_KRE: np.ndarray) -> Evaluation:
        """Score predicted actions (right or not) and the returns of R rollouts in each of K tasks, E episodes each."""
        _, facts = rows.tasks()
        metrics, references = self._scored(return_KRE, facts), _references(rows, facts)
        for name, returns in rows.yardsticks.items():
            for metric, value in self._scored(returns, facts).items():
                references.setdefault(metric, {})[name] = value
        depth_T = np.array([self.schedule.depth(step) for step in range(rows.n_steps)])
        reached_K, source_NE = return_KRE[:, :, -LAST:].mean(axis=(1, 2)), rows.returns()
        step = f"{self.task.name}, {rows.split}, step {self.state.global_step:,}"
        bars = facts["label"][:TASKS_SHOWN].tolist(), reached_K[:TASKS_SHOWN], facts["optimal_return"][:TASKS_SHOWN]
        return Evaluation(
            metrics={**metrics, **accuracy_by_depth(correct_NT, depth_T)},
            baselines=_baselines(rows, facts, depth_T),
            references=references,
            entropy_bound=_entropy_bound(rows),
            samples=_table(facts, return_KRE, source_NE, rows),
            predictions={
                "rollouts": _rollouts(facts, return_KRE),
                "histories": _histories(rows, correct_NT, depth_T),
            },
            values=correct_NT.mean(axis=1),
            figures={
                "curves.png": lambda: curves_figure(return_KRE.mean(axis=1), rows, step),
                "per_task.png": lambda: per_task_figure(*bars, step),
            },
        )

    def _scored(self, return_KRE: np.ndarray, facts: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the metrics of R rollouts in each of K tasks."""
        bounds = {name: facts[f"{name}_return"].repeat(return_KRE.shape[1]).tolist() for name in ("random", "optimal")}
        return self.metric.compute(predictions=return_KRE.reshape(-1, return_KRE.shape[2]).tolist(), **bounds)

    @torch.no_grad()
    def _predicted(self, rows: HistoryRows) -> np.ndarray:
        """Return whether the likeliest action is the one taken, (N, T) bool."""
        model, correct = cast(HistoryModel, self.unwrapped_model), []
        for chosen in torch.arange(len(rows)).split(self.args.eval_batch_size):
            batch = {name: part.to(model.device) for name, part in rows.__getitems__(chosen.tolist()).items()}
            correct.append((model(**batch).logits.argmax(dim=-1) == batch["labels"]).cpu().numpy())
        return np.concatenate(correct)

    def _returns(self, rows: HistoryRows) -> np.ndarray:
        """Act, and return the returns of every rollout's episodes, (K, R, E); every process acts alike."""
        model, (tasks, _) = cast(HistoryModel, self.unwrapped_model), rows.tasks()
        rollouts, episodes = (int(rows.options[name]) for name in ("eval_rollouts", "eval_episodes"))
        generator = torch.Generator().manual_seed(ROLLOUT_SEED)
        return_NE = rollout(model, rows.room, tasks.repeated(rollouts), episodes, generator)
        return return_NE.reshape(len(tasks), rollouts, episodes)


def _entropy_bound(rows: HistoryRows) -> float | None:
    """Return the least possible loss, the source's own surprise at its actions; None where others are predicted."""
    if rows.label_NT is not rows.columns["action"]:
        return None
    return float(-np.log(rows.columns["probability"].astype(np.float64)).mean())


def _rollouts(facts: Mapping[str, np.ndarray], return_KRE: np.ndarray) -> Predictions:
    """Return one row for every rollout: its task and the returns of its episodes."""
    tasks, rollouts, episodes = return_KRE.shape
    return_NE = return_KRE.reshape(-1, episodes)
    random_N, optimal_N = (facts[name].repeat(rollouts) for name in ("random_return", "optimal_return"))
    columns = {
        "task": facts["label"].repeat(rollouts),
        "rollout": np.tile(np.arange(rollouts), tasks),
        "predicted": list(return_NE),
        "random": random_N,
        "optimal": optimal_N,
    }
    scores, weights = example_scores(return_NE, random_N, optimal_N)
    return Predictions(columns=columns, keys=("task", "rollout"), scores=scores, weights=weights, group="task")


def _histories(rows: HistoryRows, correct_NT: np.ndarray, depth_T: np.ndarray) -> Predictions:
    """Return one row for every history: its task, and which of its actions were predicted correctly."""
    by_row = [accuracy_by_depth(correct_T[None], depth_T) for correct_T in correct_NT]
    scores = {name: np.array([accuracy[name] for accuracy in by_row]) for name in by_row[0]}
    columns = {"history": np.arange(len(rows)), "task": rows.table["label"], "correct": list(correct_NT)}
    return Predictions(columns=columns, keys=("task", "history"), scores=scores, group="task")


def _baselines(rows: HistoryRows, facts: Mapping[str, np.ndarray], depth_T: np.ndarray) -> dict[str, dict[str, float]]:
    """Return the scores of random actions and, of accuracies, of always the most common action."""
    label_NT = rows.label_NT
    random, optimal = (float(facts[f"{name}_return"].mean()) for name in ("random", "optimal"))
    commonest = accuracy_by_depth(label_NT == np.bincount(label_NT.ravel()).argmax(), depth_T)
    return {
        "normalised_return": {"": 0.0, "random": 0.0},  # by definition
        "return_last": {"random": random},
        "return_first": {"random": random},
        "optimality": {"random": random / optimal},
        "area_under_curve": {"random": 0.0},
        "regret": {"random": int(rows.options["eval_episodes"]) * (optimal - random)},
        **{name: {"": share} for name, share in commonest.items()},
    }


def _references(rows: HistoryRows, facts: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the scores of optimal actions, and of the source in the last tenth of its learning."""
    source_NE = rows.returns()
    end_NE = source_NE[:, -max(1, source_NE.shape[1] // 10) :]
    row_by_task = {task: place for place, task in enumerate(facts["task"].tolist())}
    place_N = np.array([row_by_task[task] for task in rows.task_N.tolist()])
    random_N, optimal_N = facts["random_return"][place_N], facts["optimal_return"][place_N]
    normalised_N = (end_NE.mean(axis=1) - random_N) / (optimal_N - random_N)
    return {
        "normalised_return": {"source": float(normalised_N.mean())},
        "return_last": {"source": float(end_NE.mean()), "optimal": float(facts["optimal_return"].mean())},
    }


def _table(
    facts: Mapping[str, np.ndarray], return_KRE: np.ndarray, source_NE: np.ndarray, rows: HistoryRows
) -> dict[str, list[Any]]:
    """Return the returns of the first tasks, and those of random actions, the source and optimal actions."""
    columns = {
        "task": facts["label"],
        "first": return_KRE[:, :, 0].mean(axis=1),
        f"last {LAST}": return_KRE[:, :, -LAST:].mean(axis=(1, 2)),
        "random": facts["random_return"],
        "source": np.array([source_NE[rows.task_N == task, -LAST:].mean() for task in facts["task"][:TASKS_SHOWN]]),
        "optimal": facts["optimal_return"],
    }
    return {name: values[:TASKS_SHOWN].tolist() for name, values in columns.items()}
