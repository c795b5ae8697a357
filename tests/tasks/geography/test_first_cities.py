"""The table of the first cities is that of the stages of `--grow`, and only such a table is written."""

from geo.cities import load_cities
from tasks.geography.city_probe import CityProbeOptions
from tasks.geography.first_cities import main
from tasks.geography.growing import growing_world, order_of_joining
from tests.helpers import assert_named, write_run
from trainers import registry
from trainers.folders import dataset_folder
from trainers.folders.run_folder import RunFolder
from trainers.probes.probe import Probe


def test_the_first_cities_are_those_of_the_rows_of_a_stage(finished_run, tmp_path, capfd):
    run, to = RunFolder(finished_run), tmp_path / "first.csv"
    assert main([str(finished_run), "--size", "15", "--to", str(to)]) == 0
    data = dataset_folder.load(run.dataset, "location", "dataset")
    found, all_cities = load_cities(to, min_population=0), load_cities(run.dataset / "cities.csv", min_population=0)
    assert set(found.city_id.tolist()) == set(all_cities.city_id[order_of_joining(all_cities)[:15]].tolist())
    world = growing_world(data, "train")
    asked = [int(prompt[6:-2]) for prompt in data.splits["train"]["prompt"]]
    assert {city for city, size in zip(asked, world.smallest_N, strict=True) if size <= 15} <= set(
        found.city_id.tolist()
    )
    probe: Probe = registry.load("location").load("probe")(
        CityProbeOptions(cities_csv=str(to)), registry.load("location"), data, 2
    )
    assert len(probe.prompts) == 15
    before = to.read_bytes()
    for size, file, flag in (("0", to, "--size"), ("100000", to, "--size"), ("5", to, "--to"), ("5", to / "a", "--to")):
        assert main([str(finished_run), "--size", size, "--to", str(file)]) == 2
        assert_named(capfd.readouterr().err, flag, size if flag == "--size" else str(file))
    assert to.read_bytes() == before


def test_a_world_that_does_not_grow_is_refused(tmp_path, capfd):
    write_run(tmp_path, ["--task", "random_walk"])
    assert main([str(tmp_path), "--size", "5", "--to", str(tmp_path / "first.csv")]) == 2
    assert_named(capfd.readouterr().err, str(tmp_path), "random_walk")
