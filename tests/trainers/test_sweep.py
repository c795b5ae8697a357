"""Sweeps: which runs are trained or used again, failures, interruptions, table and record."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from scipy import stats

from tests.helpers import ROOT, assert_named, assert_one_line, contents
from trainers.common.environment import RUNS_VARIABLE
from trainers.folders.locks import hold_lock
from trainers.studies.sweep_plan import read_sweep
from trainers.studies.sweep_trials import open_study

from .sweep_helpers import GRID, SEARCH, Launcher


def table(folder):
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def record(folder):
    return MlflowClient().get_run(json.loads((folder / "sweep.json").read_text())["mlflow_run_id"])


# --- a grid


def test_a_grid_is_every_combination_as_an_ordinary_run(swept, capsys):
    launcher = Launcher()
    folder = swept(GRID, launcher)
    assert launcher.flags("learning_rate") == ["1e-3", "1e-3", "0.01", "0.01", "1", "1"]
    assert launcher.flags("hidden_size") == ["16", "32"] * 3
    first = launcher.commands[0]
    assert first[1] == str(ROOT / "trainers" / "run.py") and first[2:5] == [
        "--config=location",
        "--n_cities=40",
        '--lr_scheduler_kwargs={"num_decay_steps": 1}',
    ]
    assert Path(launcher.flags("output_dir")[0]) == folder / "learning_rate=1e-3,hidden_size=16"
    rows = table(folder)
    assert [float(row["haversine_km_mean"]) for row in rows] == [0.1, 0.1, 1, 1, 100, 100]  # the best first
    assert rows[0]["run"] == "learning_rate=1e-3,hidden_size=16" and {row["state"] for row in rows} == {"finished"}
    assert "best: --learning_rate=1e-3 --hidden_size=16" in capsys.readouterr().out


@pytest.mark.parametrize("rates", [["0.01"], ["0.01", "0.02"]])
def test_a_sweep_over_seeds_has_a_mean_and_never_a_best_seed(rates, swept, capsys):
    grid = {"learning_rate": rates, "seed": [1, 2, 3]} if len(rates) > 1 else {"seed": [1, 2, 3]}
    errors = dict(enumerate([4.0, 6.0, 8.0, 1.0, 9.0, 20.0]))  # the least is of the worse rate
    text = (
        f"config: location\nflags: {{n_cities: 40{'' if len(rates) > 1 else ', learning_rate: 0.01'}}}\ngrid: {grid}\n"
    )
    folder = swept(text, Launcher(values=errors))
    shown = capsys.readouterr().out.splitlines()[-1]
    assert "seed=" not in shown and "6 (mean of 3 seeds; 95 %: 1.032 to 10.97)" in shown
    assert shown.startswith("best: --learning_rate=0.01, " if len(rates) > 1 else "haversine_km_mean 6")
    run = record(folder)
    assert run.data.params == ({"best.learning_rate": "0.01"} if len(rates) > 1 else {})
    assert "best_run" not in run.data.tags and run.data.metrics == {"best/haversine_km_mean": 6.0}


def test_the_record_is_the_childrens_parent_and_holds_the_best(swept, store_uri):
    launcher = Launcher()
    folder = swept(GRID, launcher)
    run = record(folder)
    assert launcher.parents == [run.info.run_id] * 6 and run.info.status == "FINISHED"
    assert MlflowClient().get_experiment(run.info.experiment_id).name == "location"
    assert run.data.params == {"best.learning_rate": "1e-3", "best.hidden_size": "16"}
    assert run.data.metrics == {"best/haversine_km_mean": pytest.approx(0.1)}
    assert run.data.tags["best_run"] == "learning_rate=1e-3,hidden_size=16" and run.data.tags["task"] == "location"
    assert {item.path for item in MlflowClient().list_artifacts(run.info.run_id)} == {"config", "sweep.json"}


def test_what_is_finished_is_not_trained_again(swept, capsys):
    folder = swept(GRID, Launcher())
    before, run_id = (folder / "sweep.csv").read_bytes(), record(folder).info.run_id
    again = Launcher()
    assert swept(GRID, again) == folder and again.commands == []
    assert (folder / "sweep.csv").read_bytes() == before and record(folder).info.run_id == run_id
    more = Launcher()
    swept(GRID.replace("[16, 32]", "[16, 32, 64]"), more)
    assert more.flags("hidden_size") == ["64"] * 3 and len(table(folder)) == 9


def test_a_failed_run_is_listed_and_trained_again_by_the_next_call(swept, capsys):
    folder = swept(GRID, Launcher(codes={1: 7}, values={0: math.nan}), code=2)
    assert_one_line(capsys.readouterr().err, 2, 6)
    rows = table(folder)
    assert [row["state"] for row in rows[:4]] == ["finished"] * 4
    assert {row["state"] for row in rows[4:]} == {"failed (exit code 7)", "failed (haversine_km_mean is nan)"}
    assert record(folder).info.status == "FAILED" and record(folder).data.params["best.learning_rate"] == "0.01"
    launcher = Launcher()
    (folder / "learning_rate=1e-3,hidden_size=16" / "results.json").unlink()
    swept(GRID, launcher)
    assert len(launcher.commands) == 2 and launcher.commands[0][-1] == "--overwrite"
    assert record(folder).info.status == "FINISHED"


@pytest.mark.parametrize("stop, code", [(KeyboardInterrupt(), 130), (SystemExit(143), None)])
def test_an_interrupted_grid_goes_on_where_it_was(swept, capsys, stop, code):
    if code is None:
        with pytest.raises(SystemExit):
            swept(GRID, Launcher(stops={2: stop}))
        folder = Path(os.environ["EXP_DIR_PREFIX"]) / "sweeps" / "mine"
    else:
        folder = swept(GRID, Launcher(stops={2: stop}), code=code)
        assert capsys.readouterr().err
    run_id = record(folder).info.run_id
    assert record(folder).info.status == "KILLED"
    launcher = Launcher()
    swept(GRID, launcher)
    assert launcher.flags("learning_rate") == ["0.01", "0.01", "1", "1"] and launcher.parents == [run_id] * 4
    assert record(folder).info.status == "FINISHED"


def test_a_record_that_was_deleted_is_replaced(swept):
    folder = swept(GRID, Launcher())
    gone = record(folder).info.run_id
    MlflowClient().delete_run(gone)
    swept(GRID, Launcher())
    assert record(folder).info.run_id != gone and record(folder).info.status == "FINISHED"


def test_two_processes_do_not_work_in_one_folder(swept, prefix, capsys):
    with hold_lock(prefix / "sweeps" / "mine"):
        swept(GRID, Launcher(), code=2)
    assert_one_line(capsys.readouterr().err, prefix / "sweeps" / "mine")


def test_a_run_that_another_process_goes_on_writing_is_left_to_it(swept, prefix, capsys, monkeypatch):
    monkeypatch.setattr("trainers.studies.child_runs._ENDING_S", 0)
    swept(GRID, Launcher(stops={1: KeyboardInterrupt()}), code=130)
    (prefix / "sweeps" / "mine" / "learning_rate=1e-3,hidden_size=16" / "results.json").unlink()
    launcher = Launcher()
    with hold_lock(prefix / "sweeps" / "mine" / "learning_rate=1e-3,hidden_size=32"):
        swept(GRID, launcher, code=2)
    assert len(launcher.commands) == 1
    assert_named(capsys.readouterr().err, "learning_rate=1e-3,hidden_size=32")


# --- a search


def test_a_search_draws_within_its_space(swept, capsys):
    launcher = Launcher()
    folder = swept(SEARCH, launcher)
    rates = list(map(float, launcher.flags("learning_rate")))
    assert len(set(rates)) == 5 and all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert set(launcher.flags("hidden_size")) <= {"16", "32"} and set(launcher.flags("seed")) <= set("123456789")
    assert [Path(path).name for path in launcher.flags("output_dir")] == [f"trial-00{n}" for n in range(5)]
    rows = table(folder)
    assert [float(row["learning_rate"]) for row in rows] == sorted(rates)
    assert f"best: --learning_rate={min(rates)!r}" in capsys.readouterr().out
    assert record(folder).data.params["best.learning_rate"] == repr(min(rates))
    assert record(folder).data.tags["sweep"] == "search"


def test_a_finished_search_goes_on_only_for_more_trials(swept):
    folder = swept(SEARCH, Launcher())
    first = table(folder)
    again = Launcher()
    swept(SEARCH, again)
    assert again.commands == [] and table(folder) == first
    more = Launcher()
    swept(SEARCH.replace("n_trials: 5", "n_trials: 7"), more)
    assert len(more.commands) == 2 and len(table(folder)) == 7


def test_an_interrupted_search_draws_what_an_uninterrupted_one_does(swept, prefix):
    many = SEARCH.replace("n_trials: 5", "n_trials: 14")  # beyond the random ones at its start
    whole = Launcher()
    swept(many, whole, "--output_dir", str(prefix / "whole"))
    first, rest = Launcher(stops={12: KeyboardInterrupt()}), Launcher()
    folder = swept(many, first, code=130)
    swept(many, rest)
    assert Path(rest.flags("output_dir")[0]).name == "trial-012"  # the interrupted one, with the same flags
    for name in ("learning_rate", "hidden_size", "seed"):
        assert first.flags(name)[:12] + rest.flags(name) == whole.flags(name)
    assert table(folder) == table(prefix / "whole")


def test_a_failed_trial_is_recorded_and_the_search_goes_on(swept, capsys):
    folder = swept(SEARCH, Launcher(codes={1: 7}, values={3: math.inf}))
    rows = table(folder)
    assert [row["state"] for row in rows[:3]] == ["finished"] * 3
    assert {(row["run"], row["state"]) for row in rows[3:]} == {
        ("trial-001", "failed (exit code 7)"),
        ("trial-003", "failed (haversine_km_mean is inf)"),
    }
    swept(SEARCH, again := Launcher())
    assert again.commands == []


def test_a_search_in_which_all_fails_ends_with_a_sentence(swept, capsys):
    swept(SEARCH, Launcher(codes=dict.fromkeys(range(5), 2)), code=2)
    assert_one_line(capsys.readouterr().err, 5)


def test_two_workers_share_one_search(swept, prefix, tmp_path):
    storage = ["--storage", f"sqlite:///{tmp_path / 'shared.db'}"]
    one, other = Launcher(stops={3: KeyboardInterrupt()}), Launcher()
    folder = swept(SEARCH, one, *storage, code=130)
    swept(SEARCH, other, *storage, "--output_dir", str(prefix / "other"))
    assert [Path(path).name for path in other.flags("output_dir")] == ["trial-004"]  # not the interrupted one's
    assert [row["state"] for row in table(prefix / "other")] == ["finished"] * 4 + ["not ended"]
    last = Launcher()
    swept(SEARCH, last, *storage)
    assert [Path(path).name for path in last.flags("output_dir")] == ["trial-003"]
    assert len(table(folder)) == 5 and {row["state"] for row in table(folder)} == {"finished"}


def test_workers_may_start_at_once_with_a_new_database(tmp_path):
    """Optuna alone fails when two make its tables at the same time."""
    (tmp_path / "mine.yaml").write_text(SEARCH)
    plan = read_sweep(tmp_path / "mine.yaml")
    for attempt in range(3):
        ready = threading.Barrier(4)

        def opened(storage, ready=ready):
            ready.wait()
            return open_study(plan, storage).study_name

        with ThreadPoolExecutor(4) as pool:
            names = list(pool.map(opened, [f"sqlite:///{tmp_path / f'{attempt}.db'}"] * 4))
        assert names == ["mine"] * 4


def test_a_database_that_goes_away_is_said_in_one_line(swept, tmp_path, capsys):
    path = tmp_path / "gone.db"

    class Losing(Launcher):
        def Popen(self, command, env, **kwargs):
            path.write_bytes(b"no database any more")
            return super().Popen(command, env, **kwargs)

    swept(SEARCH, Losing(), "--storage", f"sqlite:///{path}", code=2)
    assert_one_line(capsys.readouterr().err, "--storage", f"sqlite:///{path}")


def test_another_search_of_the_same_name_is_refused(swept, capsys):
    swept(SEARCH, Launcher())
    swept(SEARCH.replace("1e-4", "1e-3"), Launcher(), code=2)
    assert_one_line(capsys.readouterr().err, "mine", "n_trials")


@pytest.mark.parametrize(
    "storage, names",
    [
        ("nonsense", "nonsense"),
        ("sqlite:////nowhere/at/all.db", "sqlite:////nowhere/at/all.db"),
        ("postgresql://me:secret@127.0.0.1:9/optuna", "postgresql://me:***@127.0.0.1:9/optuna"),
        ("mystery://x/y", "mystery://x/y"),
    ],
)
def test_a_storage_that_cannot_be_used_is_said_without_its_password(swept, capsys, storage, names):
    launcher = Launcher()
    swept(SEARCH, launcher, "--storage", storage, code=2)
    error = capsys.readouterr().err
    assert_one_line(error, "--storage", names)
    assert "secret" not in error and launcher.commands == []


# --- several seeds, several at once

PLAIN_SEARCH = SEARCH.replace("  seed: {low: 1, high: 9}\n", "").replace("n_trials: 5", "n_trials: 3")


def seeded_values(n_draws):
    """Errors of the runs of draws with two seeds, in their order: of draw d 10 d + 1 and 10 d + 3 km."""
    return dict(enumerate(10.0 * draw + 1 + 2 * seed for draw in range(n_draws) for seed in (0, 1)))


def test_a_grid_with_seeds_has_means_and_leaves_the_one_without_alone(swept, prefix):
    folder = swept(GRID, Launcher())
    before = contents(folder)
    launcher = Launcher(values={n: 10.0 * (n // 2) + n % 2 for n in range(12)})
    swept(GRID, launcher, "--seeds", "2")
    assert launcher.flags("seed") == ["1", "2"] * 6 and contents(folder) == before
    seeded = prefix / "sweeps" / "mine,seeds"
    assert [row["state"] for row in table(seeded)] == ["finished"] * 12
    means = list(csv.DictReader((seeded / "means.csv").read_text().splitlines()))
    assert [float(row["mean"]) for row in means] == [10.0 * n + 0.5 for n in range(6)]
    assert {row["mean_seeds"] for row in means} == {"2"} and float(means[1]["difference"]) == 10.0
    swept(GRID, more := Launcher(), "--seeds", "3")
    assert more.flags("seed") == ["3"] * 6 and len(table(seeded)) == 18


def test_a_search_with_seeds_is_decided_by_the_mean(swept, prefix, capsys):
    swept(PLAIN_SEARCH, launcher := Launcher(values=seeded_values(3)), "--seeds", "2")
    folder = prefix / "sweeps" / "mine,seeds=1,2"
    names = [f"trial-00{draw},seed={seed}" for draw in range(3) for seed in (1, 2)]
    assert [Path(path).name for path in launcher.flags("output_dir")] == names
    rates = launcher.flags("learning_rate")
    assert rates[::2] == rates[1::2] and len(set(rates)) == 3
    rows = table(folder)
    assert [float(row["haversine_km_mean"]) for row in rows] == [2.0, 12.0, 22.0]
    low, high = stats.ttest_1samp([1.0, 3.0], 0).confidence_interval(0.95)
    for row in rows[:1]:
        assert float(row["haversine_km_mean_from"]) == pytest.approx(low)
        assert float(row["haversine_km_mean_to"]) == pytest.approx(high)
    assert {(row["haversine_km_mean_seeds"], row["state"]) for row in rows} == {("2", "finished")}
    shown = capsys.readouterr().out
    assert f"best: --learning_rate={rates[0]} " in shown and "2 (mean of 2 seeds; 95 %: -10.71 to 14.71)" in shown
    assert record(folder).data.metrics == {"best/haversine_km_mean": 2.0}
    assert "best_run" not in record(folder).data.tags  # none is: the best is a mean


def test_an_interrupted_search_with_seeds_draws_what_an_uninterrupted_one_does(swept, prefix):
    many = PLAIN_SEARCH.replace("n_trials: 3", "n_trials: 13")
    swept(many, whole := Launcher(), "--seeds", "2", "--output_dir", str(prefix / "whole"))
    first, rest = Launcher(stops={23: KeyboardInterrupt()}), Launcher()
    swept(many, first, "--seeds", "2", code=130)
    swept(many, rest, "--seeds", "2")
    assert [Path(path).name for path in rest.flags("output_dir")][:1] == ["trial-011,seed=2"]  # its first is finished
    for name in ("learning_rate", "hidden_size", "seed"):
        assert first.flags(name)[:23] + rest.flags(name) == whole.flags(name)
    assert table(prefix / "sweeps" / "mine,seeds=1,2") == table(prefix / "whole")


def test_a_failed_seed_is_its_draws_failure_and_is_not_replaced(swept, prefix, capsys):
    launcher = Launcher(codes={2: 7}, values=seeded_values(3))
    swept(PLAIN_SEARCH, launcher, "--seeds", "2")
    assert len(launcher.commands) == 6
    rows = table(prefix / "sweeps" / "mine,seeds=1,2")
    assert [float(row["haversine_km_mean"]) for row in rows[:2]] == [2.0, 22.0]
    assert rows[2]["state"] == "failed (exit code 7), trial-001,seed=1" and rows[2]["haversine_km_mean"] == ""
    swept(PLAIN_SEARCH, again := Launcher(), "--seeds", "2")
    assert again.commands == []
    stopped = Launcher(codes={1: 7})
    argv = ["--seeds", "2", "--stop_on_failure", "--output_dir", str(prefix / "stopped")]
    swept(PLAIN_SEARCH, stopped, *argv, code=2)
    assert len(stopped.commands) == 2


def test_other_seeds_are_another_search_and_nothing_replaces_its_table(swept, prefix, capsys):
    swept(PLAIN_SEARCH, Launcher(), "--seeds", "2")
    swept(PLAIN_SEARCH, Launcher(), "--seeds", "3")
    assert {path.name for path in (prefix / "sweeps").glob("mine*")} == {"mine,seeds=1,2", "mine,seeds=1,2,3"}
    for text, argv in ((PLAIN_SEARCH, []), (PLAIN_SEARCH, ["--seeds", "3"]), (GRID, ["--seeds", "2"])):
        swept(text, launcher := Launcher(), *argv, "--output_dir", str(prefix / "sweeps" / "mine,seeds=1,2"), code=2)
        assert_one_line(capsys.readouterr().err, "--output_dir", "mine,seeds=1,2", "table")
        assert launcher.commands == []


@pytest.mark.parametrize("text", [GRID, PLAIN_SEARCH])
def test_several_runs_of_a_sweep_are_trained_at_once(text, swept, prefix, monkeypatch, capsys):
    monkeypatch.setattr("trainers.common.environment.count_cores", lambda: 2)

    class Slow(Launcher):
        """A run ends at its second poll."""

        running, most = 0, 0

        def Popen(self, command, env, **kwargs):
            polled = super().Popen(command, env, **kwargs).poll
            assert kwargs["stdout"].name.endswith(".log") and env[RUNS_VARIABLE] == "2"
            self.running += 1
            self.most, waits = max(self.most, self.running), iter([None])

            def poll():
                if next(waits, 0) is None:
                    return None
                self.running -= 1
                return polled()

            return SimpleNamespace(poll=poll)

        STDOUT = None

    swept(text, launcher := Slow(), "--seeds", "2", "--parallel", "2")
    (folder,) = (prefix / "sweeps").glob("mine*/sweep.csv")
    assert launcher.most == 2 and {row["state"] for row in table(folder.parent)} == {"finished"}
    assert len(launcher.commands) == (12 if text is GRID else 6)
    swept(text, Launcher(), "--seeds", "2", "--parallel", "3", code=2)
    assert_one_line(capsys.readouterr().err, "--parallel", 3, 2)


# --- real runs


@pytest.mark.slow
def test_a_real_sweep_is_interrupted_by_ctrl_c_and_goes_on(prefix, tmp_path, store_uri):
    flags = {"n_cities": 40, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "use_cpu": True}
    flags |= {"num_attention_heads": 2, "per_device_train_batch_size": 8, "threads": 1, "eval_steps": 20}
    content = {"task": "location", "flags": {**flags, "max_steps": 60}, "grid": {"learning_rate": [1e-3, 5e-3]}}
    path = tmp_path / "real.yaml"
    path.write_text(json.dumps(content))
    command = [sys.executable, "-m", "trainers", "sweep", "--study", str(path)]
    folder = prefix / "sweeps" / "real"
    second = folder / "learning_rate=0.005"

    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    deadline_s = time.monotonic() + 300
    while not (second / "checkpoint-20" / "trainer_state.json").is_file():
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the sweep and to its run
    assert process.wait(120) == 130
    client = MlflowClient(store_uri)
    parent = json.loads((folder / "sweep.json").read_text())["mlflow_run_id"]
    child = json.loads((second / "run.json").read_text())["mlflow_run_id"]
    assert client.get_run(parent).info.status == client.get_run(child).info.status == "KILLED"

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "finished already" not in done.stdout and "at step 20" not in done.stdout.partition("0.005")[2]
    assert json.loads((second / "run.json").read_text())["mlflow_run_id"] == child
    experiment = client.get_run(parent).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.info.run_name for run in children} == {"learning_rate=0.001", "learning_rate=0.005"}
    assert {run.info.status for run in (*children, client.get_run(parent))} == {"FINISHED"}
    finals = {
        json.loads((run / "results.json").read_text())["final_memorisation_haversine_km_mean"]
        for run in folder.glob("learning_rate*")
    }
    assert client.get_run(parent).data.metrics["best/haversine_km_mean"] == min(finals)
