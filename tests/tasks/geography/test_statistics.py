"""The command that counts neighbours: what it prints, where it writes, what it leaves alone."""

import pytest

from tasks.geography.statistics import main
from tests.helpers import assert_one_line

GOOD_CSV = "name,latitude,longitude,country\nEast,0,179.5,FJ\nWest,0,-179.5,FJ\nNorth,60,0,NO\nFar,60,2,NO\n"


@pytest.fixture(autouse=True)
def drawing(prefix, monkeypatch):
    """Figures are drawn here."""
    monkeypatch.setattr("trainers.common.figures.save_figure", lambda figure, path: figure.savefig(path, dpi=30))


def test_command_prints_both_metrics_and_draws(prefix, capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert ["great_circle", "flat"] in lines
    assert ["mean", "22.54", "20.71"] in lines
    assert ["max", "130.00", "118.00"] in lines
    assert ["20", "or", "more", "38.86%", "35.59%"] in lines
    assert ["most", "connected", "Kofu", "Kofu"] in lines
    assert "not a distance on the sphere" in printed
    assert (prefix / "figures" / "neighbours" / "neighbours.png").read_bytes().startswith(b"\x89PNG")


def test_command_takes_a_file_and_a_radius_and_writes_anew(prefix, tmp_path, capsys):
    (tmp_path / "cities.csv").write_text(GOOD_CSV)
    for _ in range(2):
        flags = ["--radius_km", "112", "--output_dir", str(prefix / "near")]
        assert main(["--cities_csv", str(tmp_path / "cities.csv"), *flags]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith("Neighbours within 112 km, 4 cities\n")
        assert ["mean", "1.00", "0.00"] in [line.split() for line in printed.splitlines()]
    assert {path.name for path in (prefix / "near").iterdir()} == {"neighbours.json", "neighbours.png"}


def test_what_is_not_its_own_is_left_alone(prefix, tmp_path, capsys):
    (tmp_path / "cities.csv").write_text(GOOD_CSV)
    (prefix / "mine").mkdir()
    (prefix / "mine" / "neighbours.png").write_text("mine")
    for folder in (prefix / "mine", prefix / "mine" / "neighbours.png", tmp_path / "elsewhere"):
        assert main(["--cities_csv", str(tmp_path / "cities.csv"), "--output_dir", str(folder)]) == 2
        assert_one_line(capsys.readouterr().err, "--output_dir", folder)
    assert (prefix / "mine" / "neighbours.png").read_text() == "mine" and not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--cities_csv", "nowhere.csv"], "nowhere.csv"),
        (["--radius_km", "-5"], "--radius_km -5.0"),
        (["--out", "x.png"], "out output_dir"),
    ],
)
def test_wrong_input_is_answered_in_one_sentence(arguments, names, prefix, capsys):
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert_one_line(output.err, *names.split())
