"""Report `goal_map`: return in context by the place of the goal, each goal held out from the model that is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import figures
from trainers.common.files import write_csv
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.studies.parent import Children
from trainers.studies.study_file import read_seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("return_first", "return_last", "regret")


@dataclass
class GoalMap:
    """Return and regret of every goal of a room, of runs that hold different ones out."""

    rollouts: int = option(32, "rollouts per goal", least=1)

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train unfinished runs, let each act where it was not trained; write and track the map of the finished."""
        runs = children.train_seeds(read_seeded(path), folder)
        measured = [
            {"run": name, "seed": seed, **goal}
            for name, seeds in runs.items()
            for seed, run in seeds.items()
            for goal in goals_of(run, self.rollouts)
        ]
        write_csv(folder / "goal_map.csv", measured)
        figures.save_figure(map_figure(measured, path.stem), folder / "goal_map.png")
        children.tracker.table({name: [row[name] for row in measured] for name in measured[0]}, "goal_map.json")
        children.tracker.file(folder / "goal_map.png")
        print(f"\n{say_map(measured)}\nwritten: {folder / 'goal_map.csv'}, goal_map.png")


def goals_of(run: RunFolder, rollouts: int) -> list[dict[str, float]]:
    """Return place, optimum and `MEASURES` of every test goal of a run, means over rollouts; `psrl_…` of the yardstick.

    Raises:
        UserError: a task of the run is not one goal.
    """
    import numpy as np

    from tasks.in_context_rl.trained import act, shared_test_rows, task_scores

    rows = shared_test_rows([run])
    tasks, facts = rows.tasks()
    if getattr(rows.room, "n_goals", 0) != 1 or len(np.unique(tasks.moves_NA, axis=0)) > 1:
        raise UserError(f"{run.path}: a map of goals needs tasks of one goal each, and {run.marker['task']} has others")
    returns = {"": act(run, rows, rollouts), "psrl_": rows.yardsticks["psrl"]}
    scores = {of: task_scores(return_KRE, rows, *MEASURES) for of, return_KRE in returns.items()}
    return [
        {
            "row": int(goal) // rows.room.size,
            "column": int(goal) % rows.room.size,
            "optimum": float(facts["optimal_return"][place]),
            **{f"{of}{name}": float(of_K[place]) for of, named in scores.items() for name, of_K in named.items()},
        }
        for place, goal in enumerate(tasks.goals_NG[:, 0])
    ]


def say_map(measured: Sequence[Mapping[str, Any]]) -> str:
    """Return the shares of the optimum of all goals together and of the worst one, and the regrets, in words."""
    n = len(measured)
    goals = {(row["row"], row["column"]) for row in measured}
    share = sum(row["return_last"] for row in measured) / sum(row["optimum"] for row in measured)
    worst = min(measured, key=lambda row: row["return_last"] / row["optimum"])
    regret, of_psrl = (sum(row[name] for row in measured) / n for name in ("regret", "psrl_regret"))
    return (
        f"{len(goals)} goals, each held out from the run that is measured ({n} measurements):\n"
        f"last episodes {share:.1%} of the optimum; worst goal {worst['row']},{worst['column']}:"
        f" {worst['return_last'] / worst['optimum']:.1%}\nregret {regret:.1f}, posterior sampling {of_psrl:.1f}"
    )


def map_figure(measured: Sequence[Mapping[str, Any]], title: str) -> "Figure":
    """Draw the share of the optimum in the last episodes, and the regret, at each goal's place; means of several."""
    import numpy as np
    from matplotlib.figure import Figure

    size = 1 + max(max(row["row"], row["column"]) for row in measured)
    places = np.array([row["row"] * size + row["column"] for row in measured])
    columns = {name: np.array([row[name] for row in measured]) for name in ("return_last", "optimum", "regret")}
    counts = np.bincount(places, minlength=size**2)
    figure = Figure(figsize=(11, 5), dpi=110, layout="constrained")
    shown = (
        ("share of the optimum, last episodes", columns["return_last"] / columns["optimum"], ".2f", "summer_r"),
        ("regret", columns["regret"], ".0f", "YlOrRd"),
    )
    for axes, (label, values, form, colours) in zip(figure.subplots(1, 2), shown, strict=True):
        with np.errstate(invalid="ignore"):  # a goal that no run holds out has no value
            mean = (np.bincount(places, values, minlength=size**2) / counts).reshape(size, size)
        image = axes.imshow(mean, cmap=colours)
        for row, column in np.argwhere(np.isfinite(mean)):
            axes.text(column, row, format(mean[row, column], form), ha="center", va="center", color="black", fontsize=7)
        axes.set(title=f"{title}: {label}", xlabel="column of the goal", ylabel="row of the goal")
        figure.colorbar(image, ax=axes, shrink=0.8)
    return figure
