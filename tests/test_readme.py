"""The README keeps its promises: its files exist, its commands parse, and (slow) they run as typed."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]


def test_every_linked_file_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links and all((ROOT / link).exists() for link in links), links


def test_the_file_map_names_what_is_there():
    block = re.search(r"## File map\n+```\n(.*?)```", README, re.S)
    assert block is not None
    named = {line.split()[0] for line in block[1].splitlines() if line and not line.startswith(" ")}
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing, missing
    sources = {
        str(p.relative_to(ROOT))
        for room in ("geo", "tokenization", "tasks", "trainers")
        for p in (ROOT / room).rglob("*.py")
        if p.name != "__init__.py"
    }
    unnamed = sorted(s for s in sources if s not in named and str(Path(s).parent) + "/" not in named)
    assert not unnamed, unnamed


def test_every_make_verb_in_the_readme_exists():
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    used = {word for command in COMMANDS if command.startswith("make ") for word in [shlex.split(command)[1]]}
    assert used and used <= verbs


@pytest.mark.usefixtures("datasets_once")
def test_every_training_command_dry_runs(fewer_rows, capsys):
    from trainers.run import main
    from trainers.settings.resolve import task_name_in

    commands = [shlex.split(c, comments=True) for c in COMMANDS if "trainers/run.py" in c]
    assert commands
    for words in commands:
        argv = words[words.index("trainers/run.py") + 1 :]
        if "--init_from" in argv or "--resume_from_checkpoint" in argv:
            continue  # these need an earlier run; tests/test_runs.py does both
        if "--config" in argv and set(argv[::2]) <= {"--config", "--task"}:
            name = Path(argv[argv.index("--config") + 1]).stem
            assert (ROOT / "configs" / f"{name}.yaml").is_file()
            continue  # tests/test_configs.py dry-runs every config
        if "--help" not in argv:
            argv += ["--dry_run", *fewer_rows.get(task_name_in(argv) or "", [])]
        assert main([*argv, "--use_cpu"]) == 0, argv


@pytest.mark.slow
def test_the_accelerate_command_runs_as_typed(prefix):
    argv = "accelerate launch trainers/run.py --task location --learning_rate 1e-3 --n_cities 50 --max_steps 2"
    environment = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(argv.split(), cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (prefix / "runs" / "location-001" / "model.safetensors").is_file()
