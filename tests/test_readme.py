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
