"""Zones, windows and cells; longitude and latitude; grids that are no windows."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath.errors import InputError
from swath.sources.world.frame import GSD_LADDER, NORTH_POLE, SOUTH_POLE, Window, Zone, window_of, zone_at


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (11.5, 48.1, 32632),
        (-180.0, 1.0, 32601),
        (180.0, 1.0, 32601),
        (179.999, 1.0, 32660),
        (-179.999, -16.0, 32701),
        (181.0, 1.0, 32601),
        (0.0, 0.0, 32631),
        (0.0, -0.0001, 32731),
        (5.0, 60.0, 32632),
        (2.9, 60.0, 32631),
        (10.0, 78.0, 32633),
        (8.9, 78.0, 32631),
        (41.9, 78.0, 32637),
        (42.0, 78.0, 32638),
        (5.0, 84.0, NORTH_POLE),
        (5.0, -80.0, 32731),
        (5.0, -80.01, SOUTH_POLE),
        (77.0, 90.0, NORTH_POLE),
    ],
)
def test_zone_of_a_place(lon: float, lat: float, epsg: int) -> None:
    assert zone_at(lon, lat).epsg == epsg


@pytest.mark.parametrize(("lon", "lat"), [(48.1, 91.0), (float("nan"), 0.0), (400.0, 0.0)])
def test_no_such_place(lon: float, lat: float) -> None:
    with pytest.raises(InputError, match="no place"):
        zone_at(lon, lat)


@pytest.mark.parametrize("epsg", [4326, 32600, 32662, 32700, 32762, 3857])
def test_no_such_zone(epsg: int) -> None:
    with pytest.raises(InputError, match=f"EPSG:{epsg}"):
        Zone(epsg)


def test_rows_grow_southwards_and_pixels_are_absolute() -> None:
    window = Window(Zone(32632), -541_000, 50_000, 2, 3)
    np.testing.assert_array_equal(window.y, [5_409_995.0, 5_409_985.0])
    np.testing.assert_array_equal(window.x, [500_005.0, 500_015.0, 500_025.0])
    assert window.geobox.affine == Affine(10, 0, 500_000, 0, -10, 5_410_000)
    assert window_of(window.geobox) == window
    assert Zone(32632).polar is False and Zone(32661).polar and Zone(32733).southern


@given(st.sampled_from(GSD_LADDER), st.integers(-9999, 9999), st.integers(-9999, 9999), st.integers(1, 50))
def test_grid_and_window_are_the_same_thing(gsd: int, row: int, column: int, size: int) -> None:
    window = Window(Zone(32760), row, column, size, size + 1, gsd // 10)
    assert window_of(window.geobox) == window


@given(
    st.integers(-300, 300), st.integers(-300, 300), st.integers(0, 40), st.integers(0, 40), st.sampled_from([3, 7, 100])
)
def test_cells_cover_a_window_once(row: int, column: int, height: int, width: int, size: int) -> None:
    window = Window(Zone(32632), row, column, height, width)
    count = np.zeros(window.shape, int)
    for cell in window.cells(size):
        assert cell.row % size == 0 and cell.column % size == 0 and cell.shape == (size, size)
        top, left = max(cell.row - row, 0), max(cell.column - column, 0)
        part = count[top : cell.row - row + size, left : cell.column - column + size]
        assert part.size > 0
        part += 1
    assert (count == 1).all()


def test_padding_finest_and_coarsened() -> None:
    window = Window(Zone(32632), -3, 2, 4, 5, 25)
    assert window.pad(2) == Window(Zone(32632), -5, 0, 8, 9, 25)
    assert window.finest() == Window(Zone(32632), -75, 50, 100, 125)
    assert window.finest().coarsened(25) == window
    assert Window(Zone(32632), -1, 99, 2, 2).coarsened(100) == Window(Zone(32632), -1, 0, 2, 2, 100)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([32601, 32660, 32632, 32733, NORTH_POLE, SOUTH_POLE]),
    st.integers(-500, 500),
    st.integers(-500, 500),
    st.sampled_from([1, 9, 100]),
)
def test_longitude_and_latitude_are_those_of_the_projection(epsg: int, row: int, column: int, step: int) -> None:
    zone = Zone(epsg)
    x, y = zone.metres(*_middle(epsg))
    window = Window(zone, int(-y // (10 * step)) + row, int(x // (10 * step)) + column, 5, 70, step)
    lon, lat = window.lonlat()
    sphere = _on_sphere(lon, lat)
    exact = _on_sphere(*zone.lonlat(*np.meshgrid(window.x, window.y)))
    # 6371 km times the difference of unit vectors; linear over 32 pixels of 1 km bends by some metres.
    assert np.abs(sphere - exact).max() * 6_371_000 < 1e-5 * (32 * step * 10) ** 1.0 + 0.05 * step
    inner = Window(zone, window.row + 2, window.column + 33, 2, 9, step).lonlat()
    np.testing.assert_array_equal(inner[0], lon[2:4, 33:42])
    np.testing.assert_array_equal(inner[1], lat[2:4, 33:42])


def _middle(epsg: int) -> tuple[float, float]:
    if epsg in (NORTH_POLE, SOUTH_POLE):
        return 0.0, 90.0 if epsg == NORTH_POLE else -90.0
    return (epsg % 100) * 6 - 183.0, 40.0 if epsg < 32700 else -40.0


def _on_sphere(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    east, north = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])


def _box(
    gsd: float = 10, x: float = 500_000, y: float = 5_400_000, crs: str | None = "EPSG:32632", **more: float
) -> GeoBox:
    affine = Affine(gsd, more.get("shear", 0.0), x, 0, more.get("down", -gsd), y)
    return GeoBox((4, 4), affine, crs)


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        (_box(crs=None), "no coordinate reference system"),
        (_box(crs="EPSG:3857"), "EPSG:3857 is no zone"),
        (_box(down=10), "cannot be sampled"),
        (_box(shear=1), "cannot be sampled"),
        (_box(gsd=5), "nothing finer"),
        (_box(gsd=40), "Pixels of 40 m"),
        (_box(x=500_003), "500000"),
        (_box(gsd=30, x=500_000), "whole multiple"),
    ],
)
def test_grids_that_are_no_windows(box: GeoBox, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        window_of(box)
