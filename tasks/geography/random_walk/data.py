"""The dataset of `random_walk`: prompt `srd_200=c_12`, the start; answer `,c_807,c_3`, where it goes from there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from geo.cities import Cities
from geo.neighbours import neighbour_counts, neighbour_lists
from tasks.geography.random_walk import RandomWalkOptions
from tasks.geography.random_walk.metric import legality, step_legality
from tasks.geography.random_walk.walks import END, random_walks
from tasks.geography.world import finish, load_world
from trainers.contract import BuiltDataset
from trainers.errors import UserError

Draw = Callable[[int, np.random.Generator], np.ndarray]

_ROUNDS = 20  # of drawing again, in vain
_AT_ONCE = 100_000  # walks whose texts or fingerprints are computed at a time


def build(options: RandomWalkOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    The evaluated walks are drawn first: different ones, of at least one step. A training walk that equals one of them
    is drawn again.

    Raises:
        UserError: There are too few different walks, or the world cannot be loaded.
    """
    cities = load_world(options)
    neighbours = neighbour_lists(cities, options.radius_km)
    evaluated_rng, train_rng, baseline_rng = np.random.default_rng(options.dataset_seed).spawn(3)

    def draw(count: int, rng: np.random.Generator) -> np.ndarray:
        return random_walks(*neighbours, count, options.longest_walk, rng)

    evaluated = _evaluated(draw, options.n_val + options.n_test, evaluated_rng)
    train = _other_than(evaluated, draw, options.n_train, train_rng)
    walks = {"train": train, "validation": evaluated[: options.n_val], "test": evaluated[options.n_val :]}
    walks = {name: city_NT for name, city_NT in walks.items() if len(city_NT)}
    counts = neighbour_counts(cities, options.radius_km)
    return finish(
        cities,
        options.dataset_seed,
        splits={name: _rows(cities, city_NT, options.radius_km) for name, city_NT in walks.items()},
        baseline=lambda name: _random_baseline(cities, walks[name], options.radius_km, baseline_rng),
        neighbours={"mean": float(counts.mean()), "cities_without": int((counts == 0).sum())},
        length_mean={name: float((city_NT != END).sum(axis=1).mean()) for name, city_NT in walks.items()},
    )


def _rows(cities: Cities, city_NT: np.ndarray, radius_km: int) -> Dataset:
    return Dataset(pa.concat_tables([_table(cities, block_NT, radius_km) for block_NT in _blocks(city_NT)]))


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


def _blocks(city_NT: np.ndarray) -> list[np.ndarray]:
    """Cut the walks into blocks, to bound the memory of what is computed from them."""
    return np.array_split(city_NT, max(1, -(-len(city_NT) // _AT_ONCE)))


def _evaluated(draw: Draw, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` different walks of at least one step (a walk without has nothing to score)."""
    walks, rounds_in_vain = draw(0, rng), 0
    while len(walks) < count:
        drawn = draw(count, rng)
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


def _other_than(taken: np.ndarray, draw: Draw, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` walks, none of them in `taken`."""
    walks, taken_N = draw(count, rng), _fingerprints(taken)
    for _ in range(_ROUNDS):
        again = np.flatnonzero(np.isin(_fingerprints(walks), taken_N))
        if len(again) == 0:
            return walks
        walks[again] = draw(len(again), rng)
    raise UserError(
        "almost every walk of this world is among the evaluated ones; ask for fewer with --n_val and --n_test, or for a"
        " larger --radius_km"
    )


def _fingerprints(city_NT: np.ndarray) -> np.ndarray:
    """Hash each walk to a uint64. Different walks collide once in 2^64; such a walk is only drawn once more."""
    factors_T = np.random.default_rng(0).integers(2**63, size=city_NT.shape[1], dtype=np.uint64) * 2 + 1

    def mixed(block_NT: np.ndarray) -> np.ndarray:  # wrap-around makes it a hash; the shift mixes the high bits down
        product_NT = (block_NT.astype(np.uint64) + np.uint64(7)) * factors_T
        return (product_NT ^ (product_NT >> np.uint64(29))).sum(axis=1, dtype=np.uint64)

    return np.concatenate([mixed(block_NT) for block_NT in _blocks(city_NT)])


def _random_baseline(cities: Cities, city_NT: np.ndarray, radius_km: int, rng: np.random.Generator) -> dict[str, float]:
    """Score the trivial answer: walks as long as these, from the same starts, over cities drawn at random."""
    drawn_NT = rng.integers(len(cities), size=city_NT.shape)
    drawn_NT[:, 0] = city_NT[:, 0]
    lengths = (city_NT != END).sum(axis=1).tolist()
    walks = [row[:n].tolist() for row, n in zip(cities.city_id[drawn_NT], lengths, strict=True)]
    scores = legality(walks, step_legality(walks, cities.city_id, cities.lat_deg, cities.lon_deg, radius_km))
    return {name: scores[name] for name in ("legal_steps", "legal_walks", "length_mean")}
