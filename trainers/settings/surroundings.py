"""Read as settings what accelerate's launcher asks for."""

import os
from typing import TYPE_CHECKING

from trainers.errors import UserError
from trainers.settings.layers import Layer, is_true

if TYPE_CHECKING:
    from transformers import TrainingArguments

LAUNCHER = "accelerate launch"
"""The name of the launcher's layer."""
_PRECISIONS = {"": {}, "no": {}, "bf16": {"precision": ["bfloat16"]}, "fp16": {"fp16": ["true"]}}


def launcher_layer() -> Layer:
    """Return as flags what the variables ask for that `accelerate launch` sets, and which reach past the settings.

    Raises:
        UserError: it asks for something that no run does.
    """
    asked = {name: value.lower() for name, value in os.environ.items() if name.startswith("ACCELERATE_")}
    precision = asked.get("ACCELERATE_MIXED_PRECISION", "")
    if precision not in _PRECISIONS or asked.get("ACCELERATE_USE_MEGATRON_LM") == "true":
        what = "Megatron-LM" if precision in _PRECISIONS else f"--mixed_precision {precision}"
        raise UserError(f"{LAUNCHER} asks for {what}, which no run does; launch with a file of configs/accelerate/")
    layer: Layer = dict(_PRECISIONS[precision])
    if (backend := asked.get("ACCELERATE_DYNAMO_BACKEND", "no")) not in ("", "no"):
        layer["torch_compile_backend"] = [backend]
        if (mode := asked.get("ACCELERATE_DYNAMO_MODE", "default")) != "default":
            layer["torch_compile_mode"] = [mode]
    if (steps := asked.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")) not in ("", "1"):
        layer["gradient_accumulation_steps"] = [steps]
    switches = {"use_cpu": "USE_CPU", "deepspeed": "USE_DEEPSPEED", "parallelism_config": "USE_PARALLELISM_CONFIG"}
    on = [flag for flag, name in switches.items() if is_true([asked.get(f"ACCELERATE_{name}") or "false"])]
    return {**layer, **{flag: ["true"] for flag in on}}


def follow_settings(training: "TrainingArguments") -> None:
    """Let the settings decide on the precision; the launcher's word would pass them by.

    Raises:
        UserError: several processes were started that would share one device.
    """
    training.mixed_precision = "bf16" if training.bf16 else "no"  # pyright: ignore[reportAttributeAccessIssue]
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        os.environ["ACCELERATE_MIXED_PRECISION"] = training.mixed_precision
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and training.world_size == 1:
        raise UserError(f"{started} processes were started, but there is no GPU for them; add --use_cpu, or start one")
