"""The dataset of `atlantis_inter`: pairs of invented cities, written as in `distance`."""

import numpy as np

from tasks.geography.atlantis import build_dataset, load_worlds
from tasks.geography.atlantis_inter.options import AtlantisInterOptions
from tasks.geography.pairs import (
    check_enough,
    draw_distinct,
    in_random_order,
    n_pairs,
    pair_of,
    pair_rows,
    split_rows,
    splits_of,
)
from trainers.contract import BuiltDataset


def build(options: AtlantisInterOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    Raises:
        UserError: more pairs are asked for than there are, or the worlds or the replay cannot be had.
    """
    cities, n_real = load_worlds(options)
    n_invented = len(cities) - n_real
    sizes = {"test": options.n_test, "validation": options.n_val, "train": options.n_train}
    check_enough(sum(sizes.values()), n_pairs(n_invented), f"pairs of {n_invented} invented cities")
    draw_rng, order_rng = np.random.default_rng(options.dataset_seed).spawn(2)
    low, high = pair_of(draw_distinct(n_pairs(n_invented), sum(sizes.values()), draw_rng))
    rows = pair_rows(cities, in_random_order((n_real + low, n_real + high), order_rng), "inter")
    splits = splits_of(split_rows(rows, sizes))
    return build_dataset(options, cities, n_real, splits)
