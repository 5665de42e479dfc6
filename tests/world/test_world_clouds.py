"""Clouds: optics against published limits, shadows against geometry, fields against their statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.sources.world.render.clouds import Layer, Ray, albedo, depth_along, optics, over, two_stream


def layer(share: float = 0.4, height: float = 2000.0, ice: bool = False) -> Layer:
    return Layer(key=7, share=share, height=height, thickness=12.0, spacing=3000.0, octaves=5, ice=ice)


def test_light_is_conserved_where_nothing_absorbs() -> None:
    depth = np.geomspace(1e-4, 1e3, 60)
    for cosine in (0.2, 0.5, 1.0):
        reflected, passed = two_stream(depth, cosine, 1.0, 0.86)
        assert reflected + passed == pytest.approx(np.ones(60), abs=1e-12)
        assert (np.diff(reflected) > 0).all()
        assert (reflected > 0).all()


def test_the_absorbing_formula_tends_to_the_conservative_one() -> None:
    depth = np.array([0.1, 1.0, 5.0, 20.0])
    for cosine in (0.3, 0.8):
        near = two_stream(depth, cosine, 1.0 - 1e-9, 0.86)
        assert near == pytest.approx(two_stream(depth, cosine, 1.0, 0.86), abs=1e-4)


def test_thin_layers_scatter_once() -> None:
    # First order in optical thickness: the share scattered up is omega * gamma3 * t / mu, gamma3 = (2 - 3 g mu) / 4
    # with the scaled g / (1 + g) and t (1 - omega g^2).
    g, cosine, t = 0.86, 0.5, 1e-5
    scaled, shrunk = g / (1 + g), t * (1 - g * g)
    expected = (2 - 3 * scaled * cosine) / 4 * shrunk / cosine
    assert two_stream(np.array([t]), cosine, 1.0, g)[0, 0] == pytest.approx(expected, rel=1e-3)
    w = (1 - g * g) * 0.95 / (1 - 0.95 * g * g)
    shrunk = t * (1 - 0.95 * g * g)
    expected = w * (2 - 3 * scaled * cosine) / 4 * shrunk / cosine
    assert two_stream(np.array([t]), cosine, 0.95, g)[0, 0] == pytest.approx(expected, rel=1e-3)


def test_a_cloud_of_optical_thickness_ten_is_as_bright_as_textbooks_say() -> None:
    # Bohren (1987): reflectance of about (1-g)t / (2 + (1-g)t) = 0.41 for diffuse light.
    reflected = two_stream(np.array([10.0]), 0.5, 1.0, 0.86)[0, 0]
    assert 0.35 < reflected < 0.6
    assert two_stream(np.array([1e4]), 0.5, 1.0, 0.86)[0, 0] > 0.99


def test_absorption_at_two_micrometres_darkens_ice_more_than_water() -> None:
    depth = np.array([30.0])
    white = two_stream(depth, 0.6, albedo(850, False), 0.86)[0, 0]
    water = two_stream(depth, 0.6, albedo(2200, False), 0.86)[0, 0]
    ice = two_stream(depth, 0.6, albedo(2200, True), 0.86)[0, 0]
    assert ice < water < white


@given(st.floats(0.05, 1.0), st.floats(0.9, 1.0), st.booleans())
def test_tables_are_close_to_the_formula(cosine: float, omega: float, ice: bool) -> None:
    depth = np.geomspace(0.01, 150, 50)
    exact = two_stream(depth, cosine, omega, 0.78 if ice else 0.86)
    assert np.abs(np.stack(optics(cosine, omega, ice)(depth.astype(np.float32))) - exact).max() < 2e-3


def test_no_cloud_changes_no_bit() -> None:
    below = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    table = optics(0.7, 1.0, False)
    cloud = table(np.zeros((5, 4), np.float32))
    assert (cloud[0] == 0).all() and (cloud[1] == 1).all()
    assert np.array_equal(over(below, cloud, (0.8, 0.07)), below)


def test_an_opaque_cloud_hides_the_ground() -> None:
    full = (np.float32([[1.0]]), np.float32([[0.0]]))
    seen = [over(np.float32([[value]]), full, (0.9, 0.05))[0, 0] for value in (0.0, 0.6)]
    assert seen[0] == seen[1] == pytest.approx(0.95)


@pytest.mark.parametrize(("zenith", "azimuth", "north", "east"), [(45, 180, -2000, 0), (45, 90, 0, 2000)])
def test_the_shadow_lies_height_times_tangent_away(zenith: float, azimuth: float, north: float, east: float) -> None:
    # The sun in the south, 45 degrees high: light that reaches the ground crosses 2000 m height 2000 m further south.
    y, x = np.arange(0, 6000, 100.0), np.arange(0, 7000, 100.0)
    shade = depth_along(layer(), Ray(zenith, azimuth), y, x)
    assert shade.any()
    assert shade == pytest.approx(layer().depth(y + north, x + east), abs=1e-4)


def test_a_view_straight_down_sees_the_cloud_above() -> None:
    y, x = np.arange(0, 3000, 100.0), np.arange(0, 3000, 100.0)
    assert np.array_equal(depth_along(layer(), Ray(0.0, 123.0), y, x), layer().depth(y, x))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_share_under_cloud_is_what_was_asked_for(share: float) -> None:
    places = np.arange(0, 200_000, 500.0)
    covered = float((layer(share).depth(places, places) > 0).mean())
    assert covered == pytest.approx(share, abs=0.03)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 20))
def test_the_field_does_not_depend_on_the_window(row: int, column: int, size: int) -> None:
    y, x = np.arange(-60, 80) * 20.0, np.arange(-60, 80) * 20.0
    whole = WHOLE if len(WHOLE) else layer().depth(y, x)
    part = layer().depth(y[row + 60 : row + 60 + size], x[column + 60 : column + 60 + size])
    assert np.array_equal(part, whole[row + 60 : row + 60 + size, column + 60 : column + 60 + size])


WHOLE = layer().depth(np.arange(-60, 80) * 20.0, np.arange(-60, 80) * 20.0)


def test_empty_meshes() -> None:
    assert layer().depth(np.zeros(0), np.zeros(3)).shape == (0, 3)
    assert math.isclose(Ray(60.0, 0.0).cosine, 0.5)
