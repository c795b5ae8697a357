"""A desk with copies of things that work, and what must be true of every refusal."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import assert_one_line, contents

CITIES = "name,latitude,longitude,country,population\nA,1,2,DE,5\nB,3,4,DE,6\nC,5,6,FR,7\n"


def cases():
    """A list, and a decorator that puts into it what breaks something, with the words that the answer must name."""
    prepared = []

    def case(names):
        def register(prepare):
            prepared.append(pytest.param(prepare, names.split(), id=prepare.__name__))
            return prepare

        return register

    return prepared, case


@dataclass
class Desk:
    """What a case may use: a folder to work in, the prefix in it, and copies of things that work."""

    tmp_path: Path
    prefix: Path
    tiny: list[str]
    good_dataset: Path
    finished_run: Path
    monkeypatch: pytest.MonkeyPatch

    def config(self, content: str | bytes) -> list[str]:
        (self.tmp_path / "my.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
        return ["--config", "my.yaml"]

    def csv(self, content: str | bytes) -> list[str]:
        (self.tmp_path / "my.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        return ["--task", "location", "--cities_csv", "my.csv"]

    def dataset(self) -> Path:
        return Path(shutil.copytree(self.good_dataset, self.tmp_path / "data"))

    def with_dataset(self) -> list[str]:
        rest = [token for token in self.tiny if token not in ("--n_cities", "40")]
        return [*rest, "--dataset", "data"]

    def run(self) -> Path:
        return Path(shutil.copytree(self.finished_run, self.prefix / "done"))


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def check(main, argv, names, desk, capsys):
    """Exit code 2, one line that names something, and nothing changed but for a complete dataset that may be there."""
    from trainers.runs import session

    def train(prepared):
        raise AssertionError("the run was not refused")

    desk.monkeypatch.setattr(session, "train", train)
    before = contents(desk.tmp_path)
    capsys.readouterr()
    assert main(argv) == 2
    assert_one_line(capsys.readouterr().err, *names)
    after = contents(desk.tmp_path)
    built = {path for path in (desk.prefix / "datasets").glob("[!.]*") if (path / "metadata.json").is_file()}
    for path in after.keys() - before.keys():
        whole = desk.tmp_path / path
        assert whole == desk.prefix / "datasets" or built & {whole, *whole.parents}, f"{path} was left behind"
    assert before.items() <= after.items()
