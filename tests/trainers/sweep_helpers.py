"""Two sweeps as they are written down, and a launcher that only leaves what a run leaves."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

from tests.helpers import write_run
from trainers.tracking.mlflow_runs import PARENT_VARIABLE

GRID = """
config: location
flags: {n_cities: 40, lr_scheduler_kwargs: {num_decay_steps: 1}}
grid:
  learning_rate: [1e-3, 0.01, 1]
  hidden_size: [16, 32]
"""

SEARCH = """
task: location
search:
  learning_rate: {low: 1e-4, high: 1e-1, log: true}
  hidden_size: {choices: [16, 32]}
  seed: {low: 1, high: 9}
n_trials: 5
"""


class Launcher:
    """In the place of `subprocess`: leaves what a run leaves; its error is 100 times the learning rate.

    `codes` and `stops` say with which exit code, or by which exception, the n-th start ends.
    """

    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self, codes=None, stops=None, values=None):
        self.codes, self.stops, self.values = codes or {}, stops or {}, values or {}
        self.commands, self.parents = [], []

    def Popen(self, command, env, **kwargs):
        number = len(self.commands)
        self.commands.append(command)
        self.parents.append(env[PARENT_VARIABLE])
        flags = dict(token[2:].split("=", 1) for token in command if token.startswith("--") and "=" in token)
        folder = Path(flags["output_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        write_run(folder, command[2:])
        if number in self.stops:
            return SimpleNamespace(**self.stopped(self.stops[number]), terminate=lambda: None)
        value = self.values.get(number, 100 * float(flags["learning_rate"]))
        results = {"final_test_loss": 0, "final_test_haversine_km_mean": -1, "final_memorisation_loss": 0}
        results |= {"final_memorisation_baseline_haversine_km_mean": 0, "final_memorisation_haversine_km_mean": value}
        if number not in self.codes:
            (folder / "results.json").write_text(json.dumps(results))
        return SimpleNamespace(poll=lambda: self.codes.get(number, 0))

    @staticmethod
    def stopped(stop):
        def poll():
            raise stop

        return {"poll": poll, "wait": lambda limit_s: 0}

    def flags(self, name):
        return [token.partition("=")[2] for command in self.commands for token in command if f"--{name}=" in token]
