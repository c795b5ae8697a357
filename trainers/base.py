"""Train any task by `transformers.Trainer`: finished batches in, the task's own scores in every evaluation.

A task declares how rows become tensors (`Task.rows`); its trainer, which tokenizer is saved with the model
(`make_processor`) and how the model's behaviour is scored (`evaluate_split`).
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from torch.utils.data import DataLoader, Dataset, RandomSampler
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

from trainers.common.files import follow_umask
from trainers.common.metric_names import MetricName, best_model_key
from trainers.common.ranking import best_steps
from trainers.contract import IGNORE, PARTS, Evaluation, StoredDataset, Task
from trainers.errors import UserError, suggest
from trainers.optim.muon import MuonFactory
from trainers.optim.schedules import hyperparameters, warm_restarts
from trainers.sampling import GroupedByLength, GrowingOrder, RandomOrder, Stage
from trainers.settings.run_options import RunOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build_rows(
    task: Task, data: StoredDataset, model: PreTrainedModel, fixed_width: bool = False
) -> dict[str, Dataset]:
    """Return every split as tensors: an object with `__len__`, and `__getitems__` giving a finished batch (a dict).

    It carries the split's name as `split`. If it has `set_epoch`, that is called when one begins.

    Args:
        fixed_width: Whether all batches are as wide as the split's longest row, as a compiler needs.

    Raises:
        UserError: A split does not fit the model or the task.
    """
    rows_of = task.load("rows")
    return {split: rows_of(data, split, model.config, fixed_width) for split in data.splits}


def check_parts(task: Task) -> None:
    """Import every part of a task, so that a wrong declaration is reported before anything is built.

    Raises:
        UserError: A part does not exist, or the trainer is no `WorldTrainer` or lacks a method.
    """
    for part in (name for name in PARTS if getattr(task, name)):
        task.load(part)
    for field, named in (("reports", task.reports), ("views", task.views)):
        for name in named:
            task.load(field, name)
    trainer = task.load("trainer")
    if not (isinstance(trainer, type) and issubclass(trainer, WorldTrainer)):
        raise UserError(f"TASK.trainer of {task.name} is {trainer}; give a subclass of trainers.base.WorldTrainer")
    if missing := sorted(trainer.__abstractmethods__):
        raise UserError(f"TASK.trainer of {task.name} is {trainer.__name__} without {', '.join(missing)}; define that")


class WorldTrainer(Trainer, ABC):
    """`transformers.Trainer` over finished batches, with a task's scores inside every evaluation."""

    last: Evaluation
    """The newest evaluation."""
    built_groups: list[dict[str, Any]]
    """Hyperparameters of the optimizer's groups as they were built, before a checkpoint was loaded."""
    stages: Sequence[Stage] = ()
    """The smaller worlds that are trained in first (`--grow`)."""
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
            data_collator=_as_it_is,
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
        """Return the tokenizer that is saved with the model, if it needs one."""

    @abstractmethod
    def evaluate_split(self, rows: Any) -> Evaluation:
        """Score the model's behaviour on a split, on every process alike."""

    @property
    def unwrapped_model(self) -> PreTrainedModel:
        """The model without the wrappers of a launcher or a compiler."""
        return cast(PreTrainedModel, self.accelerator.unwrap_model(cast(Any, self.model), keep_torch_compile=False))

    def draw_page(self, split: str, answers: Mapping[int, Any]) -> str | None:
        """Draw a split after several steps as an HTML page of its own; None: the task has no such page.

        Args:
            answers: Step -> DataFrame of the predictions `examples`.
        """

    def describe_row(self, split: str, row: int) -> str:
        """Return what `--dry_run` shows of one example; by default its tensors."""
        batch = self.rows[split].__getitems__([row])  # pyright: ignore[reportAttributeAccessIssue]
        return "\n".join(f"  {name} {tuple(value.shape)}: {value[0].tolist()}" for name, value in batch.items())

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Predict as `Trainer` does, every row once."""
        counted = self._count_once(inputs)
        loss, *others = super().prediction_step(model, counted, *args, **kwargs)
        # Where rows do not count, every process's loss is a share of all labels' loss.
        return loss if counted is inputs else self.accelerator.reduce(loss, "mean"), *others

    def get_batch_samples(self, epoch_iterator: Any, *args: Any) -> Any:
        """Get the batches of a step as `Trainer` does, every row once in an epoch."""
        return super().get_batch_samples(map(self._count_once, epoch_iterator), *args)

    def _count_once(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Take the labels from the repeated rows that accelerate fills a last batch up with for several processes."""
        state = self.accelerator.gradient_state
        is_filled = self.accelerator.num_processes > 1 and state.end_of_dataloader and state.remainder > 0
        if not (is_filled and self.model_accepts_loss_kwargs):
            return inputs
        labels = inputs["labels"].clone()
        labels[max(state.remainder - self.accelerator.process_index * len(labels), 0) :] = IGNORE
        return {**inputs, "labels": labels}

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Compute the loss, then the task's scores, which from here reach tracking and the choice of the best model."""
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        rows: Any = dataloader.dataset
        split, stage = rows.split, metric_key_prefix.removesuffix(f"_{rows.split}")
        scored = self.evaluate_split(rows)  # the model is still in evaluation mode
        self._check_primary(scored.metrics, f"{type(self).__name__} reports")
        self.last = replace(scored, split=split, stage=stage, step=self.state.global_step)
        metrics = self.last.flat()
        if self._start_s is not None:
            metrics["elapsed_s"] = time.perf_counter() - self._start_s
        named = {MetricName(stage, split, name).logged: value for name, value in metrics.items()}
        return output._replace(metrics={**(output.metrics or {}), **named})

    def _check_primary(self, metrics: Mapping[str, float], source: str) -> None:
        """Raise a `UserError` unless the task's primary metric is among those that `source` names in words."""
        named = self.task.primary_metric
        if named not in metrics:
            raise UserError(
                f"TASK.primary_metric of {self.task.name} is {named!r}, but {source} {', '.join(metrics) or 'nothing'};"
                f" give one of these.{suggest(named, metrics)}"
            )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return rows in random order, those of smaller worlds first, or batches of similar length (by `length_N`)."""
        rows: Any = train_dataset or self.train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        if self.stages:
            return GrowingOrder(len(rows), self.stages, seed)
        if self.run.group_by_length:
            accumulated = self.args.gradient_accumulation_steps * self.args.world_size
            batch_size = self.args.train_batch_size * accumulated  # rows of one step, over all processes
            return GroupedByLength(rows.length_N, batch_size, seed)
        sampler = super()._get_train_sampler(rows)
        if isinstance(sampler, RandomSampler) and cast(Any, self.args.accelerator_config).use_seedable_sampler:
            return RandomOrder(len(rows), self.args.data_seed)
        return sampler

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; evaluations report the seconds since this call as `elapsed_s`."""
        self._start_s = time.perf_counter()
        return super().train(*args, **kwargs)

    def _determine_best_metric(self, metrics: Any, trial: Any) -> bool:
        """Of equal metrics the lower loss is better, then the later step; the best model always has a checkpoint."""
        args, state = self.args, self.state
        trained = [entry for entry in state.log_history if entry["step"] > 0]
        best = best_steps(trained, args.metric_for_best_model, bool(args.greater_is_better), 1)
        is_best = best == [state.global_step]
        if is_best:
            state.best_metric = metrics[best_model_key(str(args.metric_for_best_model))]
            state.best_global_step = state.global_step
            self.control.should_save |= args.load_best_model_at_end
        return is_best

    @property
    def kept_step(self) -> int:
        """The step of the weights that training left in the model."""
        is_best = self.args.load_best_model_at_end and self.state.best_model_checkpoint
        return cast(int, self.state.best_global_step) if is_best else self.state.global_step

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save as `Trainer` does, readable for whom the umask says: safetensors writes for the owner alone."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            follow_umask(Path(output_dir or str(self.args.output_dir)).glob("model*.safetensors"))

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return a cosine with warm restarts for `--restart_epochs`, else what `--lr_scheduler_type` names."""
        if self.run.restart_epochs and self.lr_scheduler is None:
            batches = len(self.get_train_dataloader())
            self.lr_scheduler = warm_restarts(
                cast(Any, optimizer or self.optimizer),
                self.args.learning_rate,
                self.run.min_learning_rate,
                self.run.restart_epochs,
                max(1, math.ceil(batches / self.args.gradient_accumulation_steps)),
            )
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        self.built_groups = hyperparameters(self.optimizer)
        return scheduler

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 6 x parameters x tokens (Kaplan et al. 2020); the parameters are counted once, not at every step."""
        if not hasattr(self, "_per_token"):
            model = self.unwrapped_model  # unwrapping visits all modules
            self._per_token, self._tokens_in = 6 * model.num_parameters(), model.main_input_name
        return self._per_token * inputs[self._tokens_in].numel()


class _TellEpoch(TrainerCallback):
    """Set the epoch of the training rows; the DataLoader would do so in a run of one process only."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set it, also when a run is resumed in the middle of an epoch."""
        self.rows.set_epoch(int((state.epoch or 0) + 1e-6))


def _as_it_is(batch: Any) -> Any:
    """Collate nothing: the dataset's `__getitems__` has made the batch."""
    return batch
