"""Grid models are built as asked for, or what does not go together is refused."""

import pytest

from tasks.arc.building import build_model
from tasks.arc.options import ArcModelOptions
from trainers.errors import UserError

from .model_helpers import LADDER, TINY, flags

REFUSED = [
    (flags("encoder_decoder", "2d", "table", "none") | {"hidden_size": 24}, "heads of size 6; .* multiple of 4"),
    (flags("encoder_decoder", "1d", "table", "none") | {"hidden_size": 20}, "heads of size 5; .* multiple of 2"),
    (flags("decoder_only", "1d", "table", "none") | {"hidden_size": 30}, "heads of size 7.5; .* multiple of 2"),
    (flags("decoder_only", "2d", "table", "none"), "does not go with --positions 2d: "),
    (flags("decoder_only", "1d", "equivariant", "none"), "does not go with --colours equivariant: "),
    (flags("decoder_only", "1d", "table", "concat_mlp"), "does not go with --bridge concat_mlp: "),
    (flags("decoder_only", "1d", "table", "cross_attention"), "does not go with --bridge cross_attention: "),
    (
        flags("decoder_only", "2d", "equivariant", "cross_attention"),
        "--positions 2d and --colours equivariant and --bridge cross_attention: ",
    ),
    (flags("encoder_decoder", "2d", "table", "prompt"), "prompt is for --architecture decoder_only; choose"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_flags_that_do_not_go_together_are_refused_in_one_sentence(options, message):
    with pytest.raises(UserError, match=message) as caught:
        build_model(ArcModelOptions(**{**TINY, "num_attention_heads": 4, **options}), None)
    assert "\n" not in str(caught.value) and not str(caught.value).endswith(".")


@pytest.mark.parametrize("name", LADDER)
def test_every_step_of_the_ladder_can_be_built_and_is_what_was_asked_for(name):
    model = build_model(ArcModelOptions(**{**TINY, **LADDER[name]}), None)
    assert {flag: getattr(model.config, flag) for flag in LADDER[name]} == LADDER[name]
    assert {flag: getattr(model.config, flag) for flag in TINY} == TINY
