"""Training and reading runs from Python: the same as by the commands."""

import shutil

import numpy as np
import pytest

from tests.conftest import TINY
from tests.helpers import same, weights
from trainers.api import load_run, prepare
from trainers.errors import UserError


@pytest.fixture(scope="module")
def settings():
    """The flags of `TINY` as keyword arguments."""
    words = [word for word in TINY if word != "--use_cpu"]
    given = dict(zip(words[::2], words[1::2], strict=True))
    return {name.removeprefix("--"): value for name, value in given.items() if name != "--task"} | {"use_cpu": True}


def test_a_run_by_keyword_arguments_is_the_one_by_flags(settings, finished_run, prefix):
    prepared = prepare("location", **settings, output_dir=str(prefix / "runs" / "by-python"))
    assert len(prepared.data.splits["train"]) == 40 and prepared.model is prepared.trainer.unwrapped_model
    run = prepared.train()
    with pytest.raises(UserError, match="trained already"):
        prepared.train()
    assert same(weights(run.folder.path), weights(finished_run))
    timeless = {name: value for name, value in run.results.items() if not name.endswith("_s")}
    assert timeless.items() <= load_run(finished_run).results.items()


def test_scores_predictions_and_curves_tell_the_same(finished_run):
    run = load_run(finished_run)
    scores = run.evaluate()["memorisation"]
    name = "final_memorisation_haversine_km_mean"
    assert (
        scores.metrics["haversine_km_mean"]
        == run.results[name]
        == run.predictions("memorisation")["haversine_km_mean"].mean()
    )
    assert scores.intervals["haversine_km_mean"][0] <= run.results[name]
    curves = run.curves()
    assert curves.index.tolist() == [0, 1, 2, 3, 4]
    assert np.isfinite(curves["eval_memorisation_haversine_km_mean"].dropna()).sum() == 3
    early = run.evaluate(checkpoint=0, split="memorisation")["memorisation"]
    assert early.metrics["loss"] == curves["eval_memorisation_loss"][0]


def test_prompts_are_answered_as_they_were_in_the_evaluation(finished_run):
    run = load_run(finished_run)
    kept = run.predictions("memorisation").head(5)
    answers = run.predict(kept["prompt"].tolist())
    assert answers["prompt"].tolist() == kept["prompt"].tolist()
    assert all(a.startswith(b) for a, b in zip(answers["answer"], kept["predicted"], strict=True))


def test_a_probe_is_fitted_to_every_checkpoint(finished_run, tmp_path):
    found = load_run(shutil.copytree(finished_run, tmp_path / "run")).probe(probe_seed=3)
    assert list(found) == [0, 2, 4] and all("r2_lat" in result.metrics for result in found.values())


def test_another_dataset_is_built_by_its_options(finished_run):
    scores = load_run(finished_run).evaluate(n_cities=20)["memorisation"]
    assert len(scores.evaluation.predictions["examples"].columns["prompt"]) == 20


@pytest.mark.parametrize(
    "wrong",
    [
        lambda run: run.evaluate("all"),
        lambda run: run.evaluate(split="tset"),
        lambda run: run.evaluate(n_citys=3),
        lambda run: run.evaluate(n_cities="many"),
        lambda run: run.predict([]),
        lambda run: run.predictions("no"),
    ],
)
def test_mistakes_are_user_errors(finished_run, wrong):
    with pytest.raises(UserError):
        wrong(load_run(finished_run))


def test_a_dry_run_is_not_trained(settings, prefix):
    with pytest.raises(UserError, match="dry_run"):
        prepare("location", **settings, dry_run=True).train()


def test_an_unknown_setting_and_a_folder_without_a_run_are_refused(prefix):
    with pytest.raises(UserError, match="n_citys"):
        prepare("location", n_citys=3)
    with pytest.raises(UserError, match="not a folder of a run"):
        load_run(prefix)
