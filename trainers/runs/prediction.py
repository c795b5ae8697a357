"""Answer a user's own prompts with the weights of a run, in the way in which its evaluations do.

Only what an answer needs is loaded: neither the rows of the dataset, nor the Trainer, nor MLflow.
"""

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common import environment
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.folders.weights import named_weights

Answer = Mapping[str, Any]
"""What was asked, what the model answered, and what that means, by column; None is unknown or cannot be read."""


@dataclass(frozen=True)
class Source:
    """Where prompts are from: a list, a file, or standard input."""

    prompts: Sequence[str] = ()
    file: str | None = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return "the command line" if self.prompts else f"--file {self.file}" if self.file else "standard input"

    def content(self) -> str:
        """Read the file, or standard input.

        Raises:
            UserError: nothing was given, or it is no readable text.
        """
        if not self.file and sys.stdin.isatty():
            raise UserError("no prompts given; write them behind the run's folder, give --file, or pipe them in")
        try:
            path = Path(os.path.expanduser(self.file)) if self.file else None
            return path.read_text(encoding="utf-8-sig") if path else sys.stdin.read()
        except (OSError, ValueError) as error:  # ValueError: bytes that are no UTF-8, a NUL in the path
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UserError(f"{self.name} cannot be read ({reason}); give a text, CSV or JSON file") from error


class Predictor(ABC):
    """Answers prompts with one set of weights; a task names its own as `TASK.predictor`.

    Attributes:
        run: The run. weights: Folder of the weights.
    """

    def __init__(self, run: RunFolder, weights: Path) -> None:
        self.run, self.weights = run, weights
        self._settings = run.settings.get("resolved", {})

    @abstractmethod
    def read(self, source: Source) -> Sequence[Any]:
        """Return what is asked, at least one prompt, before anything heavy is loaded.

        Raises:
            UserError: nothing is asked, or something that the model cannot be asked.
        """

    @abstractmethod
    def answer(self, asked: Sequence[Any]) -> list[Answer]:
        """Load the model and answer every prompt; all answers have the same columns."""

    @abstractmethod
    def text(self, answer: Answer, coloured: bool) -> str:
        """Return an answer as people read it."""

    def setting(self, name: str, default: Any = None) -> Any:
        """Return a setting of the run; the default for a run from before there was one."""
        return self._settings.get(name, default)

    @property
    def batch_size(self) -> int:
        """Prompts that are answered at a time, as in the run's evaluations."""
        return int(self.setting("per_device_eval_batch_size", 512))

    def load(self, kind: Any) -> Any:
        """Load the weights with the `from_pretrained` of a class, to the threads and the device of the evaluations."""
        import torch
        import transformers
        from accelerate import PartialState

        from trainers.models.warm_start import load_weights
        from trainers.runs.inputs import choose_pass

        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(self.setting("threads") or environment.share_of_cores())
        model = load_weights(kind, self.weights, "checkpoint")
        choose_pass(model, bool(self.setting("stock_forward")))
        return model.to(PartialState(cpu=bool(self.setting("use_cpu"))).device)


def answer_prompts(run: RunFolder, checkpoint: str, source: Source) -> tuple[Predictor, list[Answer]]:
    """Answer prompts with the weights that `--checkpoint` means; return who answered, too.

    Raises:
        UserError: the task has no prompts, there are no such weights, or something cannot be asked.
    """
    task = run.task
    if not task.predictor:
        raise UserError(
            f"{task.name} has no prompts to answer, its models are scored by what they do; use `world-models evaluate"
            f" {run.path}`"
        )
    if checkpoint == "all":
        raise UserError("--checkpoint all: prompts are answered by one set of weights; give best, last, or a step")
    (weights,) = named_weights(run, checkpoint).values()
    predictor: Predictor = task.load("predictor")(run, weights)
    return predictor, predictor.answer(predictor.read(source))


def in_cells(answers: Sequence[Answer]) -> list[dict[str, str]]:
    """Return answers as the cells of a table; what is no text is JSON, and None is left empty."""
    return [{name: _cell(value) for name, value in answer.items()} for answer in answers]


def as_jsonl(answers: Sequence[Answer]) -> str:
    """Return answers as JSON, one object a line."""
    return "".join(f"{json.dumps(answer)}\n" for answer in answers)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
