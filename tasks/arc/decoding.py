"""Generate grids: greedy decoding with cached keys and values, and a second attempt."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from tasks.arc.colours import ColourCode
from tasks.arc.grids import BOS, EOS, N_COLOURS, PAD, ROW, VOCABULARY_SIZE, read_grid
from tasks.arc.model import ArcModel, Memory
from trainers.models.blocks import Cache


@dataclass
class Generated:
    """Decoded answers to B prompts.

    Attributes:
        ids_BT: int64, PAD after EOS. runner_up_BT: the second best token at each place. margin_BT: difference of
            the two best logits, infinite after EOS. log_likelihood_BT: of each token in nats, 0 after EOS.
    """

    ids_BT: torch.Tensor
    runner_up_BT: torch.Tensor
    margin_BT: torch.Tensor
    log_likelihood_BT: torch.Tensor


@dataclass(frozen=True)
class Prompts:
    """B encoded prompts.

    Attributes:
        ids_BL: the tokens before BOS for a decoder alone, PAD on the right; (B, 0) if there is an encoder.
    """

    ids_BL: torch.Tensor
    code: ColourCode
    memory: Memory


@dataclass
class _State:
    """State of decoding; `index_B`, `row_B`, `column_B` belong to the next token."""

    caches: list[Cache]
    visible_BL: torch.Tensor
    index_B: torch.Tensor
    row_B: torch.Tensor
    column_B: torch.Tensor


@torch.no_grad()
def encode(model: ArcModel, input_ids: torch.Tensor, context_ids: torch.Tensor | None = None) -> Prompts:
    """Encode prompts as `ArcModel` takes them, without any of the answer."""
    code = model.code(input_ids, context_ids)
    if model.has_encoder:
        memory = model.remember(input_ids, context_ids, code)
        # One head after another in memory: every token attends to them, and on a CPU it is faster so.
        memory.keys_values = [(keys.contiguous(), values.contiguous()) for keys, values in memory.keys_values or []]
        return Prompts(input_ids[:, :0].long(), code, memory)
    return Prompts(input_ids.long(), code, Memory())


@torch.no_grad()
def generate(
    model: ArcModel,
    prompts: Prompts,
    max_new_tokens: int,
    forced_BT: torch.Tensor | None = None,
    layout_BT: torch.Tensor | None = None,
) -> Generated:
    """Decode the output grids greedily, each until EOS.

    Args:
        forced_BT: tokens to emit; -1 leaves the choice to the model.
        layout_BT: tokens of grids of the answers' shapes, where these are known; only the colours are then chosen.
    """
    state = _begin(model, prompts, max_new_tokens)
    token_B = torch.full((len(prompts.ids_BL),), BOS, device=prompts.ids_BL.device)
    done_B = torch.zeros_like(token_B, dtype=torch.bool)
    steps: list[tuple[torch.Tensor, ...]] = []
    for step in range(max_new_tokens):
        logits_BV = _step(model, prompts, state, token_B)
        if layout_BT is not None and step < layout_BT.shape[1]:
            logits_BV = logits_BV.masked_fill(~_fitting(layout_BT[:, step]), -torch.inf)
        (best, second), (first_B, runner_up_B) = (part.unbind(1) for part in logits_BV.topk(2, dim=1))
        if forced_BT is not None and step < forced_BT.shape[1]:
            first_B = torch.where(forced_BT[:, step] >= 0, forced_BT[:, step], first_B)
        likely_B = logits_BV.float().log_softmax(dim=1).gather(1, first_B[:, None])[:, 0]
        token_B = first_B.masked_fill(done_B, PAD)
        margin_B = (best - second).masked_fill(done_B, torch.inf)
        steps.append((token_B, runner_up_B, margin_B, likely_B.masked_fill(done_B, 0)))
        done_B = done_B | (token_B == EOS)
        if bool(done_B.all()):
            break
    return Generated(*(torch.stack(column, dim=1) for column in zip(*steps, strict=True)))


def _fitting(layout_B: torch.Tensor) -> torch.Tensor:
    """Return which tokens may stand where a grid of the same shape has these, (B, VOCABULARY_SIZE) bool."""
    token_V = torch.arange(VOCABULARY_SIZE, device=layout_B.device)
    is_colour_B1 = layout_B[:, None] < N_COLOURS
    return torch.where(is_colour_B1, token_V < N_COLOURS, (token_V == layout_B[:, None]) | (layout_B == PAD)[:, None])


def second_attempt(model: ArcModel, prompts: Prompts, max_new_tokens: int, first: Generated) -> torch.Tensor:
    """Return another answer, (B, T): the first one's least certain token replaced, then decoded greedily."""
    doubt_B1 = first.margin_BT.argmin(dim=1, keepdim=True)
    place_T = torch.arange(first.ids_BT.shape[1], device=first.ids_BT.device)
    forced_BT = torch.where(place_T == doubt_B1, first.runner_up_BT, first.ids_BT).masked_fill(place_T > doubt_B1, -1)
    return generate(model, prompts, max_new_tokens, forced_BT).ids_BT


