"""What a task gives: the same demonstrations for all queries, nested draws, no output of a query; the control."""

import dataclasses

import numpy as np
import pytest

from tasks.arc.adapt.given import given_of, rows_of_tasks
from tasks.arc.adapt.options import AdaptOptions, contexts_of
from tests.tasks.arc.data_helpers import as_tuples
from trainers.errors import UserError


@pytest.fixture
def rows(make):
    return make("unseen_tasks")


def test_a_smaller_number_of_demonstrations_is_among_a_larger_one(rows):
    for task, own in rows_of_tasks(rows, "", None).items():
        draws = [as_tuples(given_of(rows, task, own, context).demonstrations) for context in (2, 3, 4)]
        assert [len(draw) for draw in draws] == [2, 3, 4]
        assert draws[0] == draws[1][:2] and draws[1] == draws[2][:3]


def test_demonstrations_are_those_that_the_dataset_shows_and_no_query(rows, stored):
    for task, own in rows_of_tasks(rows, "", None).items():
        known = {pair for name, _, shown in stored["unseen_tasks"] if name == task for pair in as_tuples(shown)}
        asked = {as_tuples([query])[0] for name, query, _ in stored["unseen_tasks"] if name == task}
        shown = as_tuples(given_of(rows, task, own, 16).demonstrations)
        assert set(shown) == known and len(shown) == len(known) and not known & asked


def test_another_seed_draws_other_demonstrations(rows, make):
    others = make("unseen_tasks", context_seed=1)
    tasks = rows_of_tasks(rows, "", None)
    drawn = [
        [as_tuples(given_of(of, task, own, 2).demonstrations) for task, own in tasks.items()] for of in (rows, others)
    ]
    assert drawn[0] != drawn[1]


def test_a_pair_that_is_asked_for_is_not_shown(rows, data, make):
    table = data.splits["unseen_tasks"]
    lines = table.to_list()
    lines[0]["input"], lines[0]["output"] = lines[1]["context_inputs"][0], lines[1]["context_outputs"][0]
    leaking = make("unseen_tasks", table=type(table).from_list(lines, features=table.features))
    task = str(leaking.tasks[0])
    shown = given_of(leaking, task, rows_of_tasks(leaking, task, None)[task], 16).demonstrations
    assert not any(np.array_equal(before, leaking.inputs.numpy(0)) for before, _ in shown)


def test_tasks_and_queries_are_chosen_by_name_and_number(rows):
    every = rows_of_tasks(rows, "", None)
    one = rows_of_tasks(rows, "b27ca6d3", 2)
    assert len(every) == 4 and sum(map(len, every.values())) == len(rows)
    assert one == {"b27ca6d3": every["b27ca6d3"][:2]}


def test_a_task_that_is_not_there_is_named(rows):
    with pytest.raises(UserError, match=r"no task 'b27ca6d4'.*Did you mean b27ca6d3"):
        rows_of_tasks(rows, "b27ca6d4", None)


def test_one_demonstration_is_too_few(rows, data, make):
    table = data.splits["unseen_tasks"]
    lines = [
        {**row, **{f"context_{part}": row[f"context_{part}"][:1] for part in ("inputs", "outputs")}}
        for row in table.to_list()[:1]
    ]
    few = make("unseen_tasks", table=type(table).from_list(lines, features=table.features))
    with pytest.raises(UserError, match=r"shows 1 demonstration .* --n_context 2"):
        given_of(few, str(few.tasks[0]), [0], 4)


def test_shuffled_outputs_are_all_that_the_control_changes(given):
    for seed in range(5):
        control = given.shuffled(seed)
        inputs, outputs = (as_tuples([[pair[part]] for pair in control.demonstrations]) for part in (0, 1))
        true = as_tuples([[after] for _, after in given.demonstrations])
        assert inputs == as_tuples([[before] for before, _ in given.demonstrations])
        assert sorted(outputs) == sorted(true) and all(one != other for one, other in zip(outputs, true, strict=True))
        assert dataclasses.replace(control, demonstrations=given.demonstrations) == given


@pytest.mark.parametrize("text", ["1", "4,x", "17", "", "2,,4", "4.5"])
def test_numbers_of_demonstrations_that_are_none(text):
    with pytest.raises(UserError, match="--adapt_contexts"):
        contexts_of(AdaptOptions(adapt_contexts=text))


def test_numbers_of_demonstrations_come_once_and_in_order():
    assert contexts_of(AdaptOptions(adapt_contexts="16, 2,4,2")) == [2, 4, 16]
