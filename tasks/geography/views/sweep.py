"""Where in the model is the map? Read places from every block and token, with controls: `world-models probe --sweep`.

The tokens are those of the probe's prompt from the first digit of the longest number on, aligned at its last digit;
what is before is alike for all cities. Real cities only. Half of the probe's test cities choose block and token (least
mean error), the other half is reported. Controls: the untrained model (checkpoint 0) where it is best, and places that
are shuffled among the cities; selectivity is R² of the true places less that of shuffled ones. Where the trained model
is best, kernel ridge regression is fitted beside the linear map, and every continent is held out of the fit in turn.

EXPECTED, written before the first run on a trained model: nothing before the last digit (R² < .1: at most ten cities
share what is known there), the least error at the last digit in the last two blocks, growing with depth; the untrained
model and shuffled places at R² < .1 everywhere; kernel ridge at most a fifth better; held-out continents several times
as far off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tasks.geography.city_probe import CityProbe, CityProbeOptions
from tasks.geography.linear_maps import errors_km, kernel_vectors, linear_vectors
from tasks.geography.views.sweep_figures import continents_figure, heat_maps
from tasks.geography.views.sweep_report import Cell, Swept, SweptCities, as_lines, as_metrics, cell_rows, continent_rows
from trainers.options import MAX_SEED, option
from trainers.probes.probe import extract_hidden_states
from trainers.probes.views import Inspected, View, ViewResult


@dataclass
class SweepOptions:
    """How cities are split and shuffled."""

    probe_seed: int = option(
        42, "seed of the split into cities to train, to choose and to report on", least=0, most=MAX_SEED
    )


class Sweep(View):
    """Linear maps to places from every block and token, with controls."""

    options = SweepOptions
    summary = "read places from every block and token, with controls, nonlinearly, and on continents held out"

    def look(self, inspected: Inspected) -> ViewResult:
        """Fit all maps; choose block and token on one half of the test cities, report the other."""
        seed, n_blocks = self.chosen.probe_seed, int(inspected.model.config.num_hidden_layers)
        probe = CityProbe(CityProbeOptions(probe_seed=seed), inspected.task, inspected.data, n_blocks)
        rows, cities = _split(probe, seed)
        prompts, tokens = [probe.prompts[int(row)] for row in rows], token_names(probe)
        models = {"trained": inspected.model, "untrained": inspected.first}
        states = {
            name: extract_hidden_states(model, prompts, range(n_blocks + 1), len(tokens), probe.vocabulary)
            for name, model in models.items()
            if model is not None
        }
        return sweep(states, cities, tokens, seed)


def sweep(states: Mapping[str, np.ndarray], cities: SweptCities, tokens: Sequence[str], seed: int) -> ViewResult:
    """Return what hidden states say of places.

    Args:
        states: `trained` and, where there is one, `untrained` -> (N, blocks from 0 on, tokens, D).
        tokens: Their names.
        seed: Of the shuffle of places, and of kernel ridge regression's folds.
    """
    swept = fit_all(states, cities, seed)
    features_NF = states["trained"][:, *swept.chosen["trained"]]
    kernel_N3 = kernel_vectors(features_NF, cities.places_deg, cities.train, seed)
    continents = continent_rows(features_NF, swept, cities)
    table, metrics = cell_rows(swept, cities, tokens), as_metrics(swept, cities, kernel_N3, continents, len(tokens))
    block, token = swept.chosen["trained"]
    where = f"block {block}, {tokens[token] if len(tokens[token]) > 1 else f'token {tokens[token]!r}'}"
    return ViewResult(
        metrics,
        {"sweep": table, "continents": continents},
        {
            "sweep.png": partial(heat_maps, table, tokens, (block, token), where, len(cities.report)),
            "continents.png": partial(continents_figure, continents, where),
        },
        as_lines(metrics, where, continents),
    )


def fit_all(states: Mapping[str, np.ndarray], cities: SweptCities, seed: int) -> Swept:
    """Fit a linear map at every block and token of the models, and of the trained one to shuffled places too."""
    places = dict.fromkeys(states, cities.places_deg)
    places["shuffled"] = np.random.default_rng(seed).permutation(cities.places_deg)
    fits: dict[str, dict[Cell, np.ndarray]] = {}
    for name, deg_N2 in places.items():
        states_NLTD = states["trained" if name == "shuffled" else name]
        cells = np.ndindex(states_NLTD.shape[1:3])
        fits[name] = {(b, t): linear_vectors(states_NLTD[:, b, t], deg_N2, cities.train) for b, t in cells}
    return Swept(fits, places, {name: _best(fits[name], places[name], cities.choose) for name in fits})


def token_names(probe: CityProbe) -> list[str]:
    """Return a name for every token that is read: from the first digit of the longest number to the prompt's end."""
    digits = len(str(int(probe.cities.city_id.max())))
    behind = probe.prompts[0][len(probe.prompts[0]) - probe.after_id :]
    return [*(f"{before} before" for before in range(digits - 1, 0, -1)), "last digit", *behind]


def _best(fits: Mapping[Cell, np.ndarray], places_deg: np.ndarray, rows: np.ndarray) -> Cell:
    return min(fits, key=lambda cell: errors_km(fits[cell][rows], places_deg[rows]).mean())


def _split(probe: CityProbe, seed: int) -> tuple[np.ndarray, SweptCities]:
    """Return the rows of the cities that are used in the probe's table, and these cities."""
    test = np.random.default_rng(seed).permutation(probe.test)
    half = len(test) // 2
    rows = np.concatenate([probe.train, test])
    train, choose, report = np.split(np.arange(len(rows)), [len(probe.train), len(probe.train) + half])
    return rows, SweptCities(probe.places_deg[rows], probe.continents[rows], train, choose, report)