def two_attempts(
    model: ArcModel, prompts: Mapping[str, torch.Tensor], max_new_tokens: int
) -> tuple[list[np.ndarray | None], list[np.ndarray | None]]:
    """Return two attempts at the output of every prompt (see `ArcRows.prompts`); None where the tokens are no grid."""
    encoded = encode(model, **{name: part.to(model.device) for name, part in prompts.items()})
    first = generate(model, encoded, max_new_tokens)
    second = second_attempt(model, encoded, max_new_tokens, first)
    return tuple([read_grid(ids) for ids in attempt.cpu().numpy()] for attempt in (first.ids_BT, second))  # pyright: ignore


def _begin(model: ArcModel, prompts: Prompts, max_new_tokens: int) -> _State:
    """Return the state before BOS; a decoder alone has then read the prompt."""
    ids_BL, device = prompts.ids_BL, prompts.ids_BL.device
    batch, prefix = ids_BL.shape
    shape = (batch, model.config.num_attention_heads, prefix + max_new_tokens, model.head_size)
    empty = torch.zeros(shape, device=device, dtype=model.dtype)
    caches = [Cache(empty.clone(), empty.clone()) for _ in model.decoder]
    visible_BL = torch.ones(batch, shape[2], dtype=torch.bool, device=device)
    visible_BL[:, :prefix] = ids_BL != PAD
    zero_B = torch.zeros(batch, dtype=torch.int64, device=device)
    if prefix:
        before = torch.ones(prefix, prefix, dtype=torch.bool, device=device).tril()[None, None]
        index_BL = torch.arange(prefix, device=device)[None]
        model.decode(ids_BL, prompts.code, prompts.memory, index_BL, [], before, caches)
    return _State(caches, visible_BL, visible_BL[:, :prefix].sum(dim=1), zero_B, zero_B)


def _step(model: ArcModel, prompts: Prompts, state: _State, token_B: torch.Tensor) -> torch.Tensor:
    """Return logits (B, VOCABULARY_SIZE) after one more token."""
    is_row, starts = token_B == ROW, token_B == BOS
    state.row_B = torch.where(starts, 0, state.row_B + is_row)
    state.column_B = torch.where(starts | is_row, 0, state.column_B + 1)
    seen = state.visible_BL[:, None, None, : state.caches[0].filled + 1]
    places = [state.row_B[:, None], state.column_B[:, None]] if model.is_2d else []
    index_B1 = state.index_B[:, None]
    hidden = model.decode(token_B[:, None], prompts.code, prompts.memory, index_B1, places, seen, state.caches)
    state.index_B = state.index_B + 1
    logits_BV = prompts.code.logits(model.head(hidden))[:, -1]
    logits_BV[:, [PAD, BOS]] = -torch.inf  # neither is part of an answer
    return logits_BV
