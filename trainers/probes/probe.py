"""The interface of a probe, and the result of fitting one to a checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tokenization.characters import VOCABULARY, Vocabulary
from trainers.common.metric_names import flatten
from trainers.contract import StoredDataset, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel
from trainers.probes.hidden_states import extract_hidden_states


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
        """All numbers in one level, as they are written: a baseline of x is `baseline_x`."""
        return flatten(self.metrics, self.baselines, {})


class Probe(ABC):
    """A linear probe of one task: which prompts it shows to a model, and what it fits to the hidden states.

    Attributes:
        options: dataclass of what it can be asked for; every field is a flag of `world-models probe`.
        label: names a choice of options in file and metric names.
        prompts: texts, one for each thing that is probed.
        blocks: numbers, from 1, of the blocks whose outputs are read (0 is the embedding).
        tokens: how many of a prompt's last tokens are read.
        vocabulary: of the model's tokenizer.
    """

    options: ClassVar[type]
    label: str
    prompts: Sequence[str]
    blocks: Sequence[int]
    tokens: int
    vocabulary: Vocabulary = VOCABULARY

    @abstractmethod
    def __init__(self, options: Any, task: Task, data: StoredDataset, n_blocks: int) -> None:
        """Prepare the probe of a model of the task with `n_blocks` blocks that was trained on `data`."""

    @abstractmethod
    def fit(self, states_NLTD: np.ndarray) -> ProbeResult:
        """Fit to the hidden states of the prompts: `blocks` along L, the last `tokens` in order of the text along T."""

    @abstractmethod
    def draw_curves(self, steps: Sequence[int], readings: Sequence[ProbeResult]) -> "Figure":
        """The readings over training."""

    def read(self, model: "PreTrainedModel") -> ProbeResult:
        """Fit the probe to a model."""
        return self.fit(extract_hidden_states(model, self.prompts, self.blocks, self.tokens, self.vocabulary))
