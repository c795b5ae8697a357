"""The launchers' files: each says what it is for and how to use it, accelerate knows their keys, and the Slurm script
starts, is stopped, goes back into the queue and goes on where it was."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig

from tests.helpers import ROOT

CONFIGS = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))
SBATCH = ROOT / "configs" / "slurm" / "train.sbatch"


def header(path):
    return "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_launch_config_says_its_command_and_is_known_to_accelerate(path):
    command = f"accelerate launch --config_file configs/accelerate/{path.name}"
    assert command in header(path) and "trainers/run.py --task location" in header(path)
    assert "To change:" in header(path)
    config = ClusterConfig.from_yaml_file(yaml_file=str(path))  # refuses unknown keys
    assert config.num_processes >= config.num_machines and config.mixed_precision == "no"


def stand_in(folder, name, text):
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def cluster(tmp_path, prefix):
    """Slurm as the script sees it: variables, and programs of its names that start two processes here."""
    programs = tmp_path / "bin"
    programs.mkdir()
    stand_in(
        programs,
        "srun",
        """for id in 0 1; do SLURM_PROCID=$id SLURM_LOCALID=$id "$@" & all+=($!); done
        trap 'kill -TERM "${all[@]}"' TERM
        for one in "${all[@]}"; do wait "$one" || wait "$one" || code=$?; done
        exit "${code:-0}" """,
    )
    stand_in(programs, "scontrol", f'echo 127.0.0.1; echo "$@" >> {tmp_path}/scontrol.txt')
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "MASTER_PORT": str(29600 + os.getpid() % 1000),
        "OUTPUT_DIR": str(prefix / "runs" / "slurm-7"),
    }


def test_the_slurm_script_is_sound_and_asks_for_what_it_needs():
    assert subprocess.run(["bash", "-n", str(SBATCH)], check=False).returncode == 0
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SBATCH.read_text(), re.M))
    assert options["signal"] == "B:TERM@120" and "requeue" in options and options["open-mode"] == "append"
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert "sbatch configs/slurm/train.sbatch --task location" in header(SBATCH)


@pytest.mark.slow
def test_the_slurm_scripts_command_dry_runs(cluster, tiny):
    done = subprocess.run(
        ["bash", SBATCH, *tiny, "--dry_run"], capture_output=True, text=True, env=cluster, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{cluster['OUTPUT_DIR']} (create)" in done.stdout
    assert not Path(cluster["OUTPUT_DIR"]).exists()


@pytest.mark.slow
def test_the_slurm_script_saves_when_it_is_stopped_and_goes_on_when_started_again(cluster, tiny, tmp_path):
    output = Path(cluster["OUTPUT_DIR"])
    argv = ["bash", str(SBATCH), *tiny, "--eval_steps", "100000", "--max_steps"]
    with (tmp_path / "first.txt").open("w") as log:
        first = subprocess.Popen([*argv, "100000"], env=cluster, stdout=log, stderr=log)
        for _ in range(1200):
            if "step " in (tmp_path / "first.txt").read_text().replace("at step", "") or first.poll() is not None:
                break
            time.sleep(0.1)
        first.send_signal(signal.SIGTERM)
        first.wait(timeout=120)
    printed = (tmp_path / "first.txt").read_text()
    assert first.returncode == 143, printed[-3000:]
    assert "requeue 7" in (tmp_path / "scontrol.txt").read_text()
    saved = max(int(path.name.rpartition("-")[2]) for path in output.glob("checkpoint-*"))
    assert saved > 0, printed[-3000:]
    again = subprocess.run([*argv, str(saved + 3)], env=cluster, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr[-3000:]
    assert (output / f"checkpoint-{saved}").is_dir() and (output / "results.json").is_file()
