"""The interface of a probe, and the result of fitting one to a checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tokenization.characters import VOCABULARY, Vocabulary
from trainers.common.metric_names import flatten
from trainers.contract import StoredDataset, Task
from trainers.probes.hidden_states import extract_hidden_states

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class ProbeResult:
    """Result of fitting a probe to one checkpoint."""

    metrics: Mapping[str, float]
    """Name -> value."""
    draw: "Callable[[str], Figure]"
    """Title -> figure (a frame of the animation too)."""
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metric -> name -> what a trivial answer scores on it; "" names the only one."""

    def flat(self) -> dict[str, float]:
        """Return all numbers in one level, a baseline of x as `baseline_x`."""
        return flatten(self.metrics, self.baselines, {})


class Probe(ABC):
    """A linear probe of one task: the prompts it shows to a model, and what it fits to the hidden states."""

    options: ClassVar[type]
    """Dataclass whose fields are flags of `world-models probe`."""
    label: str
    """Names a choice of options in file and metric names."""
    prompts: Sequence[str]
    """One text for each thing that is probed."""
    blocks: Sequence[int]
    """Numbers, from 1, of the blocks whose outputs are read (0: the embedding)."""
    tokens: int
    """Number of last tokens of a prompt that are read."""
    vocabulary: Vocabulary = VOCABULARY
    """Of the model's tokenizer."""

    @abstractmethod
    def __init__(self, options: Any, task: Task, data: StoredDataset, n_blocks: int) -> None:
        """Prepare the probe of a model of the task with `n_blocks` blocks that was trained on `data`."""

    @abstractmethod
    def fit(self, states_NLTD: np.ndarray) -> ProbeResult:
        """Fit to hidden states of the prompts: `blocks` along L, the last `tokens` in order of the text along T."""

    @abstractmethod
    def draw_curves(self, steps: Sequence[int], results: Sequence[ProbeResult]) -> "Figure":
        """Draw the results over training steps."""

    def states(self, model: "PreTrainedModel") -> np.ndarray:
        """Return a model's hidden states of the prompts, as `fit` takes them."""
        return extract_hidden_states(model, self.prompts, self.blocks, self.tokens, self.vocabulary)
