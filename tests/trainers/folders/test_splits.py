"""Splits of many rows: written in pieces, checked once, with token ids that processes share."""

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_from_disk

from tests.helpers import ROOT, refusal
from tokenization.characters import VOCABULARY, make_vocabulary
from trainers import registry
from trainers.contract import Pieces
from trainers.errors import UserError
from trainers.folders import dataset_folder, splits, token_ids
from trainers.text import TextRows

OPTIONS = {"n_cities": 60, "n_train": 1000, "n_val": 50, "n_test": 60}
TASK = registry.load("distance")


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(Pieces, "SIZE", 300)


def built(prefix, **how):
    return dataset_folder.build_or_load(TASK, TASK.options(**OPTIONS), prefix, **how)


@pytest.fixture
def data(small_pieces, tmp_path):
    return built(tmp_path)


def files(folder):
    """Path -> digest, but for what tells of the time."""
    found = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    names = ("metadata.json", "README.md", "checked.json", "facts.json", "state.json")  # the last: a random fingerprint
    return {path: hashlib.sha256(text).hexdigest() for path, text in found.items() if path.name not in names}


def test_the_files_are_the_same_whatever_the_number_of_processes(data, tmp_path):
    other = built(tmp_path / "two", num_proc=2)
    assert files(data.path) == files(other.path) and len(files(data.path)) > 8
    assert data.metadata["splits"] == other.metadata["splits"]
    assert data.path.name == other.path.name


@pytest.mark.parametrize("size", [1, 77, 999, 1000])
def test_the_rows_are_the_same_whatever_the_pieces(size, data, monkeypatch, tmp_path):
    if size == 1:
        monkeypatch.setitem(OPTIONS, "n_train", 7)
    monkeypatch.setattr(Pieces, "SIZE", size)
    other = built(tmp_path / "other")
    assert len(list((other.path / "train").glob("data-*.arrow"))) == -(-OPTIONS["n_train"] // size)
    for name, rows in other.splits.items():
        assert rows.to_dict() == data.splits[name].select(range(len(rows))).to_dict()


def test_pieces_make_a_usual_folder_of_datasets(data):
    folder = data.path / "train"
    names = sorted(path.name for path in folder.glob("data-*.arrow"))
    assert names == [f"data-0000{i}-of-00004.arrow" for i in range(4)]
    rows = load_from_disk(str(folder))
    assert len(rows) == 1000 and rows.column_names == ["prompt", "answer", "city_a", "city_b"]
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_rows_in_pieces_are_read_again_only_if_a_file_has_changed(data, monkeypatch):
    read = []
    digest = splits.digest
    monkeypatch.setattr(splits, "digest", lambda rows: read.append(len(rows)) or digest(rows))
    dataset_folder.load(data.path, "distance")
    assert sorted(read) == [50, 60]  # few rows are always read
    os.utime(data.path / "train" / "data-00001-of-00004.arrow")
    for expected in ([50, 60, 100, 300, 300, 300], [50, 60]):
        read.clear()
        dataset_folder.load(data.path, "distance")
        assert sorted(read) == expected


def test_what_datasets_has_cached_beside_the_pieces_is_none(data):
    (data.path / "train" / "cache-0.arrow").write_bytes(b"")
    dataset_folder.load(data.path, "distance")


def test_a_damaged_piece_is_named(data):
    other = sorted((data.path / "train").glob("data-*.arrow"))[2]
    content = bytearray(other.read_bytes())
    place = content.index(b"dist(c_")
    content[place + 7] = ord("9") if content[place + 7] != ord("9") else ord("8")
    other.write_bytes(content)
    with refusal(other.name, "train", "--rebuild", of=UserError):
        dataset_folder.load(data.path, "distance")


@pytest.mark.parametrize("listed", [[1, 0, 2, 3], [0, 0, 2, 3], [0, 1, 2]])
def test_pieces_that_are_read_in_another_order_are_refused(listed, data):
    path = data.path / "train" / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "_data_files": [state["_data_files"][number] for number in listed]}))
    with refusal("train", "--rebuild", of=UserError):
        dataset_folder.load(data.path, "distance")


