"""Small grid models and their batches, written with plain lists."""

import itertools

import numpy as np
import torch

from tasks.arc.grids import BOS, EOS, N_COLOURS, PAD, VOCABULARY_SIZE
from tasks.arc.model import ArcConfig, ArcModel
from trainers.contract import IGNORE

from .grid_helpers import shown, written


def flags(architecture, positions, colours, bridge):
    return {"architecture": architecture, "positions": positions, "colours": colours, "bridge": bridge}


LADDER = {
    "decoder_only": flags("decoder_only", "1d", "table", "none"),
    "decoder_only_prompt": flags("decoder_only", "1d", "table", "prompt"),
    "encoder_decoder": flags("encoder_decoder", "1d", "table", "none"),
    "2d": flags("encoder_decoder", "2d", "table", "none"),
    "equivariant": flags("encoder_decoder", "2d", "equivariant", "none"),
    "concat_mlp": flags("encoder_decoder", "2d", "equivariant", "concat_mlp"),
    "cross_attention": flags("encoder_decoder", "2d", "equivariant", "cross_attention"),
}

EQUIVARIANT = ["equivariant", "concat_mlp", "cross_attention"]

TABLE = [name for name in LADDER if name not in EQUIVARIANT]

TINY = {
    "hidden_size": 16,
    "num_encoder_layers": 1,
    "num_hidden_layers": 1,
    "num_context_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "init_scale": 0.2,
}


def build(name, seed=0, **sizes):
    torch.manual_seed(seed)
    return ArcModel(ArcConfig(**LADDER[name], **{**TINY, **sizes})).eval()


def random_grid(rng, colours=range(N_COLOURS)):
    return rng.choice(np.array(colours, dtype=np.uint8), size=rng.integers(1, 5, size=2))


def random_episodes(n=3, seed=0, n_pairs=2):
    """Inputs and demonstrations have few colours, outputs have all."""
    rng = np.random.default_rng(seed)
    some = [0, *rng.permutation(np.arange(1, N_COLOURS))[:4].tolist()]
    return [
        (
            random_grid(rng, some),
            random_grid(rng),
            [(random_grid(rng, some), random_grid(rng, some)) for _ in range(n_pairs)],
        )
        for _ in range(n)
    ]


def tensor_of(sequences, fill, more=0):
    longest = max(map(len, sequences)) + more
    return torch.tensor([[*ids, *[fill] * (longest - len(ids))] for ids in sequences])


def prompts_of(config, episodes, more=0):
    front = [list(itertools.chain(*shown(pairs))) if config.bridge == "prompt" else [] for *_, pairs in episodes]
    asked = {
        "input_ids": tensor_of(
            [f + written(before) for f, (before, *_) in zip(front, episodes, strict=True)], PAD, more
        )
    }
    if config.bridge in ("concat_mlp", "cross_attention"):
        flat = tensor_of([ids for *_, pairs in episodes for ids in shown(pairs)], PAD, more)
        asked["context_ids"] = flat.unflatten(0, (len(episodes), -1))
    return asked


def batch_of(config, episodes, answers=None, more=0):
    """What the model is trained on; `answers` are lists of tokens in place of the true ones; `more` pads."""
    answers = answers or [[*written(after), EOS] for _, after, _ in episodes]
    asked = prompts_of(config, episodes, more)
    if config.architecture == "encoder_decoder":
        return {**asked, "labels": tensor_of(answers, IGNORE, more)}
    fronts = [[token for token in ids if token != PAD] for ids in asked["input_ids"].tolist()]
    whole = [[*front, BOS, *answer] for front, answer in zip(fronts, answers, strict=True)]
    labels = [[*[IGNORE] * len(front), *answer] for front, answer in zip(fronts, answers, strict=True)]
    return {
        "input_ids": tensor_of([ids[:-1] for ids in whole], PAD, more),
        "labels": tensor_of(labels, IGNORE, more),
    }


def run(model, batch):
    with torch.no_grad():
        return model(**batch)


def answer_logits(model, batch):
    """For every row the logits that predict its answer."""
    return [logits[row >= 0] for logits, row in zip(run(model, batch).logits, batch["labels"], strict=True)]


def exchanged(batch, table):
    """The batch with its colours exchanged; `table` maps token ids."""
    colours = {**dict(enumerate(table)), IGNORE: IGNORE}
    return {name: part.clone().apply_(colours.__getitem__) for name, part in batch.items()}


def random_table(seed):
    nine = 1 + np.random.default_rng(seed).permutation(N_COLOURS - 1)
    return [0, *nine.tolist(), *range(N_COLOURS, VOCABULARY_SIZE)]
