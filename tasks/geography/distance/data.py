"""The dataset of `distance`: one row per pair, prompt `dist(c_12,c_5075)=`, answer `769`."""

from functools import partial

from datasets import Dataset

from geo.cities import Cities
from tasks.geography.pairs import median_baseline, pair_rows, pairs_between, split_places
from tasks.geography.world import PairOptions, finish, load_world
from trainers.contract import BuiltDataset, Pieces


def build(options: PairOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows. More than a million training rows are made in pieces.

    Raises:
        UserError: More pairs are asked for than there are, or the world cannot be loaded.
    """
    cities = load_world(options)
    places = split_places(len(cities), options, f"pairs of {len(cities):,} cities")
    makers = {name: partial(_rows, cities, options.dataset_seed, first) for name, (first, _) in places.items()}
    rows = {name: makers[name](0, stop - start) for name, (start, stop) in places.items() if name != "train"}
    some = makers["train"](0, min(options.n_train, Pieces.SIZE))
    train = some if options.n_train <= Pieces.SIZE else Pieces(options.n_train, makers["train"])
    splits = {"train": train, **rows}
    return finish(cities, options.dataset_seed, splits, lambda name: median_baseline(some, rows[name]))


def _rows(cities: Cities, seed: int, first: int, start: int, stop: int) -> Dataset:
    """Return the rows start…stop-1 of the split whose pairs begin at the place `first`."""
    return pair_rows(cities, pairs_between(first + start, first + stop, len(cities), seed))
