"""Read from the runs of a convergence study what they know of the cities."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geo.cities import Cities
from tasks.geography.linear_maps import linear_vectors, r2
from tasks.geography.views.last_digit import states_from_last_digit
from tasks.geography.world import stored_cities
from trainers.common.metric_names import FINAL, MetricName
from trainers.contract import StoredDataset, Task
from trainers.errors import UserError
from trainers.folders.run_dataset import own_dataset
from trainers.folders.run_folder import RunFolder
from trainers.folders.weights import named_weights
from trainers.mixtures.metric import improvement
from trainers.probes.checkpoints import load_checkpoint

_TOKENS = 2  # the last digit of a city's number, and the comma behind it
_FITTED, _LEARNT = 0.6, 0.5


@dataclass(frozen=True)
class Learner:
    """A finished run, and what it knows of the cities."""

    name: str
    seed: int
    tasks: frozenset[str]
    improvement: float
    """Of the run's answers over trivial ones: 1 is perfect."""
    r2: float
    """Of a linear map from the last block but one to places, on cities that it was not fitted to."""
    city_id: np.ndarray
    states_LND: np.ndarray
    """Of every block, of all cities."""
    untrained_LND: np.ndarray

    @property
    def is_learnt(self) -> bool:
        """Whether it is at least half of the way from the trivial answers to perfect ones."""
        return self.improvement >= _LEARNT

    @property
    def summary(self) -> dict[str, Any]:
        """A row of the table of runs."""
        known = {name: getattr(self, name) for name in ("name", "seed", "improvement", "r2")}
        return {**known, "learnt": self.is_learnt}


def read_learner(name: str, seed: int, run: RunFolder, all_cities: bool) -> Learner:
    """Read a finished run's states of cities: of all, or of those of the most frequent number of digits.

    Raises:
        UserError: the untrained model was not kept.
    """
    data, task = own_dataset(run), run.task
    if 0 not in run.checkpoints:
        raise UserError(f"{run.path} has no checkpoint-0, which is compared too; train it again")
    cities = stored_cities(data.path)
    (trained,) = named_weights(run, "best").values()
    states_LND, untrained_LND = (_states(path, task, data, cities) for path in (trained, run.checkpoints[0]))
    rows = np.arange(len(cities)) if all_cities else _of_one_length(cities)
    return Learner(
        name=name,
        seed=seed,
        tasks=frozenset(of.name for of in task.members or (task,)),
        improvement=improvement_of(run),
        r2=_map_r2(states_LND[-2 if len(states_LND) > 1 else -1], cities),
        city_id=cities.city_id[rows],
        states_LND=states_LND[:, rows],
        untrained_LND=untrained_LND[:, rows],
    )


def _states(path: Path, task: Task, data: StoredDataset, cities: Cities) -> np.ndarray:
    """Return the states of every block at the two tokens, side by side, (L, N, 2 D)."""
    states_NLTD = states_from_last_digit(load_checkpoint(path).float(), task, data, cities)[:, :, :_TOKENS]
    n, blocks, tokens, width = states_NLTD.shape
    return states_NLTD.transpose(1, 0, 2, 3).reshape(blocks, n, tokens * width).astype(np.float64)


def _of_one_length(cities: Cities) -> np.ndarray:
    """Return the rows of the cities whose numbers have the most frequent number of digits: a model sees the length."""
    digits = np.char.str_len(cities.city_id.astype(str))
    return np.flatnonzero(digits == np.bincount(digits).argmax())


def _map_r2(states_ND: np.ndarray, cities: Cities) -> float:
    """Return R² of unit vectors, on the two fifths of the cities that the linear map was not fitted to."""
    order = np.random.default_rng(0).permutation(len(cities))
    fit, test = np.split(order, [round(_FITTED * len(cities))])
    places_deg = np.stack([cities.lat_deg, cities.lon_deg], axis=1)
    return r2(linear_vectors(states_ND, places_deg, fit)[test], places_deg[test])


def improvement_of(run: RunFolder) -> float:
    """Return how far a run's test answers are from trivial to perfect ones."""
    metric, perfect = run.task.primary_metric, float(run.task.greater_is_better)
    names = [MetricName(FINAL, "test", name).logged for name in (metric, f"baseline_{metric}")]
    if missing := [name for name in names if name not in run.results]:
        raise UserError(f"{run.path} has no {missing[0]} in its results.json; train it with --n_test")
    value, trivial = (run.results[name] for name in names)
    return float(improvement(value, trivial, perfect))
