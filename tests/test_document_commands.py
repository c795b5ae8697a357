"""Every command of the documents is understood, and (slow) runs at small size."""

import importlib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from tests.document_commands import TINY_RUN, as_verb, lines, programs, small_flags, small_study
from tests.helpers import ROOT, write_run
from trainers import registry
from trainers.__main__ import main as world_models
from trainers.folders import dataset_folder

LINES = lines()
PROGRAMS = list({tuple(as_verb(words) or words): words for line in LINES for words in programs(line)}.values())
"""What the lines start, once each: a launcher's own flags are no difference."""


def program_of(words):
    return words[2] if words[:2] == ["python", "-m"] else words[0]


# --- understood


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_understood(line, prefix, capsys, request, tmp_path):
    for words in programs(line):
        verb = as_verb(words)
        check_launcher(words)
        if verb is not None:
            run_folder = request.getfixturevalue("finished_run") if "outputs/runs/" in line else ""
            if verb[0] == "probe" and "outputs/runs/distance" in line:  # its task has views that `location` has not
                write_run(run_folder := tmp_path, ["--task", "distance"])
            if "--adapt" in verb:
                run_folder = run_that_adapts(tmp_path)
            check_verb([str(run_folder) if word.startswith("outputs/runs/") else word for word in verb], capsys)
        else:
            UNDERSTAND[program_of(words)](words, capsys)


def run_that_adapts(folder):
    """A run of `arc` that has just started; with its dataset, whose options are flags of `evaluate`."""
    task = registry.load("arc")
    write_run(folder, ["--task", task.name])
    data = dataset_folder.build_or_load(task, task.options(**task.small), folder)
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "dataset_folder": str(data.path)}))
    return folder


def check_launcher(words):
    """The launcher knows its flags, and its file and the script exist."""
    if words[0] == "accelerate":
        given = launch_command_parser().parse_args(words[2:])
        assert given.training_script == "trainers/run.py" and (ROOT / given.training_script).is_file()
        assert given.config_file is None or (ROOT / given.config_file).is_file()
    if words[0] == "sbatch":
        assert (ROOT / words[1]).is_file()


def check_verb(argv, capsys):
    """Every flag stands in the verb's help; a config or study that is named exists, or there would be none."""
    if {"--help", "-h"} & set(argv):
        assert world_models(argv) == 0
        return
    assert world_models([*argv, "--help", *(["--help_all"] if argv[0] == "train" else [])]) == 0
    check_flags(argv, capsys)


def check_flags(words, capsys):
    known = capsys.readouterr().out
    flags = [word.partition("=")[0].replace("--no_", "--") for word in words if word.startswith("--")]
    assert [flag for flag in flags if f"{flag} " not in known and f"{flag}\n" not in known] == []


def check_module(words, capsys):
    """The module is a command whose help names every flag."""
    module = importlib.import_module(words[2])
    if not hasattr(module, "main"):
        module = importlib.import_module(f"{words[2]}.__main__")
    try:
        assert module.main([word for word in [*words[3:], "--help"] if not word.startswith("outputs/runs/")]) == 0
    except SystemExit as end:  # argparse's own
        assert end.code == 0
    check_flags(words, capsys)


def check_mlflow(words, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints
        from mlflow.cli import cli
    with cli.make_context("mlflow", words[1:2]) as group:
        command = cli.get_command(group, words[1])
        assert command is not None
        command.make_context(words[1], words[2:])


def check_paths(words, capsys):
    assert [word for word in words if word.startswith(("tests/", "tasks/")) and not (ROOT / word).exists()] == []


def check_activate(words, capsys):
    assert words == ["source", ".venv/bin/activate"]


def check_python(words, capsys):
    compile(words[2], "a document", "exec")


UNDERSTAND = {
    "python": check_python,
    "tasks.bench": check_module,
    "tasks.bench.time_to_quality": check_module,
    "tasks.bench.coverage": check_module,
    "tasks.bench.precision": check_module,
    "tasks.arc.bench": check_module,
    "tasks.arc.nearest_patch": check_module,
    "tasks.geography.growth": check_module,
    "tasks.geography.statistics": check_module,
    "geo.coordinate_tool": check_module,
    "tests.file_map": check_paths,
    "pytest": check_paths,
    "ruff": check_paths,
    "pyright": check_paths,
    "mlflow": check_mlflow,
    "source": check_activate,
}
"""Program that is not `world-models` -> how it is checked; one that is missing here fails."""


# --- run


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, store_uri):
    """One EXP_DIR_PREFIX for all commands: later ones use what earlier ones trained."""
    folder = tmp_path_factory.mktemp("documents") / "outputs"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        patch.chdir(ROOT)
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("words", PROGRAMS, ids=" ".join)
def test_a_command_runs_at_small_size(words, workplace, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.studies.slurm_jobs.CLUSTER", "local")  # jobs are processes of this machine
    verb = as_verb(words)
    if words[:2] == ["python", "-c"]:
        code = re.sub(r"outputs/runs/[\w-]+", lambda name: str(trained(name[0], workplace, tmp_path)), words[2])
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment)
    elif verb is None:
        RUN[program_of(words)](words, tmp_path)
    else:
        assert world_models(small_verb(verb, workplace, tmp_path)) == 0