def death_signal(_):
    signal = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(signal))  # PR_GET_PDEATHSIG
    return signal.value


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_processes_that_build_end_with_their_parent():
    with splits.processes(2) as run:
        assert list(run(death_signal, [0, 1])) == [signal.SIGTERM] * 2


def test_metadata_of_other_pieces_is_refused(data):
    path = data.path / "metadata.json"
    facts = json.loads(path.read_text())
    facts["splits"]["train"]["pieces"].reverse()
    path.write_text(json.dumps(facts))
    with refusal("train", "--rebuild", of=UserError):
        dataset_folder.load(data.path, "distance")


def test_a_builder_that_fails_in_its_middle_leaves_nothing(small_pieces, tmp_path, monkeypatch):
    from tasks.geography.distance import data as builder

    rows_of = builder._rows

    def fail(cities, seed, first, start, stop):
        if start >= 600:
            raise OSError(28, "No space left on device")
        return rows_of(cities, seed, first, start, stop)

    monkeypatch.setattr(builder, "_rows", fail)
    with pytest.raises(OSError, match="No space"):
        built(tmp_path)
    assert [path.name[-5:] for path in (tmp_path / "datasets").iterdir()] == [".lock"]


BUILD = """
import sys, time
from pathlib import Path
from trainers import registry
from trainers.contract import Pieces
from trainers.folders import dataset_folder, splits
if __name__ == "__main__":
    Pieces.SIZE, task = 300, registry.load("distance")
    write = splits._write_piece
    def slowly(make, folder, cut):
        print("piece", flush=True)
        time.sleep(float(sys.argv[2]))
        return write(make, folder, cut)
    splits._write_piece = slowly
    dataset_folder.build_or_load(task, task.options(**OPTIONS), Path(sys.argv[1]))
"""


