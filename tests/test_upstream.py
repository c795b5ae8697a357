"""What the project expects of private or fragile parts of its libraries: one assertion for each use.

Run this first after raising transformers, accelerate, mlflow, optuna or datasets: what fails is the list of places to
look at. The uses lie in trainers/runs/upstream.py, or where the test's name says.
"""

import argparse
import dataclasses
import inspect
from pathlib import Path

import datasets
import mlflow
import optuna
import pytest
import torch
import transformers
from accelerate import Accelerator, PartialState
from accelerate.state import GradientState
from packaging.requirements import Requirement
from packaging.version import Version
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from tests.helpers import ROOT
from tokenization.characters import BOS_ID, EOS_ID, PAD_ID
from trainers.models.causal_lm import CAUSAL_LMS
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.models.fused_blocks import is_supported
from trainers.runs import upstream
from trainers.settings.training_fields import read_defaults

SPECIAL_IDS = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
PINNED = {"transformers": transformers, "mlflow": mlflow, "optuna": optuna, "torch": torch}


def parameters(function):
    return list(inspect.signature(function).parameters)


def source(function):
    return inspect.getsource(function)


@pytest.fixture(scope="module", params=CAUSAL_LMS)
def model(request):
    sizes = DecoderOptions(hidden_size=16, num_hidden_layers=2, intermediate_size=32, num_attention_heads=2)
    return build_decoder(dataclasses.replace(sizes, model_type=request.param), 44, 32, SPECIAL_IDS)


# --- versions


@pytest.mark.parametrize("name", PINNED)
def test_the_installed_version_is_the_pinned_minor(name):
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    written = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    (pin,) = [r for r in map(Requirement, written) if r.name == name]
    version = Version(PINNED[name].__version__)
    assert pin.specifier.contains(version.base_version)
    assert not pin.specifier.contains(f"{version.major}.{version.minor + 1}.0")


# --- Trainer


def test_a_checkpoint_is_saved_by_model_and_trial():
    assert parameters(Trainer._save_checkpoint) == ["self", "model", "trial"]


def test_an_epoch_begins_right_after_the_evaluation_at_the_start():
    lines = source(Trainer._inner_training_loop)
    assert lines.index("args.eval_on_start") < lines.index("self._evaluate(") < lines.index("on_epoch_begin")
    assert "on_save" not in lines[lines.index("self._evaluate(") : lines.index("on_epoch_begin")]


def test_a_state_says_whether_a_callback_stopped_training():
    state = TrainerState(stateful_callbacks={"TrainerControl": TrainerControl(should_training_stop=True).state()})
    assert upstream.was_stopped(state)
    assert not upstream.was_stopped(TrainerState(stateful_callbacks={"TrainerControl": TrainerControl().state()}))
    assert not upstream.was_stopped(TrainerState())


def test_base_overrides_methods_that_the_trainer_calls():
    assert parameters(Trainer._get_train_sampler) == ["self", "train_dataset"]
    names = ["self", "dataloader", "description", "prediction_loss_only", "ignore_keys", "metric_key_prefix"]
    assert parameters(Trainer.evaluation_loop) == names
    assert parameters(Trainer.prediction_step) == ["self", "model", "inputs", "prediction_loss_only", "ignore_keys"]
    assert parameters(Trainer.create_scheduler) == ["self", "num_training_steps", "optimizer"]
    assert parameters(Trainer.floating_point_ops) == ["self", "inputs"]


def test_base_reads_where_the_last_batch_was_filled_up():
    Accelerator(cpu=True)
    assert {"end_of_dataloader", "remainder"} <= {n for n in dir(GradientState()) if not n.startswith("_")}


def test_muon_is_made_by_a_factory():
    assert "optimizer_cls_and_kwargs" in parameters(Trainer.__init__)
    assert "optimizer_cls()(opt_model, **optimizer_kwargs)" in source(Trainer.create_optimizer)
    assert parameters(Trainer.get_optimizer_cls_and_kwargs) == ["args", "model"]


