"""Train prompt/answer tasks: loss on the answer or on everything, evaluation by generating the answers."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch.utils.data import Dataset

from tokenization.characters import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    VOCABULARY,
    ColumnEncoder,
    Vocabulary,
    build_tokenizer,
    check_tokenizer,
    read_vocabulary,
)
from trainers.base import WorldTrainer
from trainers.contract import IGNORE, Evaluation, Pieces, Predictions, StoredDataset
from trainers.folders.token_ids import TokenIds, encode_rows, longest_row, mapped_ids, shared_by_kind, text_columns
from trainers.models.batch_plan import BatchPlan, plan_batch, width_of
from trainers.models.causal_lm import CAUSAL_LMS
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.models.generation import generate_answers
from trainers.sampling import pick_examples

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

SHOWN = 4  # examples in the console; the tracked table has as many of the worst and at random


class TextRows(Dataset):
    """A split as token ids, in memory or mapped; batches are one gather, without any work per row.

    Attributes:
        split: The split's name. table: Its `datasets.Dataset` with `prompt` and `answer`.
        encoder: Turns ids into text again.
        ids_NT: uint8, right-padded. prompt_len_N, length_N: int64 (mapped ones are shorter), tokens of the prompt and
            of the complete row.
        n_shared: Number of first tokens that are the same in every row, less than the shortest prompt's.
        shared_K: The same for each kind of row. kind_N: The kind of every row; None: they are of one.
        most_generated: Tokens that an answer gets at most: as many as the longest true one has.
        loss_on: What has labels, `answer` or `all` (`--loss_on`).
        is_planned: Whether the model has a short training pass, which wants batches with a layout.
    """

    def __init__(
        self,
        split: str,
        table: "datasets.Dataset",
        fixed_width: bool = False,
        vocabulary: Vocabulary = VOCABULARY,
        is_planned: bool = True,
        ids: TokenIds | None = None,
        kind_N: np.ndarray | None = None,
    ) -> None:
        """Encode the split, or take its `ids`; with `fixed_width` all batches are as wide as its longest row."""
        self.loss_on, self.is_planned = "answer", is_planned
        self.encoder, self.split, self.table = ColumnEncoder(vocabulary), split, table
        ids = ids or encode_rows(split, table, vocabulary)
        self.ids_NT = torch.from_numpy(ids.ids_NT)
        self.prompt_len_N = torch.from_numpy(ids.prompt_len_N)
        self.length_N = torch.from_numpy(ids.length_N)
        position_T = torch.arange(self.ids_NT.shape[1])
        self._held = (self.ids_NT, self.prompt_len_N, self.length_N, position_T)
        self.fixed_width = fixed_width
        self.n_shared, self._longest_answer = ids.n_shared, ids.longest_answer
        self.most_generated = self._longest_answer
        self.kind_N = None if kind_N is None else torch.from_numpy(kind_N)
        self.shared_K = [ids.n_shared] if kind_N is None else shared_by_kind(ids, kind_N)

    def __len__(self) -> int:
        return len(self.ids_NT)

    def hold_on(self, device: torch.device) -> None:
        """Keep a copy of the ids on the device that trains, where batches are then gathered."""
        self._held = tuple(x.to(device) for x in self._held)

    @property
    def gives_plan(self) -> bool:
        """Whether batches have the layout for the short training pass."""
        return self.is_planned and self.loss_on == "answer"

    def __getitems__(self, rows: list[int]) -> dict[str, Any]:
        """Return `input_ids` and `labels`, (B, T) int64; labels are `IGNORE` on padding and where no loss is wanted.

        T is the longest row's. No attention mask: padding is on the right, where a causal model's real tokens cannot
        see it. `known` is the layout for `trainers/models/causal_lm.py`, whose pass is for a loss on the answer.
        """
        known = self._layout(index_B := torch.tensor(rows))
        ids_NT, prompt_len_N, length_N, position_T = self._held
        index_B, width = index_B.to(ids_NT.device), width_of(known["beginnings"])
        prompt_len_B, length_B = prompt_len_N[index_B].long(), length_N[index_B].long()
        ids_BT, position_T = ids_NT[index_B, :width].long(), position_T[:width]
        first_B1 = prompt_len_B[:, None] if self.loss_on == "answer" else 1  # nothing predicts <bos>
        labels_BT = ids_BT.masked_fill((position_T < first_B1) | (position_T >= length_B[:, None]), IGNORE)
        if not self.gives_plan:
            return {"input_ids": ids_BT, "labels": labels_BT}
        return {"input_ids": ids_BT, "labels": labels_BT, "known": known}

    def _layout(self, index_B: torch.Tensor) -> BatchPlan:
        """Return the layout of a batch, from what the host knows: no device is waited for."""
        lengths = self.prompt_len_N[index_B].long(), self.length_N[index_B].long()
        if self.fixed_width:
            return plan_batch(*lengths, [self.n_shared], None, (self.ids_NT.shape[1], self._longest_answer))
        return plan_batch(*lengths, self.shared_K, None if self.kind_N is None else self.kind_N[index_B], None)


def rows_of(
    data: StoredDataset,
    split: str,
    config: "PreTrainedConfig",
    fixed_width: bool,
    kind_N: np.ndarray | None = None,
) -> TextRows:
    """Return a split of prompts and answers as token ids (`Task.rows` of every text task).

    Args:
        kind_N: Kind of every row, from 0 on; rows of one kind begin alike.
    """
    vocabulary = read_vocabulary(data.path / "tokenizer")
    is_planned = config.model_type in CAUSAL_LMS
    ids = _mapped(data, split, vocabulary)
    return TextRows(split, data.splits[split], fixed_width, vocabulary, is_planned, ids, kind_N)


def _mapped(data: StoredDataset, split: str, vocabulary: Vocabulary) -> TokenIds | None:
    """Return the ids of a split of many rows from its folder; None for few, which each process encodes for itself."""
    if len(data.splits[split]) <= Pieces.SIZE:
        return None
    return mapped_ids(data.path, split, data.metadata["splits"][split]["sha256"], vocabulary)


class TextTrainer(WorldTrainer):
    """Trains on prompt/answer rows. A task adds `score`."""

    has_baselines: ClassVar[bool] = False
    """Whether the dataset's metadata must hold the scores of a trivial answer on every split but train."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        splits = cast(Mapping[str, TextRows], self.rows).values()
        longest = max(rows.most_generated for rows in splits)  # of all: an endless answer is as long in each
        for rows in splits:
            rows.loss_on, rows.most_generated = self.run.loss_on, longest
        self._hold_training_rows()
        for split in self.data.splits:
            if self.has_baselines and split != "train":
                self.baselines(split)  # fail before the training

    def _hold_training_rows(self) -> None:
        """Keep the training rows on the GPU if they take at most a quarter of what is free there."""
        rows, device = cast(TextRows, self.train_dataset), self.args.device
        if device.type == "cuda" and not self.args.dataloader_num_workers:
            free_bytes, _ = torch.cuda.mem_get_info(device)
            if rows.ids_NT.nbytes <= free_bytes / 4:
                rows.hold_on(device)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Return the scores of the trivial answer on a split, by metric."""
        scores = self.data.fact("baselines", **{split: dict})[split]
        self._check_primary(scores, f"the builder's facts have as baselines of {split}")
        scores = self.data.fact("baselines", split, **dict.fromkeys(scores, float))
        return {metric: {"": value} for metric, value in scores.items()}

    def make_processor(self, model: "PreTrainedModel") -> "PreTrainedTokenizerBase":
        """Return the task's tokenizer, with which the dataset and the model of `--init_from` must have been made."""
        vocabulary = self.task.load("tokenizer")
        for folder in (self.data.path / "tokenizer", Path(model.name_or_path or "")):
            if (folder / "tokenizer.json").is_file():
                check_tokenizer(folder, vocabulary)
        longest = max(rows.ids_NT.shape[1] for rows in cast(Mapping[str, TextRows], self.rows).values())
        return build_tokenizer(getattr(model.config, "max_position_embeddings", longest), vocabulary)

    def describe_row(self, split: str, row: int) -> str:
        """Return one line per token: the token, and whether it is in the loss."""
        batch = self.rows[split].__getitems__([row])  # pyright: ignore[reportAttributeAccessIssue]
        tokens = cast(Any, self.processing_class).convert_ids_to_tokens(batch["input_ids"][0].tolist())
        labels = batch["labels"][0].tolist()
        return "\n".join(
            f"  {t:<6} {'loss' if label != IGNORE else '-'}" for t, label in zip(tokens, labels, strict=True)
        )

    def evaluate_split(self, rows: TextRows) -> Evaluation:
        """Generate the answer to every prompt, let the task score them, and add the dataset's baselines."""
        has_baselines = self.has_baselines and rows.split != "train"  # for which none are computed
        answers = answers_to(rows, self.unwrapped_model, self.args.eval_batch_size)
        scored = self.score(rows, answers)
        scored = replace(scored, predictions=scored.predictions or self.predictions(rows, answers, {}))
        return replace(scored, baselines=self.baselines(rows.split)) if has_baselines else scored

    @abstractmethod
    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Compare generated answers with the split's own; failures to parse count in every metric."""

    def predictions(
        self, rows: TextRows, answers: list[str], scores: Mapping[str, Any], **others: Any
    ) -> dict[str, Predictions]:
        """Return every answer with what it contributes to the metrics; `others` go to `Predictions`."""
        table = rows.table[:]  # lists: a column alone would be read value by value, seconds for some thousands
        asked = {"prompt": table.pop("prompt"), "expected": table.pop("answer")}
        columns = {**asked, "predicted": answers, **table}
        return {"examples": Predictions(columns=columns, keys=("prompt", "expected"), scores=scores, **others)}

    def samples(self, rows: TextRows, answers: list[str], **columns: np.ndarray) -> dict[str, list[Any]]:
        """Return the table of examples: prompt, expected, generated, the task's own columns (the score first)."""
        score_N = np.asarray(next(iter(columns.values()), np.zeros(len(answers))), float)
        goodness_N = score_N if self.task.greater_is_better else -score_N
        picked = pick_examples(range(min(SHOWN, len(answers))), goodness_N, self.state.global_step)
        chosen = [row for _, row in picked]
        return {
            "prompt": rows.table[chosen]["prompt"],
            "expected": rows.table[chosen]["answer"],
            "generated": [answers[row] for row in chosen],
            **{name: values[chosen].tolist() for name, values in columns.items()},
            "which": [why for why, _ in picked],
        }


