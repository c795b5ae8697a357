"""Splits as tensors: batches are gathered, turned, recoloured and written as tokens, all rows at once."""

from functools import cached_property
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset

from tasks.arc.data import FEATURES
from tasks.arc.generators.concept import LARGEST_SIDE
from tasks.arc.grids import (
    BOS,
    EOS,
    N_COLOURS,
    N_DIHEDRAL,
    PAD,
    Grids,
    answer_tokens,
    apply_dihedral,
    colours_in_order,
    column_of,
    concatenate,
    recolour,
    tokens,
)
from tasks.arc.model import ArcConfig
from tasks.arc.nearest_patch import nearest_patch
from tasks.arc.options import fewest_context
from trainers.contract import IGNORE, StoredDataset
from trainers.errors import UserError
from trainers.sampling import row_uniform

Batch = dict[str, torch.Tensor]
Examples = tuple[Grids, Grids, Grids, Grids, torch.Tensor]
"""Input and output of B rows; inputs and outputs of their demonstrations, row by row; how many each row has, (B,)."""


class ArcRows(Dataset):
    """Examples of a split: an input and an output grid, and demonstrations of the same task.

    Attributes:
        split: name. table: the stored rows. tasks: the task of every row.
        inputs, outputs: the grids of N rows. n_shown_N: how many demonstrations each has.
        context_inputs, context_outputs: the grids of all demonstrations, those of the first row first.
        length_N: tokens of input and output, for `--group_by_length`.
    """

    def __init__(self, split: str, table: datasets.Dataset, config: ArcConfig, options: dict[str, Any]) -> None:
        self.split, self.table, self.config, self.options, self.epoch = split, table, config, options, 0
        self.tasks = _tasks(split, table)
        self.inputs, self.outputs = _grids(table, "input"), _grids(table, "output")
        self.n_shown_N = _n_shown(split, table)
        self._first_shown_N = self.n_shown_N.cumsum(0) - self.n_shown_N
        self.context_inputs, self.context_outputs = _grids(table, "context_inputs"), _grids(table, "context_outputs")
        self.length_N = self.inputs.length_B + self.outputs.length_B
        side = int(options["max_side"])
        self.longest_answer = side * (side + 1)  # tokens of the largest possible grid, and EOS
        # Rows of one task lie together; drawing demonstrations needs their start and count.
        _, first, code, count = np.unique(self.tasks, return_index=True, return_inverse=True, return_counts=True)
        self._start_N, self._count_N = first[code], count[code]
        self._most = options["n_context"]
        self._fewest = fewest_context(options)
        if split == "train" and options["resample_context"] and count.min() <= self._fewest:
            raise UserError(
                f"--resample_context draws {self._fewest} or more other rows of a task, and one has {count.min()} rows"
                " in all; leave it out, or build with more pairs"
            )

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return `input_ids`, `labels` and, if the model has a bridge for them, `context_ids`; see `ArcModel`."""
        return self.batch(*self.examples(rows))

    def examples(self, rows: list[int]) -> Examples:
        """Return the grids of rows; training rows are augmented as the options ask.

        Random draws are keyed by seed, epoch and row, so that they are equal wherever and whenever a batch is made:
        among other rows, in another process, after an interruption.
        """
        index_B, rows_B = torch.tensor(rows), np.array(rows)
        parts, n_shown_B = [self.inputs[index_B], self.outputs[index_B]], self.n_shown_N[index_B]
        if self.split == "train" and self.options["resample_context"]:
            drawn_C, n_shown_B = self.draw_context(rows_B)
            parts += [self.inputs[drawn_C], self.outputs[drawn_C]]
        else:
            shown_C = _places(self._first_shown_N[index_B], n_shown_B)
            parts += [self.context_inputs[shown_C], self.context_outputs[shown_C]]
        if self.split != "train":
            return *parts, n_shown_B  # pyright: ignore[reportReturnType]
        times = [1, 1, n_shown_B, n_shown_B]
        if self.options["augment_dihedral"]:
            which_B = torch.from_numpy(self._random(rows_B, 1, "dihedral")[:, 0] * N_DIHEDRAL).long()
            parts = [apply_dihedral(part, which_B.repeat_interleave(n)) for part, n in zip(parts, times, strict=True)]
        if self.options["augment_colours"]:
            colours_BV = colours_in_order(self._random(rows_B, N_COLOURS - 1, "colours"))
            parts = [recolour(part, colours_BV.repeat_interleave(n, 0)) for part, n in zip(parts, times, strict=True)]
        return *parts, n_shown_B  # pyright: ignore[reportReturnType]

    def demonstrations(self, row: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the stored demonstrations of a row."""
        first = int(self._first_shown_N[row])
        places = range(first, first + int(self.n_shown_N[row]))
        return [(self.context_inputs.numpy(place), self.context_outputs.numpy(place)) for place in places]

    @cached_property
    def nearest_patches(self) -> list[np.ndarray]:
        """Return what the nearest patches of its demonstrations make of every input; no model changes that."""
        return [nearest_patch(given, self.demonstrations(row)) for row, given in enumerate(self.inputs.list())]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of random draws."""
        self.epoch = epoch

    def _random(self, rows_B: np.ndarray, count: int, use: str) -> np.ndarray:
        return row_uniform([self.options["dataset_seed"], self.epoch], use, rows_B, count)

    def draw_context(self, rows_B: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw for every row other rows of its task, all different; return them, row by row, and how many each has."""
        others_B = self._count_N[rows_B] - 1
        most_B = np.minimum(self._most, others_B)
        number_B = self._random(rows_B, 1, "context size")[:, 0] * (most_B - self._fewest + 1)
        n_shown_B = self._fewest + number_B.astype(np.int64)
        keys = self._random(rows_B, int(others_B.max()), "context")
        keys[np.arange(keys.shape[1]) >= others_B[:, None]] = np.inf
        drawn_BP = np.argsort(keys, axis=1)[:, : self._most]
        own_B = rows_B - self._start_N[rows_B]
        drawn_BP = drawn_BP + (drawn_BP >= own_B[:, None]) + self._start_N[rows_B, None]
        is_drawn_BP = np.arange(drawn_BP.shape[1]) < n_shown_B[:, None]
        return torch.from_numpy(drawn_BP[is_drawn_BP]), torch.from_numpy(n_shown_B)

    def batch(self, before: Grids, after: Grids, shown: Grids, shown_after: Grids, n_shown_B: torch.Tensor) -> Batch:
        """Write examples as the model takes them."""
        answer = answer_tokens(after)
        prompt, prompt_len_B = self._prompt(before, shown, shown_after, n_shown_B)
        if self.config.architecture == "decoder_only":
            ids, _ = concatenate([(prompt, prompt_len_B), column_of(BOS, len(before)), (answer, after.length_B + 1)])
            is_answer = (torch.arange(ids.shape[1]) > prompt_len_B[:, None]) & (ids != PAD)
            return {"input_ids": ids[:, :-1], "labels": ids.long().masked_fill(~is_answer, IGNORE)[:, 1:]}
        labels = answer.long().masked_fill(answer == PAD, IGNORE)
        return {"input_ids": prompt, "labels": labels, **self._context(shown, shown_after, n_shown_B)}

    def prompts(self, rows: list[int]) -> Batch:
        """Return the prompts of generation: `input_ids`, and `context_ids` if the model has a bridge for them."""
        return self.prompts_of(self.examples(rows))

    def prompts_of(self, examples: Examples) -> Batch:
        """Write examples without their answers; see `prompts`."""
        before, _, *context = examples
        written = {} if self.config.architecture == "decoder_only" else self._context(*context)
        return {"input_ids": self._prompt(before, *context)[0], **written}

    def _prompt(self, before: Grids, *context: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the input grid; with the bridge `prompt` after the demonstrations."""
        pieces = []
        if self.config.bridge == "prompt":
            ids_BPL, length_BP = _pairs(*context)
            pieces = list(zip(ids_BPL.unbind(1), length_BP.unbind(1), strict=True))
        return concatenate([*pieces, (tokens(before), before.length_B)])

    def _context(self, *context: Any) -> Batch:
        if self.config.bridge not in ("concat_mlp", "cross_attention"):
            return {}
        return {"context_ids": _pairs(*context)[0]}


def _pairs(shown: Grids, shown_after: Grids, n_shown_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return demonstrations as `input BOS output EOS`, (B, P, L), and their lengths; PAD and 0 stand for none."""
    bos, eos = column_of(BOS, len(shown)), column_of(EOS, len(shown))
    ids, length = concatenate([(tokens(shown), shown.length_B), bos, (tokens(shown_after), shown_after.length_B), eos])
    is_shown_BP = torch.arange(int(n_shown_B.max())) < n_shown_B[:, None]
    ids_BPL = ids.new_full((*is_shown_BP.shape, ids.shape[1]), PAD)
    length_BP = length.new_zeros(is_shown_BP.shape)
    ids_BPL[is_shown_BP], length_BP[is_shown_BP] = ids, length
    return ids_BPL, length_BP


def _places(first_B: torch.Tensor, count_B: torch.Tensor) -> torch.Tensor:
    """Return `count_B` numbers from each of `first_B` on, one row's after the other's."""
    before_B = count_B.cumsum(0) - count_B
    return (first_B - before_B).repeat_interleave(count_B) + torch.arange(int(count_B.sum()))


def _tasks(split: str, table: datasets.Dataset) -> np.ndarray:
    """Return the task of every row.

    Raises:
        UserError: columns or rows are missing, or the rows of a task do not lie together.
    """
    wrong = [name for name, kind in FEATURES.items() if table.features.get(name) != kind]
    if wrong or len(table) == 0:
        lacking = f"no column {' and '.join(wrong)} as this task writes it" if wrong else "no rows"
        raise UserError(f"split {split} has {lacking}; build the dataset again, or give another --dataset")
    if None in table["task"]:
        raise UserError(f"split {split} has a row without a task; build the dataset again")
    tasks = np.array(table["task"])
    if (np.diff(np.unique(tasks, return_inverse=True)[1]) != 0).sum() + 1 != len(set(tasks.tolist())):
        raise UserError(f"split {split} has the rows of a task in several places; build the dataset again")
    return tasks


def _n_shown(split: str, table: datasets.Dataset) -> torch.Tensor:
    """Return the number of demonstrations of every row, (N,).

    Raises:
        UserError: a row has none, or more inputs than outputs, or fewer.
    """
    columns: Any = table.with_format("arrow")[:]
    counts = [
        np.diff(columns[name].combine_chunks().offsets.to_numpy()) for name in ("context_inputs", "context_outputs")
    ]
    if (counts[0] != counts[1]).any():
        raise UserError(f"split {split} has more demonstration inputs than outputs, or fewer; build it again")
    if counts[0].min() < 1:
        raise UserError(f"split {split} has a row without demonstrations; build it again")
    return torch.from_numpy(counts[0].astype(np.int64))


def _grids(table: datasets.Dataset, name: str) -> Grids:
    """Return a column of grids (or of lists of them, one after the other) as tensors.

    Raises:
        UserError: anything that is no grid of colours 0-9.
    """
    column: Any = table.with_format("arrow")[:][name].combine_chunks()
    while column.type.value_type.value_type.num_fields:  # demonstrations: a list of grids in every row
        column = column.flatten()
    height_N = np.diff(column.offsets.to_numpy())
    lines = column.flatten()
    width_R, cells_V = np.diff(lines.offsets.to_numpy()), lines.flatten()
    if column.null_count or lines.null_count or cells_V.null_count:
        raise UserError(f"the column {name} has missing values; build the dataset again")
    values = cells_V.to_numpy()
    first_N = np.concatenate([[0], np.cumsum(height_N)[:-1]])
    if height_N.min(initial=1) < 1 or max(height_N.max(), width_R.max()) > LARGEST_SIDE or width_R.min() < 1:
        raise UserError(
            f"a grid in the column {name} has a side that is not 1 to {LARGEST_SIDE}; build the dataset again"
        )
    width_N = width_R[first_N]
    if (width_R != np.repeat(width_N, height_N)).any() or values.max() >= N_COLOURS:
        raise UserError(f"the column {name} has a grid with uneven rows or a colour above 9; build the dataset again")
    place_S = np.arange(max(height_N.max(), width_N.max()))
    is_cell_NSS = (place_S < height_N[:, None])[:, :, None] & (place_S < width_N[:, None])[:, None]
    cells_NSS = np.full(is_cell_NSS.shape, PAD, dtype=np.uint8)
    cells_NSS[is_cell_NSS] = values
    return Grids(*map(torch.from_numpy, (cells_NSS, height_N.astype(np.int64), width_N.astype(np.int64))))


def rows_of(data: StoredDataset, split: str, config: ArcConfig, fixed_width: bool) -> ArcRows:
    """Return a split of a stored dataset."""
    varied = dict.fromkeys(("resample_context", "augment_dihedral", "augment_colours"), bool)
    options = data.fact("options", max_side=int, dataset_seed=int, n_context=int, **varied)
    return ArcRows(split, data.splits[split], config, options)
