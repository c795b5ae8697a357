"""Dataset folders: built once per set of options, written atomically, checked when loaded."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import secrets
import shlex
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainers.common.files import write_json
from trainers.contract import BuiltDataset, Pieces, StoredDataset, Task
from trainers.errors import UserError
from trainers.folders import cards
from trainers.folders.locks import lock_of
from trainers.folders.sources import code_digest
from trainers.folders.splits import Map, find_damage, processes, write_split
from trainers.options import path_options

METADATA = "metadata.json"


def folder_of(task: Task, options: Any, prefix: Path) -> Path:
    """Return the folder of a dataset with these options, built from these input files by this code."""
    key = json.dumps([task.name, dataclasses.asdict(options), _input_digests(options)], default=str)
    name = f"{task.name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}-{code_digest(task)[:6]}"
    return prefix / "datasets" / name


def build_or_load(task: Task, options: Any, prefix: Path, rebuild: bool = False, num_proc: int = 1) -> StoredDataset:
    """Return the dataset for these options, building it if its folder does not exist yet, or to `rebuild` it.

    Args:
        num_proc: Processes that build it, if it has more than a million rows in a split; they change no row.

    Raises:
        UserError: The builder does not exist or gives unusable splits, or the folder is damaged.
    """
    folder = folder_of(task, options, prefix)
    if folder.parent.is_file():
        raise UserError(f"{folder.parent} is a file; datasets are kept in a folder of this name: move the file away")
    if rebuild or not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock_of(folder):  # two runs that start at once build it once
            if rebuild or not folder.exists():
                _build(task, options, folder, num_proc)
    return load(folder, task.name)


def _build(task: Task, options: Any, folder: Path, num_proc: int) -> None:
    start_s, build = time.perf_counter(), task.load("build_dataset")
    vocabulary = task.load("tokenizer") if task.tokenizer else None
    built: BuiltDataset = build(options)
    _check_built(built, f"TASK.build_dataset of {task.name}")
    _write(built, task, options, vocabulary, folder, num_proc)
    print(f"dataset built in {time.perf_counter() - start_s:.1f} s: {folder}", flush=True)
    for other in sorted(set(folder.parent.glob(f"{folder.name[:-6]}*")) - {folder}):
        print(
            f"built anew, because the code or a library has changed since {other} was built; that one stays", flush=True
        )
    for sentence in built.facts.get("adjustments", ()):
        print(f"adjusted: {sentence}", flush=True)


def _check_built(built: Any, builder: str) -> None:
    if not isinstance(built, BuiltDataset):
        raise UserError(f"{builder} returned {type(built).__name__}; return a trainers.contract.BuiltDataset")
    if "train" not in built.splits or len(built.splits) == 1:
        raise UserError(
            f"{builder} gave {_names(built.splits)}; it must give `train`, and `validation` or another to evaluate"
        )
    for name, split in built.splits.items():
        if len(split) == 0:
            raise UserError(f"{builder} gave no rows for the split {name}; ask for some, or leave the split out")


def load(folder: Path, task_name: str, flag: str = "dataset", again: str = "") -> StoredDataset:
    """Load a dataset folder of the task called `task_name`, which `--flag` names.

    Args:
        again: What to do if the folder is gone, where that is not to give another one.

    Raises:
        UserError: The folder is missing, damaged, or another task's.
    """
    from datasets import load_from_disk

    metadata = read_metadata(folder, task_name, flag, again)
    try:
        splits = {name: load_from_disk(str(folder / name)) for name in metadata["splits"]}
    except Exception as error:  # datasets raises many kinds for a damaged folder; all mean the same to the user
        raise UserError(
            f"the dataset {folder} is damaged ({type(error).__name__}: {error}); build it again:"
            f" `{build_command(task_name, metadata['options'])}`"
        ) from error
    for name, split in splits.items():
        _check_split(folder, name, split, metadata)
    return StoredDataset(folder, splits, metadata)  # pyright: ignore[reportArgumentType]


def build_command(task_name: str, options: Mapping[str, Any]) -> str:
    """Return the command that builds a dataset with these options anew."""
    flags = [text for name, value in options.items() if value is not None for text in (f"--{name}", str(value))]
    return shlex.join(["world-models", "dataset", "--task", task_name, *flags, "--rebuild"])


def _check_split(folder: Path, name: str, split: Any, metadata: Mapping[str, Any], run: Map = map) -> None:
    """Raise a `UserError` unless the rows are those that were written."""
    if problem := find_damage(folder / name, split, metadata["splits"][name], run):
        command = build_command(metadata["task"], metadata["options"])
        raise UserError(f"the dataset {folder} is damaged: {problem}; build it again: `{command}`")


def _write(built: BuiltDataset, task: Task, options: Any, vocabulary: Any, folder: Path, num_proc: int) -> None:
    """Write everything into a temporary folder, then put it in the place of `folder`, which is always complete.

    The caller holds the folder's lock, so another temporary folder is that of a process that was killed.
    """
    from tokenization.characters import save_tokenizer

    for left in folder.parent.glob(f".{folder.name}.partial-*"):
        shutil.rmtree(left)
    partial = folder.with_name(f".{folder.name}.partial-{secrets.token_hex(4)}")
    old = folder.with_name(f".{folder.name}.old-{secrets.token_hex(4)}")
    partial.mkdir()
    try:
        with processes(num_proc) as run:
            splits = {name: write_split(split, partial / name, run) for name, split in built.splits.items()}
            metadata = _metadata(built, task, options, splits)
            _prepare(partial, metadata, vocabulary, run)
        for name, write in built.files.items():
            write(partial / name)
        if vocabulary is not None:
            save_tokenizer(partial / "tokenizer", vocabulary)
        write_json(partial / METADATA, metadata)
        (partial / "README.md").write_text(cards.dataset_card(task, metadata), encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _prepare(folder: Path, metadata: Mapping[str, Any], vocabulary: Any, run: Map) -> None:
    """Do now, by all processes, what each run would do first with many rows: check them, and write their token ids."""
    from datasets import load_from_disk

    from trainers.folders.token_ids import write_token_ids

    for name, facts in metadata["splits"].items():
        if "pieces" in facts:
            _check_split(folder, name, load_from_disk(str(folder / name)), metadata, run)
        if facts["rows"] > Pieces.SIZE and vocabulary is not None:
            write_token_ids(folder, name, facts["sha256"], vocabulary, run)


def _metadata(built: BuiltDataset, task: Task, options: Any, splits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": task.name,
        "code_sha256": code_digest(task),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "options": dataclasses.asdict(options),
        "licence": None if any(_input_digests(options).values()) else task.licence or None,  # of files it is not known
        "splits": splits,
        "libraries": {n: importlib.metadata.version(n) for n in ("datasets", "numpy", "pyarrow")},
        **built.facts,
    }


def read_metadata(folder: Path, task_name: str, flag: str = "dataset", again: str = "") -> Mapping[str, Any]:
    """Return the content of a dataset's `metadata.json`; raise a `UserError` if there is none.

    Args:
        flag, again: As for `load`.
    """
    if not folder.is_dir():
        default = f"give another --{flag}, or build one: `world-models dataset --task {task_name}`"
        raise UserError(f"there is no dataset folder {folder}; {again or default}")
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        task = metadata["task"]
        splits = {n: (f["rows"], f["sha256"], "".join(f.get("pieces", ()))) for n, f in metadata["splits"].items()}
        if not isinstance(metadata["options"], dict):
            raise TypeError("its options are no mapping")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{folder} is not a dataset made by this project (no readable {METADATA});"
            f" {again or f'give another --{flag}, or leave it out and add --rebuild'}"
        ) from error
    if task != task_name:
        raise UserError(
            f"the dataset {folder} is one of the task {task}, not of {task_name}; use --task {task} or another --{flag}"
        )
    if "train" not in splits or len(splits) == 1:
        raise UserError(
            f"the dataset {folder} has {_names(splits)}, expected `train` and a split to evaluate; build it again"
        )
    return metadata


def _names(splits: Iterable[str]) -> str:
    return f"only the splits {', '.join(splits) or '(none)'}"


def _input_digests(options: Any) -> dict[str, list[str]]:
    """Return digests of the files and folders that options name: a changed CSV is another dataset."""
    digests = {}
    for name, value in path_options(options).items():
        places = [value] if os.path.exists(os.path.expanduser(value)) else value.split(",")
        named = [Path(os.path.expanduser(place)) for place in places]
        beside: Any = next(item.metadata["is_path"] for item in dataclasses.fields(options) if item.name == name)
        inside = [part for path in named for part in _files_of(path)]
        inside += [] if beside is True else [part for path in named for part in beside(path)]
        files = [part for part in inside if part.is_file()]
        digests[name] = [f"{part.name} {hashlib.sha256(part.read_bytes()).hexdigest()}" for part in files]
    return digests


def _files_of(path: Path) -> list[Path]:
    """Return the files that stand for a dataset's folder, another folder, or a file."""
    is_dataset = (path / METADATA).is_file()
    return [path / METADATA] if is_dataset else sorted(path.glob("*.json")) if path.is_dir() else [path]
