"""Several processes are one run, whoever starts them: the loss curve and the weights of one process, one folder, one
record, every row evaluated once. Here with gloo on the CPU, also as two "hosts" that find each other by address."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.helpers import ROOT, flags
from trainers import registry

pytestmark = pytest.mark.slow

CONFIGS = ROOT / "configs" / "accelerate"
RUN = str(ROOT / "trainers" / "run.py")
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
# 41 rows in batches of 16: neither the steps nor the evaluation divide evenly.
COMMON = shlex.split(
    """--task location --n_cities 48 --n_val 41 --hidden_size 16 --num_hidden_layers 1 --intermediate_size 16
    --num_attention_heads 2 --max_steps 6 --eval_steps 2 --logging_steps 1 --per_device_eval_batch_size 16 --threads 1
    --use_cpu --precision float32 --lr_scheduler_type constant --no_muon --optim sgd --learning_rate 0.5"""
)
# Plain gradient steps: Adam and Muon would blow up the last digit in which the two sums of gradients differ.
TIMED = ("_s", "_runtime", "_per_second")
STEPS, CHECKPOINTS = 6, {f"checkpoint-{step}" for step in (0, 2, 4, 6)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory, store_uri):
    """A folder for all runs of this module."""
    prefix = tmp_path_factory.mktemp("many") / "outputs"
    prefix.mkdir()
    variables = {"EXP_DIR_PREFIX": str(prefix), "MLFLOW_TRACKING_URI": store_uri, "OMP_NUM_THREADS": "1"}
    return {**os.environ, **variables}


def start(commands, environment):
    """Run the commands at the same time; return what each printed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment, "cwd": ROOT}
    running = [subprocess.Popen(command, **pipes) for command in commands]
    printed = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(p[-3000:] for p in printed)
    return printed


def train(name, starts, environment, rows_a_process):
    """One run by the launchers `starts`; return its folder, which gets a number, and all that was printed."""
    argv = [*COMMON, "--per_device_train_batch_size", str(rows_a_process), "--run_name", name]
    printed = "".join(start([[*words, *argv] for words in starts], environment))
    (folder,) = (Path(environment["EXP_DIR_PREFIX"]) / "runs").glob(f"{name}-*")  # the processes agree on it
    return folder, printed


def history(folder, name):
    entries = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry[name] for entry in entries if name in entry]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.fixture(scope="module")
def one(environment):
    """The run of one process that all others are compared with."""
    return train("one", [[*ACCELERATE, "--config_file", str(CONFIGS / "cpu.yaml"), RUN]], environment, 8)[0]


def same_as(one, folder, printed, store_uri):
    """What is promised of every run, however many processes it has."""
    assert history(folder, "loss") == pytest.approx(history(one, "loss"), abs=1e-5)
    assert len(history(one, "loss")) == STEPS
    expected = load_file(one / "checkpoint-6" / "model.safetensors")
    for name, value in load_file(folder / "checkpoint-6" / "model.safetensors").items():
        assert torch.allclose(expected[name], value, atol=1e-5), name
    metric = "eval_memorisation_haversine_km_mean"
    assert history(folder, metric) == pytest.approx(history(one, metric), rel=1e-6) and len(history(one, metric)) == 4
    loss = "eval_memorisation_loss"  # rows that fill up the last batch do not count
    assert history(folder, loss) == pytest.approx(history(one, loss), rel=1e-5) and len(history(one, loss)) == 4
    assert {path.name for path in folder.glob("checkpoint-*")} == CHECKPOINTS
    assert printed.count("eval_memorisation at step 6") == 1 and printed.count("done: ") == 1

    import mlflow

    mlflow.set_tracking_uri(store_uri)
    found = mlflow.search_runs(experiment_names=["location"], output_format="list")
    (run,) = [run for run in found if run.data.tags["output_dir"] == str(folder)]
    assert run.info.status == "FINISHED"
    losses = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/loss")
    assert [point.value for point in losses][:STEPS] == pytest.approx(history(one, "loss"), abs=1e-5)


