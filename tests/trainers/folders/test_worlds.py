"""Two worlds are combined only if the same name means the same thing in both."""

import json

import pytest

from tests.helpers import assert_one_line, refusal
from trainers import registry
from trainers.folders import dataset_folder
from trainers.folders.worlds import check_world

SIZES = {"n_train": 20, "n_val": 4, "n_test": 4, "n_cities": 12}
INVENTED = {**SIZES, "n_atlantis": 8}
WORLDS = {
    "real": ("distance", SIZES),
    "same, other pairs": ("distance", {**SIZES, "n_train": 30, "dataset_seed": 1}),
    "numbered anew": ("distance", {**SIZES, "world_seed": 7}),
    "larger": ("distance", {**SIZES, "n_cities": 13}),
    "one region": ("atlantis_inter", INVENTED),
    "two regions": ("atlantis_inter", {**INVENTED, "regions": "35,-35 -30,80"}),
    "another region": ("atlantis_inter", {**INVENTED, "regions": "-30,80"}),
    "another Atlantis": ("atlantis_inter", {**INVENTED, "atlantis_seed": 1}),
}
NESTED = ["real", "one region", "two regions"]
FITTING = {
    *((one, other) for one in NESTED for other in NESTED),
    *((one, one) for one in WORLDS),
    *((one, other) for one in ("same, other pairs", "real") for other in [*NESTED, "another region"]),
    *(("real", other) for other in ("same, other pairs", "another Atlantis")),
    *(("same, other pairs", other) for other in ("another Atlantis",)),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """World -> dataset of it."""
    folder = tmp_path_factory.mktemp("worlds")
    tasks = {name: registry.load(name) for name in ("distance", "atlantis_inter")}
    return {
        name: dataset_folder.build_or_load(tasks[task], tasks[task].options(**options), folder)
        for name, (task, options) in WORLDS.items()
    }


def model_of(data, folder):
    """A checkpoint's folder in the folder of a run on this dataset."""
    (folder / "checkpoint-1").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"task": data.metadata["task"]}))
    (folder / "settings.json").write_text(json.dumps({"dataset_folder": str(data.path)}))
    return folder / "checkpoint-1"


@pytest.mark.parametrize("base", WORLDS)
def test_a_model_goes_with_its_world_with_parts_of_it_and_with_what_holds_it(base, built, tmp_path):
    model = model_of(built[base], tmp_path / "run")
    for other, data in built.items():
        if (base, other) in FITTING or (other, base) in FITTING:
            check_world("--init_from", model, data)
        else:
            with refusal("--init_from", model, built[base].path, data.path):
                check_world("--init_from", model, data)


def test_what_cannot_be_known_is_said(built, tmp_path, capsys):
    check_world("--init_from", tmp_path, built["real"])
    assert capsys.readouterr().out == ""  # no run, and so no claim about a world
    model = model_of(built["real"], tmp_path / "run")
    (tmp_path / "run" / "settings.json").write_text(json.dumps({"dataset_folder": str(tmp_path / "gone")}))
    check_world("--init_from", model, built["real"])
    printed = capsys.readouterr().out
    assert printed.startswith("note: ") and str(model) in printed


def test_fine_tuning_on_another_world_is_refused(finished_run, tiny, datasets_once, capsys):
    from trainers.run import main

    argv = [*tiny, "--init_from", str(finished_run), "--dry_run"]
    assert main(argv) == 0
    capsys.readouterr()
    assert main([*argv, "--world_seed", "7"]) == 2
    assert_one_line(capsys.readouterr().err, "--init_from", finished_run)
