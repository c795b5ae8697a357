"""Any causal decoder of transformers: built by the sizes given, trained, evaluated and loaded like our own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.helpers import assert_one_line, refusal, results_of
from tokenization.characters import BOS_ID, EOS_ID, PAD_ID, VOCABULARY, ColumnEncoder
from trainers.folders.run_folder import RunFolder
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.models.generation import generate_answers
from trainers.models.other_decoders import size_of
from trainers.optim.muon import split_parameters
from trainers.probes.probe import extract_hidden_states
from trainers.run import main

SPECIAL_IDS = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
KINDS = ("qwen2", "llama", "gpt2", "mamba", "gpt_neox", "mistral", "bloom", "opt", "bert")


def decoder(kind, **sizes):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96, **sizes}
    return build_decoder(DecoderOptions(model_type=kind, **sizes), len(VOCABULARY), 64, SPECIAL_IDS).eval()


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    """With weights that make it say various things."""
    made = decoder(request.param, init_scale=0.3)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return made


def test_the_model_has_the_sizes_under_whatever_name(model):
    config = model.config
    assert (size_of(config, "hidden_size"), size_of(config, "num_hidden_layers")) == (32, 2)
    assert size_of(config, "num_attention_heads") == (None if config.model_type == "mamba" else 2)
    assert size_of(config, "intermediate_size") == (None if config.model_type == "bloom" else 96)
    ids_V = torch.arange(len(VOCABULARY))[None]
    assert model(input_ids=ids_V).logits.shape == (1, len(VOCABULARY), len(VOCABULARY))
    assert {weight.shape[0] for weight in (model.get_input_embeddings().weight,)} == {len(VOCABULARY)}


@given(st.lists(st.text("abc(),=0123", min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 6))
@settings(max_examples=6, deadline=None)
def test_right_padded_batches_answer_as_each_prompt_alone(model, prompts, batch_size):
    rows = ColumnEncoder().encode(prompts, ["12,34"] * len(prompts))
    together = generate_answers(model, rows.ids_NT, rows.prompt_len_N, 5, batch_size)
    ids_NT = torch.from_numpy(rows.ids_NT.astype(np.int64))
    for row, length in enumerate(rows.prompt_len_N):
        alone = ids_NT[row : row + 1, :length]
        with torch.no_grad():
            padded, logits = model(input_ids=ids_NT).logits[row, :length], model(input_ids=alone).logits[0]
            assert torch.allclose(padded, logits, atol=1e-3)
            for place in range(5):  # no cache, no padding: the likeliest token after the other
                best = model(input_ids=alone).logits[0, -1].topk(2)
                if best.values[0] - best.values[1] < 1e-3:
                    break  # a tie within rounding
                assert together[row, place] == best.indices[0]
                if best.indices[0] == EOS_ID:
                    break
                alone = torch.cat([alone, best.indices[None, :1]], dim=1)


def test_probes_and_muon_find_their_parts(model):
    states = extract_hidden_states(model, ["loc(c_1)=", "loc(c_22)="], [0, 1, 2], 2)
    assert states.shape == (2, 3, 2, 32) and np.isfinite(states).all()
    hidden, _ = split_parameters(model)
    assert len(hidden) >= 4 * 2 and all(weight.ndim == 2 for weight in hidden)


@pytest.mark.parametrize("kind", ["gpt2", pytest.param("mamba", marks=pytest.mark.slow)])
def test_a_run_of_another_architecture_trains_evaluates_resumes_and_starts_others(kind, prefix, tiny, capsys):
    argv = [*tiny, "--model_type", kind]
    argv = argv[: argv.index("--num_attention_heads")] + argv[argv.index("--num_attention_heads") + 2 :]
    assert main([*argv, "--output_dir", str(prefix / "one")]) == 0
    out = capsys.readouterr().out
    assert "training pass: transformers' own" in out and ("num_attention_heads" in out) == (kind == "mamba")
    run = RunFolder(prefix / "one")
    assert run.settings["model"]["num_attention_heads"] == (None if kind == "mamba" else 4)
    loaded = AutoModelForCausalLM.from_pretrained(run.path)
    assert loaded.config.model_type == kind and loaded.config.hidden_size == 16
    more = ["--output_dir", str(prefix / "one"), "--resume_from_checkpoint", "last", "--max_steps", "6"]
    assert main(more) == 0
    assert main([*argv, "--init_from", str(prefix / "one"), "--output_dir", str(prefix / "two")]) == 0
    assert results_of(prefix / "two")["steps"] == 4


@pytest.mark.parametrize("kind, named", [("qwen", "qwen2"), ("t5", "mamba"), ("bart", "encoder"), ("xlnet", "causal")])
def test_what_cannot_be_built_is_refused_with_what_can(kind, named):
    with refusal("--model_type", kind, named, "llama"):
        decoder(kind)


def test_sizes_that_an_architecture_does_not_take_are_refused_where_they_are_typed(prefix, tiny, capsys):
    assert main([*tiny, "--model_type", "mamba"]) == 2
    assert_one_line(capsys.readouterr().err, "--num_attention_heads", "mamba")
    assert not (prefix / "runs").exists()
