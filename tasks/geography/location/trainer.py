"""The Trainer of `location`: generated coordinates are read strictly, scored in km and drawn on a map."""

from collections.abc import Mapping

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

    def draw_page(self, evaluations: Mapping[int, Evaluation]) -> str:
        """Draw where the model puts every city, with a slider over the steps."""
        tables = {step: of.predictions["examples"].columns for step, of in evaluations.items()}
        first = next(iter(tables.values()))
        ids = np.array([int(prompt[len("loc(c_") : -len(")=")]) for prompt in first["prompt"]])
        cities = stored_cities(self.data)  # in rising order of their ids
        cities = cities.take(np.searchsorted(cities.city_id, ids))
        placed_deg = {step: places_deg(table["predicted"]) for step, table in tables.items()}
        return places_page(cities, placed_deg, f"location, {next(iter(evaluations.values())).split}")
