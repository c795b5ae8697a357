"""What every task promises, for every folder below tasks/."""

import dataclasses
import importlib.util
import json
import re
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, TrainingArguments

from tokenization.characters import ColumnEncoder
from trainers import registry
from trainers.base import build_rows
from trainers.contract import Task
from trainers.folders import dataset_folder
from trainers.options import check_ranges, is_path
from trainers.settings.request import flag_names
from trainers.settings.run_options import RunOptions
from trainers.text import TextTrainer, answers_to

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
NEEDED = {"__init__.py", "card.md"}
PARTS = {"options", "data", "metric", "trainer"}


@pytest.fixture(scope="module", params=registry.names())
def task(request) -> Task:
    return registry.load(request.param)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Task -> its small dataset, built once."""
    folder = tmp_path_factory.mktemp("contract")
    return lambda task: dataset_folder.build_or_load(task, task.options(**task.small), folder)


@pytest.fixture(scope="module")
def data(task, stored):
    return stored(task)


@pytest.fixture
def trainer(task, data, tmp_path):
    return make_trainer(task, data, tmp_path)


def make_trainer(task, data, tmp_path):
    names = {item.name for item in dataclasses.fields(task.model_options)}
    model = task.load("build_model")(task.model_options(**{n: v for n, v in SIZES.items() if n in names}), data)
    arguments = TrainingArguments(
        str(tmp_path),
        remove_unused_columns=False,
        learning_rate=1e-2,
        use_cpu=True,
        per_device_train_batch_size=32,
        report_to="none",
        dataloader_pin_memory=False,
    )
    return task.load("trainer")(task, data, build_rows(task, data, model), model, arguments)


def test_a_part_that_a_folder_has_is_called_as_in_every_other(task):
    spec = importlib.util.find_spec(task.package)
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    assert {path.name for path in folder.iterdir()} >= NEEDED
    own = {task.build_dataset, task.metric, task.trainer, f"{task.options.__module__}:{task.options.__name__}"}
    modules = {part.partition(":")[0].removeprefix(f"{task.package}.") for part in own} - {task.package}
    assert {module for module in modules if "." not in module} <= PARTS


def test_every_option_is_a_flag_of_its_own_with_a_help_text(task):
    groups = flag_names(task)
    names = [name for group in groups.values() for name in group]
    assert len(names) == len(set(names))
    for options in (RunOptions, task.options, task.model_options):
        assert all(item.metadata.get("help") for item in dataclasses.fields(options))
        check_ranges(options())


def test_every_option_that_names_a_file_is_marked_as_a_path(task):
    kinds = typing.get_type_hints(task.options)
    for item in dataclasses.fields(task.options):
        is_text = kinds[item.name] in (str, str | None)
        words = f"{item.name.replace('_', ' ')} {item.metadata['help']}"
        if is_text and re.search(r"(?i)\b(csv|files?|folders?|paths?|source)\b", words):
            assert is_path(item), f"{item.name} needs is_path=True, or a changed file is no other dataset"


def test_equal_options_give_equal_rows(task, data, tmp_path):
    again = dataset_folder.build_or_load(task, task.options(**task.small), tmp_path)
    assert again.metadata["splits"] == data.metadata["splits"] and again.path != data.path


def test_splits_are_called_what_they_are(task, data):
    rows = {name: {tuple(map(str, row.values())) for row in split} for name, split in data.splits.items()}
    assert set(rows) <= {"train", "validation", "memorisation", "unseen_tasks", "test"} and len(rows["train"]) > 0
    for name in set(rows) - {"train"}:
        assert rows[name] <= rows["train"] if name == "memorisation" else not rows[name] & rows["train"]


def test_the_dataset_card_states_splits_seed_and_licence(data):
    card = (data.path / "README.md").read_text(encoding="utf-8")
    for name, facts in data.metadata["splits"].items():
        assert f"| {name} | {facts['rows']:,} |" in card
    assert "seed" in card and re.search("(?i)licence|CC BY", card)


def test_one_step_lowers_the_loss(trainer):
    rows = trainer.rows["train"]
    batch = rows.__getitems__(list(range(len(rows))))
    optimizer = torch.optim.Adam(trainer.model.parameters(), lr=1e-2)
    before = trainer.model(**batch).loss
    before.backward()
    optimizer.step()
    with torch.no_grad():
        assert trainer.model(**batch).loss < before


def test_what_evaluation_reports_is_finite_and_stands_beside_a_baseline(task, trainer):
    split = trainer.evaluated[0]
    rows = trainer.rows[split]
    trainer.unwrapped_model.eval()
    evaluation = trainer.evaluate_split(rows)
    assert np.isfinite(list(evaluation.flat().values())).all()
    assert task.primary_metric in evaluation.metrics and "" in evaluation.baselines[task.primary_metric]
    assert {*evaluation.baselines, *evaluation.references} <= set(evaluation.metrics)
    assert len(evaluation.values) == len(rows)
    assert len({len(column) for column in evaluation.samples.values()}) == 1
    for draw in evaluation.figures.values():
        draw()


def test_saved_and_loaded_by_transformers_the_logits_are_the_same(trainer, tmp_path):
    trainer.save_model(str(tmp_path / "model"))
    batch = trainer.rows["train"].__getitems__([0, 1])
    causal = isinstance(trainer, TextTrainer)  # loaded without any of this project's code
    loaded = (AutoModelForCausalLM if causal else AutoModel).from_pretrained(tmp_path / "model")
    if causal:
        assert json.loads((tmp_path / "model" / "config.json").read_text())["architectures"] == [type(loaded).__name__]
        batch = {"input_ids": batch["input_ids"]}
    with torch.no_grad():
        expected, found = trainer.model.eval()(**batch).logits, loaded.eval()(**batch).logits
    assert torch.equal(expected, found)


@pytest.fixture(
    params=[name for name in registry.names() if issubclass(registry.load(name).load("trainer"), TextTrainer)]
)
def text_trainer(request, stored, tmp_path):
    task = registry.load(request.param)
    return make_trainer(task, stored(task), tmp_path)


def test_the_loss_sees_the_answer_and_only_the_answer(text_trainer):
    rows = text_trainer.rows["train"]
    batch = rows.__getitems__(list(range(len(rows))))
    tokenizer = text_trainer.processing_class
    for ids, labels, row in zip(batch["input_ids"], batch["labels"], text_trainer.data.splits["train"], strict=True):
        seen = labels != -100
        assert torch.equal(ids[seen], labels[seen])
        assert tokenizer.decode(ids[seen]) == row["answer"] + "<eos>"
        first = int(seen.nonzero()[0])
        assert tokenizer.decode(ids[:first]) == "<bos>" + row["prompt"]
        assert seen[first : int(seen.nonzero()[-1]) + 1].all()


def test_answers_are_those_of_transformers_generate(text_trainer):
    rows, model = text_trainer.rows[text_trainer.evaluated[0]], text_trainer.unwrapped_model.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    answers = [text for split in text_trainer.data.splits.values() for text in split["answer"]]
    longest, encoder, expected = max(map(len, answers)) + 1, ColumnEncoder(), []
    for ids, length in list(zip(rows.ids_NT.long(), rows.prompt_len_N.tolist(), strict=True))[:12]:
        prompt = ids[None, :length]
        mask = torch.ones_like(prompt)
        output = model.generate(prompt, attention_mask=mask, max_new_tokens=longest, do_sample=False)
        expected += encoder.decode(output[:, length:].numpy())
    assert answers_to(rows, model, 5)[:12] == expected and len(set(expected)) > 1


def test_an_answer_without_an_end_is_as_long_in_every_split_as_the_context_allows(text_trainer):
    model, longest = text_trainer.unwrapped_model.eval(), text_trainer.rows["train"].most_generated
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.get_output_embeddings().weight[ColumnEncoder().encode(["", "7"], ["", ""]).ids_NT[1, 1]] = 1
    for context in (model.config.max_position_embeddings, longest + 3):
        model.config.max_position_embeddings = context
        for rows in text_trainer.rows.values():
            room = [min(longest, context - length) for length in rows.prompt_len_N.tolist()]
            assert min(room) > 0 or context == longest + 3
            if min(room) > 0:
                assert list(map(len, answers_to(rows, model, 64))) == room


def test_perfect_answers_are_perfect_and_nonsense_is_worst(text_trainer):
    task, rows = text_trainer.task, text_trainer.rows[text_trainer.evaluated[0]]
    sign = 1 if task.greater_is_better else -1
    perfect = text_trainer.score(rows, list(rows.table["answer"])).metrics
    nonsense = text_trainer.score(rows, ["(((" for _ in range(len(rows))]).metrics
    assert sign * perfect[task.primary_metric] > sign * nonsense[task.primary_metric]
    assert perfect["parse_rate"] == 1 and nonsense["parse_rate"] == 0
    assert np.isfinite([*perfect.values(), *nonsense.values()]).all()
