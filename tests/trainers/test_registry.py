"""Tasks by name: a task elsewhere that is a `replace` of one here, and what is wrong with a declaration."""

import sys
from pathlib import Path

import pytest

from tests.helpers import refusal
from trainers import registry
from trainers.settings.request import read_request

DERIVED = """
from dataclasses import replace
from tasks.geography.location import TASK as LOCATION

TASK = replace(LOCATION, summary="Give the coordinates of a city.", {changes})
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A package elsewhere, and a way to write a task in it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text, card=None):
        folder = tmp_path / "my_lab" / name
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        (folder / "__init__.py").write_text(text)
        if card is not None:
            (folder / "card.md").write_text(card)
        return f"my_lab.{name}"

    yield write
    for name in [name for name in sys.modules if name.startswith("my_lab")]:
        del sys.modules[name]


def test_a_task_here_has_no_base_and_its_own_card():
    task = registry.load("location")
    assert (task.name, task.base, task.package) == ("location", "", "tasks.geography.location")
    assert task.card == Path("tasks/geography/location/card.md").read_text(encoding="utf-8")


def test_a_derived_task_inherits_parts_card_and_recipe(lab):
    derived, base = registry.load(lab("location2", DERIVED.format(changes=""))), registry.load("location")
    assert (derived.name, derived.base, derived.package) == ("location2", "location", "my_lab.location2")
    assert derived.card == base.card and derived.load("trainer") is base.load("trainer")
    by_default = read_request(["--task", "my_lab.location2"], registry.load)
    by_name = read_request(["--task", "my_lab.location2", "--config", "location"], registry.load)
    assert by_default.layers["configs/location.yaml"] == by_name.layers["configs/location.yaml"]
    with refusal("my_lab.location2"):
        read_request(["--task", "my_lab.location2", "--config", "distance"], registry.load)


def test_a_card_of_its_own_wins(lab):
    assert registry.load(lab("location2", DERIVED.format(changes=""), card="Mine.")).card == "Mine."


def test_a_tag_of_a_derived_run_leads_back_to_its_task(lab):
    from types import SimpleNamespace

    from trainers.tracking.queries import task_of

    name = lab("location2", DERIVED.format(changes=""))
    run = SimpleNamespace(data=SimpleNamespace(tags={"task": "location2", "package": name}))
    assert task_of(run) == registry.load(name)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("part", ["build_dataset", "build_model", "metric", "trainer"])
@pytest.mark.parametrize("wrong", ["", "data", "data:", "data.build", "a b:c"])
def test_a_part_that_is_not_written_as_module_and_attribute_is_refused(part, wrong, lab):
    with refusal(f"TASK.{part}"):
        registry.load(lab("wrong", DERIVED.format(changes=f"{part}={wrong!r}")))


@pytest.mark.parametrize("wrong", ["my_lab.nothing:build", "tasks.geography.location.data:nothing"])
def test_a_part_that_is_not_there_is_named(wrong, lab):
    task = registry.load(lab("wrong", DERIVED.format(changes=f"build_dataset={wrong!r}")))
    with refusal("TASK.build_dataset"):
        task.load("build_dataset")


def test_a_task_without_a_card_is_refused(lab):
    text = DERIVED.format(changes="package=__name__")
    with refusal("card.md"):
        registry.load(lab("bare", text))
