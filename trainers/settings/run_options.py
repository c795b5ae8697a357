"""The run's own options, the stack's training defaults, the ranges of training settings, and those refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainers.options import option


@dataclass
class RunOptions:
    """What a run is asked for besides its data, its model and `transformers.TrainingArguments`."""

    task: str = option("", "task to train: a folder below tasks/, a package of your own (my.package), or several, a,b")
    config: str | None = option(
        None, "YAML file of flags, its name below configs/, or an earlier run's folder; default: configs/<task>.yaml"
    )
    dataset: str | None = option(None, "dataset folder to use as it is, instead of building one from the options")
    rebuild: bool = option(False, "build the dataset again, also where its folder exists")
    num_proc: int = option(1, "processes that build a dataset of more than a million rows", least=1, most=1024)
    init_from: str | None = option(None, "folder of a trained model to start from (fine-tuning)")
    overwrite: bool = option(False, "replace --output_dir if it is an earlier run's folder")
    dry_run: bool = option(False, "show the resolved settings, the model's size and one example, then stop")
    evals_per_epoch: float | None = option(None, "evaluations per epoch, e.g. 0.2; replaces --eval_steps", least=1e-6)
    saves_per_epoch: float | None = option(None, "checkpoints per epoch; default: one at every evaluation", least=1e-6)
    early_stopping_patience: int | None = option(None, "evaluations without a better metric before stopping", least=1)
    keep_best: int | None = option(
        None,
        "number of best checkpoints to keep besides the last; default: first, best, last and some in even distances"
        " (--save_total_limit N: the newest N instead)",
        least=1,
    )
    restart_epochs: float | None = option(
        None,
        "epochs between restarts of a cosine rate, constant within an epoch; replaces --lr_scheduler_type",
        least=1,
    )
    min_learning_rate: float = option(0.0, "learning rate that the cosine of --restart_epochs falls towards", least=0)
    muon: bool = option(False, "update hidden weight matrices by Muon; --optim then updates all other parameters")
    group_by_length: bool = option(False, "batch training examples of similar length: less padding")
    grow: str | None = option(
        None,
        "train in a smaller world first, SIZE:STEPS: --grow 800:2500, or --grow 800:1000,1600:1000; then on all rows",
    )
    probe: bool = option(False, "fit the task's linear probe at every evaluation")
    freeze: str | None = option(None, "weights to freeze, by parts of their names, e.g. embed_tokens,layers.0")
    l2_to_start: float = option(0.0, "decoupled L2 penalty on the distance to the starting weights", least=0)
    loss_on: Literal["answer", "all"] = option(
        "answer", "text tasks: what the loss is computed on, the answer or all of prompt and answer"
    )
    stock_forward: bool = option(False, "text tasks: use transformers' own, slower forward pass (to debug)")
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "of products; auto: bfloat16 where the processor has units for it. Weights and optimizer stay float32"
    )
    compile: Literal["auto", "always", "never"] = option(
        "auto", "compile the training pass; auto: on a CPU in runs long enough to gain by it; on a GPU, CUDA graphs"
    )
    threads: int | None = option(None, "CPU threads of a process; default: its share of the cores", least=1, most=1024)


HOW_TO_BUILD = ("rebuild", "num_proc")
"""Settings of the command `dataset` too, besides the options of the builder."""

PLACEMENT = ("config", "output_dir", "run_name", "overwrite", "resume_from_checkpoint", "dry_run", *HOW_TO_BUILD)
"""Settings that say where a run is written and how it is started, not which run it is."""

STACK_DEFAULTS: Mapping[str, Any] = {
    "evals_per_epoch": 1,
    "eval_strategy": "steps",
    "save_strategy": "steps",
    "eval_on_start": True,
    "load_best_model_at_end": True,
    "logging_steps": 10,
    "per_device_eval_batch_size": 512,
    "remove_unused_columns": False,  # batches come finished from the dataset
    "restore_callback_states_from_checkpoint": True,  # a resumed run goes on counting evaluations without progress
    "logging_nan_inf_filter": False,  # a loss that is not finite ends the run instead of being averaged away
    "dataloader_pin_memory": False,
    "report_to": "none",  # the run itself owns its MLflow run (trainers/tracking/tracker.py)
    "disable_tqdm": True,  # trainers/callbacks/reporting.py shows the progress
}
"""Where this stack's defaults differ from those of `transformers.TrainingArguments`."""

