"""History models are built as asked for, or what does not fit is refused."""

from pathlib import Path

import pytest

from tasks.in_context_rl.compression import Schedule
from tasks.in_context_rl.model import build_model
from tasks.in_context_rl.options import HistoryModelOptions
from tests.helpers import refusal
from trainers.contract import StoredDataset

from .model_helpers import TINY

SMALL_ROOM = {"size": 3, "start": 4, "horizon": 20, "n_goals": 1, "once": False}

STORED = StoredDataset(Path(), {}, {"room": SMALL_ROOM})

WRONG = {
    "an odd head": ({"hidden_size": 12, "num_attention_heads": 4}, "--hidden_size 12 3"),
    "no whole head": ({"hidden_size": 10, "num_attention_heads": 4}, "--hidden_size 10 2.5"),
    "more heads than numbers": ({"hidden_size": 2, "num_attention_heads": 4}, "--hidden_size 2 0.5"),
    "nothing leaves": ({"window": 5, "keep": 5}, "--keep 5 --window"),
    "less than nothing leaves": ({"window": 5, "keep": 6}, "--keep 6 --window 5"),
    "deep weights for ad": (
        {"architecture": "ad", "depth_weights": "0:1,1:2"},
        "--depth_weights --architecture",
    ),
    "deep weights for dpt": (
        {"architecture": "dpt", "depth_weights": "0:1,1:2"},
        "--depth_weights --architecture dpt",
    ),
    "one deep weight for ad": (
        {"architecture": "ad", "depth_weights": "1:1"},
        "--depth_weights --architecture",
    ),
}

UNREADABLE = ["0:1,x", "0:1,1:0", "0:1,0:2", "-1:2", "0:1,-1:2", "0", "", "0:1,", "0:1:2", "0.5:1", "a:1", "0:b"]

UNREADABLE += ["0:1,1:-0.5", "0:nan"]


@pytest.mark.parametrize("case", WRONG)
def test_sizes_that_do_not_fit_are_refused(case):
    given, names = WRONG[case]
    with refusal(*names.split()):
        build_model(HistoryModelOptions(**{"architecture": "compressed_ad", **given}), STORED)


@pytest.mark.parametrize("architecture", ["ad", "compressed_ad", "dpt"])
@pytest.mark.parametrize("weights", UNREADABLE)
def test_depth_weights_that_say_nothing_are_refused(weights, architecture):
    with refusal("--depth_weights", repr(weights)):
        build_model(HistoryModelOptions(architecture=architecture, depth_weights=weights), STORED)


def test_by_default_only_a_model_that_compresses_is_trained_on_compressed_histories():
    plain, folding = (
        build_model(HistoryModelOptions(architecture=name), STORED).config.depths() for name in ("ad", "compressed_ad")
    )
    assert plain[0].tolist() == [0] and folding[0].tolist() == [0, 1, 2, 3]
    assert folding[1] == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("weights", ["0:0", "0:-1", "0:-1,1:-2"])
def test_depth_weights_that_are_nothing_or_less_are_refused(weights):
    with refusal("--depth_weights", repr(weights)):
        build_model(HistoryModelOptions(architecture="compressed_ad", depth_weights=weights), STORED)


@pytest.mark.parametrize("architecture, weights", [("ad", "0:3"), ("compressed_ad", "0:1,1:2,5:0.1")])
def test_what_fits_is_built_as_asked_for(architecture, weights):
    small = {key: TINY[key] for key in ("hidden_size", "num_attention_heads", "intermediate_size")}
    options = HistoryModelOptions(architecture=architecture, depth_weights=weights, window=7, keep=3, **small)
    model = build_model(options, STORED)
    assert model.config.size == 3 and model.schedule == Schedule(7, 3)
    assert {key: getattr(model.config, key) for key in vars(options)} == vars(options)
