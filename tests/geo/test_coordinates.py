"""Integer coordinates: every cell survives the round trip, and only exact texts count as answers."""

import numpy as np
import pytest

from geo import InputError
from geo.cities import load_cities
from geo.coordinates import X_MAX, Y_MAX, decode, encode, format_xy, parse_xy
from geo.sphere import great_circle_km
from tests.helpers import refusal

ALL_X = np.arange(X_MAX + 1)
ALL_Y = np.arange(Y_MAX + 1)


def test_every_x_and_every_y_survives_decoding_and_encoding() -> None:
    lat_deg, lon_deg = decode(ALL_X[: len(ALL_Y)], ALL_Y)
    x, y = encode(lat_deg, lon_deg)
    np.testing.assert_array_equal(y, ALL_Y)
    np.testing.assert_array_equal(x, ALL_X[: len(ALL_Y)])
    lat_deg, lon_deg = decode(ALL_X, np.full(len(ALL_X), Y_MAX))
    np.testing.assert_array_equal(encode(lat_deg, lon_deg)[0], ALL_X)


def test_a_bare_floor_would_not_survive_it() -> None:
    """The tolerance in `encode` is needed; without this the constant could go unnoticed."""
    _, lon_deg = decode(ALL_X, 0 * ALL_X)
    bare_x = np.floor(1000 * (np.radians(lon_deg) + np.pi))
    assert np.count_nonzero(bare_x != ALL_X) > 100


def test_encoding_is_the_formula_on_all_real_cities() -> None:
    """The tolerance moves no city to another cell."""
    cities = load_cities(n_cities=6000)
    x, y = encode(cities.lat_deg, cities.lon_deg)
    np.testing.assert_array_equal(x, np.floor(1000 * (np.radians(cities.lon_deg) + np.pi)))
    np.testing.assert_array_equal(y, np.floor(1000 * (np.radians(cities.lat_deg) + np.pi / 2)))


def test_a_place_lies_in_its_cell() -> None:
    rng = np.random.default_rng(0)
    lat_deg, lon_deg = rng.uniform(-90, 90, 20_000), rng.uniform(-180, 180, 20_000)
    corner_lat_deg, corner_lon_deg = decode(*encode(lat_deg, lon_deg))
    for above_corner_deg in (lat_deg - corner_lat_deg, lon_deg - corner_lon_deg):
        assert above_corner_deg.min() >= -1e-9
        assert above_corner_deg.max() < np.degrees(0.001)


def test_corners_of_the_world() -> None:
    x, y = encode([-90, 90], [-180, 180])
    assert x.tolist() == [0, X_MAX]
    assert y.tolist() == [0, Y_MAX]
    assert x.dtype == y.dtype == np.int64
    lat_deg, lon_deg = decode([0, X_MAX], [0, Y_MAX])
    np.testing.assert_allclose(lat_deg, [-90, np.degrees(3.141 - np.pi / 2)])
    np.testing.assert_allclose(lon_deg, [-180, np.degrees(6.283 - np.pi)])


def test_quantisation_costs_what_the_documentation_says() -> None:
    cities = load_cities()
    lat_deg, lon_deg = decode(*encode(cities.lat_deg, cities.lon_deg))
    error_km = great_circle_km(cities.lat_deg, cities.lon_deg, lat_deg, lon_deg)
    assert error_km.mean() == pytest.approx(4.6, abs=0.05)
    assert error_km.max() == pytest.approx(8.7, abs=0.05)


@pytest.mark.parametrize(
    ("lat_deg", "lon_deg", "what"),
    [
        (90.001, 0, "latitude 90.001"),
        (-91, 0, "latitude -91"),
        (0, 180.5, "longitude 180.5"),
        (0, -181, "longitude -181"),
        (np.nan, 0, "latitude nan"),
        (0, np.inf, "longitude inf"),
        ([1, 2, 100], [1, 2, 3], "latitude 100"),
    ],
)
def test_encode_refuses_what_is_not_on_earth(lat_deg: object, lon_deg: object, what: str) -> None:
    with refusal(*what.split(), of=InputError):
        encode(lat_deg, lon_deg)


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (X_MAX + 1, 0, "x 6284"),
        (-1, 0, "x -1"),
        (0, Y_MAX + 1, "y 3142"),
        (0, -1, "y -1"),
        (12.5, 0, "x 12.5"),
        (0, np.inf, "y inf"),
        ([1, 2], [3, 1.25], "y 1.25"),
    ],
)
def test_decode_refuses_what_is_no_cell(x: object, y: object, what: str) -> None:
    with refusal(*what.split(), of=InputError):
        decode(x, y)


def test_an_unparsed_answer_stays_nan() -> None:
    lat_deg, lon_deg = decode(*parse_xy(["3141,1570", "nonsense"]).T)
    np.testing.assert_array_equal(np.isnan(lat_deg), [False, True])
    np.testing.assert_array_equal(np.isnan(lon_deg), [False, True])


def test_format_and_parse_are_inverse_without_padding() -> None:
    x, y = np.array([0, 7, 42, 999, 1379, X_MAX]), np.array([0, 1, 20, 300, 1958, Y_MAX])
    texts = format_xy(x, y)
    assert texts == ["0,0", "7,1", "42,20", "999,300", "1379,1958", "6283,3141"]
    np.testing.assert_array_equal(parse_xy(texts), np.stack([x, y], axis=1))


def test_format_takes_single_numbers() -> None:
    assert format_xy(1379, 1958) == ["1379,1958"]


@pytest.mark.parametrize(("x", "y"), [([1, 2], [3]), ([np.nan], [1]), ([7000], [1]), ([1], [0.5])])
def test_format_refuses(x: list, y: list) -> None:
    with pytest.raises(InputError):
        format_xy(x, y)


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "1379", "1379,", ",1958", "1379,1958 ", " 1379,1958", "1379, 1958", "1379,1958,1", "1379,1958\n",
        "-1,5", "+1,5", "1.0,5", "1e3,5", "6284,0", "0,3142", "00001,5", "1379;1958", "c_12,c_13", "1379,1958<eos>",
        "=1379,1958", "١٢,٣٤", "²,5", "nan,nan", "9" * 400 + ",1",
    ],
)  # fmt: skip
def test_parse_rejects_whatever_is_not_exactly_a_pair(text: str) -> None:
    assert np.isnan(parse_xy([text])).all()


def test_parse_keeps_rows_in_place() -> None:
    xy = parse_xy(["1,2", "x", "6283,3141"])
    assert xy.shape == (3, 2)
    np.testing.assert_array_equal(xy, [[1, 2], [np.nan, np.nan], [6283, 3141]])
    assert parse_xy([]).shape == (0, 2)


def test_parse_refuses_a_single_text() -> None:
    with refusal("'1379,1958'", of=InputError):
        parse_xy("1379,1958")
