"""Map of goals: what is measured at each, that it was held out, and what is refused."""

import csv

import numpy as np
import pytest

from tasks.in_context_rl import goal_map
from tests.helpers import assert_one_line
from trainers.commands import study
from trainers.folders.run_folder import RunFolder

from .test_runs import SMALL

SHARED = ", ".join(f"{name.removeprefix('--')}: {value}" for name, value in zip(SMALL[::2], SMALL[1::2], strict=True))
QUICK = f"{SHARED}, window: 20, keep: 10, max_steps: 1, eval_steps: 1, use_cpu: true"


def goal(row, column, optimum=10, last=5, regret=100):
    return {
        "row": row, "column": column, "optimum": optimum, "return_last": last, "regret": regret, "psrl_regret": 40
    }  # fmt: skip


def test_the_map_says_the_share_of_all_goals_and_the_worst_one():
    said = goal_map.say_map([goal(0, 0), goal(1, 1, optimum=30, last=27), goal(1, 0, optimum=10, last=10, regret=40)])
    assert "3 goals" in said and "84.0% of the optimum" in said and "0,0: 50.0%" in said
    assert "regret 80.0, posterior sampling 40.0" in said


def test_the_figure_has_every_value_at_its_place_means_of_several_and_no_others():
    rows = [goal(0, 1), goal(0, 1, last=10, regret=50), goal(2, 0, last=8)]
    share, regret = (axes.images[0].get_array() for axes in goal_map.map_figure(rows, "x").axes[:2])
    assert share.shape == (3, 3) and (share[0, 1], share[2, 0]) == (0.75, 0.8)
    assert (regret[0, 1], regret[2, 0]) == (75, 100)
    assert np.isfinite(share).sum() == np.isfinite(regret).sum() == 2


@pytest.mark.slow
def test_a_study_measures_every_goal_where_it_is_held_out(prefix, tmp_path, capsys, monkeypatch):
    optimal = lambda run, rows, rollouts: rows.tasks()[1]["optimal_return"].repeat(rollouts * 3).reshape(-1, rollouts, 3)  # noqa: E731, E501  # fmt: skip
    monkeypatch.setattr("tasks.in_context_rl.trained.act", optimal)
    runs = "".join(f"  f{n}: {{config: darkroom, {QUICK}, train_share: 0.667, test_fold: {n}}}\n" for n in range(3))
    (tmp_path / "x.yaml").write_text(f"report: goal_map\nseeds: [1]\nruns:\n{runs}")
    assert study.main(["--study", str(tmp_path / "x.yaml"), "--output_dir", str(prefix / "x")]) == 0
    assert "9 goals" in capsys.readouterr().out and (prefix / "x" / "goal_map.png").is_file()
    rows = list(csv.DictReader((prefix / "x" / "goal_map.csv").read_text().splitlines()))
    assert sorted((int(row["row"]), int(row["column"])) for row in rows) == [(r, c) for r in range(3) for c in range(3)]
    assert {row["regret"] for row in rows} == {"0.0"} and all(row["optimum"] == row["return_last"] for row in rows)
    for row in rows:  # nor is a history in which it has its reward
        data = RunFolder(prefix / "x" / f"{row['run']}-1").dataset
        assert f"goal {row['row']},{row['column']}" not in (data / "metadata.json").read_text().split('"test"')[0]


@pytest.mark.slow
def test_tasks_that_are_not_one_goal_have_no_map(prefix, tmp_path, capsys):
    (tmp_path / "x.yaml").write_text(
        f"report: goal_map\nseeds: [1]\nruns: {{a: {{config: darkroom_permuted, {QUICK}}}}}\n"
    )
    assert study.main(["--study", str(tmp_path / "x.yaml"), "--output_dir", str(prefix / "x")]) == 2
    assert_one_line(capsys.readouterr().err.splitlines(keepends=True)[-1], "goal", "darkroom_permuted")
