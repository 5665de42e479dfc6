"""Light on slopes and cast shadows, against geometry done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.sources.world.render.clouds import Ray
from swath.sources.world.render.illumination import (
    cast_shadow,
    gradients,
    incidence,
    reach_pixels,
    sky_view,
)


def plane(slope: float, aspect: float, gsd: float = 10.0, size: int = 6) -> np.ndarray:
    """Ground that falls ``slope`` degrees towards ``aspect`` degrees from north."""
    fall = math.tan(math.radians(slope))
    north, east = math.cos(math.radians(aspect)), math.sin(math.radians(aspect))
    row, column = np.mgrid[:size, :size]
    return (1000.0 - fall * gsd * (column * east - row * north)).astype(np.float32)


@pytest.mark.parametrize(
    ("slope", "aspect", "zenith", "azimuth"),
    [(30, 180, 45, 180), (30, 0, 45, 180), (20, 90, 60, 135), (10, 270, 30, 90), (45, 0, 70, 180), (0, 0, 50, 150)],
)
def test_cosine_of_incidence(slope: float, aspect: float, zenith: float, azimuth: float) -> None:
    # cos i = cos z cos s + sin z sin s cos(azimuth - aspect): the textbook formula, in degrees.
    z, s, apart = math.radians(zenith), math.radians(slope), math.radians(azimuth - aspect)
    expected = max(math.cos(z) * math.cos(s) + math.sin(z) * math.sin(s) * math.cos(apart), 0.0) / math.cos(z)
    east, north = gradients(plane(slope, aspect), 10.0)
    assert incidence(east, north, Ray(zenith, azimuth)) == pytest.approx(np.full((4, 4), expected), abs=2e-4)
    assert sky_view(east, north) == pytest.approx(np.full((4, 4), (1 + math.cos(s)) / 2), abs=1e-4)


def test_a_slope_that_faces_the_sun_squarely_gets_the_full_beam() -> None:
    east, north = gradients(plane(40, 180), 10.0)
    ratio = incidence(east, north, Ray(40.0, 180.0))
    assert ratio * math.cos(math.radians(40)) == pytest.approx(np.ones((4, 4)), abs=2e-4)


def test_level_ground_is_exactly_one() -> None:
    east, north = gradients(np.full((5, 5), 123.4375, np.float32), 10.0)
    assert (incidence(east, north, Ray(63.0, 141.0)) == 1.0).all()
    assert (sky_view(east, north) == 1.0).all()


@pytest.mark.parametrize(("azimuth", "row", "column"), [(180.0, -1, 0), (90.0, 0, -1), (0.0, 1, 0), (270.0, 0, 1)])
def test_a_tower_throws_its_shadow_away_from_the_sun(azimuth: float, row: int, column: int) -> None:
    # 100 m high, sun 45 degrees high: the shadow is 100 m long, ten pixels, on the side away from the sun.
    reach = 300.0
    margin = reach_pixels(10.0, reach)
    ground = np.zeros((41 + 2 * margin, 41 + 2 * margin), np.float32)
    ground[margin + 20, margin + 20] = 100.0
    lit = cast_shadow(ground, 10.0, Ray(45.0, azimuth), reach)
    line = [lit[20 + step * row, 20 + step * column] for step in range(1, 16)]
    assert line[:8] == [0.0] * 8
    assert line[10:] == [1.0] * 5
    assert lit[20, 20] == 1.0
    assert all(lit[20 - step * row, 20 - step * column] == 1.0 for step in range(1, 16))


def test_a_ridge_shades_half_the_disc_at_its_tangent() -> None:
    # A ridge 50 m away and 50 m high, sun's centre 45 degrees high: half of the disc stands above it.
    margin = reach_pixels(10.0, 100.0)
    ground = np.zeros((1 + 2 * margin, 1 + 2 * margin), np.float32)
    ground[margin + 5] = 50.0
    assert cast_shadow(ground, 10.0, Ray(45.0, 180.0), 100.0)[0, 0] == pytest.approx(0.5, abs=0.01)


def test_without_reach_or_with_the_sun_overhead_nothing_is_shaded() -> None:
    ground = np.random.default_rng(0).random((5, 5)).astype(np.float32) * 1000
    assert (cast_shadow(ground, 10.0, Ray(60.0, 0.0), 0.0) == 1.0).all()
    margin = reach_pixels(10.0, 20.0)
    padded = np.pad(ground, margin)
    assert (cast_shadow(padded, 10.0, Ray(0.0, 0.0), 20.0) == 1.0).all()


@given(st.integers(0, 6), st.integers(0, 6), st.floats(0, 359), st.floats(20, 78))
def test_a_window_sees_the_same_light(row: int, column: int, azimuth: float, zenith: float) -> None:
    reach, size = 60.0, 12
    margin = reach_pixels(10.0, reach)
    ground = (np.random.default_rng(5).random((size + 2 * margin, size + 2 * margin)) * 40).astype(np.float32)
    whole = cast_shadow(ground, 10.0, Ray(zenith, azimuth), reach)
    part = cast_shadow(
        ground[row : row + 5 + 2 * margin, column : column + 4 + 2 * margin], 10.0, Ray(zenith, azimuth), reach
    )
    assert np.array_equal(part, whole[row : row + 5, column : column + 4])
