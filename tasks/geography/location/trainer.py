"""The Trainer of `location`: generated coordinates are read strictly, scored in km and drawn on a map."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from geo.maps.interactive import places_page
from geo.maps.predictions import prediction_map
from tasks.geography.location.answers import places_deg
from tasks.geography.location.metric import errors_km, example_scores
from tasks.geography.world import stored_cities
from trainers.contract import Evaluation
from trainers.text import TextRows, TextTrainer


class LocationTrainer(TextTrainer):
    """Scores generated `x,y` answers."""

    has_baselines = True

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Measure the distances between generated and expected places."""
        predicted_deg = places_deg(answers)
        expected_deg = places_deg(rows.table["answer"])
        dist_km = errors_km(predicted_deg, expected_deg)
        title = f"location, {rows.split}, step {self.state.global_step:,}"
        return Evaluation(
            metrics=self.metric.compute(predictions=predicted_deg, references=expected_deg),
            samples=self.samples(rows, answers, km=dist_km),
            predictions=self.predictions(rows, answers, example_scores(dist_km, predicted_deg)),
            values=dist_km,
            figures={"world_map.png": lambda: prediction_map(*expected_deg.T, *predicted_deg.T, title=title)},
        )

    def draw_page(self, split: str, answers: Mapping[int, Any]) -> str:
        """Draw where the model puts every city, with a slider over the steps."""
        first = next(iter(answers.values()))
        cities = stored_cities(self.data.path)  # in rising order of their ids
        # The metric measures to the expected answer, which is a cell of some km, not the city's place in it.
        lat_deg, lon_deg = places_deg(first["expected"]).T
        cities = replace(
            cities.take(np.searchsorted(cities.city_id, first["city_id"])), lat_deg=lat_deg, lon_deg=lon_deg
        )
        given_deg = {step: places_deg(frame["predicted"]) for step, frame in answers.items()}
        return places_page(cities, given_deg, f"{self.task.name}, {split}, {self.data.path.name}")
