"""The interactive map: what is in the page, by reading it back as a browser would."""

import base64
import json
import re

import numpy as np
import pytest

from geo.cities import load_cities
from geo.continents import continents_of
from geo.maps.interactive import places_page
from geo.sphere import great_circle_km

CITIES = load_cities(n_cities=120)
TRUE_DEG = np.stack([CITIES.lat_deg, CITIES.lon_deg], axis=1)
PLACES_DEG = {0: np.full((120, 2), np.nan), 500: np.clip(TRUE_DEG + 5, -90, 90), 1000: TRUE_DEG}


@pytest.fixture(scope="module")
def page():
    return places_page(CITIES, PLACES_DEG, "sixty <cities>")


def numbers(array):
    """An array as plotly writes it."""
    return np.frombuffer(base64.b64decode(array["bdata"]), np.dtype(array["dtype"]).newbyteorder("<"))


def parts(page):
    """Traces, layout and frames of the figure."""
    text = page[page.rindex("Plotly.newPlot(") :]
    decoder, start = json.JSONDecoder(), text.index("[")
    traces, end = decoder.raw_decode(text[start:])
    layout, _ = decoder.raw_decode(text[start + end :].lstrip(", \n"))
    added = text[text.index("addFrames(") :]
    frames, _ = decoder.raw_decode(added[added.index("[") :])
    return traces, layout, frames


def test_every_step_has_every_city_in_its_continent_where_it_is_said_to_be(page):
    traces, layout, frames = parts(page)
    names = [trace["name"] for trace in traces if "name" in trace]
    assert set(names) == set(continents_of(CITIES.country))
    assert (
        [frame["name"] for frame in frames]
        == ["0", "500", "1,000"]
        == [s["label"] for s in layout["sliders"][0]["steps"]]
    )
    for frame, places_deg in zip(frames, PLACES_DEG.values(), strict=True):
        order = [row for name in names for row in np.flatnonzero(np.array(continents_of(CITIES.country)) == name)]
        lon, lat, km = (np.concatenate([numbers(dots[n]) for dots in frame["data"]]) for n in ("x", "y", "customdata"))
        np.testing.assert_allclose(np.stack([lat, lon], axis=1), places_deg[order], atol=1e-4)
        expected = great_circle_km(*TRUE_DEG[order].T, *places_deg[order].T)
        np.testing.assert_allclose(km, expected, rtol=1e-4, atol=1e-3)
        assert [traces[place]["name"] for place in frame["traces"]] == names


def test_the_pointer_finds_name_country_and_true_place(page):
    traces, *_ = parts(page)
    texts = [text for trace in traces if "name" in trace for text in trace["text"]]
    assert len(texts) == 120 and all(
        re.search(r"<b>.+</b>, [A-Z]{2} \(c_\d+\)<br>true: latitude", text) for text in texts
    )


def test_the_page_needs_no_network(page):
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page) and "Plotly.newPlot" in page
    assert "scattergeo" not in json.dumps(parts(page)[0])  # its coasts would come from a server


def test_the_heading_says_how_far_off_and_how_many_are_missing(page):
    _, layout, frames = parts(page)
    assert "120 without a place are left out" in frames[0]["layout"]["title"]["text"]
    assert "mean 0 km off" in layout["title"]["text"]
