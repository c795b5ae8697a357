"""The champion made of PyTorch's own layers: the contender of `tasks.arc.bench`, not a model to train.

Shapes and sizes are those of the first experiments: width 160, one encoder and three decoder layers, a context encoder
of width 32 with PyTorch's default inner width of 2,048 over grids padded to 30 x 30, one context vector per example.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import CausalLMOutput

from tasks.arc.grids import BOS, PAD, VOCABULARY_SIZE
from trainers.contract import IGNORE

_WIDTH, _HEADS, _INNER, _CONTEXT_WIDTH = 160, 4, 640, 32


class StockChampion(nn.Module):
    """Teacher forcing only; about 1.7 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        layer = {"dropout": 0.1, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.embedding = nn.Embedding(VOCABULARY_SIZE, _WIDTH)
        self.encoder = nn.TransformerEncoderLayer(_WIDTH, _HEADS, _INNER, **layer)
        self.decoder = nn.ModuleList([nn.TransformerDecoderLayer(_WIDTH, _HEADS, _INNER, **layer) for _ in range(3)])
        self.context_embedding = nn.Embedding(VOCABULARY_SIZE, _CONTEXT_WIDTH)
        self.context_layer = nn.TransformerEncoderLayer(_CONTEXT_WIDTH, 8, dropout=0.0, batch_first=True)
        self.context_cross = nn.MultiheadAttention(_CONTEXT_WIDTH, 8, batch_first=True)
        self.bridge = nn.Linear(_WIDTH + _CONTEXT_WIDTH, _WIDTH)
        self.bridge_norm = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, VOCABULARY_SIZE)

    def forward(
        self, grids: torch.Tensor, input_ids: torch.Tensor, labels: torch.Tensor, context_ids: torch.Tensor
    ) -> CausalLMOutput:
        """Return loss and logits; the demonstrations are `grids` (B, 4, 900), not `context_ids`."""
        seen = torch.cat([torch.full_like(labels[:, :1], BOS), labels[:, :-1]], dim=1)
        seen = seen.masked_fill(seen == IGNORE, PAD)
        memory = self.encoder(self.embedding(input_ids.long()) * math.sqrt(_WIDTH))
        hidden = self.embedding(seen) * math.sqrt(_WIDTH)
        causal = nn.Transformer.generate_square_subsequent_mask(seen.shape[1])
        for layer in self.decoder:
            hidden = layer(hidden, memory, tgt_mask=causal)
        context = self._context(grids)[:, None].expand(-1, hidden.shape[1], -1)
        hidden = self.bridge_norm(F.relu(self.bridge(torch.cat([hidden, context], dim=-1))))
        logits = self.head(hidden)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        return CausalLMOutput(loss=loss, logits=logits)  # pyright: ignore[reportArgumentType]

    def _context(self, grids: torch.Tensor) -> torch.Tensor:
        """Return one vector (B, 32) for the demonstrations of each example."""
        batch, n_grids, _ = grids.shape
        flat = grids.flatten(0, 1)
        states = self.context_layer(self.context_embedding(flat) * math.sqrt(_CONTEXT_WIDTH))
        real = (flat != PAD)[..., None]
        pooled = ((states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)).unflatten(0, (batch, n_grids))
        before, after = pooled.chunk(2, dim=1)
        mixed, _ = self.context_cross(after, before, before)
        return (mixed + after).mean(dim=1)
