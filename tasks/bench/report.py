"""Write the numbers of a bench to a file."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.common.files import write_json


def write_report(prefix: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write `<prefix>/bench/<name>-<date>-<time>.json`, and print its path."""
    (prefix / "bench").mkdir(exist_ok=True)
    path = prefix / "bench" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    write_json(path, content)
    print(f"written: {path}")
