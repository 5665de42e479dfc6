"""Legends: colours, values, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.cubes import Legend, LegendEntry, legend_from_colours
from swath.cubes.legend import PALETTE, default_colour
from swath.errors import InputError


def test_names_get_values_and_colours_in_order() -> None:
    legend = Legend.of("forest", "water", first=1)
    assert legend.mapping() == {"forest": 1, "water": 2}
    assert [entry.colour for entry in legend] == list(PALETTE[:2])
    assert Legend.from_names({4: "a", 9: "b"}).values == (4, 9)
    assert legend_from_colours({"ice": "#FFFFFF", "sea": "#0000ff"}).entries[1] == LegendEntry(1, "sea", "#0000ff")
    assert LegendEntry(0, "x", "#0A10ff").rgb == (10, 16, 255)
    assert len(Legend(())) == 0


def test_default_colours_stay_distinct_far_beyond_the_palette() -> None:
    colours = [default_colour(index) for index in range(60)]
    assert len(set(colours)) == 60


@given(
    st.dictionaries(st.integers(-100, 255), st.text(min_size=1), max_size=20).filter(
        lambda names: len(set(names.values())) == len(names)
    )
)
@settings(deadline=None, max_examples=50)
def test_json_round_trip(names: dict[int, str]) -> None:
    legend = Legend.from_names(names)
    assert Legend.from_json(legend.to_json()) == legend


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"value": 1}]', '[{"value": "x", "name": "a", "colour": "#0"}]'])
def test_text_that_is_no_legend(text: str) -> None:
    with pytest.raises(InputError, match="is not a legend"):
        Legend.from_json(text)


def test_doubles_and_bad_colours() -> None:
    with pytest.raises(InputError, match="The name 'a' appears 2 times"):
        Legend.of("a", "a")
    with pytest.raises(InputError, match="The value '1' appears 2 times"):
        Legend((LegendEntry(1, "a", "#000000"), LegendEntry(1, "b", "#000000")))
    with pytest.raises(InputError, match="'a' has the colour 'green'"):
        legend_from_colours({"a": "green"})


def test_no_data_is_transparent_in_the_colour_table() -> None:
    table = Legend.of("a").colour_table(nodata=255)
    assert table[255] == (0, 0, 0, 0)
    assert table[0][3] == 255
    assert 0 in Legend.of("a").colour_table(nodata=0)
    assert Legend.of("a").colour_table(nodata=0)[0][3] == 255
