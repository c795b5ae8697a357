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
from trainers.options import option
from trainers.studies.parent import Children
from trainers.studies.study_file import read_seeded

if TYPE_CHECKING:
    from tasks.in_context_rl.rows import HistoryRows
    from tasks.in_context_rl.trained import Acted


@dataclass
class Comparison:
    """Return in context of every model of the study, and what its actions cost."""

    rollouts: int = option(32, "rollouts of every model per test task", least=1)

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train unfinished runs, let every model act; write and track table and figure of the finished ones."""
        from tasks.in_context_rl.pace import say_yardsticks
        from tasks.in_context_rl.trained import act_all, shared_test_rows

        runs = {name: seeds for name, seeds in children.train_seeds(read_seeded(path), folder).items() if seeds}
        rows = shared_test_rows(run for seeds in runs.values() for run in seeds.values())
        by_model = act_all(runs, rows, self.rollouts)
        measured = summary(by_model)
        write_csv(folder / "compare.csv", measured)
        figures.save_figure(_figure(by_model, rows, path.stem), folder / "compare.png")
        children.tracker.table({name: [row[name] for row in measured] for name in measured[0]}, "compare.json")
        children.tracker.file(folder / "compare.png")
        print(f"\n{table(measured)}\n{say_yardsticks(rows)}\nwritten: {folder / 'compare.csv'}, compare.png")


def summary(by_model: "Mapping[str, Acted]") -> list[dict[str, Any]]:
    """Return one row per model: means over seeds with intervals, differences to the first model, costs, and ratios.

    A difference is of runs with the same seed. The interquartile mean is over the scores of all seeds and tasks; its
    interval is the stratified bootstrap's, as is that of the probabilities to be better than the first model.
    """
    first = next(iter(by_model.values()))
    return [
        {
            "model": name,
            "seeds": len(acted.metrics),
            "parameters": acted.parameters,
            **_means(acted, first),
            **_aggregates(acted, first),
            "speed_up": acted.speed_up,
            **_costs(acted, first),
        }
        for name, acted in by_model.items()
    ]


def _means(acted: "Acted", first: "Acted") -> dict[str, Any]:
    """Return means of metrics over seeds, and of their differences to the first model."""
    row: dict[str, Any] = {}
    for metric in next(iter(acted.metrics.values())):
        values, others = (_of_seeds(of, metric) for of in (acted, first))
        row |= interval_columns(metric, mean_interval(list(values.values())))
        difference = mean_interval([]) if acted is first else paired_interval(values, others)
        row |= interval_columns(f"{metric}_difference", difference)
    return row


def _aggregates(acted: "Acted", first: "Acted") -> dict[str, Any]:
    """Return what is of all seeds and tasks: interquartile mean, and chances to be better than the first model."""
    from tasks.in_context_rl.aggregate import (
        improvement_interval,
        interquartile_interval,
        interquartile_mean,
        probability_of_improvement,
    )

    found: dict[str, Any] = {
        "interquartile_mean": (interquartile_mean(acted.score_SK), interquartile_interval(acted.score_SK))
    }
    pairs = {"return": (acted.score_SK, first.score_SK), "regret": (-acted.regret_SK, -first.regret_SK)}
    for name, pair in pairs.items():
        chance = (probability_of_improvement(*pair), improvement_interval(*pair))
        found[f"better_{name}"] = (None, None) if acted is first else chance
    row: dict[str, Any] = {}
    for name, (value, ends) in found.items():
        stated = (len(acted.metrics), value, *(ends or (None, None)))
        row |= interval_columns(name, dict(zip(INTERVAL, stated, strict=True)))
    return row


def _costs(acted: "Acted", first: "Acted") -> dict[str, Any]:
    """Return what an action costs, and ratios to the first model."""
    row: dict[str, Any] = {"context": acted.context, "context_ratio": acted.context / first.context}
    for kind, flops in acted.flops.items():
        row[f"flops_{kind}"], row[f"flops_{kind}_ratio"] = flops, flops / first.flops[kind]
    row["us_per_action"] = 1e6 * median(acted.seconds)
    row["time_ratio"] = median(acted.seconds) / median(first.seconds)
    return row


def _of_seeds(acted: "Acted", metric: str) -> dict[int, float]:
    return {seed: measured[metric] for seed, measured in acted.metrics.items()}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as text, and below them differences to the first one; a ratio is to the first row."""
    shown = format_table([_shown(row) for row in rows], {"last 10": ".2f", "solved": ".0%"})
    differences = [
        say_difference("normalised return", row["model"], rows[0]["model"], difference, "+.3f")
        for row in rows
        if (difference := interval_of(row, "normalised_return_difference"))["95 % from"] is not None
    ]
    notes = [seeds_note(row["seeds"] for row in rows)]
    if rows[0]["interquartile_mean_from"] is not None:
        notes.append("IQM: interquartile mean of the normalised return over seeds and tasks, stratified bootstrap")
        notes.append(
            f"better: chance that a seed of the model has a higher return (less regret) than one of {rows[0]['model']},"
            " mean over tasks, a tie a half, stratified bootstrap"
        )
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
        "regret": interval_cell(interval_of(row, "regret"), ".1f"),
        "better: return": interval_cell(interval_of(row, "better_return"), ".2f"),
        "better: regret": interval_cell(interval_of(row, "better_regret"), ".2f"),
        "faster than source": "source never there" if row["speed_up"] is None else f"{row['speed_up']:.1f} x",
        "context (ratio)": f"{row['context']} ({row['context_ratio']:.2f})",
        "MFLOP cached": f"{row['flops_cached'] / 1e6:.2f} ({row['flops_cached_ratio']:.2f})",
        "recomputed": f"{row['flops_recomputed'] / 1e6:.2f} ({row['flops_recomputed_ratio']:.2f})",
        "us/action": f"{row['us_per_action']:.1f} ({row['time_ratio']:.2f})",
    }


def _figure(by_model: "Mapping[str, Acted]", rows: "HistoryRows", title: str) -> Any:
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
