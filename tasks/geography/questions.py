"""Ask one question about a few cities, a row for every set of them: draw, answer, write, and score the trivial answer.

A task of this kind declares a `Question` and builds its dataset by `build_questions`. All sets, over all splits, are
different ones, whatever the order of their cities.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from geo import plane_shapes, sphere_shapes
from tasks.geography.atlantis import load_worlds, world_facts
from tasks.geography.growing import order_of_joining
from tasks.geography.pairs import split_sizes
from tasks.geography.question_sets import AT_ONCE, Question, World, draw, draw_dense, share_of
from tasks.geography.world import QuestionOptions, finish, load_world
from trainers.contract import BuiltDataset
from trainers.errors import UserError

SHAPES: Mapping[str, Any] = {"sphere": sphere_shapes, "plane": plane_shapes}
CITY_COLUMNS = ("city_a", "city_b", "city_c", "city_d", "city_e")
MOST_NAMED = len(CITY_COLUMNS)  # cities in a row


def build_questions(options: QuestionOptions, question: Question) -> BuiltDataset:
    """Build the rows; equal options give equal rows, and the evaluated ones do not depend on `n_train`.

    Raises:
        UserError: More rows are asked for than there are, or the world cannot be loaded.
    """
    world, about_it = _load(options)
    parts: dict[str, list[Dataset]] = {name: [] for name in ("train", "test", "validation")}
    for at, size in enumerate(question.prompts):
        wanted = {name: share_of(rows, at, len(question.prompts)) for name, rows in split_sizes(options).items()}
        drawn = draw(world, question, size, wanted, options.dataset_seed)
        more = [*_draw_real(world, question, size, wanted, options), *_draw_dense(world, question, at, drawn, options)]
        for name, sets in [*drawn.items(), *more]:
            parts[name].append(_rows(world, question, sets))
    rows = {name: _mixed(tables, options.dataset_seed) for name, tables in parts.items() if sum(map(len, tables))}
    facts = {
        "choices": list(question.choices),
        "trivial": [CITY_COLUMNS[place] for place in question.trivial],
        "failure": float(question.failure(world.shapes)),
    }
    trivial = partial(_trivial_scores, facts, rows["train"])
    return finish(
        world.cities, options.dataset_seed, rows, lambda name: trivial(rows[name]), question=facts, **about_it
    )


def _load(options: QuestionOptions) -> tuple[World, dict[str, Any]]:
    """Return the world, and the facts about it."""
    if options.real_ratio and not options.regions:
        raise UserError("--real_ratio is for rows about invented cities; give their --regions, or leave it out")
    if options.regions:
        cities, n_real = load_worlds(options)
        facts = world_facts(cities, n_real, options.n_atlantis)
    else:
        cities = load_world(options)
        n_real, digest = len(cities), cities.digest()
        facts = {"world": {"cities": n_real, "sha256": digest}, "worlds": [digest]}
    if options.geometry == "plane":  # no part of a round world, and the other way round
        flat = [f"{digest}, plane" for digest in facts["worlds"]]
        facts = {"world": {**facts["world"], "sha256": flat[-1]}, "worlds": flat}
    shapes = SHAPES[options.geometry]
    return World(cities, n_real, shapes, shapes.points(cities.lat_deg, cities.lon_deg)), facts


def _draw_real(
    world: World, question: Question, size: int, wanted: Mapping[str, int], options: QuestionOptions
) -> Iterator[tuple[str, np.ndarray]]:
    """Give the sets of real cities that are trained on too."""
    if count := round(wanted["train"] * options.real_ratio / (1 - options.real_ratio)):
        yield from draw(world, question, size, {"train": count}, options.dataset_seed, invented=False).items()


def _draw_dense(
    world: World, question: Question, at: int, drawn: Mapping[str, np.ndarray], options: QuestionOptions
) -> Iterator[tuple[str, np.ndarray]]:
    """Give the sets of a growing world's first cities that are trained on too, of the `at`-th number of cities."""
    if options.dense is None:
        return
    n_cities, n_rows = _dense(options, len(world.cities))
    first = order_of_joining(world.cities)[:n_cities]
    others = np.concatenate([*drawn.values()])
    count = share_of(n_rows, at, len(question.prompts))
    yield "train", draw_dense(world, question, first, others, count, options.dataset_seed)


def _dense(options: QuestionOptions, most: int) -> tuple[int, int]:
    """Return cities and rows of `--dense`."""
    if options.regions:
        raise UserError("--dense is for a growing world of real cities; leave it out, or --regions")
    found = re.fullmatch(r"(\d{1,18}):(\d{1,18})", str(options.dense))
    cities, rows = map(int, found.groups()) if found else (0, 0)
    if not rows or not MOST_NAMED <= cities <= most:
        raise UserError(
            f"--dense is {options.dense!r}; give CITIES:ROWS, as 100:100000, with {MOST_NAMED} to {most:,} cities"
        )
    return cities, rows


def _rows(world: World, question: Question, sets: np.ndarray) -> Dataset:
    """Return rows with prompt, answer and the cities' numbers, `kind` the number of cities where it differs."""
    cuts = [slice(at, at + AT_ONCE) for at in range(0, max(1, len(sets)), AT_ONCE)]
    return Dataset(pa.concat_tables([_table(world, question, sets[cut]) for cut in cuts]))


def _table(world: World, question: Question, sets: np.ndarray) -> pa.Table:
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
