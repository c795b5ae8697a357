"""Tokenise rows of `distance`: this stack's columns, and its tokenizer called for every sample, or on lists."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tasks.bench.building import distance_dataset
from tasks.bench.contender import Work, timed
from tokenization.characters import build_tokenizer
from trainers.common.environment import resolved_prefix
from trainers.contract import IGNORE
from trainers.text import TextRows

CHECKED = 2_000  # rows whose ids must agree
ONE_BY_ONE, AT_ONCE = 5_000, 50_000  # rows that the slow contenders tokenise


def ours(rows: int) -> Work:
    """`TextRows`: ids of all rows in one array, lengths, what they share."""
    table = _table(rows)

    def bytes_of(encoded: TextRows) -> bytes:
        lengths = encoded.length_N[:CHECKED].tolist()
        return _bytes(ids[: length - 1] for ids, length in zip(encoded.ids_NT[:CHECKED].numpy(), lengths, strict=True))

    return lambda: timed(lambda: TextRows("train", table), len(table), bytes_of)


def one_by_one(rows: int) -> Work:
    """What a dataset's `__getitem__` does for a sample: a row, the tokenizer, padding, tensors, the prompt masked."""
    table, tokenizer = _table(rows).select(range(ONE_BY_ONE)), build_tokenizer()
    tokenizer.padding_side = "right"
    width = TextRows("train", table).ids_NT.shape[1]

    def sample(number: int) -> dict[str, Any]:
        row = table[number]
        encoded = tokenizer(
            f"{row['prompt']}{row['answer']}<eos>", padding="max_length", max_length=width, return_tensors="pt"
        )
        ids, mask = encoded["input_ids"][0], encoded["attention_mask"][0]
        labels = ids.masked_fill(mask == 0, IGNORE)
        labels[: len(tokenizer(row["prompt"])["input_ids"])] = IGNORE
        return {"input_ids": ids, "labels": labels, "length": int(mask.sum())}

    def bytes_of(samples: list[dict[str, Any]]) -> bytes:
        return _bytes(s["input_ids"][: s["length"] - 1] for s in samples[:CHECKED])

    return lambda: timed(lambda: [sample(number) for number in range(len(table))], len(table), bytes_of)


def batched(rows: int) -> Work:
    """The fast tokenizer called on a list."""
    first, tokenizer = _table(rows)[:AT_ONCE], build_tokenizer()
    texts = [prompt + answer for prompt, answer in zip(first["prompt"], first["answer"], strict=True)]
    return lambda: timed(lambda: tokenizer(texts)["input_ids"], len(texts), lambda ids: _bytes(ids[:CHECKED]))


def _table(rows: int) -> Any:
    return distance_dataset(rows, resolved_prefix()).splits["train"]


def _bytes(ids: Iterable[Any]) -> bytes:
    return b"".join(np.asarray(row, dtype=np.uint8).tobytes() for row in ids)
