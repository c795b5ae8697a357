"""Generate the answers to all prompts of an evaluation: by transformers at several batch sizes, and by this stack.

The model is untrained but far from flat (weights of standard deviation 0.1), so that rows end at different places. All
must give the same tokens.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tasks.bench.contender import Work, timed
from tasks.bench.training import DEVICE, now_s
from tokenization.characters import PAD_ID
from trainers import registry
from trainers.common.environment import resolved_prefix
from trainers.folders import dataset_folder
from trainers.models.generation import generate_answers
from trainers.text import TextRows

NEW_TOKENS = 10


def ours(**sizes: int) -> Work:
    """This stack's generation, at its default batch size."""
    rows, model = _prompts_and_model(sizes)
    ids_NT, length_N = rows.ids_NT.numpy(), rows.prompt_len_N.numpy()
    return _timed(lambda: generate_answers(model, ids_NT, length_N, NEW_TOKENS, 512), len(rows))


def stock(batch_size: int, **sizes: int) -> Work:
    """`generate` of transformers over prompts padded on the left."""
    rows, model = _prompts_and_model(sizes)
    width = int(rows.prompt_len_N.max())
    left_NP = torch.full((len(rows), width), PAD_ID)
    for row, length in enumerate(rows.prompt_len_N.tolist()):
        left_NP[row, width - length :] = rows.ids_NT[row, :length]

    def answers() -> np.ndarray:
        answers_NA = np.full((len(left_NP), NEW_TOKENS), PAD_ID, dtype=np.int64)
        for start in range(0, len(left_NP), batch_size):
            ids_BP = left_NP[start : start + batch_size].to(DEVICE)
            output = model.generate(
                ids_BP, attention_mask=ids_BP.ne(PAD_ID).long(), max_new_tokens=NEW_TOKENS, do_sample=False
            )
            tokens_BA = output[:, width:].cpu().numpy()
            answers_NA[start : start + batch_size, : tokens_BA.shape[1]] = tokens_BA
        return answers_NA

    return _timed(answers, len(rows))


def _prompts_and_model(sizes: dict[str, int]) -> tuple[TextRows, Any]:
    """The prompts of every city, and the model: the same for all."""
    task = registry.load("location")
    data = dataset_folder.build_or_load(task, task.options(), resolved_prefix())
    rows = TextRows("memorisation", data.splits["memorisation"])
    torch.manual_seed(0)
    model = task.load("build_model")(task.model_options(init_scale=0.1, **sizes), data)
    return rows, model.eval().to(DEVICE)


def _timed(answers: Callable[[], np.ndarray], prompts: int) -> Work:
    return lambda: timed(answers, prompts, np.ndarray.tobytes, now_s)
