"""Convert places to the integers that models read and write: cells of one thousandth of a radian.

`x` counts cells eastwards from the date line, `y` northwards from the south pole; written, a place is
`1379,1958`. A cell is 6.4 km high and at most 6.4 km wide.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo import InputError

X_MAX = 6283  # floor(1000 · 2π)
Y_MAX = 3141  # floor(1000 · π)

# Decoding a cell to degrees and encoding it again loses up to 1e-12 of a cell, enough for a bare floor to
# give the cell before (it does for 700 of the 6,284 values of x). So a place less than 1e-9 of a cell,
# 6 micrometres, short of the next cell counts as in it.
_FLOOR_TOLERANCE = 1e-9

_XY_PATTERN = re.compile(r"([0-9]{1,4}),([0-9]{1,4})")


def encode(lat_deg: ArrayLike, lon_deg: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells of places: x = floor(1000·(lon_rad + π)), y = floor(1000·(lat_rad + π/2)).

    `encode(*decode(x, y))` gives back every x and y exactly.

    Args:
        lat_deg: Latitudes in degrees, -90…90; a number or an array.
        lon_deg: Longitudes in degrees, -180…180.

    Returns:
        x in 0…6283 and y in 0…3141, int64, each in the shape of its argument.

    Raises:
        InputError: A value is out of range, NaN or infinite.
    """
    lat_rad = np.radians(_within(lat_deg, 90.0, "latitude"))
    lon_rad = np.radians(_within(lon_deg, 180.0, "longitude"))
    x = np.floor(1000 * (lon_rad + np.pi) + _FLOOR_TOLERANCE)
    y = np.floor(1000 * (lat_rad + np.pi / 2) + _FLOOR_TOLERANCE)
    return x.astype(np.int64), y.astype(np.int64)


def decode(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the south-western corner of cells: lat = deg(y/1000 - π/2), lon = deg(x/1000 - π).

    Encoding and decoding moves a city by about 4.6 km on average, by 8.7 km at most (measured on the default
    world's 5,075). The distance between two decoded places is free of this: an exact answer is 0 km off.

    Args:
        x: Whole numbers in 0…6283, of any numeric type; NaN (a text that `parse_xy` rejected) stays NaN.
        y: Whole numbers in 0…3141, or NaN.

    Returns:
        Latitudes and longitudes in degrees, float64, in the shapes of y and x.

    Raises:
        InputError: A value is out of range or not a whole number.
    """
    x_cells = _cells(x, X_MAX, "x")
    y_cells = _cells(y, Y_MAX, "y")
    return np.asarray(np.degrees(y_cells / 1000 - np.pi / 2)), np.asarray(np.degrees(x_cells / 1000 - np.pi))


def format_xy(x: ArrayLike, y: ArrayLike) -> list[str]:
    """Write coordinates as the models do, such as `1379,1958`, without zero padding.

    Args:
        x: Whole numbers in 0…6283, shape (n,).
        y: Whole numbers in 0…3141, shape (n,).

    Raises:
        InputError: A value is out of range, not a whole number or NaN, or the lengths differ.
    """
    x_cells = np.atleast_1d(_cells(x, X_MAX, "x"))
    y_cells = np.atleast_1d(_cells(y, Y_MAX, "y"))
    if x_cells.shape != y_cells.shape or np.isnan(x_cells).any() or np.isnan(y_cells).any():
        raise InputError(f"got {x_cells.size} x and {y_cells.size} y; give equally many of both, and no NaN")
    return [f"{x:.0f},{y:.0f}" for x, y in zip(x_cells, y_cells, strict=True)]


def parse_xy(texts: Sequence[str]) -> NDArray[np.float64]:
    """Read generated answers, strictly: a text counts only if it is exactly `x,y`.

    Args:
        texts: n texts. A valid one is one to four ASCII digits, a comma and one to four ASCII digits, with
            nothing around them, x in 0…6283 and y in 0…3141.

    Returns:
        Shape (n, 2): x and y of each text; both NaN where it is not valid.

    Raises:
        InputError: `texts` is a single text, whose characters would be read one by one.
    """
    if isinstance(texts, str):
        raise InputError(f"got the single text {texts!r}; give a list of texts")
    xy = np.full((len(texts), 2), np.nan)
    for row, text in enumerate(texts):
        match = _XY_PATTERN.fullmatch(text)
        if match and int(match[1]) <= X_MAX and int(match[2]) <= Y_MAX:
            xy[row] = int(match[1]), int(match[2])
    return xy


def _within(values_deg: ArrayLike, limit_deg: float, what: str) -> NDArray[np.float64]:
    """Return the values as float64, after checking that all are in ±limit_deg."""
    values = np.asarray(values_deg, dtype=np.float64)
    bad = values[~(np.abs(values) <= limit_deg)]  # negated, so that NaN is bad
    if bad.size:
        raise InputError(f"{what} {bad.flat[0]:g} is not in -{limit_deg:g}..{limit_deg:g}; give it in degrees")
    return values


def _cells(values: ArrayLike, maximum: int, what: str) -> NDArray[np.float64]:
    """Return the values as float64, after checking that all are whole numbers in 0..maximum, or NaN."""
    cells = np.asarray(values, dtype=np.float64)
    bad = cells[(cells < 0) | (cells > maximum) | (cells != np.floor(cells)) & ~np.isnan(cells)]
    if bad.size:
        raise InputError(f"{what} {bad.flat[0]:g} is not a coordinate; give whole numbers in 0..{maximum}")
    return cells
