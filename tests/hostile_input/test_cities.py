"""Whatever stands in a table of cities, the answer is one sentence and exit code 2."""

from hypothesis import given
from hypothesis import strategies as st

from .desk_helpers import DRY, as_bytes, many, told

GOOD_CSV = "id,name,latitude,longitude,country,population\n" + "".join(
    f"{i},city {i},{i * 7 % 170 - 85},{i * 31 % 350 - 175},DE,{i * 1000}\n" for i in range(40)
)

HEADER, *LINES = GOOD_CSV.splitlines()


def with_line(line):
    return "\n".join([HEADER, *LINES[:20], line, *LINES[20:]]) + "\n"


FIELDS = st.sampled_from(
    [
        "",
        "x",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "-91",
        "181",
        "90.0001",
        "0x10",
        "1,5",
        "--",
        "9" * 30,
        "9" * 5000,
        "½",
        "\0",
    ]
)

BAD_CSV = st.one_of(
    st.text(max_size=30).map(with_line),
    st.lists(FIELDS, max_size=12).map(lambda fields: with_line(",".join(fields))),
    st.tuples(FIELDS, st.integers(0, 3)).map(
        lambda drawn: with_line(",".join([*["99", "x", "1", "2"][: drawn[1]], drawn[0], *["x"] * (5 - drawn[1])]))
    ),
    st.sampled_from(LINES).map(with_line),  # an id twice
    st.sampled_from(["name", "latitude", "longitude", "country"]).map(lambda name: GOOD_CSV.replace(name, "other", 1)),
    st.sampled_from(["utf-16", "utf-32", "utf-16-le"]).map(GOOD_CSV.encode),
    st.sampled_from(['"', '""""', 'a"b', '"\n\n', "'", "\r", "\0", "﻿"]).map(
        lambda text: GOOD_CSV.replace("name", text)
    ),
    st.integers(0, len(HEADER)).map(lambda end: GOOD_CSV[:end]),
    st.binary(min_size=1, max_size=200),
    st.sampled_from(["", "\n", "﻿", "\0", "\0" * 1000, ",", ";" * 50, '"' * 999, HEADER, HEADER + "\n\n\n"]),
)

ANY_CSV = st.one_of(
    st.text().map(lambda text: HEADER + "\n" + text),
    st.text(alphabet='0123456789,;"\r\n\t .-abc\0', max_size=60).map(lambda text: HEADER + "\n" + text),
    st.lists(
        st.tuples(
            st.integers(0, 2**63),
            st.text(max_size=5),
            st.floats(-90, 90),
            st.floats(-180, 180),
            st.integers(-1, 2**63 - 1),
        ),
        min_size=1,
        max_size=6,
    ).map(lambda rows: HEADER + "\n" + "".join(f'{i},"{n}",{y},{x},DE,{p}\n' for i, n, y, x, p in rows)),
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=3).map(
        lambda rows: "name,latitude,longitude,country\n" + "".join(f"a,{y},{x},DE\n" for y, x in rows)
    ),
    st.sampled_from(["90,0\na,-90,0", "0,0\na,0,180", "1,1\na,1,1", "-90,-180", "0,0"]).map(
        lambda places: f"name,latitude,longitude,country\na,{places},DE\n".replace("\na,-90,0", ",DE\na,-90,0")
    ),
)


@many(40)
@given(content=BAD_CSV)
def test_bad_tables_of_cities(content, desk):
    told(desk, ["--task", "location", "--cities_csv", desk.put("my.csv", content), *DRY])


@many(30)
@given(
    content=ANY_CSV, task=st.sampled_from(["location", "distance", "random_walk", "atlantis_cross", "atlantis_inter"])
)
def test_tables_of_few_or_strange_cities(content, task, desk):
    flags = ["--n_train", "1"] if task != "location" else []
    told(desk, ["--task", task, *flags, "--cities_csv", desk.put("my.csv", as_bytes(content)), *DRY])


def test_a_good_table_of_cities_is_taken(desk):
    for content in (GOOD_CSV, "﻿" + GOOD_CSV, GOOD_CSV.replace(",", ";"), GOOD_CSV.replace("\n", "\r\n")):
        assert told(desk, ["--task", "location", "--cities_csv", desk.put("my.csv", content), *DRY]) == ""
