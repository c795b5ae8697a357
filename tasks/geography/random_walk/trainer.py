"""The Trainer of `random_walk`: generated walks are read strictly, scored step by step and drawn on a map."""

from typing import Any

import numpy as np

from geo.cities import Cities
from geo.maps.walks import walk_map
from tasks.geography.random_walk.answers import parse_start, parse_walk
from tasks.geography.random_walk.metric import step_legality
from tasks.geography.world import stored_cities
from trainers.contract import Evaluation
from trainers.text import TextRows, TextTrainer

DRAWN = 40  # walks on the map


class RandomWalkTrainer(TextTrainer):
    """Scores the walks that the model generates from given starts."""

    has_baselines = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cities = stored_cities(self.data.path)

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Score the legality of every step."""
        cities, prompts = self.cities, rows.table["prompt"]
        walks = [parse_walk(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        true_walks = [parse_walk(p, a) for p, a in zip(prompts, rows.table["answer"], strict=True)]
        world: Any = {name: getattr(cities, name) for name in ("city_id", "lat_deg", "lon_deg")}
        world["radius_km"] = int(parse_start(prompts[0])[0])
        legal = step_legality(walks, **world)
        share = np.array([_share(walk, is_legal) for walk, is_legal in zip(walks, legal, strict=True)])
        length_N = np.array([len(walk) for walk in walks])
        steps_N = np.maximum(length_N - 1, length_N == 0)  # an answer that cannot be read counts as one illegal step
        scores = {"legal_steps": share, "legal_walks": share == 1, "length_mean": length_N, "parse_rate": length_N > 0}
        weights = {"legal_steps": steps_N}
        title = f"random_walk, {rows.split}, step {self.state.global_step:,}"
        places_deg = [_places(cities, walk) for walk in walks[:DRAWN]]
        return Evaluation(
            metrics=self.metric.compute(predictions=walks, references=true_walks, **world),
            samples=self.samples(rows, answers, legal=share),
            predictions=self.predictions(rows, answers, scores, weights=weights),
            values=share,
            figures={"walks.png": lambda: walk_map(places_deg, legal[:DRAWN], title)},
        )


def _share(walk: list[int], legal: np.ndarray) -> float:
    """Return the share of legal steps of one walk; 1 for a readable walk without steps, 0 for one not readable."""
    return float(legal.mean()) if len(legal) else float(len(walk) > 0)


def _places(cities: Cities, walk: list[int]) -> np.ndarray:
    """Return latitude and longitude of a walk's cities, (cities, 2) in degrees; NaN for an id that no city has."""
    row_of = {int(city): row for row, city in enumerate(cities.city_id)}
    rows = np.array([row_of.get(city, -1) for city in walk], dtype=int)
    return np.where(rows[:, None] < 0, np.nan, np.stack(cities.places(rows), axis=1))
