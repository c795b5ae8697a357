"""The dataset of `distance`: one row per pair, prompt `dist(c_12,c_5075)=`, answer `769`."""

import numpy as np

from tasks.geography.distance.options import DistanceOptions
from tasks.geography.pairs import (
    check_enough,
    draw_distinct,
    in_random_order,
    median_baseline,
    n_pairs,
    pair_of,
    pair_rows,
    split_rows,
    splits_of,
)
from tasks.geography.world import finish, load_world
from trainers.contract import BuiltDataset


def build(options: DistanceOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    The evaluated pairs are drawn first, so that more or fewer training pairs leave them what they are.

    Raises:
        UserError: more pairs are asked for than there are, or the world cannot be loaded.
    """
    cities = load_world(options)
    sizes = {"test": options.n_test, "validation": options.n_val, "train": options.n_train}
    available = n_pairs(len(cities))
    check_enough(sum(sizes.values()), available, f"pairs of {len(cities):,} cities")
    draw_rng, order_rng = np.random.default_rng(options.dataset_seed).spawn(2)
    numbers = draw_distinct(available, sum(sizes.values()), draw_rng)
    rows = pair_rows(cities, in_random_order(pair_of(numbers), order_rng))
    splits = splits_of(split_rows(rows, sizes))
    baselines = {name: median_baseline(splits["train"], rows) for name, rows in splits.items() if name != "train"}
    return finish(cities, options.dataset_seed, splits, baselines)
