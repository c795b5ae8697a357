"""Whatever stands in a folder of ARC tasks, the answer is one sentence and exit code 2."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .desk_helpers import ANY_JSON, DRY, VALUES, as_bytes, many, told

GRIDS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=4)
)

BAD_GRIDS = st.one_of(
    VALUES,
    st.lists(st.lists(st.integers(-1, 11) | VALUES, max_size=3), max_size=3),
    st.sampled_from(
        [[[1, 2], [3]], [[10]], [[-1]], [[1.0]], [["1"]], [[True]], [[None]], [[]], [], [[[1]]], [[10**30]], [[2**63]]]
    ),
    st.integers(31, 40).map(lambda side: [[0] * side] * side),
    st.integers(2, 990).map(lambda depth: nested(depth)),
)


def nested(depth):
    grid = 1
    for _ in range(depth):
        grid = [grid]
    return grid


def pairs(grids):
    return st.fixed_dictionaries({"input": grids, "output": grids})


GOOD_TASKS = st.fixed_dictionaries(
    {"train": st.lists(pairs(GRIDS), min_size=3, max_size=4), "test": st.lists(pairs(GRIDS), min_size=1, max_size=2)}
)

BAD_TASKS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"train": VALUES, "test": VALUES}),
    st.fixed_dictionaries(
        {"train": st.lists(pairs(GRIDS), max_size=3), "test": st.lists(VALUES, min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries({"train": st.lists(pairs(BAD_GRIDS), min_size=1, max_size=2), "test": st.just([])}),
    st.fixed_dictionaries(
        {
            "train": st.lists(pairs(GRIDS), min_size=3, max_size=3),
            "test": st.lists(pairs(BAD_GRIDS), min_size=1, max_size=2),
        }
    ),
).map(lambda content: as_bytes(json.dumps(content, ensure_ascii=False)))


def arc(desk):
    return [
        "--task",
        "arc",
        "--train_source",
        desk.input.as_posix(),
        "--unseen_source",
        "none",
        "--max_side",
        "10",
        *DRY,
    ]


@many(60)
@given(content=BAD_TASKS | ANY_JSON)
def test_bad_arc_tasks(content, desk):
    desk.put("0a.json", content)
    told(desk, arc(desk))


@many(5)
@given(content=GOOD_TASKS)
def test_good_arc_tasks_are_taken(content, desk):
    desk.put("0a.json", json.dumps(content))
    assert told(desk, arc(desk)) == ""


@pytest.mark.parametrize("name", ["\udcff.json", "a\n.json", ",.json", "'.json", " .json"], ids=ascii)
def test_arc_tasks_with_strange_names(name, desk):
    pair = {"input": [[1]], "output": [[2]]}
    desk.put("0a.json", json.dumps({"train": [pair] * 3, "test": [pair]}))
    os.rename(desk.input / "0a.json", os.fsencode(desk.input) + b"/" + os.fsencode(name))
    told(desk, arc(desk))
