"""The dataset of `atlantis_cross`: pairs with one invented city, and a share with two, written as in `distance`."""

import math

import numpy as np
from datasets import Dataset

from geo.cities import Cities
from tasks.geography.atlantis import build_dataset, load_worlds
from tasks.geography.atlantis_cross import AtlantisCrossOptions
from tasks.geography.pairs import (
    Pairs,
    check_enough,
    draw_distinct,
    in_random_order,
    n_pairs,
    pair_of,
    pair_rows,
    split_pairs,
    split_sizes,
)
from trainers.contract import BuiltDataset
from trainers.errors import UserError

WANTED_RATIO = 0.1


def build(options: AtlantisCrossOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    Raises:
        UserError: More pairs are asked for than there are, or the worlds or the replayed pairs cannot be loaded.
    """
    cities, n_real = load_worlds(options)
    n_invented = len(cities) - n_real
    sizes = split_sizes(options)
    ratio, adjustments = _inter_ratio(options.inter_ratio, sum(sizes.values()), n_pairs(n_invented))
    n_inter = {name: math.floor(size * ratio) for name, size in sizes.items()}
    left = n_pairs(n_invented) - n_inter["test"] - n_inter["validation"]
    n_inter["train"] = min(math.floor(options.n_train * ratio + 0.5), left)
    n_cross = {name: size - n_inter[name] for name, size in sizes.items()}
    check_enough(
        sum(n_cross.values()), n_real * n_invented, f"pairs of {n_invented} invented and {n_real:,} real cities"
    )
    inter_rng, cross_rng, order_rng, mix_rng = np.random.default_rng(options.dataset_seed).spawn(4)
    low, high = pair_of(draw_distinct(n_pairs(n_invented), sum(n_inter.values()), inter_rng))
    numbers = draw_distinct(n_real * n_invented, sum(n_cross.values()), cross_rng)
    inter = split_pairs(in_random_order((n_real + low, n_real + high), order_rng), n_inter)
    cross = split_pairs(in_random_order((n_real + numbers // n_real, numbers % n_real), order_rng), n_cross)
    splits = {name: _mixed_rows(cities, inter[name], cross[name], mix_rng) for name, size in sizes.items() if size}
    return build_dataset(options, cities, n_real, dict(reversed(splits.items())), adjustments)


def _inter_ratio(asked: float | None, n_rows: int, available: int) -> tuple[float, tuple[str, ...]]:
    """Return the share of inter pairs in every split, and a note if it is not the usual one."""
    possible = available / n_rows
    if asked is not None:
        if round(asked * n_rows) > available:
            raise UserError(
                f"--inter_ratio {asked:g} of {n_rows:,} rows needs {round(asked * n_rows):,} pairs of invented cities,"
                f" but there are {available:,}; ask for at most {math.floor(possible * 1e4) / 1e4:g}, or for fewer rows"
            )
        return asked, ()
    if possible >= WANTED_RATIO:
        return WANTED_RATIO, ()
    note = (
        f"{WANTED_RATIO:.0%} of {n_rows:,} rows would be {round(WANTED_RATIO * n_rows):,} pairs of invented cities, but"
        f" there are {available:,}: every split has {possible:.2%} instead"
    )
    return possible, (note,)


def _mixed_rows(cities: Cities, inter: Pairs, cross: Pairs, rng: np.random.Generator) -> Dataset:
    kinds = np.repeat(["inter", "cross"], [len(inter[0]), len(cross[0])])
    order = rng.permutation(len(kinds))
    first, second = (np.concatenate(rows)[order] for rows in zip(inter, cross, strict=True))
    return pair_rows(cities, (first, second), kinds[order])
