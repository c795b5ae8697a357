"""Read a sweep file: a config, common flags, and a grid of values or a space to search."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import UserError, suggest
from trainers.folders.command_folder import folder_name
from trainers.studies.study_file import read_mapping, task_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from trainers.contract import Task

_FORM = (
    "`config` (or `task`), optional `flags`, and either `grid` (flag: list of values) or `search` (flag: {low, high,"
    " log, step} or {choices}) with `n_trials`"
)
_KEYS = {"config", "task", "flags", "grid", "search", "n_trials"}
_MANAGED = {"output_dir", "overwrite", "resume_from_checkpoint", "dry_run", "config", "task"}


@dataclass(frozen=True)
class Sweep:
    """A grid (child's name -> its own flags), or a space from which the flags of `n_trials` children are drawn."""

    name: str
    task: "Task"
    common: Mapping[str, Any]
    grid: Mapping[str, Mapping[str, Any]]
    space: "Mapping[str, BaseDistribution]"
    n_trials: int
    digest: str
    """The file's content without the number of trials and the values of a grid, which may grow."""
    seeds: Sequence[int] = ()
    """With which every draw of a search is trained; nothing: once, as its flags say. Seeds of a grid are in it."""

    def with_seeds(self, name: str, flags: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return the runs of a combination or draw: folder's name -> own flags."""
        return {f"{name},seed={seed}": {**flags, "seed": seed} for seed in self.seeds} or {name: flags}


def read_sweep(path: Path, seeds: Sequence[int] = ()) -> Sweep:
    """Read the sweep in a YAML file; every flag is one of its task.

    Args:
        seeds: With which every combination of a grid or draw is trained; none: as the file says.

    Raises:
        UserError: it has another form, or a flag is unknown, or given twice.
    """
    content = read_mapping(path, _FORM)
    if "runs" in content:
        raise UserError(f"{path} is a study of named runs; start it by `world-models study {path.stem}`")
    if unknown := [key for key in content if key not in _KEYS]:
        raise UserError(f"{path}: unknown key {unknown[0]!r}.{suggest(str(unknown[0]), _KEYS)} Write {_FORM}")
    if ("grid" in content) == ("search" in content) or ("config" in content) == ("task" in content):
        raise UserError(f"{path} is no sweep; write {_FORM}")
    if ("search" in content) != ("n_trials" in content):
        raise UserError(f"{path}: `n_trials` belongs to `search`, and only there")
    what = "grid" if "grid" in content else "search"
    flags, swept = (_mapping(path, name, content.get(name, {})) for name in ("flags", what))
    if seeds and "seed" in {**flags, **swept}:
        raise UserError(f"--seeds and the `seed` in {path} are both given; use one of the two")
    swept |= {"seed": [*seeds]} if seeds and what == "grid" else {}
    _check_flags(path, flags, swept)
    common = {**{name: content[name] for name in ("config", "task") if name in content}, **flags}
    values = {name: _values(path, name, asked) for name, asked in swept.items()} if what == "grid" else {}
    space = {name: _distribution(path, name, asked) for name, asked in swept.items()} if what == "search" else {}
    grid = _children(path, values) if values else {}
    n_trials = content.get("n_trials", 1)
    if not isinstance(n_trials, int) or isinstance(n_trials, bool) or n_trials < 1:
        raise UserError(f"{path}: n_trials is {n_trials!r}, expected a whole number of at least 1")
    first = next(iter(grid.values())) if grid else {name: _first_value(drawn) for name, drawn in space.items()}
    return Sweep(
        folder_name(_name(path, what, seeds)),
        task_of(path, {**common, **first}),
        common,
        grid,
        space,
        n_trials,
        json.dumps({k: v for k, v in content.items() if k not in ("n_trials", "grid")}, default=str, sort_keys=True),
        seeds if what == "search" else (),
    )


def _name(path: Path, what: str, seeds: Sequence[int]) -> str:
    """Return the sweep's name. With `--seeds` it is another one: a grid may get more of them, a search may not."""
    if not seeds:
        return path.stem
    return f"{path.stem},seeds" if what == "grid" else f"{path.stem},seeds={','.join(map(str, seeds))}"


def suggest_flags(trial: Any, space: "Mapping[str, Any]") -> dict[str, Any]:
    """Return the flags of an Optuna trial; those it had before it was interrupted stay."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    flags = {}
    for name, asked in space.items():
        if isinstance(asked, CategoricalDistribution):
            flags[name] = trial.suggest_categorical(name, asked.choices)
        else:
            suggest_number = trial.suggest_int if isinstance(asked, IntDistribution) else trial.suggest_float
            flags[name] = suggest_number(name, asked.low, asked.high, step=asked.step, log=asked.log)
    return flags


def _mapping(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or (name != "flags" and not value):
        raise UserError(f"{path}: `{name}` is {value!r}, expected flags by name")
    return {str(flag): asked for flag, asked in value.items()}


def _check_flags(path: Path, flags: Mapping[str, Any], swept: Mapping[str, Any]) -> None:
    if managed := sorted(_MANAGED & (set(flags) | set(swept))):
        raise UserError(f"{path}: {managed[0]} cannot be among the flags; the sweep sets it for every run")
    if twice := sorted(set(flags) & set(swept)):
        raise UserError(f"{path}: {twice[0]} is among the common flags and swept too; use one of the two")


def _values(path: Path, flag: str, asked: Any) -> list[Any]:
    if not isinstance(asked, list) or not asked or None in asked or len(set(map(str, asked))) < len(asked):
        raise UserError(f"{path}: {flag} is {asked!r} in `grid`, expected a list of values, each once")
    return asked


def _children(path: Path, values: Mapping[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Return all combinations of values, by the names of their folders."""
    children = {}
    for combination in itertools.product(*values.values()):
        flags = dict(zip(values, combination, strict=True))
        children[folder_name(",".join(f"{flag}={value}" for flag, value in flags.items()))] = flags
    return children


def _distribution(path: Path, flag: str, asked: Any) -> "BaseDistribution":
    """Return what a flag is drawn from: integers where all of low, high and step are."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        asked = dict(asked)
        if set(asked) == {"choices"}:
            choices = [*asked["choices"]]
            if isinstance(asked["choices"], str) or not all(isinstance(c, (str, int, float)) for c in choices):
                raise ValueError("choices are a list of texts and numbers")
            return CategoricalDistribution(choices)
        if not {"low", "high"} <= set(asked) <= {"low", "high", "log", "step"}:
            raise ValueError(f"it has {', '.join(map(str, asked)) or 'nothing'}")
        numbers = {name: _number(asked[name]) for name in ("low", "high", "step") if name in asked}
        log = asked.get("log", False)
        if not isinstance(log, bool):
            raise ValueError(f"log is {log!r}, not true or false")
        if all(isinstance(number, int) for number in numbers.values()):
            return IntDistribution(**numbers, log=log)  # pyright: ignore[reportArgumentType]
        return FloatDistribution(**numbers, log=log)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{path}: {flag} is {asked!r} in `search` ({error}); write {{low, high}} with `log: true` or `step` if"
            " wanted, or {choices: [...]}"
        ) from error


def _number(value: Any) -> int | float:
    """Return a number; YAML reads 1e-3 as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = float(value) if isinstance(value, (str, float)) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no finite number")
    return number


def _first_value(drawn: Any) -> Any:
    return drawn.choices[0] if hasattr(drawn, "choices") else drawn.low
