"""Read city tables from CSV files; errors name file and line.

Two layouts are known, told apart by the header line: our own (`name,latitude,longitude,country`, optionally
`id` and `population`) and the OpenDataSoft export of GeoNames. Fields are separated by commas or semicolons.
"""

import csv
import difflib
import io
from pathlib import Path
from typing import NamedTuple

from geo import InputError

OWN_COLUMNS = ("id", "name", "latitude", "longitude", "country", "population")
REQUIRED_COLUMNS = ("name", "latitude", "longitude", "country")
EXPORT_COLUMNS = ("Geoname ID", "Name", "Country Code", "Population", "Coordinates")
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


def read_city_file(path: Path) -> tuple[list[CityRow], bool]:
    """Read a city table.

    Args:
        path: A UTF-8 CSV file (a byte-order mark is fine) with a header line, in one of the two layouts. The
            case of column names does not matter; other columns are ignored.

    Returns:
        The cities, and whether the file is the export of GeoNames. Rows of an export are sorted by their
        GeoNames id and bring no id to keep; rows of our own layout are in the order of the file.

    Raises:
        InputError: The file or a line of it cannot be used; the message says which and why.
    """
    header, lines = _read_lines(path)
    if "coordinates" in header or "geoname id" in header:
        _require_columns(path, header, EXPORT_COLUMNS)
        lines.sort(key=lambda line: _whole_number(line, "geoname id", minimum=0))
        return [_export_row(line) for line in lines], True
    _require_columns(path, header, REQUIRED_COLUMNS)
    rows = [_own_row(line) for line in lines]
    if "id" in header:
        _check_unique(lines, rows)
    return rows, False


def _read_lines(path: Path) -> tuple[list[str], list[Line]]:
    """Return the column names, in lower case, and the lines below them, without blank ones."""
    text = _read_text(path)
    header_text = text.lstrip().partition("\n")[0]
    separator = ";" if header_text.count(";") > header_text.count(",") else ","
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = [column.strip().lower() for column in next(fields for fields in table if fields)]
        lines = [_line(f"{path}, line {table.line_num}", header, fields) for fields in table if fields]
    except csv.Error as error:
        raise InputError(f"{path}, line {table.line_num}: {error}; correct this line, it is not CSV") from error
    if not lines:
        raise InputError(f"{path} has no cities; give a header line and at least one line below it")
    return header, lines


def _line(where: str, header: list[str], fields: list[str]) -> Line:
    if len(fields) != len(header):
        raise InputError(
            f"{where}: {len(fields)} fields, but the header has {len(header)}; quote fields with separators"
        )
    return Line(where, dict(zip(header, fields, strict=True)))


def _read_text(path: Path) -> str:
    if path.is_dir() or not path.exists():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {problem}; give the path of a CSV file of cities")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if not text.strip():
        raise InputError(f"{path} is empty; give a header line and at least one line below it")
    return text


def _require_columns(path: Path, header: list[str], expected: tuple[str, ...]) -> None:
    missing = [column for column in expected if column.lower() not in header]
    if not missing:
        return
    others = [column for column in header if column not in {name.lower() for name in OWN_COLUMNS}]
    near = difflib.get_close_matches(missing[0].lower(), others, n=1, cutoff=0.5)
    hint = f" (did you mean it by '{near[0]}'?)" if near else ""
    raise InputError(f"{path} has no column '{missing[0]}'{hint}; the columns needed are: {', '.join(expected)}")


def _own_row(line: Line) -> CityRow:
    fields = line.fields
    kept_id = _whole_number(line, "id", minimum=0) if "id" in fields else None
    return _row(line, kept_id, fields["latitude"], fields["longitude"], fields["country"])


def _export_row(line: Line) -> CityRow:
    fields = line.fields
    lat_text, comma, lon_text = fields["coordinates"].partition(",")
    if not comma:
        raise InputError(f"{line.where}: Coordinates is '{fields['coordinates']}', expected 'lat, lon' in degrees")
    return _row(line, None, lat_text, lon_text, fields["country code"])


def _row(line: Line, kept_id: int | None, lat_text: str, lon_text: str, country: str) -> CityRow:
    lat_deg, lon_deg = _degrees(line, "latitude", lat_text, 90), _degrees(line, "longitude", lon_text, 180)
    population = UNKNOWN_POPULATION
    if line.fields.get("population", "").strip():
        population = _whole_number(line, "population", minimum=UNKNOWN_POPULATION)
    return CityRow(kept_id, line.fields["name"], lat_deg, lon_deg, country, population)


def _whole_number(line: Line, column: str, minimum: int) -> int:
    text = line.fields[column]
    try:
        value = int(text)
    except ValueError:
        value = None
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
