"""Take from the folders of finished studies what stands beside a published number: a mean, n and an interval."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from tasks.geography.convergence_table import at_one_block, means_by_seed
from trainers.common.intervals import INTERVAL, mean_interval, wilson
from trainers.errors import UserError
from trainers.folders.run_dataset import own_dataset
from trainers.folders.run_folder import RunFolder
from trainers.mixtures.data import MEMBER

COLUMNS = {
    "likeness.csv": ("kind", "n_tasks", "one", "other", "seed", "block", "cka", "cka_biased"),
    "learners.csv": ("name", "seed", "r2", "learnt"),
    "divergence.csv": ("run", "seed", "asked", "taught", "elicited", "real", "improvement"),
    "divergence_map.csv": ("run", "seed", "new_refitted_km", "real_refitted_km"),
}
"""What is read of the tables of the studies."""


class AbsentError(Exception):
    """There is no such measurement; its text says why."""


@dataclass(frozen=True)
class Stored:
    """What a study has written into its folder."""

    study: str
    folder: Path

    @property
    def is_reported(self) -> bool:
        """Whether it has come as far as to write a table."""
        return any(self.folder.glob("*.csv"))

    def table(self, name: str) -> Any:
        """Return one of its tables, a `DataFrame`.

        Raises:
            AbsentError: the study was not run, is not finished, or was reported before its tables had all columns.
        """
        path = self.folder / name
        if not self.folder.is_dir():
            raise AbsentError(f"{self.study} has not been run here")
        if not path.is_file():
            raise AbsentError(f"{self.study} has no {name} yet")
        table = pd.read_csv(path)
        if missing := [column for column in COLUMNS[name] if column not in table]:
            raise AbsentError(f"{name} of {self.study} has no column {missing[0]}; the same command writes it again")
        return table

    def runs(self, name: str) -> list[RunFolder]:
        """Return the finished runs of a name, one for every seed."""
        self.table("divergence.csv")
        places = sorted([*self.folder.glob(f"{name}/results.json"), *self.folder.glob(f"{name}-*/results.json")])
        if not places:
            raise AbsentError(f"{self.study} has no run {name} of its own")
        return [RunFolder(path.parent) for path in places]


Studies = Mapping[str, Stored]
Measure = Callable[[Studies], dict[str, Any]]
"""Stored studies by their part in the comparison -> number, mean and interval; raises an `AbsentError`."""


def absent(why: str) -> Measure:
    """Return a measure of what is not done here at all."""

    def measure(studies: Studies) -> dict[str, Any]:
        raise AbsentError(why)

    return measure


def likeness(kind: str, n_tasks: int, column: str = "cka_biased", pair: Collection[str] = ()) -> Measure:
    """Return the measure of how alike models are at the last block but one; of all pairs, or of two runs' models."""

    def measure(studies: Studies) -> dict[str, Any]:
        rows = at_one_block(studies["convergence"].table("likeness.csv"))
        rows = rows[(rows["kind"] == kind) & (rows["n_tasks"] == n_tasks)]
        if pair:
            named = zip(rows["one"], rows["other"], strict=True)
            rows = rows[[set(names) == set(pair) for names in named]]
        return _stated(means_by_seed(rows, column), "convergence", studies)

    return measure


def of_run(name: str, column: str) -> Measure:
    """Return the measure of what the models of one run of the convergence study know."""

    def measure(studies: Studies) -> dict[str, Any]:
        known = studies["convergence"].table("learners.csv")
        return _stated(known[known["name"] == name][column].tolist(), "convergence", studies)

    return measure


def not_learnt(singles: Collection[str]) -> Measure:
    """Return the share of finished runs of one question that did not learn it; n is the number of runs."""

    def measure(studies: Studies) -> dict[str, Any]:
        known = studies["convergence"].table("learners.csv")
        return _share(~known[known["name"].isin([*singles])]["learnt"].to_numpy(bool))

    return measure


def of_base(asked: str, is_share: bool = False) -> Measure:
    """Return the error of the models of all questions on real cities; of choices the accuracy."""

    def measure(studies: Studies) -> dict[str, Any]:
        rows = studies["divergence"].table("divergence.csv")
        errors = rows[rows["asked"] == asked]["real"].drop_duplicates()  # a base that is given has no seeds
        return _stated([1 - error if is_share else error for error in errors], "divergence", studies)

    return measure


def majority(asked: str) -> Measure:
    """Return the accuracy, on the base's test rows, of always giving the answer that is most common in training."""

    def measure(studies: Studies) -> dict[str, Any]:
        name = f"final_test_baseline_{asked}_accuracy"
        found = [run.results[name] for run in studies["divergence"].runs("base") if name in run.results]
        return _stated(found, "divergence", studies)

    return measure


