"""Charts and maps of walks: what is drawn, what the captions count, and that nothing warns."""

import io

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from geo import InputError
from geo.maps import walks as walk_maps
from geo.maps.base import COAST
from geo.maps.walks import ILLEGAL, START
from tasks.geography.charts import predicted_against_true
from tests.helpers import refusal

NAN = float("nan")


def drawn(figure: Figure) -> np.ndarray:
    """The picture, which also makes matplotlib do all of its work."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=40)
    buffer.seek(0)
    return imread(buffer)


def dots(figure: Figure) -> list[PathCollection]:
    return [collection for collection in figure.axes[0].collections if isinstance(collection, PathCollection)]


def lines(figure: Figure) -> dict[str, list[np.ndarray]]:
    """Lines on the map in degrees by colour, without coasts."""
    found: dict[str, list[np.ndarray]] = {}
    for collection in figure.axes[0].collections:
        if isinstance(collection, LineCollection) and to_hex(collection.get_colors()[0]) != COAST:
            paths = [np.degrees(path.vertices) for path in collection.get_paths()]
            found.setdefault(to_hex(collection.get_colors()[0]), []).extend(paths)
    return {colour: paths for colour, paths in found.items() if paths}


def places_of(collection: PathCollection) -> list[list[float]]:
    """Latitude and longitude of dots on the map."""
    return np.degrees(np.asarray(collection.get_offsets())[:, ::-1]).round(6).tolist()


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def chart_title(figure: Figure) -> str:
    return figure.axes[0].get_title(loc="left")


# --- predicted against true distances


def test_every_pair_is_a_dot_and_the_diagonal_is_where_they_agree():
    true_km, predicted_km = [0.0, 100.0, 20_015.0], [5.0, 90.0, 20_015.0]
    figure = predicted_against_true(true_km, predicted_km, "Step 7")
    (pairs,) = dots(figure)
    np.testing.assert_array_equal(pairs.get_offsets(), np.stack([true_km, predicted_km], axis=1))
    (diagonal,) = figure.axes[0].lines
    np.testing.assert_array_equal(*diagonal.get_data())
    assert diagonal.get_xdata().max() == 20_015
    for least, most in (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()):
        assert least <= 0 and most >= 20_015
    picture = drawn(figure)
    assert not np.array_equal(picture, drawn(predicted_against_true([], [], "Step 7")))


def test_the_axes_say_what_they_are_and_in_which_unit():
    axes = predicted_against_true([1], [2]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true distance (km)", "predicted distance (km)")


def test_the_charts_caption_has_mean_median_and_failures():
    true_km, predicted_km = np.array([100.0, 200, 300, 400, 500]), np.array([101.0, 190, 2600, NAN, NAN])
    figure = predicted_against_true(true_km, predicted_km, "Step 7")
    heading, caption = chart_title(figure).split("\n")
    assert heading == "Step 7"
    assert caption == "5 pairs · error: mean 770 km, median 10 km · 2 not parsed (left out)"
    assert chart_title(predicted_against_true([1000] * 1200, [3500] * 1200)) == (
        "1,200 pairs · error: mean 2,500 km, median 2,500 km"
    )


def test_a_chart_without_any_readable_answer_and_one_of_nothing():
    figure = predicted_against_true([1, 2, 3], [NAN] * 3)
    assert chart_title(figure) == "3 pairs · 3 not parsed (left out)"
    drawn(figure)
    nothing = predicted_against_true([], [])
    assert chart_title(nothing) == "0 pairs"
    drawn(nothing)


@pytest.mark.parametrize(("true_km", "predicted_km"), [([1, 2], [1]), ([], [1]), ([[1]], [[1]]), (1, 1)])
def test_a_chart_of_unequal_lengths_is_refused(true_km, predicted_km):
    with refusal(np.shape(true_km), np.shape(predicted_km), of=InputError):
        predicted_against_true(true_km, predicted_km)


# --- walks


def walk(*places: tuple[float, float]) -> np.ndarray:
    return np.array(places, dtype=float).reshape(-1, 2)


def legality(*steps: bool) -> np.ndarray:
    return np.array(steps, dtype=bool)


def test_legal_steps_have_the_walks_colour_and_illegal_ones_are_red():
    figure = walk_maps.walk_map(
        [walk((0, 0), (10, 0), (10, 50)), walk((-20, 10), (-30, 10))], [legality(True, False), legality(True)]
    )
    found = lines(figure)
    (illegal,) = found.pop(ILLEGAL)
    np.testing.assert_allclose(illegal[[0, -1]], [[0, 10], [50, 10]], atol=1e-6)
    ends = [path[[0, -1]].round(6).tolist() for paths in found.values() for path in paths]
    assert len(found) == 2 and sorted(ends) == [[[0, 0], [0, 10]], [[10, -20], [10, -30]]]
    drawn(figure)


def test_every_city_of_a_walk_is_a_dot_and_its_start_is_black():
    figure = walk_maps.walk_map([walk((1, 2), (3, 4), (5, 6)), walk((7, 8))], [legality(True, True), legality()])
    by_colour = {to_hex(collection.get_facecolor()[0]): [] for collection in dots(figure)}
    for collection in dots(figure):
        by_colour[to_hex(collection.get_facecolor()[0])] += places_of(collection)
    assert by_colour.pop(START) == [[1, 2], [7, 8]]
    assert list(by_colour.values()) == [[[1, 2], [3, 4], [5, 6]], [[7, 8]]]


def test_a_step_over_the_date_line_does_not_cross_the_map():
    found = lines(walk_maps.walk_map([walk((10, 179), (10, -179))], [legality(True)]))
    (pieces,) = found.values()
    assert len(pieces) == 2 and max(np.abs(np.diff(piece[:, 0])).max() for piece in pieces) < 1


def test_the_maps_caption_counts_walks_steps_illegal_steps_and_failures():
    walks = [walk((0, 0), (1, 1), (2, 2)), walk(), walk((5, 5)), walk((5, 5), (6, 6)), walk()]
    legal = [legality(True, False), legality(), legality(), legality(False), legality()]
    found = texts(walk_maps.walk_map(walks, legal, "Step 7"))
    assert "walks: 5 (black: start) · steps: 3, of which illegal (red): 2 · not read: 2" in found and "Step 7" in found
    assert "not read" not in texts(walk_maps.walk_map(walks[2:4], legal[2:4]))


def test_cities_that_do_not_exist_are_left_out_with_the_steps_to_and_from_them():
    unknown = walk((0, 0), (NAN, NAN), (20, 20), (21, 21))
    figure = walk_maps.walk_map([unknown], [legality(False, False, True)])
    found = lines(figure)
    assert ILLEGAL not in found and sum(len(paths) for paths in found.values()) == 1
    assert places_of(dots(figure)[0]) == [[0, 0], [20, 20], [21, 21]]
    assert "steps: 3, of which illegal (red): 2" in texts(figure)
    drawn(figure)


def test_a_map_of_walks_that_could_not_be_read_and_one_of_no_walks():
    unread = walk_maps.walk_map([walk()] * 3, [legality()] * 3)
    assert "walks: 3 (black: start) · steps: 0, of which illegal (red): 0 · not read: 3" in texts(unread)
    assert lines(unread) == {} and dots(unread) == []
    nothing = walk_maps.walk_map([], [])
    assert "walks: 0" in texts(nothing)
    drawn(nothing)


def test_more_walks_than_colours_are_all_drawn():
    walks = [walk((i, i), (i + 1, i)) for i in range(25)]
    found = lines(walk_maps.walk_map(walks, [legality(True)] * 25))
    assert sum(len(paths) for paths in found.values()) == 25 and ILLEGAL not in found


def test_walks_and_legalities_of_unequal_number_are_refused():
    with pytest.raises(ValueError):
        walk_maps.walk_map([walk((0, 0)), walk((1, 1))], [legality()])
