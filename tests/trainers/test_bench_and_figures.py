"""The bench's reading of a history, and figures at the edges of what they are given."""

import numpy as np
import pytest

from tasks.bench.time_to_quality import first_below, table
from trainers.callbacks.figures import summary_figure
from trainers.common.figures import save_figure
from trainers.contract import Evaluation, SummarySpec

NAME = "eval_memorisation_haversine_km_mean"
LOSS, ELAPSED = "eval_memorisation_loss", "eval_memorisation_elapsed_s"
TRIVIAL = {"eval_memorisation_baseline_haversine_km_mean": 10.0, "eval_memorisation_entropy_bound": 0.5}
HISTORY = [
    {"step": 0, LOSS: 3.0, NAME: 20_000.0, **TRIVIAL, ELAPSED: 1.0},
    {"step": 10, "loss": 1.0},
    {"step": 20, LOSS: 1.0, NAME: 400.0, **TRIVIAL, ELAPSED: 60.0},
    {"step": 40, LOSS: 0.9, NAME: 90.0, **TRIVIAL, ELAPSED: 99.0},
    {"step": 60, LOSS: 0.8, NAME: 410.0, **TRIVIAL, ELAPSED: 120.0},
]


@pytest.mark.parametrize(("threshold", "seconds"), [(500, 60.0), (100, 99.0), (90, None), (50, None)])
def test_the_first_evaluation_below_a_threshold(threshold, seconds):
    assert first_below(HISTORY, threshold) == seconds


def test_a_threshold_that_was_not_reached_is_said_to_be_so():
    result = {"seconds_to": {"500": 60.0, "100": 99.0, "50": None}, "last_km": 410.0, "last_s": 120.0, "steps": 60}
    line = table({"location": result}).splitlines()[1]
    assert line.split() == [
        "location",
        *["60", "s", "(1.00x)", "99", "s", "(1.00x)", "not", "reached", "410.0", "120", "60"],
    ]
    slower = {**result, "seconds_to": {"500": 150.0, "100": None, "50": 70.0}}
    line = table({"location": result, "slow": slower}).splitlines()[2]
    assert line.split()[1:9] == ["150", "s", "(2.50x)", "not", "reached", "70", "s", "410.0"]


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("values", [[], [0.0], [20_000.0] * 3, np.geomspace(0.1, 1e5, 50)], ids=len)
def test_a_summary_is_drawn_whatever_there_is(log, values, tmp_path):
    spec = SummarySpec("metric (km)", "value (km)", (1, 25_000) if log else (0, 1), {100: "100 km"}, log)
    evaluation = Evaluation(
        metrics={},
        samples={},
        values=values,
        figures={},
        entropy_bound=0.5,
        split="memorisation",
        baselines={"haversine_km_mean": {"": 10.0}},
    )
    for history in ([], HISTORY[:1], HISTORY):
        figure = summary_figure(history, evaluation, "haversine_km_mean", spec)
        save_figure(figure, tmp_path / "summary.png")
    assert (tmp_path / "summary.png").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["summary.png"]
    assert [line.get_label() for line in figure.axes[0].lines][2:] == ["least possible for memorisation"]
    points = figure.axes[1].lines[0].get_xydata()
    assert points[:, 0].tolist() == [0, 20, 40, 60] and points[2, 1] == (90 if log else 1)


def test_the_summary_keeps_the_curve_and_the_test_split_has_figures_of_its_own(prefix, monkeypatch):
    from trainers.run import main

    drawn = []
    monkeypatch.setattr("trainers.callbacks.figures.summary_figure", lambda _, new, *rest: drawn.append(new.split))
    argv = "--task distance --n_cities 30 --n_train 100 --n_val 10 --n_test 10 --hidden_size 16 --num_hidden_layers 1"
    argv += " --num_attention_heads 2 --max_steps 2 --eval_steps 1 --threads 1 --use_cpu --no_muon"
    assert main(argv.split()) == 0
    assert drawn == ["validation"] * 4  # steps 0, 1, 2, and the model that is kept
    names = {path.name for path in (prefix / "runs" / "distance-001").glob("*.png")}
    assert names == {"summary.png", "distances.png", "test_distances.png"}
