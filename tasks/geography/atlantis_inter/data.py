"""The dataset of `atlantis_inter`: pairs of invented cities, written as in `distance`."""

from tasks.geography.atlantis import build_dataset, load_worlds
from tasks.geography.pairs import draw_pairs, pair_rows
from tasks.geography.world import AtlantisOptions
from trainers.contract import BuiltDataset


def build(options: AtlantisOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    Raises:
        UserError: More pairs are asked for than there are, or the worlds or the replayed pairs cannot be loaded.
    """
    cities, n_real = load_worlds(options)
    n_invented = len(cities) - n_real
    pairs = draw_pairs(n_invented, options, f"pairs of {n_invented} invented cities")
    splits = {name: pair_rows(cities, (n_real + a, n_real + b), "inter") for name, (a, b) in pairs.items()}
    return build_dataset(options, cities, n_real, splits)
