"""The ground before water: slope, detail, coasts and lakes, on any window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_base import COAST, plain_earth
from scipy.ndimage import binary_dilation

from swath.sources.world.earth.relief import LAKE, LAND, SEA, ground, slope
from swath.sources.world.frame import NORTH_POLE, Window, Zone, zone_at


def around(lon: float, lat: float, height: int, width: int, step: int = 1) -> Window:
    zone = zone_at(lon, lat)
    x, y = zone.metres(lon, lat)
    size = 10 * step
    return Window(zone, int(-y // size) - height // 2, int(x // size) - width // 2, height, width, step)


@pytest.mark.parametrize(("east", "south"), [(0.0, 0.0), (0.3, 0.0), (0.0, -0.25), (0.3, 0.4)])
def test_slope_of_a_plane(east: float, south: float) -> None:
    plane = 10.0 * (east * np.arange(7)[None, :] + south * np.arange(5)[:, None])
    np.testing.assert_allclose(slope(plane), np.full((3, 5), np.degrees(np.arctan(np.hypot(east, south)))))


def test_slope_of_a_bowl_is_that_of_its_formula() -> None:
    row, column = np.arange(-30.0, 31.0)[:, None], np.arange(-20.0, 21.0)[None, :]
    found = slope(0.02 * column**2 + 0.01 * row**2)
    gradient = np.hypot(0.04 * column / 10, 0.02 * row / 10)[1:-1, 1:-1]
    np.testing.assert_allclose(found, np.degrees(np.arctan(gradient)), atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (3, 3)])
def test_slope_of_small_windows(shape: tuple[int, int]) -> None:
    assert slope(np.zeros(shape)).shape == (shape[0] - 2, shape[1] - 2)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 5, 25]))
def test_the_ground_does_not_depend_on_the_window(row: int, column: int, height: int, width: int, step: int) -> None:
    earth, whole = plain_earth(), around(COAST + 0.02, 47.6, 80, 80, step)
    part = Window(whole.zone, whole.row + row, whole.column + column, height, width, step)
    one, other = ground(earth, whole), ground(earth, part)
    for name in ("height", "water", "strength", "runoff", "lakes"):
        cut = getattr(one, name)[row : row + height, column : column + width]
        np.testing.assert_array_equal(cut, getattr(other, name))


def test_coarse_ground_is_the_fine_one_without_its_finest_part() -> None:
    earth, coarse = plain_earth(), around(12.0, 49.0, 40, 40, 25)
    wide = ground(earth, coarse)
    fine = ground(earth, coarse.finest()).height.reshape(40, 25, 40, 25).mean(axis=(1, 3))
    assert np.corrcoef(wide.height.ravel(), fine.ravel())[0, 1] > 0.98
    assert np.abs(fine - wide.height).std() < 0.1 * wide.strength.mean()


def test_detail_is_as_strong_as_it_says_and_rougher_base_gives_rougher_ground() -> None:
    earth = plain_earth()
    deviations = []
    for lat in (46.0, 50.0):
        found = ground(earth, around(13.0, lat, 300, 300, 25))
        detail = found.height - 40.0 * (13.0 - COAST) - 15.0
        deviations.append(detail.std() / found.strength.mean())
        assert found.strength.mean() > (8.0 if lat == 46.0 else 150.0)
    assert 0.7 < deviations[1] < 1.3
    assert 0.7 < deviations[0] < 1.4  # the plain base rises a little over 75 km


def test_relief_grows_with_distance_as_a_fractal() -> None:
    height = ground(plain_earth(), around(13.0, 50.0, 600, 600)).height
    lags = np.array([2, 4, 8, 16, 32])
    rms = [np.sqrt(np.mean((height[lag:] - height[:-lag]) ** 2)) for lag in lags]
    exponent = np.polyfit(np.log(lags), np.log(rms), 1)[0]
    assert 0.6 < exponent < 0.95


def test_the_coast() -> None:
    found = ground(plain_earth(), around(COAST, 47.0, 200, 200, 25))
    sea, land = found.water == SEA, found.water == LAND
    assert 0.2 < sea.mean() < 0.8 and (sea | land).all()
    assert (found.height[sea] == 0).all() and (found.height[land] > 0).all()
    # The shoreline is crooked: more of it than the 200 pixels of a straight one.
    assert np.count_nonzero(sea[:, 1:] != sea[:, :-1]) + np.count_nonzero(sea[1:] != sea[:-1]) > 300
    # No cliffs: ground rises from the shore.
    near = land & binary_dilation(sea)
    assert np.median(found.height[near]) < 6.0


def test_a_lake_of_the_base_is_level_and_the_ground_around_higher() -> None:
    found = ground(plain_earth(), around(10.8, 47.6, 120, 120, 5))
    lake = found.water == LAKE
    assert 0.1 < lake.mean() < 0.95
    assert found.height[lake].max() - found.height[lake].min() < 5.0
    shore = (found.water == LAND) & binary_dilation(lake, iterations=2)
    level = found.height[lake].mean()
    assert (found.height[shore] > level - 3.0).all()


@pytest.mark.parametrize(("lon", "lat"), [(0.0, 89.99), (179.999, 10.0), (-179.999, 10.0), (12.0, 0.0), (15.0, -79.9)])
def test_poles_antimeridian_and_equator(lon: float, lat: float) -> None:
    found = ground(plain_earth(), around(lon, lat, 30, 30, 25))
    assert np.isfinite(found.height).all()


def test_no_octave_of_a_large_step_is_noise() -> None:
    assert ground(plain_earth(), Window(Zone(NORTH_POLE), -2000, 2000, 3, 3, 100)).height.shape == (3, 3)