def test_names_and_defaults_of_settings_are_read_from_the_source():
    fields = [field for field in dataclasses.fields(TrainingArguments) if field.init]
    path = inspect.getsourcefile(TrainingArguments)
    read = read_defaults(Path(str(path)).read_text(encoding="utf-8"))
    assert list(read) == [field.name for field in fields]
    assert all(read[field.name] == field.default for field in fields if field.default is not dataclasses.MISSING)


def test_argparse_names_the_argument_first():
    class Parser(argparse.ArgumentParser):
        def error(self, message):
            raise ValueError(message)

    parser = Parser()
    parser.add_argument("--batch_size", "--batch-size", type=int)
    with pytest.raises(ValueError, match=r"^argument --batch_size/--batch-size: invalid int value"):
        parser.parse_args(["--batch_size=x"])


def test_other_trackers_are_listed_publicly():
    from transformers import integrations

    assert integrations.get_reporting_integration_callbacks([]) == []


def test_fsdp_is_asked_for_by_a_variable():
    from accelerate import state

    assert "ACCELERATE_USE_FSDP" in inspect.getsource(state)
    assert hasattr(PartialState(), "num_processes") and "is_fsdp_enabled" in source(Trainer.__init__) + source(
        Trainer.create_accelerator_and_postprocess
    )


# --- Qwen2 and Llama (trainers/models)


def test_the_fast_pass_knows_the_pinned_models(model):
    assert is_supported(model)


def test_blocks_have_the_parts_that_the_fast_pass_reads(model):
    inner = model.model
    assert (
        type(inner.layers[0]).__name__
        == {"qwen2": "Qwen2DecoderLayer", "llama": "LlamaDecoderLayer"}[model.config.model_type]
    )
    parts = {name for name, _ in inner.layers[0].named_parameters()}
    weights = [f"self_attn.{n}_proj.weight" for n in "qkvo"] + [f"mlp.{n}_proj.weight" for n in ("gate", "up", "down")]
    biases = [f"self_attn.{n}_proj.bias" for n in "qkv"] if model.config.model_type == "qwen2" else []
    assert parts == {*weights, *biases, "input_layernorm.weight", "post_attention_layernorm.weight"}
    assert {name for name, _ in inner.named_children()} == {"embed_tokens", "layers", "norm", "rotary_emb"}
    assert inner.rotary_emb.inv_freq.shape == (4,) and inner.layers[0].self_attn.head_dim == 8
    assert model.config.rope_parameters["rope_type"] == "default" and model.config.rms_norm_eps > 0
    assert model.is_activation_checkpointing is False and not model.config.attention_dropout


def test_the_forward_passes_take_what_the_fast_pass_hands_on(model):
    stock = getattr(transformers, type(model).__name__)
    handed = {"input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "labels", "use_cache"}
    assert {*handed, "logits_to_keep", "kwargs"} <= set(parameters(stock.forward))


def test_models_say_which_blocks_may_be_sharded(model):
    assert upstream.can_be_sharded(model)


# --- datasets, MLflow, Optuna


def test_rows_a_write_are_a_setting_of_datasets():
    assert isinstance(datasets.config.DEFAULT_MAX_BATCH_SIZE, int)


def test_mlflow_knows_tables_by_a_tag_and_kinds_of_experiments():
    from mlflow.demo.generators import traces
    from mlflow.utils import mlflow_tags

    assert mlflow_tags.MLFLOW_LOGGED_ARTIFACTS == "mlflow.loggedArtifacts"
    assert '"mlflow.experimentKind"' in inspect.getsource(traces)  # else known to the page alone
    assert mlflow_tags.MLFLOW_PARENT_RUN_ID == "mlflow.parentRunId"


# --- words of errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a full device")
def test_pytorch_names_the_part_that_could_not_write():
    with pytest.raises(RuntimeError, match="inline_container"):
        torch.save({"weight": torch.ones(1_000_000)}, "/dev/full")


def test_pytorch_speaks_of_memory():
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torch.ones(10**14)
