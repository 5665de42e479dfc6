"""The atmosphere against 6SV (golden values made by tools/atmosphere_golden.py), and its algebra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import InputError
from swath.sources.world.render.atmosphere import (
    Atmosphere,
    Coefficients,
    coefficients,
    elevation_nodes,
    to_surface,
    to_toa,
)

GOLDEN = Path(__file__).parent / "golden" / "atmosphere_6sv.npz"
CLOSURE = 0.005  # reflectance, the promise of the product

RED = {"red": (np.array([630.0, 640.0, 670.0, 680.0]), np.array([0.0, 1.0, 1.0, 0.0]))}
TWO = {
    "blue": (np.arange(450.0, 521.0, 2.0), np.hanning(36)),
    "near infrared": (np.arange(845.0, 885.0, 1.0), np.ones(40)),
}


def test_closure_against_6sv() -> None:
    with np.load(GOLDEN) as stored:
        golden = dict(stored)
    names = [str(name) for name in golden["names"]]
    assert golden["band"].shape[0] == 500
    assert len({name.split("/")[0] for name in names}) == 4  # Sentinel-2, Landsat 8, 5 and 7
    assert set(golden["band"].ravel()) == set(range(len(names)))  # every band is met
    difference = np.zeros(golden["band"].shape)
    for setting, which in np.ndindex(*golden["band"].shape):
        name = names[golden["band"][setting, which]]
        wavelength, response = golden[f"response {name}"]
        state = Atmosphere(
            float(golden["aerosol_optical_depth"][setting]),
            float(golden["water_vapour"][setting]),
            float(golden["ozone"][setting]),
        )
        air = coefficients(
            {name: (wavelength * 1000.0, response)},
            state,
            float(golden["sun_zenith"][setting]),
            float(golden["view_zenith"][setting]),
            float(golden["relative_azimuth"][setting]),
            float(golden["elevation_m"][setting]),
        )
        ours = to_toa(golden["surface"][setting, which].reshape(1, 1, 1), air)
        difference[setting, which] = ours[0, 0, 0] - golden["toa"][setting, which]
    worst = np.unravel_index(np.abs(difference).argmax(), difference.shape)
    assert np.abs(difference).max() <= CLOSURE, (names[golden["band"][worst]], worst[0], difference[worst])
    assert np.sqrt((difference**2).mean()) <= CLOSURE / 4


def test_black_surface_shows_the_path_and_a_clear_sky_scatters_like_molecules() -> None:
    air = coefficients(TWO, Atmosphere(0.0, 0.0, 0.0), 30.0, 0.0, 0.0)
    dark = to_toa(np.zeros((2, 1, 1), np.float32), air)
    assert np.allclose(dark[:, 0, 0], air.path[:, 0], atol=1e-7)
    # Rayleigh optical depth at 485 nm is 0.165 (Hansen and Travis 1974), and light scattered once is
    # depth * phase / (4 mu mu_0) with phase 3/4 (1 + cos^2 30); more scattering adds some 10 to 25 %.
    once = 0.165 * 0.75 * 1.75 / (4 * np.cos(np.radians(30.0)))
    assert 1.0 < air.path[0, 0] / once < 1.25
    assert air.path[0, 0] > 8 * air.path[1, 0]  # wavelength to the power of minus four
    # Without absorption what is not transmitted goes back: on both ways, and from below.
    assert 0.0 < 1 - air.transmittance[0, 0] < 0.25
    assert air.spherical_albedo[0, 0] == pytest.approx(0.92 * 0.165 * 0.9, rel=0.15)


@pytest.mark.parametrize(
    ("change", "quantity", "sign"),
    [
        ({"aerosol_optical_depth": 0.6}, "path", 1),
        ({"aerosol_optical_depth": 0.6}, "transmittance", -1),
        ({"aerosol_optical_depth": 0.6}, "spherical_albedo", 1),
        ({"aerosol_optical_depth": 0.6}, "direct", -1),
        ({"water_vapour_g_cm2": 5.0}, "gas", -1),
        ({"ozone_cm_atm": 0.5}, "gas", -1),
    ],
)
def test_more_of_a_substance_acts_in_its_direction(change: dict[str, float], quantity: str, sign: int) -> None:
    before = getattr(coefficients(RED, Atmosphere(), 40.0, 5.0, 60.0), quantity)
    after = getattr(coefficients(RED, Atmosphere(**change), 40.0, 5.0, 60.0), quantity)
    assert (sign * (after - before) > 0).all()


def test_higher_places_have_less_air_above_them() -> None:
    nodes = np.linspace(-400.0, 8800.0, 24)
    air = coefficients(TWO, Atmosphere(), 40.0, 5.0, 60.0, nodes)
    assert (np.diff(air.path[0]) < 0).all() and (np.diff(air.transmittance[0]) > 0).all()
    assert (np.diff(air.spherical_albedo[0]) < 0).all() and (np.diff(air.direct[0]) > 0).all()
    alone = coefficients(TWO, Atmosphere(), 40.0, 5.0, 60.0, nodes[7])
    assert np.allclose(alone.path[:, 0], air.path[:, 7]) and np.allclose(alone.direct[:, 0], air.direct[:, 7])


def test_geometry_is_symmetric_and_periodic() -> None:
    state = Atmosphere(0.3)
    reference = coefficients(TWO, state, 50.0, 20.0, 70.0)
    for azimuth in (-70.0, 290.0, -290.0):
        assert np.allclose(coefficients(TWO, state, 50.0, 20.0, azimuth).path, reference.path)
    nadir = [coefficients(TWO, state, 50.0, 0.0, azimuth).path for azimuth in (0.0, 123.0)]
    assert np.allclose(*nadir)
    overhead = [coefficients(TWO, state, 0.0, 20.0, azimuth).path for azimuth in (0.0, 123.0)]
    assert np.allclose(*overhead, rtol=2e-3)


@settings(max_examples=40, deadline=None)
@given(
    load=st.floats(0, 1.2),
    water=st.floats(0, 8),
    ozone=st.floats(0, 0.7),
    sun=st.floats(0, 80),
    view=st.floats(0, 30),
    azimuth=st.floats(0, 360),
    elevation=st.floats(-500, 8900),
)
def test_coefficients_are_physical_everywhere(
    load: float, water: float, ozone: float, sun: float, view: float, azimuth: float, elevation: float
) -> None:
    air = coefficients(TWO | RED, Atmosphere(load, water, ozone), sun, view, azimuth, elevation)
    for values in (air.path, air.transmittance, air.spherical_albedo, air.gas, air.direct):
        assert values.shape == (3, 1) and (values > 0).all() and (values < 1).all()
    assert (air.transmittance < air.gas).all() and (air.spherical_albedo < 0.4).all() and (air.path < 0.6).all()
    bright = to_toa(np.ones((3, 1, 1), np.float32), air)
    assert (bright <= 1.1).all()  # a white surface is white from above, but for the peak straight back to the sun


@settings(max_examples=30, deadline=None)
@given(load=st.floats(0, 1.2), sun=st.floats(0, 80), shape=st.sampled_from([(0, 0), (1, 1), (3, 5)]))
def test_the_inverse_undoes_the_forward_step(load: float, sun: float, shape: tuple[int, int]) -> None:
    air = coefficients(TWO, Atmosphere(load), sun, 10.0, 30.0, [0.0, 400.0, 800.0])
    surface = np.linspace(0.0, 1.1, 2 * shape[0] * shape[1], dtype=np.float32).reshape(2, *shape)
    elevation = np.linspace(-50.0, 900.0, shape[0] * shape[1]).reshape(shape)
    toa = to_toa(surface, air, elevation)
    assert toa.dtype == np.float32 and toa.shape == surface.shape
    assert np.allclose(to_surface(toa, air, elevation), surface, atol=3e-6)
    kept = surface.copy()
    assert to_toa(surface, air, elevation, out=surface) is surface
    assert np.array_equal(surface, toa)
    to_surface(surface, air, elevation, out=surface)
    assert np.allclose(surface, kept, atol=3e-6)


def test_pixels_equal_the_equation_at_their_own_elevation_and_gaps_stay() -> None:
    elevation = np.array([[0.0, 137.0], [650.0, np.nan]])
    nodes = elevation_nodes(elevation)
    assert nodes[0] == 0.0 and nodes[-1] == 650.0 and (np.diff(nodes) <= 400.0).all()
    state = Atmosphere(0.4)
    air = coefficients(TWO, state, 60.0, 5.0, 0.0, nodes)
    surface = np.full((2, 2, 2), 0.3, np.float32)
    surface[:, 1, 1] = np.nan
    toa = to_toa(surface, air, elevation)
    assert np.isnan(toa[:, 1, 1]).all()
    for row, column in ((0, 0), (0, 1), (1, 0)):
        own = coefficients(TWO, state, 60.0, 5.0, 0.0, elevation[row, column])
        by_hand = own.path + own.transmittance * 0.3 / (1 - own.spherical_albedo * 0.3)
        assert np.allclose(toa[:, row, column], by_hand[:, 0], atol=5e-4)


def test_nodes_of_flat_and_empty_scenes() -> None:
    assert elevation_nodes(np.full((2, 2), 12.0)).tolist() == [12.0]
    assert elevation_nodes(np.full((2, 2), np.nan)).tolist() == [0.0]
    assert elevation_nodes(np.zeros((0, 3))).tolist() == [0.0]


def test_response_is_a_weight_whatever_its_sampling_or_scale() -> None:
    wide = coefficients(RED, Atmosphere(), 40.0, 5.0, 60.0)
    nm = np.arange(630.0, 680.5, 0.5)
    fine = coefficients({"red": (nm, 7.0 * np.interp(nm, *RED["red"]))}, Atmosphere(), 40.0, 5.0, 60.0)
    assert np.allclose(wide.path, fine.path) and np.allclose(wide.transmittance, fine.transmittance)
    assert fine.bands == ("red",)
    none = coefficients({}, Atmosphere(), 40.0, 5.0, 60.0, [0.0, 100.0])
    assert none.path.shape == (0, 2)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"aerosol_optical_depth": 1.3}, "aerosol_optical_depth"),
        ({"aerosol_optical_depth": float("nan")}, "aerosol_optical_depth"),
        ({"water_vapour_g_cm2": -0.1}, "water_vapour"),
        ({"ozone_cm_atm": 300.0}, "ozone"),
        ({"aerosol": "contnental"}, "continental"),
    ],
)
def test_a_state_out_of_range_is_named(state: dict[str, float], word: str) -> None:
    with pytest.raises(InputError, match=word):
        Atmosphere(**state)


@pytest.mark.parametrize(
    ("sun", "view", "elevation", "word"),
    [
        (80.1, 0.0, 0.0, "sun_zenith"),
        (10.0, 31.0, 0.0, "view_zenith"),
        (10.0, 0.0, 9000.0, "elevations"),
        (10.0, 0.0, [100.0, 0.0], "elevations"),
        (10.0, 0.0, [], "elevations"),
        (10.0, 0.0, np.nan, "elevations"),
    ],
)
def test_a_geometry_out_of_range_is_named(sun: float, view: float, elevation: object, word: str) -> None:
    with pytest.raises(InputError, match=word):
        coefficients(RED, Atmosphere(), sun, view, 0.0, elevation)


@pytest.mark.parametrize(
    ("wavelength", "response", "word"),
    [
        ([0.63, 0.68], [1.0, 1.0], "nm, not micrometres"),
        ([10000.0, 12000.0], [1.0, 1.0], "thermal"),
        ([680.0, 630.0], [1.0, 1.0], "increase"),
        ([630.0, 680.0], [0.0, 0.0], "zero"),
        ([630.0, 680.0], [np.nan, 1.0], "gaps"),
        ([630.0], [1.0], "at least 2"),
        ([631.0, 631.5], [1.0, 1.0], "narrower"),
    ],
)
def test_a_response_that_cannot_be_used_is_named(wavelength: list[float], response: list[float], word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        coefficients({"B04": (np.array(wavelength), np.array(response))}, Atmosphere(), 10.0, 0.0, 0.0)
    assert "B04" in str(caught.value)


def test_shapes_that_do_not_fit_are_named() -> None:
    flat = coefficients(TWO, Atmosphere(), 10.0, 0.0, 0.0)
    hilly = coefficients(TWO, Atmosphere(), 10.0, 0.0, 0.0, [0.0, 400.0])
    values = np.zeros((2, 3, 4), np.float32)
    assert isinstance(flat, Coefficients)
    with pytest.raises(InputError, match="2 bands"):
        to_toa(values[:1], flat)
    with pytest.raises(InputError, match="float32"):
        to_surface(values.astype(np.float64), flat)
    with pytest.raises(InputError, match="elevations"):
        to_toa(values, hilly)
    with pytest.raises(InputError, match="elevations"):
        to_toa(values, hilly, np.zeros((4, 3)))
    with pytest.raises(InputError, match="out"):
        to_toa(values, flat, out=values[:, :2])
