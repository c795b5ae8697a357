"""The answers to all prompts of an evaluation: `generate` of transformers at several batch sizes, and this stack.

The model is untrained but far from flat (weights of standard deviation 0.1), so that rows end at different places. All
must give the same tokens.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from tasks.bench.training import SIZES, Work, now_s
from tokenization.characters import PAD_ID
from trainers import registry
from trainers.common.environment import resolved_prefix
from trainers.folders import dataset_folder
from trainers.models.generation import generate_answers
from trainers.text import TextRows

NEW_TOKENS = 10


class Prompts:
    """What is the same for all: the prompts of every city, and the model."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        torch.set_num_threads(options["threads"])
        task = registry.load("location")
        data = dataset_folder.build_or_load(task, task.options(), resolved_prefix())
        self.rows = TextRows("memorisation", data.splits["memorisation"])  # pyright: ignore[reportArgumentType]
        torch.manual_seed(0)
        sizes = task.model_options(init_scale=0.1, **{name: options[name] for name in SIZES})
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = task.load("build_model")(sizes, data).eval().to(self.device)

    def timed(self, answers_of: Callable[[], np.ndarray]) -> dict[str, Any]:
        """One turn: the seconds, the prompts, and a checksum of the tokens."""
        start_s = now_s(self.device)
        answers_NA = answers_of()
        seconds = now_s(self.device) - start_s
        return {"seconds": seconds, "units": len(answers_NA), "check": [zlib.crc32(answers_NA.tobytes())]}


def ours(options: Mapping[str, Any]) -> Work:
    """This stack's generation, at its default batch size."""
    prompts = Prompts(options)
    ids_NT, length_N = prompts.rows.ids_NT.numpy(), prompts.rows.prompt_len_N.numpy()
    return lambda: prompts.timed(lambda: generate_answers(prompts.model, ids_NT, length_N, NEW_TOKENS, 512))


def stock(options: Mapping[str, Any], batch_size: int) -> Work:
    """`generate` of transformers over prompts padded on the left."""
    prompts = Prompts(options)
    ids_NT, length_N = prompts.rows.ids_NT, prompts.rows.prompt_len_N
    width = int(length_N.max())
    left_NP = torch.full((len(ids_NT), width), PAD_ID)
    for row, length in enumerate(length_N.tolist()):
        left_NP[row, width - length :] = ids_NT[row, :length]

    def answers() -> np.ndarray:
        found = np.full((len(left_NP), NEW_TOKENS), PAD_ID, dtype=np.int64)
        for start in range(0, len(left_NP), batch_size):
            ids_BP = left_NP[start : start + batch_size].to(prompts.device)
            output = prompts.model.generate(
                ids_BP, attention_mask=ids_BP.ne(PAD_ID).long(), max_new_tokens=NEW_TOKENS, do_sample=False
            )
            tokens_BA = output[:, width:].cpu().numpy()
            found[start : start + batch_size, : tokens_BA.shape[1]] = tokens_BA
        return found

    return lambda: prompts.timed(answers)


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], Work]] = {
    "ours": ours,
    **{f"generate, batch {size}": partial(stock, batch_size=size) for size in (16, 128, 512)},
}
