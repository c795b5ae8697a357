"""Does a map grow? Planted states: cities that stay, move, or are put into the map of the first ones."""

import json

import numpy as np
import pytest

from geo.cities import load_cities
from geo.sphere import unit_vectors
from tasks.geography import growth
from tasks.geography.growing import order_of_joining
from tasks.geography.growth import first_stage, growth_figure, main, read_checkpoints
from tests.helpers import assert_named, refusal, write_run
from trainers.folders.run_folder import RunFolder

N, FIRST = 120, 60
RNG = np.random.default_rng(0)
ONE, OTHER = RNG.normal(size=(3, 12)), RNG.normal(size=(3, 12))
NOISE = RNG.normal(size=(N, 12))


@pytest.fixture(scope="module")
def world():
    return load_cities(n_cities=N)


@pytest.fixture
def run(tmp_path, world, monkeypatch):
    """A run whose first stage ended at step 10, in the world of 120 cities."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_run(folder, ["--task", "distance", "--grow", f"{FIRST}:10"])
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "dataset_folder": str(tmp_path)}))
    monkeypatch.setattr(growth, "stored_cities", lambda path: world)
    return RunFolder(folder)


@pytest.fixture
def planted(run, world, monkeypatch):
    """Reads states of one block and one token, by step, that are linear in the places, without a model."""
    true_N3 = unit_vectors(world.lat_deg, world.lon_deg)
    is_first = np.isin(np.arange(N), order_of_joining(world)[:FIRST])[:, None]

    def read(**later):
        start = np.where(is_first, true_N3 @ ONE, NOISE)
        states = {10: start, 20: np.where(is_first, true_N3 @ later["first"], later["rest"](true_N3))}
        monkeypatch.setattr(growth, "_states", lambda run, stage: ((s, x[:, None, None]) for s, x in states.items()))
        return read_checkpoints(run, first_stage(run))[0]

    return read


def test_a_map_that_grows_goes_on_decoding_old_cities_and_takes_in_new_ones(planted):
    before, after = planted(first=ONE, rest=lambda true_N3: true_N3 @ ONE)
    assert [row["step"] for row in (before, after)] == [10, 20]
    assert before["first_kept_km"] < 50 and before["later_kept_km"] > 3_000
    assert max(after[f"{group}_{name}_km"] for group in ("first", "later") for name in ("kept", "anew")) < 50


def test_a_map_that_is_drawn_anew_is_found_by_a_new_map_only(planted):
    _, after = planted(first=OTHER, rest=lambda true_N3: true_N3 @ OTHER)
    assert after["first_anew_km"] < 50 and after["later_anew_km"] < 50
    assert after["first_kept_km"] > 2_000 and after["later_kept_km"] > 2_000


def test_new_cities_without_a_map_are_decoded_by_none(planted):
    _, after = planted(first=ONE, rest=lambda true_N3: NOISE)
    assert after["first_kept_km"] < 50 and min(after["later_kept_km"], after["later_anew_km"]) > 3_000


def test_the_figure_has_both_maps_of_both_groups(planted):
    labels = growth_figure(planted(first=ONE, rest=lambda true_N3: NOISE)).axes[0].get_legend_handles_labels()[1]
    assert len(labels) == 4 and {label.split(",")[0] for label in labels} == {"first cities", "later cities"}


def test_a_run_without_the_end_of_its_first_stage_is_refused(run, monkeypatch):
    monkeypatch.setattr(growth, "_states", lambda run, stage: iter({20: np.zeros((N, 1, 1, 12))}.items()))
    with refusal(str(run.path), "10", "--save_steps 10"):
        read_checkpoints(run, first_stage(run))


@pytest.mark.parametrize(("flags", "word"), [([], "--grow"), (["--grow", "2:10"], "3 or more")])
def test_a_world_that_did_not_grow_or_from_next_to_nothing_is_refused(flags, word, tmp_path, capfd):
    write_run(tmp_path, ["--task", "distance", *flags])
    assert main([str(tmp_path)]) == 2
    assert_named(capfd.readouterr().err, str(tmp_path), word)
