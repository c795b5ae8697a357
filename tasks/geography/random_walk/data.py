"""The dataset of `random_walk`: prompt `srd_200=c_12`, the start; answer `,c_807,c_3`, where it goes from there."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from geo.cities import Cities
from geo.neighbours import neighbour_counts, neighbour_lists
from tasks.geography.random_walk import RandomWalkOptions
from tasks.geography.random_walk.walks import END, random_walks
from tasks.geography.world import finish, load_world
from trainers.contract import BuiltDataset, Pieces
from trainers.errors import UserError

Draw = Callable[..., np.ndarray]
"""(number of walks, rng) -> the walks."""

_ROUNDS = 20  # of drawing again, in vain
_BLOCK = 10_000  # training walks that are drawn together, from random numbers of their own


def build(options: RandomWalkOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    The evaluated walks are drawn first: different ones, of at least one step. A training walk that equals one of them
    is drawn again. More than a million training walks are made in pieces, and their mean length is not computed.

    Raises:
        UserError: There are too few different walks, or the world cannot be loaded.
    """
    cities = load_world(options)
    neighbours = neighbour_lists(cities, options.radius_km)
    evaluated_rng, _, baseline_rng = np.random.default_rng(options.dataset_seed).spawn(3)
    draw = partial(random_walks, *neighbours, longest=options.longest_walk)
    evaluated = _evaluated(draw, options.n_val + options.n_test, evaluated_rng)
    walks = {"validation": evaluated[: options.n_val], "test": evaluated[options.n_val :]}
    walks = {name: city_NT for name, city_NT in walks.items() if len(city_NT)}
    make = partial(_train_rows, cities, draw, _fingerprints(evaluated), options.radius_km, options.dataset_seed)
    train = Pieces(options.n_train, make) if options.n_train > Pieces.SIZE else make(0, options.n_train)
    rows = {name: Dataset(_table(cities, city_NT, options.radius_km)) for name, city_NT in walks.items()}
    splits = {"train": train, **rows}
    counts = neighbour_counts(cities, options.radius_km)
    return finish(
        cities,
        options.dataset_seed,
        splits=splits,
        baseline=lambda name: _random_baseline(cities, walks[name], options.radius_km, baseline_rng),
        neighbours={"mean": float(counts.mean()), "cities_without": int((counts == 0).sum())},
        length_mean={name: _length_mean(rows) for name, rows in splits.items() if isinstance(rows, Dataset)},
    )


def _train_rows(
    cities: Cities, draw: Draw, taken_N: np.ndarray, radius_km: int, seed: int, start: int, stop: int
) -> Dataset:
    """Return the training rows start…stop-1; any part can be had without the others, in another process too."""
    tables = []
    for block in range(start // _BLOCK, -(-stop // _BLOCK)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, block)))
        walks = _other_than(taken_N, draw, _BLOCK, rng)[max(0, start - block * _BLOCK) : stop - block * _BLOCK]
        tables.append(_table(cities, walks, radius_km))
    return Dataset(pa.concat_tables(tables))


def _length_mean(rows: Dataset) -> float:
    """Return the mean number of cities in a walk."""
    answers: Any = rows.with_format("arrow")[:]["answer"]
    return 1 + pc.mean(pc.count_substring(answers, ",c_")).as_py()  # pyright: ignore[reportAttributeAccessIssue]


def _table(cities: Cities, city_NT: np.ndarray, radius_km: int) -> pa.Table:
    text, ids_NT = pa.large_string(), cities.city_id[city_NT]
    join: Any = pc.binary_join_element_wise  # pyright: ignore[reportAttributeAccessIssue]
    nothing = pa.scalar("", text)
    prompt = join(pa.scalar(f"srd_{radius_km}=c_", text), pa.array(ids_NT[:, 0]).cast(text), nothing)
    goes_on_NT = city_NT[:, 1:] != END
    offsets = np.concatenate([[0], np.cumsum(goes_on_NT.sum(axis=1))]).astype(np.int64)
    visited = join(pa.scalar(",c_", text), pa.array(ids_NT[:, 1:][goes_on_NT]).cast(text), nothing)
    answer = pc.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets), visited), nothing)  # pyright: ignore
    return pa.table({"prompt": prompt, "answer": answer})


def _evaluated(draw: Draw, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` different walks of at least one step (a walk without has nothing to score)."""
    walks, rounds_in_vain = draw(0, rng=rng), 0
    while len(walks) < count:
        drawn = draw(count, rng=rng)
        both = np.concatenate([walks, drawn[(drawn[:, 1:2] != END).any(axis=1)]])
        _, first = np.unique(_fingerprints(both), return_index=True)
        rounds_in_vain = rounds_in_vain + 1 if len(first) == len(walks) else 0
        if rounds_in_vain == _ROUNDS:
            raise UserError(
                f"{count:,} different walks with a step are to be evaluated, but the world seems to have {len(walks):,}"
                "; ask for fewer with --n_val and --n_test, or for a larger --radius_km or --longest_walk"
            )
        walks = both[np.sort(first)]
    return walks[:count]


def _other_than(taken_N: np.ndarray, draw: Draw, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` walks, none of which has one of these fingerprints."""
    walks = draw(count, rng=rng)
    for _ in range(_ROUNDS):
        again = np.flatnonzero(np.isin(_fingerprints(walks), taken_N))
        if len(again) == 0:
            return walks
        walks[again] = draw(len(again), rng=rng)
    raise UserError(
        "almost every walk of this world is among the evaluated ones; ask for fewer with --n_val and --n_test, or for a"
        " larger --radius_km"
    )


def _fingerprints(city_NT: np.ndarray) -> np.ndarray:
    """Hash each walk to a uint64. Different walks collide once in 2^64; such a walk is only drawn once more."""
    factors_T = np.random.default_rng(0).integers(2**63, size=city_NT.shape[1], dtype=np.uint64) * 2 + 1

    # Wrap-around makes it a hash; the shift mixes the high bits down.
    product_NT = (city_NT.astype(np.uint64) + np.uint64(7)) * factors_T
    return (product_NT ^ (product_NT >> np.uint64(29))).sum(axis=1, dtype=np.uint64)


def _random_baseline(cities: Cities, city_NT: np.ndarray, radius_km: int, rng: np.random.Generator) -> dict[str, float]:
    """Score the trivial answer: walks as long as these, from the same starts, over cities drawn at random."""
    from tasks.geography.random_walk.metric import legality, step_legality  # not in the processes that make rows: 5 s

    drawn_NT = rng.integers(len(cities), size=city_NT.shape)
    drawn_NT[:, 0] = city_NT[:, 0]
    lengths = (city_NT != END).sum(axis=1).tolist()
    walks = [row[:n].tolist() for row, n in zip(cities.city_id[drawn_NT], lengths, strict=True)]
    scores = legality(walks, step_legality(walks, cities.city_id, cities.lat_deg, cities.lon_deg, radius_km))
    return {name: scores[name] for name in ("legal_steps", "legal_walks", "length_mean")}
