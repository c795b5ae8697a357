"""Qwen2 and Llama with a training pass that computes nothing twice and nothing that the loss does not need.

Rows of a text task begin alike (`<bos>loc(c_`), and only the answer has a loss. So what all rows share is read once
for the whole batch, `<eos>` is never read, rows of like length are computed together, so that there is little padding,
and behind the last attention only the answers' positions go on. The loss and its gradients are those of transformers'
own pass, which is used for everything else: a test compares both.
"""

from typing import TYPE_CHECKING, Any, TypedDict

import torch
import torch.nn.functional as F
import transformers
from transformers.modeling_outputs import CausalLMOutputWithPast

from trainers.contract import IGNORE
from trainers.models.fused_blocks import apply_rotary, attend, fuse_block, is_supported, mlp, rms_norm, rotary_table

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

Shapes = list[tuple[int, int]]
"""Rows of a group, and how many own tokens each has."""


class BatchPlan(TypedDict):
    """What is known of a batch before it is computed: numbers of the host, so that a GPU is never waited for.

    Attributes:
        n_shared: how many first tokens are the same in every row; none of them predicts a token of an answer.
        n_answer: labelled tokens of the row that has most; those of a row stand side by side.
        order_B: the rows by length, (B,) int64. groups: how many of them have which width, in this order: each group
            is computed as wide as its longest row.
    """

    n_shared: int
    n_answer: int
    order_B: torch.Tensor
    groups: list[tuple[int, int]]


