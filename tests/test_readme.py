"""The documents keep their promises: links lead somewhere, file maps are up to date, the first page is short."""

import re

import pytest

from tests.document_commands import DOCUMENTS
from tests.file_map import with_maps
from tests.helpers import ROOT


def name_of(document):
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document):
    links = [link for link in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if "files of" in path.read_text()], ids=name_of)
def test_file_maps_are_what_make_map_writes(document):
    text = document.read_text(encoding="utf-8")
    assert with_maps(text) == text


def test_the_first_page_is_short():
    assert (ROOT / "README.md").stat().st_size <= 10_000


def test_the_families_and_packages_have_a_page_of_their_own():
    pages = {name_of(path) for path in DOCUMENTS if path.name == "README.md"}
    families = {f"tasks/{path.parent.name}/README.md" for path in (ROOT / "tasks").glob("*/__init__.py")}
    assert {"README.md", "tasks/README.md", "trainers/README.md", "configs/README.md"} | families <= pages


def test_the_python_of_the_first_page_runs(prefix, monkeypatch):

    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
        if "prepare" in block
    )
    assert len(code.strip().splitlines()) <= 10
    small = (
        "use_cpu=True, hidden_size=16, num_hidden_layers=1, intermediate_size=16, threads=1, max_steps=4, eval_steps=2"
    )
    names: dict = {}
    exec(code.replace("max_steps=150", small), names)
    assert names["answers"]["prompt"].tolist() == ["loc(c_12)=", "loc(c_7)="] and len(names["every_answer"]) == 60
    assert names["curve"].index.tolist() == [0, 2, 4] and names["figure"].axes
    assert names["load_run"](names["run"].folder.path).results == names["run"].results
