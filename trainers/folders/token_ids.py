"""Token ids of a text split: in memory, or of many rows written beside them once and mapped: processes share them.

With 100 million rows each process of a run would else hold some 4 GB.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenization import VocabularyError
from tokenization.characters import ColumnEncoder, Vocabulary
from trainers.common.files import write_json
from trainers.errors import UserError
from trainers.folders.locks import lock_of
from trainers.folders.splits import Map, cuts_of

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

_FACTS = "facts.json"
_ARRAYS = ("ids_NT", "prompt_len_N", "length_N")


@dataclass(frozen=True)
class TokenIds:
    """The rows of a split as ids.

    Attributes:
        ids_NT: uint8, right-padded. prompt_len_N, length_N: whole numbers, tokens of the prompt and of the whole row.
        n_shared: Number of first tokens that are the same in every row, less than the shortest prompt's.
        longest_answer: Tokens of the longest answer, `<eos>` included.
    """

    ids_NT: np.ndarray
    prompt_len_N: np.ndarray
    length_N: np.ndarray
    n_shared: int
    longest_answer: int


def encode_rows(
    split: str,
    table: "datasets.Dataset",
    vocabulary: Vocabulary,
    first_row: int = 0,
    like: list[int] | None = None,
) -> TokenIds:
    """Encode a split, or its rows from `first_row` on, whose shared tokens must also be those of the row `like`.

    Raises:
        UserError: A value is no text, or holds a character outside the vocabulary.
    """
    try:
        found = ColumnEncoder(vocabulary).encode(*text_columns(split, table), first_row)
    except VocabularyError as error:
        raise UserError(f"split {split} does not fit the tokenizer: {error}") from error
    most = int(found.prompt_len_N.min()) - 1
    n_shared = _n_shared(found.ids_NT, found.ids_NT[0].tolist() if like is None else like, most)
    longest_answer = int((found.length_N - found.prompt_len_N).max())
    return TokenIds(found.ids_NT, found.prompt_len_N, found.length_N, n_shared, longest_answer)


def mapped_ids(folder: Path, split: str, sha256: str, vocabulary: Vocabulary) -> TokenIds | None:
    """Return the ids that lie in a dataset's folder, written first where they do not; None if it can only be read.

    Args:
        sha256: Digest of the rows that the ids must be of.
    """
    place = folder / "token_ids" / split
    if (found := _stored(place, sha256, vocabulary)) or not os.access(folder, os.W_OK):
        return found
    if any(path.is_file() for path in (place, place.parent)):
        raise UserError(f"{place} is to be a folder of token ids, but a file lies there; delete it")
    place.parent.mkdir(exist_ok=True)
    with lock_of(place):  # the processes of a run come here at once
        if _stored(place, sha256, vocabulary) is None:
            write_token_ids(folder, split, sha256, vocabulary)
    return _stored(place, sha256, vocabulary)


def _stored(place: Path, sha256: str, vocabulary: Vocabulary) -> TokenIds | None:
    """Map the ids in a folder; None if they are of other rows or tokens, or their files are not as when written."""
    try:
        facts = json.loads((place / _FACTS).read_text(encoding="utf-8"))
        is_right = (facts["sha256"], facts["vocabulary"]) == (sha256, [*vocabulary])
        if not is_right or facts["files"] != _looks(place):
            return None
        n, width = facts["shape"]
        shapes = {"ids_NT": (n, width), "prompt_len_N": (n,), "length_N": (n,)}
        # "c": torch warns of arrays that cannot be written; a write would stay with the process.
        arrays = {name: np.memmap(place / name, _dtype(name, width), "c", shape=shapes[name]) for name in _ARRAYS}
        return TokenIds(**arrays, n_shared=facts["n_shared"], longest_answer=facts["longest_answer"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return None


def write_token_ids(folder: Path, split: str, sha256: str, vocabulary: Vocabulary, run: Map = map) -> None:
    """Encode the rows of a split in a dataset's folder piece by piece, and put the ids into a folder beside them."""
    place = folder / "token_ids" / split
    temporary = place.with_name(f".{split}.partial-{secrets.token_hex(4)}")
    temporary.mkdir(parents=True)
    try:
        facts = _write_arrays(folder / split, temporary, vocabulary, run)
        facts |= {"sha256": sha256, "vocabulary": [*vocabulary], "files": _looks(temporary)}
        write_json(temporary / _FACTS, facts)
        shutil.rmtree(place, ignore_errors=True)  # of other rows, tokens or files
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_arrays(rows: Path, place: Path, vocabulary: Vocabulary, run: Map) -> dict[str, Any]:
    from datasets import load_from_disk

    n_rows = len(load_from_disk(str(rows)))
    first, cuts = encode_rows(rows.name, _read(rows, (0, 1)), vocabulary).ids_NT[0].tolist(), cuts_of(n_rows)
    width = max(run(partial(_longest_of, rows), cuts))
    for name in _ARRAYS:
        (place / name).touch()
    found = list(run(partial(_write_piece, rows, place, vocabulary, width, first), cuts))
    n_shared, longest_answer = (pick(values) for pick, values in zip((min, max), zip(*found, strict=True), strict=True))
    return {"shape": [n_rows, width], "n_shared": n_shared, "longest_answer": longest_answer}


