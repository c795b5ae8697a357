"""One contender's process: prepares its work, then does it once for every line on its standard input.

python -m tasks.bench.contender training:ours '{"task": "location", "threads": 1, ...}'
"""

import importlib
import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

Work = Callable[[], dict[str, Any]]
"""One turn: does the work and returns the fields of a `tasks.bench.race.Turn`."""


def timed(
    work: Callable[[], Any],
    units: float,
    bytes_of: Callable[[Any], bytes] | None = None,
    now_s: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Do the work once and return its seconds, its units, and a checksum of what contenders must agree on."""
    start_s = now_s()
    result = work()
    seconds = now_s() - start_s
    return {"seconds": seconds, "units": units, "check": [zlib.crc32(bytes_of(result))] if bytes_of else []}


def main() -> None:
    """Answer each line with one line of JSON; everything else that is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from trainers.common import environment

    environment.set_up()
    import torch

    (module, _, function), options = sys.argv[1].partition(":"), json.loads(sys.argv[2])
    torch.set_num_threads(options.pop("threads"))
    work: Work = getattr(importlib.import_module(f"tasks.bench.{module}"), function)(**options)
    print(json.dumps(work()), file=answers)
    for _ in sys.stdin:
        print(json.dumps(work()), file=answers)


if __name__ == "__main__":
    main()
