"""What the states of cities look like without a probe: principal components, dimension, likeness to other models.

The states are those of one token at the output of one block: where a linear map decodes places best (so much a label
chooses), or the last digit at `--block`. They are looked at of all cities together and of those whose numbers have
equally many digits: a number's length is seen by the model, and has nothing to do with places.
Beside them the untrained model (control) and the true places on the sphere (what a perfect globe would give). The
likeness of runs by mutual nearest neighbours and debiased CKA has permuted cities and untrained models as nulls.

EXPECTED, written down before the flagship was looked at (width 128, 5,075 cities): the first three components explain
40 to 70 % of the variance; a globe appears in them only in part, disparity 0.2 to 0.5 (cities at random: above 0.99)
and 0.1 to 0.4 among numbers of four digits; participation ratio 4 to 12; TwoNN 4 to 10 between nearest neighbours, less
between farther ones, where the true places have less than 2, since cities lie in clusters. The untrained model's states
are those of digits: disparity above 0.95. (The last digit at the last block was read then.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geo.cities import Cities
from geo.continents import continents_of
from geo.sphere import unit_vectors
from tasks.geography.city_probe import MAX_TRAIN
from tasks.geography.views.charts import components_figure, matrix_figure
from tasks.geography.views.last_digit import (
    groups_of,
    states_at_last_digit,
    states_from_last_digit,
    where_the_map_is,
)
from tasks.geography.views.likeness import Represented, compare_all, matrices_of
from tasks.geography.views.resampling import jackknife
from tasks.geography.views.shape import (
    disparity,
    log_ratios,
    participation_ratio,
    permuted_disparities,
    principal_components,
    r2_of,
    two_nn,
)
from tasks.geography.world import stored_cities
from trainers.contract import StoredDataset, Task
from trainers.errors import UserError, name_flags
from trainers.folders.run_folder import RunFolder, named_run
from trainers.options import MAX_SEED, option
from trainers.probes.views import Inspected, View, ViewResult

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PARTS = (1, 4, 16)
"""Into so many parts the cities are cut for TwoNN: the more, the farther the neighbours."""
_LEAST, _SHOWN = 24, 10  # cities of a group; components in the table
_PERFECT, _UNTRAINED, _OWN = "true places", "untrained", "states"


@dataclass
class ComponentsOptions:
    """Which states are looked at, and what they are compared with."""

    block: int | None = option(
        None, "block read at the last digit; default: block and token where places are decoded best", least=0
    )
    with_runs: str | None = option(None, "folders of other runs on this world, with commas between, to compare with")
    neighbours: int = option(10, "neighbours of a city that should be the same in two models", least=1)
    permutations: int = option(200, "random orders of the cities that make up a null", least=1)
    components_seed: int = option(42, "seed of these orders, and of the parts for TwoNN", least=0, most=MAX_SEED)


class Components(View):
    """Principal components, Procrustes disparity, intrinsic dimension; mutual neighbours and debiased CKA over runs."""

    options = ComponentsOptions
    summary = "does a globe appear in the states by itself? Components, dimension, likeness to other runs"

    def look(self, inspected: Inspected) -> ViewResult:
        """Describe the states of each group of cities, and compare them with those of other runs."""
        cities = stored_cities(inspected.data.path)
        own = (inspected.task, inspected.data, cities)
        sources = {_OWN: self._states(inspected.model, *own)}
        if inspected.first is not None:
            sources[_UNTRAINED] = self._states(inspected.first, *own)
        sources[_PERFECT] = unit_vectors(cities.lat_deg, cities.lon_deg)
        found = describe(cities, sources, self.chosen)
        return _joined(found, self._compare(inspected, cities, sources)) if self.chosen.with_runs else found

    def _states(self, model: "PreTrainedModel", task: Task, data: StoredDataset, cities: Cities) -> np.ndarray:
        if self.chosen.block is not None:
            return states_at_last_digit(model, task, data, cities, self.chosen.block)
        states_NLTD = states_from_last_digit(model, task, data, cities)
        order = np.random.default_rng(self.chosen.components_seed).permutation(len(cities))
        return states_NLTD[:, *where_the_map_is(states_NLTD, cities, order[:MAX_TRAIN])].astype(np.float64)

    def _compare(self, inspected: Inspected, cities: Cities, sources: Mapping[str, np.ndarray]) -> ViewResult:
        """Return likeness of this run, its untrained model, the other runs and the true places, each to each."""
        run = RunFolder.of_model(Path(inspected.model.name_or_path or ""))
        name = run.path.name if run else inspected.task.name
        ids = cities.city_id
        known = {name: Represented(ids, sources[_OWN])}
        if _UNTRAINED in sources:
            known[f"{name}, untrained"] = Represented(ids, sources[_UNTRAINED])
        for other in _other_runs(self.chosen.with_runs):
            unique = other.path.name if other.path.name not in known else str(other.path)
            known[unique] = self._other(other, inspected.data)
        known[_PERFECT] = Represented(ids, sources[_PERFECT])
        rows = compare_all(known, self.chosen.neighbours, self.chosen.permutations, self.chosen.components_seed)
        metrics = {
            f"{row['measure']}_{_slug(row['one'])}_to_{_slug(row['other'])}{end}": float(row[column])
            for row in rows
            for end, column in {"": "value", "_from": "from", "_to": "to", "_permuted": "permuted", "_n": "n"}.items()
        }
        drawn = matrices_of(rows, list(known))
        figures = {"likeness.png": lambda: matrix_figure(drawn, list(known))}
        lines = [
            f"{row['measure']}, {row['one']} to {row['other']}: {row['value']:.3f} [{row['from']:.3f}, {row['to']:.3f}]"
            f" (cities permuted: {row['permuted']:.3f})"
            for row in rows
        ]
        return ViewResult(metrics, {"likeness": rows}, figures, lines)

    def _other(self, run: RunFolder, data: StoredDataset) -> Represented:
        """Return the states of another run's kept weights, read by the prompt of its own task."""
        from trainers.folders.run_dataset import own_dataset
        from trainers.folders.weights import named_weights
        from trainers.folders.worlds import check_world
        from trainers.probes.checkpoints import load_checkpoint

        check_world("--with_runs", run.path, data)
        ((_, weights),) = named_weights(run, "best").items()
        theirs = own_dataset(run)
        cities = stored_cities(theirs.path)
        return Represented(cities.city_id, self._states(load_checkpoint(weights).float(), run.task, theirs, cities))