def _write_piece(
    rows: Path, place: Path, vocabulary: Vocabulary, width: int, first: list[int], cut: tuple[int, int]
) -> tuple[int, int]:
    """Write the ids of some rows to their places in the files; return how many they share and the longest answer."""
    found = encode_rows(rows.name, _read(rows, cut), vocabulary, cut[0], first)
    padding = np.zeros((len(found.ids_NT), width - found.ids_NT.shape[1]), np.uint8)
    arrays = {**vars(found), "ids_NT": np.concatenate([found.ids_NT, padding], axis=1)}
    for name in _ARRAYS:
        values = arrays[name].astype(_dtype(name, width), copy=False)
        with (place / name).open("r+b") as file:
            file.seek(cut[0] * values[0].nbytes)
            values.tofile(file)
    return found.n_shared, found.longest_answer


def _longest_of(rows: Path, cut: tuple[int, int]) -> int:
    return longest_row(*text_columns(rows.name, _read(rows, cut)))


def _read(rows: Path, cut: tuple[int, int]) -> Any:
    from datasets import load_from_disk

    table: Any = load_from_disk(str(rows))
    return table.select(range(*cut))


def _dtype(name: str, width: int) -> Any:
    return np.dtype(np.uint8) if name == "ids_NT" else np.min_scalar_type(width)


def _looks(place: Path) -> Mapping[str, Any]:
    """Return size and time of the files; `cp -a` keeps both."""
    found = {name: (place / name).stat() for name in _ARRAYS}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}


def _n_shared(ids_NT: np.ndarray, like: list[int], most: int) -> int:
    """Return the number of first columns, at most `most`, that hold one id in all rows, that of the row `like`."""
    return next((place for place in range(most) if (ids_NT[:, place] != like[place]).any()), most)


def shared_by_kind(ids: TokenIds, kind_N: np.ndarray) -> list[int]:
    """Return for every kind of rows, numbered from 0 on, how many first tokens they share; of none 0."""
    shared = []
    for kind in range(int(kind_N.max()) + 1):
        rows = np.flatnonzero(kind_N == kind)
        most = int(ids.prompt_len_N[rows].min()) - 1 if rows.size else 0
        shared.append(_n_shared(ids.ids_NT[rows, :most], ids.ids_NT[rows[0]].tolist(), most) if rows.size else 0)
    return shared


def text_columns(split: str, table: "datasets.Dataset") -> "tuple[pa.ChunkedArray, pa.ChunkedArray]":
    """Return the columns `prompt` and `answer`; raise a `UserError` unless every value is a text."""
    from pyarrow import types

    missing = {"prompt", "answer"} - set(table.column_names)
    if missing:
        raise UserError(
            f"split {split} has no column {' and '.join(sorted(missing))}, only"
            f" {', '.join(table.column_names)}; a text task needs prompt and answer"
        )
    if len(table) == 0:
        raise UserError(f"split {split} has no rows; build the dataset again, or give another --dataset")
    columns = table.with_format("arrow")[:]
    for name in ("prompt", "answer"):
        column = columns[name]
        if not (types.is_string(column.type) or types.is_large_string(column.type)) or column.null_count:
            raise UserError(
                f"split {split} has {column.type} and {column.null_count} missing values in the column {name},"
                " expected a text in every row; correct the dataset or give another --dataset"
            )
    return columns["prompt"], columns["answer"]


def longest_row(prompts: "pa.ChunkedArray", answers: "pa.ChunkedArray") -> int:
    """Return the tokens of the longest row, `<bos>` and `<eos>` included."""
    import pyarrow.compute as pc

    return 2 + pc.max(pc.add(pc.utf8_length(prompts), pc.utf8_length(answers))).as_py()  # pyright: ignore
