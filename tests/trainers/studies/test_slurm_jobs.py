"""`--slurm`: what is refused, and real runs as jobs of submitit's local executor and of stand-ins for Slurm."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers import ROOT, assert_named, assert_one_line, printed_elsewhere, refusal
from trainers.commands import train
from trainers.folders.run_folder import RunFolder
from trainers.settings.layers import flags_of
from trainers.studies import slurm_jobs
from trainers.studies.slurm_jobs import PARAMETERS, read_parameters

STAND_INS = {
    "sbatch": """id=$(($(ls "$QUEUE" | wc -l) + 1))
SLURM_JOB_ID=$id setsid bash "$1" >"$QUEUE/$id.out" 2>&1 &
echo $! >"$QUEUE/$id"
echo "Submitted batch job $id" """,
    "srun": """while [[ $1 == --* ]]; do
  case $1 in --output | --error) shift 2 ;; *) shift ;; esac
done
exec "$@" """,
    "squeue": "true",
    "sacct": """echo "JobID|State|NodeList"
for id in "$@"; do
  [[ -e $QUEUE/$id ]] && { kill -0 "$(cat "$QUEUE/$id")" 2>/dev/null && echo "$id|RUNNING|" || echo "$id|COMPLETED|"; }
done
true""",
    "scancel": 'kill -TERM -- "-$(cat "$QUEUE/$1")"',
}
"""Slurm's commands -> shell scripts that do the same on this machine: a job is a process group."""


def stand_ins(folder, monkeypatch, **scripts):
    """Put stand-ins for Slurm's commands before all others."""
    (folder / "bin").mkdir()
    (folder / "queue").mkdir()
    for name, script in {**STAND_INS, **scripts}.items():
        path = folder / "bin" / name
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("QUEUE", str(folder / "queue"))


# --- what is asked for


def test_parameters_are_named_as_submitit_does():
    text = "timeout_min=60, partition=gpu,gpus_per_node=1,mem_gb=7.5,constraint=a100"
    assert read_parameters(text) == {
        "timeout_min": 60,
        "slurm_partition": "gpu",
        "gpus_per_node": 1,
        "mem_gb": 7.5,
        "slurm_constraint": "a100",
    }


def test_every_parameter_reaches_sbatch(tmp_path, monkeypatch):
    import submitit

    stand_ins(tmp_path, monkeypatch)
    values = {name: "some" if kind is str else 77 for name, kind in PARAMETERS.items()}
    text = ",".join(f"{name}={value}" for name, value in values.items())
    executor = submitit.AutoExecutor(tmp_path, cluster="slurm")
    executor.update_parameters(**read_parameters(text))
    written = executor._executor._make_submission_file_text("", "")
    asked = re.findall(r"^#SBATCH .*[=@](?:some|77)", written, re.MULTILINE)  # not the path of a folder with a 77
    assert len(asked) == len(PARAMETERS)


@pytest.mark.parametrize(
    "text, names",
    [
        ("60", ["60", "timeout_min"]),
        ("partition=gpu", ["timeout_min"]),
        ("timeout_min=60,partion=gpu", ["partion", "partition"]),
        ("timeout_min=60,timeout_min=6", ["timeout_min"]),
        ("timeout_min=1.5", ["timeout_min", 1.5]),
        ("timeout_min=0", ["timeout_min", 0]),
        ("timeout_min=60,mem_gb=nan", ["mem_gb", "nan"]),
        ("timeout_min=60,partition=", ["partition"]),
        ("timeout_min=60,nodes=2", ["nodes"]),  # every node would train the same run
        ("timeout_min=60,", ["timeout_min"]),
    ],
)
def test_what_slurm_would_not_understand_is_refused_before_anything_starts(text, names, prefix, capsys, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "CLUSTER", "local")
    assert train.main(["--task", "location", "--seeds", "2", "--slurm", text]) == 2
    assert_one_line(capsys.readouterr().err, "--slurm", *names)
    assert not (prefix / "seeds").exists()


