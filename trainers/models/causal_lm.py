"""Qwen2 and Llama with a training pass that computes nothing twice and nothing that the loss does not need.

Rows of a text task begin alike (`<bos>loc(c_`), and only the answer has a loss. Tokens that all rows share, or in a
mixture those of one task, are read once a batch, `<eos>` is never read, rows of like length are computed together with
little padding, and behind the last attention only the answers' positions go on. Loss and gradients are those of
transformers' own pass, which is used for everything else: a test compares both.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from transformers.modeling_outputs import CausalLMOutputWithPast

from trainers.contract import IGNORE
from trainers.models.batch_plan import BatchPlan, Beginning, rows_of
from trainers.models.cuda_graph import GraphedLoss, LossOf
from trainers.models.fused_blocks import (
    FusedBlock,
    apply_rotary,
    attend,
    fuse_block,
    is_supported,
    mlp,
    rms_norm,
    rotary_table,
)

Shapes = list[Beginning]
"""Of every beginning the shared tokens, and of its groups the rows and the tokens that each row does not share."""

Halves = tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]
"""What a block does up to its attention, and what it does behind."""


class _AnswerLoss:
    """Adds the short training pass to a causal language model of transformers."""

    stock_forward = False
    """Whether the passes of transformers are used for everything, as with --stock_forward."""
    compiled_rows = 0
    """Rows of the training batches whose blocks are compiled: of full ones, all of one width. Others are not."""
    graphed_loss: GraphedLoss | None = None
    """On a GPU, what replays the pass of these batches instead."""

    def forward(
        self: Any,
        input_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        known: BatchPlan | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return the loss alone for `labels` with a plan of the batch (`known`), else what transformers returns.

        The sum of losses is divided by `num_items_in_batch`, the labelled tokens of all batches of a step, if given.
        """
        is_short = known is not None and labels is not None and input_ids is not None
        is_short = is_short and all(n_shared > 0 for n_shared, _ in known["beginnings"])  # pyright: ignore
        # Where PyTorch cuts a batch up for several GPUs of one process, the plan is not one of the pieces.
        is_short = is_short and rows_of(known["beginnings"]) == len(input_ids)  # pyright: ignore
        if is_short and is_supported(self) and not self.is_activation_checkpointing:
            loss_of = self._loss_of(len(input_ids))  # pyright: ignore[reportArgumentType]
            loss = loss_of(self, input_ids, labels, known, kwargs.get("num_items_in_batch"))
            return CausalLMOutputWithPast(loss=loss)  # pyright: ignore[reportArgumentType]
        return super().forward(input_ids=input_ids, labels=labels, **kwargs)  # pyright: ignore

    def _loss_of(self: Any, n_rows: int) -> LossOf:
        """Return what computes the loss of a batch: the pass below, compiled or replayed for full ones in training."""
        if not self.training or n_rows != self.compiled_rows:
            return _answer_loss
        return self.graphed_loss or functools.partial(_answer_loss, halves=_compiled_halves())

    # `generate` and the Trainer read from the signature what a model takes.
    forward.__signature__ = inspect.signature(transformers.LlamaForCausalLM.forward)  # pyright: ignore


class Qwen2ForCausalLM(_AnswerLoss, transformers.Qwen2ForCausalLM):
    """Named as in transformers, since config.json stores the name."""


class LlamaForCausalLM(_AnswerLoss, transformers.LlamaForCausalLM):
    """Named as in transformers, since config.json stores the name."""


CAUSAL_LMS = {"qwen2": Qwen2ForCausalLM, "llama": LlamaForCausalLM}


def describe_pass(model: Any, is_planned: bool, is_sharded: bool, recomputes: bool) -> str:
    """Return which pass trains a text model, whose batches may have a plan and which a launcher may shard."""
    if not is_planned or is_sharded or recomputes or not is_supported(model):
        return "training pass: transformers' own"
    how = ", replayed as CUDA graphs" if model.graphed_loss else ", compiled"
    return "training pass: trainers/models/causal_lm.py" + (how if model.compiled_rows else "")


def compile_training(model: Any, n_rows: int) -> None:
    """Have the pass of full training batches, of so many rows each, compiled; on a GPU, recorded as CUDA graphs."""
    model.compiled_rows = n_rows
    model.graphed_loss = GraphedLoss(_answer_loss) if model.device.type == "cuda" else None