def test_ddp_config_trains_like_one_process(one, environment, store_uri):
    starts = [[*ACCELERATE, "--config_file", str(CONFIGS / "ddp.yaml"), "--main_process_port", "0", RUN]]
    same_as(one, *train("ddp", starts, environment, 4), store_uri)


TASKS = {registry.load(name).package.split(".")[1]: registry.load(name) for name in registry.names()}
"""Family -> one of its tasks."""


@pytest.mark.parametrize("family", TASKS)
def test_the_families_train_and_evaluate_like_one_process(family, environment):
    model = COMMON[COMMON.index("--hidden_size") :]
    argv = ["--task", TASKS[family].name, *flags(TASKS[family].small), *model]
    other = {"arc": "pass_at_2", "geography": "parse_rate", "in_context_rl": "return_last"}[family]
    argv += ["--metric_for_best_model", f"validation_{other}", "--greater_is_better", "true"]  # one example tells of it
    found = []
    for name, n_processes in (("cpu", 1), ("ddp", 2)):
        launcher = [*ACCELERATE, "--config_file", str(CONFIGS / f"{name}.yaml"), "--main_process_port", "0", RUN]
        folder = Path(environment["EXP_DIR_PREFIX"]) / "runs" / f"{family}-{name}"
        rows = ["--per_device_train_batch_size", str(8 // n_processes), "--output_dir", str(folder)]
        start([[*launcher, *argv, *rows]], environment)
        results = json.loads((folder / "results.json").read_text())
        found.append({n: v for n, v in results.items() if not n.endswith(TIMED) and not isinstance(v, str)})
        found.append(dict(enumerate(history(folder, "loss"))))
    for expected, value in zip(found[:2], found[2:], strict=True):
        # An evaluation's loss is the mean over batches, which are not the same when answers differ in length.
        tolerance = {name: 5e-3 if str(name).endswith("_loss") else 1e-5 for name in expected}
        assert {n: v for n, v in value.items() if abs(v - expected[n]) > tolerance[n] * max(1, abs(expected[n]))} == {}
        assert value.keys() == expected.keys()


def test_rows_that_do_not_divide_count_once_an_epoch(environment):
    argv = [*COMMON, "--n_cities", "60", "--max_steps", "16", "--eval_steps", "16"]  # the eighth step has four rows
    folders = []
    for name, rows in (("cpu", 8), ("ddp", 4)):
        launcher = [*ACCELERATE, "--config_file", str(CONFIGS / f"{name}.yaml"), "--main_process_port", "0", RUN]
        folders.append(Path(environment["EXP_DIR_PREFIX"]) / "runs" / f"uneven-{name}")
        size = ["--per_device_train_batch_size", str(rows), "--output_dir", str(folders[-1])]
        start([[*launcher, *argv, *size]], environment)
    alone, together = (history(folder, "loss") for folder in folders)
    assert len(alone) == 16 and together == pytest.approx(alone, abs=1e-5)
    expected, value = (load_file(folder / "checkpoint-16" / "model.safetensors") for folder in folders)
    assert all(torch.allclose(expected[name], value[name], atol=1e-5) for name in expected)


def test_torchrun_trains_like_one_process(one, environment, store_uri):
    same_as(
        one, *train("torchrun", [[*TORCHRUN, "--standalone", "--nproc_per_node", "2", RUN]], environment, 4), store_uri
    )


def test_two_hosts_that_meet_by_torchrun_train_like_one_process(one, environment, store_uri):
    meeting = ["--rdzv_backend", "c10d", "--rdzv_id", "meeting", "--rdzv_endpoint", f"127.0.0.1:{free_port()}"]
    starts = [[*TORCHRUN, "--nnodes", "2", "--nproc_per_node", "1", *meeting, RUN] for _ in range(2)]
    same_as(one, *train("hosts", starts, environment, 4), store_uri)


def test_multi_node_config_trains_like_one_process(one, environment, store_uri):
    nodes = [*ACCELERATE, "--config_file", str(CONFIGS / "multi_node.yaml"), "--num_processes", "2"]
    nodes += ["--main_process_ip", "127.0.0.1", "--main_process_port", free_port()]
    starts = [[*nodes, "--machine_rank", str(rank), RUN] for rank in range(2)]
    same_as(one, *train("nodes", starts, environment, 4), store_uri)


@pytest.fixture
def two_namespaces():
    """Two network namespaces with a cable between them: as near to two hosts as one machine comes."""
    first, second = (f"wm{os.getpid()}{letter}" for letter in "ab")
    commands = [
        *(f"ip netns add {name}" for name in (first, second)),
        f"ip link add cable netns {first} type veth peer name cable netns {second}",
        *(f"ip -n {name} addr add 10.99.0.{number}/24 dev cable" for number, name in ((1, first), (2, second))),
        *(f"ip -n {name} link set {device} up" for name in (first, second) for device in ("lo", "cable")),
    ]
    try:
        for command in commands:
            try:
                subprocess.run(command.split(), check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("network namespaces cannot be made here (needs root and iproute2)")
        yield first, second
    finally:
        for name in (first, second):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_two_network_namespaces_train_like_one_process(one, environment, store_uri, two_namespaces):
    meeting = shlex.split("--master_addr 10.99.0.1 --master_port 29501 --nnodes 2 --nproc_per_node 1")
    starts = [
        ["ip", "netns", "exec", name, *TORCHRUN, *meeting, "--node_rank", str(rank), RUN]
        for rank, name in enumerate(two_namespaces)
    ]
    variables = {**environment, "GLOO_SOCKET_IFNAME": "cable"}  # a real cluster's gloo may need its interface named too
    same_as(one, *train("namespaces", starts, variables, 4), store_uri)


EVALUATE = """
import json, os, sys
import torch
from accelerate import PartialState
from transformers import TrainingArguments
from pathlib import Path
from trainers import registry
from trainers.base import build_rows
from trainers.folders import dataset_folder
from trainers.models import generation

task, folder = registry.load("location"), Path(sys.argv[1])
data = dataset_folder.build_or_load(task, task.options(n_cities=48, n_val=41), folder)
args = TrainingArguments(str(folder), use_cpu=True, report_to="none", remove_unused_columns=False,
                         per_device_eval_batch_size=16, dataloader_pin_memory=False)
model = task.load("build_model")(task.model_options(hidden_size=16, num_hidden_layers=1, intermediate_size=16), data)
random = torch.Generator().manual_seed(0)
with torch.no_grad():
    for weight in model.parameters():
        weight.copy_(0.5 * torch.randn(weight.shape, generator=random))
trainer = task.load("trainer")(task, data, build_rows(task, data, model), model, args)
prompts, lean, seen = [], generation._fast, {}
def counting(*a):
    decode = lean(*a)
    return lambda ids: prompts.extend(ids.tolist()) or decode(ids)
generation._fast = counting
score = trainer.score
trainer.score = lambda rows, answers: seen.update(answers=answers) or score(rows, answers)
metrics = trainer.evaluate()
values = trainer.last.values.tolist()
rank = PartialState().process_index
km = metrics["eval_memorisation_haversine_km_mean"]
found = {"prompts": prompts, "answers": seen["answers"], "values": values, "km": km}
(folder / f"found-{rank}.json").write_text(json.dumps(found))
"""


def test_every_row_is_decoded_once_and_every_process_knows_all_answers(tmp_path, environment):
    script = tmp_path / "evaluate_it.py"
    script.write_text(EVALUATE)
    found = {}
    for processes in (1, 2, 3):
        folder = tmp_path / str(processes)
        folder.mkdir()
        start([[*TORCHRUN, "--standalone", "--nproc_per_node", str(processes), str(script), str(folder)]], environment)
        ranks = [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(processes)]
        assert all({**rank, "prompts": 0} == {**ranks[0], "prompts": 0} for rank in ranks)
        shares = [len(rank["prompts"]) for rank in ranks]
        assert sum(shares) == 41 and max(shares) - min(shares) <= 1
        found[processes] = ranks
    whole = found[1][0]
    assert len(whole["values"]) == 41 and len(set(whole["answers"])) > 5
    for ranks in found.values():
        assert sorted(prompt for rank in ranks for prompt in rank["prompts"]) == sorted(whole["prompts"])
        assert (ranks[0]["answers"], ranks[0]["values"], ranks[0]["km"]) == (
            whole["answers"],
            whole["values"],
            whole["km"],
        )


FSDP_ON_CPU = """
# accelerate keeps FSDP for accelerators, though PyTorch's FSDP2 runs on CPUs too: here it is let.
import sys
from accelerate import state
from accelerate.utils import DistributedType
import torch.distributed

before = state.AcceleratorState.__init__
def init(self, *args, fsdp_plugin=None, **kwargs):
    before(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    plugin = fsdp_plugin or self.__dict__.get("fsdp_plugin")
    if plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, plugin
state.AcceleratorState.__init__ = init

from trainers.models import causal_lm
from trainers.run import main

supported, asked = causal_lm.is_supported, set()
def spy(model):
    asked.add((type(model.model.layers[0]).__name__, supported(model)))
    return supported(model)
causal_lm.is_supported = spy
code = main()
print("asked:", sorted(asked))
sys.exit(code)
"""


def test_fsdp2_trains_like_one_process_by_transformers_own_pass(one, environment, store_uri, tmp_path):
    script = tmp_path / "fsdp_on_cpu.py"
    script.write_text(FSDP_ON_CPU)
    starts = [[*ACCELERATE, "--config_file", str(CONFIGS / "fsdp.yaml"), "--main_process_port", "0", str(script)]]
    folder, printed = train("fsdp", starts, environment, 4)
    same_as(one, folder, printed, store_uri)
    # The blocks are FSDP's, so that the short pass, which reads their weights itself, is not taken.
    assert printed.count("asked: [('FSDPQwen2DecoderLayer', False)]") == 2
    from transformers import AutoModelForCausalLM

    assert sum(weight.numel() for weight in AutoModelForCausalLM.from_pretrained(folder).parameters()) > 0


def files(folder):
    """Name -> bytes of a dataset folder, without the time at which it was made."""
    made = json.loads((folder / "metadata.json").read_text())["created"].encode()
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(made, b"")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_dataset_that_several_processes_ask_for_at_once_is_built_once(tmp_path, environment):
    argv = shlex.split("--task distance --n_cities 400 --n_train 50000 --n_val 1000 --n_test 1000")
    folders = []
    for name, processes in (("alone", 1), ("together", 4)):
        (tmp_path / name).mkdir()
        commands = [[sys.executable, "-m", "trainers", "dataset", *argv]] * processes
        printed = start(commands, {**environment, "EXP_DIR_PREFIX": str(tmp_path / name)})
        assert sum("dataset built" in text for text in printed) == 1
        assert len({text.strip().splitlines()[-1] for text in printed}) == 1
        inside = [path for path in (tmp_path / name / "datasets").iterdir() if path.is_dir()]
        assert len(inside) == 1, inside
        folders += inside
    alone, together = (files(folder) for folder in folders)
    assert alone.keys() == together.keys() and np.all([alone[name] == together[name] for name in alone])


def test_an_evaluation_on_two_processes_has_the_numbers_of_one(one, environment):
    folder = one.with_name("evaluated")
    shutil.copytree(one, folder)
    launcher = [*ACCELERATE, "--config_file", str(CONFIGS / "ddp.yaml"), "--main_process_port", "0"]
    start([[*launcher, "-m", "trainers", "evaluate", str(folder)]], environment)
    results = json.loads((folder / "results.json").read_text())
    found = json.loads((folder / "evaluations" / f"step-{results['kept_step']}" / "evaluation.json").read_text())[
        "metrics"
    ]
    tolerance = {name: 1e-5 if name.endswith("_loss") else 0 for name in found}
    assert found and {n for n, v in found.items() if abs(v - results[n]) > tolerance[n]} == set()
