"""Report `comparison`: return in context of every model of a study in the test tasks, and the cost of its actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from trainers.common import figures
from trainers.common.files import write_csv
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.studies.child_runs import seeds_note, train_all
from trainers.studies.study_file import read_seeded

if TYPE_CHECKING:
    import numpy as np

    from tasks.in_context_rl.rows import HistoryRows

_ROUNDS = 5  # of the timing


@dataclass(frozen=True)
class Acted:
    """Results of acting in K test tasks with S seeds, R rollouts of E episodes each, and the cost of an action.

    Attributes:
        return_SKRE: returns. metrics: of every seed. context: most vectors that the decoder sees.
        flops: see `cost.flops_per_action`. seconds: CPU time per action, several measurements.
    """

    return_SKRE: "np.ndarray"
    metrics: list[dict[str, float]]
    context: int
    parameters: int
    flops: dict[str, float]
    seconds: list[float]


@dataclass
class Comparison:
    """Return in context of every model of the study, and what its actions cost."""

    rollouts: int = option(32, "rollouts of every model per test task", least=1)

    def run(self, path: Path, folder: Path) -> None:
        """Train unfinished runs, let every model act; write table and figure."""
        runs = train_all(read_seeded(path), folder)
        rows = _test_rows([run for seeds in runs.values() for run in seeds])
        by_model = _act(runs, rows, self.rollouts)
        measured = summary(by_model)
        write_csv(folder / "compare.csv", measured)
        figures.save_figure(_figure(by_model, rows, path.stem), folder / "compare.png")
        print(f"\n{table(measured)}\nwritten: {folder / 'compare.csv'}, compare.png")


def summary(by_model: Mapping[str, Acted]) -> list[dict[str, Any]]:
    """Return one row per model: means over seeds, half of the spread between them, costs, and ratios to the first."""
    rows = []
    first = next(iter(by_model.values()))
    for name, acted in by_model.items():
        row: dict[str, Any] = {"model": name, "seeds": len(acted.metrics), "parameters": acted.parameters}
        for metric in acted.metrics[0]:
            values = [measured[metric] for measured in acted.metrics]
            row[metric], row[f"{metric}_spread"] = fmean(values), (max(values) - min(values)) / 2
        row["context"], row["context_ratio"] = acted.context, acted.context / first.context
        for kind, flops in acted.flops.items():
            row[f"flops_{kind}"], row[f"flops_{kind}_ratio"] = flops, flops / first.flops[kind]
        row["us_per_action"] = 1e6 * median(acted.seconds)
        row["time_ratio"] = median(acted.seconds) / median(first.seconds)
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as text; a ratio is to the first row."""
    shown = format_table([_shown(row) for row in rows], {"last 10": ".2f", "normalised": ".3f", "solved": ".0%"})
    return f"{shown}\n{seeds_note(rows[0]['seeds'])}"


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    spread = f" ±{100 * row['optimality_spread']:.1f}" if row["seeds"] > 1 else ""
    return {
        "model": row["model"],
        "last 10": row["return_last"],
        "of optimum": f"{row['optimality']:.1%}{spread}",
        "normalised": row["normalised_return"],
        "solved": row["success_rate"],
        "context (ratio)": f"{row['context']} ({row['context_ratio']:.2f})",
        "MFLOP cached": f"{row['flops_cached'] / 1e6:.2f} ({row['flops_cached_ratio']:.2f})",
        "recomputed": f"{row['flops_recomputed'] / 1e6:.2f} ({row['flops_recomputed_ratio']:.2f})",
        "us/action": f"{row['us_per_action']:.1f} ({row['time_ratio']:.2f})",
    }


def _test_rows(runs: Sequence[RunFolder]) -> "HistoryRows":
    """Return the test split of the dataset that all runs were trained on.

    Raises:
        UserError: they were not trained on one dataset, it has no test split, or it holds no histories.
    """
    from tasks.in_context_rl.model import HistoryConfig
    from tasks.in_context_rl.rows import rows_of
    from trainers.folders import dataset_folder

    folders = sorted({str(run.dataset) for run in runs})
    if len(folders) > 1:
        raise UserError(f"the runs of the study were trained on different datasets: {', '.join(folders)}")
    data = dataset_folder.load(Path(folders[0]), runs[0].marker["task"])
    if "room" not in data.metadata or "test" not in data.splits:
        raise UserError(f"the dataset {data.path} has no test tasks to act in; give a --train_share below 1")
    return rows_of(data, "test", HistoryConfig.from_pretrained(runs[0].path))


def _act(runs: Mapping[str, Sequence[RunFolder]], rows: "HistoryRows", rollouts: int) -> dict[str, Acted]:
    """Let every model act in the test tasks, with the same seed of the draws."""
    import numpy as np
    import torch

    from tasks.in_context_rl.cost import flops_per_action, seconds_per_action
    from tasks.in_context_rl.metric import ReturnInContext
    from tasks.in_context_rl.model import HistoryModel
    from tasks.in_context_rl.rollout import rollout
    from tasks.in_context_rl.trainer import ROLLOUT_SEED

    models = {name: [HistoryModel.from_pretrained(run.path).eval() for run in seeds] for name, seeds in runs.items()}
    tasks, facts = rows.tasks()
    repeated, episodes = tasks.repeated(rollouts), int(rows.options["eval_episodes"])
    bounds = {name: facts[f"{name}_return"].repeat(rollouts).tolist() for name in ("random", "optimal")}
    seconds = seconds_per_action({name: seeds[0] for name, seeds in models.items()}, len(repeated), _ROUNDS)
    metric: Any = ReturnInContext()
    by_model = {}
    for name, seeds in models.items():
        returns = [
            rollout(model, rows.room, repeated, episodes, torch.Generator().manual_seed(ROLLOUT_SEED))
            for model in seeds
        ]
        by_model[name] = Acted(
            np.stack(returns).reshape(len(seeds), len(tasks), rollouts, episodes),
            [metric.compute(predictions=part.tolist(), **bounds) for part in returns],
            seeds[0].n_latents + seeds[0].schedule.window,
            seeds[0].num_parameters(),
            flops_per_action(seeds[0]),
            seconds[name],
        )
    return by_model


def _figure(by_model: Mapping[str, Acted], rows: "HistoryRows", title: str) -> Any:
    """Draw the return by episode in context of every model, mean over seeds, tasks and rollouts."""
    from matplotlib.figure import Figure

    from tasks.in_context_rl.figures import draw_references

    _, facts = rows.tasks()
    figure = Figure(figsize=(8, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    colours = ("#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#97266d", "#234e52")
    for colour, (name, acted) in zip(colours * len(by_model), by_model.items(), strict=False):
        of_seed_SE = acted.return_SKRE.mean(axis=(1, 2))
        episode_E = range(1, of_seed_SE.shape[1] + 1)
        axes.plot(episode_E, of_seed_SE.T, color=colour, lw=0.8, alpha=0.4)
        axes.plot(episode_E, of_seed_SE.mean(axis=0), color=colour, lw=2.2, label=f"{name} (sees {acted.context})")
    draw_references(axes, rows.returns().mean(axis=0), facts, int(rows.options["eval_episodes"]))
    axes.set(xlabel="episode in context", ylabel="return of an episode", title=f"{title}: tasks that were held out")
    axes.legend(frameon=False, fontsize=8)
    return figure
