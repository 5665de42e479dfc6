"""Measured spectra, and how soil darkens when it is wet."""

from __future__ import annotations

import numpy as np
import pytest

from swath.errors import InputError
from swath.sources.world import packages
from swath.sources.world.render.responses import WAVELENGTHS
from swath.sources.world.render.spectra import MATERIALS, SATURATION, material, soils, wetted

pytestmark = pytest.mark.skipif(bool(packages.missing()), reason="run: swath data get world")

DARK, BROWN, RED, PALE, SANDY = range(5)


def at(*wavelengths: float) -> list[int]:
    return [int(np.flatnonzero(wavelength == WAVELENGTHS)[0]) for wavelength in wavelengths]


@pytest.mark.parametrize("name", MATERIALS)
def test_every_material_has_three_plausible_members(name: str) -> None:
    members = material(name)
    assert members.shape == (3, WAVELENGTHS.size)
    assert np.isfinite(members).all() and members.min() > 0 and members.max() < 0.9
    assert (np.diff(members.mean(axis=1)) > 0).all()
    assert members.flags.writeable is False


def test_what_people_build_looks_as_it_should() -> None:
    blue, red, near, short = at(450, 660, 860, 2200)
    tile, tar, asphalt, concrete = (material(name)[1] for name in ("clay tile", "tar", "asphalt", "concrete"))
    assert tile[red] > 3 * tile[blue]
    assert tar[red] < asphalt[red] < concrete[red]
    assert asphalt[[blue, red, near, short]].max() < 0.2
    char, litter = material("char")[0], material("litter")[1]
    # Burnt ground is darker in the near than in the shortwave infrared (Key and Benson 2006).
    assert char[near] < char[short] and char[near] < 0.1
    assert litter[near] > 1.4 * litter[red]


def test_soils_are_what_they_are_called() -> None:
    kinds = soils()
    assert kinds.shape == (5, 3, WAVELENGTHS.size)
    green, red = at(550, 660)
    visible = kinds[:, 1, : at(700)[0]].mean(axis=1)
    assert visible[DARK] == visible.min() and visible[PALE] > visible[BROWN] > visible[DARK]
    redness = kinds[:, 1, red] / kinds[:, 1, green]
    assert redness[RED] > redness[BROWN] and redness[SANDY] > redness[PALE]
    # Soil lines: reflectance rises from blue to the near infrared (Stoner and Baumgardner 1981).
    assert (np.diff(kinds[:, :, at(450, 550, 660, 860)], axis=-1) > 0).all()
    assert kinds.max() < 0.65


@pytest.mark.parametrize("kind", range(5))
def test_wet_soil_is_about_half_as_bright(kind: int) -> None:
    dry = soils()[kind, 1]
    moisture = np.array([0.0, 0.05, 0.1, 0.2, 0.3, SATURATION, 0.9])
    wet = wetted(dry, moisture)
    np.testing.assert_allclose(wet[0], dry)
    assert (np.diff(wet[:6], axis=0) < 0).all()
    np.testing.assert_array_equal(wet[5], wet[6])
    ratio = wet[5] / dry
    red, near, short, shorter = at(660, 860, 1610, 2200)
    # Lobell and Asner (2002), four soils at saturation: 0.4 to 0.7 in the visible, less in the shortwave infrared.
    assert 0.4 < ratio[red] < 0.7 and 0.4 < ratio[near] < 0.7
    assert ratio[shorter] < ratio[short] < ratio[red]
    # Most of the darkening comes with the first 20 % of water, as their exponentials say.
    fall = (dry[red] - wet[:, red]) / (dry[red] - wet[5, red])
    assert fall[3] > 0.7


def test_names() -> None:
    with pytest.raises(InputError, match="nearest are: clay tile"):
        material("clay tiles")
    assert wetted(np.zeros((0, 3)), np.zeros(0), [500.0, 600.0, 700.0]).shape == (0, 3)
