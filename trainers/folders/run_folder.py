"""Read and write the files and checkpoints of a run's folder."""

import fnmatch
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers import registry
from trainers.common.files import read_json, write_json, write_text
from trainers.contract import Task
from trainers.errors import UserError
from trainers.folders import locks
from trainers.folders.checkpoints import STATE, damage_of

_MARKER, _SETTINGS, _RESULTS, _CARD, _PROBE = "run.json", "settings.json", "results.json", "README.md", "probe"
_DIFF = "git.diff"
_CHECKPOINT = "checkpoint-"
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model*.safetensors*",
    "tokenizer*.json",
    "special_tokens_map.json",
)
"""Patterns of the files of a saved model with its tokenizer."""
_PREDICTIONS, _EVALUATIONS = "predictions", "evaluations"
_WRITTEN = (
    *MODEL_FILES,
    _PREDICTIONS,
    _EVALUATIONS,
    f".{_EVALUATIONS}.lock",
    _RESULTS,
    _SETTINGS,
    _CARD,
    _PROBE,
    "summary.png",
    _DIFF,
    "training_args.bin",
    "tensorboard",
    "wandb",
    STATE,
)
"""Patterns of what every run writes at the top of its folder, besides its figures."""
_IN_MARKER = {"package": str, "command": str, "mlflow_run_id": str | None, "figures": list}
_IN_SETTINGS = {"given": dict, "resolved": dict, "dataset_folder": str, "dataset_sha256": dict, "world_size": int}
"""Types of what is read of these files, where it is there: what people restore by hand may have others."""


