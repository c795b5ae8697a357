"""`train --seeds`: which runs are trained, at once or after each other, what failures do, table and record."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from scipy import stats

from tests.helpers import ROOT, assert_named, assert_one_line, refusal, write_run
from trainers.commands import train
from trainers.common.environment import RUNS_VARIABLE, share_of_cores
from trainers.common.seeds import seeds_of
from trainers.folders.run_folder import RunFolder
from trainers.studies import child_runs, seed_runs
from trainers.tracking.mlflow_runs import PARENT_VARIABLE

METRIC = "memorisation/haversine_km_mean"
RUN = ["--task", "location", "--n_cities", "40", "--learning_rate", "0.01"]


class Launcher:
    """In the place of `subprocess`: a run with seed s needs s polls, its error is 10 s² km, or its exit code given."""

    TimeoutExpired, STDOUT = subprocess.TimeoutExpired, subprocess.STDOUT

    def __init__(self, codes=None, stop=None):
        self.codes, self.stop = codes or {}, stop
        self.commands, self.variables, self.running, self.most, self.terminated = [], [], set(), 0, []

    @property
    def seeds(self):
        return [int(token.partition("=")[2]) for command in self.commands for token in command if "--seed=" in token]

    def Popen(self, command, env, **kwargs):
        self.commands.append(command)
        self.variables.append(env)
        seed = self.seeds[-1]
        self.running.add(seed)
        self.most = max(self.most, len(self.running))
        (folder,) = [Path(token.partition("=")[2]) for token in command if token.startswith("--output_dir=")]
        folder.mkdir(exist_ok=True)
        write_run(folder, [token for token in command[2:] if token != "--overwrite"])
        polls = iter([None] * (seed - 1))

        def poll():
            if self.stop is not None and seed == 2:
                raise self.stop
            if (waiting := next(polls, 0)) is None:
                return waiting
            self.running.discard(seed)
            return self.codes.get(seed) or finish(folder, seed)

        return SimpleNamespace(poll=poll, wait=lambda limit_s: 0, terminate=lambda: self.terminated.append(seed))


def finish(folder, seed):
    """What a finished run leaves."""
    results = {"final_memorisation_haversine_km_mean": 10.0 * seed**2, "final_memorisation_loss": 1.0 / seed}
    results |= {"final_memorisation_baseline_haversine_km_mean": 5000.0}
    (folder / "results.json").write_text(json.dumps(results))
    history = [{"step": step, "eval_memorisation_haversine_km_mean": 100.0 * seed - step} for step in (0, 5)]
    history += [{"step": 5, "eval_memorisation_loss": 1.0}]
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 5, "log_history": history}))
    return 0


@pytest.fixture
def seeded(prefix, monkeypatch):
    """Train with several seeds and a launcher; returns the folder."""
    monkeypatch.setattr("trainers.common.environment.count_cores", lambda: 4)

    def start(launcher, *argv, code=0):
        monkeypatch.setattr(child_runs, "subprocess", launcher)
        assert train.main([*RUN, *argv]) == code
        return prefix / "seeds" / "location,learning_rate=0.01,n_cities=40"

    return start


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def record(folder):
    return MlflowClient().get_run(json.loads((folder / "seeds.json").read_text())["mlflow_run_id"])


@pytest.mark.parametrize("text, seeds", [("1", [1]), ("3", [1, 2, 3]), ("7,11", [7, 11]), ("2, 0", [2, 0])])
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "1,1", "1,", ",", "x", "1.5", "1001", f"1,{2**63}", "1;2", "²"])
def test_what_are_no_seeds_is_refused(text):
    with refusal("--seeds"):
        seeds_of(text)


def test_every_seed_is_an_ordinary_run_below_one_record_with_mean_and_interval(seeded, capsys):
    folder = seeded(launcher := Launcher(), "--seeds", "3")
    assert launcher.seeds == [1, 2, 3] and launcher.most == 1
    assert [row["state"] for row in table(folder / "seeds.csv")] == ["finished"] * 3
    assert [float(row[METRIC]) for row in table(folder / "seeds.csv")] == [10.0, 40.0, 90.0]
    rows = {row["metric"]: row for row in table(folder / "means.csv")}
    assert list(rows) == [METRIC, "memorisation/loss"]
    low, high = stats.ttest_1samp([10.0, 40.0, 90.0], 0).confidence_interval(0.95)
    row = {name: float(value) for name, value in rows[METRIC].items() if name != "metric"}
    assert row == pytest.approx(
        {"seeds": 3, "mean": 140 / 3, "95 % from": low, "95 % to": high, "baseline": 5000.0}, rel=1e-9
    )
    run = record(folder)
    assert run.info.status == "FINISHED" and run.data.tags["seeds"] == "1,2,3"
    assert {env[PARENT_VARIABLE] for env in launcher.variables} == {run.info.run_id}
    assert run.data.metrics == {f"mean/{METRIC}": pytest.approx(140 / 3)}
    assert {item.path for item in MlflowClient().list_artifacts(run.info.run_id)} >= {"means.json", "seeds.csv"}
    assert "46.7 [-53.7, 147]" in capsys.readouterr().out


def test_the_same_command_trains_nothing_again_and_more_seeds_only_the_new_ones(seeded):
    folder = seeded(Launcher(), "--seeds", "2")
    run_id = record(folder).info.run_id
    seeded(again := Launcher(), "--seeds", "2")
    seeded(more := Launcher(), "--seeds", "2,4")
    assert again.seeds == [] and more.seeds == [4] and record(folder).info.run_id == run_id
    assert [row["seed"] for row in table(folder / "seeds.csv")] == ["2", "4"]


def test_a_failed_seed_is_reported_and_never_replaced(seeded, capsys):
    folder = seeded(launcher := Launcher(codes={2: 7}), "--seeds", "3", code=2)
    assert launcher.seeds == [1, 2, 3]
    assert_one_line(capsys.readouterr().err, 1, 3, "seed-2", 7)
    assert [row["state"] for row in table(folder / "seeds.csv")] == ["finished", "failed (exit code 7)", "finished"]
    assert [row["seeds"] for row in table(folder / "means.csv")] == ["2", "2"]
    assert record(folder).info.status == "FAILED"
    seeded(again := Launcher(), "--seeds", "3")
    assert again.seeds == [2] and record(folder).info.status == "FINISHED"


def test_a_failure_stops_the_others_only_if_asked_for(seeded, capsys):
    folder = seeded(launcher := Launcher(codes={1: 7}), "--seeds", "1,2,3", "--stop_on_failure", code=2)
    assert launcher.seeds == [1] and not (folder / "seeds.csv").exists()
    assert_named(capsys.readouterr().err, "seed-1", "seed-2", "started")


def test_several_run_at_once_each_with_its_share_of_the_cores(seeded, monkeypatch, capsys):
    folder = seeded(launcher := Launcher(codes={3: 7}), "--seeds", "4", "--parallel", "2", code=2)
    assert launcher.seeds == [1, 2, 3, 4] and launcher.most == 2
    monkeypatch.setenv(RUNS_VARIABLE, launcher.variables[0][RUNS_VARIABLE])
    assert share_of_cores() == 2
    assert (folder / "seed-3.log").is_file() and "seed-3: ended with exit code 7" in capsys.readouterr().out
    assert [row["state"] for row in table(folder / "seeds.csv")].count("finished") == 3


@pytest.mark.parametrize("stop, terminated", [(KeyboardInterrupt(), []), (SystemExit(143), [1, 2])])
def test_an_interruption_ends_all_that_run_and_the_same_command_goes_on(stop, terminated, seeded):
    launcher = Launcher(stop=stop)
    launcher.codes = {}
    if terminated:
        with pytest.raises(SystemExit):
            seeded(launcher, "--seeds", "2,3", "--parallel", "2")
    else:
        seeded(launcher, "--seeds", "2,3", "--parallel", "2", code=130)
    assert launcher.terminated == [seed + 1 for seed in terminated]  # Ctrl-C has reached them by itself
    folder = seeded(again := Launcher(), "--seeds", "2,3")
    assert again.seeds == [2, 3] and record(folder).info.status == "FINISHED"


@pytest.mark.parametrize(
    "argv, names",
    [
        (["--parallel", "2"], ["--parallel", "--seeds"]),
        (["--stop_on_failure"], ["--stop_on_failure", "--seeds"]),
        (["--seeds", "2", "--seed", "1"], ["--seed", "--seeds"]),
        (["--seeds", "2", "--overwrite"], ["--overwrite", "--output_dir"]),
        (["--seeds", "2", "--resume_from_checkpoint", "last"], ["--resume_from_checkpoint", "--seeds"]),
        (["--seeds", "2", "--dry_run"], ["--dry_run", "--seeds"]),
        (["--seeds", "2", "--parallel", "5"], ["--parallel", 5, 4]),
        (["--seeds", "2", "--parallel", "0"], ["--parallel", 0]),
        (["--seeds", "2", "--hiden_size", "3"], ["hiden_size", "hidden_size"]),
        (["--seeds", "2", "--hidden_size", "x"], ["--hidden_size", "x"]),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_starts(argv, names, seeded, prefix, capsys):
    seeded(launcher := Launcher(), *argv, code=2)
    assert_one_line(capsys.readouterr().err, *names)
    assert launcher.commands == [] and not (prefix / "seeds").exists()


def test_several_processes_of_a_launcher_do_not_each_train_all_seeds(seeded, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    seeded(Launcher(), "--seeds", "2", code=2)
    assert_one_line(capsys.readouterr().err, "--seeds", 2)


def test_a_value_that_is_not_finite_does_not_count():
    results = {seed: {"final_test_loss": loss, "final_test_x": 1.0} for seed, loss in ((1, 2.0), (2, float("nan")))}
    rows = {row["metric"]: row for row in seed_runs.mean_rows(results, "x")}
    assert (rows["test/loss"]["seeds"], rows["test/loss"]["mean"], rows["test/x"]["seeds"]) == (1, 2.0, 2)


def test_long_folder_names_are_cut_and_stay_apart(seeded, prefix):
    for longest in ("3", "4"):
        seeded(Launcher(), "--warmup_steps", "1", "--weight_decay", "0.5", "--max_steps", longest, "--seeds", "1")
    names = [path.name for path in (prefix / "seeds").iterdir() if path.is_dir()]
    assert len(names) == 2 and all(name.startswith("location,learning_rate=0.01,") for name in names)
    assert max(map(len, names)) < 60


@pytest.mark.slow
def test_a_killed_command_takes_its_runs_with_it_and_the_same_one_goes_on(prefix, tiny):
    argv = [*tiny, "--max_steps", "150", "--eval_steps", "15", "--seeds", "2", "--parallel", "2"]
    command = [sys.executable, "-m", "trainers", "train", *argv, "--output_dir", str(prefix / "two")]
    process = subprocess.Popen(command, cwd=ROOT)
    runs = [RunFolder(prefix / "two" / f"seed-{seed}") for seed in (1, 2)]
    while not all((run.path / "checkpoint-15" / "trainer_state.json").is_file() for run in runs):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # at once
    assert done.returncode == 0, done.stderr
    assert all(run.is_finished for run in runs) and "--resume_from_checkpoint last" in done.stdout


@pytest.mark.slow
def test_real_runs_train_at_once_below_their_record(prefix, tiny, store_uri):
    assert train.main([*tiny, "--seeds", "2", "--parallel", "2", "--output_dir", str(prefix / "two")]) == 0
    parent = record(prefix / "two")
    children = MlflowClient(store_uri).search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    assert {run.info.run_name for run in children} == {"seed-1", "seed-2"}
    assert {run.data.params["seed"] for run in children} == {"1", "2"}
    values = [run.data.metrics["memorisation_final/haversine_km_mean"] for run in children]
    assert parent.data.metrics[f"mean/{METRIC}"] == pytest.approx(sum(values) / 2)
