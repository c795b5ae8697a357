"""The metric of `darkroom_permuted`: returns in context, between random and optimal."""

from tasks.in_context_rl.metric import ReturnInContext

__all__ = ["ReturnInContext"]
