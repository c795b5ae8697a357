"""Which run it is follows from its settings, not from how they are written."""

import pytest

from trainers import registry
from trainers.settings.identity import differing_settings, identity_of
from trainers.settings.request import read_request

ARGV = ["--task", "location", "--learning_rate", "1e-3", "--n_cities", "40", "--muon"]


def identity(*argv):
    return identity_of(read_request(argv, registry.load))


@pytest.mark.parametrize(
    "argv",
    [
        ["--muon", "--n-cities=40", "--learning_rate=0.001", "--task=location"],
        [*ARGV, "--config", "location"],
        [*ARGV, "--seed", "42", "--weight_decay", "0.0", "--hidden_size", "64"],
        [*ARGV, "--output_dir", "elsewhere", "--run_name", "x", "--overwrite", "--dry_run"],
    ],
)
def test_the_same_settings_written_otherwise_are_the_same_run(argv):
    assert identity(*argv) == identity(*ARGV)


@pytest.mark.parametrize(
    "more, name",
    [
        (["--seed", "7"], "seed"),
        (["--hidden_size", "32"], "hidden_size"),
        (["--n_cities", "41"], "n_cities"),
        (["--no_muon"], "muon"),
        (["--loss_on", "all"], "loss_on"),
        (["--model_type", "gpt2"], "model_type"),
    ],
)
def test_another_setting_is_another_run_and_is_named(more, name):
    stored = {"resolved": identity(*ARGV)}
    assert differing_settings(read_request([*ARGV, *more], registry.load), stored) == [name]
    assert differing_settings(read_request(ARGV, registry.load), stored) == []


def test_threads_that_nobody_asks_for_are_the_machines_choice():
    stored = {"resolved": identity(*ARGV, "--threads", "1")}
    assert differing_settings(read_request(ARGV, registry.load), stored) == []
    asked = read_request([*ARGV, "--threads", "2"], registry.load)
    assert differing_settings(asked, stored) == ["threads"]


def test_a_setting_that_is_new_since_the_run_differs_only_if_it_is_given():
    stored = identity(*ARGV)
    del stored["l2_to_start"]
    assert differing_settings(read_request(ARGV, registry.load), {"resolved": stored}) == []
    given = read_request([*ARGV, "--l2_to_start", "7"], registry.load)
    assert differing_settings(given, {"resolved": stored}) == ["l2_to_start"]


def test_settings_of_an_earlier_version_are_compared_as_given():
    request = read_request(ARGV, registry.load)
    old = {"given": {name: {"value": value, "from": source} for name, (value, source) in request.sources.items()}}
    old["given"]["output_dir"] = {"value": "elsewhere", "from": "command line"}
    assert differing_settings(request, old) == []
    old["given"]["n_cities"]["value"] = "41"
    assert differing_settings(request, old) == ["n_cities"]


def test_a_run_of_another_machine_is_the_same_run_unless_its_precision_was_asked_for(monkeypatch):
    stored = {}
    for has_units in (True, False):
        monkeypatch.setattr("trainers.settings.precision.has_bfloat16_units", lambda on_cpu, has=has_units: has)
        stored[has_units] = {"resolved": identity_of(read_request(ARGV, registry.load))}
    for settings in stored.values():
        assert differing_settings(read_request(ARGV, registry.load), settings) == []
    asked = read_request([*ARGV, "--precision", "float32"], registry.load)
    assert "precision" in differing_settings(asked, stored[True]) and differing_settings(asked, stored[False]) == []
