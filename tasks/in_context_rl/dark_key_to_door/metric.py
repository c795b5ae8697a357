"""The metric of `dark_key_to_door`: returns in context, between random and optimal."""

from tasks.in_context_rl.metric import ReturnInContext

__all__ = ["ReturnInContext"]
