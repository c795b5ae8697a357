"""The tour: stored with what a real run showed, small, and it runs."""

import os

import nbclient
import nbformat
import pytest

from tests.helpers import ROOT

NOTEBOOK = ROOT / "tasks" / "tour.ipynb"


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def printed(notebook):
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def pictures(notebook):
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


def test_the_tour_is_stored_with_its_outputs_and_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # run once, from top to bottom
    assert pictures(notebook) == 3 and NOTEBOOK.stat().st_size < 400_000
    assert "tour-001 FINISHED" in printed(notebook)
    assert not any(output.get("name") == "stderr" for output in outputs(notebook))
    text = printed(notebook)
    assert "R² of latitude" in text and "95 % interval over cities" in text
    assert not any(word.startswith(("/", "~")) for word in printed(notebook).split())  # no machine's own paths


@pytest.mark.slow
def test_the_tour_runs_from_any_folder(prefix, tmp_path, monkeypatch):
    # The kernel is a process of its own; it must find the project even where that is not installed.
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parent.parent), prepend=os.pathsep)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "tour-001 FINISHED" in printed(notebook) and pictures(notebook) == 3
    assert "<bos>loc(c_28)=5242,2200<eos>\n               ^^^^^^^^^^^^^^" in printed(notebook)
    assert (prefix / "runs" / "tour-001" / "summary.png").is_file()
