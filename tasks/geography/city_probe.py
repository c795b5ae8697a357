"""Is there a map inside? Fit linear maps from hidden states to places on some cities, and test them on others.

The prompt ends before a second city: `dist(c_12,c_`. Protocol `clean` reads one block at the prompt's last token,
predicts unit vectors and chooses alpha by leave-one-out cross-validation; `original` is that of the first experiments
(August 2025): outputs of blocks 4 and 5 at the last three tokens, Ridge with alpha 10 on raw longitude and latitude.

`--read id` reads the last digit of the city's number in place of the prompt's last token: it is the first at which a
model can know which city is meant, and there it has places some blocks earlier than at the end (see `--sweep`). The
default stays what it was, because the published numbers were read there.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from geo.atlantis import is_invented
from geo.cities import Cities, load_cities
from geo.city_files import read_city_file
from geo.continents import INVENTED, continents_of
from geo.maps.decoded import decoded_map
from geo.maps.interactive import places_page
from geo.sphere import great_circle_km
from tasks.geography.charts import probe_curves
from tasks.geography.linear_maps import linear_degrees, original_degrees
from tasks.geography.world import stored_cities
from tokenization.characters import read_vocabulary
from trainers.contract import StoredDataset, Task
from trainers.errors import UserError, name_flags, suggest
from trainers.options import MAX_SEED, option
from trainers.probes.probe import Probe, ProbeResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel

_SAME_PLACE_KM = 10.0  # coordinates may be rounded
MAX_TRAIN, MAX_TEST = 3_000, 2_000
ORIGINAL_BLOCKS = [4, 5]
BASELINES = ("r2_lon", "r2_lat", "error_km_mean", "error_km_median", f"error_km_mean_{INVENTED}")


@dataclass
class CityProbeOptions:
    """How cities are probed."""

    protocol: Literal["clean", "original"] = option("clean", "clean, or that of the first experiments (original)")
    blocks: str | None = option(None, "blocks to read, e.g. 4 or 4,5; default: last but one (clean), 4,5 (original)")
    prompt: str | None = option(None, "prompt with {id}; default: the one of the model's task")
    read: Literal["end", "id"] = option(
        "end", "token that the protocol clean reads: at the end of the prompt, or the last digit of the number (id)"
    )
    hold_out: str | None = option(None, "continent or country code that the probe is not trained on, e.g. Africa or JP")
    atlantis: Literal["test", "train"] = option(
        "test", "invented cities: tested only, or three in five of them trained on too"
    )
    cities_csv: str | None = option(
        None, "cities to probe, with the column id; default: those of the dataset", is_path=True
    )
    probe_seed: int = option(42, "seed of the split into cities to train and to test on", least=0, most=MAX_SEED)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.read == "id" and self.protocol == "original":
            raise UserError("--read id belongs to the protocol clean; the original reads the last three tokens")


class CityProbe(Probe):
    """Ridge regression from hidden states to places. Train: 60 % of the real cities (at most 3,000), test: others."""

    options = CityProbeOptions

    def __init__(self, options: CityProbeOptions, task: Task, data: StoredDataset, n_blocks: int) -> None:
        self.chosen, self.cities = options, stored_cities(data.path)
        if options.cities_csv:
            self.cities = _other_cities(Path(options.cities_csv), self.cities)
        self.places_deg = np.stack([self.cities.lat_deg, self.cities.lon_deg], axis=1)
        self.continents = np.array(continents_of(self.cities.country))
        self.invented = np.flatnonzero(is_invented(self.cities))
        self.blocks = _blocks(options, n_blocks)
        template = filled_prompt(options.prompt or task.probe_prompt, data)
        if template.count("{id}") != 1:
            raise UserError(f"--prompt {template!r} must hold {{id}} once, where the number of a city goes")
        self.prompts = [template.replace("{id}", str(city_id)) for city_id in self.cities.city_id.tolist()]
        self.after_id = len(template.partition("{id}")[2])
        behind = self.after_id if options.read == "id" else 0
        self.tokens = 3 if options.protocol == "original" else 1 + behind
        self.vocabulary = read_vocabulary(data.path / "tokenizer")
        self.train, self.test = self._split()
        self.tested_invented = np.setdiff1d(self.invented, self.train)
        self.label = _label(options)

    def states(self, model: "PreTrainedModel") -> np.ndarray:
        """Return a model's hidden states at the tokens that are read; of those down to the number only its last one."""
        states_NLTD = super().states(model)
        return states_NLTD[:, :, :1] if self.chosen.read == "id" else states_NLTD

    def fit(self, states_NLTD: np.ndarray) -> ProbeResult:
        """Fit on the training cities; measure R² and errors in km on the test cities, by continent too.

        The baseline is the same regression on features that are all alike: one place for every city.
        """
        features_NF = states_NLTD.reshape(len(states_NLTD), -1).astype(np.float64)
        decode = original_degrees if self.chosen.protocol == "original" else linear_degrees
        decoded_deg = decode(features_NF, self.places_deg, self.train)
        trivial_deg = decode(np.zeros((len(features_NF), 1)), self.places_deg, self.train)
        trivial = {**self._r2(trivial_deg, self.test), **self._errors_km(trivial_deg)}
        metrics = {**self._r2(decoded_deg, self.test), **self._r2(decoded_deg, self.train, "train_")}
        metrics |= self._errors_km(decoded_deg)
        shown = np.concatenate([self.test, self.tested_invented])
        caption = (
            f"{len(self.test):,} real cities the probe has not seen · R² longitude {metrics['r2_lon']:.3f}, latitude"
            f" {metrics['r2_lat']:.3f} (chance {trivial['r2_lon']:.2f}, {trivial['r2_lat']:.2f}) · mean error"
            f" {metrics['error_km_mean']:,.0f} km, median {metrics['error_km_median']:,.0f} km"
        )
        return ProbeResult(
            metrics,
            lambda title: decoded_map(_on_globe(decoded_deg[shown]), self.continents[shown].tolist(), title, caption),
            {name: {"": value} for name, value in trivial.items() if name in BASELINES},
            _on_globe(decoded_deg),
        )

    def draw_curves(self, steps: Sequence[int], readings: Sequence[ProbeResult]) -> "Figure":
        """Draw R² and error over training."""
        baseline_km = [reading.baselines["error_km_mean"][""] for reading in readings]
        return probe_curves(steps, [reading.metrics for reading in readings], baseline_km)

    def draw_page(self, results: Mapping[int, ProbeResult]) -> str:
        """Draw the cities that the probe has not seen where it puts them, with a slider over the steps."""
        shown = np.concatenate([self.test, self.tested_invented])
        places_deg = {step: result.decoded[shown] for step, result in results.items()}
        return places_page(self.cities.take(shown), places_deg, f"cities decoded by the probe {self.label}")

    def _errors_km(self, decoded_deg: np.ndarray) -> dict[str, float]:
        """Return mean and median error on the test cities, and the mean by continent and on tested invented cities."""
        error_km = great_circle_km(*_on_globe(decoded_deg).T, *self.places_deg.T)
        tested = self.continents[self.test]
        groups = {name: self.test[tested == name] for name in sorted(set(tested.tolist()))}
        if len(self.tested_invented):
            groups[INVENTED] = self.tested_invented
        return {
            "error_km_mean": float(error_km[self.test].mean()),
            "error_km_median": float(np.median(error_km[self.test])),
            **{f"error_km_mean_{n.replace(' ', '_')}": float(error_km[rows].mean()) for n, rows in groups.items()},
        }

    def _r2(self, decoded_deg: np.ndarray, rows: np.ndarray, prefix: str = "") -> dict[str, float]:
        """R² of both axes on some cities, 1 - squared errors / squared deviations from the mean.

        In the clean protocol the shorter way round counts, for errors in longitude and for deviations from its circular
        mean; the first experiments took a longitude for a plain number.
        """
        from scipy.stats import circmean

        lat_deg, lon_deg = self.places_deg[rows].T
        lat = [decoded_deg[rows, 0] - lat_deg, lat_deg - lat_deg.mean()]
        lon = [decoded_deg[rows, 1] - lon_deg, lon_deg - lon_deg.mean()]
        if self.chosen.protocol == "clean":
            lon = [_shorter_way(lon[0]), _shorter_way(lon_deg - circmean(lon_deg, high=180, low=-180))]
        r2_lon, r2_lat = (1.0 - float((off**2).sum() / (spread**2).sum()) for off, spread in (lon, lat))
        return {f"{prefix}r2_lon": r2_lon, f"{prefix}r2_lat": r2_lat}

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Choose the rows to train and to test on; the test cities do not depend on what is held out of training."""
        rng = np.random.default_rng(self.chosen.probe_seed)
        real = rng.permutation(np.setdiff1d(np.arange(len(self.cities)), self.invented))
        n_test = min(MAX_TEST, len(real) - int(0.6 * len(real)))
        test, rest = np.sort(real[:n_test]), real[n_test:]
        held_out = self._region(self.chosen.hold_out) if self.chosen.hold_out else np.zeros(len(self.cities), bool)
        train = rest[~held_out[rest]][: min(MAX_TRAIN, int(0.6 * len(real)))]
        if self.chosen.atlantis == "train":
            if len(self.invented) == 0:
                raise UserError(
                    "--atlantis train needs invented cities, but the table of cities has none; give other --cities_csv"
                )
            invented = rng.permutation(self.invented)
            invented = invented[: int(0.6 * len(invented))]
            train = np.concatenate([train, invented[~held_out[invented]]])
        if min(len(train), len(test)) < 2:
            raise UserError(
                f"{len(train)} cities are left to train the probe on and {len(test)} to test it; give a larger world"
            )
        return np.sort(train), test

    def _region(self, name: str) -> np.ndarray:
        """Find the cities in a continent or a country, bool, (n,)."""
        known = {*self.continents.tolist(), *self.cities.country}
        if name not in known:
            raise UserError(f"no city lies in {name!r}; give a continent or a country's code.{suggest(name, known)}")
        return (self.continents == name) | (np.array(self.cities.country) == name)


def filled_prompt(template: str, data: StoredDataset) -> str:
    """Return a prompt with the dataset's options in place of their names in braces; `{id}` is left."""
    for name, value in data.metadata["options"].items():
        template = template.replace(f"{{{name}}}", str(value))
    return template


