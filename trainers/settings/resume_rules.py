"""What a resumed run may change: every setting is restored, applied or free."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainers.errors import UserError

Rule = Literal["restored", "applied", "free"]
"""Restored: fixed by the checkpoint, a difference is refused. Applied: takes effect from the checkpoint's step on and
is recorded. Free: places, speed and display, which change no number."""

_RUN_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("task", "init_from", "restart_epochs", "min_learning_rate", "muon", "group_by_length"), "restored"
    ),
    **dict.fromkeys(("freeze", "loss_on", "grow"), "restored"),
    **dict.fromkeys(("evals_per_epoch", "saves_per_epoch", "early_stopping_patience", "keep_best"), "applied"),
    **dict.fromkeys(("probe", "l2_to_start", "compile"), "applied"),
    # The rows of --dataset are compared by their digest, wherever the folder lies.
    **dict.fromkeys(("config", "dataset", "overwrite", "dry_run", "rebuild", "num_proc"), "free"),
    **dict.fromkeys(("stock_forward", "threads"), "free"),
    "precision": "free",  # it is followed by `bf16`
}

_RESTORED = (
    *("per_device_train_batch_size", "gradient_accumulation_steps", "accelerator_config", "dataloader_drop_last"),
    *("seed", "data_seed", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "eval_on_start"),
    *("optim", "optim_args", "optim_target_modules"),
    *("load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
)
_APPLIED = (
    *("num_train_epochs", "max_steps", "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"),
    *("max_grad_norm", "label_smoothing_factor", "average_tokens_across_devices", "bf16", "tf32"),
    *("logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter"),
    *("include_num_input_tokens_seen", "eval_strategy", "eval_steps", "eval_delay", "per_device_eval_batch_size"),
    *("save_strategy", "save_steps", "save_total_limit", "save_only_model"),
    *("ignore_data_skip", "restore_callback_states_from_checkpoint"),
)
_FREE = (
    *("output_dir", "run_name", "resume_from_checkpoint", "report_to", "project", "trackio_space_id"),
    *("trackio_bucket_id", "trackio_static_space_id", "log_on_each_node", "log_level", "log_level_replica"),
    *("save_on_each_node", "full_determinism", "use_cpu", "debug", "skip_memory_metrics", "torch_empty_cache_steps"),
    *("activation_checkpointing", "activation_checkpointing_kwargs"),
    *("gradient_checkpointing", "gradient_checkpointing_kwargs"),
    *("torch_compile", "torch_compile_backend", "torch_compile_mode"),
    *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_in_order"),
    *("dataloader_prefetch_factor", "dataloader_multiprocessing_context"),
    *("ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
    *("ddp_backend", "ddp_timeout"),
)

RULES: Mapping[str, Rule] = {
    **_RUN_RULES,
    **dict.fromkeys(_RESTORED, "restored"),
    **dict.fromkeys(_APPLIED, "applied"),
    **dict.fromkeys(_FREE, "free"),
}
"""Setting -> rule, for `RunOptions` and `TrainingArguments`; all options of a dataset and of a model are restored."""


@dataclass(frozen=True)
class Change:
    """A setting that a resumed run applies from the checkpoint's step on."""

    name: str
    before: Any
    after: Any
    step: int


def changes_on_resume(before: Mapping[str, Any], after: Mapping[str, Any], step: int) -> list[Change]:
    """Return what a resumed run changes.

    Args:
        before: the resolved settings of the run (`settings.json`). after: those of this command.
        step: the checkpoint's.

    Raises:
        UserError: a setting that the checkpoint fixes is different.
    """
    differing = [name for name in after if name in before and before[name] != after[name]]
    fixed = [name for name in differing if RULES.get(name, "restored") == "restored"]
    if fixed:
        texts = [f"--{name} is {after[name]} instead of {before[name]}" for name in fixed]
        raise UserError(
            f"a resumed run keeps its data, model, optimizer and schedule, but {', '.join(texts)}; leave that out, or"
            " start a new run from these weights with --init_from"
        )
    return [Change(name, before[name], after[name], step) for name in differing if RULES[name] == "applied"]
