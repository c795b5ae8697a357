"""Measure the runs of a divergence study, and write its table and figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.geography.divergence_map import map_table, measure_map
from tasks.geography.fine_tuning import ASKS_THE_SAME, members_of
from trainers.common import figures
from trainers.common.files import write_csv, write_text
from trainers.common.intervals import interval_cell, mean_interval, seeds_note
from trainers.common.metric_names import EVAL, FINAL, MetricName
from trainers.common.tables import format_table
from trainers.contract import Task
from trainers.errors import UserError
from trainers.folders.checkpoints import read_state
from trainers.folders.run_dataset import own_dataset
from trainers.folders.run_folder import RunFolder
from trainers.folders.weights import named_weights
from trainers.mixtures.data import shares_of
from trainers.mixtures.metric import improvement
from trainers.runs.trained import load_trainer, settings_of
from trainers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ELICITED = 0.1
"""Of the largest share of a run: a question with less is not taught, its rows are examples of its form alone."""


def report(
    folder: Path,
    bases: Mapping[int | None, RunFolder],
    runs: Mapping[tuple[str, int | None], RunFolder],
    tracker: Tracker,
) -> None:
    """Measure all runs, print the table; write it and the figure into the study's folder and into MLflow.

    Args:
        bases: Seed -> the run that those of this seed start from; None is the seed of a study of one.
        runs: Name and seed -> finished run.
    """
    rows = [row for (name, seed), run in runs.items() for row in measure(name, seed, run, bases[seed])]
    maps = [measure_map(name, seed, run, bases[seed]) for (name, seed), run in runs.items()]
    write_csv(folder / "divergence.csv", rows)
    write_csv(folder / "divergence_map.csv", maps)
    text = f"{table(rows)}\n\n{map_table(maps)}"
    write_text(folder / "divergence.txt", text)
    figures.save_figure(divergence_figure(rows), folder / "divergence.png")
    for name in ("divergence.csv", "divergence_map.csv", "divergence.txt", "divergence.png"):
        tracker.file(folder / name)
    tracker.table({name: [row[name] for row in maps] for name in maps[0]}, "divergence_map.json")
    print(f"\n{text}\nwritten: {folder}")


def measure(name: str, seed: int | None, run: RunFolder, base: RunFolder) -> list[dict[str, Any]]:
    """Return a row for each question: errors on invented cities before and after, on real ones before and after.

    Raises:
        UserError: the run lacks its first evaluation, or the base its test.
    """
    members, known = members_of(run.task), members_of(base.task)
    shares = shares_of(own_dataset(run).metadata["options"]["mix"], len(members))
    first, after = _first_evaluation(run), run.results
    real_before, real_after = base.results, _evaluated(base, run)
    rows = []
    for share, (member, task) in zip(shares, members.items(), strict=True):
        asked = ASKS_THE_SAME.get(member, member)
        before, now = (_error(task, values, stage, member) for values, stage in ((first, EVAL), (after, FINAL)))
        standard, kept = (_error(known[asked], values, FINAL, asked, "test") for values in (real_before, real_after))
        rows.append(
            {
                **{"run": name, "seed": seed, "asked": asked, "share": share / sum(shares)},
                **role_of(share, shares),
                **{"before": before, "after": now, "real": standard, "real_after": kept},
                "improvement": float(improvement(now, before, standard)),  # 0: as before, 1: as of real cities
                "real_ratio": kept / standard if standard else np.nan,
            }
        )
    return rows


def role_of(share: float, shares: Sequence[float]) -> dict[str, bool]:
    """Return whether a run teaches by a question, and whether it only has a few rows of it (elicitation)."""
    is_taught = share >= _ELICITED * max(shares)
    return {"taught": is_taught, "elicited": share > 0 and not is_taught}


def _error(task: Task, values: Mapping[str, Any], stage: str, member: str, split: str = "validation") -> float:
    """Return the primary metric of a member as an error: of a share, what is missing to 1."""
    key = MetricName(stage, split, f"{member}_{task.primary_metric}").logged
    if key not in values:
        raise UserError(f"a run of the study has no {key}; train it as a mixture, with --n_val and --n_test")
    value = float(values[key])
    return 1.0 - value if task.greater_is_better else value


def _first_evaluation(run: RunFolder) -> dict[str, Any]:
    """Return the metrics at step 0, of the base model."""
    last = run.last_checkpoint
    history = read_state(last)["log_history"] if last else []
    found = {key: value for entry in history if entry.get("step") == 0 for key, value in entry.items()}
    if not any(key.startswith(f"{EVAL}_validation") for key in found):
        raise UserError(f"{run.path} has no evaluation at step 0, which says what the base knew; train it with --n_val")
    return found


def _evaluated(base: RunFolder, run: RunFolder) -> Mapping[str, float]:
    """Return the metrics of a run's weights on the base's test rows, which are about real cities."""
    ((step, weights),) = named_weights(run, "best").items()
    trainer = load_trainer(settings_of(base), weights, step, own_dataset(base))
    return trainer.evaluate({"test": trainer.rows["test"]}, metric_key_prefix=FINAL)  # pyright: ignore


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for every run: improvement in each question, `*` where taught, in the others, and real errors.

    A question with elicitation rows alone, `+`, is one of the others.
    """
    all_rows: Any = pd.DataFrame(rows)
    all_rows["seed"] = all_rows["seed"].fillna(-1)
    shown, counts = [], []
    for name, of_run in all_rows.groupby("run", sort=False):
        cells = {
            asked: interval_cell(mean_interval(of["improvement"].tolist()), ".2f") + _sign_of(of)
            for asked, of in of_run.groupby("asked", sort=False)
        }
        others = of_run[~of_run["taught"]].groupby("seed")["improvement"].mean().tolist()
        real = of_run.groupby("seed")["real_ratio"].mean().tolist()
        counts.append(len(real))
        ends = {"not taught": mean_interval(others), "real errors": mean_interval(real)}
        shown.append({"taught by": name, **cells, **{key: interval_cell(of, ".2f") for key, of in ends.items()}})
    return (
        f"{format_table(shown)}\nnormalised improvement on invented cities (* taught by this question, + by a few rows"
        f" of it); real errors: after over before, mean of all questions\n{seeds_note(counts)}"
    )


def _sign_of(rows: Any) -> str:
    return "*" if bool(rows["taught"].iloc[0]) else "+" if bool(rows["elicited"].iloc[0]) else ""


def divergence_figure(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw the improvement in every question, a row for each run; mean over seeds."""
    from matplotlib.figure import Figure

    mean: Any = pd.DataFrame(rows).pivot_table("improvement", "run", "asked", sort=False)
    figure = Figure(figsize=(2 + 0.9 * mean.shape[1], 1.6 + 0.42 * mean.shape[0]), dpi=120, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(mean.to_numpy(), vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
    for (row, column), value in np.ndenumerate(mean.to_numpy()):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(mean.shape[1]), mean.columns, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(mean.shape[0]), mean.index, fontsize=8)
    axes.set(xlabel="asked", ylabel="taught by")
    figure.colorbar(image, label="normalised improvement")
    return figure
