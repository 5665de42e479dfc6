"""Footprints where maps are difficult: the antimeridian and the poles."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.chips.footprints import footprints

ORIGIN = np.array([[0, 0]])


def test_no_window_gives_no_footprint() -> None:
    box = GeoBox((4, 4), Affine(1, 0, 0, 0, -1, 4), "EPSG:4326")
    assert footprints(box, np.zeros((0, 2), np.int64), 2).shape == (0,)


@pytest.mark.parametrize("west", [-180.0, 0.0, 170.0, 180.0, 350.0])
def test_longitudes_beyond_180_come_back_to_the_other_side(west: float) -> None:
    box = GeoBox((4, 4), Affine(2, 0, west, 0, -2, 4), "EPSG:4326")
    (shape,) = footprints(box, ORIGIN, 4)
    left = (west + 180.0) % 360.0 - 180.0
    assert shape.bounds == pytest.approx((left, -4.0, left + 8.0, 4.0))


def test_a_chip_over_the_antimeridian_has_two_parts() -> None:
    box = GeoBox((4, 4), Affine(2, 0, 176.0, 0, -2, 4), "EPSG:4326")
    (shape,) = footprints(box, ORIGIN, 4)
    assert sorted(part.bounds for part in shape.geoms) == [(-180.0, -4.0, -176.0, 4.0), (176.0, -4.0, 180.0, 4.0)]


def test_a_utm_chip_over_the_antimeridian_has_two_parts_of_its_size() -> None:
    box = GeoBox((100, 100), Affine(1000, 0, 100_000, 0, -1000, 100_000), "EPSG:32601")
    (shape,) = footprints(box, np.array([[0, 0]]), 100)
    assert len(shape.geoms) == 2 and shape.is_valid
    assert {round(part.bounds[0] if part.bounds[0] < 0 else part.bounds[2]) for part in shape.geoms} == {-180, 180}
    assert shape.area == pytest.approx(0.9 * 0.9, rel=0.02)


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3995", 90.0), ("EPSG:3031", -90.0)])
def test_a_chip_around_a_pole_holds_it(crs: str, pole: float) -> None:
    box = GeoBox((10, 10), Affine(100_000, 0, -500_000, 0, -100_000, 500_000), crs)
    (shape,) = footprints(box, ORIGIN, 10)
    assert shape.is_valid
    west, south, east, north = shape.bounds
    assert west == pytest.approx(-180) and east == pytest.approx(180)
    assert (north if pole > 0 else south) == pole
    for longitude in range(-175, 180, 10):
        assert shape.covers(shapely.Point(longitude, pole * 0.96))
        assert not shape.covers(shapely.Point(longitude, pole * 0.9))


def test_footprints_do_not_depend_on_one_another() -> None:
    box = GeoBox((40, 40), Affine(1, 0, 160.0, 0, -1, 20), "EPSG:4326")
    windows = np.array([[0, 0], [0, 15], [10, 25], [30, 30]])
    together = footprints(box, windows, 10)
    for window, shape in zip(windows, together, strict=True):
        assert shape.equals(footprints(box, window[None], 10)[0])


def test_rows_beyond_the_pole_end_at_the_pole() -> None:
    box = GeoBox((4, 4), Affine(1, 0, 0.0, 0, -1, 90), "EPSG:4326")
    (shape,) = footprints(box, np.array([[-2, 0]]), 4)
    assert shape.bounds == (0.0, 88.0, 4.0, 90.0)
