"""Prompts of one's own: the answers of the evaluations, what they mean, their forms, and what cannot be asked."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, load_from_disk

from geo.coordinates import decode
from tests.helpers import ROOT, assert_one_line, printed_elsewhere
from trainers import registry
from trainers.commands import predict
from trainers.folders.predictions import PredictionsFile
from trainers.folders.run_folder import RunFolder


@pytest.fixture
def asked(runs, capsys):
    """Answers to a command line, and to what is piped in, as JSONL gives them."""

    def ask(task, *argv):
        assert predict.main([str(runs[task]), *argv, "--format", "jsonl"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return ask


def kept(folder):
    """Every prediction of the last evaluations, by split."""
    files = [PredictionsFile(path) for path in (folder / "predictions").glob("*_examples.parquet")]
    return {file.facts["split"]: file.frame for file in files}


# --- the answers of the evaluations


@pytest.mark.parametrize("task", ["location", "random_walk"])
def test_answers_are_those_that_the_last_evaluation_kept(task, runs, asked, tmp_path):
    for _, frame in kept(runs[task]).items():
        frame[["prompt"]].to_csv(tmp_path / "prompts.csv", index=False)
        found = asked(task, "--file", str(tmp_path / "prompts.csv"))
        assert [answer["prompt"] for answer in found] == frame["prompt"].tolist()
        assert [answer["answer"] for answer in found] == frame["predicted"].tolist()


def test_what_datasets_has_cached_in_the_dataset_is_not_read(runs, asked):
    rows = load_from_disk(str(RunFolder(runs["location"]).dataset / "train"))
    cached = rows.map(lambda row: {"length": len(row["prompt"])}, remove_columns=rows.column_names)
    files = [Path(file["filename"]) for file in cached.cache_files]
    try:
        assert files[0].parent.name == "train" and len(asked("location", "loc(c_1)=")) == 1
    finally:
        for file in files:
            file.unlink()


def test_weights_of_a_checkpoint_answer_as_in_its_evaluation(runs, asked, capsys):
    from trainers.commands import evaluate

    folder = runs["location"]
    assert evaluate.main([str(folder), "--checkpoint", "2"]) == 0
    frame = PredictionsFile(folder / "evaluations" / "step-2" / "memorisation_examples.parquet").frame
    capsys.readouterr()  # what the evaluation printed
    found = asked("location", *frame["prompt"], "--checkpoint", "2")
    assert [answer["answer"] for answer in found] == frame["predicted"].tolist()


def arc_tasks(dataset, split):
    """Rows of a dataset in ARC's JSON, one task a row, with the outputs of the tests."""
    rows = Dataset.load_from_disk(str(dataset / split)).to_list()
    return {
        f"{row['task']}-{number}": {
            "train": [
                {"input": before, "output": after}
                for before, after in zip(row["context_inputs"], row["context_outputs"], strict=True)
            ],
            "test": [{"input": row["input"], "output": row["output"]}],
        }
        for number, row in enumerate(rows)
    }


def test_grids_are_those_that_the_last_evaluation_kept(runs, asked, tmp_path):
    folder = runs["arc"]
    for split, frame in kept(folder).items():
        tasks = arc_tasks(RunFolder(folder).dataset, split)
        (tmp_path / "tasks.json").write_text(json.dumps(tasks))
        found = asked("arc", "--file", str(tmp_path / "tasks.json"))
        assert [answer["task"] for answer in found] == list(tasks)
        for name, column in (("answer", "predicted"), ("answer_2", "predicted_2")):
            expected = [None if g is None else [list(map(int, line)) for line in g] for g in frame[column]]
            assert [answer[name] for answer in found] == expected
        assert [answer["right"] for answer in found] == frame["exact_match"].astype(bool).tolist()


@pytest.mark.slow
def test_neither_trainer_nor_mlflow_nor_metrics_are_imported(runs):
    code = (
        "import sys; from trainers.commands import predict;"
        f" assert predict.main([{str(runs['location'])!r}, 'loc(c_1)=']) == 0;"
        " print({'mlflow', 'evaluate', 'matplotlib', 'trainers.base', 'trainers.text'} & set(sys.modules))"
    )
    assert printed_elsewhere(code).splitlines()[-1] == "set()"


# --- what they mean


def test_a_place_is_given_in_degrees_and_as_a_link(runs):
    from tasks.geography.location.answers import explain

    lat_deg, lon_deg = decode([0, 1379, 6283], [0, 1958, 3141])
    dataset = RunFolder(runs["location"]).dataset
    answers = ["0,0", "1379,1958", "6283,3141", "6284,0", "01", ""]
    found = explain(["loc(c_1)="] * 6, answers, dataset)
    assert found["lat_deg"] == [*np.round(lat_deg, 5).tolist(), None, None, None]
    assert found["lon_deg"] == [*np.round(lon_deg, 5).tolist(), None, None, None]
    assert found["map"][1] == f"https://www.google.com/maps?q={lat_deg[1]:.5f},{lon_deg[1]:.5f}"
    assert found["map"][3:] == [None, None, None]