@dataclass(frozen=True)
class RunFolder:
    """Read and write the files of one run. Nothing is cached: a run that is being trained changes under its readers."""

    path: Path

    @classmethod
    def of_model(cls, model: Path) -> "RunFolder | None":
        """Return the run that a model folder is or lies in (a checkpoint), or None if no run made it."""
        candidates = (cls(model), cls(model.resolve().parent))
        return next((run for run in candidates if run.has_marker), None)

    @property
    def has_marker(self) -> bool:
        """Whether the folder is a run's: only such a folder is ever overwritten, resumed or deleted."""
        return (self.path / _MARKER).is_file()

    @property
    def marker(self) -> dict[str, Any]:
        """Task, command, git state and MLflow run when the folder was claimed; a `UserError` if it is no run's."""
        if not self.has_marker:
            if not self.path.exists():
                raise UserError(f"there is no folder {self.path}; give the folder of a run")
            if RunFolder(self.path.parent).has_marker:
                raise UserError(
                    f"{self.path} lies in the run {self.path.parent}; give that, with --checkpoint if need be"
                )
            raise UserError(
                f"{self.path} is not a folder of a run (it has no readable {_MARKER}), so it is left alone;"
                " give another folder"
            )
        helps = "so the folder is not a folder of a run and is left alone; restore the file, or give another run"
        return read_json(self.path / _MARKER, helps, {"task": str}, _IN_MARKER)

    def check_marker(self) -> None:
        """Raise a `UserError` unless the folder is a run's."""
        _ = self.marker

    @property
    def task(self) -> Task:
        """The task of the run; markers written before tasks had families name its old package, which still loads."""
        marker = self.marker
        return registry.load(marker.get("package") or marker["task"])

    @property
    def run_id(self) -> str | None:
        """The id of its MLflow run, if it got as far."""
        return self.marker.get("mlflow_run_id")

    @property
    def git(self) -> dict[str, str]:
        """The git state when the folder was claimed: the working tree may have changed since."""
        return {name: value for name, value in self.marker.items() if name.startswith("git.")}

    @property
    def diff(self) -> Path | None:
        """How the code differed from its commit when the folder was claimed; None if it did not."""
        return path if (path := self.path / _DIFF).is_file() else None

    @property
    def has_started(self) -> bool:
        """Whether the run got as far as writing its settings, before its first step."""
        return (self.path / _SETTINGS).is_file()

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the run; a `UserError` if it has not started yet, or the file is damaged."""
        return self._read(_SETTINGS, "is no run that has started", _IN_SETTINGS)

    @property
    def dataset(self) -> Path:
        """The dataset that the run is trained on; if its folder is gone, the one of this name above a moved run."""
        if (folder := self.settings.get("dataset_folder")) is None:
            raise UserError(f"{_SETTINGS} in {self.path} has no dataset_folder; restore it, or give another run")
        noted = Path(folder)
        places = [noted, *(above / "datasets" / noted.name for above in self.path.resolve().parents)]
        return next((place for place in places if place.is_dir()), noted)

    @property
    def is_finished(self) -> bool:
        """Whether the run has results, which are written last."""
        return (self.path / _RESULTS).is_file()

    def is_finished_at(self, step: int) -> bool:
        """Return whether the run has results of this step."""
        return self.is_finished and self.results.get("steps") == step

    @property
    def results(self) -> dict[str, Any]:
        """Final metrics, the number of steps and the best checkpoint; a `UserError` if the run is not finished."""
        return self._read(_RESULTS, "is no finished run", {"steps": int, "kept_step": int})

    @property
    def checkpoint_folders(self) -> dict[int, Path]:
        """Step -> folder of every checkpoint, ascending, incomplete ones included."""
        steps = {path.name.removeprefix(_CHECKPOINT): path for path in self.path.glob(f"{_CHECKPOINT}*")}
        return dict(sorted((int(step), path) for step, path in steps.items() if step.isdecimal()))

    @property
    def checkpoints(self) -> dict[int, Path]:
        """Step -> folder of every complete checkpoint, ascending."""
        return {step: path for step, path in self.checkpoint_folders.items() if (path / STATE).is_file()}

    @property
    def checkpoint_names(self) -> str:
        """The names of all checkpoints, for a sentence."""
        return ", ".join(path.name for path in self.checkpoint_folders.values()) or "none"

    @property
    def last_checkpoint(self) -> Path | None:
        """The newest undamaged checkpoint; prints a warning for newer ones that are damaged."""
        for checkpoint in reversed(self.checkpoint_folders.values()):
            if (damage := damage_of(checkpoint)) is None:
                return checkpoint
            print(f"warning: {checkpoint} is incomplete ({damage}); looking for the one before", flush=True)
        return None

    @property
    def runs_inside(self) -> list[Path]:
        """Folders of other runs below this one."""
        return [path.parent for path in self.path.rglob(_MARKER) if path.parent != self.path]

    def is_held(self) -> bool:
        """Return whether a process of this machine is writing the folder."""
        return locks.is_held(self.path)

    def probe_folder(self, name: str) -> Path:
        """Return the folder of one probe's results."""
        return self.path / _PROBE / name

    @property
    def figures(self) -> list[Path]:
        """`summary.png` and the task's figures, as far as they are drawn."""
        paths = [self.path / name for name in ("summary.png", *self.marker.get("figures", ()))]
        return [path for path in dict.fromkeys(paths) if path.is_file()]

    @property
    def predictions(self) -> Path:
        """The folder with every prediction of the last evaluation of each split."""
        return self.path / _PREDICTIONS

    @property
    def evaluations(self) -> Path:
        """The folder of evaluations made after the training."""
        return self.path / _EVALUATIONS

    def write_marker(self, marker: Mapping[str, Any]) -> None:
        """Mark the folder as a run's."""
        write_json(self.path / _MARKER, marker)

    def write_diff(self, diff: str) -> None:
        """Write how the code differed from its commit when the folder was claimed."""
        write_text(self.path / _DIFF, diff)

    def write_settings(self, settings: Mapping[str, Any]) -> Path:
        """Write `settings.json`; return its path."""
        write_json(self.path / _SETTINGS, settings)
        return self.path / _SETTINGS

    def write_card(self, card: str) -> Path:
        """Write the model card; return its path."""
        write_text(self.path / _CARD, card)
        return self.path / _CARD

    def write_results(self, results: Mapping[str, Any]) -> Path:
        """Write `results.json`, which makes the run a finished one; return its path."""
        write_json(self.path / _RESULTS, results)
        return self.path / _RESULTS

    def withdraw_results(self) -> None:
        """Delete `results.json`: a finished run is trained further, and is not finished until it ends again."""
        (self.path / _RESULTS).unlink(missing_ok=True)

    def delete_checkpoint(self, step: int) -> None:
        """Rename a checkpoint, then delete it: it is there completely or not at all."""
        path = self.checkpoint_folders[step]
        hidden = path.with_name(f".{path.name}")
        path.rename(hidden)
        _delete(hidden)

    def delete_leftovers(self) -> None:
        """Finish deletions of checkpoints that a kill interrupted."""
        for path in self.path.glob(f".{_CHECKPOINT}*"):
            _delete(path)

    def note_figure(self, name: str) -> None:
        """Note in the marker that a figure is the run's own, and no file of the user's."""
        if name not in (noted := self.marker.get("figures", [])):
            self.write_marker({**self.marker, "figures": [*noted, name]})

    def delete_written(self) -> list[str]:
        """Delete what a run writes, the marker last so that it can be repeated; return the names of all other files."""
        names = (*_WRITTEN, *self.marker.get("figures", ()))
        patterns = (*names, *(f".{name}.????????" for name in names))  # the second: cut off in `write_text`
        for step in self.checkpoint_folders:
            self.delete_checkpoint(step)
        self.delete_leftovers()
        entries = {path.name: path for path in sorted(self.path.iterdir())}
        written = [name for name in entries if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
        for name in written:
            _delete(entries[name])
        (self.path / _MARKER).unlink()
        return [name for name in entries if name not in (*written, _MARKER)]

    def _read(self, name: str, problem: str, known: Mapping[str, type]) -> dict[str, Any]:
        if not (self.path / name).is_file():
            raise UserError(f"{self.path} {problem} (no readable {name}); give another")
        return read_json(self.path / name, "restore it, or give another run", known=known)


def named_run(run: str) -> RunFolder:
    """Return the run that `--run` means.

    Raises:
        UserError: none is given.
    """
    if not run:
        raise UserError("no run given; use --run with a run's folder, as in --run outputs/runs/NAME-001")
    return RunFolder(Path(os.path.expanduser(run)).resolve())


def _delete(path: Path) -> None:
    """Delete a file, a link (not what it leads to) or a folder."""
    path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
