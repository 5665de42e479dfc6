"""Snow against the albedo of Wiscombe and Warren (1980) and what every snow shows."""

from __future__ import annotations

import numpy as np
import pytest

from swath.sources.world.render.canopy import Geometry
from swath.sources.world.render.snow import FRESH_MM, OLD_MM, ice_index, snow_albedo, snow_reflectance

NADIR = Geometry(50.0, 0.0, 0.0)


def test_fresh_snow_is_white_and_dark_in_the_shortwave_infrared() -> None:
    blue, green, red, short, shorter = snow_reflectance([450.0, 550.0, 660.0, 1610.0, 2200.0], NADIR, FRESH_MM)
    assert min(blue, green, red) > 0.9
    assert max(short, shorter) < 0.2
    assert (green - short) / (green + short) > 0.8  # the snow index of Hall, Riggs and Salomonson (1995)


@pytest.mark.parametrize(("radius", "published"), [(0.05, 0.80), (0.1, 0.74), (0.2, 0.65), (0.5, 0.51), (1.0, 0.39)])
def test_albedo_at_1030_nm_follows_the_grains(radius: float, published: float) -> None:
    # Mie and delta-Eddington: Wiscombe and Warren (1980), figure 8, diffuse light, read to about 0.02.
    assert snow_albedo(1030.0, radius)[0] == pytest.approx(published, abs=0.035)


def test_grains_and_soot_darken() -> None:
    sizes = np.array([0.05, 0.1, 0.5, 1.0, 2.0])
    assert (np.diff(snow_reflectance([860.0, 1240.0], NADIR, sizes), axis=0) < 0).all()
    clean, dirty = (snow_albedo([450.0, 1240.0], OLD_MM, soot) for soot in (0.0, 1e-6))
    assert clean[0] > 0.97 and dirty[0] < clean[0] - 0.05
    assert dirty[1] == pytest.approx(clean[1], abs=0.01)  # soot is a matter of the visible (Warren and Wiscombe 1980)


def test_shape_of_the_reflection() -> None:
    # Snow scatters forward: towards a low sun's far side it is brighter than straight up.
    forward = snow_reflectance([865.0], Geometry(70.0, 60.0, 180.0))
    assert forward[0] > snow_reflectance([865.0], Geometry(70.0, 0.0, 0.0))[0]
    assert snow_reflectance(np.zeros(0), NADIR).shape == (0,)
    assert snow_reflectance([500.0, 600.0], NADIR, np.ones((2, 3))).shape == (2, 3, 2)


def test_ice_absorbs_as_measured() -> None:
    # Warren and Brandt (2008): least at 400 nm; an absorption length of 1 / (4 pi k / wavelength).
    assert ice_index(400.0) == pytest.approx(2.365e-11)
    assert 4 * np.pi * ice_index(1030.0) / 1030e-9 == pytest.approx(28.4, rel=0.01)  # m-1
