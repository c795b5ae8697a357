"""A training step by stock `Trainer`, a bare loop, the best that can be made of one, and this stack.

All start from the same weights, see the same rows in the same order and take the same number of AdamW steps; what they
agree on afterwards is the loss of the first batch.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import DataCollatorForSeq2Seq, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from tasks.bench.contender import Work
from tokenization.characters import build_tokenizer
from trainers import registry
from trainers.base import build_rows
from trainers.common.environment import resolved_prefix
from trainers.contract import IGNORE, StoredDataset
from trainers.folders import dataset_folder
from trainers.models.causal_lm import compile_training
from trainers.settings.precision import has_bfloat16_units
from trainers.settings.run_options import STACK_DEFAULTS, RunOptions
from trainers.text import TextRows

LEARNING_RATE = 1e-3
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
_GPU_STEPS = 20  # where a CPU takes one: a turn should last about a second
_HAS_UNITS = has_bfloat16_units(DEVICE.type == "cpu")


class TrainingContest:
    """The same for all: rows in their order, the untrained model, the optimiser's settings."""

    def __init__(self, task: str, batch_size: int, steps: int, **sizes: int) -> None:
        self.task, self.batch_size = registry.load(task), batch_size
        self.steps = steps * (_GPU_STEPS if DEVICE.type == "cuda" else 1)
        self.data = self._rows_in_order()
        torch.manual_seed(0)
        model_options = self.task.model_options(**sizes)
        self.model: PreTrainedModel = self.task.load("build_model")(model_options, self.data).to(DEVICE)
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

    def batches(self, fixed_width: bool = False) -> Iterator[dict[str, Any]]:
        """All batches, on the device; with `fixed_width` as wide as the longest row, and without `known`."""
        rows = TextRows("train", self.data.splits["train"], fixed_width)
        for start in range(0, len(rows), self.batch_size):
            batch = rows.__getitems__(list(range(start, start + self.batch_size)))
            known = {} if fixed_width else {"known": batch["known"]}
            yield {name: batch[name].to(DEVICE) for name in ("input_ids", "labels")} | known

    def result(self, seconds: float) -> dict[str, Any]:
        """The time, the number of examples, and the loss of the first batch as it is now."""
        batch = next(self.batches())
        with torch.no_grad():
            loss = self.model.eval()(input_ids=batch["input_ids"], labels=batch["labels"]).loss
        return {"seconds": seconds, "units": self.steps * self.batch_size, "check": [loss.item()]}

    def _rows_in_order(self) -> StoredDataset:
        """Take the rows that the steps need; the first is the longest, to which contenders that pad do so."""
        data = dataset_folder.build_or_load(self.task, self.task.options(), resolved_prefix())
        table: Any = data.splits["train"]
        longest = int(TextRows("train", table).length_N.argmax())
        others = (number % len(table) for number in range((self.steps + 1) * self.batch_size - 1))
        table = table.select([longest, *others])
        return StoredDataset(data.path, {"train": table.flatten_indices(keep_in_memory=True)}, data.metadata)


def stock_trainer(**options: Any) -> Work:
    """`transformers.Trainer`: tokenised in `map`, padded to the longest row by the stock collator."""
    contest, tokenizer = TrainingContest(**options), build_tokenizer()
    tokenizer.padding_side = "right"
    rows: Any = contest.data.splits["train"]
    columns = rows.column_names
    tokenised = rows.map(
        lambda batch: _tokenised(tokenizer, batch), batched=True, remove_columns=columns, keep_in_memory=True
    )
    longest = max(map(len, tokenised["input_ids"]))
    collator = DataCollatorForSeq2Seq(tokenizer, padding="max_length", max_length=longest)
    return _turns(contest, Trainer(contest.model, contest.arguments(), collator, train_dataset=tokenised))


def ours(precision: str = "auto", compiled: bool = False, **options: Any) -> Work:
    """This stack's Trainer, with the settings that every run of it has; compiled, as a long run is."""
    contest = TrainingContest(**options)
    settings = {
        name: STACK_DEFAULTS[name] for name in ("logging_steps", "logging_nan_inf_filter", "remove_unused_columns")
    }
    settings |= {"bf16": precision == "auto" and _HAS_UNITS, "use_cpu": DEVICE.type == "cpu"}
    arguments = contest.arguments(dataloader_pin_memory=False, **settings)
    rows = build_rows(contest.task, contest.data, contest.model, compiled)
    if compiled:
        compile_training(contest.model, contest.batch_size)
    trainer = contest.task.load("trainer")(contest.task, contest.data, rows, contest.model, arguments, RunOptions())
    return _turns(contest, trainer)


def bare_loop(at_its_best: bool = False, **options: Any) -> Work:
    """A loop by hand over tensors that lie ready in memory, fused AdamW; at its best compiled and in bfloat16."""
    contest = TrainingContest(**options)
    model: Any = torch.compile(contest.model) if at_its_best else contest.model

    def work() -> dict[str, Any]:
        contest.reset()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
        start_s = 0.0
        for number, batch in enumerate(contest.batches(fixed_width=True)):
            if number == 1:
                start_s = now_s()
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=at_its_best and _HAS_UNITS):
                loss = model(**batch, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return contest.result(now_s() - start_s)

    return work


def _turns(contest: TrainingContest, trainer: Trainer) -> Work:
    """Train the same weights anew in every turn. One Trainer for all turns: accelerate compiles only for the first."""
    clock = _Clock()
    trainer.add_callback(clock)

    def work() -> dict[str, Any]:
        contest.reset()
        trainer.optimizer = trainer.lr_scheduler = None
        trainer.train()
        return contest.result(clock.seconds)

    return work


def now_s() -> float:
    """Read the clock, once a GPU has finished its work."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class _Clock(TrainerCallback):
    """Seconds from the end of the first step to the end of the last."""

    seconds = _start_s = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock after the first step, stop it after the last."""
        if state.global_step == 1:
            self._start_s = now_s()
        if state.global_step == state.max_steps:
            self.seconds = now_s() - self._start_s


def _tokenised(tokenizer: Any, batch: Mapping[str, list[str]]) -> dict[str, list[list[int]]]:
    texts = [f"{prompt}{answer}<eos>" for prompt, answer in zip(batch["prompt"], batch["answer"], strict=True)]
    ids, prompts = tokenizer(texts)["input_ids"], tokenizer(batch["prompt"])["input_ids"]
    labels = [[IGNORE] * len(prompt) + row[len(prompt) :] for row, prompt in zip(ids, prompts, strict=True)]
    return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids], "labels": labels}
