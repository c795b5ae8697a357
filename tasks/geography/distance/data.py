"""The dataset of `distance`: one row per pair, prompt `dist(c_12,c_5075)=`, answer `769`."""

from tasks.geography.pairs import draw_pairs, median_baseline, pair_rows
from tasks.geography.world import PairOptions, finish, load_world
from trainers.contract import BuiltDataset


def build(options: PairOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    Raises:
        UserError: More pairs are asked for than there are, or the world cannot be loaded.
    """
    cities = load_world(options)
    pairs = draw_pairs(len(cities), options, f"pairs of {len(cities):,} cities")
    splits = {name: pair_rows(cities, chosen) for name, chosen in pairs.items()}
    return finish(cities, options.dataset_seed, splits, lambda name: median_baseline(splits["train"], splits[name]))
