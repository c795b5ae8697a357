"""Every field of transformers.TrainingArguments is used, passed on or refused: nothing is accepted and then idle."""

import dataclasses

import pytest
from transformers import TrainingArguments

from trainers import registry
from trainers.errors import UserError
from trainers.settings.request import read_request
from trainers.settings.resolve import resolve_settings
from trainers.settings.run_options import REFUSED

USED = """
    output_dir run_name report_to resume_from_checkpoint seed data_seed use_cpu max_steps num_train_epochs
    per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps learning_rate
    lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args weight_decay adam_beta1 adam_beta2
    adam_epsilon max_grad_norm label_smoothing_factor bf16 torch_compile torch_compile_backend torch_compile_mode
    activation_checkpointing activation_checkpointing_kwargs include_num_input_tokens_seen logging_strategy
    logging_steps logging_first_step logging_nan_inf_filter eval_strategy eval_steps eval_delay eval_on_start
    save_strategy save_steps save_total_limit save_only_model load_best_model_at_end metric_for_best_model
    greater_is_better restore_callback_states_from_checkpoint dataloader_num_workers dataloader_pin_memory
    dataloader_drop_last ddp_find_unused_parameters
"""
"""Read by the stack itself, or run by one of its tests or configs."""

PASSED_ON = """
    optim_target_modules average_tokens_across_devices tf32 gradient_checkpointing gradient_checkpointing_kwargs
    torch_empty_cache_steps log_on_each_node log_level log_level_replica project trackio_space_id trackio_bucket_id
    trackio_static_space_id save_on_each_node ignore_data_skip full_determinism accelerator_config
    dataloader_persistent_workers dataloader_prefetch_factor dataloader_multiprocessing_context dataloader_in_order
    ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout debug skip_memory_metrics
"""
"""What transformers, accelerate or PyTorch do alone, whatever is trained."""


def test_every_field_of_the_pinned_transformers_is_classified_once():
    fields = [field.name for field in dataclasses.fields(TrainingArguments)]
    classified = [*USED.split(), *PASSED_ON.split(), *REFUSED]
    assert not [name for name in fields if name not in classified], "new upstream: use, pass on or refuse them"
    assert not [name for name in classified if name not in fields], "gone upstream"
    assert not [name for name in classified if classified.count(name) > 1]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_settings_are_named_with_their_reason(name):
    with pytest.raises(UserError, match=f"--{name} .*{REFUSED[name][:20]}"):
        read_request(["--task", "location", f"--{name}=1"], registry.load)


@pytest.mark.parametrize(
    ("value", "counted"), [("all", "all"), ("true", "all"), ("non_padding", "non_padding"), ("no", "no"), (None, "all")]
)
def test_every_way_to_count_tokens_can_be_asked_for(value, counted):
    argv = ["--task", "location", "--use_cpu", "--include_num_input_tokens_seen", *([value] if value else [])]
    assert resolve_settings(read_request(argv, registry.load)).training.include_num_input_tokens_seen == counted


def test_another_way_to_count_tokens_is_refused():
    argv = ["--task", "location", "--use_cpu", "--include_num_input_tokens_seen", "some"]
    with pytest.raises(UserError, match="choose all, non_padding or no"):
        resolve_settings(read_request(argv, registry.load))
