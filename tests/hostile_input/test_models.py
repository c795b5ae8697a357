"""Whatever stands in a trained model's folder, it is never run, and the answer is one sentence and exit code 2."""

import contextlib
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .desk_helpers import DRY, VALUES, damaged, many, refused, told


class Evil:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def pickled(kind):
    import pickle

    import torch

    if kind == "plain":
        return pickle.dumps(Evil())
    whole = io.BytesIO()
    torch.save({"a": Evil()} if kind == "dict" else Evil(), whole, _use_new_zipfile_serialization=kind != "legacy")
    return whole.getvalue()


def started_from(desk):
    return ["--task", "location", "--init_from", str(desk.input), "--dataset", str(desk.datasets["location"]), *DRY]


def test_a_good_model_is_taken(desk):
    desk.copy(desk.run)
    assert told(desk, started_from(desk)) == ""


@pytest.mark.parametrize("kind", ["plain", "dict", "object", "legacy"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "model.bin"])
def test_a_pickle_is_never_run(name, kind, desk):
    folder = desk.copy(desk.run)
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickled(kind))
    refused(desk, started_from(desk))
    assert not (desk.folder / "executed").exists()


@pytest.mark.parametrize("kind", ["plain", "dict", "object", "legacy"])
def test_the_pickles_above_would_run_if_they_were_loaded(kind, tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.bin").write_bytes(pickled(kind))
    with contextlib.suppress(Exception):
        torch.load("evil.bin", weights_only=False)
    assert (tmp_path / "executed").exists()


@many(30)
@given(
    data=st.data(),
    name=st.sampled_from(["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"]),
)
def test_damaged_model_folders(data, name, desk):
    folder = desk.copy(desk.run)
    (folder / name).write_bytes(data.draw(damaged((desk.run / name).read_bytes())))
    told(desk, started_from(desk))


CONFIG_KEYS = [
    "model_type",
    "vocab_size",
    "max_position_embeddings",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "dtype",
    "num_key_value_heads",
    "intermediate_size",
    "layer_types",
    "rope_parameters",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "id2label",
    "architectures",
    "auto_map",
    "quantization_config",
    "tie_word_embeddings",
    "rms_norm_eps",
    "initializer_range",
    "use_cache",
    "transformers_version",
    "attention_dropout",
    "sliding_window",
    "_name_or_path",
    "attn_implementation",
    "torch_dtype",
]


@many(40)
@given(key=st.sampled_from(CONFIG_KEYS), value=VALUES)
def test_model_configs_with_any_value(key, value, desk):
    folder = desk.copy(desk.run)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, key: value}))
    told(desk, started_from(desk))


@many(20)
@given(
    content=VALUES
    | st.fixed_dictionaries({"model": VALUES})
    | st.fixed_dictionaries({"model": st.fixed_dictionaries({"vocab": VALUES})})
)
def test_tokenizers_of_any_content(content, desk):
    folder = desk.copy(desk.datasets["location"])
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(content))
    refused(desk, ["--task", "location", "--dataset", str(folder), *DRY])
    folder = desk.copy(desk.run)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    refused(desk, started_from(desk))
