"""The divergence study: normalised improvement by hand, the table over seeds, and a tiny study from nothing."""

import pytest
import yaml

from tasks.geography.divergence_report import divergence_figure, measure, table
from tests.helpers import refusal
from trainers.folders.run_folder import RunFolder
from trainers.run import main
from trainers.studies.child_processes import ChildOptions
from trainers.studies.study import report_options, run_study

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
WORLD = {"n_cities": 40, "n_train": 90, "n_val": 10, "n_test": 20, "max_steps": 2, "eval_steps": 2, "use_cpu": True}
TAUGHT = {**SIZES, **WORLD, "n_atlantis": 10, "regions": "35,-35"}


def row(run, seed, asked, improvement, taught=False, real_ratio=2.0):
    return {
        **{"run": run, "seed": seed, "asked": asked, "taught": taught, "share": 0.0},
        **{"improvement": improvement, "real_ratio": real_ratio},
    }


def test_the_table_marks_what_was_taught_and_means_the_others_over_seeds():
    rows = [
        row("angle", seed, asked, value + 0.1 * seed, asked == "angle")
        for seed in (1, 2)
        for asked, value in {"angle": 0.8, "compass": 0.1, "inside": 0.3}.items()
    ]
    text = table(rows)
    line = next(line for line in text.splitlines() if line.startswith("angle"))
    assert "0.95 [0.31, 1.59]*" in line and "0.35 [-0.29, 0.99]" in line and "2.00 [2.00, 2.00]" in line
    assert "means over n seeds, 2 at most" in text
    assert "one run of every model" in table([row("angle", None, "angle", 1.0, taught=True)])


def test_the_figure_has_a_row_for_every_run_and_a_column_for_every_question():
    axes = divergence_figure([row(run, 1, asked, 0.5) for run in ("a", "b") for asked in ("x", "y", "z")]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"]
    assert len(axes.texts) == 6


@pytest.fixture
def base(prefix):
    argv = [f"--{name}={value}" for name, value in {**SIZES, **WORLD}.items()]
    assert main(["--task", "distance,angle", *argv, "--output_dir", str(prefix / "base")]) == 0
    return RunFolder(prefix / "base")


def fine_tuned(base, name, **flags):
    argv = [f"--{key}={value}" for key, value in {**TAUGHT, **flags}.items()]
    folder = base.path.with_name(name)
    assert main([*argv, "--init_from", str(base.path), "--output_dir", str(folder)]) == 0
    return RunFolder(folder)


def test_a_run_is_measured_before_and_after_on_new_and_real_cities(base):
    run = fine_tuned(base, "run", task="atlantis_cross,angle", mix="0:1", real_ratio=0.2, learning_rate=1e-9)
    rows = {row["asked"]: row for row in measure("angle", 1, run, base)}
    assert {asked: (row["taught"], row["share"]) for asked, row in rows.items()} == {
        "distance": (False, 0.0),
        "angle": (True, 1.0),
    }
    for name, metric in {"distance": "distance_abs_error_km_mean", "angle": "angle_abs_error_mean"}.items():
        assert rows[name]["real"] == base.results[f"final_test_{metric}"]
        assert rows[name]["real_after"] == pytest.approx(rows[name]["real"])  # nothing was learnt at this rate
        assert rows[name]["before"] == pytest.approx(rows[name]["after"])


def test_a_base_that_does_not_know_a_question_is_refused_before_any_training(base, tmp_path, prefix):
    path = tmp_path / "few.yaml"
    flags = {"config": "questions_small", **TAUGHT, "task": "angle,compass"}
    path.write_text(yaml.safe_dump({"report": "divergence", "base": flags, "runs": {"compass": flags}}))
    options = report_options(str(path))(base=str(base.path))
    with refusal(str(base.path), "compass", "give another base"):
        run_study(str(path), str(prefix / "study"), ChildOptions(), options)
    assert not (prefix / "study" / "compass").exists()


@pytest.mark.slow
def test_a_study_trains_its_base_and_its_runs_from_it(prefix, tmp_path, capsys):
    flags = {"config": "questions_small", **TAUGHT, "task": "atlantis_cross,angle"}
    study = {
        "report": "divergence",
        "base": {"config": "questions_small", **SIZES, **WORLD, "task": "distance,angle"},
        "runs": {"distance": {**flags, "mix": "1:0"}, "angle": {**flags, "mix": "0:1"}},
    }
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(study))
    for _ in range(2):
        run_study(str(path), str(prefix / "study"), ChildOptions(), report_options(str(path))())
        assert "taught by" in capsys.readouterr().out
    assert {"divergence.csv", "divergence.txt", "divergence.png"} <= {of.name for of in (prefix / "study").iterdir()}
