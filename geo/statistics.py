"""Print and draw how many neighbours the cities of a world have, in both metrics.

python -m geo.statistics [--cities FILE] [--radius_km 200] [--out outputs/figures/neighbours.png]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from geo import InputError
from geo.cities import Cities, load_cities
from geo.neighbours import SHARES, Metric, neighbour_counts, neighbour_statistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPLANATION = """\
great_circle: distance along the Earth's surface; every task uses this one.
flat: latitude and longitude taken as plane coordinates, which is not a distance on the sphere; the first
analysis of such a table (5,075 cities of August 2025: mean 18.72, median 11, max 105) was made this way."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and write the figure; return the exit code, 2 if the input cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m geo.statistics", description="Neighbours of cities: a table and a figure."
    )
    parser.add_argument("--cities", type=Path, metavar="FILE", help="CSV of cities (default: GeoNames, 5,075 cities)")
    parser.add_argument("--radius_km", type=float, default=200.0, help="how near a neighbour is (default: 200)")
    parser.add_argument("--out", type=Path, default=Path("outputs/figures/neighbours.png"), help="figure to write")
    options = parser.parse_args(argv)
    try:
        cities = load_cities(options.cities)
        counts = {metric: neighbour_counts(cities, options.radius_km, metric) for metric in get_args(Metric)}
        _save(neighbour_histogram(counts, options.radius_km), options.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(neighbour_table(cities, counts, options.radius_km))
    print(f"\n{EXPLANATION}\n\nfigure: {options.out}")
    return 0


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


def _save(figure: "Figure", path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, format=path.suffix.removeprefix(".") or "png")
    except (OSError, ValueError) as error:  # matplotlib answers an unknown file type with a ValueError
        raise InputError(f"--out {path} cannot be written ({error}); give the name of a .png file") from error


def _row(label: str, cells: Sequence[str]) -> str:
    return f"{label:16}" + "".join(f"{cell:>16}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
