"""The rows of a split on disk: written, by several processes if there are many, digested, and checked when loaded."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from trainers.common.files import write_json
from trainers.common.processes import end_with
from trainers.contract import Pieces
from trainers.errors import UserError

_ROWS_A_WRITE = 50_000  # 1,000, the library's own, take longer than everything else about a dataset of pairs
_CHECKED = "checked.json"


Map = Callable[..., Any]
"""The built-in `map`, or one over several processes."""


@contextlib.contextmanager
def processes(num_proc: int) -> Iterator[Map]:
    """Give a `map` over this number of processes, which start when it is called; with one, the built-in one.

    Raises:
        UserError: The operating system has ended one of the processes.
    """
    if num_proc == 1:
        yield map
        return
    try:  # forked ones would inherit Arrow's and torch's locks, but not the threads that hold them
        with ProcessPoolExecutor(num_proc, get_context("spawn"), end_with, (os.getpid(),)) as pool:
            yield pool.map
    except BrokenProcessPool as error:
        raise UserError(
            f"one of the {num_proc} processes has been ended, perhaps for want of memory; give a smaller --num_proc"
        ) from error


def write_split(rows: Any, folder: Path, run: Map) -> dict[str, Any]:
    """Write a `datasets.Dataset` or `Pieces` as a folder of `datasets`; return its number of rows and its digest.

    That of pieces is the digest of the pieces' own, which are returned too.
    """
    if not isinstance(rows, Pieces):
        _save(rows, folder, None)
        return {"rows": len(rows), "sha256": digest(rows)}
    folder.mkdir()
    cuts = cuts_of(len(rows))
    pieces = list(run(partial(_write_piece, rows.make, folder), cuts))
    _join(folder, [folder / str(start) for start, _ in cuts])
    return {"rows": len(rows), "sha256": _joint(pieces), "pieces": pieces}


def cuts_of(n_rows: int) -> list[tuple[int, int]]:
    """Return where each piece of so many rows begins and ends."""
    return [(start, min(start + Pieces.SIZE, n_rows)) for start in range(0, n_rows, Pieces.SIZE)]


def _write_piece(make: Callable[[int, int], Any], folder: Path, cut: tuple[int, int]) -> str:
    rows = make(*cut)
    _save(rows, folder / str(cut[0]), 1)
    return digest(rows)


def _join(folder: Path, parts: Sequence[Path]) -> None:
    """Make one folder of `datasets` of the folders of its pieces, each of which has a single file of rows."""
    names = [_name(number, len(parts)) for number in range(len(parts))]
    state = json.loads((parts[0] / "state.json").read_text(encoding="utf-8"))
    write_json(folder / "state.json", {**state, "_data_files": [{"filename": name} for name in names]})
    (parts[0] / "dataset_info.json").rename(folder / "dataset_info.json")
    for part, name in zip(parts, names, strict=True):
        (part / "data-00000-of-00001.arrow").rename(folder / name)
        shutil.rmtree(part)


def _save(rows: Any, folder: Path, num_shards: int | None) -> None:
    from datasets import config, disable_progress_bars

    disable_progress_bars()  # a bar per split says less than the one line printed at the end
    batch_size, config.DEFAULT_MAX_BATCH_SIZE = config.DEFAULT_MAX_BATCH_SIZE, _ROWS_A_WRITE
    try:
        rows.save_to_disk(str(folder), num_shards=num_shards)
    finally:
        config.DEFAULT_MAX_BATCH_SIZE = batch_size


def find_damage(folder: Path, rows: Any, facts: Mapping[str, Any], run: Map = map) -> str:
    """Say in what the rows of a split's folder are not those that were written; empty: nothing (0.4 s for 180 MB).

    Those written in pieces are read once, then only if one of their files has another size or time than it had then.
    """
    if len(rows) != facts["rows"]:
        return f"split {folder.name} has {len(rows)} rows, metadata.json says {facts['rows']}"
    if "pieces" in facts and (wrong := _wrong_pieces(folder, facts, run)):
        return f"the rows in {', '.join(wrong)} of split {folder.name} are not those that were written"
    if "pieces" not in facts and digest(rows) != facts["sha256"]:
        return f"the rows of split {folder.name} are not those that were written"
    return ""


def _wrong_pieces(folder: Path, facts: Mapping[str, Any], run: Map) -> list[str]:
    """Return the names of files whose rows have another digest; if there are none, note how the files look."""
    checked, n_pieces = folder / _CHECKED, len(facts["pieces"])
    names = [_name(number, n_pieces) for number in range(n_pieces)]
    if _listed(folder) != names or _joint(facts["pieces"]) != facts["sha256"]:
        return ["all files"]
    files = [folder / name for name in names]
    seen = {"sha256": facts["sha256"], "files": [_look(file) for file in files]}
    with contextlib.suppress(OSError, ValueError):
        if json.loads(checked.read_text(encoding="utf-8")) == seen:
            return []
    found = zip(files, run(_digest_of_file, files), facts["pieces"], strict=True)
    wrong = [file.name for file, own, expected in found if own != expected]
    if not wrong:
        with contextlib.suppress(OSError):  # in a folder that can only be read, they are checked every time
            write_json(checked, seen)
    return wrong


def _name(number: int, n_pieces: int) -> str:
    return f"data-{number:05d}-of-{n_pieces:05d}.arrow"


def _listed(folder: Path) -> list[str]:
    """Return the files of a split in the order in which `datasets` reads them."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return [file["filename"] for file in state["_data_files"]]
    return []


def _look(file: Path) -> list[Any]:
    """Return name, size and times of a file: copied or changed, it has others."""
    found = file.stat()
    return [file.name, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _digest_of_file(file: Path) -> str:
    from datasets import Dataset

    try:
        return digest(Dataset.from_file(str(file)))
    except Exception as error:  # `datasets` and Arrow raise many kinds for a damaged file
        return f"unreadable: {error}"


def _joint(pieces: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(pieces).encode()).hexdigest()


def digest(split: Any) -> str:
    """Return the SHA-256 of a `datasets.Dataset`'s columns, however they are chunked, sliced or named on disk."""
    import numpy as np

    table = split.with_format("arrow")[:].replace_schema_metadata(None)
    sha256 = hashlib.sha256(table.schema.serialize())
    for start in range(0, len(table), _ROWS_A_WRITE):
        piece = table.slice(start, _ROWS_A_WRITE)
        piece = piece.take(np.arange(len(piece))).combine_chunks()  # in buffers of its own, as long as its content
        for batch in piece.to_batches():
            sha256.update(batch.serialize())
    return sha256.hexdigest()
