"""Dataset folders that are damaged or of something else, and disks that are full."""

import errno
import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from trainers import run

from .desk_helpers import cases, check, edit_json

PREPARED, case = cases()


def replace_rows(folder, change):
    """Put changed rows in the place of the split `train`, as if they had been written so."""
    from datasets import load_from_disk

    from trainers.folders.splits import digest

    rows = change(load_from_disk(str(folder / "train")))
    rows.save_to_disk(str(folder / "other"))
    shutil.rmtree(folder / "train")
    (folder / "other").rename(folder / "train")
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits=splits | {"train": {"rows": len(rows), "sha256": digest(rows)}})


@case("data distance location --task --dataset")
def dataset_of_another_task(desk):
    edit_json(desk.dataset() / "metadata.json", task="distance")
    return desk.with_dataset()


@case("FSDP darkroom")
def fsdp_for_a_model_that_cannot(desk):
    desk.monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    return shlex.split("--task darkroom --n_streams 1 --no_muon --use_cpu --threads 1")


@case("data")
def dataset_with_damaged_rows(desk):
    rows = next((desk.dataset() / "train").glob("*.arrow"))
    rows.write_bytes(rows.read_bytes()[:200])
    return desk.with_dataset()


@case("data train")
def dataset_with_a_flipped_digit(desk):
    rows = next((desk.dataset() / "train").glob("*.arrow"))
    content = rows.read_bytes()
    assert content.count(b"loc(c_3)=") == 1
    rows.write_bytes(content.replace(b"loc(c_3)=", b"loc(c_7)="))
    return desk.with_dataset()


@case("data")
def dataset_without_a_split(desk):
    shutil.rmtree(desk.dataset() / "memorisation")
    return desk.with_dataset()


@case("train 39 metadata.json 40")
def dataset_with_a_row_less(desk):
    folder = desk.dataset()
    replace_rows(folder, lambda rows: rows.select(range(39)))
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits=splits | {"train": {"rows": 40, "sha256": ""}})
    return desk.with_dataset()


@case("data train memorisation")
def dataset_without_train(desk):
    folder = desk.dataset()
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits={"memorisation": splits["memorisation"]})
    return desk.with_dataset()


@case("data")
def dataset_without_rows(desk):
    replace_rows(desk.dataset(), lambda rows: rows.select([]))
    return desk.with_dataset()


@case("data metadata.json")
def dataset_without_metadata(desk):
    (desk.dataset() / "metadata.json").unlink()
    return desk.with_dataset()


@case("data metadata.json")
def dataset_with_damaged_metadata(desk):
    edit_json(desk.dataset() / "metadata.json", splits=["train"])
    return desk.with_dataset()


@case("data/tokenizer 2")
def dataset_with_another_tokenizer(desk):
    edit_json(desk.dataset() / "tokenizer" / "tokenizer.json", model={"vocab": {"a": 0, "b": 1}})
    return desk.with_dataset()


@case("data/tokenizer")
def dataset_with_a_damaged_tokenizer(desk):
    (desk.dataset() / "tokenizer" / "tokenizer.json").write_text("{")
    return desk.with_dataset()


@case("train 0 É")
def dataset_with_another_alphabet(desk):
    replace_rows(desk.dataset(), lambda rows: rows.map(lambda row: {"answer": "É" + row["answer"]}))
    return desk.with_dataset()


@case("train answer prompt city_id")
def dataset_without_answers(desk):
    replace_rows(desk.dataset(), lambda rows: rows.remove_columns("answer"))
    return desk.with_dataset()


@case("train int64 prompt")
def dataset_with_numbers_for_text(desk):
    replace_rows(desk.dataset(), lambda rows: rows.remove_columns("prompt").rename_column("city_id", "prompt"))
    return desk.with_dataset()


@case("train 1 answer")
def dataset_with_an_answer_missing(desk):
    def forget(rows):
        answers = [None, *rows["answer"][1:]]
        return rows.remove_columns("answer").add_column("answer", answers)

    replace_rows(desk.dataset(), forget)
    return desk.with_dataset()


@case("data train evaluate")
def dataset_of_train_alone(desk):
    folder = desk.dataset()
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits={"train": splits["train"]})
    return desk.with_dataset()


@case("--early_stopping_patience")
def dataset_without_a_split_that_is_evaluated_in_training(desk):
    folder = desk.dataset()
    metadata = json.loads((folder / "metadata.json").read_text())
    splits = {"train": metadata["splits"]["train"], "test": metadata["splits"]["memorisation"]}
    baselines = {"test": metadata["baselines"]["memorisation"]}
    (folder / "memorisation").rename(folder / "test")
    edit_json(folder / "metadata.json", splits=splits, baselines=baselines)
    return [*desk.with_dataset(), "--early_stopping_patience", "2"]


@case("No space left on device")
def disk_full_while_rows_are_written(desk):
    import datasets

    def save(self, path, **kwargs):
        Path(path).mkdir(parents=True)
        (Path(path) / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    desk.monkeypatch.setattr(datasets.Dataset, "save_to_disk", save)
    return desk.tiny


@case("No space left on device")
def disk_full_while_metadata_is_written(desk):
    def write(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    desk.monkeypatch.setattr("trainers.folders.dataset_folder.write_json", write)
    return desk.tiny


@pytest.mark.parametrize("prepare, names", PREPARED)
def test_what_is_broken(prepare, names, desk, capsys):
    check(run.main, prepare(desk), names, desk, capsys)
