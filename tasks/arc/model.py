"""Grid models: one config whose flags are the steps of the ladder from decoder-only to champion.

decoder_only        input grid and output grid as one sequence; rotary positions
encoder_decoder     the input is encoded, the output generated; sinusoidal positions along the sequence
+ positions 2d      rotary rows and columns, and embedded distances to all four edges
+ colours           colours are labels: permuting them permutes the logits
+ bridge            demonstration pairs are encoded too, and reach the decoder

from tasks.arc.model import ArcModel; model = ArcModel.from_pretrained("outputs/runs/arc_champion-001")
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutput

from tasks.arc.colours import ColourCode, colour_code, n_labels
from tasks.arc.grids import BOS, EOS, PAD, VOCABULARY_SIZE
from tasks.arc.options import ArcModelOptions
from tasks.arc.padding import groups_by_length, mask_of, rejoin, spread, without_gaps
from tasks.arc.positions import EDGE_LIMIT, cell_places, next_places, sinusoids
from trainers.contract import IGNORE, StoredDataset
from trainers.errors import UserError
from trainers.models.blocks import Cache, Rotation, SmallModel, check_heads, rotary_table, stack_blocks


class ArcConfig(PreTrainedConfig, ArcModelOptions):
    """Flags and sizes of an `ArcModel`: the fields of `ArcModelOptions`.

    Attributes:
        colours_by_order: labels depend on the order of demonstrations, as in all models saved before this field was.
    """

    model_type = "arc_grids"
    colours_by_order: bool = False
    vocab_size: int = VOCABULARY_SIZE
    pad_token_id: int = PAD
    bos_token_id: int = BOS
    eos_token_id: int = EOS
    tie_word_embeddings: bool = False

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> "ArcConfig":
        """Return the config that was saved; one without `colours_by_order` is of a model that learnt such labels."""
        return super().from_dict({"colours_by_order": True, **config_dict}, **kwargs)


@dataclass
class Memory:
    """Encoded input and demonstrations.

    Attributes:
        keys_values: of each decoder block's cross-attention; None for a decoder alone.
        mask: (B, 1, 1, L) bool, or None where nothing is padded.
        pooled: (B, hidden_size), the demonstrations as one vector, for the ConcatMLP bridge.
    """

    keys_values: list[tuple[torch.Tensor, torch.Tensor]] | None = None
    mask: torch.Tensor | None = None
    pooled: torch.Tensor | None = None


class ArcModel(SmallModel):
    """All models of the ladder."""

    config_class = ArcConfig
    main_input_name = "input_ids"

    def __init__(self, config: ArcConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.has_encoder = config.architecture == "encoder_decoder"
        self.is_2d = config.positions == "2d"
        has_context = config.bridge in ("concat_mlp", "cross_attention")
        self.embedding = nn.Embedding(n_labels(config.colours), size)
        self.embedding_dropout = nn.Dropout(config.dropout)
        self.encoder = stack_blocks(config, config.num_encoder_layers if self.has_encoder else 0, has_memory=False)
        self.context_encoder = stack_blocks(config, config.num_context_layers if has_context else 0, has_memory=False)
        self.decoder = stack_blocks(config, config.num_hidden_layers, has_memory=self.has_encoder)
        self.final_norm = nn.LayerNorm(size, bias=False)
        self.head = nn.Linear(size, n_labels(config.colours), bias=False)
        if self.has_encoder:
            self.memory_norm = nn.LayerNorm(size, bias=False)
            self.part = nn.Embedding(3, size)  # the query's input, a demonstration's input, its output
        if self.is_2d:
            self.from_edge = nn.ModuleList([nn.Embedding(EDGE_LIMIT, size) for _ in range(4)])
        if config.bridge == "concat_mlp":
            self.concat_mlp = nn.Sequential(nn.Linear(2 * size, size), nn.GELU(), nn.Linear(size, size))
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the embedding of colours and special tokens."""
        return self.embedding

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        context_ids: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> CausalLMOutput:
        """Return the loss in nats per label and logits (B, L, VOCABULARY_SIZE) under teacher forcing.

        Args:
            input_ids: (B, L), the input grid; for a decoder alone the complete sequence without its last token.
            labels: (B, L), the output grid and EOS, `IGNORE` elsewhere; nothing is shifted. PAD is on the right.
            context_ids: (B, P, L), the demonstrations, each as `input BOS output EOS`, in any order; PAD alone is none.
        """
        code = self.code(input_ids, context_ids)
        if self.has_encoder:
            seen = torch.cat([torch.full_like(labels[:, :1], BOS), labels[:, :-1]], dim=1)
            seen, memory = seen.masked_fill(seen == IGNORE, PAD), self.remember(input_ids, context_ids, code)
        else:
            seen, memory = input_ids.long(), Memory()
        index = torch.arange(seen.shape[1], device=seen.device)[None]
        hidden = self.decode(seen, code, memory, index, next_places(seen) if self.is_2d else [])
        return self.output(code.logits(self.head(hidden)), labels, num_items_in_batch)

    def code(self, input_ids: torch.Tensor, context_ids: torch.Tensor | None) -> ColourCode:
        """Return the labels of the colours of a batch."""
        return colour_code(self.config.colours, input_ids, context_ids, self.config.colours_by_order)

    def remember(self, input_ids: torch.Tensor, context_ids: torch.Tensor | None, code: ColourCode) -> Memory:
        """Encode the input grid, and the demonstrations if there is a bridge.

        Raises:
            ValueError: the bridge has no demonstrations.
        """
        states, places, real = self._encode(self.encoder, input_ids.long(), code)
        pooled = None
        if len(self.context_encoder):
            if context_ids is None:
                raise ValueError(f"the bridge {self.config.bridge} needs context_ids, the demonstration pairs")
            batch, n_pairs, _ = context_ids.shape
            pairs = context_ids.long().flatten(0, 1)
            there = (pairs != PAD).any(dim=1)  # a row may have fewer demonstrations than another
            codes = code.repeated(n_pairs).of_rows(there)
            shown, shown_places, is_shown = self._encode(self.context_encoder, pairs[there], codes)
            if self.config.bridge == "concat_mlp":
                weight = (is_shown / is_shown.sum(dim=1, keepdim=True))[..., None].to(shown.dtype)
                each = spread((shown * weight).sum(dim=1), there).unflatten(0, (batch, n_pairs))
                pooled = each.sum(dim=1) / there.view(batch, n_pairs).sum(dim=1, keepdim=True)
            else:
                together = [(states, shown), (real, is_shown), *zip(places, shown_places, strict=True)]
                states, real, *places = [
                    torch.cat([own, spread(other, there).unflatten(0, (batch, n_pairs)).flatten(1, 2)], dim=1)
                    for own, other in together
                ]
                states, real, places = without_gaps(states, real, places)
        states, rotated = self.memory_norm(states), self._axial(places)
        keys_values = [block.cross_attention.keys_values(states, rotated) for block in self.decoder]  # pyright: ignore
        return Memory(keys_values, mask_of(real), pooled)

    def decode(
        self,
        ids_BL: torch.Tensor,
        code: ColourCode,
        memory: Memory,
        index_BL: torch.Tensor,
        places: list[torch.Tensor],
        mask: torch.Tensor | None = None,
        caches: list[Cache] | None = None,
    ) -> torch.Tensor:
        """Return hidden states (B, L, hidden_size) that predict the token after each of `ids_BL`.

        Args:
            index_BL: position of each token in its sequence. places: row and column of the token after it (2d only).
            mask: which tokens are visible; None: those before.
            caches: one per block, during generation.
        """
        hidden = self._embed(ids_BL, code, index_BL, places)
        own = self._axial(places) if self.has_encoder else rotary_table([index_BL], self.head_size)
        nothing, crossed = [None] * len(self.decoder), {"memory_rotated": own, "memory_mask": memory.mask}
        for block, known, cache in zip(self.decoder, memory.keys_values or nothing, caches or nothing, strict=True):
            hidden = block(hidden, own, mask, causal=mask is None, memory=known, cache=cache, **crossed)
        hidden = self.final_norm(hidden)
        if memory.pooled is not None:
            wide = memory.pooled[:, None].expand(-1, hidden.shape[1], -1)
            hidden = hidden + self.concat_mlp(torch.cat([hidden, wide], dim=-1))
        return hidden

    def _encode(
        self, stack: nn.ModuleList, ids_BL: torch.Tensor, code: ColourCode
    ) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        """Return states (B, L, hidden_size), rows and columns, and which tokens are no padding.

        On a CPU grids of like length are encoded together: of a batch of demonstrations half is padding.
        """
        groups = groups_by_length(ids_BL != PAD)
        parts = [self._encode_together(stack, ids_BL[rows, :length], code.of_rows(rows)) for rows, length in groups]
        states, places, real = zip(*parts, strict=True)
        places = [rejoin(place, groups) for place in zip(*places, strict=True)]
        return rejoin(states, groups), places, rejoin(real, groups)

    def _encode_together(
        self, stack: nn.ModuleList, ids_BL: torch.Tensor, code: ColourCode
    ) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        places = cell_places(ids_BL) if self.is_2d else []
        index = torch.arange(ids_BL.shape[1], device=ids_BL.device)[None]
        behind_bos = (ids_BL == BOS).cumsum(dim=1)
        part = torch.zeros_like(ids_BL) if stack is self.encoder else 1 + behind_bos
        hidden = self._embed(ids_BL, code, index, places) + self.part(part)
        real, rotated = ids_BL != PAD, self._axial(places[:2])
        mask = mask_of(real)
        for block in stack:
            hidden = block(hidden, rotated, mask=mask)
        return hidden, places[:2], real

    def _embed(
        self, ids_BL: torch.Tensor, code: ColourCode, index_BL: torch.Tensor, places: list[torch.Tensor]
    ) -> torch.Tensor:
        hidden = self.embedding(code.labels(ids_BL))
        if not self.is_2d and self.has_encoder:
            hidden = hidden + sinusoids(index_BL, self.config.hidden_size, hidden.dtype)
        # Distances to the top and the left edge, and, where the complete grid is known, to the other two.
        for table, place in zip(self.from_edge if self.is_2d else (), places, strict=False):
            hidden = hidden + table(place.clamp(max=EDGE_LIMIT - 1))
        return self.embedding_dropout(hidden)

    def _axial(self, places: list[torch.Tensor]) -> Rotation | None:
        return rotary_table(places, self.head_size) if self.is_2d else None


def build_model(options: ArcModelOptions, data: StoredDataset) -> ArcModel:
    """Return an untrained model.

    Raises:
        UserError: flags that do not go together, or heads that do not fit the width.
    """
    check_heads(options, divisor=4 if options.positions == "2d" else 2)
    if options.architecture == "decoder_only":
        allowed = {"positions": ["1d"], "colours": ["table"], "bridge": ["none", "prompt"]}
        flags = {name: getattr(options, name) for name in allowed}
        if wrong := [f"--{name} {flag}" for name, flag in flags.items() if flag not in allowed[name]]:
            raise UserError(
                f"--architecture decoder_only does not go with {' and '.join(wrong)}: it has --positions 1d,"
                " --colours table and --bridge none or prompt"
            )
    elif options.bridge == "prompt":
        raise UserError("--bridge prompt is for --architecture decoder_only; choose concat_mlp or cross_attention")
    return ArcModel(ArcConfig(**asdict(options)))


AutoConfig.register(ArcConfig.model_type, ArcConfig)
AutoModel.register(ArcConfig, ArcModel)
