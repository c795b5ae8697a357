"""The commands of the documents: every line of their shell blocks, as argument lists of our own programs."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.helpers import ROOT
from trainers import registry
from trainers.settings.layers import EITHER_OR, argv_of, flags_of
from trainers.settings.request import read_request

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "configs").rglob("*.md"), *(ROOT / "mlruns").glob("README.md")])
DOCUMENTS += sorted(path for folder in ("tasks", "trainers") for path in (ROOT / folder).rglob("*.md"))
TINY_RUN = ["--max_steps", "2", "--eval_steps", "2", "--logging_steps", "1", "--per_device_train_batch_size", "8"]
TINY_RUN += ["--threads", "1", "--use_cpu"]


def lines() -> list[str]:
    """Every command of every document, once. Those of `bearing` are in tests/test_contributing.py."""
    blocks = [block for path in DOCUMENTS for block in re.findall(r"```(?:bash|sh)\n(.*?)```", path.read_text(), re.S)]
    cells = [
        cell for path in DOCUMENTS for cell in re.findall(r"\| `((?:world-models|python) .*)` \|\n", path.read_text())
    ]
    found = dict.fromkeys(line.strip() for block in [*blocks, *cells] for line in block.splitlines() if line.strip())
    return [line for line in found if "--task bearing" not in line]


def programs(line: str) -> Iterator[list[str]]:
    """The programs that a line starts: itself, or what `make` would start."""
    words = shlex.split(line, comments=True)
    if words[0] != "make":
        yield words
        return
    dry = [*words, "-n", "-o", ".venv/.ready"]
    outside = {"PATH": os.environ["PATH"]}  # not the surroundings of the `make test` that may have started this
    printed = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True, env=outside)
    for command in printed.stdout.splitlines():
        if not command.startswith("make: "):  # "Nothing to be done": the environment is there
            yield shlex.split(command.replace(".venv/bin/", ""))


def as_verb(words: list[str]) -> list[str] | None:
    """A program's arguments as those of `world-models`, if it is that or trains."""
    if "trainers/run.py" in words:
        return ["train", *words[words.index("trainers/run.py") + 1 :]]
    if words[0] == "sbatch":
        return ["train", *words[2:]]
    if words[0] == "world-models":
        return words[1:]
    return words[3:] if words[:3] == ["python", "-m", "trainers"] else None


def small_flags(argv: list[str]) -> list[str]:
    """Flags that make a dataset of the task on this command line small."""
    named = {name: values for name, values in flags_of(argv).items() if name in ("task", "config")}
    task = read_request(argv_of(named), registry.load).task
    return [token for name, value in task.small.items() for token in (f"--{name}", str(value))]


def small_study(name: str, folder: Path) -> Path:
    """The file of a study or a sweep with the flags of all its runs made small, and as few runs as it can have."""
    content = yaml.safe_load((ROOT / "configs" / "studies" / f"{name}.yaml").read_text())
    if "flags" in content:
        _make_small(content["flags"], content["config"])
        content["grid" if "grid" in content else "n_trials"] = {
            k: v[:1] for k, v in content.get("grid", {}).items()
        } or 1
    else:
        content |= {"seeds": content["seeds"][:1]} if "seeds" in content else {}
        for flags in [*content.get("runs", {}).values(), *([content["base"]] if "base" in content else [])]:
            _make_small(flags, flags["config"])
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def _make_small(flags: dict[str, Any], config: str) -> None:
    given = flags_of([*TINY_RUN, *small_flags(["--config", config])])
    for one, other in EITHER_OR:
        flags.pop(one if other in given else "", None)
    flags |= {name: " ".join(values) or True for name, values in given.items()}
