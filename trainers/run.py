"""Train one task: `accelerate launch trainers/run.py --task location`."""

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).resolve().parent):  # launched as a script, Python puts trainers/ first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from trainers.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
