"""Qwen2 and Llama with a training pass that computes nothing twice and nothing that the loss does not need.

Rows of a text task begin alike (`<bos>loc(c_`), and only the answer has a loss. So what all rows share is read once
for the whole batch, `<eos>` is never read, and behind the last attention only the answers' positions go on. The loss
and its gradients are those of transformers' own pass, which is used for everything else: a test compares both.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
import transformers
from transformers.modeling_outputs import CausalLMOutputWithPast

from trainers.folded import attend, folded, is_supported, mlp, normed, turned, turns

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

IGNORE = -100  # the label that losses leave out


class _AnswerLoss:
    """Adds the short training pass to a causal language model of transformers."""

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
        n_shared: int | None = None,
        n_answer: int | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """The loss alone if `n_shared` and `n_answer` come with `labels`, else what transformers gives.

        Arguments:
            n_shared: how many first tokens are the same in every row, without one that predicts an answer's token.
            n_answer: labelled tokens of the row that has most; those of a row stand side by side.
            num_items_in_batch: labelled tokens of all batches of a step, by which the sum is divided.
        """
        is_short = bool(n_shared) and n_answer is not None and labels is not None and input_ids is not None
        if is_short and is_supported(self) and not self.is_activation_checkpointing:
            return CausalLMOutputWithPast(
                loss=_answer_loss(self, input_ids, labels, n_shared, n_answer, num_items_in_batch)  # pyright: ignore
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


def _answer_loss(
    model: Any,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    n_shared: int,
    n_answer: int,
    num_items: torch.Tensor | int | None,
) -> torch.Tensor:
    """The mean loss over labelled tokens, or their sum divided by `num_items`."""
    inner, eps = model.model, model.config.rms_norm_eps
    ids_BT, next_BT = input_ids[:, :-1], labels[:, 1:]  # nothing is predicted from the last token
    batch, n_own = len(ids_BT), ids_BT.shape[1] - n_shared
    sizes = [n_shared, batch * n_own]
    turn = turns(inner.rotary_emb.inv_freq, ids_BT.shape[1])
    turn = torch.cat([turn[:, :n_shared], turn[:, n_shared:].repeat(1, batch, 1)], dim=1)[:, :, None]
    hidden = inner.embed_tokens(torch.cat([ids_BT[0, :n_shared], ids_BT[:, n_shared:].flatten()]))
    for layer in inner.layers:
        block = folded(layer)
        projected = F.linear(normed(hidden, eps), block.query_key_value, block.query_key_value_bias)
        mixed = _attend(projected, turn, sizes, batch, layer.self_attn.head_dim)
        if layer is inner.layers[-1]:
            row_BA, next_BA = _answer_rows(next_BT, n_answer, n_shared)
            mixed, hidden = mixed[row_BA], hidden[row_BA]
        hidden = hidden + F.linear(mixed, block.output)
        hidden = hidden + mlp(hidden, block, eps)
    logits = F.linear(normed(hidden, eps), model.lm_head.weight * inner.norm.weight).float()
    loss = F.cross_entropy(logits, next_BA, ignore_index=IGNORE, reduction="mean" if num_items is None else "sum")
    return loss if num_items is None else loss / num_items


def _attend(projected: torch.Tensor, turn: torch.Tensor, sizes: list[int], batch: int, head_size: int) -> torch.Tensor:
    """Causal attention; shared tokens see each other, own ones the shared and those of their row: (P + B * S, E)."""
    query_key, value = projected.unflatten(-1, (3, -1, head_size)).split([2, 1], dim=1)
    query, key = turned(query_key, turn[:, :, :, None]).unbind(dim=1)
    shared, own = zip(*(x.split(sizes) for x in (query, key, value.squeeze(1))), strict=True)  # split: its gradient is
    query_S, key_S, value_S = (x.transpose(0, 1)[None] for x in shared)  # one `cat`, a slice's a matrix of zeros
    mixed_S = attend(query_S, key_S, value_S)
    query_B, key_B, value_B = (x.unflatten(0, (batch, -1)).transpose(1, 2) for x in own)
    key_B, value_B = (
        torch.cat([before.expand(batch, -1, -1, -1), x], dim=2) for before, x in ((key_S, key_B), (value_S, value_B))
    )
    mixed_B = attend(query_B, key_B, value_B)
    return torch.cat([x.transpose(1, 2).flatten(0, 1).flatten(1) for x in (mixed_S, mixed_B)])


def _answer_rows(next_BT: torch.Tensor, n_answer: int, n_shared: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the answers are predicted in the flat matrix, and what is next there; both (B * A,)."""
    width = next_BT.shape[1]
    first_B = next_BT.ne(IGNORE).int().argmax(dim=1)
    place_BA = first_B[:, None] + torch.arange(n_answer, device=next_BT.device)
    inside_BA = place_BA < width
    place_BA = place_BA.clamp(max=width - 1)
    next_BA = next_BT.gather(1, place_BA).masked_fill(~inside_BA, IGNORE)
    row_B = n_shared + torch.arange(len(next_BT), device=next_BT.device) * (width - n_shared)
    return (row_B[:, None] + place_BA - n_shared).flatten(), next_BA.flatten()
