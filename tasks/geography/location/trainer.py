"""The Trainer of `location`: generated coordinates are read strictly, scored in km and drawn on a map."""

import numpy as np

from geo.coordinates import decode, parse_xy
from geo.maps.predictions import prediction_map
from tasks.geography.location.metric import errors_km, example_scores
from trainers.contract import Evaluation
from trainers.text import TextRows, TextTrainer


class LocationTrainer(TextTrainer):
    """Scores generated `x,y` answers."""

    has_baselines = True

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Measure the distances between generated and expected places."""
        predicted_deg = _places_deg(answers)
        expected_deg = _places_deg(rows.table["answer"])
        dist_km = errors_km(predicted_deg, expected_deg)
        title = f"location, {rows.split}, step {self.state.global_step:,}"
        return Evaluation(
            metrics=self.metric.compute(predictions=predicted_deg, references=expected_deg),
            samples=self.samples(rows, answers, km=dist_km),
            predictions=self.predictions(rows, answers, example_scores(dist_km, predicted_deg)),
            values=dist_km,
            figures={"world_map.png": lambda: prediction_map(*expected_deg.T, *predicted_deg.T, title=title)},
        )


def _places_deg(texts: list[str]) -> np.ndarray:
    """Decode `x,y` texts to latitude and longitude, (n, 2) in degrees; NaN where the text is not exactly that."""
    return np.stack(decode(*parse_xy(texts).T), axis=1)
