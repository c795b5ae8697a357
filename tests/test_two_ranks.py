"""Two processes (gloo) are one run: one folder, one record, every row evaluated once, the weights of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent


def launch(processes, argv):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(processes),
        str(ROOT / "trainers" / "run.py"),
        *argv,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_train_like_one(prefix, tiny, store_uri):
    # 41 rows: neither the batches nor the evaluation divide evenly.
    tiny[tiny.index("--n_cities") + 1] = "48"
    common = [*tiny, "--n_val", "41", "--max_steps", "6", "--lr_scheduler_type", "constant"]
    # Plain gradient steps: Adam and Muon would blow up the last digit in which the two sums of gradients differ.
    common += ["--no_muon", "--optim", "sgd", "--learning_rate", "0.5"]
    launch(1, [*common, "--output_dir", str(prefix / "one"), "--per_device_train_batch_size", "8"])
    printed = launch(2, [*common, "--per_device_train_batch_size", "4"])
    (two,) = (prefix / "runs").glob("location-*")

    one = load_file(prefix / "one" / "checkpoint-6" / "model.safetensors")
    for name, value in load_file(two / "checkpoint-6" / "model.safetensors").items():
        assert torch.allclose(one[name], value, atol=1e-5), name

    def history(folder):
        entries = json.loads((folder / "trainer_state.json").read_text())["log_history"]
        return [
            entry["eval_memorisation_haversine_km_mean"]
            for entry in entries
            if "eval_memorisation_haversine_km_mean" in entry
        ]

    assert history(two) == pytest.approx(history(prefix / "one"), rel=1e-6)
    assert printed.count("eval_memorisation at step 6") == 1

    import mlflow

    mlflow.set_tracking_uri(store_uri)
    found = mlflow.search_runs(experiment_names=["location"], output_format="list")
    assert sum(run.data.tags["output_dir"] == str(two) for run in found) == 1
