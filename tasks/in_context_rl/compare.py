"""Report `comparison`: return in context of every model of a study in the test tasks, and the cost of its actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from trainers.common import figures
from trainers.common.files import write_csv
from trainers.common.intervals import (
    INTERVAL,
    interval_cell,
    interval_columns,
    interval_of,
    mean_interval,
    paired_interval,
    say_difference,
    seeds_note,
)
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.studies.parent import Children, SeedRuns
from trainers.studies.study_file import read_seeded

if TYPE_CHECKING:
    import numpy as np

    from tasks.in_context_rl.rows import HistoryRows

_ROUNDS = 5  # of the timing


@dataclass(frozen=True)
class Acted:
    """Results of acting in K test tasks with S seeds, R rollouts of E episodes each, and the cost of an action.

    Attributes:
        return_SKRE: returns. score_SK: normalised return of the last episodes, mean over rollouts.
        metrics: by seed. context: most vectors that the decoder sees.
        flops: see `cost.flops_per_action`. seconds: CPU time per action, several measurements.
        speed_up: see `pace.speed_up`.
    """

    return_SKRE: "np.ndarray"
    score_SK: "np.ndarray"
    metrics: Mapping[int, Mapping[str, float]]
    context: int
    parameters: int
    flops: dict[str, float]
    seconds: list[float]
    speed_up: float | None = None


@dataclass
class Comparison:
    """Return in context of every model of the study, and what its actions cost."""

    rollouts: int = option(32, "rollouts of every model per test task", least=1)

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train unfinished runs, let every model act; write and track table and figure of the finished ones."""
        from tasks.in_context_rl.pace import say_yardsticks

        runs = {name: seeds for name, seeds in children.train_seeds(read_seeded(path), folder).items() if seeds}
        rows = _test_rows([run for seeds in runs.values() for run in seeds.values()])
        by_model = _act(runs, rows, self.rollouts)
        measured = summary(by_model)
        write_csv(folder / "compare.csv", measured)
        figures.save_figure(_figure(by_model, rows, path.stem), folder / "compare.png")
        children.tracker.table({name: [row[name] for row in measured] for name in measured[0]}, "compare.json")
        children.tracker.file(folder / "compare.png")
        print(f"\n{table(measured)}\n{say_yardsticks(rows)}\nwritten: {folder / 'compare.csv'}, compare.png")


def summary(by_model: Mapping[str, Acted]) -> list[dict[str, Any]]:
    """Return one row per model: means over seeds with intervals, differences to the first model, costs, and ratios.

    A difference is of runs with the same seed. The interquartile mean is over the scores of all seeds and tasks; its
    interval is the stratified bootstrap's.
    """
    from tasks.in_context_rl.aggregate import interquartile_interval, interquartile_mean

    rows = []
    first = next(iter(by_model.values()))
    for name, acted in by_model.items():
        row: dict[str, Any] = {"model": name, "seeds": len(acted.metrics), "parameters": acted.parameters}
        for metric in next(iter(acted.metrics.values())):
            values, others = (_of_seeds(of, metric) for of in (acted, first))
            row |= interval_columns(metric, mean_interval(list(values.values())))
            difference = mean_interval([]) if acted is first else paired_interval(values, others)
            row |= interval_columns(f"{metric}_difference", difference)
        low, high = interquartile_interval(acted.score_SK) or (None, None)
        stated = (len(acted.metrics), interquartile_mean(acted.score_SK), low, high)
        row |= interval_columns("interquartile_mean", dict(zip(INTERVAL, stated, strict=True)))
        row["speed_up"] = acted.speed_up
        row["context"], row["context_ratio"] = acted.context, acted.context / first.context
        for kind, flops in acted.flops.items():
            row[f"flops_{kind}"], row[f"flops_{kind}_ratio"] = flops, flops / first.flops[kind]
        row["us_per_action"] = 1e6 * median(acted.seconds)
        row["time_ratio"] = median(acted.seconds) / median(first.seconds)
        rows.append(row)
    return rows


