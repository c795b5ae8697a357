"""The command that looks up coordinates, and the notebook that does the same."""

import io
import os
from pathlib import Path

import pytest

import geo
from geo.coordinate_tool import main
from geo.coordinates import decode
from tests.helpers import assert_one_line

PARIS = "3182,2423   lat  48.85660  lon    2.35220  https://www.google.com/maps?q=48.85660,2.35220"
NOTEBOOK = Path(geo.__file__).parent / "coordinates.ipynb"


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    code = main(arguments)
    output = capsys.readouterr()
    return code, output.out.splitlines(), output.err


def test_encode(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, errors = run(["encode", "48.8566,2.3522"], capsys)
    assert (code, printed, errors) == (0, [PARIS.replace("   lat", "  lat")], "")


def test_encode_takes_southern_and_western_places(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(["encode", "-33.87,151.21", "-.5,-70", "48.8566, 2.3522"], capsys)
    assert code == 0
    assert [line.split()[0] for line in printed] == ["5780,979", "1919,1562", "3182,2423"]
    assert printed[0].endswith("q=-33.87000,151.21000")
    assert "lat  -0.50000  lon  -70.00000" in printed[1]


def test_decode_several(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(["decode", "1379,1958", "loc(c_12)=1379,1958", "0,0"], capsys)
    lat_deg, lon_deg = decode(1379, 1958)
    assert code == 0
    assert printed[0] == printed[1]
    assert printed[0].split() == [
        "1379,1958", "lat", f"{lat_deg:.5f}", "lon", f"{lon_deg:.5f}",
        f"https://www.google.com/maps?q={lat_deg:.5f},{lon_deg:.5f}",
    ]  # fmt: skip
    assert printed[2].endswith("?q=-90.00000,-180.00000")


def test_decode_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_bytes("\ufeff1,2\r\n\r\n  loc(c_5)=3,4  \r\n".encode())
    code, printed, _ = run(["decode", "--file", str(pairs)], capsys)
    assert code == 0
    assert [line.split()[0] for line in printed] == ["1,2", "3,4"]


def test_decode_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1,2\n3,4\n"))
    code, printed, _ = run(["decode", "--file", "-"], capsys)
    assert code == 0
    assert [line.split()[0] for line in printed] == ["1,2", "3,4"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["decode", "9999,1"], "'9999,1' x,y"),
        (["decode", "1,2", "1;2"], "'1;2' x,y"),
        (["decode", "-1,5"], "'-1,5' x,y"),
        (["decode", "dist(c_1,c_2)=1,2"], "'dist(c_1,c_2)=1,2' x,y"),
        (["decode", "loc(c_12)="], "'loc(c_12)=' x,y"),
        (["decode"], "X,Y --file"),
        (["decode", "1,2", "--file", "pairs.txt"], "X,Y --file"),
        (["decode", "--file", "nowhere.txt"], "nowhere.txt"),
        (["decode", "--file", "."], "directory"),
        (["decode", "--file", "wrong.txt"], "wrong.txt 3 'x,4' x,y"),
        (["decode", "--file", "empty.txt"], "empty.txt"),
        (["decode", "--file", "latin1.txt"], "latin1.txt UTF-8"),
        (["encode", "91,0"], "latitude 91"),
        (["encode", "-91,0"], "latitude -91"),
        (["encode", "0,-180.5"], "longitude -180.5"),
        (["encode", "nan,0"], "latitude nan"),
        (["encode", "48.8"], "'48.8' lat,lon"),
        (["encode", "1,2,3"], "'1,2,3' lat,lon"),
        (["encode", "here,there"], "'here,there' lat,lon"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    names: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.txt").write_text("1,2\n\nx,4\n")
    Path("empty.txt").write_text("\n \n")
    Path("latin1.txt").write_bytes(b"1,2 \xfc\n")
    code, printed, errors = run(arguments, capsys)
    assert (code, printed) == (2, [])
    assert_one_line(errors, *names.split())


@pytest.mark.parametrize("arguments", [[], ["place"], ["encode"], ["encode", "--nonsense", "1,2"]])
def test_wrong_commands_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "geo.coordinate_tool" in capsys.readouterr().err


def test_help_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["encode", "--help"])
    assert stopped.value.code == 0
    assert "LAT,LON" in capsys.readouterr().out


def test_the_notebook_is_stored_without_outputs() -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code_cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_cells)


@pytest.mark.slow
def test_the_notebook_runs_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    # The kernel is a process of its own; it must find the project even where that is not installed.
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parent.parent), prepend=os.pathsep)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "22.18514 -100.98912  https://www.google.com/maps?q=22.18514,-100.98912" in printed
    assert "9999,1" in printed
    assert "5780,979, whose corner is" in printed
    assert any("image/png" in output.get("data", {}) for output in outputs)
