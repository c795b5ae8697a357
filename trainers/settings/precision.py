"""Decide in which precision a run computes: bfloat16 where the processor has units for it, unless told otherwise."""

from typing import TYPE_CHECKING

from trainers.settings.layers import Layer, is_true

if TYPE_CHECKING:
    from transformers import TrainingArguments

_UNITS = ("amx_bf16", "avx512_bf16")


def settle_precision(flags: Layer) -> Layer:
    """Return the flags with --precision decided, also where --bf16 (its older name) or nothing is given.

    `TrainingArguments` follows it by `bf16`; without an accelerator it would refuse that without --use_cpu.
    """
    import torch

    asked = " ".join(flags.get("precision", ["auto"]))
    if "bf16" in flags:  # what is neither true nor false stays, for the parser to refuse
        asked = "bfloat16" if is_true(flags["bf16"]) else "float32"
    on_cpu = is_true(flags.get("use_cpu", ["false"])) or not torch.accelerator.is_available()
    chosen = asked if asked != "auto" else "bfloat16" if has_bfloat16_units(on_cpu) else "float32"
    is_bfloat16 = chosen == "bfloat16"
    forced = {"use_cpu": ["true"]} if is_bfloat16 and on_cpu else {}
    return {"bf16": [str(is_bfloat16)], **flags, **forced, "precision": [chosen]}


def has_bfloat16_units(on_cpu: bool) -> bool:
    """Return whether products of bfloat16 are faster than those of float32 on the device that trains."""
    import torch

    if on_cpu:
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(unit, False) for unit in _UNITS)
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def describe_precision(training: "TrainingArguments") -> str:
    """Return one line on the precision of a run, and on whether it is the faster one."""
    has_units = has_bfloat16_units(training.device.type == "cpu")
    if not training.bf16:
        return "precision   float32" + (", without the processor's units for bfloat16" if has_units else "")
    units = "units" if has_units else "no units: float32 is faster"
    return f"precision   bfloat16 (weights and optimizer float32), for which the processor has {units}"
