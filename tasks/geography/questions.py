"""Ask one question about a few cities, a row for every set of them: draw, answer, write, and score the trivial answer.

A task of this kind declares a `Question` and builds its dataset by `build_questions`. All sets, over all splits, are
different ones, whatever the order of their cities.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from geo import plane_shapes, sphere_shapes
from geo.cities import Cities
from tasks.geography.city_sets import sets_between
from tasks.geography.pairs import check_enough, split_sizes
from tasks.geography.world import PairOptions, finish, load_world
from trainers.contract import BuiltDataset
from trainers.options import option

SHAPES: Mapping[str, Any] = {"sphere": sphere_shapes, "plane": plane_shapes}
CITY_COLUMNS = ("city_a", "city_b", "city_c", "city_d", "city_e")
_AT_ONCE = 50_000  # sets that are judged and written at a time, so that what is computed fits into the cache


@dataclass
class QuestionOptions(PairOptions):
    """The cities, the number of rows in each split, and whether the world is round."""

    geometry: Literal["sphere", "plane"] = option(
        "sphere", "plane: longitude and latitude in tenths of a degree as x and y, to reproduce results about it"
    )


@dataclass(frozen=True)
class Question:
    """What is asked about some cities, and the true answer."""

    prompts: Mapping[int, str]
    """Number of cities -> prompt, with `{}` for the number of each city. Every one gets equally many rows."""
    answer: Callable[[Any, np.ndarray], np.ndarray]
    """(`sphere_shapes` or `plane_shapes`, points (N, K, D)) -> (N,) numbers, later rounded, or indices of `choices`."""
    choices: tuple[str, ...] = ()
    """The texts of the answers, unless they are numbers or cities."""
    trivial: tuple[int, ...] = ()
    """If answers are cities of the set, `answer` gives their places in it, (N, A); these are the trivial answer's."""
    balanced: bool = False
    """Whether every choice gets equally many rows."""
    usable: Callable[[Any, np.ndarray], np.ndarray] | None = None
    """(shapes, points (N, K, D)) -> (N,) bool: which sets have an answer; none has if two of its places are one."""
    failure: Callable[[Any], float] = lambda shapes: 0.0
    """(shapes) -> the error of an answer that is no number."""


def build_questions(options: QuestionOptions, question: Question) -> BuiltDataset:
    """Build the rows; equal options give equal rows, and the evaluated ones do not depend on `n_train`.

    Raises:
        UserError: More rows are asked for than there are, or the world cannot be loaded.
    """
    shapes, cities = SHAPES[options.geometry], load_world(options)
    world = _World(cities, shapes, shapes.points(cities.lat_deg, cities.lon_deg))
    parts: dict[str, list[Dataset]] = {name: [] for name in ("train", "test", "validation")}
    for at, size in enumerate(question.prompts):
        wanted = {name: _share(rows, at, len(question.prompts)) for name, rows in split_sizes(options).items()}
        for name, sets in _draw(world, question, size, wanted, options.dataset_seed).items():
            parts[name].append(_rows(world, question, sets))
    rows = {name: _mixed(tables, options.dataset_seed) for name, tables in parts.items() if sum(map(len, tables))}
    facts = {
        "choices": list(question.choices),
        "trivial": [CITY_COLUMNS[place] for place in question.trivial],
        "failure": float(question.failure(world.shapes)),
    }
    trivial = partial(_trivial_scores, facts, rows["train"])
    return finish(cities, options.dataset_seed, rows, lambda name: trivial(rows[name]), question=facts)


@dataclass(frozen=True)
class _World:
    cities: Cities
    shapes: Any
    points_CD: np.ndarray


def _share(count: int, at: int, of: int) -> int:
    return count // of + (at < count % of)


