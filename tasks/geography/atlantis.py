"""Build datasets over real and invented cities, with replayed real pairs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from geo.atlantis import invent_cities, join_cities, parse_regions
from geo.cities import Cities
from tasks.geography.pairs import draw_distinct, median_baseline, take_rows
from tasks.geography.world import AtlantisOptions, InventedOptions, finish, load_world
from trainers.contract import BuiltDataset
from trainers.errors import UserError, name_flags
from trainers.folders import dataset_folder


def load_worlds(options: InventedOptions) -> tuple[Cities, int]:
    """Return the real cities followed by the invented ones, whose ids follow theirs, and the number of real ones."""
    real = load_world(options)
    with name_flags("regions"):
        regions = parse_regions(options.regions)
    first_id = int(real.city_id.max()) + 1
    invented = invent_cities(regions, options.n_atlantis, options.spread_km, first_id, options.atlantis_seed)
    return join_cities(real, invented), len(real)


def build_dataset(
    options: AtlantisOptions,
    cities: Cities,
    n_real: int,
    splits: Mapping[str, Dataset],
    adjustments: tuple[str, ...] = (),
) -> BuiltDataset:
    """Return the dataset: the splits, with replayed pairs in train.

    Raises:
        UserError: The requested replay is not available.
    """
    train = splits["train"]
    worlds = world_facts(cities, n_real, options.n_atlantis)
    replay = _replayed(options, worlds["worlds"][0], train)
    if replay is not None:
        order = np.random.default_rng([options.dataset_seed, 2]).permutation(len(train) + len(replay))
        splits = {**splits, "train": take_rows(concatenate_datasets([train, replay]), order)}
    return finish(
        cities,
        options.dataset_seed,
        splits,
        lambda name: median_baseline(train, splits[name]),
        **worlds,
        kinds={name: _counts(rows) for name, rows in splits.items()},
        adjustments=list(adjustments),
    )


def world_facts(cities: Cities, n_real: int, n_each: int) -> dict[str, Any]:
    """Return the facts about a world of real and then invented cities: what it is, and which worlds are part of it.

    Those are the real cities alone, with the first region, with the first two, ….
    """
    worlds = [_first(cities, n).digest() for n in range(n_real, len(cities) + 1, n_each)]
    return {
        "world": {"cities": len(cities), "invented": len(cities) - n_real, "sha256": worlds[-1]},
        "worlds": worlds,
    }


def _first(cities: Cities, n: int) -> Cities:
    columns: list[Any] = [values[:n] for values in vars(cities).values()]
    return Cities(*columns)


def _replayed(options: AtlantisOptions, real_sha256: str, train: Dataset) -> Dataset | None:
    """Draw training rows of the base model's dataset that make up `replay_ratio` of all; None without replay."""
    if (options.replay_ratio > 0) != (options.replay_dataset is not None):
        raise UserError(
            "--replay_ratio and --replay_dataset go together: the share of replayed rows, and the folder of the"
            " distance dataset the base model was trained on (as outputs/datasets/distance-…)"
        )
    if options.replay_dataset is None:
        return None
    source = dataset_folder.load(Path(os.path.expanduser(options.replay_dataset)), "distance", "replay_dataset")
    if source.fact("world", sha256=str)["sha256"] != real_sha256:
        raise UserError(
            f"--replay_dataset is of another world ({source.path}); give it the same --n_cities, --min_population,"
            " --cities_csv and --world_seed"
        )
    count = round(len(train) * options.replay_ratio / (1 - options.replay_ratio))
    rows = source.splits["train"]
    if count == 0:
        raise UserError(
            f"--replay_ratio {options.replay_ratio:g} adds no row to {len(train):,}; ask for a larger share"
        )
    if count > len(rows):
        raise UserError(
            f"--replay_ratio {options.replay_ratio:g} needs {count:,} rows, but {source.path} has {len(rows):,}"
            " training rows; ask for a smaller share"
        )
    chosen = np.sort(draw_distinct(len(rows), count, np.random.default_rng([options.dataset_seed, 1])))
    return take_rows(rows, chosen).add_column("kind", ["replay"] * count)  # pyright: ignore[reportCallIssue]


def _counts(rows: Any) -> dict[str, int]:
    kinds, counts = np.unique(np.array(rows["kind"]), return_counts=True)
    return {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)}