def _of_seeds(acted: Acted, metric: str) -> dict[int, float]:
    return {seed: measured[metric] for seed, measured in acted.metrics.items()}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as text, and below them differences to the first one; a ratio is to the first row."""
    shown = format_table([_shown(row) for row in rows], {"last 10": ".2f", "solved": ".0%", "regret": ".0f"})
    differences = [
        say_difference("normalised return", row["model"], rows[0]["model"], difference, "+.3f")
        for row in rows
        if (difference := interval_of(row, "normalised_return_difference"))["95 % from"] is not None
    ]
    notes = [seeds_note(row["seeds"] for row in rows)]
    if rows[0]["interquartile_mean_from"] is not None:
        notes.append("IQM: interquartile mean of the normalised return over seeds and tasks, stratified bootstrap")
    return "\n".join([shown, *notes, *differences])


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": row["model"],
        "n": row["seeds"],
        "last 10": row["return_last"],
        "of optimum": interval_cell(interval_of(row, "optimality"), ".1%"),
        "normalised": interval_cell(interval_of(row, "normalised_return"), ".3f"),
        "IQM": interval_cell(interval_of(row, "interquartile_mean"), ".3f"),
        "solved": row["success_rate"],
        "regret": row["regret"],
        "faster than source": "source never there" if row["speed_up"] is None else f"{row['speed_up']:.1f} x",
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


def _act(runs: Mapping[str, SeedRuns], rows: "HistoryRows", rollouts: int) -> dict[str, Acted]:
    """Let every model act in the test tasks, with the same seed of the draws."""
    import numpy as np
    import torch

    from tasks.in_context_rl.cost import flops_per_action, seconds_per_action
    from tasks.in_context_rl.metric import ReturnInContext, example_scores
    from tasks.in_context_rl.model import HistoryModel
    from tasks.in_context_rl.pace import speed_up
    from tasks.in_context_rl.rollout import rollout
    from tasks.in_context_rl.trainer import ROLLOUT_SEED

    models = {
        name: [HistoryModel.from_pretrained(run.path).eval() for run in seeds.values()] for name, seeds in runs.items()
    }
    tasks, facts = rows.tasks()
    repeated, episodes = tasks.repeated(rollouts), int(rows.options["eval_episodes"])
    random_N, optimal_N = (facts[f"{name}_return"].repeat(rollouts) for name in ("random", "optimal"))
    bounds = {"random": random_N.tolist(), "optimal": optimal_N.tolist()}
    seconds = seconds_per_action({name: of[0] for name, of in models.items()}, len(repeated), _ROUNDS)
    metric: Any = ReturnInContext()
    by_model = {}
    for name, of_seeds in models.items():
        returns = []
        for model, run in zip(of_seeds, runs[name].values(), strict=True):
            with torch.autocast(model.device.type, torch.bfloat16, enabled=run.settings["training"]["bf16"]):
                draws = torch.Generator().manual_seed(ROLLOUT_SEED)
                returns.append(rollout(model, rows.room, repeated, episodes, draws))
        scores = [example_scores(return_NE, random_N, optimal_N)[0]["normalised_return"] for return_NE in returns]
        measured = [metric.compute(predictions=return_NE.tolist(), **bounds) for return_NE in returns]
        return_SKRE = np.stack(returns).reshape(len(of_seeds), len(tasks), rollouts, episodes)
        by_model[name] = Acted(
            return_SKRE,
            np.stack(scores).reshape(len(of_seeds), len(tasks), rollouts).mean(axis=2),
            dict(zip(runs[name], measured, strict=True)),
            of_seeds[0].n_latents + of_seeds[0].schedule.window,
            of_seeds[0].num_parameters(),
            flops_per_action(of_seeds[0]),
            seconds[name],
            speed_up(return_SKRE.mean(axis=(0, 1, 2)), rows),
        )
    return by_model


def _figure(by_model: Mapping[str, Acted], rows: "HistoryRows", title: str) -> Any:
    """Draw the return by episode in context of every model, mean over tasks and rollouts, and performance profiles."""
    import numpy as np
    from matplotlib.figure import Figure

    from tasks.in_context_rl.figures import draw_profile, draw_references

    figure = Figure(figsize=(13, 4.6), dpi=110, layout="constrained")
    axes, profile_axes = figure.subplots(1, 2)
    colours = ("#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#97266d", "#234e52")
    thresholds_T = np.linspace(0, 1, 101)
    for colour, (name, acted) in zip(colours * len(by_model), by_model.items(), strict=False):
        of_seed_SE = acted.return_SKRE.mean(axis=(1, 2))
        label = f"{name} (sees {acted.context}; n = {len(of_seed_SE)})"
        figures.draw_seeds(
            axes, range(1, of_seed_SE.shape[1] + 1), of_seed_SE.tolist(), color=colour, lw=2.2, label=label
        )
        draw_profile(profile_axes, acted.score_SK, thresholds_T, colour, name)
    draw_references(axes, rows, int(rows.options["eval_episodes"]))
    axes.set(xlabel="episode in context", ylabel="return of an episode", title=f"{title}: tasks that were held out")
    axes.legend(frameon=False, fontsize=8)
    return figure
