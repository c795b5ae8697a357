"""The run's own options, the stack's training defaults, the ranges of training settings, and those refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.options import option


@dataclass
class RunOptions:
    """What a run is asked for besides its data, its model and `transformers.TrainingArguments`."""

    task: str = option("", "task to train: a folder below tasks/, or a package of your own (my.package)")
    config: str | None = option(None, "YAML file of flags, or its name below configs/; default: configs/<task>.yaml")
    dataset: str | None = option(None, "dataset folder to use as it is, instead of building one from the options")
    init_from: str | None = option(None, "folder of a trained model to start from (fine-tuning)")
    overwrite: bool = option(False, "replace --output_dir if it is an earlier run's folder")
    dry_run: bool = option(False, "show the resolved settings, the model's size and one example, then stop")
    evals_per_epoch: float | None = option(
        None, "evaluations per epoch, e.g. 10 or 0.2, instead of --eval_steps; default: 1", least=1e-6
    )
    saves_per_epoch: float | None = option(None, "checkpoints per epoch; default: one at every evaluation", least=1e-6)
    early_stopping_patience: int | None = option(
        None, "stop after this many evaluations without a better best metric", least=1
    )
    keep_best: int | None = option(None, "checkpoints to keep: so many best ones, and the last; default: all", least=1)
    restart_epochs: float | None = option(
        None,
        "cosine rate, restarted every so many epochs, constant within one, no warm-up; for --lr_scheduler_type",
        least=1,
    )
    min_learning_rate: float = option(0.0, "what the cosine of --restart_epochs goes towards", least=0)
    muon: bool = option(False, "update hidden weight matrices by Muon; --optim then updates all other parameters")
    group_by_length: bool = option(False, "put rows of like length into one training batch: less padding")
    probe: bool = option(False, "fit the task's linear probe at every evaluation")
    freeze: str | None = option(None, "weights left as they are: parts of their names, e.g. embed_tokens,layers.0")
    l2_to_start: float = option(
        0.0, "pull of the weights to where training started, as a decoupled L2 penalty", least=0
    )
    stock_forward: bool = option(False, "text tasks: train and generate by transformers' own, slower passes (to debug)")
    threads: int | None = option(
        None, "CPU threads of one process; default: the machine's cores shared by the processes", least=1, most=1024
    )


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
    "report_to": "none",  # the run itself owns its MLflow record (trainers/tracking/tracker.py)
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
    "warmup_steps": "steps in which the rate rises from 0; below 1: as a share of all steps",
    "seed": "random seed of the weights and of the order of the examples",
    "bf16": "compute in bfloat16 (mixed precision)",
}
"""The settings of `transformers.TrainingArguments` that `--help` describes."""

TYPED: Mapping[str, str] = {
    "batch": "per_device_train_batch_size",
    "batch_size": "per_device_train_batch_size",
    "cpu": "use_cpu",
    "cuda": "use_cpu",
    "device": "use_cpu",
    "epochs": "num_train_epochs",
    "eval_batch_size": "per_device_eval_batch_size",
    "force": "overwrite",
    "layers": "num_hidden_layers",
    "lr": "learning_rate",
    "lr_scheduler": "lr_scheduler_type",
    "optimizer": "optim",
    "out": "output_dir",
    "output": "output_dir",
    "patience": "early_stopping_patience",
    "pretrained": "init_from",
    "resume": "resume_from_checkpoint",
    "scheduler": "lr_scheduler_type",
    "steps": "max_steps",
    "train_batch_size": "per_device_train_batch_size",
    "warmup": "warmup_steps",
    "wd": "weight_decay",
    "workers": "dataloader_num_workers",
}
"""Words that people type -> the setting that they mean; it is suggested, not taken."""

TRAINING_RANGES: Mapping[str, tuple[float | None, float | None]] = {
    "per_device_train_batch_size": (1, 2**31),
    "per_device_eval_batch_size": (1, 2**31),
    "gradient_accumulation_steps": (1, 2**31),
    "num_train_epochs": (1e-9, None),
    "learning_rate": (0, None),
    "weight_decay": (0, None),
    "adam_beta1": (0, 0.9999999),
    "adam_beta2": (0, 0.9999999),
    "adam_epsilon": (0, None),
    "max_grad_norm": (0, None),
    "label_smoothing_factor": (0, 1),
    "warmup_steps": (0, None),
    "logging_steps": (1e-9, None),
    "eval_steps": (1e-9, None),
    "save_steps": (1e-9, None),
    "eval_delay": (0, None),
    "save_total_limit": (1, None),
    "seed": (0, 2**32 - 1),
    "data_seed": (0, 2**32 - 1),
    "dataloader_num_workers": (0, None),
}


REFUSED: Mapping[str, str] = {
    "do_train": "run.py always trains",
    "do_eval": "run.py always evaluates",
    "do_predict": "run.py evaluates by generation already",
    "remove_unused_columns": "batches come finished from the dataset, so there are no columns to remove",
    "label_names": "the batches name their labels themselves",
    "train_sampling_strategy": "rows are drawn in random order, or with --group_by_length in batches of like length",
    "length_column_name": "rows know their lengths themselves",
    "fp16": "earlier runs of such models ended in NaN with it; use --bf16, or neither",
    **dict.fromkeys(
        ("fp16_full_eval", "bf16_full_eval"),
        "the model is saved after its last evaluation, and would be saved in half precision",
    ),
    **dict.fromkeys(
        ("batch_eval_metrics", "eval_accumulation_steps", "eval_do_concat_batches", "eval_use_gather_object"),
        "an evaluation gathers nothing but the loss; the task scores generated answers or rollouts itself",
    ),
    "include_for_metrics": "the task scores generated answers or rollouts, not the batches of the loss",
    "prediction_loss_only": "the loss is the only thing that is predicted; the task scores the rest itself",
    "auto_find_batch_size": "steps between evaluations are settled before training, for the batch that was asked for",
    "enable_jit_checkpoint": "SIGTERM saves a checkpoint and ends the run in any case",
    **dict.fromkeys(
        ("use_liger_kernel", "liger_kernel_config"),
        "text tasks have a faster pass of their own, others no kernel",
    ),
    "neftune_noise_alpha": "the training pass embeds all rows of a batch as one, where its noise does not fit",
    "use_cache": "nothing is cached in training, and the saved model has its cache on",
    **dict.fromkeys(
        ("fsdp", "fsdp_config", "deepspeed", "parallelism_config"),
        "the launcher decides how a model is spread: accelerate launch --config_file configs/accelerate/fsdp.yaml",
    ),
    "local_rank": "the launcher tells every process its rank",
    "disable_tqdm": "progress is shown by trainers/callbacks/reporting.py, as plain lines where there is no terminal",
    **dict.fromkeys(
        (
            "push_to_hub",
            "hub_token",
            "hub_private_repo",
            "hub_model_id",
            "hub_strategy",
            "hub_always_push",
            "hub_revision",
        ),
        "runs stay on this machine; upload the finished folder with the hf command",
    ),
}
"""Fields of `TrainingArguments` that would do nothing here, or break a run; a test classifies all others."""
