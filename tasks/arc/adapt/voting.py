"""Answer queries in several views of the task, undo these, and vote over whole grids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tasks.arc.adapt.episodes import seen_as
from tasks.arc.adapt.given import Given
from tasks.arc.adapt.options import AdaptOptions
from tasks.arc.decoding import encode, generate
from tasks.arc.generators.concept import Grid
from tasks.arc.grids import N_COLOURS, N_DIHEDRAL, VOCABULARY_SIZE, answer_tokens, colours_in_order, read_grid
from tasks.arc.model import ArcModel
from tasks.arc.rows import ArcRows

_TOGETHER = 64  # queries generated at once, of like length: the longest keeps the others waiting


@dataclass(frozen=True)
class View:
    """One way to look at a task.

    Attributes:
        symmetry: See `apply_dihedral`. colours: (VOCABULARY_SIZE,) uint8, see `recolour`.
        shown: Places of the demonstrations that are shown, in their order.
    """

    symmetry: int
    colours: np.ndarray
    shown: np.ndarray

    def undo(self, grid: Grid) -> Grid:
        """Return a grid of the view as it was before."""
        back = np.argsort(self.colours).astype(np.uint8)[grid]
        back = back.T if self.symmetry & 4 else back
        back = back[::-1] if self.symmetry & 1 else back
        return np.ascontiguousarray(back[:, ::-1] if self.symmetry & 2 else back)


@dataclass(frozen=True)
class Answer:
    """A grid that was generated in one view, seen from the first (None: no grid), and its log-likelihood in nats."""

    grid: Grid | None
    log_likelihood: float


@dataclass(frozen=True)
class Vote:
    """A grid, in how many views it was generated, and the sum of its log-likelihoods there."""

    grid: Grid
    views: int
    log_likelihood: float


def views_of(given: Given, options: AdaptOptions) -> list[View]:
    """Return the views; the first is the task as it is.

    Each symmetry comes once in the task's own colours, then in random ones, with the demonstrations in random order.
    Which are shown is drawn, if there are more than are shown at once.
    """
    rng = given.rng(options.adapt_seed, "views")
    n_pairs = len(given.demonstrations)
    most = min(n_pairs, options.adapt_shown)
    views = []
    for draw in range(options.adapt_draws):
        for symmetry in range(N_DIHEDRAL):
            keys = rng.random((1, N_COLOURS - 1))
            colours = colours_in_order(keys)[0].numpy() if draw else np.arange(VOCABULARY_SIZE, dtype=np.uint8)
            is_first = not draw and (n_pairs == most or not symmetry)
            order = np.arange(n_pairs) if is_first else rng.permutation(n_pairs)
            views.append(View(symmetry, colours, order[:most]))
    return views


def answer(
    model: ArcModel, given: Given, rows: ArcRows, views: Sequence[View], autocast: torch.autocast
) -> list[list[Answer]]:
    """Return what the model generates for every query in every view, as lists by query.

    Args:
        rows: Any of the dataset, which write examples as the model takes them.
    """
    asked = [(query, view) for query in range(len(given.queries)) for view in range(len(views))]
    asked.sort(key=lambda pair: given.queries[pair[0]].size)
    answers: dict[tuple[int, int], Answer] = {}
    for start in range(0, len(asked), _TOGETHER):
        part = asked[start : start + _TOGETHER]
        answers |= zip(part, _generate(model, given, rows, part, views, autocast), strict=True)
    return [[answers[query, view] for view in range(len(views))] for query in range(len(given.queries))]


def vote(answers: Sequence[Answer]) -> list[Vote]:
    """Return the grids that were generated, the most frequent first, of equally frequent ones the likelier."""
    by_grid: dict[tuple[tuple[int, ...], bytes], list[Answer]] = {}
    for one in answers:
        if one.grid is not None:
            by_grid.setdefault((one.grid.shape, one.grid.tobytes()), []).append(one)
    votes = [Vote(of[0].grid, len(of), sum(one.log_likelihood for one in of)) for of in by_grid.values() if of]  # pyright: ignore
    return sorted(votes, key=lambda found: (-found.views, -found.log_likelihood))


@torch.no_grad()
def _generate(
    model: ArcModel,
    given: Given,
    rows: ArcRows,
    part: Sequence[tuple[int, int]],
    views: Sequence[View],
    autocast: torch.autocast,
) -> list[Answer]:
    """Return the answers to some (query, view)."""
    inputs = [given.queries[query] for query, _ in part]
    chosen = [views[view] for _, view in part]
    shown = [given.demonstrations[place] for view in chosen for place in view.shown]
    grids = (inputs, inputs, [before for before, _ in shown], [after for _, after in shown])
    n_shown_B = torch.tensor([len(view.shown) for view in chosen])
    which_B = torch.tensor([view.symmetry for view in chosen])
    colours_BV = torch.from_numpy(np.stack([view.colours for view in chosen]))
    examples = seen_as(grids, n_shown_B, which_B, colours_BV)
    prompts = rows.prompts_of(examples)
    # If all demonstrations keep their shape, so does the answer: it is laid out as the query is.
    layout = {"layout_BT": answer_tokens(examples[0]).to(model.device)} if given.keeps_shape else {}
    with autocast:
        encoded = encode(model, **{name: ids.to(model.device) for name, ids in prompts.items()})
        found = generate(model, encoded, rows.longest_answer, **layout)
    likely = found.log_likelihood_BT.sum(dim=1).tolist()
    read = [read_grid(ids) for ids in found.ids_BT.cpu().numpy()]
    return [
        Answer(None if grid is None else view.undo(grid), value)
        for grid, view, value in zip(read, chosen, likely, strict=True)
    ]
