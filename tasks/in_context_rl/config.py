"""Config of a `HistoryModel`: its sizes, its schedule, and the batches that it is trained on."""

import math

import numpy as np
from transformers import PreTrainedConfig

from tasks.in_context_rl.compression import Schedule, ScheduleRange, read_range
from tasks.in_context_rl.depths import DepthPlan, plan_depths
from tasks.in_context_rl.encoding import field_sizes
from tasks.in_context_rl.options import HistoryModelOptions
from tasks.in_context_rl.rooms import N_ACTIONS


class HistoryConfig(PreTrainedConfig, HistoryModelOptions):
    """Sizes of a `HistoryModel`: the fields of `HistoryModelOptions`, and what the room has of everything."""

    model_type = "in_context_rl"
    size: int = 9
    n_actions: int = N_ACTIONS
    n_rewards: int = 2
    depth_weights: str = "0:1"
    tie_word_embeddings: bool = False

    @property
    def schedule(self) -> Schedule:
        """Steps at which a history is compressed."""
        return Schedule(self.window, self.keep)

    @property
    def training_schedules(self) -> ScheduleRange:
        """Schedules of training batches.

        Raises:
            ValueError: `train_strides` or `train_windows` cannot be parsed, or leave a stride without a window.
        """
        own, strides, windows = self.schedule, self.train_strides, self.train_windows
        strides = (own.stride, own.stride) if strides is None else read_range(strides)
        windows = (own.window, own.window) if windows is None else read_range(windows)
        if strides[1] > windows[1]:
            raise ValueError(f"no window is as long as a stride of {strides[1]}")
        return ScheduleRange(strides, windows)

    @property
    def field_sizes(self) -> list[int]:
        """Number of values of each field of a step."""
        return field_sizes(self.size, self.n_actions, self.n_rewards)

    def depths(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the depths that share the loss, in order, and their shares.

        Raises:
            ValueError: `depth_weights` cannot be parsed.
        """
        pairs = [part.split(":") for part in self.depth_weights.split(",")]
        depth_D, weight_D = np.array([int(depth) for depth, _ in pairs]), np.array([float(w) for _, w in pairs])
        if depth_D.min() < 0 or len(np.unique(depth_D)) < len(depth_D):
            raise ValueError("depths are different whole numbers from 0 on")
        if not (weight_D > 0).all() or not math.isfinite(float(weight_D.sum())):
            raise ValueError("weights are above 0")
        order = np.argsort(depth_D)
        return depth_D[order], weight_D[order] / weight_D.sum()

    def depth_plan(self, schedule: Schedule | None = None) -> DepthPlan:
        """Return how training batches of a schedule, by default the model's own, are drawn and weighed."""
        return plan_depths(schedule or self.schedule, *self.depths())
