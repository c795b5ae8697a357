"""What several test files use: where the project lies, what must be equal, other processes, errors of one line."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def digests(splits):
    """Split -> digest of its rows."""
    from trainers.folders.splits import digest

    return {name: digest(rows) for name, rows in splits.items()}


def contents(folder):
    """Path -> what is there, without locks."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path.relative_to(folder)] = f"link to {path.readlink()}"
        elif path.is_dir():
            found[path.relative_to(folder)] = "folder"
        elif not (path.name.startswith(".") and path.suffix == ".lock"):
            found[path.relative_to(folder)] = _digest(path, path.stat().st_mtime_ns, path.stat().st_ino)
    return found


@functools.cache
def _digest(path, changed_ns, inode):
    """Of a file, which is read again only if it has changed: hundreds are looked at again and again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(folder):
    """Name -> weight of the model in a run's or a checkpoint's folder."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same(one, other):
    """Whether two mappings have the same tensors."""
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def counting_backend():
    """Graphs that are compiled, in a list, and a backend for `torch.compile` that notes them and makes no kernels."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    return graphs, backend


def gap(one, other):
    """The largest difference of two tensors."""
    return (one - other).abs().max().item() if one.numel() else 0.0


def write_run(folder, argv):
    """What a run leaves that has just started with a command line: its marker and its settings."""
    from trainers import registry
    from trainers.settings.identity import identity_of
    from trainers.settings.request import read_request

    request = read_request(argv, registry.load)
    (folder / "run.json").write_text(json.dumps({"task": request.task.name, "command": shlex.join(argv)}))
    (folder / "settings.json").write_text(json.dumps({"given": request.as_given(), "resolved": identity_of(request)}))


def results_of(folder):
    """What a finished run has written down of its last evaluations."""
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def flags(options):
    """Options by name as a command line."""
    return [token for name, value in options.items() for token in (f"--{name}", str(value))]


def fewer_rows(task):
    """Flags that leave out most rows where a task's dataset takes long to build: learning histories, ARC's pairs."""
    options = {item.name for item in dataclasses.fields(task.options)}
    return flags(
        {name: n for name, n in (("n_streams", 1), ("max_train_tasks", 20), ("pairs_per_task", 80)) if name in options}
    )


def within(sample, expected, sigmas=4):
    """Whether the mean of a sample is the expected one."""
    return abs(sample.mean() - expected) < sigmas * sample.std(ddof=1) / sample.size**0.5


# Errors


def assert_named(text, *names):
    """Every name stands in the text as a word of its own: 40 does not name 4, nor seeds seed."""
    before = {name: r"(?<![\w.])" if name[:1].isalpha() else r"(?<![\w.-])" for name in map(str, names)}
    missing = [name for name in before if not re.search(rf"{before[name]}{re.escape(name)}(?![\w-]|\.\d)", text)]
    assert not missing, f"{missing} not named in: {text}"


def assert_one_line(error, *names):
    """An error is one line on stderr, and what it is about stands in it."""
    assert error.startswith("error: ") and error.endswith("\n") and error.count("\n") == 1, error
    assert "Traceback" not in error
    assert_named(error, *names)


@contextlib.contextmanager
def refusal(*names, of=None):
    """Expect an error for people: one line that contains every name; `of` narrows its class."""
    from geo import InputError
    from tokenization import VocabularyError
    from trainers.errors import UserError

    with pytest.raises(of or (UserError, InputError, VocabularyError)) as caught:
        yield caught
    assert "\n" not in str(caught.value)
    assert_named(str(caught.value), *names)


# Other processes


def printed_elsewhere(code):
    """What Python code prints in another process, whose hashes of texts are other ones."""
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT).stdout


def launched(argv, processes):
    """Train in so many processes of torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [str(ROOT / "trainers" / "run.py"), "--precision", "float32", *argv]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]


def launched_as_documented(command_line):
    """Train by `accelerate launch`, in one process on the CPU; returns what is printed."""
    launcher = "--num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no trainers/run.py"
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", *shlex.split(launcher)]
    done = subprocess.run([*command, *shlex.split(command_line)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# Whole runs


def assert_resumed_is_uninterrupted(argv, prefix):
    """Ten steps, and the same run cut off after five and resumed by its folder alone, end with the same weights."""
    from trainers.run import main

    whole, halves = prefix / "whole", prefix / "halves"
    assert main([*argv, "--max_steps", "10", "--eval_steps", "5", "--output_dir", str(whole)]) == 0
    shutil.copytree(whole, halves)
    shutil.rmtree(halves / "checkpoint-10")
    (halves / "results.json").unlink()
    assert main(["--output_dir", str(halves), "--resume_from_checkpoint", "last"]) == 0
    assert same(*(weights(folder / "checkpoint-10") for folder in (whole, halves)))


def assert_two_processes_train_like_one(argv, batch_size, metrics, prefix):
    """Five steps in one process, and in two with half of each batch, end with the same weights and metrics."""
    import torch

    argv = [*argv, "--no_muon", "--optim", "sgd", "--learning_rate", "0.1", "--max_steps", "5"]
    folders = {processes: prefix / f"ranks{processes}" for processes in (1, 2)}
    for processes, folder in folders.items():
        size = ["--per_device_train_batch_size", str(batch_size // processes), "--output_dir", str(folder)]
        launched([*argv, *size], processes)
    one, two = (weights(folder / "checkpoint-5") for folder in folders.values())
    assert one.keys() == two.keys()
    assert all(torch.allclose(value, two[name], atol=1e-5) for name, value in one.items())
    for name in metrics:
        assert results_of(folders[1])[name] == pytest.approx(results_of(folders[2])[name], abs=0.01)
