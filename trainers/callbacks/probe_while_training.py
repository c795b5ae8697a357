"""Fit the task's probe at every evaluation."""

from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.base import WorldTrainer
from trainers.common import figures
from trainers.probes.probe import Probe
from trainers.probes.record import _title, console_line
from trainers.tracking.tracker import Tracker


class ProbeWhileTraining(TrainerCallback):
    """Fits a probe at every evaluation. Main process only."""

    def __init__(self, trainer: WorldTrainer, tracker: Tracker, probe: Probe) -> None:
        self.trainer, self.tracker, self.probe, self.step = trainer, tracker, probe, -1

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Probe once a step, however many splits are evaluated at it."""
        if state.global_step == self.step:
            return
        self.step = state.global_step
        reading = self.probe.read(self.trainer.unwrapped_model)
        tqdm.write(console_line(self.step, reading))
        self.tracker.metrics({f"probe_{self.probe.label}/{n}": v for n, v in reading.flat().items()}, self.step)
        path = Path(args.output_dir or ".") / "probe_map.png"
        figures.save_figure(reading.draw(_title(self.trainer.task.name, self.step)), path)
        self.tracker.file(path, "figures")
