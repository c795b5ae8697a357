"""Whatever stands in a dataset's folder, the answer is one sentence and exit code 2."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .desk_helpers import ANY_JSON, DRY, TASKS, VALUES, damaged, many, refused, told


@pytest.mark.parametrize("task", TASKS)
def test_a_good_dataset_is_taken(task, desk):
    assert told(desk, ["--task", task, "--dataset", str(desk.copy(desk.datasets[task])), *DRY]) == ""


def places_in(content, path=()):
    """Every key of a nested mapping, as a path."""
    for key, value in content.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places_in(value, (*path, key))


@many(70)
@given(data=st.data(), task=st.sampled_from(TASKS), gone=st.booleans())
def test_metadata_without_a_key_or_with_any_value(data, task, gone, desk):
    content = json.loads((desk.datasets[task] / "metadata.json").read_text())
    path = data.draw(st.sampled_from(list(places_in(content))))
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    if gone:
        del holder[path[-1]]
    else:
        holder[path[-1]] = data.draw(VALUES)
    folder = desk.copy(desk.datasets[task])
    (folder / "metadata.json").write_text(json.dumps(content))
    told(desk, ["--task", task, "--dataset", str(folder), *DRY])


@many(20)
@given(content=VALUES.map(json.dumps).map(str.encode) | ANY_JSON, task=st.sampled_from(TASKS))
def test_metadata_of_any_content(content, task, desk):
    folder = desk.copy(desk.datasets[task])
    (folder / "metadata.json").write_bytes(content)
    refused(desk, ["--task", task, "--dataset", str(folder), *DRY])


@many(50)
@given(data=st.data(), task=st.sampled_from(TASKS))
def test_dataset_folders_with_a_file_damaged_or_gone(data, task, desk):
    folder = desk.copy(desk.datasets[task])
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("README.md",))
    path = data.draw(st.sampled_from(files))
    if data.draw(st.booleans()):
        path.unlink()
    elif path.suffix == ".arrow":
        path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, path.stat().st_size - 1))])
    else:
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    told(desk, ["--task", task, "--dataset", str(folder), *DRY])


@pytest.mark.parametrize("task", TASKS)
def test_a_dataset_without_a_split(task, desk):
    for split in ("train", "validation"):
        folder = desk.copy(desk.datasets[task])
        shutil.rmtree(folder / split, ignore_errors=True)
        (folder / split).write_text("a file")
        if split in json.loads((folder / "metadata.json").read_text())["splits"]:
            refused(desk, ["--task", task, "--dataset", str(folder), *DRY])
