"""A task is a folder: one written somewhere else, by hand, trains without any table being edited."""

import sys

import pytest

from tests.helpers import assert_one_line

INIT = '''
"""Echo: repeat a digit."""
from dataclasses import dataclass
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions
from trainers.options import option

@dataclass
class EchoOptions:
    n_rows: int = option(20, "rows", least=1)

TASK = Task(summary="Repeat a digit.", options=EchoOptions, model_options=DecoderOptions, build_dataset="data:build",
            build_model="trainers.text:build_text_model", metric="metric:ExactMatch", trainer="trainer:EchoTrainer",
            primary_metric="exact_match", greater_is_better=True,
            plot=SummarySpec("exact match", "exact match of a row", (0, 1)))
'''
DATA = """
from datasets import Dataset
from trainers.contract import BuiltDataset

def build(options):
    digits = [str(i % 10) for i in range(options.n_rows)]
    rows = Dataset.from_dict({"prompt": [f"{d}=" for d in digits], "answer": digits})
    return BuiltDataset(splits={"train": rows, "memorisation": rows.select(range(10))}, facts={"seed": 0})
"""
OWN_TOKENIZER = """
from datasets import Dataset
from tokenization.characters import make_vocabulary
from trainers.contract import BuiltDataset

VOCABULARY = make_vocabulary("T()=.-0123456789OsloRmaC")

def build(options):
    rows = Dataset.from_dict({"prompt": ["T(Oslo)=", "T(Roma)="] * 5, "answer": ["-12.5C", "8.25C"] * 5})
    return BuiltDataset(splits={"train": rows, "memorisation": rows}, facts={"seed": 0})
"""
METRIC = """
import datasets
import evaluate

class ExactMatch(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(description="", citation="",
                                   features=datasets.Features({"predictions": text, "references": text}))

    def _compute(self, predictions, references):
        return {"exact_match": sum(p == r for p, r in zip(predictions, references)) / len(predictions)}
"""
TRAINER = """
import numpy as np
from trainers.contract import Evaluation
from trainers.text import TextTrainer

class EchoTrainer(TextTrainer):
    def score(self, rows, answers):
        right = np.array([a == b for a, b in zip(answers, rows.table["answer"])], float)
        return Evaluation(metrics=self.metric.compute(predictions=answers, references=rows.table["answer"]),
                          samples=self.samples(rows, answers, right=right), values=right)
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    folder = tmp_path / "my_lab" / "echo"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    for name, text in (("__init__", INIT), ("data", DATA), ("metric", METRIC), ("trainer", TRAINER)):
        (folder / f"{name}.py").write_text(text)
    (folder / "card.md").write_text("Digits.")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_lab.echo"
    for name in [name for name in sys.modules if name.startswith("my_lab")]:
        del sys.modules[name]


def test_a_task_from_elsewhere_trains(echo, prefix, capsys):
    from trainers.run import main

    argv = [
        "--task",
        echo,
        "--max_steps",
        "2",
        "--eval_steps",
        "1",
        "--hidden_size",
        "16",
        "--num_hidden_layers",
        "1",
        "--n_rows",
        "30",
        "--use_cpu",
        "--threads",
        "1",
    ]
    assert main(argv) == 0
    assert (prefix / "runs" / "echo-001" / "model.safetensors").is_file()
    assert "exact_match" in capsys.readouterr().out


def test_a_task_with_capitals_signs_and_decimals_has_a_tokenizer_of_its_own(echo, tmp_path, prefix):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.run import main

    folder = tmp_path / "my_lab" / "echo"
    (folder / "data.py").write_text(OWN_TOKENIZER)
    (folder / "__init__.py").write_text(INIT.replace('metric="', 'tokenizer="data:VOCABULARY", metric="', 1))
    argv = "--max_steps 60 --eval_steps 60 --learning_rate 1e-2 --hidden_size 16 --num_hidden_layers 1 --use_cpu"
    assert main(["--task", echo, *argv.split(), "--threads", "1"]) == 0
    run = prefix / "runs" / "echo-001"
    tokenizer, model = AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["<pad>", "<bos>", "<eos>", "T", "("]
    assert len(tokenizer) == model.config.vocab_size == 27
    prompts = tokenizer(["T(Oslo)=", "T(Roma)="], return_tensors="pt")
    answers = model.generate(**prompts, max_new_tokens=9, do_sample=False)[:, prompts["input_ids"].shape[1] :]
    assert tokenizer.batch_decode(answers, skip_special_tokens=True) == ["-12.5C", "8.25C"]


TINY = "--max_steps 1 --hidden_size 16 --num_hidden_layers 1 --use_cpu --threads 1"
NOTHING = "rows.select(range(0))"
AFTER_BUILDING = ("primary", "baseline")
"""Mistakes that show in numbers only: in the first evaluation, before the first step."""


@pytest.mark.parametrize(
    ("mistake", "file", "right", "wrong", "names"),
    [
        ("empty", "data", "rows.select(range(10))", NOTHING, ("TASK.build_dataset", "memorisation")),
        ("no-train-rows", "data", '"train": rows', f'"train": {NOTHING}', ("TASK.build_dataset", "train")),
        ("train-alone", "data", ', "memorisation": rows.select(range(10))', "", ("TASK.build_dataset", "validation")),
        ("no-train", "data", '"train": rows, ', "", ("TASK.build_dataset", "train")),
        (
            "returns-nothing",
            "data",
            "return BuiltDataset",
            "BuiltDataset",
            ("TASK.build_dataset", "trainers.contract.BuiltDataset"),
        ),
        ("primary", "__init__", '"exact_match"', '"exact_mach"', ("TASK.primary_metric", "exact_mach", "exact_match")),
        ("baseline", "trainer", "def score", "has_baselines = True\n    def score", ("baselines", "memorisation")),
        ("no-score", "trainer", "def score", "def scores", ("TASK.trainer", "EchoTrainer", "score")),
        ("no-trainer", "trainer", "(TextTrainer)", "", ("TASK.trainer", "trainers.base.WorldTrainer")),
        ("no-options", "__init__", "@dataclass", "", ("TASK.options", "@dataclass")),
        (
            "no-module",
            "__init__",
            '"metric:ExactMatch"',
            '"metrics:ExactMatch"',
            ("TASK.metric", "my_lab.echo.metrics"),
        ),
        *(
            (part, "__init__", 'metric="', f'{part}="data:builds", metric="', (f"TASK.{part}", "builds", "build"))
            for part in ("rows", "tokenizer", "probe")
        ),
        ("report", "__init__", 'metric="', 'reports={"x": "data:builds"}, metric="', ("TASK.reports", "builds")),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
)
def test_a_mistake_of_the_author_is_one_sentence(mistake, file, right, wrong, names, echo, tmp_path, prefix, capsys):
    from trainers.run import main

    path = tmp_path / "my_lab" / "echo" / f"{file}.py"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong, 1))
    assert main(["--task", echo, *TINY.split()]) == 2
    assert_one_line(capsys.readouterr().err, *names)
    left = {item.relative_to(prefix).parts[0] for item in prefix.rglob("*") if not item.name.startswith(".")}
    assert mistake in AFTER_BUILDING or left <= {"datasets"}


def test_an_error_inside_a_tasks_own_code_is_not_hidden(echo, tmp_path):
    from trainers import registry

    (tmp_path / "my_lab" / "echo" / "__init__.py").write_text("import a_module_that_is_missing")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        registry.load(echo)
