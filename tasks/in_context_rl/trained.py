"""Acting of trained models in the test tasks of a dataset, for reports of studies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from tasks.in_context_rl.cost import flops_per_action, seconds_per_action
from tasks.in_context_rl.metric import ReturnInContext, example_scores
from tasks.in_context_rl.model import HistoryConfig, HistoryModel
from tasks.in_context_rl.pace import speed_up
from tasks.in_context_rl.rollout import rollout
from tasks.in_context_rl.rows import HistoryRows, rows_of
from tasks.in_context_rl.trainer import ROLLOUT_SEED
from trainers.errors import UserError
from trainers.folders import dataset_folder
from trainers.folders.run_folder import RunFolder
from trainers.studies.parent import SeedRuns

_ROUNDS = 5  # of the timing


@dataclass(frozen=True)
class Acted:
    """Results of acting in K test tasks with S seeds, R rollouts of E episodes each, and the cost of an action.

    Attributes:
        return_SKRE: returns. score_SK: normalised return of the last episodes, mean over rollouts. regret_SK: regret.
        metrics: by seed. context: most vectors that the decoder sees.
        flops: see `cost.flops_per_action`. seconds: CPU time per action, several measurements.
        speed_up: see `pace.speed_up`.
    """

    return_SKRE: np.ndarray
    score_SK: np.ndarray
    regret_SK: np.ndarray
    metrics: Mapping[int, Mapping[str, float]]
    context: int
    parameters: int
    flops: dict[str, float]
    seconds: list[float]
    speed_up: float | None = None


def shared_test_rows(runs: Iterable[RunFolder]) -> HistoryRows:
    """Return the test split of the dataset that all runs were trained on.

    Raises:
        UserError: they were not trained on one dataset, it has no test split, or it holds no histories.
    """
    first, *others = runs
    folders = sorted({str(run.dataset) for run in (first, *others)})
    if len(folders) > 1:
        raise UserError(f"the runs of the study were trained on different datasets: {', '.join(folders)}")
    data = dataset_folder.load(Path(folders[0]), first.marker["task"])
    if "room" not in data.metadata or "test" not in data.splits:
        raise UserError(f"the dataset {data.path} has no test tasks to act in; give a --train_share below 1")
    return rows_of(data, "test", HistoryConfig.from_pretrained(first.path))


def act(run: RunFolder, rows: HistoryRows, rollouts: int) -> np.ndarray:
    """Return returns of the run's model in the tasks of the rows, (K, rollouts, E); every run has the same draws."""
    model = _load(run)
    tasks, episodes = rows.tasks()[0], int(rows.options["eval_episodes"])
    with torch.autocast(model.device.type, torch.bfloat16, enabled=run.settings["training"]["bf16"]):
        draws = torch.Generator().manual_seed(ROLLOUT_SEED)
        return_NE = rollout(model, rows.room, tasks.repeated(rollouts), episodes, draws)
    return return_NE.reshape(len(tasks), rollouts, episodes)


def act_all(runs: Mapping[str, SeedRuns], rows: HistoryRows, rollouts: int) -> dict[str, Acted]:
    """Let every model act in the test tasks, with the same seed of the draws; take the time of an action in turns."""
    models = {name: _load(next(iter(seeds.values()))) for name, seeds in runs.items()}
    seconds = seconds_per_action(models, rollouts * len(rows.tasks()[0]), _ROUNDS)
    by_model = {}
    for name, model in models.items():
        return_SKRE = np.stack([act(run, rows, rollouts) for run in runs[name].values()])
        by_model[name] = Acted(
            return_SKRE,
            **_scored(return_SKRE, list(runs[name]), rows),
            context=model.n_latents + model.schedule.window,
            parameters=model.num_parameters(),
            flops=flops_per_action(model),
            seconds=seconds[name],
            speed_up=speed_up(return_SKRE.mean(axis=(0, 1, 2)), rows),
        )
    return by_model


def _load(run: RunFolder) -> Any:
    disable_progress_bar()  # else every model shows a bar for its one file
    model: Any = HistoryModel.from_pretrained(run.path)
    return model.eval()


def task_scores(return_KRE: np.ndarray, rows: HistoryRows, *names: str) -> dict[str, np.ndarray]:
    """Return metrics of every task, (K,) each: means over the rollouts."""
    n_tasks, rollouts, episodes = return_KRE.shape
    scores, _ = example_scores(return_KRE.reshape(-1, episodes), *_bounds(rows, rollouts))
    return {name: scores[name].reshape(n_tasks, rollouts).mean(axis=1) for name in names}


def _bounds(rows: HistoryRows, rollouts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the returns of random and of optimal actions for every rollout."""
    facts = rows.tasks()[1]
    return facts["random_return"].repeat(rollouts), facts["optimal_return"].repeat(rollouts)


def _scored(return_SKRE: np.ndarray, seeds: Sequence[int], rows: HistoryRows) -> dict[str, Any]:
    """Return the metrics of every seed, and the scores of every seed in every task."""
    metric: Any = ReturnInContext()
    *_, rollouts, episodes = return_SKRE.shape
    random_N, optimal_N = (bound_N.tolist() for bound_N in _bounds(rows, rollouts))
    returns = {seed: of.reshape(-1, episodes).tolist() for seed, of in zip(seeds, return_SKRE, strict=True)}
    of_tasks = [task_scores(return_KRE, rows, "normalised_return", "regret") for return_KRE in return_SKRE]
    return {
        "metrics": {s: metric.compute(predictions=of, random=random_N, optimal=optimal_N) for s, of in returns.items()},
        "score_SK": np.stack([scores["normalised_return"] for scores in of_tasks]),
        "regret_SK": np.stack([scores["regret"] for scores in of_tasks]),
    }