def small_verb(verb, workplace, tmp_path):
    """A verb's arguments with the same meaning and less work."""
    if "--help" in verb:
        return verb
    if "prompts.txt" in verb:
        (tmp_path / "prompts.txt").write_text("loc(c_1)=\nloc(c_2)=\n")
    verb = [str(tmp_path / word) if word == "prompts.txt" else word for word in verb]
    verb = [str(trained(word, workplace, tmp_path)) if word.startswith("outputs/runs/") else word for word in verb]
    if "--resume_from_checkpoint" in verb:  # of two steps, by two more
        return [*verb[:-2], "--max_steps", "4"]
    if verb[0] == "train":
        return [*verb, *TINY_RUN, *small_flags(verb[1:])]
    if verb[0] == "dataset":
        return [*verb, *small_flags(verb[1:])]
    if verb[0] in ("study", "sweep"):
        folder = workplace / "studies" / tmp_path.name
        return [verb[0], str(small_study(verb[1], tmp_path)), *verb[2:], "--output_dir", str(folder)]
    if "--adapt" in verb:
        return [*verb, "--adapt_steps", "1", "--adapt_batch_size", "2", "--adapt_queries", "1", "--no_adapt_controls"]
    unchanged = ("evaluate", "predict", "probe", "compare", "clean-runs", "push", "tasks")
    assert verb[0] in unchanged, f"nothing makes {verb} small"
    return verb


def trained(path, workplace, tmp_path):
    """The folder of a run that a document names: it is trained by the document's own command if it is not there yet."""
    name = Path(path).name
    folder = workplace / "runs" / name
    if not folder.exists():
        config = name.rpartition("-")[0]
        verbs = [as_verb(words) for words in PROGRAMS]
        wanted = {("--config", config), ("--task", config)}
        verb = next(v for v in verbs if v and v[0] == "train" and wanted & set(itertools.pairwise(v)))
        assert world_models([*small_verb(verb, workplace, tmp_path), "--output_dir", str(folder)]) == 0
    return folder


def run(*more):
    """The program as typed, with more arguments."""

    def start(words, tmp_path):
        program = Path(sys.executable).parent / words[0]
        subprocess.run([program, *words[1:], *[part.format(tmp=tmp_path) for part in more]], cwd=ROOT, check=True)

    return start


def race(words, tmp_path):
    """A run of seconds races alone."""
    config = tmp_path / "small.yaml"
    config.write_text("task: location\nn_cities: 32\nmax_steps: 2\neval_steps: 2\nuse_cpu: true\n")
    run("--contenders", str(config), "--minutes", "5")(words, tmp_path)


def grow(words, tmp_path):
    """A tiny run whose world grows is looked at."""
    folder = Path(os.environ["EXP_DIR_PREFIX"]) / "runs" / "grown"
    flags = ["--n_cities", "40", "--n_train", "300", "--grow", "30:2", "--save_steps", "2", "--eval_steps", "2"]
    sizes = [*TINY_RUN, *small_flags(["--task", "distance"]), *flags, "--max_steps", "4"]
    assert world_models(["train", "--task", "distance", *sizes, "--output_dir", str(folder)]) == 0
    run()([*words[:3], str(folder)], tmp_path)


def serve(words, tmp_path):
    """MLflow's server answers; a database and a folder that only others have are replaced."""
    words = [f"sqlite:///{tmp_path}/mlflow.db" if "postgresql:" in word else word for word in words]
    words = [str(tmp_path / "artifacts") if word.startswith("/shared") else word for word in words]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", *words, "--port", port, "--workers", "1"], cwd=tmp_path)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                return
            except OSError:
                assert process.poll() is None
                time.sleep(0.5)
        pytest.fail("the server did not answer")
    finally:
        process.terminate()
        process.wait()


RUN = {
    "tasks.bench": run("--only", "building", "--rounds", "1", "--no_compiled"),
    "tasks.bench.time_to_quality": race,
    "tasks.bench.coverage": run("--studies", "20"),
    "tasks.bench.precision": run("--rounds", "1"),
    "tasks.arc.bench": run("--max_side", "10", "--batch_size", "2", "--rounds", "1"),
    "tasks.arc.nearest_patch": run("--pairs_per_task", "8", "--n_val", "1", "--n_test", "1"),
    "tasks.geography.growth": grow,
    "tasks.geography.statistics": run(),
    "geo.coordinate_tool": run(),
    "tests.file_map": check_paths,
    "pytest": run("--collect-only", "-qq"),
    "ruff": run(),
    "pyright": check_paths,  # minutes; CI and `make check` run it
    "mlflow": serve,
    "source": check_activate,
}
"""Program that is not `world-models` -> how it is run at small size; one that is missing here fails."""
