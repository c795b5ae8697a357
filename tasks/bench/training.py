"""A training step, by four hands: stock `Trainer`, a bare loop, the same compiled, and this stack.

All start from the same weights, see the same rows in the same order and take the same number of AdamW steps; what they
agree on afterwards is the loss of the first batch.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from transformers import DataCollatorForSeq2Seq, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from tokenization.characters import build_tokenizer
from trainers import registry
from trainers.base import build_rows
from trainers.common.environment import resolved_prefix
from trainers.contract import IGNORE, StoredDataset
from trainers.folders import dataset_folder
from trainers.settings.run_options import STACK_DEFAULTS, RunOptions
from trainers.text import TextRows

LEARNING_RATE = 1e-3
Work = Callable[[], dict[str, Any]]
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


class TrainingContest:
    """What is the same for all: rows in their order, the untrained model, the optimiser's settings."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        torch.set_num_threads(options["threads"])
        self.options, self.task = options, registry.load(options["task"])
        self.batch_size, self.steps = options["batch_size"], options["steps"]
        self.data = self._rows_in_order()
        torch.manual_seed(0)
        sizes = self.task.model_options(**{name: options[name] for name in SIZES})
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: PreTrainedModel = self.task.load("build_model")(sizes, self.data).to(self.device)
        self._start = {name: value.clone() for name, value in self.model.state_dict().items()}

    def reset(self) -> PreTrainedModel:
        """The model as it was before any step."""
        self.model.load_state_dict(self._start)
        return self.model.train()

    def arguments(self, **settings: Any) -> TrainingArguments:
        """The same optimiser for every Trainer; one step more than is timed."""
        return TrainingArguments(
            str(resolved_prefix()),
            per_device_train_batch_size=self.batch_size,
            max_steps=self.steps + 1,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **settings,
        )

    def result(self, seconds: float) -> dict[str, Any]:
        """The time, the samples, the loss of the first batch as it is now."""
        rows = TextRows("train", self.data.splits["train"])  # pyright: ignore[reportArgumentType]
        batch = {name: rows.__getitems__(list(range(self.batch_size)))[name] for name in ("input_ids", "labels")}
        with torch.no_grad():
            loss = self.model.eval()(**{name: value.to(self.device) for name, value in batch.items()}).loss
        return {"seconds": seconds, "units": self.steps * self.batch_size, "check": [loss.item()]}

    def _rows_in_order(self) -> StoredDataset:
        """As many rows as the steps need."""
        wanted = (self.steps + 1) * self.batch_size
        found = dataset_folder.build_or_load(self.task, self.task.options(), resolved_prefix())
        table: Any = found.splits["train"]
        longest = int(TextRows("train", table).length_N.argmax())  # contenders that pad do so up to the whole dataset's
        table = table.select([longest, *(number % len(table) for number in range(wanted - 1))])
        return StoredDataset(found.path, {"train": table.flatten_indices()}, found.metadata)


def stock_trainer(options: Mapping[str, Any]) -> Work:
    """`transformers.Trainer`: tokenised in `map`, padded to the longest row by the stock collator."""
    course, tokenizer = TrainingContest(options), build_tokenizer()
    tokenizer.padding_side = "right"
    rows: Any = course.data.splits["train"]
    tokenised = rows.map(lambda batch: _tokenised(tokenizer, batch), batched=True, remove_columns=rows.column_names)
    longest = max(map(len, tokenised["input_ids"]))
    collator = DataCollatorForSeq2Seq(tokenizer, padding="max_length", max_length=longest)

    return _turns(course, Trainer(course.model, course.arguments(), collator, train_dataset=tokenised))


def ours(options: Mapping[str, Any], torch_compile: bool = False) -> Work:
    """This stack's Trainer, with the settings that every run of it has."""
    course = TrainingContest(options)
    settings = {
        name: STACK_DEFAULTS[name] for name in ("logging_steps", "logging_nan_inf_filter", "remove_unused_columns")
    }

    arguments = course.arguments(torch_compile=torch_compile, dataloader_pin_memory=False, **settings)
    rows = build_rows(course.task, course.data, course.model, torch_compile)
    trainer = course.task.load("trainer")(course.task, course.data, rows, course.model, arguments, RunOptions())
    return _turns(course, trainer)


def bare_loop(options: Mapping[str, Any], torch_compile: bool = False) -> Work:
    """A loop by hand over tensors that lie ready in memory, fused AdamW."""
    course = TrainingContest(options)
    model: Any = torch.compile(course.model) if torch_compile else course.model

    def work() -> dict[str, Any]:
        course.reset()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
        start_s = 0.0
        for number, batch in enumerate(_padded_batches(course)):
            if number == 1:
                start_s = now_s(course.device)
            model(**batch, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return course.result(now_s(course.device) - start_s)

    return work


def _turns(course: TrainingContest, trainer: Trainer) -> Work:
    """Every turn trains the same weights anew. One Trainer for all turns: accelerate compiles only for the first."""
    clock = _Clock(course)
    trainer.add_callback(clock)

    def work() -> dict[str, Any]:
        course.reset()
        trainer.optimizer = trainer.lr_scheduler = None
        trainer.train()
        return course.result(clock.seconds)

    return work


def now_s(device: torch.device) -> float:
    """The clock, once a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class _Clock(TrainerCallback):
    """Seconds from the end of the first step to the end of the last."""

    def __init__(self, course: TrainingContest) -> None:
        self.course, self.seconds, self._start_s = course, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first step's end starts the clock."""
        if state.global_step == 1:
            self._start_s = now_s(self.course.device)
        if state.global_step == state.max_steps:
            self.seconds = now_s(self.course.device) - self._start_s


def _tokenised(tokenizer: Any, batch: Mapping[str, list[str]]) -> dict[str, list[list[int]]]:
    texts = [f"{prompt}{answer}<eos>" for prompt, answer in zip(batch["prompt"], batch["answer"], strict=True)]
    ids, prompts = tokenizer(texts)["input_ids"], tokenizer(batch["prompt"])["input_ids"]
    labels = [[IGNORE] * len(prompt) + row[len(prompt) :] for row, prompt in zip(ids, prompts, strict=True)]
    return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids], "labels": labels}


def _padded_batches(course: TrainingContest) -> Iterator[dict[str, torch.Tensor]]:
    rows = TextRows("train", course.data.splits["train"], fixed_width=True)  # pyright: ignore[reportArgumentType]
    for start in range(0, len(rows), course.batch_size):
        batch = rows.__getitems__(list(range(start, start + course.batch_size)))
        yield {name: batch[name].to(course.device) for name in ("input_ids", "labels")}


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], Work]] = {
    "ours": ours,
    "ours, compiled": lambda options: ours(options, torch_compile=True),
    "stock Trainer": stock_trainer,
    "bare loop": bare_loop,
    "bare loop, compiled": lambda options: bare_loop(options, torch_compile=True),
}
