"""When a history is compressed: one schedule for training, evaluation and acting.

The model sees at most `window` steps. When one more comes, the oldest `window - keep` leave; `compressed_ad` folds them
into its latents, `ad` forgets them. A step's depth is how often that has happened before it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """window: steps that are seen at once. keep: of these, how many stay when the window is full."""

    window: int
    keep: int

    @property
    def stride(self) -> int:
        """Steps that leave at once."""
        return self.window - self.keep

    def depth(self, step: int) -> int:
        """Depth of the step with this number, counted from 0."""
        return max(0, -(-(step + 1 - self.window) // self.stride))

    def length(self, depth: int) -> int:
        """Steps of a history that ends with the last one of this depth."""
        return self.window + depth * self.stride