def repeated(asked: str) -> Measure:
    """Return the share of evaluated pairs of new cities that were trained on too, in the run that teaches by pairs."""

    def measure(studies: Studies) -> dict[str, Any]:
        run = studies["divergence"].runs(asked)[0]
        try:
            splits = own_dataset(run).splits
        except UserError as error:
            raise AbsentError(f"the dataset of {run.path.name} cannot be read: {error}") from error
        trained, evaluated = (pairs_of(splits[name], asked) for name in ("train", "validation"))
        return _share(np.isin(evaluated, trained))

    return measure


def pairs_of(rows: Any, member: str) -> np.ndarray:
    """Return a number for the unordered pair of cities of every row of a member, (n,) int64."""
    table = rows.with_format("arrow")[:]
    table = table.filter(pc.equal(table[MEMBER], member))  # pyright: ignore
    low, high = np.sort([table[name].to_numpy() for name in ("city_a", "city_b")], axis=0).astype(np.int64)
    return low * 2**31 + high


def improvement(
    part: str, n_taught: int, of_taught: bool, taught: str | None = None, elicited: bool = False
) -> Measure:
    """Return the mean improvement on new cities over the runs that teach by so many questions.

    Args:
        of_taught: In the questions that teach, or in the others.
        taught: One of those that teach; None: any.
        elicited: Of runs with a few rows of every other question, or without.
    """

    def measure(studies: Studies) -> dict[str, Any]:
        rows = with_taught(studies[part].table("divergence.csv"))
        rows = rows[(rows["n_taught"] == n_taught) & (rows["has_elicited"] == elicited) & (rows["taught"] == of_taught)]
        if taught:
            rows = rows[[taught in names for names in rows["by"]]]
        return _stated(rows.groupby("seed")["improvement"].mean().tolist(), part, studies)

    return measure


def above_singles(with_distance: bool) -> Measure:
    """Return how much better runs of two questions answer all questions than the better of the two single runs."""

    def measure(studies: Studies) -> dict[str, Any]:
        pairs, singles = (with_taught(studies[part].table("divergence.csv")) for part in ("pairs", "divergence"))
        singles = singles[(singles["n_taught"] == 1) & ~singles["has_elicited"]].to_dict("records")
        alone = {(row["seed"], *row["by"], row["asked"]): row["improvement"] for row in singles}
        gains: dict[Any, list[float]] = {}
        for row in pairs[pairs["n_taught"] == 2].to_dict("records"):
            keys = [(row["seed"], question, row["asked"]) for question in row["by"]]
            if ("distance" in row["by"]) == with_distance and all(key in alone for key in keys):
                better = max(alone[key] for key in keys)
                gains.setdefault(row["seed"], []).append(row["improvement"] - better)
        if not gains:
            raise AbsentError(f"{studies['pairs'].study} has no such runs, or the single ones have other seeds")
        return mean_interval([float(np.mean(of)) for of in gains.values()])

    return measure


def of_map(part: str, column: str, n_taught: int, with_distance: bool | None = None) -> Measure:
    """Return the mean error, in km, of a map that is read from the runs that teach by so many questions."""

    def measure(studies: Studies) -> dict[str, Any]:
        taught = with_taught(studies[part].table("divergence.csv")).drop_duplicates("run").set_index("run")
        maps = studies[part].table("divergence_map.csv")
        maps = maps.assign(seed=maps["seed"].fillna(-1))
        wanted = taught[(taught["n_taught"] == n_taught) & ~taught["has_elicited"]]
        if with_distance is not None:
            wanted = wanted[[("distance" in by) == with_distance for by in wanted["by"]]]
        of = maps[maps["run"].isin(wanted.index)].groupby("seed")[column].mean()
        return _stated(of.tolist(), part, studies)

    return measure


def with_taught(rows: Any) -> Any:
    """Return the rows of a divergence with what their run teaches: `by`, `n_taught`, `has_elicited`; no seed is -1."""
    by = rows[rows["taught"]].groupby("run")["asked"].agg(frozenset)
    elicited = rows.groupby("run")["elicited"].any()
    run = rows["run"]
    return rows.assign(
        seed=rows["seed"].fillna(-1), by=run.map(by), n_taught=run.map(by.map(len)), has_elicited=run.map(elicited)
    )


def _stated(values: list[float], part: str, studies: Studies) -> dict[str, Any]:
    if not values:
        raise AbsentError(f"{studies[part].study} has no such runs")
    return mean_interval(values)


def _share(right_N: np.ndarray) -> dict[str, Any]:
    """Return a share with Wilson's interval."""
    if not len(right_N):
        raise AbsentError("there are no such runs")
    ends = wilson(int(right_N.sum()), len(right_N))
    return dict(zip(INTERVAL, (len(right_N), float(right_N.mean()), *ends), strict=True))
