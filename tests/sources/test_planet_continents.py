"""Continents from polygons, and what happens between them."""

from __future__ import annotations

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from swath.sources.planet import CONTINENTS, locate
from swath.sources.planet.build import grid
from swath.sources.planet.continents import continents, fill_nearest, polygons

NUMBER = CONTINENTS.mapping()


@pytest.fixture(scope="module")
def half_degree() -> tuple[GeoBox, np.ndarray]:
    box = grid(0.5)
    return box, continents(locate("continent"), box, np.ones(box.shape, bool))


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "expected"),
    [
        ("Kansas", -98, 38, "North America"),
        ("Manaus", -60, -3, "South America"),
        ("French Guiana", -53, 4, "South America"),
        ("Paris", 2.3, 48.8, "Europe"),
        ("Siberia", 100, 62, "Europe"),
        ("east of the date line in Russia", -175, 66.5, "Europe"),
        ("Greenland", -40, 72, "Greenland"),
        ("Nunavut beside Greenland", -80, 80, "North America"),
        ("Java", 110.2, -7.2, "Asia"),
        ("Alice Springs", 133.8, -23.7, "Oceania"),
        ("Chad", 18, 15, "Africa"),
        ("the pole", 0.2, -89.8, "Antarctica"),
    ],
)
def test_places(
    half_degree: tuple[GeoBox, np.ndarray], place: str, longitude: float, latitude: float, expected: str
) -> None:
    labels = half_degree[1]
    assert labels[int((90 - latitude) * 2), int((longitude + 180) * 2)] == NUMBER[expected], place


def test_every_land_cell_has_a_continent_and_no_other(half_degree: tuple[GeoBox, np.ndarray]) -> None:
    box, everywhere = half_degree
    assert (everywhere > 0).all()
    is_land = np.random.default_rng(0).random(box.shape) < 0.1
    some = continents(locate("continent"), box, is_land)
    np.testing.assert_array_equal(some > 0, is_land)


def test_all_eight_are_there_and_open_sea_is_not_a_continent() -> None:
    table = polygons(locate("continent"))
    assert set(table["value"]) == set(range(1, 9))


def test_the_nearest_is_found_across_the_date_line() -> None:
    labels = np.zeros((18, 36), np.uint8)
    labels[9, 0], labels[9, 10] = 1, 2
    is_land = labels > 0
    is_land[9, 35] = True
    out = fill_nearest(labels, is_land)
    assert out[9, 35] == 1
    assert np.count_nonzero(out) == 3


def test_the_nearest_is_found_across_the_pole() -> None:
    labels = np.zeros((18, 36), np.uint8)
    labels[0, 18], labels[5, 0] = 1, 2  # the first lies beyond the pole from column 0, but nearer
    is_land = labels > 0
    is_land[0, 0] = True
    assert fill_nearest(labels, is_land)[0, 0] == 1


def test_nothing_to_fill_and_nothing_to_fill_from() -> None:
    none = np.zeros((2, 4), np.uint8)
    assert fill_nearest(none, np.ones((2, 4), bool)).sum() == 0
    assert fill_nearest(none + 3, np.zeros((2, 4), bool)).sum() == 0
    assert fill_nearest(none + 3, np.ones((2, 4), bool)).tolist() == (none + 3).tolist()
