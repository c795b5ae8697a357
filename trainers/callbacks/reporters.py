"""Send figures and examples to TensorBoard or Weights & Biases, whose numbers transformers' own callbacks send."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.image import imread
from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from trainers.base import WorldTrainer
from trainers.common.tables import format_markdown, format_number
from trainers.folders.run_folder import RunFolder


class TensorBoard:
    """Writes beside the numbers, in the folder `tensorboard` of the run unless TENSORBOARD_LOGGING_DIR is set."""

    def __init__(self, trainer: WorldTrainer, run: RunFolder) -> None:
        callbacks = trainer.callback_handler.callbacks
        self.numbers = next(c for c in callbacks if isinstance(c, TensorBoardCallback))
        self.numbers.logging_dir = self.numbers.logging_dir or str(run.path / "tensorboard")

    def send(self, figures: Mapping[str, Path], title: str, table: Mapping[str, list[Any]], step: int) -> None:
        """Send the pictures and the table of one evaluation."""
        writer: Any = self.numbers.tb_writer
        for name, path in figures.items():
            writer.add_image(f"figures/{name}", imread(path)[..., :3], step, dataformats="HWC")
        rows = [dict(zip(table, map(format_number, row), strict=True)) for row in zip(*table.values(), strict=True)]
        writer.add_text(title, format_markdown(rows), step)
        writer.flush()

    def finish(self) -> None:
        """Close the files."""
        if self.numbers.tb_writer is not None:
            self.numbers.tb_writer.close()


class WeightsAndBiases:
    """Starts the run's record, named like its folder, before transformers' callback would start another."""

    def __init__(self, trainer: WorldTrainer, run: RunFolder) -> None:
        import wandb

        project = os.environ.get("WANDB_PROJECT", "world-models")
        self.wandb = wandb
        self.record = wandb.init(project=project, name=run.path.name, group=trainer.task.name, dir=str(run.path))

    def send(self, figures: Mapping[str, Path], title: str, table: Mapping[str, list[Any]], step: int) -> None:
        """Send the pictures and the table of one evaluation."""
        texts: Any = [list(map(str, values)) for values in zip(*table.values(), strict=True)]
        sent: dict[str, Any] = {f"figures/{name}": self.wandb.Image(str(path)) for name, path in figures.items()}
        sent[title] = self.wandb.Table(columns=list(table), data=texts)
        self.record.log({**sent, "train/global_step": step})

    def finish(self) -> None:
        """End the record: the next run in this process has its own."""
        self.record.finish()


_REPORTERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


class ReportEvaluations(TrainerCallback):
    """Send figures that were redrawn and examples at every evaluation. Main process only, after what draws."""

    def __init__(self, trainer: WorldTrainer, run: RunFolder) -> None:
        asked: Any = trainer.args.report_to
        self.trainer, self.run = trainer, run
        self.reporters = [kind(trainer, run) for name, kind in _REPORTERS.items() if name in asked]
        self.drawn_ns: dict[Path, int] = {}

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Send those of the newest evaluation."""
        evaluation = self.trainer.last
        drawn_ns = {path: path.stat().st_mtime_ns for path in self.run.figures} if self.reporters else {}
        new = {path.stem: path for path, time_ns in drawn_ns.items() if self.drawn_ns.get(path) != time_ns}
        self.drawn_ns = drawn_ns
        for reporter in self.reporters:
            reporter.send(new, f"examples/{evaluation.stage}_{evaluation.split}", evaluation.samples, evaluation.step)

    def finish(self) -> None:
        """End what the reporters have begun, after the last evaluation."""
        for reporter in self.reporters:
            reporter.finish()
