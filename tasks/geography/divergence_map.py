"""Where a taught model has new cities: read by the base's map of the old ones, and by maps fitted anew.

The old map is linear, from the base's states of real cities to their places, at the block and token where it is best
on real cities that choose. Whether new cities are put into it is asked before and after a model is taught. Beside it,
at the same block and token of the taught model: a map fitted to the same real cities again, as growth and the published
probe do it, and one fitted to the new cities alone, five-fold, which finds them wherever they have gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from geo.atlantis import is_invented
from geo.cities import Cities
from tasks.geography.linear_maps import errors_km, linear_map, linear_vectors
from tasks.geography.views.last_digit import states_from_last_digit, where_the_map_is
from tasks.geography.world import stored_cities
from trainers.common.intervals import interval_cell, mean_interval, seeds_note
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.run_dataset import own_dataset
from trainers.folders.run_folder import RunFolder
from trainers.folders.weights import named_weights
from trainers.probes.checkpoints import load_checkpoint

_FITTED, _FOLDS, _LEAST = 0.6, 5, 5
_SHOWN = {
    "new: old map": "new_after_km",
    "fitted again": "new_refitted_km",
    "fitted to new": "new_alone_km",
    "real: old map": "real_after_km",
}
_BOUNDS = {
    "before, new": "new_before_km",
    "real": "real_before_km",
    "mean place of the real cities": "new_mean_place_km",
    "middle of the other new ones": "new_middle_km",
}


@dataclass(frozen=True)
class Places:
    """The cities of a taught model. Rows of the table: real ones to fit to and to decode, and new ones."""

    deg_N2: np.ndarray
    fitted: np.ndarray
    held_out: np.ndarray
    new: np.ndarray

    def error_km(self, vectors_N3: np.ndarray, rows: np.ndarray) -> float:
        """Return the mean distance from where cities are decoded, (N, 3) of all, to their true places."""
        return float(errors_km(vectors_N3[rows], self.deg_N2[rows]).mean())


def measure_map(name: str, seed: int | None, run: RunFolder, base: RunFolder) -> dict[str, Any]:
    """Return a row with the mean errors of maps on new cities, of the base and of a taught run, in km.

    Raises:
        UserError: the run has fewer than five new cities, or too few real ones.
    """
    cities = stored_cities(own_dataset(run).path)
    places = split(cities, run)
    before_NLTD, after_NLTD = (_states(of, cities, base) for of in (base, run))
    return {"run": name, "seed": seed, **read_maps(before_NLTD, after_NLTD, cities, places)}


def split(cities: Cities, run: RunFolder) -> Places:
    """Split the real cities into those that maps are fitted to, in random order, and those that are decoded."""
    new, real = (np.flatnonzero(is_invented(cities) == wanted) for wanted in (True, False))
    if len(new) < _LEAST or len(real) < _LEAST:
        raise UserError(
            f"the world of {run.path} has {len(new)} new and {len(real)} real cities; a map takes {_LEAST} of both:"
            " train it with --regions and more --n_atlantis"
        )
    order = np.random.default_rng(0).permutation(real)
    fitted, held_out = np.split(order, [round(_FITTED * len(real))])
    return Places(np.stack([cities.lat_deg, cities.lon_deg], axis=1), fitted, held_out, new)


def read_maps(before_NLTD: np.ndarray, after_NLTD: np.ndarray, cities: Cities, places: Places) -> dict[str, Any]:
    """Return block, token (0: the last digit), and errors in km of the old map, of maps fitted anew, of mean places.

    Args:
        before_NLTD, after_NLTD: States of all cities by the base and by the taught model, blocks from 1 on.
    """
    block, token = where_the_map_is(before_NLTD, cities, places.fitted)
    before_ND, after_ND = (of[:, block, token] for of in (before_NLTD, after_NLTD))
    old = linear_map(before_ND, places.deg_N2, places.fitted)
    refitted_N3 = linear_vectors(after_ND, places.deg_N2, places.fitted)
    nothing_N1 = np.zeros((len(cities), 1))
    return {
        "block": block + 1,
        "token": token,
        "n_new": len(places.new),
        "new_before_km": places.error_km(old(before_ND), places.new),
        "new_after_km": places.error_km(old(after_ND), places.new),
        "new_refitted_km": places.error_km(refitted_N3, places.new),
        "new_alone_km": places.error_km(_each_held_out(after_ND, places), places.new),
        "new_mean_place_km": places.error_km(linear_vectors(nothing_N1, places.deg_N2, places.fitted), places.new),
        "new_middle_km": places.error_km(_each_held_out(nothing_N1, places), places.new),
        "real_before_km": places.error_km(old(before_ND), places.held_out),
        "real_after_km": places.error_km(old(after_ND), places.held_out),
        "real_refitted_km": places.error_km(refitted_N3, places.held_out),
    }


def _each_held_out(states_ND: np.ndarray, places: Places) -> np.ndarray:
    """Decode new cities, each by a map that is fitted to four fifths of the new cities without it, (N, 3)."""
    decoded_N3 = np.zeros((len(states_ND), 3))
    for fold in np.array_split(np.random.default_rng(1).permutation(places.new), _FOLDS):
        decoded_N3[fold] = linear_vectors(states_ND, places.deg_N2, np.setdiff1d(places.new, fold))[fold]
    return decoded_N3


def _states(run: RunFolder, cities: Cities, base: RunFolder) -> np.ndarray:
    """Return a run's states of the cities in the prompt of the base's probe."""
    (weights,) = named_weights(run, "best").values()
    return states_from_last_digit(load_checkpoint(weights).float(), base.task, own_dataset(base), cities)


def map_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for every run, the mean errors of the maps; below, what they were before and what bounds them."""
    table: Any = pd.DataFrame(rows)
    shown = [
        {"taught by": name, **{title: _km(of[column]) for title, column in _SHOWN.items()}}
        for name, of in table.groupby("run", sort=False)
    ]
    counts = table.groupby("run").size().tolist()
    bounds = "; ".join(f"{words} {table[column].mean():,.0f}" for words, column in _BOUNDS.items())
    return (
        f"{format_table(shown)}\nmean error (km) of new and of real cities by the base's linear map of real ones, by"
        f" one fitted to these again, by one fitted to other new cities alone\n{bounds}\n{seeds_note(counts)}"
    )


def _km(values: Any) -> str:
    return interval_cell(mean_interval(values.tolist()), ",.0f")
