"""Compare the runs of a convergence study, each to each, and write its tables and figure."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from tasks.geography.convergence_states import Learner, read_learner
from tasks.geography.convergence_table import convergence_figure, learners_text, likeness_text
from tasks.geography.views.alignment import beyond_digits, debiased_cka
from trainers.common import figures
from trainers.common.files import write_csv
from trainers.probes.probe import linear_cka
from trainers.studies.parent import Children, SeedRuns

DISJOINT, SAME, UNTRAINED = "no task in common", "same tasks, another seed", "untrained, no task in common"
ONE_SEED = "one seed, no task in common"
"""Models that began with the same weights, which makes them alike before anything is learnt."""
_LEAST_LEFT = 20  # dimensions beyond digits, of which a likeness says something


def report(folder: Path, runs: Mapping[str, SeedRuns], children: Children, all_cities: bool) -> None:
    """Read what the finished runs know of the cities, compare them, write and track tables and figure.

    Args:
        all_cities: Whether all cities are compared, or those whose numbers have the most frequent number of digits.
    """
    learners = [read_learner(name, seed, run, all_cities) for name, of in runs.items() for seed, run in of.items()]
    known, rows = [learner.summary for learner in learners], list(compare(learners))
    write_csv(folder / "learners.csv", known)
    write_csv(folder / "likeness.csv", rows)
    figures.save_figure(convergence_figure(rows), folder / "convergence.png")
    for name in ("learners.csv", "likeness.csv", "convergence.png"):
        children.tracker.file(folder / name)
    print(f"\n{learners_text(known, children.states)}\n\n{likeness_text(rows)}\nwritten: {folder}")


def compare(learners: list[Learner]) -> Iterator[dict[str, Any]]:
    """Give a row for every block of every pair of models that is compared: likeness, and that of permuted cities."""
    for one, other in combinations(sorted(learners, key=lambda of: of.name), 2):  # the first one's seed is the pair's
        if kind := kind_of(one, other):
            yield from _rows(kind, one, other)
            if kind == DISJOINT:
                yield from _rows(UNTRAINED, one, other)


def kind_of(one: Learner, other: Learner) -> str | None:
    """Return why two models are compared; None: they are not."""
    if one.tasks == other.tasks:
        return SAME if one.seed != other.seed else None
    if len(one.tasks) != len(other.tasks) or one.tasks & other.tasks:
        return None
    return DISJOINT if one.seed != other.seed else ONE_SEED


def _rows(kind: str, one: Learner, other: Learner) -> Iterator[dict[str, Any]]:
    shared, at, other_at = np.intersect1d(one.city_id, other.city_id, return_indices=True)
    order, basis_NR = np.random.default_rng(0).permutation(len(shared)), beyond_digits(shared)
    states = [of.untrained_LND if kind == UNTRAINED else of.states_LND for of in (one, other)]
    names: Mapping[str, Any] = {"kind": kind, "n_tasks": len(one.tasks), "one": one.name, "other": other.name}
    for block, (one_ND, other_ND) in enumerate(zip(states[0][:, at], states[1][:, other_at], strict=True), start=1):
        yield {
            **names,
            "seed": one.seed,
            "other_seed": other.seed,
            "learnt": one.is_learnt and other.is_learnt,
            "block": block,
            "n": len(shared),
            "cka": debiased_cka(one_ND, other_ND),
            "cka_biased": linear_cka(one_ND, other_ND),
            "cka_beyond_digits": _cka_within(basis_NR, one_ND, other_ND),
            "permuted": debiased_cka(one_ND, other_ND[order]),
        }


def _cka_within(basis_NR: np.ndarray, one_ND: np.ndarray, other_ND: np.ndarray) -> float:
    """Return the likeness of what is left in the space of a basis; NaN where too little is."""
    return debiased_cka(basis_NR.T @ one_ND, basis_NR.T @ other_ND) if basis_NR.shape[1] >= _LEAST_LEFT else np.nan