@pytest.mark.parametrize(
    ("task", "prompt", "answer", "meaning"),
    [("location", "loc(c_1)=13", "79,1958", "lat_deg"), ("distance", "dist(c_1,c_2)=7", "69", "km")],
)
def test_an_answer_that_the_prompt_begins_means_the_whole_of_it(task, prompt, answer, meaning, runs):
    explain = registry.load(task).load("explain")
    begun, whole = prompt.partition("=")[0] + "=", prompt.partition("=")[2] + answer
    dataset = RunFolder(runs["location"]).dataset
    (found,) = explain([prompt], [answer], dataset)[meaning]
    assert found is not None and [found] == explain([begun], [whole], dataset)[meaning]


def test_a_distance_is_in_km(runs):
    from tasks.geography.pair_answers import explain

    dataset = RunFolder(runs["location"]).dataset
    prompts = ["dist(c_0,c_1)=", "dist(c_0,c_40)=", *["dist(c_0,c_1)="] * 4]
    found = explain(prompts, ["0", "769", "20015", "20016", "07", "x"], dataset)
    assert found["km"] == [0, 769, 20015, None, None, None]
    assert found["note"] == [None, "no city c_40 in the dataset", None, None, None, None]


@pytest.mark.parametrize("task", ["location", "random_walk"])
def test_a_prompt_that_names_no_city_is_answered_with_a_note(task, runs, asked, capsys):
    prompts = {"location": "loc(c_{})=", "random_walk": "srd_3000=c_{}"}
    known, unknown = (prompts[task].format(number) for number in (7, 999_999))
    found = asked(task, known, unknown)
    assert [answer["note"] for answer in found] == [None, "no city c_999999 in the dataset"]
    assert predict.main([str(runs[task]), known, unknown]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "(no city c_999999 in the dataset)" in shown[1] and "no city" not in shown[0]


def test_a_step_is_legal_in_the_world_of_the_run(runs):
    from geo.cities import load_cities
    from geo.sphere import great_circle_km
    from tasks.geography.random_walk.answers import explain

    dataset = RunFolder(runs["random_walk"]).dataset
    rows = Dataset.load_from_disk(str(dataset / "train")).to_list()[:50]
    right = explain([row["prompt"] for row in rows], [row["answer"] for row in rows], dataset)["legal"]
    assert right == [[True] * row["answer"].count(",") for row in rows]
    cities = load_cities(dataset / "cities.csv", min_population=0)
    a, b = 0, 1
    km = float(great_circle_km(*(value[row] for row in (a, b) for value in (cities.lat_deg, cities.lon_deg))))
    near, far = f"srd_{int(km) + 1}=c_{cities.city_id[a]}", f"srd_{int(km)}=c_{cities.city_id[a]}"
    to, back = f",c_{cities.city_id[b]}", f",c_{cities.city_id[a]}"
    asked = [near, far, near + to, near, near, "srd_200", near]
    answers = [to, to, back, "", ",c_01", to, to + back]
    legal = explain(asked, answers, dataset)["legal"]
    assert legal == [[True], [False], [False], [], None, None, [True, False]]


# --- forms


def test_all_forms_hold_the_same_answers(runs, asked, capsys, tmp_path):
    prompts = ["loc(c_3)=", "loc(c_0)=", "loc(c_3)="]
    answers = asked("location", *prompts)
    folder = str(runs["location"])
    assert predict.main([folder, *prompts, "--format", "csv", "--output", str(tmp_path / "a.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["prompt"] for row in rows] == prompts and list(rows[0]) == list(answers[0])
    assert [row["answer"] for row in rows] == [answer["answer"] for answer in answers]
    assert [row["ended"] for row in rows] == [json.dumps(answer["ended"]) for answer in answers]
    capsys.readouterr()
    assert predict.main([folder, *prompts]) == 0
    lines = capsys.readouterr().out.splitlines()
    starts = [answer["prompt"] + answer["answer"] for answer in answers]
    assert len(lines) == 3 and all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


def test_a_line_says_what_is_known_and_what_is_wrong(runs):
    from trainers.runs.text_prediction import TextPredictor

    show = TextPredictor(RunFolder(runs["location"]), runs["location"]).text
    asked = {"prompt": "p=", "answer": "1", "ended": True}
    assert show({**asked, "km": 1, "legal": [True, False]}, False) == "p=1  km 1  legal yes no"
    assert show({**asked, "km": None}, False) == "p=1  cannot be read"
    assert show(asked, False) == "p=1"
    assert "cut off" in show({**asked, "ended": False, "km": None}, False)


def test_words_files_and_standard_input_are_one(runs, asked, monkeypatch, tmp_path):
    prompts = ["loc(c_3)=", "loc(c_10)="]
    (tmp_path / "a.txt").write_bytes("\ufeffloc(c_3)=\r\nloc(c_10)=".encode())
    (tmp_path / "a.csv").write_text('id,prompt\n1,"loc(c_3)="\n2,loc(c_10)=\n')
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(prompts) + "\n"))
    words, piped = asked("location", *prompts), asked("location")
    files = [asked("location", "--file", str(tmp_path / name)) for name in ("a.txt", "a.csv")]
    assert words == piped == files[0] == files[1] and [answer["prompt"] for answer in words] == prompts


def test_grids_are_digits_and_in_a_terminal_squares(runs):
    from tasks.arc.prediction import GridPredictor

    show = GridPredictor(RunFolder(runs["arc"]), runs["arc"]).text
    grids = {"input": [[1, 2], [3, 4], [5, 6]], "answer": [[7]], "answer_2": None}
    answer = {"task": "t", "test": 1, **grids, "right": True, "right_2": None}
    assert show(answer, False).splitlines()[2:5] == ["12      7                   no grid", "34", "56"]
    coloured = show(answer, True)
    assert coloured.count("\x1b[48;2;") == 7 and "\x1b[48;2;0;116;217m  \x1b[0m" in coloured


# --- what cannot be asked

GRID = [[0, 1], [1, 0]]
PAIR = {"input": GRID, "output": GRID}


@pytest.mark.parametrize(
    ("task", "argv", "piped", "names"),
    [
        ("location", ["loc(c_1)=", "Loc(c_1)="], "", ["prompt 2", "'L'"]),
        ("location", ["loc(c_1) ="], "", ["prompt 1", "' '"]),
        ("location", [], "loc(c_1)=\nloc(c_é)=\n", ["standard input", "line 2", "'é'"]),
        ("location", [], "loc(c_1)=\n\nloc(c_2)=\n", ["standard input", "line 2", "empty"]),
        ("location", [], "", ["standard input", "empty"]),
        ("location", ["l" * 31], "", ["32"]),
        ("location", ["--file", "nowhere.txt"], "", ["--file", "nowhere.txt"]),
        ("location", ["--file", "."], "", ["--file"]),
        ("location", ["--file", "a.json"], "", ["--file", "a.json", "JSON"]),
        ("location", ["loc(c_1)=", "--file", "a.txt"], "", ["--file", "a.txt"]),
        ("location", ["loc(c_1)=", "--checkpoint", "all"], "", ["--checkpoint all", "best, last"]),
        ("location", ["loc(c_1)=", "--checkpoint", "3"], "", ["--checkpoint 3"]),
        ("location", ["loc(c_1)=", "--format", "xml"], "", ["--format", "xml"]),
        ("location", ["loc(c_1)=", "--output", "no/such/folder"], "", ["--output", "no/such"]),
        ("location", ["loc(c_1)=", "--output", str(ROOT / "README.md")], "", ["--output", "exists"]),
        ("darkroom", ["up"], "", ["darkroom", "evaluate"]),
        ("arc", ["loc(c_1)="], "", ["--file", "JSON"]),
        ("arc", [], "loc(c_1)=", ["standard input", "JSON"]),
        ("arc", [], "[]", ["standard input", "train"]),
        ("arc", [], json.dumps({"train": [PAIR] * 2, "test": []}), ["standard input", "test"]),
        ("arc", [], json.dumps({"train": [PAIR], "test": [PAIR]}), ["1 demonstrations", "2"]),
        ("arc", [], json.dumps({"train": [PAIR] * 2, "test": [{"input": [[10]]}]}), ["colour 10"]),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(task, argv, piped, names, runs, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
    assert predict.main([str(runs[task]), *argv]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert_one_line(caught.err, *names)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"id,text\n1,loc(c_1)=\n", ["prompt", "id, text"]),
        (b"prompt\ndist(c_1,c_2)=\n", ["line 2", "quotes"]),
        (b"id,prompt\n1\n", ["line 2"]),
        (b"prompt\n", ["empty"]),
        (b"", ["prompt"]),
        (b'prompt\n"loc(c_1)=\n', ["no CSV behind line 1"]),
        (b"prompt\n\xff\n", ["UTF-8"]),
        (b"prompt\nloc(c_1)=\nloc(c_?)=\n", ["line 3", "'?'"]),
    ],
)
def test_a_csv_file_of_another_form_is_refused(content, names, runs, tmp_path, capsys):
    (tmp_path / "a.csv").write_bytes(content)
    assert predict.main([str(runs["location"]), "--file", str(tmp_path / "a.csv")]) == 2
    assert_one_line(capsys.readouterr().err, "--file", *names)


def test_grids_larger_than_those_of_the_training_are_answered_with_a_note(runs, monkeypatch, capsys):
    tests = [{"input": [[1] * 11]}, {"input": [[1]]}]  # as `evaluate --max_side 11` would score them
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"train": [PAIR] * 2, "test": tests})))
    assert predict.main([str(runs["arc"]), "--format", "jsonl"]) == 0
    caught = capsys.readouterr()
    assert caught.out.count("\n") == 2 and "1 of 2" in caught.err and "10" in caught.err


def test_no_prompts_and_no_pipe_are_refused_instead_of_waited_for(runs, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert predict.main([str(runs["location"])]) == 2
    assert_one_line(capsys.readouterr().err, "--file")


def test_an_answer_that_the_context_cuts_off_is_marked(asked):
    (answer,) = asked("location", "l" * 30)  # a context of 32 tokens: <bos>, 30 letters, one more
    assert len(answer["answer"]) <= 1 and answer["ended"] == (answer["answer"] == "")
