"""One tiny model, tasks of a few pairs, and the rows that write their examples."""

import dataclasses

import numpy as np
import pytest
import torch

from tasks.arc.adapt.given import Given
from tasks.arc.adapt.options import AdaptOptions
from tests.tasks.arc.model_helpers import build


@pytest.fixture
def options():
    """Few steps; `replace` gives others."""
    return AdaptOptions(adapt_steps=2, adapt_batch_size=4, adapt_borders=0, adapt_processes=1)


@pytest.fixture
def plain():
    """No autocast."""
    return torch.autocast("cpu", torch.bfloat16, enabled=False)


@pytest.fixture
def tiny():
    return build("cross_attention")


@pytest.fixture
def given(stored):
    """A task whose pairs tell each other apart under every turn and exchange of colours."""
    pairs = [(before, after) for task, (before, after), _ in stored["train"] if task == "05269061"]
    return Given("05269061", 4, pairs[:4], [before for before, _ in pairs[4:]])


@pytest.fixture
def with_outputs(data, make):
    """Rows of the unseen tasks with every output of a query replaced."""

    def build_rows(new):
        table = data.splits["unseen_tasks"]
        changed = [{**row, "output": new(np.array(row["output"])).tolist()} for row in table.to_list()]
        return make("unseen_tasks", table=type(table).from_list(changed, features=table.features))

    return build_rows


def with_steps(options, steps, **others):
    return dataclasses.replace(options, adapt_steps=steps, **others)
