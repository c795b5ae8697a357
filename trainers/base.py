"""The one Trainer under every task: its batches come finished, and evaluation includes what the task measures.

A task says how rows become tensors (`Task.rows`); its trainer, what is saved with the model (`make_processor`) and how
the model's behaviour is scored (`evaluate_split`). Everything else is `transformers.Trainer`.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from torch.utils.data import DataLoader, Dataset
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import EvalLoopOutput

from trainers.common.metric_names import MetricName
from trainers.contract import IGNORE, Evaluation, StoredDataset, Task
from trainers.optim.muon import MuonFactory
from trainers.optim.schedules import warm_restarts
from trainers.sampling import GroupedByLength
from trainers.settings.run_options import RunOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build_rows(
    task: Task, data: StoredDataset, model: PreTrainedModel, fixed_width: bool = False
) -> dict[str, Dataset]:
    """Every split as tensors: an object with `__len__`, and `__getitems__` giving a finished batch (a dict).

    It carries the split's name as `split`. If it has `set_epoch`, it is told when one begins.

    Args:
        fixed_width: all batches are as wide as the split's longest row, as a compiler needs.

    Raises:
        UserError: a split does not fit the model or the task.
    """
    rows_of = task.load("rows")
    return {split: rows_of(data, split, model.config, fixed_width) for split in data.splits}


class WorldTrainer(Trainer):
    """`transformers.Trainer` over finished batches, with a task's scores inside every evaluation."""

    last: Evaluation
    """The newest evaluation."""
    smooths_labels: ClassVar[bool] = True
    """Whether `--label_smoothing_factor` works: it calls the model without labels."""

    def __init__(
        self,
        task: Task,
        data: StoredDataset,
        rows: Mapping[str, Dataset],
        model: PreTrainedModel,
        args: TrainingArguments,
        run: RunOptions | None = None,
    ) -> None:
        self.task, self.data, self.rows, self.run = task, data, rows, run or RunOptions()
        self.metric = task.load("metric")()
        self._start_s: float | None = None
        super().__init__(
            model=model,
            args=args,
            data_collator=_identity,
            train_dataset=rows["train"],
            eval_dataset={name: rows[name] for name in self.evaluated} or None,
            processing_class=self.make_processor(model),
            optimizer_cls_and_kwargs=(MuonFactory, {"trainer": self}) if self.run.muon else None,  # pyright: ignore
        )
        self.remove_callback(PrinterCallback)
        if hasattr(self.train_dataset, "set_epoch"):
            self.add_callback(_TellEpoch(self.train_dataset))

    @property
    def evaluated(self) -> list[str]:
        """The splits that are evaluated in training."""
        return self.data.evaluated

    def make_processor(self, model: PreTrainedModel) -> "PreTrainedTokenizerBase | None":
        """What is saved beside the model so that it can be used alone (a tokenizer), or None."""
        raise NotImplementedError

    def evaluate_split(self, rows: Any) -> Evaluation:
        """Score the model's behaviour on a split, on every process alike."""
        raise NotImplementedError

    @property
    def unwrapped_model(self) -> PreTrainedModel:
        """The model itself, whatever a launcher or a compiler wrapped around it."""
        return cast(PreTrainedModel, self.accelerator.unwrap_model(cast(Any, self.model), keep_torch_compile=False))

    def describe_row(self, split: str, row: int) -> str:
        """What `--dry_run` shows of one row; by default its tensors."""
        batch = self.rows[split].__getitems__([row])  # pyright: ignore[reportAttributeAccessIssue]
        return "\n".join(f"  {name} {tuple(value.shape)}: {value[0].tolist()}" for name, value in batch.items())

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As `Trainer` does, but a last batch that accelerate filled up with repeated rows counts only its own."""
        state = self.accelerator.gradient_state
        is_filled = self.accelerator.num_processes > 1 and state.end_of_dataloader and state.remainder > 0
        if not (is_filled and self.model_accepts_loss_kwargs):
            return super().prediction_step(model, inputs, *args, **kwargs)
        labels = inputs["labels"].clone()
        labels[max(state.remainder - self.accelerator.process_index * len(labels), 0) :] = IGNORE
        loss, *others = super().prediction_step(model, {**inputs, "labels": labels}, *args, **kwargs)
        return self.accelerator.reduce(loss, "mean"), *others  # every process's is a share of all labels' loss

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """The loss, then the task's scores: inside this loop its metrics reach tracking and best-model choice."""
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        rows: Any = dataloader.dataset
        split, stage = rows.split, metric_key_prefix.removesuffix(f"_{rows.split}")
        scored = self.evaluate_split(rows)  # the model is still in evaluation mode
        self.last = replace(scored, split=split, stage=stage, step=self.state.global_step)
        metrics = self.last.flat()
        if self._start_s is not None:
            metrics["elapsed_s"] = time.perf_counter() - self._start_s
        named = {MetricName(stage, split, name).logged: value for name, value in metrics.items()}
        return output._replace(metrics={**(output.metrics or {}), **named})

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Rows in random order, or of like length together (they then need `length_N`)."""
        rows: Any = train_dataset or self.train_dataset
        if self.run.group_by_length:
            accumulated = self.args.gradient_accumulation_steps * self.args.world_size
            batch_size = self.args.train_batch_size * accumulated  # rows of one step, whoever computes them
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            return GroupedByLength(rows.length_N, batch_size, seed)
        return super()._get_train_sampler(rows)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; evaluations report the seconds since this call as `elapsed_s`."""
        self._start_s = time.perf_counter()
        return super().train(*args, **kwargs)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """With `--restart_epochs` a cosine with warm restarts, else what `--lr_scheduler_type` says."""
        if self.run.restart_epochs and self.lr_scheduler is None:
            batches = len(self.get_train_dataloader())
            self.lr_scheduler = warm_restarts(
                cast(Any, optimizer or self.optimizer),
                self.args.learning_rate,
                self.run.min_learning_rate,
                self.run.restart_epochs,
                max(1, math.ceil(batches / self.args.gradient_accumulation_steps)),
            )
        return super().create_scheduler(num_training_steps, optimizer)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """6 x parameters x tokens (Kaplan et al. 2020); the parameters are counted once, not at every step."""
        if not hasattr(self, "_per_token"):
            network = self.unwrapped_model  # looking for it goes through all modules
            self._per_token, self._tokens_in = 6 * network.num_parameters(), network.main_input_name
        return self._per_token * inputs[self._tokens_in].numel()


class _TellEpoch(TrainerCallback):
    """Tells the training rows which epoch begins; the DataLoader would do so in a run of one process only."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Also in the middle of an epoch, when a run is resumed there."""
        self.rows.set_epoch(int((state.epoch or 0) + 1e-6))


def _identity(batch: Any) -> Any:
    """The collator: the dataset's `__getitems__` has already made the batch."""
    return batch
