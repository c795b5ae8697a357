"""Convert the integers that models write to places on a map, and back.

python -m geo.coordinate_tool decode 1379,1958 'loc(c_12)=3141,1570'
python -m geo.coordinate_tool decode --file pairs.txt      (one a line; - reads standard input)
python -m geo.coordinate_tool encode 48.8566,2.3522 -33.87,151.21
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geo import InputError
from geo.coordinates import X_MAX, Y_MAX, decode, encode, format_xy, parse_xy

_PROMPT = re.compile(r"loc\(c_[0-9]+\)=")


def main(argv: Sequence[str] | None = None) -> int:
    """Print integers, latitude, longitude and a link for each place; return the exit code, 2 for unusable input."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    # argparse takes "-33.87,151.21" for an option because it is no plain number; a leading space stops it.
    arguments = [f" {text}" if re.match(r"-[0-9.]", text) else text for text in arguments]
    options = _parser().parse_args(arguments)
    try:
        if options.command == "encode":
            lines = [encode_line(text) for text in options.places]
        else:
            lines = [decode_line(text, where) for text, where in _texts_to_decode(options.xy, options.file)]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def decode_line(text: str, where: str = "") -> str:
    """Describe the place that the models write as `text`: integers, corner of their cell in degrees, link.

    Args:
        text: `1379,1958` or a complete line of the dataset, `loc(c_12)=1379,1958`.
        where: Start of the message if the text is wrong, such as "pairs.txt, line 3: ".

    Raises:
        InputError: The text is neither.
    """
    answer = _PROMPT.sub("", text.strip(), count=1)
    x, y = parse_xy([answer])[0]
    if np.isnan(x):
        ranges = f"x in 0..{X_MAX} and y in 0..{Y_MAX}"
        raise InputError(f"{where}'{text.strip()}' is not x,y; give whole numbers as in 1379,1958, {ranges}")
    lat_deg, lon_deg = decode(x, y)
    return _line(answer, float(lat_deg), float(lon_deg))


def encode_line(text: str) -> str:
    """Describe a place given in degrees, such as `48.8566,2.3522`: integers, degrees as given, link.

    Raises:
        InputError: The text is not two numbers, or they are out of range.
    """
    try:
        lat_deg, lon_deg = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"'{text.strip()}' is not lat,lon; give two numbers of degrees, as in 48.8566,2.3522"
        ) from error
    x, y = encode(lat_deg, lon_deg)
    return _line(format_xy(x, y)[0], lat_deg, lon_deg)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m geo.coordinate_tool", description="Look up coordinates by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    decoding = commands.add_parser("decode", help="from the integers to latitude and longitude")
    decoding.add_argument("xy", nargs="*", metavar="X,Y", help="1379,1958 or loc(c_12)=1379,1958")
    decoding.add_argument("--file", metavar="FILE", help="a file with one X,Y a line; - for standard input")
    encoding = commands.add_parser("encode", help="from latitude and longitude to the integers")
    encoding.add_argument("places", nargs="+", metavar="LAT,LON", help="degrees, as in 48.8566,2.3522")
    return parser


def _texts_to_decode(texts: list[str], file: str | None) -> list[tuple[str, str]]:
    """Return each text with its place in the file, if it is from one."""
    if bool(texts) == bool(file):
        raise InputError("decode takes either X,Y on the command line or --file FILE; give one of the two")
    if file is None:
        return [(text, "") for text in texts]
    source = "standard input" if file == "-" else file
    lines = enumerate(_read(file).splitlines(), start=1)
    located = [(text, f"{source}, line {number}: ") for number, text in lines if text.strip()]
    if not located:
        raise InputError(f"{source} is empty; write one x,y a line, as in 1379,1958")
    return located


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"{file} cannot be read ({reason}); give a text file with one x,y a line") from error


def map_link(lat_deg: float, lon_deg: float) -> str:
    """Return the address of a map with a place marked."""
    return f"https://www.google.com/maps?q={lat_deg:.5f},{lon_deg:.5f}"


def _line(xy: str, lat_deg: float, lon_deg: float) -> str:
    return f"{xy:9}  lat {lat_deg:9.5f}  lon {lon_deg:10.5f}  {map_link(lat_deg, lon_deg)}"


if __name__ == "__main__":
    sys.exit(main())