def test_without_slurm_one_sentence_says_so(prefix, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert train.main(["--task", "location", "--seeds", "2", "--slurm", "timeout_min=60"]) == 2
    assert_one_line(capsys.readouterr().err, "--slurm", "sbatch")


def test_without_submitit_one_sentence_names_its_extra(prefix):
    code = "import sys; sys.modules['submitit'] = None; from trainers.__main__ import main; sys.stderr = sys.stdout;"
    argv = ["train", "--task", "location", "--seeds", "2", "--slurm", "timeout_min=60"]
    printed = printed_elsewhere(f"{code} assert main({argv}) == 2")
    assert_one_line(printed.splitlines()[-1] + "\n", "submitit", "world-models[slurm]")


def test_jobs_are_no_more_than_parallel_and_not_bounded_by_the_cores_here(prefix, monkeypatch):
    from trainers.studies.child_processes import ChildOptions

    monkeypatch.setattr(slurm_jobs, "CLUSTER", "local")
    assert ChildOptions(parallel=500, slurm="timeout_min=60").parallel == 500
    with refusal("--parallel", 500):
        ChildOptions(parallel=500)


def test_a_job_of_an_earlier_start_is_named(tmp_path, monkeypatch):
    stand_ins(tmp_path, monkeypatch, squeue='[[ "$*" == *seed-1-* ]] && echo 123; true')
    with refusal("123", "scancel", "seed-1"):
        slurm_jobs.check_queue(tmp_path / "seed-1")
    slurm_jobs.check_queue(tmp_path / "seed-2")


def test_a_job_that_sbatch_does_not_take_is_said_in_one_line(tiny, prefix, tmp_path, monkeypatch, capsys):
    stand_ins(tmp_path, monkeypatch, sbatch="echo 'invalid partition specified: gpu' >&2; exit 1")
    argv = [*tiny, "--seeds", "2", "--slurm", "timeout_min=5,partition=gpu"]
    assert train.main(argv) == 2
    *_, last = capsys.readouterr().err.splitlines()  # before it stands what sbatch itself says
    assert_one_line(f"{last}\n", "--slurm", "sbatch", "invalid partition specified")


# --- real runs


@pytest.fixture(params=["local", "slurm"])
def start(request, prefix, tmp_path, monkeypatch):
    """Start a command whose runs are jobs, in a process of its own."""
    if request.param == "slurm":
        stand_ins(tmp_path, monkeypatch)

    def begin(argv):
        code = "import sys; from trainers.studies import slurm_jobs; from trainers.__main__ import main;"
        code += f"slurm_jobs.CLUSTER, slurm_jobs._POLL_S = {request.param!r}, 0.1; sys.exit(main({argv}))"
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return begin


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out.decode(), err.decode()


def states(folder):
    with (folder / "seeds.csv").open(encoding="utf-8", newline="") as file:
        return {row["seed"]: row["state"] for row in csv.DictReader(file)}


@pytest.mark.slow
def test_two_seeds_are_two_jobs_and_a_failed_one_is_reported(start, prefix, tiny, store_uri):
    folder = prefix / "two"
    argv = ["train", *tiny, "--seeds", "2", "--parallel", "2", "--output_dir", str(folder)]
    argv += ["--slurm", "timeout_min=5,cpus_per_task=1,partition=gpu"]
    (folder / "seed-2").mkdir(parents=True)
    (folder / "seeds.json").write_text('{"mlflow_run_id": null}')
    (folder / "seed-2" / "something").touch()
    code, out, err = finish(start(argv))
    assert code == 2, err
    assert states(folder) == {"1": "finished", "2": "failed (exit code 2)"}
    assert_named(out, "seed-2", "in use", folder / "seed-1.log")
    assert_one_line(err.splitlines()[-1] + "\n", "seed-2")
    (folder / "seed-2" / "something").unlink()
    code, out, err = finish(start(argv))
    assert code == 0, err
    assert states(folder) == {"1": "finished", "2": "finished"} and "finished already" in out
    parent = json.loads((folder / "seeds.json").read_text())["mlflow_run_id"]
    client = MlflowClient(store_uri)
    experiment = client.get_run(parent).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.info.run_name for run in children} == {"seed-1", "seed-2"}


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_and_the_same_command_goes_on(start, prefix, tiny):
    folder = prefix / "two"
    argv = ["train", *tiny, "--max_steps", "200", "--eval_steps", "20"]
    argv += ["--seeds", "2", "--parallel", "2", "--output_dir", str(folder), "--slurm", "timeout_min=5"]
    process, runs = start(argv), [RunFolder(folder / f"seed-{seed}") for seed in (1, 2)]
    wait_for(lambda: all((run.path / "checkpoint-20" / "trainer_state.json").is_file() for run in runs), process)
    process.send_signal(signal.SIGINT)  # reaches the command alone: jobs are elsewhere
    code, _, err = finish(process)
    assert code == 130, err
    wait_for(lambda: not any(run.is_held() for run in runs))
    left = sum(not run.is_finished for run in runs)
    assert left > 0 and all(run.last_checkpoint for run in runs)
    code, out, err = finish(start(argv))
    assert code == 0, err
    assert all(run.is_finished for run in runs) and out.count("--resume_from_checkpoint last") == left


@pytest.mark.slow
def test_a_job_whose_time_is_over_saves_and_goes_on_by_itself(prefix, tiny, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "CLUSTER", "local")
    monkeypatch.chdir(ROOT)
    argv = [*tiny, "--max_steps", "200", "--eval_steps", "20"]
    flags = {name: values or [True] for name, values in flags_of(argv).items()}
    run = RunFolder(prefix / "long")
    job = slurm_jobs.submit(run.path, flags, {}, "timeout_min=5")
    wait_for(lambda: (run.path / "checkpoint-20" / "trainer_state.json").is_file())
    (process,) = Path(f"/proc/{job._job.job_id}/task/{job._job.job_id}/children").read_text().split()
    os.kill(int(process), signal.SIGUSR2)  # what Slurm does shortly before the end
    wait_for(lambda: job.poll() is not None)
    log = slurm_jobs.log_of(run.path).read_text()
    assert job.poll() == 0 and run.is_finished and f"resuming {run.path}" in log, log


def wait_for(condition, process=None, limit_s=240):
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert process is None or process.poll() is None, finish(process)
        assert time.monotonic() < deadline_s, "the run did not come to that"
        time.sleep(0.05)
