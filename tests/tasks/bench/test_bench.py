"""The bench: its arithmetic, its processes, and that contenders do the same work."""

import importlib
import inspect
from pathlib import Path

import pytest

from tasks.bench import building, generating, tokenising, training
from tasks.bench.__main__ import _chosen, check, main, ratios, table
from tasks.bench.contests import CONTESTS, Contest
from tasks.bench.race import Turn, race
from tests.helpers import assert_one_line, refusal
from trainers.errors import UserError

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


BUILDERS = {"ours": ("building:ours", {}), "other": ("building:row_by_row", {})}


def measured(seconds: float, units: float = 10, value: float = 1.0) -> Turn:
    return Turn(seconds=seconds, units=units, check=[value])


FOUND = {"ours": [measured(1), measured(2), measured(1)], "other": [measured(3), measured(2), measured(40, units=100)]}
CONTEST = Contest("a", BUILDERS, "rows", targets={"other": 2.5}, tolerance=0.01)


def test_ratios_are_of_one_round_and_of_equal_work():
    found = ratios(FOUND)
    assert found["ours"] == [1, 1, 1] and found["other"] == pytest.approx([3, 1, 4])


def test_the_table_says_what_was_reached():
    line = table(CONTEST, FOUND).splitlines()[2]
    assert line.split() == ["other", "3", "1.00", "3.00", "4.00", "2.5", "reached"]
    missed = Contest("a", BUILDERS, "rows", targets={"other": 3.5})
    assert "NOT reached" in table(missed, FOUND)


def test_unequal_work_is_not_compared():
    check(CONTEST, {"ours": [measured(1)], "other": [measured(1, value=1.009)]})
    with refusal(CONTEST.name, "ours", "other", 1.02):
        check(CONTEST, {"ours": [measured(1)], "other": [measured(1, value=1.02)]})


def test_every_contender_is_there_and_the_first_one_is_no_target():
    for contest in CONTESTS:
        for path, options in contest.contenders.values():
            module, _, function = path.partition(":")
            make = getattr(importlib.import_module(f"tasks.bench.{module}"), function)
            inspect.signature(make).bind(**contest.options, **options)
        assert next(iter(contest.contenders)) not in contest.targets


def test_names_of_contests_are_checked(prefix, capsys):
    assert [c.name for c in _chosen("building, location_64")] == ["building", "location_64"]
    assert main(["--only", "locatoin_64"]) == 2
    assert_one_line(capsys.readouterr().err, "locatoin_64", "location_64")


@pytest.mark.slow
def test_processes_take_turns_and_agree(prefix, tmp_path):
    contest = Contest("tiny", BUILDERS, "rows")
    turns = race(contest, ["ours", "other"], {"rows": 4_000, "threads": 1}, 2, tmp_path)
    assert {name: len(own) for name, own in turns.items()} == {"ours": 2, "other": 2}
    assert turns["ours"][0].units == 4_000 and turns["other"][0].units == building.ONE_BY_ONE
    check(contest, turns)


def test_a_growing_dataset_has_its_cost_noted(prefix):
    turn = building.growing(2_000, 5_075)()
    assert turn["seconds"] > 0 and turn["units"] == 2_000
    assert list(turn["notes"]) == ["real_s", "MB_above_imports"] and turn["notes"]["MB_above_imports"] >= 0
    assert not list(prefix.iterdir())


def test_a_contender_that_fails_is_named_with_its_last_words(prefix, tmp_path: Path):
    contest = Contest("tiny", BUILDERS, "rows")
    with pytest.raises(UserError, match=r"(?s)contender ours failed.*'rows'"):
        race(contest, ["ours"], {"threads": 1}, 1, tmp_path)


@pytest.mark.filterwarnings("ignore:'pin_memory'")  # the stock Trainer's own
@pytest.mark.parametrize("task", ["location", "random_walk"])
def test_the_same_steps_give_the_same_loss(task, prefix, monkeypatch):
    options = {"task": task, "batch_size": 8, "steps": 5, **SIZES}
    monkeypatch.setattr("tasks.geography.random_walk.RandomWalkOptions.n_train", 500)
    results = {make: make(**options)() for make in (training.ours, training.stock_trainer, training.bare_loop)}
    losses = [found["check"][0] for found in results.values()]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4) and 1 < losses[0] < 3.75  # it has learnt something
    assert {found["units"] for found in results.values()} == {40}
    assert all(found["seconds"] > 0 for found in results.values())


def test_contenders_give_the_same_tokens(prefix):
    assert generating.ours(**SIZES)()["check"] == generating.stock(512, **SIZES)()["check"]


def test_contenders_give_the_same_ids(prefix):
    results = [make(6_000)() for make in (tokenising.ours, tokenising.one_by_one, tokenising.batched)]
    assert results[0]["check"] == results[1]["check"] == results[2]["check"]
    assert [result["units"] for result in results] == [6_000, tokenising.ONE_BY_ONE, 6_000]
