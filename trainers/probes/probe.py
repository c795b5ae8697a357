"""Interface of a linear probe, hidden states of prompts, and linear CKA."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from tokenization import VocabularyError
from tokenization.characters import VOCABULARY, ColumnEncoder, Vocabulary
from trainers.common.metric_names import flatten
from trainers.contract import StoredDataset, Task
from trainers.errors import UserError
from trainers.models.autocast import without_autocast

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel

_PROMPTS_AT_ONCE = 1024


@dataclass(frozen=True)
class ProbeResult:
    """Result of fitting a probe to one checkpoint."""

    metrics: Mapping[str, float]
    """Name -> value."""
    draw: "Callable[[str], Figure]"
    """Title -> figure (a frame of the animation too)."""
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metric -> name -> what a trivial answer scores on it; "" names the only one."""
    decoded: Any = None
    """What was decoded of every prompt."""

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

    def draw_page(self, results: Mapping[int, ProbeResult]) -> str | None:
        """Draw the results by step as an HTML page of its own; None: the probe has no such page."""
        return None

    def states(self, model: "PreTrainedModel") -> np.ndarray:
        """Return a model's hidden states of the prompts, as `fit` takes them."""
        return extract_hidden_states(model, self.prompts, self.blocks, self.tokens, self.vocabulary)


@torch.no_grad()
def extract_hidden_states(
    model: "PreTrainedModel",
    prompts: Sequence[str],
    blocks: Sequence[int],
    tokens: int,
    vocabulary: Vocabulary = VOCABULARY,
) -> np.ndarray:
    """Return outputs of blocks at the last tokens of prompts, (N, len(blocks), tokens, D) float32.

    Args:
        model: A causal language model over the tokens of `vocabulary`.
        prompts: Texts without `<bos>`.
        blocks: 0 is the embedding, b the output of block b; that of the last block has gone through the final norm.

    Raises:
        UserError: the model has no such block, or the prompts do not fit.
    """
    n_blocks = int(model.config.num_hidden_layers)
    if bad := [block for block in blocks if not 0 <= block <= n_blocks]:
        raise UserError(f"block {bad[0]} is asked for, but the model has the blocks 1 to {n_blocks} (0: the embedding)")
    try:
        encoded = ColumnEncoder(vocabulary).encode(prompts, [""] * len(prompts))
    except VocabularyError as error:
        raise UserError(f"the prompts do not fit the tokenizer: {error}") from error
    if (shortest := int(encoded.prompt_len_N.min())) < tokens:
        raise UserError(f"{tokens} tokens are read, but a prompt has {shortest}; give a longer one")
    was_training = model.training
    model.eval()
    parts = []
    for begin in range(0, len(prompts), _PROMPTS_AT_ONCE):
        part = slice(begin, begin + _PROMPTS_AT_ONCE)
        ids_NT = torch.from_numpy(encoded.ids_NT[part]).long().to(model.device)
        # Padding is on the right, where a causal model's real tokens cannot see it.
        with without_autocast(model):
            output = model(ids_NT, output_hidden_states=True, logits_to_keep=1)
        column_NK = (torch.from_numpy(encoded.prompt_len_N[part])[:, None] + torch.arange(-tokens, 0)).to(model.device)
        row_N1 = torch.arange(len(ids_NT), device=model.device)[:, None]
        parts.append(torch.stack([output.hidden_states[block][row_N1, column_NK] for block in blocks], dim=1))
    model.train(was_training)
    return torch.cat(parts).float().cpu().numpy()


def linear_cka(x_ND: np.ndarray, y_NE: np.ndarray) -> float:
    """Return the similarity, 0 to 1, of two representations of the same N things, blind to rotation and scale.

    Source: Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", eq. for linear CKA.
    """
    x_ND, y_NE = (np.asarray(z, np.float64) - np.mean(z, axis=0, dtype=np.float64) for z in (x_ND, y_NE))
    shared = np.linalg.norm(y_NE.T @ x_ND) ** 2
    own = np.linalg.norm(x_ND.T @ x_ND) * np.linalg.norm(y_NE.T @ y_NE)
    return float(shared / own) if own > 0 else 0.0
