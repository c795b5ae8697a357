"""A dataset's digest: the content, however it lies in memory."""

import datasets
import numpy as np
import pyarrow as pa
import pytest

from trainers.folders import splits

ROWS = pa.table(
    {
        "prompt": [f"dist(c_{number})=" for number in range(1000)],
        "answer": [str(number**2) for number in range(1000)],
        "walk": [list(range(number % 7)) for number in range(1000)],
        "place": np.arange(1000, dtype=np.int64),
    }
)
DIGEST = splits.digest(datasets.Dataset(ROWS))


def test_a_digest_is_of_the_content_however_it_is_cut(tmp_path, monkeypatch):
    pieces = pa.concat_tables([ROWS.slice(start, 77) for start in range(0, 1000, 77)])
    within = pa.concat_tables([ROWS.slice(990), ROWS, ROWS.slice(0, 3)]).combine_chunks().slice(10, 1000)
    datasets.Dataset(pieces).save_to_disk(str(tmp_path / "rows"))
    turned = datasets.Dataset(ROWS.take(np.arange(999, -1, -1))).select(range(999, -1, -1))
    for rows in (pieces, within):
        assert splits.digest(datasets.Dataset(rows)) == DIGEST
    assert splits.digest(datasets.load_from_disk(str(tmp_path / "rows"))) == splits.digest(turned) == DIGEST
    monkeypatch.setattr(splits, "_ROWS_A_WRITE", 300)
    in_pieces = splits.digest(datasets.Dataset(ROWS))
    assert splits.digest(datasets.Dataset(pieces)) == splits.digest(datasets.Dataset(within)) == in_pieces


@pytest.mark.parametrize("name", ROWS.column_names)
def test_a_digest_changes_with_every_column(name):
    column = ROWS[name].take(np.array([1, 0, *range(2, 1000)]))
    assert splits.digest(datasets.Dataset(ROWS.set_column(ROWS.column_names.index(name), name, column))) != DIGEST


def test_a_digest_changes_with_names_types_and_lengths():
    others = [
        ROWS.rename_columns(["question", *ROWS.column_names[1:]]),
        ROWS.set_column(3, "place", ROWS["place"].cast(pa.int32())),
        ROWS.slice(0, 999),
        ROWS.slice(0, 0),
    ]
    assert len({DIGEST, *(splits.digest(datasets.Dataset(rows)) for rows in others)}) == 5
