"""Trained models that cannot be started from."""

import dataclasses
import sys
from types import SimpleNamespace

import pytest

from trainers import run

from .desk_helpers import cases, check, cut, edit_json

PREPARED, case = cases()


@case("model_type qwen2 llama")
def init_from_another_architecture(desk):
    desk.run()
    return [*desk.tiny, "--init_from", "outputs/done", "--model_type", "llama"]


@case("vocab_size 50 44")
def init_from_another_vocabulary(desk):
    edit_json(desk.run() / "config.json", vocab_size=50)
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("max_position_embeddings 8 32")
def init_from_a_model_of_shorter_texts(desk):
    edit_json(desk.run() / "config.json", max_position_embeddings=8)
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("--init_from outputs/done config.json")
def init_from_with_a_damaged_config(desk):
    (desk.run() / "config.json").write_text("[]")
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("--init_from outputs/done")
def init_from_with_damaged_weights(desk):
    cut(desk.run() / "model.safetensors")
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("--init_from outputs/done")
def init_from_without_weights(desk):
    (desk.run() / "model.safetensors").unlink()
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("config.json 3")
def init_from_with_weights_of_another_size(desk):
    edit_json(desk.run() / "config.json", intermediate_size=32)
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("config.json 12")
def init_from_with_weights_missing(desk):
    config = desk.run() / "config.json"
    edit_json(config, num_hidden_layers=2, layer_types=["full_attention"] * 2)
    return [*desk.tiny, "--init_from", "outputs/done", "--num_hidden_layers", "2"]


@case("--hidden_size 32 16")
def init_from_another_size(desk):
    desk.run()
    return [*desk.tiny, "--init_from", "outputs/done", "--hidden_size", "32"]


@case("2 tokenizer")
def init_from_another_tokenizer(desk):
    edit_json(desk.run() / "tokenizer.json", model={"vocab": {"a": 0, "b": 1}})
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("--probe quiet")
def probing_a_task_without_a_probe(desk):
    from tasks.geography import location

    parts = {"build_dataset": "data:build", "metric": "metric:Haversine", "trainer": "trainer:LocationTrainer"}
    elsewhere = {name: f"tasks.geography.location.{part}" for name, part in parts.items()}
    task = dataclasses.replace(location.TASK, probe="", **elsewhere)
    module = SimpleNamespace(__name__="my_lab.quiet", __file__=location.__file__, TASK=task)
    desk.monkeypatch.setitem(sys.modules, "my_lab.quiet", module)
    return [*desk.tiny, "--task", "my_lab.quiet", "--probe"]


@pytest.mark.parametrize("prepare, names", PREPARED)
def test_what_is_broken(prepare, names, desk, capsys):
    check(run.main, prepare(desk), names, desk, capsys)
