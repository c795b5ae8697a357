"""The command line: verbs, help without heavy imports, suggestions, studies that say which report they want."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import ROOT, assert_named, assert_one_line, contents, write_run
from trainers import registry
from trainers.__main__ import main
from trainers.commands import study
from trainers.studies import child_runs

VERBS = {path.stem.replace("_", "-") for path in (ROOT / "trainers" / "commands").glob("[!_]*.py")}
HEAVY = {"torch", "transformers", "datasets", "pandas", "mlflow", "matplotlib", "evaluate", "scipy", "optuna", "numpy"}


def test_the_verbs_are_those_of_the_documents():
    assert {"train", "dataset", "probe", "compare", "sweep", "study", "clean-runs", "tasks"} <= VERBS


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_without_a_verb_all_are_listed(argv, capsys):
    assert main(argv) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert listed >= VERBS


def test_a_mistyped_verb_is_answered_with_the_nearest(capsys):
    assert main(["stdy"]) == 2
    assert_one_line(capsys.readouterr().err, "stdy", "study")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_a_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 3


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_refuses_a_flag_that_it_does_not_have(verb, capsys):
    named = {"study": ["arc_small"], "train": ["--task", "location"], "dataset": ["--task", "location"]}
    assert main([verb, *named.get(verb, []), "--zzz", "1"]) == 2
    assert_one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "command_line",
    [
        "",
        *(f"{verb} --help" for verb in sorted(VERBS)),
        "tasks",
        *(f"study {name} --help" for name in ("arc_small", "darkroom_small", "forgetting_small")),
    ],
)
def test_help_imports_nothing_heavy(command_line):
    assert not HEAVY & imported_by(command_line)


@pytest.mark.parametrize("task", registry.names())
def test_the_help_of_a_task_imports_nothing_heavy(task):
    assert not HEAVY & imported_by(f"train --task {task} --help_all")


def imported_by(command_line: str) -> set[str]:
    """The packages that a command imports, in a process of its own."""
    command = [sys.executable, "-X", "importtime", "-m", "trainers", *command_line.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "trainers" in done.stderr
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


def test_tasks_are_listed_with_family_and_summary(capsys):
    assert main(["tasks"]) == 0
    shown = capsys.readouterr().out
    for name in registry.names():
        (line,) = [line for line in shown.splitlines() if line.split()[0] == name]
        assert registry.load(name).summary in line
    assert "geography" in shown and "in_context_rl" in shown


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("--epochs 3", "num_train_epochs"),
        ("--batch_size 8", "per_device_train_batch_size"),
        ("--lr 1e-3", "learning_rate"),
        ("--resume last", "resume_from_checkpoint"),
        ("--no_cuda", "use_cpu"),
        ("--cpu", "use_cpu"),
        ("--steps 10", "max_steps"),
    ],
)
def test_words_that_people_type_are_suggested_by_name_and_not_taken(typed, meant, capsys):
    assert main(["train", "--task", "location", *typed.split()]) == 2
    assert_one_line(capsys.readouterr().err, meant)


def test_a_word_is_only_suggested_where_the_setting_exists(capsys):
    assert main(["compare", "--resume", "last"]) == 2
    assert "resume_from_checkpoint" not in capsys.readouterr().err


# --- studies


def test_every_shipped_study_names_a_report_of_its_task():
    from trainers.studies.study import report_options
    from trainers.studies.study_file import read_mapping, study_names, study_path

    reports = {name: read_mapping(study_path(name), "").get("report") for name in study_names()}
    assert set(reports.values()) == {
        *("forgetting", "map", "ladder", "comparison", "goal_map", "convergence", "divergence", "paper")
    }
    for name in reports:
        assert callable(report_options(name)().run)


@pytest.mark.parametrize("argv", [["study", "location_sweep"], ["sweep", "arc_small"]])
def test_a_sweep_and_a_study_are_told_apart_and_the_other_verb_is_named(argv, capsys):
    assert main(argv) == 2
    assert_one_line(capsys.readouterr().err, *{"study", "sweep"} - {argv[0]})


@pytest.mark.parametrize(
    "line, names", [("report: ladders", ("ladders", "ladder")), ("report: forgetting", ("ladder",)), ("", ("ladder",))]
)
def test_a_report_that_the_task_does_not_have_is_refused_before_training(line, names, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(child_runs, "subprocess", None)
    (tmp_path / "x.yaml").write_text(f"{line}\nseeds: [1]\nruns: {{a: {{config: arc}}}}\n")
    assert study.main([str(tmp_path / "x.yaml")]) == 2
    assert_one_line(capsys.readouterr().err, "arc", *names)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ("name: value",)),
        ("- ladder", ("list", "name: value")),
        ("report: ladder\nseeds: [1]", ("runs",)),
        ("report: ladder\nseeds: [1]\nruns: 3", ("runs", "3")),
        ("report: ladder\nseeds: [1]\nruns: {}", ("runs",)),
        ("report: ladder\nseeds: [1]\nruns: {a: 3}", ("a", "3")),
        ("report: ladder\nseeds: [1]\nruns: {a: {lr: 1}}", ("a", "config")),
        ("report: ladder\nseeds: [1]\nruns: {a: {config: }}", ("a", "config")),
        ("report: ladder\nseeds: [1]\nruns: {a: {config: arc}, b: {config: arc, sed: 1}}", ("sed", "seed")),
        ("report: ladder\nsedes: [1]\nruns: {a: {config: arc}}", ("seeds",)),
        ("report: ladder\nseeds: [1]\nsedes: [1]\nruns: {a: {config: arc}}", ("sedes", "seeds")),
        ("report: ladder\nseeds: 1\nruns: {a: {config: arc}}", ("seeds", "1", "list")),
        ("report: ladder\nseeds: [x]\nruns: {a: {config: arc}}", ("seeds", "x")),
        ("report: paper\nstudies: 3", ("studies", "3", "mapping")),
        ("report: paper\nstudies: {}", ("studies", "mapping")),
        ("report: paper\nstudies: {a: arc_smal}", ("arc_smal", "arc_small")),
        ("report: paper\nstudies: {a: arc_small}\nruns: {a: {config: arc}}", ("runs",)),
        ("report: paper\nstudies: {a: paper}", ("runs",)),
    ],
)
def test_a_malformed_study_is_named_by_file_and_key(text, names, tmp_path, prefix, monkeypatch, capsys):
    monkeypatch.setattr(child_runs, "subprocess", None)
    (tmp_path / "x.yaml").write_text(text)
    assert study.main([str(tmp_path / "x.yaml")]) == 2
    error = capsys.readouterr().err
    assert_one_line(error, "x.yaml", *names)
    assert "Error" not in error and "NoneType" not in error


def test_the_help_of_a_study_has_the_flags_of_its_report(capsys):
    assert main(["study", "darkroom_small", "--help"]) == 0
    assert "--rollouts" in capsys.readouterr().out
    assert main(["study", "forgetting_small", "--help"]) == 0
    assert "--base" in capsys.readouterr().out


def test_the_help_of_a_study_lists_studies_and_that_of_a_sweep_sweeps(capsys):
    listed = {}
    for verb in ("study", "sweep"):
        assert main([verb, "--help"]) == 0
        shown = capsys.readouterr().out
        listed[verb] = shown.rpartition("below configs/studies/:")[2].partition("\n  --")[0]
    assert_named(listed["study"], "arc_small", "forgetting_small")
    assert_named(listed["sweep"], "location_sweep", "location_search")
    assert "location" not in listed["study"] and "arc_" not in listed["sweep"]


@pytest.mark.parametrize(
    "verb, wrong, right", [("study", "arc_smal", "arc_small"), ("sweep", "swep", "location_sweep")]
)
def test_a_mistyped_name_is_answered_with_those_of_its_kind(verb, wrong, right, prefix, capsys):
    assert main([verb, wrong]) == 2
    error = capsys.readouterr().err
    assert_one_line(error, verb, wrong, right)
    assert ("location_sweep" in error) is (verb == "sweep")


def test_a_dry_run_prints_how_far_every_run_is_and_writes_nothing(prefix, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(child_runs, "subprocess", None)
    path = tmp_path / "mine.yaml"
    path.write_text("report: ladder\nseeds: [1, 2]\nruns: {a: {config: arc}, b: {config: arc, hidden_size: 32}}\n")
    folder = prefix / "studies" / "mine"
    for name in ("a-1", "a-2"):
        (folder / name).mkdir(parents=True)
        write_run(folder / name, ["--config=arc", f"--seed={name[-1]}", f"--output_dir={folder / name}"])
    (folder / "a-1" / "results.json").write_text("{}")
    before = contents(prefix)
    assert main(["study", str(path), "--dry_run"]) == 0
    shown = capsys.readouterr().out
    states = {line.partition(":")[0]: line.partition(": ")[2] for line in shown.splitlines()[1:] if line[0] != " "}
    assert states == {
        "a-1": "finished",
        "a-2": "starts again: it has no checkpoint",
        "b-1": "not started",
        "b-2": "not started",
    }
    assert "--config=arc --hidden_size=32 --seed=2" in shown and contents(prefix) == before


def test_a_dry_run_names_the_runs_that_wait_for_others(prefix, capsys):
    assert main(["study", "forgetting_small", "--dry_run", "--seeds", "4"]) == 0
    shown = capsys.readouterr().out
    assert_named(shown, "base-4: not started", "cross_frozen: after base-1, base-2, base-3, base-4")
    assert not any(prefix.iterdir())


def test_a_study_hands_its_file_and_folder_to_its_report(prefix, tmp_path, monkeypatch):
    seen: list[tuple[Path, Path, Any, int]] = []
    monkeypatch.setattr(
        "tasks.in_context_rl.compare.Comparison.run", lambda self, *args: seen.append((*args, self.rollouts))
    )
    path = tmp_path / "mine.yaml"
    path.write_text("report: comparison\nseeds: [1]\nruns: {a: {config: darkroom}}\n")
    assert main(["study", str(path), "--rollouts", "3", "--seeds", "4,5"]) == 0
    ((where, folder, children, rollouts),) = seen
    assert (where, folder, rollouts) == (path, prefix / "studies" / "mine", 3) and children.seeds == [4, 5]