def _other_runs(folders: str) -> list[RunFolder]:
    """Return the runs in folders with commas between; raise a `UserError` if one is none."""
    names = [name.strip() for name in folders.split(",")]
    if not all(names):
        raise UserError(f"--with_runs is {folders!r}; give folders of runs with one comma between")
    with name_flags("with_runs"):
        runs = [named_run(name) for name in names]
        for run in runs:
            run.check_marker()
    return runs


def describe(cities: Cities, sources: Mapping[str, np.ndarray], chosen: ComponentsOptions) -> ViewResult:
    """Return shape and components of states, and of controls, for all cities and for numbers of each length.

    Args:
        sources: `states`, perhaps `untrained`, and `true places`, (n, D) each, in the order of the cities.
    """
    groups = groups_of(cities, _LEAST)
    if not groups:
        raise UserError(f"{len(cities)} cities are too few to see a shape in; look at a run with at least {_LEAST}")
    table, components, figures = [], [], {}
    continents = np.array(continents_of(cities.country))
    for group, rows in groups.items():
        true_N3 = sources[_PERFECT][rows]
        table += [_shape_row(group, name, states[rows], true_N3, chosen) for name, states in sources.items()]
        scores_NK, shares_K = principal_components(sources[_OWN][rows])
        components += _component_rows(group, scores_NK, shares_K, true_N3)
        title = f"states of {len(rows):,} cities ({group.replace('_', ' ')}), disparity to the globe"
        title = f"{title} {disparity(scores_NK[:, :3], true_N3):.3f}, 0 is a globe"
        drawn = (scores_NK[:, :3], continents[rows].tolist(), shares_K[:3].tolist(), title)
        figures[f"components_{group}.png"] = lambda drawn=drawn: components_figure(*drawn)
    left_out = len(cities) - sum(len(rows) for name, rows in groups.items() if name != "all")
    lines = [f"{left_out} cities are in no group of equally long numbers, since it would have fewer than {_LEAST}"]
    names = {_OWN: "", _UNTRAINED: "untrained_", _PERFECT: "ceiling_"}
    metrics = {
        f"{names[row['source']]}{column}_{row['group']}": float(value)
        for row in table
        for column, value in row.items()
        if column not in ("group", "source") and np.isfinite(value)
    }
    return ViewResult(metrics, {"shape": table, "components": components}, figures, [*lines, *_say(table)])