def _other_cities(path: Path, trained_on: Cities) -> Cities:
    """Load the cities of --cities_csv, each where the model knows the city of its number.

    Raises:
        UserError: they have no numbers, or one lies elsewhere.
    """
    with name_flags("cities_csv"):
        if read_city_file(path)[0][0].kept_id is None:
            raise UserError(f"{path} has no column id, by which the prompts name the cities; add it")
        cities = load_cities(path, min_population=0)
    ids, rows, others = np.intersect1d(cities.city_id, trained_on.city_id, return_indices=True)
    wrong = ids[great_circle_km(*cities.places(rows), *trained_on.places(others)) > _SAME_PLACE_KM]
    if len(wrong):
        raise UserError(
            f"--cities_csv is of another world: {len(wrong)} of its cities, such as {wrong[0]}, lie elsewhere in the"
            " table that the model was trained on; give cities by the numbers they have there"
        )
    return cities


def _label(options: CityProbeOptions) -> str:
    """Name the choice of options: what is often chosen in words, the rest as a digest."""
    rest = [options.prompt, options.cities_csv, options.probe_seed]
    is_usual = rest == [None, None, CityProbeOptions.probe_seed]
    parts = [
        options.protocol,
        "read_id" if options.read == "id" else None,
        options.blocks and f"blocks_{options.blocks.replace(',', '_')}",
        options.hold_out and f"without_{options.hold_out.replace(' ', '_')}",
        "with_atlantis" if options.atlantis == "train" else None,
        None if is_usual else hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:6],
    ]
    return "-".join(part for part in parts if part)


def _blocks(options: CityProbeOptions, n_blocks: int) -> list[int]:
    if options.blocks is None:
        if options.protocol == "original" and n_blocks < ORIGINAL_BLOCKS[-1]:
            raise UserError(f"the protocol original reads blocks 4 and 5, but the model has {n_blocks}; give --blocks")
        return ORIGINAL_BLOCKS if options.protocol == "original" else [max(1, n_blocks - 1)]
    try:
        return [int(part) for part in options.blocks.split(",")]
    except ValueError:
        raise UserError(f"--blocks is {options.blocks!r}; give numbers such as 4 or 4,5") from None


def _on_globe(decoded_deg: np.ndarray) -> np.ndarray:
    return np.clip(decoded_deg, (-90, -180), (90, 180))


def _shorter_way(lon_deg: np.ndarray) -> np.ndarray:
    return (lon_deg + 180.0) % 360.0 - 180.0
