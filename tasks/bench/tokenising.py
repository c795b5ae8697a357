"""Rows of `distance` as token ids: this stack's columns, and its tokenizer called for every sample, or on lists."""

import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasks.bench.training import Work
from tokenization.characters import build_tokenizer
from trainers import registry
from trainers.common.environment import resolved_prefix
from trainers.contract import IGNORE
from trainers.folders import dataset_folder
from trainers.text import TextRows

CHECKED = 2_000  # rows whose ids must agree
ONE_BY_ONE, AT_ONCE = 5_000, 50_000  # rows that the slow contenders tokenise


def ours(options: Mapping[str, Any]) -> Work:
    """`TextRows`: ids of all rows in one array, lengths, what they share."""
    table: Any = _table(options)

    def work() -> dict[str, Any]:
        start_s = time.perf_counter()
        rows = TextRows("train", table)
        seconds = time.perf_counter() - start_s
        first = zip(rows.ids_NT.numpy(), rows.length_N.tolist(), range(CHECKED), strict=False)
        return _result(seconds, len(rows), [ids[: length - 1] for ids, length, _ in first])

    return work


def one_by_one(options: Mapping[str, Any]) -> Work:
    """What a dataset's `__getitem__` does for a sample: a row, the tokenizer, padding, tensors, the prompt masked."""
    table, tokenizer = _table(options).select(range(ONE_BY_ONE)), build_tokenizer()
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

    def work() -> dict[str, Any]:
        start_s = time.perf_counter()
        samples = [sample(number) for number in range(len(table))]
        seconds = time.perf_counter() - start_s
        return _result(seconds, len(samples), [s["input_ids"][: s["length"] - 1] for s in samples[:CHECKED]])

    return work


def batched(options: Mapping[str, Any]) -> Work:
    """The fast tokenizer called on a list."""
    texts, tokenizer = _texts(options), build_tokenizer()

    def work() -> dict[str, Any]:
        start_s = time.perf_counter()
        ids = tokenizer(texts)["input_ids"]
        return _result(time.perf_counter() - start_s, len(texts), ids)

    return work


def _table(options: Mapping[str, Any]) -> Any:
    task = registry.load("distance")
    wanted = task.options(n_train=options["rows"], n_val=100, n_test=0)
    return dataset_folder.build_or_load(task, wanted, resolved_prefix()).splits["train"]


def _texts(options: Mapping[str, Any]) -> list[str]:
    first = _table(options)[:AT_ONCE]
    return [prompt + answer for prompt, answer in zip(first["prompt"], first["answer"], strict=True)]


def _result(seconds: float, units: int, ids: Any) -> dict[str, Any]:
    first = b"".join(np.asarray(row, dtype=np.uint8).tobytes() for row in ids[:CHECKED])
    return {"seconds": seconds, "units": units, "check": [zlib.crc32(first)]}


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], Work]] = {
    "ours": ours,
    "sample by sample": one_by_one,
    "tokenizer, batched": batched,
}