def _shape_row(
    group: str, source: str, states_ND: np.ndarray, true_N3: np.ndarray, chosen: ComponentsOptions
) -> dict[str, Any]:
    """Return variance, disparity with its null, and dimensions of a cloud of states."""

    def off(rows: np.ndarray) -> float:
        return disparity(principal_components(states_ND[rows])[0][:, :3], true_N3[rows])

    n = len(states_ND)
    scores_NK, shares_K = principal_components(states_ND)
    permuted = permuted_disparities(scores_NK[:, :3], true_N3, chosen.permutations, chosen.components_seed)
    value = off(np.arange(n))
    row: dict[str, Any] = {"group": group, "source": source, "n": n, "variance_of_three": float(shares_K[:3].sum())}
    row |= _columns("disparity", value, jackknife(off, n))
    row |= {"disparity_permuted": float(permuted.mean()), "disparity_permuted_least": float(permuted.min())}
    row["disparity_p"] = float((1 + (permuted <= value).sum()) / (1 + len(permuted)))
    spread = jackknife(lambda rows: participation_ratio(states_ND[rows]), n)
    row |= _columns("participation_ratio", participation_ratio(states_ND), spread)
    for parts in PARTS:
        name = "two_nn" if parts == 1 else f"two_nn_of_{parts}_parts"
        is_enough = n // parts >= _LEAST
        found = two_nn(log_ratios(states_ND, parts, chosen.components_seed)) if is_enough else (np.nan,) * 3
        row |= _columns(name, found[0], found[1:])
    return row


def _component_rows(
    group: str, scores_NK: np.ndarray, shares_K: np.ndarray, true_N3: np.ndarray
) -> list[dict[str, Any]]:
    explained_K, curved_K = (r2_of(scores_NK[:, :_SHOWN], true_N3, degree) for degree in (1, 2))
    return [
        {
            "group": group,
            "component": at + 1,
            "variance": float(shares_K[at]),
            "variance_up_to_here": float(shares_K[: at + 1].sum()),
            "r2_by_true_place": float(explained_K[at]),
            "r2_with_squares": float(curved_K[at]),
        }
        for at in range(len(explained_K))
    ]


def _say(table: list[dict[str, Any]]) -> list[str]:
    return [
        f"{row['group'].replace('_', ' ')}, {row['source']} (n = {row['n']:,}): three components"
        f" {row['variance_of_three']:.0%} of the variance, disparity to the globe {row['disparity']:.3f}"
        f" [{row['disparity_from']:.3f}, {row['disparity_to']:.3f}] (permuted {row['disparity_permuted']:.3f}),"
        f" participation ratio {row['participation_ratio']:.2f}, TwoNN {row['two_nn']:.2f}"
        for row in table
    ]


def _columns(name: str, value: float, interval: Any) -> dict[str, float]:
    return dict(zip((name, f"{name}_from", f"{name}_to"), (float(value), *map(float, interval)), strict=True))


def _joined(one: ViewResult, other: ViewResult) -> ViewResult:
    parts = ({**one.metrics, **other.metrics}, {**one.tables, **other.tables}, {**one.figures, **other.figures})
    return ViewResult(*parts, [*one.lines, *other.lines])


def _slug(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in name)