def _answer_loss(
    model: Any,
    ids_BT: torch.Tensor,
    labels_BT: torch.Tensor,
    known: BatchPlan,
    num_items: torch.Tensor | int | None,
    halves: Halves | None = None,
) -> torch.Tensor:
    """Return the mean loss over labelled tokens, or their sum divided by `num_items`.

    Args:
        halves: `_mix` and `_finish` compiled.
    """
    mix, finish = halves or (_mix, _finish)
    inner, eps = model.model, model.config.rms_norm_eps
    shapes = [(n, [(rows, width - 1 - n) for rows, width in groups]) for n, groups in known["beginnings"]]
    hidden = inner.embed_tokens(_read(ids_BT[known["order_B"]], shapes))
    turn = _turns(rotary_table(inner.rotary_emb.inv_freq, ids_BT.shape[1]), shapes)
    for layer in inner.layers:
        block = fuse_block(layer)
        mixed = mix(hidden, block, turn, shapes, layer.self_attn.head_dim, eps)
        if layer is inner.layers[-1]:
            # The gradient of `index_select` is 15 times cheaper than that of indexing.
            mixed, hidden = (x.index_select(0, known["place_A"]) for x in (mixed, hidden))
        hidden = finish(hidden, mixed, block, eps)
    with torch.autocast(hidden.device.type, enabled=False):
        head = model.lm_head.weight * inner.norm.weight
        logits = F.linear(rms_norm(hidden.to(head.dtype), eps), head).float()
    labels_A = labels_BT.flatten().index_select(0, known["label_A"])
    loss = F.cross_entropy(logits, labels_A, ignore_index=IGNORE, reduction="mean" if num_items is None else "sum")
    return loss if num_items is None else loss / num_items


def _read(ids_BT: torch.Tensor, shapes: Shapes) -> torch.Tensor:
    """Return the ids that are read, (N,): of every beginning the shared ones, then group by group each row's own."""
    parts, first = [], 0
    for n_shared, groups in shapes:
        parts.append(ids_BT[first, :n_shared])
        for rows, length in groups:
            parts.append(ids_BT[first : first + rows, n_shared : n_shared + length].flatten())
            first += rows
    return torch.cat(parts)


def _mix(
    hidden: torch.Tensor, block: FusedBlock, turn: torch.Tensor, shapes: Shapes, head_size: int, eps: float
) -> torch.Tensor:
    """Apply the first half of a block, up to the output matrix of its attention, (N, E)."""
    projected = F.linear(rms_norm(hidden, eps), block.query_key_value, block.query_key_value_bias)
    return _attend(projected, turn, shapes, head_size)


def _finish(hidden: torch.Tensor, mixed: torch.Tensor, block: FusedBlock, eps: float) -> torch.Tensor:
    """Apply the rest of a block, (N, E): it needs nothing of other tokens."""
    hidden = hidden + F.linear(mixed, block.output)
    return hidden + mlp(hidden, block, eps)


@functools.cache
def _compiled_halves() -> Halves:
    """Return both halves of a block compiled, once for all blocks: a whole model would take several times as long."""
    return torch.compile(_mix, dynamic=False), torch.compile(_finish, dynamic=False)


def _turns(turn: torch.Tensor, shapes: Shapes) -> torch.Tensor:
    """Return rotary positions of all tokens in the flat matrix, (2, N, 1, D)."""
    parts = []
    for n_shared, groups in shapes:
        parts += [turn[:, :n_shared]]
        parts += [turn[:, n_shared : n_shared + length].repeat(1, rows, 1) for rows, length in groups]
    return torch.cat(parts, dim=1)[:, :, None]


def _attend(projected: torch.Tensor, turn: torch.Tensor, shapes: Shapes, head_size: int) -> torch.Tensor:
    """Apply causal attention, (N, E): shared tokens see each other, others those of their beginning and their row."""
    query_key, value = projected.unflatten(-1, (3, -1, head_size)).split([2, 1], dim=1)
    query, key = apply_rotary(query_key, turn[:, :, :, None]).unbind(dim=1)
    sizes = [size for n, groups in shapes for size in (n, *(rows * length for rows, length in groups))]
    # Split, not sliced: the gradient is then one `cat` instead of a matrix of zeros for every piece.
    pieces = zip(*(x.split(sizes) for x in (query, key, value.squeeze(1))), strict=True)
    mixed = []
    for _, groups in shapes:
        query_S, key_S, value_S = (x.transpose(0, 1)[None] for x in next(pieces))
        mixed.append(attend(query_S, key_S, value_S))
        for rows, _ in groups:
            query_G, key_G, value_G = (x.unflatten(0, (rows, -1)).transpose(1, 2) for x in next(pieces))
            key_G, value_G = (
                torch.cat([before.expand(rows, -1, -1, -1), x], dim=2)
                for before, x in ((key_S, key_G), (value_S, value_G))
            )
            mixed.append(attend(query_G, key_G, value_G))
    return torch.cat([x.transpose(1, 2).flatten(0, 1).flatten(1) for x in mixed])
