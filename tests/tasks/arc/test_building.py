"""Grid models are built as asked for, or what does not go together is refused."""

import pytest

from tasks.arc.model import build_model
from tasks.arc.options import ArcModelOptions
from tests.helpers import refusal

from .model_helpers import LADDER, TINY, flags

REFUSED = [
    (flags("encoder_decoder", "2d", "table", "none") | {"hidden_size": 24}, "--hidden_size 6 4"),
    (flags("encoder_decoder", "1d", "table", "none") | {"hidden_size": 20}, "--hidden_size 5 2"),
    (flags("decoder_only", "1d", "table", "none") | {"hidden_size": 30}, "--hidden_size 7.5 2"),
    (flags("decoder_only", "2d", "table", "none"), "decoder_only --positions 2d"),
    (flags("decoder_only", "1d", "equivariant", "none"), "decoder_only --colours equivariant"),
    (flags("decoder_only", "1d", "table", "concat_mlp"), "decoder_only --bridge concat_mlp"),
    (flags("decoder_only", "1d", "table", "cross_attention"), "decoder_only --bridge cross_attention"),
    (
        flags("decoder_only", "2d", "equivariant", "cross_attention"),
        "--positions 2d --colours equivariant --bridge cross_attention",
    ),
    (flags("encoder_decoder", "2d", "table", "prompt"), "--bridge prompt --architecture decoder_only"),
]


@pytest.mark.parametrize(("options", "names"), REFUSED)
def test_flags_that_do_not_go_together_are_refused_in_one_sentence(options, names):
    with refusal(*names.split()) as caught:
        build_model(ArcModelOptions(**{**TINY, "num_attention_heads": 4, **options}), None)
    assert not str(caught.value).endswith(".")


@pytest.mark.parametrize("name", LADDER)
def test_every_step_of_the_ladder_can_be_built_and_is_what_was_asked_for(name):
    model = build_model(ArcModelOptions(**{**TINY, **LADDER[name]}), None)
    assert {flag: getattr(model.config, flag) for flag in LADDER[name]} == LADDER[name]
    assert {flag: getattr(model.config, flag) for flag in TINY} == TINY