def _draw(world: _World, question: Question, size: int, wanted: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Draw the sets of one size for every split, rows of the table of cities, (N, K) int64."""
    shapes, n = world.shapes, len(world.cities)
    groups = len(question.choices) if question.balanced else 1
    counts = {name: [_share(rows, group, groups) for group in range(groups)] for name, rows in wanted.items()}
    needed = np.sum([*counts.values()], axis=0)
    pools: list[list[np.ndarray]] = [[] for _ in range(groups)]
    have = np.zeros(groups, int)
    for sets in _candidates(n, size, seed):
        if (have >= needed).all():
            break
        places = world.points_CD[sets]
        fit = _apart(shapes, places) & (True if question.usable is None else question.usable(shapes, places))
        group = question.answer(shapes, places) if question.balanced else np.zeros(len(sets), int)
        for number, pool in enumerate(pools):
            pool.append(sets[fit & (group == number)])
            have[number] += len(pool[-1])
    for of in range(groups):
        what = f"rows about {size} of {n:,} cities"
        check_enough(needed[of], have[of], f"{what} with the answer {question.choices[of]}" if groups > 1 else what)
    return _cut([np.concatenate(pool) for pool in pools], counts)


def _candidates(n: int, size: int, seed: int) -> Iterator[np.ndarray]:
    for start in range(0, n_sets := math.comb(n, size), _AT_ONCE):
        yield sets_between(start, min(start + _AT_ONCE, n_sets), n, size, seed)


def _apart(shapes: Any, places: np.ndarray) -> np.ndarray:
    """Return whether no two places of a set are one, (N,) bool."""
    pairs = combinations(range(places.shape[1]), 2)
    return np.all([shapes.distance(places[:, i], places[:, j]) >= shapes.LEAST_DISTANCE for i, j in pairs], axis=0)


def _cut(pools: list[np.ndarray], counts: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Cut each pool into its pieces for the splits, one behind the other, and put those of a split together."""
    pieces = [np.split(pool, np.cumsum([of[number] for of in counts.values()])) for number, pool in enumerate(pools)]
    return {name: np.concatenate([of[at] for of in pieces]) for at, name in enumerate(counts)}


def _rows(world: _World, question: Question, sets: np.ndarray) -> Dataset:
    """Return rows with prompt, answer and the cities' numbers, `kind` the number of cities where it differs."""
    cuts = [slice(at, at + _AT_ONCE) for at in range(0, max(1, len(sets)), _AT_ONCE)]
    return Dataset(pa.concat_tables([_table(world, question, sets[cut]) for cut in cuts]))


def _table(world: _World, question: Question, sets: np.ndarray) -> pa.Table:
    answer, city_id = question.answer(world.shapes, world.points_CD[sets]), world.cities.city_id
    ids = [pa.array(city_id[column]) for column in sets.T]
    if question.choices:
        text = pa.array(question.choices).take(pa.array(answer.astype(np.int64)))
    elif question.trivial:
        text = names_of([pa.array(city_id[column]) for column in np.take_along_axis(sets, answer, axis=1).T])
    else:
        text = pa.array(np.rint(answer).astype(np.int64)).cast(pa.string())
    columns: dict[str, Any] = {"prompt": _prompts(question.prompts[sets.shape[1]], ids), "answer": text}
    none = pa.nulls(len(sets), pa.from_numpy_dtype(city_id.dtype))
    widest = max(question.prompts)
    columns |= dict(zip(CITY_COLUMNS, [*ids, *[none] * (widest - len(ids))], strict=False))
    if len(question.prompts) > 1:
        columns["kind"] = pa.array([f"{sets.shape[1]}_cities"] * len(sets), pa.string())
    return pa.table(columns)


def names_of(ids: list[Any]) -> Any:
    """Return texts such as `c_12,c_7` from the numbers of the first, the second … city of each."""
    named = [pc.binary_join_element_wise("c_", of.cast(pa.string()), "") for of in ids]  # pyright: ignore
    return pc.binary_join_element_wise(*named, ",")  # pyright: ignore


def _prompts(template: str, ids: list[pa.Array]) -> Any:
    first, *others = template.split("{}")
    texts = [part for number, rest in zip(ids, others, strict=True) for part in (number.cast(pa.string()), rest)]
    return pc.binary_join_element_wise(first, *texts, "")  # pyright: ignore


def _mixed(tables: list[Dataset], seed: int) -> Dataset:
    """Put the tables of all sizes and answers together, in random order."""
    table: Any = pa.concat_tables([rows.with_format("arrow")[:] for rows in tables])
    return Dataset(table.take(pa.array(np.random.default_rng(seed).permutation(len(table)))).combine_chunks())


def _trivial_scores(facts: Mapping[str, Any], train: Dataset, evaluated: Dataset) -> dict[str, float]:
    """Score the trivial answer: the most common one, of numbers the median, of cities those that are named first.

    The median is that of the training rows about as many cities.
    """
    from tasks.geography.choice_metric import ChoiceAccuracy  # not at the top: seconds, in every process that builds
    from tasks.geography.cities_metric import CityOverlap
    from tasks.geography.number_metric import NumberError

    known, true = _answers(train), _answers(evaluated)
    if facts["trivial"]:
        table: Any = evaluated.with_format("arrow")[:]
        guess = names_of([table[name] for name in facts["trivial"]]).to_pylist()
        return CityOverlap().score(guess, true["answer"].tolist())
    if facts["choices"]:
        guess = np.full(len(true), known["answer"].mode()[0])
        given = {"predictions": guess, "references": true["answer"], "choices": facts["choices"]}
        return ChoiceAccuracy().score(**given)
    guess = true["kind"].map(known["answer"].astype(float).groupby(known["kind"]).median())
    return NumberError().score(guess, true["answer"].astype(float), facts["failure"])


def _answers(rows: Dataset) -> Any:
    """Return a `DataFrame` of the columns `answer` and `kind`, which is the same in all rows where there is none."""
    table: Any = rows.with_format("arrow")[:]
    kind = table["kind"].to_pandas() if "kind" in table.column_names else "all"
    return pd.DataFrame({"answer": table["answer"].to_pandas(), "kind": kind})