USUAL_TRAINING: Mapping[str, str] = {
    "learning_rate": "peak learning rate",
    "per_device_train_batch_size": "examples in a batch of one process",
    "num_train_epochs": "passes over the training split",
    "max_steps": "optimizer steps, instead of --num_train_epochs; -1: as many as these take",
    "optim": "optimizer, e.g. adamw_torch or sgd; with --muon, of all parameters that are no hidden matrices",
    "weight_decay": "decoupled weight decay",
    "lr_scheduler_type": "schedule of the rate, e.g. linear, cosine, constant, warmup_stable_decay",
    "lr_scheduler_kwargs": "more of that schedule; constant, then in a line to 0 in the last 1,000 steps:"
    """ warmup_stable_decay and '{"num_decay_steps": 1000, "decay_type": "linear"}'""",
    "warmup_steps": "steps in which the rate rises from 0; below 1: as a share of all steps",
    "seed": "random seed of the weights and of the order of the examples",
}
"""The settings of `transformers.TrainingArguments` that `--help` describes."""


def _by_name(names: Mapping[Any, str]) -> dict[str, Any]:
    """Return name -> value, given value -> names with spaces between."""
    return {name: value for value, joined in names.items() for name in joined.split()}


TYPED: Mapping[str, str] = _by_name(
    {
        "per_device_train_batch_size": "batch batch_size train_batch_size",
        "per_device_eval_batch_size": "eval_batch_size",
        "use_cpu": "cpu cuda device",
        "num_train_epochs": "epochs",
        "max_steps": "steps",
        "learning_rate": "lr",
        "lr_scheduler_type": "lr_scheduler scheduler",
        "warmup_steps": "warmup",
        "weight_decay": "wd",
        "optim": "optimizer",
        "num_hidden_layers": "layers",
        "dataloader_num_workers": "workers",
        "early_stopping_patience": "patience",
        "output_dir": "out output",
        "overwrite": "force",
        "init_from": "pretrained",
        "resume_from_checkpoint": "resume",
    }
)
"""Words that people type -> the setting that they mean; it is suggested, not taken."""

TRAINING_RANGES: Mapping[str, tuple[float | None, float | None]] = _by_name(
    {
        (1, 2**31): "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps",
        (1e-9, None): "num_train_epochs logging_steps eval_steps save_steps",
        (1e-300, None): "learning_rate",
        (0, None): "weight_decay adam_epsilon max_grad_norm warmup_steps eval_delay dataloader_num_workers",
        (0, 0.9999999): "adam_beta1 adam_beta2",
        (0, 1): "label_smoothing_factor",
        (1, None): "save_total_limit",
        (0, 2**32 - 1): "seed data_seed",
    }
)
"""Setting -> its least and greatest value."""

REFUSED: Mapping[str, str] = _by_name(
    {
        "run.py always trains": "do_train",
        "run.py always evaluates": "do_eval",
        "run.py evaluates by generation already": "do_predict",
        "batches come finished from the dataset, so there are no columns to remove": "remove_unused_columns",
        "the batches name their labels themselves": "label_names",
        "rows are drawn in random order, or with --group_by_length in batches of like length": (
            "train_sampling_strategy"
        ),
        "rows know their lengths themselves": "length_column_name",
        "earlier runs of such models ended in NaN with it; use --precision bfloat16, or neither": "fp16",
        "the model is saved after its last evaluation, and would be saved in half precision": (
            "fp16_full_eval bf16_full_eval"
        ),
        "an evaluation gathers nothing but the loss; the task scores generated answers or rollouts itself": (
            "batch_eval_metrics eval_accumulation_steps eval_do_concat_batches eval_use_gather_object"
        ),
        "the task scores generated answers or rollouts, not the batches of the loss": "include_for_metrics",
        "the loss is the only thing that is predicted; the task scores the rest itself": "prediction_loss_only",
        "steps between evaluations are settled before training, for the batch that was asked for": (
            "auto_find_batch_size"
        ),
        "SIGTERM saves a checkpoint and ends the run in any case": "enable_jit_checkpoint",
        "text tasks have a faster pass of their own, others no kernel": "use_liger_kernel liger_kernel_config",
        "the training pass embeds all rows of a batch as one, where its noise does not fit": "neftune_noise_alpha",
        "nothing is cached in training, and the saved model has its cache on": "use_cache",
        "the launcher decides how a model is spread: accelerate launch --config_file configs/accelerate/fsdp.yaml": (
            "fsdp fsdp_config deepspeed parallelism_config"
        ),
        "the launcher tells every process its rank": "local_rank",
        "progress is shown by trainers/callbacks/reporting.py, as plain lines without a terminal": "disable_tqdm",
        "runs stay on this machine; send a finished one with `world-models push RUN REPO`": (
            "push_to_hub hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision"
        ),
    }
)
"""Fields of `TrainingArguments` that would do nothing here, or break a run; a test classifies all others."""
