"""Train one task: `accelerate launch trainers/run.py --task location`.

Parse, validate, then train. Heavy libraries are imported only after every name on the command line is known.
"""

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).resolve().parent):  # launched as a script, Python puts trainers/ first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from trainers.commands.train import run
from trainers.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code: 0 done, 2 something for the user to mend."""
    argv = sys.argv[1:] if argv is None else argv
    return exit_code_of(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
