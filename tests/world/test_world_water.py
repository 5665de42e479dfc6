"""Water against published measurements and retrievals of other authors."""

from __future__ import annotations

import numpy as np
import pytest

from swath.sources.world import packages
from swath.sources.world.render.water import Water, above_surface, below_surface, pure_absorption, water_reflectance


def test_pure_water_absorbs_as_measured() -> None:
    # Pope and Fry (1997) up to 700 nm; Kou, Labrie and Chylek (1993) at the maxima of the near infrared [m-1].
    for wavelength, published, tolerance in (
        (418.0, 0.0044, 0.05), (550.0, 0.0565, 0.01), (660.0, 0.41, 0.01), (970.0, 46.0, 0.1), (1190.0, 124.0, 0.1),
        (1450.0, 3100.0, 0.1), (1940.0, 12800.0, 0.1),
    ):  # fmt: skip
        assert pure_absorption(wavelength) == pytest.approx(published, rel=tolerance), wavelength


@pytest.mark.skipif(bool(packages.missing()), reason="run: swath data get world")
def test_pure_water_is_that_of_leaves() -> None:
    # PROSPECT-D has its own absorption of water [cm-1].
    table = np.loadtxt(packages.locate("leaf absorption"), comments="#")
    wavelength, water = table[:, 0], table[:, 6] * 100.0
    where = (wavelength >= 900) & (wavelength <= 2400)
    ratio = pure_absorption(wavelength[where]) / water[where]
    assert 0.9 < np.median(ratio) < 1.1
    assert np.quantile(np.abs(ratio - 1.0), 0.9) < 0.25


def test_clear_ocean_is_blue_and_dark_in_the_infrared() -> None:
    blue, green, red, infrared, short = water_reflectance(Water(0.0, 0.05), [443, 550, 665, 865, 1610])
    # The buoy off Lanai sees about 0.008 sr-1 at 443 nm in the clearest water (Clark et al. 1997, MOBY).
    assert 0.006 < blue / np.pi < 0.012
    assert blue > green > red > infrared > short
    assert infrared < 0.001 and short < 1e-4


@pytest.mark.parametrize("chlorophyll", [0.1, 0.3, 1.0, 3.0, 10.0])
def test_the_ocean_colour_algorithm_finds_its_chlorophyll(chlorophyll: float) -> None:
    # OC4 version 4, O'Reilly et al. (2000): fitted to measurements of the sea.
    reflectance = water_reflectance(Water(0.0, chlorophyll), [443, 490, 510, 555])
    ratio = np.log10(reflectance[:3].max() / reflectance[3])
    found = 10 ** (0.366 - 3.067 * ratio + 1.930 * ratio**2 + 0.649 * ratio**3 - 1.532 * ratio**4)
    assert 0.5 < found / chlorophyll < 2.0


@pytest.mark.parametrize("sediment", [10.0, 20.0, 50.0, 80.0])
def test_red_reflectance_of_mud_is_that_of_the_north_sea(sediment: float) -> None:
    # Nechad, Ruddick and Park (2010) at 665 nm, turned round; their own scatter is a third.
    published = (sediment - 1.74) / (355.85 + (sediment - 1.74) / 0.1728)
    assert water_reflectance(Water(sediment, 3.0), 665.0)[0] == pytest.approx(published, rel=0.35)


def test_mud_brightens_red_and_infrared() -> None:
    amounts = np.array([0.0, 5.0, 50.0, 500.0])
    reflectance = water_reflectance(Water(amounts, 2.0), [665.0, 865.0])
    assert reflectance.shape == (4, 2)
    assert (np.diff(reflectance, axis=0) > 0).all()
    assert reflectance.max() < 0.3


def test_a_bottom_shows_through_shallow_water_only() -> None:
    depth = np.array([0.0, 0.2, 1.0, 5.0, 100.0])
    own, seen = below_surface(Water(1.0, 1.0), [560.0, 865.0], depth, 40.0, 5.0)
    shallow = above_surface(own + seen * 0.3)
    assert (np.diff(shallow, axis=0) <= 0).all() and (np.diff(shallow[:, 0]) < 0).all()
    np.testing.assert_allclose(shallow[-1], water_reflectance(Water(1.0, 1.0), [560.0, 865.0]), rtol=1e-6)
    # Under a skin of water a bottom keeps 0.52 / (1 - 1.7 r / pi) of its light (Lee et al. 1999).
    np.testing.assert_allclose(shallow[0], 0.52 * 0.3 / (1 - 1.7 * 0.3 / np.pi))
    assert shallow[2, 0] > 2 * shallow[2, 1]  # green light comes back from a metre, infrared does not
    low_sun = below_surface(Water(1.0, 1.0), [560.0], depth, 70.0, 5.0)[1]
    assert (low_sun[1:4] < seen[1:4, :1]).all()