def building(prefix, seconds):
    """A process that builds, so many seconds a piece."""
    code = BUILD.replace("OPTIONS", repr(OPTIONS))
    command = [sys.executable, "-c", code, str(prefix), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_what_a_killed_process_left_is_cleared_away_by_the_next(tmp_path, small_pieces):
    process = building(tmp_path, 60)
    assert process.stdout.readline() == "piece\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path for path in (tmp_path / "datasets").iterdir() if ".partial-" in path.name]
    found = built(tmp_path)
    names = {path.name for path in (tmp_path / "datasets").iterdir()}
    assert names == {found.path.name, f".{found.path.name}.lock"}


@pytest.mark.slow
def test_of_two_processes_at_once_one_builds(tmp_path):
    both = [building(tmp_path, 0.5) for _ in range(2)]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(text.count("piece") for text in printed) == [0, 4]


# --- token ids


def test_mapped_ids_are_those_in_memory(data):
    sha256 = data.metadata["splits"]["train"]["sha256"]
    mapped = token_ids.mapped_ids(data.path, "train", sha256, VOCABULARY)
    own = token_ids.encode_rows("train", data.splits["train"], VOCABULARY)
    assert isinstance(mapped.ids_NT, np.memmap)
    for name in ("ids_NT", "prompt_len_N", "length_N"):
        assert getattr(mapped, name).dtype == np.uint8
        np.testing.assert_array_equal(getattr(mapped, name), getattr(own, name))
    assert (mapped.n_shared, mapped.longest_answer) == (own.n_shared, own.longest_answer)


@pytest.mark.parametrize("loss_on", ["answer", "all"])
@pytest.mark.parametrize("fixed_width", [True, False])
def test_batches_of_mapped_rows_are_those_of_rows_in_memory(loss_on, fixed_width, data):
    ids = token_ids.mapped_ids(data.path, "train", data.metadata["splits"]["train"]["sha256"], VOCABULARY)
    table = data.splits["train"]
    mapped, own = (TextRows("train", table, fixed_width, ids=found) for found in (ids, None))
    mapped.loss_on = own.loss_on = loss_on
    for rows in ([0], [999, 3, 3, 500], list(range(1000))):
        one, other = mapped.__getitems__(rows), own.__getitems__(rows)
        assert one.keys() == other.keys()
        assert torch.equal(one["input_ids"], other["input_ids"]) and torch.equal(one["labels"], other["labels"])
        if "known" in one:
            for name in ("order_B", "place_A", "label_A"):
                assert torch.equal(one["known"].pop(name), other["known"].pop(name))
            assert one["known"] == other["known"]


def test_ids_are_written_again_for_other_rows_tokens_or_files(data):
    place = data.path / "token_ids" / "train"
    sha256 = data.metadata["splits"]["train"]["sha256"]
    changed = []

    def look():
        token_ids.mapped_ids(data.path, "train", *asked)
        changed.append((place / "facts.json").stat().st_ino)

    asked = (sha256, VOCABULARY)
    look()
    look()
    assert changed[0] == changed[1]
    for asked in ((sha256, make_vocabulary("".join(VOCABULARY[3:]) + "!")), ("0" * 64, VOCABULARY)):
        look()
        assert json.loads((place / "facts.json").read_text())["sha256"] == asked[0]
    (place / "length_N").write_bytes(b"")
    assert len(token_ids.mapped_ids(data.path, "train", *asked).length_N) == 1000
    (place / "facts.json").write_text("{")
    assert len(token_ids.mapped_ids(data.path, "train", *asked).length_N) == 1000
    assert sorted(path.name for path in place.parent.iterdir()) == [".train.lock", "train"]


def test_a_folder_that_can_only_be_read_gives_no_mapped_ids(data, monkeypatch):
    monkeypatch.setattr(token_ids.os, "access", lambda *args: False)
    assert token_ids.mapped_ids(data.path, "train", "0" * 64, VOCABULARY) is None


def test_a_character_outside_the_vocabulary_is_named_with_its_row(data):
    vocabulary = make_vocabulary("".join(VOCABULARY[3:]).replace("7", ""))
    row = next(i for i, row in enumerate(data.splits["train"]) if "7" in row["prompt"] + row["answer"])
    with refusal(f"row {row}", "'7'"):
        token_ids.encode_rows("train", data.splits["train"].select(range(row, 1000)), vocabulary, row)
    with pytest.raises(UserError, match="holds the character"):
        token_ids.mapped_ids(data.path, "train", "0" * 64, vocabulary)
    assert not list((data.path / "token_ids").glob(".*partial*"))


def test_a_batch_reads_only_its_own_pages(tmp_path):
    """What several machines need that train from one folder: a process touches the rows of its batches alone."""
    path, page = tmp_path / "ids", os.sysconf("SC_PAGE_SIZE")
    n_rows = 100_000
    with path.open("wb") as file:
        file.truncate(n_rows * page)
    mapped = np.memmap(path, np.uint8, "c", shape=(n_rows, page))
    before = resident_kb(path)
    torch.from_numpy(mapped)[torch.arange(0, n_rows, n_rows // 10)].sum()
    assert 40 <= resident_kb(path) - before < n_rows * page / 1024 / 4  # ten pages, with what the kernel maps around


def resident_kb(path):
    """Memory of a mapped file that this process has touched."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    found = 0
    for line in lines:
        if line.endswith(str(path)):
            found += int(next(rest for rest in lines if rest.startswith("Rss:")).split()[1])
    return found


def test_rows_of_a_task_are_mapped_when_there_are_many(data):
    from transformers import Qwen2Config

    from trainers.text import build_text_model, rows_of

    config = Qwen2Config()
    many, few = (rows_of(data, split, config, False) for split in ("train", "test"))
    assert (many.length_N.dtype, few.length_N.dtype) == (torch.uint8, torch.int64)
    start_s = time.perf_counter()
    model = build_text_model(TASK.model_options(hidden_size=8, num_hidden_layers=1, num_attention_heads=1), data)
    assert model.config.max_position_embeddings % 32 == 0 and time.perf_counter() - start_s < 60
