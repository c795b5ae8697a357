"""What the geography tasks share: the options that choose a world, and the real cities that they choose."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trainers.common.files import read_json
from trainers.contract import BuiltDataset
from trainers.errors import UserError, name_flags
from trainers.options import MAX_SEED, option

if TYPE_CHECKING:
    from datasets import Dataset

    from geo.cities import Cities


@dataclass
class WorldOptions:
    """Which cities make up the world."""

    n_cities: int | None = option(
        None, "number of cities, the most populous first; default: 5075, or all of a CSV", least=1
    )
    min_population: int | None = option(
        None, "smallest population of a city; default: 100000 (0 for a plain CSV)", least=0
    )
    cities_csv: str | None = option(
        None, "a file of your own (latitude, longitude, …), GeoNames' or SimpleMaps', instead of GeoNames", is_path=True
    )
    keep_ids: bool = option(False, "keep the ids of up to ten digits in GeoNames' or SimpleMaps' file, in every prompt")
    world_seed: int = option(42, "seed of the shuffle that numbers the cities", least=0, most=MAX_SEED)


@dataclass
class PairOptions(WorldOptions):
    """The cities, and the number of pairs in each split, all of them different ones."""

    n_train: int = option(1_000_000, "pairs to train on", least=1)
    n_val: int = option(128, "pairs to evaluate during training", least=0)
    n_test: int = option(10_000, "pairs to evaluate once, at the end (0: none)", least=0)
    dataset_seed: int = option(42, "seed of the choice and the order of the pairs", least=0, most=MAX_SEED)


@dataclass
class InventedOptions(WorldOptions):
    """The real cities, and those that are invented."""

    regions: str = option("35,-35", "centres of invented regions, latitude,longitude; several: '35,-35 -30,80'")
    n_atlantis: int = option(100, "invented cities in each region", least=1)
    spread_km: float = option(500.0, "standard deviation of a region, in km along each axis", least=1e-3, most=20_015)
    atlantis_seed: int = option(42, "seed of the invented places", least=0, most=MAX_SEED)


@dataclass
class AtlantisOptions(InventedOptions):
    """The invented cities, the replayed real pairs, and the number of pairs in each split."""

    replay_ratio: float = option(
        0.0, "share of training rows that are real pairs, added to n_train (replay)", least=0, most=0.99
    )
    replay_dataset: str | None = option(
        None, "folder of the distance dataset whose training rows are replayed", is_path=True
    )
    dataset_seed: int = option(42, "seed of the choice and the order of the pairs", least=0, most=MAX_SEED)
    n_train: int = option(100_000, "pairs to train on", least=1)
    n_val: int = option(128, "pairs to evaluate during training", least=0)
    n_test: int = option(10_000, "pairs to evaluate once, at the end (0: none)", least=0)


@dataclass
class QuestionOptions(PairOptions, InventedOptions):
    """The cities, the number of rows in each split, and whether the world is round."""

    regions: str = option(
        "", "centres of invented regions, latitude,longitude: then every row is about one of their cities or more"
    )
    real_ratio: float = option(
        0.0, "with regions: share of training rows about real cities alone, added to n_train", least=0, most=0.99
    )
    dense: str | None = option(
        None,
        "CITIES:ROWS, so many more training rows about the first cities of a growing world alone, or all there are:"
        " --dense 100:100000, for --grow 100:1500",
    )
    geometry: Literal["sphere", "plane"] = option(
        "sphere", "plane: longitude and latitude in tenths of a degree as x and y, to reproduce results about it"
    )


@dataclass
class PlaneOptions(QuestionOptions):
    """The cities, and the number of rows in each split, of a question about a plane alone."""

    geometry: Literal["plane"] = option("plane", "longitude and latitude in tenths of a degree as x and y")


def finish(
    cities: "Cities",
    seed: int,
    splits: "Mapping[str, Dataset]",
    baseline: Callable[[str], Mapping[str, float]],
    **facts: Any,
) -> BuiltDataset:
    """Return a dataset over cities, with their table in its folder and other `facts` in `metadata.json`.

    `baseline` gives the trivial answer's scores on an evaluated split, by metric.
    """
    world = {"cities": len(cities), "sha256": cities.digest()}
    baselines = {name: baseline(name) for name in splits if name != "train"}
    own = {"seed": seed, "world": world, "worlds": [world["sha256"]], "baselines": baselines}
    return BuiltDataset(
        splits=splits,
        facts={**own, **facts},
        files={"cities.csv": cities.write_csv},
    )


def load_world(options: WorldOptions) -> "Cities":
    """Load the cities that the options ask for.

    Raises:
        UserError: The CSV or the numbers cannot be used.
    """
    from geo.cities import load_cities  # not at the top: `--help` needs the options alone

    chosen = (options.n_cities, options.min_population, options.world_seed, options.keep_ids)
    with name_flags("cities_csv", "n_cities", "min_population"):
        return load_cities(options.cities_csv, *chosen)


def stored_cities(dataset: Path) -> "Cities":
    """Load the cities of a dataset's folder; raise a `UserError` if the file is gone."""
    from geo.cities import load_cities

    path = dataset / "cities.csv"
    if not path.is_file():
        from trainers.folders.dataset_folder import METADATA, build_command

        made = read_json(dataset / METADATA, "build the dataset again", {"task": str, "options": dict})
        command = build_command(made["task"], made["options"])
        raise UserError(f"the dataset {dataset} is damaged: {path.name} is gone; build it again: `{command}`")
    return load_cities(path, min_population=0)


def notes_on(prompts: Sequence[str], cities: "Cities") -> list[str | None]:
    """Return for every prompt whether it names a city that is not in the world: a model answers all the same."""
    ids = {str(city) for city in cities.city_id.tolist()}
    unknown = ((number for number in re.findall(r"c_(\d*)", prompt) if number not in ids) for prompt in prompts)
    missing = [next(numbers, None) for numbers in unknown]
    return [None if number is None else f"no city c_{number} in the dataset" for number in missing]


def with_begun(prompts: Sequence[str], answers: Sequence[str]) -> list[str]:
    """Return every answer with what the prompt already has of it: behind `=`."""
    return [prompt.partition("=")[2] + answer for prompt, answer in zip(prompts, answers, strict=True)]
