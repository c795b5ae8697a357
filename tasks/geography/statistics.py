"""Print and draw how many neighbours the cities of a world have, in both metrics.

    python -m tasks.geography.statistics --cities_csv my.csv --radius_km 200

The figure goes to <EXP_DIR_PREFIX>/figures/neighbours/neighbours.png, or into --output_dir.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from geo.cities import Cities, load_cities
from geo.neighbours import SHARES, Metric, neighbour_counts, neighbour_statistics
from trainers.common import environment, figures
from trainers.folders.command_folder import hold_folder
from trainers.options import option
from trainers.settings.command import command

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPLANATION = """\
great_circle: distance along the Earth's surface; every task uses this one.
flat: latitude and longitude taken as plane coordinates, which is not a distance on the sphere; the first
analysis of such a table (5,075 cities of August 2025: mean 18.72, median 11, max 105) was made this way."""


@dataclass
class StatisticsOptions:
    """Whose neighbours are counted, and where the figure goes."""

    cities_csv: str | None = option(None, "file of cities; default: GeoNames, 5,075 cities")
    radius_km: float = option(200.0, "how near a neighbour is", least=1e-3)
    output_dir: str | None = option(None, "where to write; default: <EXP_DIR_PREFIX>/figures/neighbours")


@command(StatisticsOptions)
def main(options: StatisticsOptions) -> None:
    """Print the table and write the figure."""
    cities = load_cities(options.cities_csv)
    counts = {metric: neighbour_counts(cities, options.radius_km, metric) for metric in get_args(Metric)}
    path = Path(options.output_dir or environment.resolved_prefix() / "figures" / "neighbours")
    with hold_folder(path, "neighbours.json", vars(options)) as folder:
        figures.save_figure(neighbour_histogram(counts, options.radius_km), folder / "neighbours.png")
    print(
        f"{neighbour_table(cities, counts, options.radius_km)}\n\n{EXPLANATION}\n\nwritten: {folder / 'neighbours.png'}"
    )


def neighbour_table(cities: Cities, counts: dict[Metric, NDArray[np.int64]], radius_km: float) -> str:
    """Return a title, a header and one line per statistic, the metrics in columns.

    Args:
        cities: n cities.
        counts: For each metric, the neighbours of each city, shape (n,).
        radius_km: The radius that was used, for the title.
    """
    columns = {metric: neighbour_statistics(values) for metric, values in counts.items()}
    lines = [f"Neighbours within {radius_km:g} km, {len(cities):,} cities", "", _row("", list(columns))]
    for name in ("mean", "median", "min", "max", "std"):
        lines.append(_row(name, [f"{statistics[name]:.2f}" for statistics in columns.values()]))
    for least in SHARES:
        shares = [f"{statistics[f'share_ge_{least}']:.2%}" for statistics in columns.values()]
        lines.append(_row(f"{least} or more", shares))
    lines.append(_row("most connected", [cities.name[int(values.argmax())] for values in counts.values()]))
    return "\n".join(lines)


def neighbour_histogram(counts: dict[Metric, NDArray[np.int64]], radius_km: float) -> "Figure":
    """Draw one histogram per metric of the neighbours of each city, shape (n,), within a radius in km."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
    most = max(int(values.max()) for values in counts.values())
    edges = np.arange(0, most + 6, 5) - 0.5  # bins of five whole numbers: 0 to 4, 5 to 9, …
    for panel, (metric, values) in zip(panels, counts.items(), strict=True):
        panel.hist(values, bins=edges, color="#4878a8" if metric == "great_circle" else "#a8a8a8")
        panel.axvline(values.mean(), color="#c44e52", label=f"mean {values.mean():.2f}")
        panel.axvline(np.median(values), color="#c44e52", linestyle="--", label=f"median {np.median(values):g}")
        panel.set_title("great circle" if metric == "great_circle" else "flat (not a distance on the sphere)")
        panel.set_xlabel(f"neighbours within {radius_km:g} km")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    panels[0].set_ylabel("cities")
    return figure


def _row(label: str, cells: Sequence[str]) -> str:
    return f"{label:16}" + "".join(f"{cell:>16}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
