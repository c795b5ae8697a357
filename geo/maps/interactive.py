"""Draw a map as an HTML page of its own: places under the pointer, a slider over steps, continents on and off."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geo.cities import Cities
from geo.continents import CONTINENTS, continents_of
from geo.maps.base import COAST, SEA, coastlines, without_cuts
from geo.maps.decoded import COLOURS, OTHER
from geo.sphere import great_circle_km

if TYPE_CHECKING:
    from plotly.graph_objects import Scatter, Scattergl

_AXIS = {"ticksuffix": "°", "showgrid": False, "zeroline": False, "constrain": "domain"}
_LAYOUT: dict[str, Any] = {
    "plot_bgcolor": SEA,
    "xaxis": {**_AXIS, "range": [-180, 180], "dtick": 60},
    "yaxis": {**_AXIS, "range": [-90, 90], "dtick": 30, "scaleanchor": "x"},  # a degree is as long on both
    "margin": {"l": 40, "r": 10, "t": 70, "b": 10},
    "legend": {"itemsizing": "constant"},
}


def places_page(cities: Cities, places_deg: Mapping[int, NDArray[np.float64]], title: str) -> str:
    """Return a page with the places of cities after one or more steps of training. It needs no network.

    Longitude and latitude are the axes. Under the pointer: city, country, true and given place, and their distance.

    Args:
        cities: Names, countries and true places of n cities.
        places_deg: Step -> (n, 2) latitude and longitude in degrees; NaN where there is none.
        title: Text above the map.
    """
    from plotly.graph_objects import Figure, Frame

    rows = _rows_by_continent(cities)
    steps = {f"{step:,}": places for step, places in places_deg.items()}
    titles = {name: _heading(title, name, cities, places) for name, places in steps.items()}
    newest, outlines = list(steps)[-1], _outlines()
    moved = list(range(len(outlines), len(outlines) + len(rows)))
    frames = [
        Frame(name=name, data=_dots(cities, rows, places), traces=moved, layout={"title": {"text": titles[name]}})
        for name, places in steps.items()
    ]
    figure: Any = Figure([*outlines, *_dots(cities, rows, steps[newest])], frames=frames)
    for trace, (name, chosen) in zip(figure.data[len(outlines) :], rows.items(), strict=True):
        trace.update(name=name, text=_texts(cities)[chosen], **_style(name))  # what no step changes
    figure.update_layout(title=titles[newest], sliders=[_slider(list(steps))], **_LAYOUT)
    return figure.to_html(full_html=True, include_plotlyjs=True, auto_play=False)


def _rows_by_continent(cities: Cities) -> dict[str, NDArray[np.int64]]:
    continents = np.array(continents_of(cities.country))
    return {name: rows for name in (*CONTINENTS, "unknown") if len(rows := np.flatnonzero(continents == name))}


def _dots(cities: Cities, rows: Mapping[str, NDArray[np.int64]], places_deg: NDArray[np.float64]) -> "list[Scattergl]":
    """Return one trace for each continent, where its cities are said to lie, and how far off that is."""
    from plotly.graph_objects import Scattergl

    dist_km = great_circle_km(cities.lat_deg, cities.lon_deg, *places_deg.T)
    lat, lon, km = (values.astype(np.float32) for values in (*places_deg.T, dist_km))  # half the page's size
    return [Scattergl(x=lon[chosen], y=lat[chosen], customdata=km[chosen]) for chosen in rows.values()]


def _style(continent: str) -> dict[str, Any]:
    colours = {**dict(zip(CONTINENTS, COLOURS, strict=True)), "unknown": OTHER}
    given = "given: latitude %{y:.2f}°, longitude %{x:.2f}°<br>%{customdata:,.0f} km off"
    return {
        "mode": "markers",
        "marker": {"size": 5, "color": colours[continent], "opacity": 0.8},
        "hovertemplate": f"%{{text}}<br>{given}<extra></extra>",
    }


def _texts(cities: Cities) -> NDArray[np.object_]:
    """Return what is shown of every city at all steps."""
    columns = cities.city_id, cities.name, cities.country, cities.lat_deg, cities.lon_deg
    return np.array(
        [
            f"<b>{name}</b>, {country} (c_{number})<br>true: latitude {lat:.2f}°, longitude {lon:.2f}°"
            for number, name, country, lat, lon in zip(*columns, strict=True)
        ],
        dtype=object,
    )


def _heading(title: str, step: str, cities: Cities, places_deg: NDArray[np.float64]) -> str:
    dist_km = great_circle_km(cities.lat_deg, cities.lon_deg, *places_deg.T)
    known = dist_km[~np.isnan(dist_km)]
    error = f"mean {known.mean():,.0f} km off, median {np.median(known):,.0f} km" if len(known) else "no places"
    missing = f"; {len(dist_km) - len(known):,} without a place are left out" if len(known) < len(dist_km) else ""
    return f"{title}, step {step}<br><sub>{error}{missing}</sub>"


def _outlines() -> "list[Scatter]":
    """Return the coasts as one line with gaps."""
    from plotly.graph_objects import Scatter

    if not (coasts := coastlines()):
        return []
    gap = np.full((1, 2), np.nan)
    line = np.concatenate(
        [part for outline in coasts for piece in without_cuts(outline) for part in (piece, gap)]
    ).round(1)
    return [
        Scatter(
            x=line[:, 0],
            y=line[:, 1],
            mode="lines",
            line={"color": COAST, "width": 0.7},
            hoverinfo="skip",
            showlegend=False,
        )
    ]


def _slider(names: list[str]) -> dict[str, Any]:
    jump = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": name, "method": "animate", "args": [[name], jump]} for name in names]
    return {"active": len(names) - 1, "currentvalue": {"prefix": "step "}, "steps": steps}