def answers_to(rows: TextRows, model: "PreTrainedModel", batch_size: int) -> list[str]:
    """Return the model's answer to every prompt, of at most `rows.most_generated` tokens that the context has left."""
    prompt_len_N, answers = rows.prompt_len_N.numpy(), np.empty(len(rows), object)
    context = getattr(model.config, "max_position_embeddings", None) or np.inf
    room_N = np.minimum(rows.most_generated, context - prompt_len_N).astype(int)
    for room in np.unique(room_N).tolist():
        alike = room_N == room
        ids_NA = generate_answers(model, rows.ids_NT.numpy()[alike], prompt_len_N[alike], room, batch_size)
        answers[alike] = rows.encoder.decode(ids_NA)
    return answers.tolist()


def build_text_model(options: DecoderOptions, data: StoredDataset) -> "PreTrainedModel":
    """Build an untrained decoder whose context length fits every row of the dataset (a multiple of 32)."""
    vocabulary = read_vocabulary(data.path / "tokenizer")
    longest = 0
    for name, split in data.splits.items():
        ids = _mapped(data, name, vocabulary)
        longest = max(longest, ids.ids_NT.shape[1] if ids else longest_row(*text_columns(name, split)))
    special_ids = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
    return build_decoder(options, len(vocabulary), -(-longest // 32) * 32, special_ids)