class _AnswerLoss:
    """Adds the short training pass to a causal language model of transformers."""

    stock_forward = False
    """Whether the passes of transformers are used for everything, as with --stock_forward."""

    def forward(
        self: Any,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: "Cache | None" = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        known: BatchPlan | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """The loss alone if `labels` come with what is `known` of the batch, else what transformers gives.

        Arguments:
            known: what need not be computed. num_items_in_batch: labelled tokens of all batches of a step, by which
                the sum of losses is divided.
        """
        is_short = known is not None and known["n_shared"] > 0 and labels is not None and input_ids is not None
        # Where PyTorch cuts a batch up for several GPUs of one process, what is known is not of the pieces.
        is_short = is_short and sum(rows for rows, _ in known["groups"]) == len(input_ids)  # pyright: ignore
        if is_short and is_supported(self) and not self.is_activation_checkpointing:
            return CausalLMOutputWithPast(
                loss=_answer_loss(self, input_ids, labels, known, num_items_in_batch)  # pyright: ignore
            )
        if num_items_in_batch is not None:
            kwargs["num_items_in_batch"] = num_items_in_batch
        return super().forward(  # pyright: ignore[reportAttributeAccessIssue]
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )


class Qwen2ForCausalLM(_AnswerLoss, transformers.Qwen2ForCausalLM):
    """The name is transformers' own, which is what a saved config.json must say."""


class LlamaForCausalLM(_AnswerLoss, transformers.LlamaForCausalLM):
    """The name is transformers' own, which is what a saved config.json must say."""


CAUSAL_LMS = {"qwen2": Qwen2ForCausalLM, "llama": LlamaForCausalLM}


def describe_pass(model: Any, is_sharded: bool, recomputes: bool) -> str:
    """Which pass a text model is trained by; empty for other models.

    Arguments:
        is_sharded: whether a launcher will shard the model. recomputes: whether activations will be checkpointed.
    """
    if not isinstance(model, _AnswerLoss):
        return ""
    is_short = is_supported(model) and not is_sharded and not recomputes  # pyright: ignore[reportArgumentType]
    return "training pass: " + ("trainers/models/causal_lm.py" if is_short else "transformers' own")


def _answer_loss(
    model: Any, ids_BT: torch.Tensor, labels_BT: torch.Tensor, known: BatchPlan, num_items: torch.Tensor | int | None
) -> torch.Tensor:
    """The mean loss over labelled tokens, or their sum divided by `num_items`."""
    inner, eps, n_shared = model.model, model.config.rms_norm_eps, known["n_shared"]
    shapes = [(rows, width - 1 - n_shared) for rows, width in known["groups"]]  # nothing follows from a last token
    groups = ids_BT[known["order_B"]].split([rows for rows, _ in shapes])
    own = [ids[:, n_shared : n_shared + length] for ids, (_, length) in zip(groups, shapes, strict=True)]
    hidden = inner.embed_tokens(torch.cat([ids_BT[0, :n_shared], *(ids.flatten() for ids in own)]))
    turn = _turns(rotary_table(inner.rotary_emb.inv_freq, ids_BT.shape[1]), n_shared, shapes)
    for layer in inner.layers:
        block = fuse_block(layer)
        projected = F.linear(rms_norm(hidden, eps), block.query_key_value, block.query_key_value_bias)
        mixed = _attend(projected, turn, n_shared, shapes, layer.self_attn.head_dim)
        if layer is inner.layers[-1]:
            place_BA, next_BA = _answers(labels_BT[known["order_B"]], known["n_answer"], n_shared, shapes)
            mixed, hidden = (x.index_select(0, place_BA) for x in (mixed, hidden))  # its gradient is 15 times cheaper
        hidden = hidden + F.linear(mixed, block.output)
        hidden = hidden + mlp(hidden, block, eps)
    logits = F.linear(rms_norm(hidden, eps), model.lm_head.weight * inner.norm.weight).float()
    loss = F.cross_entropy(logits, next_BA, ignore_index=IGNORE, reduction="mean" if num_items is None else "sum")
    return loss if num_items is None else loss / num_items


def _turns(turn: torch.Tensor, n_shared: int, shapes: Shapes) -> torch.Tensor:
    """Rotary positions of all tokens in the flat matrix, (2, N, 1, D)."""
    own = [turn[:, n_shared : n_shared + length].repeat(1, rows, 1) for rows, length in shapes]
    return torch.cat([turn[:, :n_shared], *own], dim=1)[:, :, None]


def _attend(projected: torch.Tensor, turn: torch.Tensor, n_shared: int, shapes: Shapes, head_size: int) -> torch.Tensor:
    """Causal attention; shared tokens see each other, own ones the shared and those of their row: (N, E)."""
    query_key, value = projected.unflatten(-1, (3, -1, head_size)).split([2, 1], dim=1)
    query, key = apply_rotary(query_key, turn[:, :, :, None]).unbind(dim=1)
    sizes = [n_shared, *(rows * length for rows, length in shapes)]
    # Split, not sliced: the gradient is then one `cat` instead of a matrix of zeros for every piece.
    shared, *groups = zip(*(x.split(sizes) for x in (query, key, value.squeeze(1))), strict=True)
    query_S, key_S, value_S = (x.transpose(0, 1)[None] for x in shared)
    mixed = [attend(query_S, key_S, value_S)]
    for own, (rows, _) in zip(groups, shapes, strict=True):
        query_G, key_G, value_G = (x.unflatten(0, (rows, -1)).transpose(1, 2) for x in own)
        key_G, value_G = (
            torch.cat([before.expand(rows, -1, -1, -1), x], dim=2) for before, x in ((key_S, key_G), (value_S, value_G))
        )
        mixed.append(attend(query_G, key_G, value_G))
    return torch.cat([x.transpose(1, 2).flatten(0, 1).flatten(1) for x in mixed])


def _answers(
    labels_BT: torch.Tensor, n_answer: int, n_shared: int, shapes: Shapes
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the answers are predicted in the flat matrix, and what is next there; both (B * A,)."""
    device = labels_BT.device
    next_BT = labels_BT[:, 1:]
    length_B = torch.cat([torch.full((rows,), length, device=device) for rows, length in shapes])
    start_B = n_shared + length_B.cumsum(0) - length_B
    place_BA = next_BT.ne(IGNORE).int().argmax(dim=1)[:, None] + torch.arange(n_answer, device=device)
    last_B1 = (n_shared + length_B - 1)[:, None]
    next_BA = next_BT.gather(1, place_BA.clamp(max=next_BT.shape[1] - 1)).masked_fill(place_BA > last_B1, IGNORE)
    return (start_B[:, None] - n_shared + place_BA.minimum(last_B1)).flatten(), next_BA.flatten()
