"""Tables and figure of a convergence study: which runs learnt, and how alike their states are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trainers.common.intervals import interval_cell, mean_interval, seeds_note
from trainers.common.tables import format_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
_BY = ["kind", "n_tasks"]


def learners_text(known: Sequence[Row], states: Mapping[str, str]) -> str:
    """Return a line for every finished run, and how many there are of those started; none is left out or replaced."""
    finished = sum(state == "finished" for state in states.values())
    learnt = sum(row["learnt"] for row in known)
    shown = [{**row, "learnt": "yes" if row["learnt"] else "no"} for row in known]
    return f"{format_table(shown)}\n{finished} of {len(states)} runs finished, {learnt} of these learnt their tasks"


def likeness_text(rows: Sequence[Row]) -> str:
    """Return for every kind of pair the mean likeness over seeds at the last block but one, of all and of learnt."""
    shown, counts = [], []
    table = pd.DataFrame(rows, columns=[*(rows[0] if rows else [*_BY, "block"])])
    for (kind, n_tasks), pairs in at_one_block(table).groupby(_BY, sort=False):
        cells = {}
        for name, of in {"all": pairs, "learnt": pairs[pairs["learnt"]]}.items():
            by_seed = {
                measure: means_by_seed(of, measure)
                for measure in ("cka", "cka_biased", "cka_beyond_digits", "permuted")
            }
            cells |= {f"{measure}, {name}": interval_cell(mean_interval(of), ".3f") for measure, of in by_seed.items()}
            counts.append(len(by_seed["cka"]))
        shown.append({"kind": kind, "tasks": n_tasks, "pairs": len(pairs), **cells})
    if not shown:
        return "no two runs have as many tasks and none in common, or the same tasks and another seed"
    return f"{format_table(shown)}\n{seeds_note(counts)}"


def means_by_seed(pairs: Any, measure: str) -> list[float]:
    """Return the mean of the pairs of each seed that has one: pairs of one seed share runs, and are not independent."""
    return pairs.groupby("seed")[measure].mean().dropna().tolist()


def at_one_block(table: Any) -> Any:
    """Return the rows of the last block but one."""
    return table[table["block"] == max(1, table["block"].max() - 1)] if len(table) else table


def convergence_figure(rows: Sequence[Row]) -> "Figure":
    """Draw likeness over blocks, a line for each kind and number of tasks, with the range over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    table: Any = pd.DataFrame(rows, columns=[*_BY, "seed", "block", "cka"])
    for (kind, n_tasks), pairs in table.groupby(_BY, sort=False):
        by_seed = pairs.pivot_table("cka", "seed", "block")
        label = f"{kind}, {n_tasks} {'task' if n_tasks == 1 else 'tasks'} each"
        (line,) = axes.plot(by_seed.columns, by_seed.mean(), "o-", ms=3.5, lw=1.2, label=label)
        axes.fill_between(by_seed.columns, by_seed.min(), by_seed.max(), color=line.get_color(), alpha=0.15, lw=0)
    axes.set(xlabel="block", ylabel="debiased linear CKA", ylim=(-0.05, 1.02))
    axes.set_xticks(sorted(_blocks(rows)))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _blocks(rows: Iterable[Row]) -> Iterable[int]:
    return np.unique([row["block"] for row in rows]).tolist()
