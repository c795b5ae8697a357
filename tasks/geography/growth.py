"""Does the map of a growing world grow, or is it drawn anew? Read later checkpoints by the map of the first stage.

    python -m tasks.geography.growth outputs/runs/distance_small-001

For a run with `--grow`. A linear map is fitted to the first cities at the end of their stage, where it decodes them
best, and kept: if the old cities stay where they are, it goes on decoding them, and if new ones are put into the same
map, it decodes these too. Beside it, at the same block and token, a map fitted anew at every checkpoint, which finds
the places wherever they have gone. Table, figure and animation go to `<run>/probe/growth/`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geo.cities import Cities
from tasks.geography.growing import order_of_joining
from tasks.geography.linear_maps import degrees_of, errors_km, linear_map
from tasks.geography.views.last_digit import states_from_last_digit, where_the_map_is
from tasks.geography.world import stored_cities
from trainers.common import figures
from trainers.common.files import write_csv
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder, named_run
from trainers.options import option
from trainers.settings.command import command
from trainers.settings.growing import stages_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FITTED = 0.6  # of the first cities; the others are decoded


@dataclass
class GrowthOptions:
    """Which run is looked at."""

    run: str = option("", "folder of a run that trained with --grow")


@dataclass(frozen=True)
class Stage:
    """The first world of a run: its cities, in random order, and the step at which it ended."""

    cities: Cities
    fitted: np.ndarray
    """Rows of the first cities that maps are fitted to."""
    groups: Mapping[str, np.ndarray]
    """Name -> rows of cities that they decode: other first ones, and later ones."""
    last_step: int

    @property
    def places_deg(self) -> np.ndarray:
        """Latitude and longitude of all cities, (n, 2)."""
        return np.stack([self.cities.lat_deg, self.cities.lon_deg], axis=1)


@command(GrowthOptions, positional="run")
def main(options: GrowthOptions) -> None:
    """Read every checkpoint from the end of the first stage on; write table, figure and animation."""
    run = named_run(options.run)
    stage = first_stage(run)
    rows, maps = read_checkpoints(run, stage)
    folder = run.probe_folder("growth")
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "growth.csv", rows)
    figures.save_figure(growth_figure(rows), folder / "growth.png")
    figures.save_animation([maps[step]() for step in maps], folder / "growth.gif")
    print(f"{format_table(rows)}\nwritten: {folder}")


def first_stage(run: RunFolder) -> Stage:
    """Return the first stage of a run.

    Raises:
        UserError: its world did not grow.
    """
    grow = run.settings["resolved"].get("grow")
    if not grow:
        raise UserError(f"the world of {run.path} did not grow; give a run with --grow")
    size, n_steps = stages_of(grow)[0]
    if size < 3:
        raise UserError(f"the first world of {run.path} has {size} cities; a map and what it decodes take 3 or more")
    cities = stored_cities(run.dataset)
    joined = order_of_joining(cities)
    fitted, first = np.split(joined[:size], [round(_FITTED * size)])
    return Stage(cities, fitted, {"first": first, "later": joined[size:]}, n_steps)


def read_checkpoints(run: RunFolder, stage: Stage) -> tuple[list[dict[str, Any]], "dict[int, Callable[[], Figure]]"]:
    """Return by checkpoint the errors of both maps, in km, and the map that is kept.

    Raises:
        UserError: no checkpoint is that of the stage's end.
    """
    states = dict(_states(run, stage))
    if stage.last_step not in states:
        kept = ", ".join(map(str, states)) or "none"
        raise UserError(
            f"{run.path} has no checkpoint of step {stage.last_step}, where its first stage ended ({kept});"
            f" train with --save_steps {stage.last_step} and --save_total_limit 1000"
        )
    at_end_NLTD = states[stage.last_step]
    block, token = where_the_map_is(at_end_NLTD, stage.cities, stage.fitted)
    kept = linear_map(at_end_NLTD[:, block, token], stage.places_deg, stage.fitted)
    rows, maps = [], {}
    for step, states_NLTD in states.items():
        of_ND = states_NLTD[:, block, token]
        decoded = {"kept": kept(of_ND), "anew": linear_map(of_ND, stage.places_deg, stage.fitted)(of_ND)}
        rows.append({"step": step, **_errors(decoded, stage)})
        maps[step] = _map_of(step, decoded["kept"], stage)
    return rows, maps


def _states(run: RunFolder, stage: Stage) -> Iterator[tuple[int, np.ndarray]]:
    from trainers.folders.run_dataset import own_dataset
    from trainers.probes.checkpoints import load_checkpoint

    data = own_dataset(run)
    for step, path in run.checkpoints.items():
        if step >= stage.last_step:
            yield step, states_from_last_digit(load_checkpoint(path).float(), run.task, data, stage.cities)


def _errors(decoded: Mapping[str, np.ndarray], stage: Stage) -> dict[str, float]:
    """Return the mean error of each map on each group of cities, and that of the mean place, in km."""
    trivial = linear_map(np.zeros((len(stage.cities), 1)), stage.places_deg, stage.fitted)
    decoded = {**decoded, "trivial": trivial(np.zeros((len(stage.cities), 1)))}
    return {
        f"{group}_{name}_km": float(errors_km(vectors_N3[rows], stage.places_deg[rows]).mean())
        for group, rows in stage.groups.items()
        for name, vectors_N3 in decoded.items()
    }


def _map_of(step: int, decoded_N3: np.ndarray, stage: Stage) -> "Callable[[], Figure]":
    from geo.continents import continents_of
    from geo.maps.decoded import decoded_map

    rows = np.concatenate([*stage.groups.values()])
    continents = np.array(continents_of(stage.cities.country))[rows].tolist()
    title = f"step {step:,}: all cities, by the map of the first {len(stage.fitted) + len(stage.groups['first']):,}"
    return lambda: decoded_map(degrees_of(decoded_N3[rows]), continents, title)


def growth_figure(rows: list[dict[str, Any]]) -> "Figure":
    """Draw the errors over the steps: of first and later cities, by the map that is kept and by those fitted anew."""
    from matplotlib.figure import Figure

    from tasks.geography.charts import DOT, ORANGE

    figure = Figure(figsize=(8, 4.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps = [row["step"] for row in rows]
    for group, colour in (("first", DOT), ("later", ORANGE)):
        for name, line, text in (("kept", "o-", "by the map of the first stage"), ("anew", "o:", "fitted anew")):
            errors = [row[f"{group}_{name}_km"] for row in rows]
            axes.plot(steps, errors, line, ms=3.5, lw=1.2, color=colour, label=f"{group} cities, {text}")
        axes.axhline(rows[0][f"{group}_trivial_km"], color=colour, ls="--", lw=0.6, alpha=0.6)
    axes.set(xlabel="step (the first one is the end of the first stage)", ylabel="mean error (km)", ylim=(0, None))
    axes.set_title("dashed: the mean place", fontsize=9, loc="left")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main())
