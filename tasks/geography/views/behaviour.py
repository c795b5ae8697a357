"""The map from behaviour alone: all answers between a sample of cities, scaled to a map, beside that of a linear probe.

Every ordered pair of a seeded sample is asked for (pairs of the training are among them). The answers there and back
are averaged; metric scaling makes places of them, without any true place; a rotation (or mirror image) and a shift,
without a change of scale, lay these onto the true ones. The probe is ridge regression on the other cities, at the block
and token, from the last digit on, where it decodes a fifth of these best. Intervals are over cities; those of errors
hold the map fixed, which all of them make together.

EXPECTED, written down before the flagship was looked at (answers 56 km off in the mean; ridge 217 km): every place
comes of 299 distances, so the map is better than a single answer, 20 to 50 km in the mean: the mouth knows more than
a linear map finds in the head. Answers there and back differ by 30 to 70 km; 1 to 4 % of triangles are violated, as
independent noise of this size would do. Shuffled answers: above 8,000 km. True rounded distances: below 1 km.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from geo.cities import Cities
from geo.maps.predictions import prediction_map
from geo.sphere import chord_of_km, great_circle_km, unit_vectors
from tasks.geography.city_probe import MAX_TRAIN
from tasks.geography.linear_maps import degrees_of, linear_degrees
from tasks.geography.pair_answers import parse_km
from tasks.geography.views.charts import errors_figure
from tasks.geography.views.coherence import both_ways, coherence, mean_over_pairs
from tasks.geography.views.last_digit import states_from_last_digit, where_the_map_is
from tasks.geography.views.resampling import bootstrap_median
from tasks.geography.views.scaling import distances_between, lay_onto, placeable, scale
from tasks.geography.world import stored_cities
from tokenization.characters import ColumnEncoder, read_vocabulary
from trainers.common.intervals import interval_of_difference, interval_of_mean
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.models.generation import generate_answers
from trainers.options import MAX_SEED, option
from trainers.probes.views import Inspected, View, ViewResult

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ANSWER_TOKENS, _PROMPTS_AT_ONCE = 6, 512  # five digits and <eos>
_LEAST = 5  # places, below which they can be turned onto nearly anything


@dataclass
class BehaviourOptions:
    """Which cities are asked about."""

    sample: int = option(300, "cities between which all distances are asked for, at most half of the world", least=4)
    sample_seed: int = option(42, "seed of the choice of these cities", least=0, most=MAX_SEED)


class Behaviour(View):
    """Answers to all pairs of a sample -> multidimensional scaling -> errors in km, beside those of a linear probe."""

    options = BehaviourOptions
    summary = "the map from answers alone, by multidimensional scaling: is it better than the probe's?"

    def look(self, inspected: Inspected) -> ViewResult:
        """Ask, scale, compare with the probe, and measure whether the answers are those of any world."""
        cities = stored_cities(inspected.data.path)
        rows, others = self._draw(len(cities))
        sample = cities.take(rows)
        answer_km_NN = ask_all(inspected.model, inspected.data, sample.city_id)
        decoded_deg, block, token = _decode_states(inspected, cities, others)
        found = compare(sample, answer_km_NN, decoded_deg[rows])
        asked = f"{len(rows):,} of {len(cities):,} cities (--sample {self.chosen.sample}, at most half of the world)"
        read = f"the probe reads block {block}; tokens behind the last digit: {token}"
        metrics = {**found.metrics, "probe_block": float(block), "probe_tokens_behind": float(token)}
        return ViewResult(metrics, found.tables, found.figures, [asked, read, *found.lines])

    def _draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the sample, and of at most `MAX_TRAIN` others to fit the probe on."""
        size = min(self.chosen.sample, n // 2)
        if size < _LEAST:
            raise UserError(f"{n} cities are too few to ask about half of them; look at a run with a larger world")
        order = np.random.default_rng(self.chosen.sample_seed).permutation(n)
        return np.sort(order[:size]), order[size : size + MAX_TRAIN]


def ask_all(model: "PreTrainedModel", data: StoredDataset, city_ids: np.ndarray) -> np.ndarray:
    """Return the answers between all cities in km, from rows to columns, (n, n); NaN: not readable, and i to i."""
    pairs = [(i, j) for i in range(len(city_ids)) for j in range(len(city_ids)) if i != j]
    encoder = ColumnEncoder(read_vocabulary(data.path / "tokenizer"))
    prompts = [f"dist(c_{city_ids[i]},c_{city_ids[j]})=" for i, j in pairs]
    encoded = encoder.encode(prompts, [""] * len(prompts))
    ids_NA = generate_answers(model, encoded.ids_NT, encoded.prompt_len_N, _ANSWER_TOKENS, _PROMPTS_AT_ONCE)
    answer_km_NN = np.full((len(city_ids), len(city_ids)), np.nan)
    answer_km_NN[tuple(np.array(pairs).T)] = [parse_km(answer) for answer in encoder.decode(ids_NA)]
    return answer_km_NN


def map_from(answer_km_NN: np.ndarray, true_deg: np.ndarray) -> np.ndarray:
    """Return the places in degrees that answers give to cities, (n, 2); NaN where too few of a city's can be read."""
    dist_km_NN = both_ways(answer_km_NN)
    known_NN = ~np.isnan(dist_km_NN)
    rows, places_deg = placeable(known_NN), np.full(true_deg.shape, np.nan)
    if len(rows) >= _LEAST:
        square = np.ix_(rows, rows)
        points_M3 = scale(chord_of_km(np.nan_to_num(dist_km_NN[square])), known_NN[square])
        places_deg[rows] = degrees_of(lay_onto(points_M3, unit_vectors(*true_deg[rows].T)))
    return places_deg


def shuffled(answer_km_NN: np.ndarray) -> np.ndarray:
    """Return the answers, readable or not, in random order."""
    asked_NN, mixed_NN = ~np.eye(len(answer_km_NN), dtype=bool), answer_km_NN.copy()
    mixed_NN[asked_NN] = np.random.default_rng(0).permutation(answer_km_NN[asked_NN])
    return mixed_NN


def compare(sample: Cities, answer_km_NN: np.ndarray, head_deg: np.ndarray) -> ViewResult:
    """Return what answers and probe know about the places of the sample, with controls.

    Args:
        answer_km_NN: As `ask_all` gives them.
        head_deg: Latitude and longitude by the probe, (n, 2).
    """
    true_deg = np.stack([sample.lat_deg, sample.lon_deg], axis=1)
    true_km_NN = distances_between(true_deg)
    rounded_km_NN = np.where(np.eye(len(sample), dtype=bool), np.nan, np.rint(true_km_NN))
    answers = {"answers": answer_km_NN, "shuffled": shuffled(answer_km_NN), "rounded": rounded_km_NN}
    places_deg = {name: map_from(km, true_deg) for name, km in answers.items()} | {"probe": head_deg}
    error_km = {name: great_circle_km(*deg.T, *true_deg.T) for name, deg in places_deg.items()}
    answers["probe"] = np.where(np.eye(len(sample), dtype=bool), np.nan, distances_between(head_deg))
    table = [_row(name, error_km[name], answers[name], true_km_NN) for name in answers]
    metrics = {f"{row['source']}_{name}": v for row in table for name, v in row.items() if _is_metric(row, name)}
    unread = int(np.isnan(answer_km_NN).sum()) - len(sample)
    metrics |= {"cities": float(len(sample)), "unreadable_answers": float(unread), **_difference(error_km)}
    caption = partial(prediction_map, *true_deg.T, *places_deg["answers"].T, "places from answers alone")
    maps = {"behaviour_map.png": caption} if _is_placed(error_km["answers"]).any() else {}
    figures = {**maps, "behaviour_errors.png": lambda: errors_figure(error_km)}
    return ViewResult(
        metrics, {"behaviour": table, "cities": _by_city(sample, places_deg, error_km)}, figures, _say(metrics)
    )


def _row(source: str, error_km: np.ndarray, answer_km_NN: np.ndarray, true_km_NN: np.ndarray) -> dict[str, Any]:
    """Return a row of the table: errors of the map and of the distances, and coherence, each with interval and n."""
    placed_km = error_km[_is_placed(error_km)]
    few = len(placed_km) < 2
    mean = (np.nan, np.nan) if few else interval_of_mean(placed_km)
    median = (np.nan, np.nan) if few else bootstrap_median(placed_km)
    values = (np.nan, np.nan) if few else (float(placed_km.mean()), float(np.median(placed_km)))
    pairs = {"pair_error_km_mean": mean_over_pairs(np.abs(answer_km_NN - true_km_NN)), **coherence(answer_km_NN)}
    return {
        "source": source,
        "placed": float(len(placed_km)),
        **_columns("map_error_km_mean", values[0], mean),
        **_columns("map_error_km_median", values[1], median),
        **{column: value for name, share in pairs.items() for column, value in share.columns(name).items()},
    }


def _columns(name: str, value: float, interval: Any) -> dict[str, float]:
    return dict(zip((name, f"{name}_from", f"{name}_to"), (value, *interval), strict=True))


def _difference(error_km: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return by how much the map from answers is worse than the probe's, on the cities that both have a place for."""
    mouth_km, head_km = error_km["answers"], error_km["probe"]
    both = _is_placed(mouth_km) & _is_placed(head_km)
    if both.sum() < 2:
        return {}
    ones = np.ones(both.sum())
    interval = interval_of_difference((mouth_km[both], ones), (head_km[both], ones))
    return _columns("answers_minus_probe_km_mean", float((mouth_km - head_km)[both].mean()), interval)


def _by_city(
    sample: Cities, places_deg: Mapping[str, np.ndarray], error_km: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    columns: dict[str, Any] = {
        "city_id": sample.city_id,
        "name": sample.name,
        "lat_deg": sample.lat_deg,
        "lon_deg": sample.lon_deg,
    }
    for name in ("answers", "probe"):
        columns |= {f"{name}_lat_deg": places_deg[name][:, 0], f"{name}_lon_deg": places_deg[name][:, 1]}
        columns[f"{name}_error_km"] = error_km[name]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _decode_states(inspected: Inspected, cities: Cities, others: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return the places of all cities by ridge regression on some, (n, 2); its block, and tokens behind the last digit.

    Args:
        others: Rows of the table in random order: the first fifth chooses block and token.
    """
    states_NLTD = states_from_last_digit(inspected.model, inspected.task, inspected.data, cities)
    block, token = where_the_map_is(states_NLTD, cities, others)
    places_deg = np.stack([cities.lat_deg, cities.lon_deg], axis=1)
    return linear_degrees(states_NLTD[:, block, token], places_deg, others), block + 1, token


def _say(metrics: Mapping[str, float]) -> list[str]:
    n = metrics["cities"]
    lines = [f"{metrics['unreadable_answers']:,.0f} of {n * (n - 1):,.0f} answers cannot be read, and are left out"]
    texts = {
        "answers": "map from answers",
        "probe": "map by the probe",
        "shuffled": "answers shuffled",
        "rounded": "true distances, rounded",
    }
    for source, text in texts.items():
        name = f"{source}_map_error_km_mean"
        if name not in metrics:
            lines.append(f"{text}: no map, too few answers can be read")
            continue
        mean, low, high = (metrics[f"{name}{end}"] for end in ("", "_from", "_to"))
        median = metrics[f"{source}_map_error_km_median"]
        lines.append(f"{text}: mean error {mean:,.4g} km [{low:,.4g}, {high:,.4g}], median {median:,.4g} km")
    return lines


def _is_placed(error_km: np.ndarray) -> np.ndarray:
    return ~np.isnan(error_km)


def _is_metric(row: Mapping[str, Any], name: str) -> bool:
    """Whether a cell is a finite number that is not known before: distances on a map obey the triangle inequality."""
    is_known = row["source"] == "probe" and name.startswith(("asymmetry", "triangle"))
    return not is_known and isinstance(row[name], (int, float)) and bool(np.isfinite(row[name]))
