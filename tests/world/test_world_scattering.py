import math

import numpy as np
import pytest

from swath.sources.world.render import scattering
from swath.sources.world.render.scattering import Backscatter


def decibels(power: float) -> float:
    return 10 * math.log10(power)


def test_dielectric_constant_of_dry_and_wet_soil() -> None:
    # Topp, Davis and Annan (1980), figure 3: about 3 dry, about 20 at 0.35.
    assert scattering.dielectric_constant(0.0) == pytest.approx(3.03)
    assert scattering.dielectric_constant(0.35) == pytest.approx(3.03 + 3.255 + 17.885 - 3.288, abs=1e-3)
    assert scattering.dielectric_constant(5.0) == scattering.dielectric_constant(0.6)


def test_fresnel_at_nadir_and_at_brewsters_angle() -> None:
    horizontal, vertical = scattering.fresnel(4.0, 0.0)
    assert horizontal == pytest.approx(1 / 9)
    assert vertical == pytest.approx(1 / 9)
    assert scattering.fresnel(4.0, math.atan(2.0))[1] == pytest.approx(0.0, abs=1e-12)


def test_fresnel_at_grazing_incidence_reflects_all() -> None:
    assert scattering.fresnel(4.0, math.pi / 2) == pytest.approx((1.0, 1.0))


def test_bare_soil_by_hand() -> None:
    # ks = 1, theta = 40 degrees, moisture 0.2: worked from the equations of Oh, Sarabandi and Ulaby (1992).
    theta, height = math.radians(40), 1.0 / scattering.WAVE_NUMBER
    eps = 3.03 + 1.86 + 5.84 - 0.6136
    nadir = ((1 - math.sqrt(eps)) / (1 + math.sqrt(eps))) ** 2
    root = math.sqrt(eps - math.sin(theta) ** 2)
    across = ((math.cos(theta) - root) / (math.cos(theta) + root)) ** 2
    along = ((eps * math.cos(theta) - root) / (eps * math.cos(theta) + root)) ** 2
    p = (1 - (2 * theta / math.pi) ** (1 / (3 * nadir)) * math.exp(-1)) ** 2
    vv = 0.7 * (1 - math.exp(-0.65)) * math.cos(theta) ** 3 / math.sqrt(p) * (across + along)
    found = scattering.bare_soil(0.2, height, theta)
    assert found.vv == pytest.approx(vv, rel=1e-9)
    assert found.vh == pytest.approx(vv * 0.23 * math.sqrt(nadir) * (1 - math.exp(-1)), rel=1e-9)


@pytest.mark.parametrize("moisture", [0.0, 0.05, 0.2, 0.45])
def test_bare_soil_is_brighter_when_rougher_and_darker_when_flatter_seen(moisture: float) -> None:
    angles = np.radians([20.0, 30.0, 40.0, 50.0])
    smooth, rough = (scattering.bare_soil(moisture, height, angles) for height in (0.004, 0.02))
    assert (rough.vv > smooth.vv).all()
    assert (np.diff(smooth.vv) < 0).all()
    assert (smooth.vh < smooth.vv).all()


def test_wetter_soil_is_brighter() -> None:
    found = scattering.bare_soil(np.array([0.05, 0.15, 0.3, 0.45]), 0.01, 0.6)
    assert (np.diff(found.vv) > 0).all()
    assert (np.diff(found.vh) > 0).all()


def test_no_vegetation_leaves_the_soil_and_endless_vegetation_hides_it() -> None:
    theta = np.radians([30.0, 40.0])
    soil = scattering.bare_soil(0.2, 0.01, theta)
    bare = scattering.vegetated(soil, 0.0, (0.2, 0.05), 0.3, theta)
    np.testing.assert_allclose(bare.vv, soil.vv)
    dense = scattering.vegetated(soil, 1e3, (0.2, 0.05), 0.3, theta)
    np.testing.assert_allclose(dense.vv, 0.2 * np.cos(theta))
    np.testing.assert_allclose(dense.vh, 0.05 * np.cos(theta))


def test_water_by_hand_at_forty_degrees() -> None:
    # Hersbach (2010): x = 0, s = 0.1103 * 10 above its start 0.4971.
    logistic = 1 / (1 + math.exp(-1.103))
    assert scattering.water(10.0, math.radians(40)).vv == pytest.approx(logistic**6.7329 * 10**-0.6878, rel=1e-9)


def test_water_is_within_the_range_that_scatterometers_see() -> None:
    # At 40 degrees C-band VV runs from about -24 dB at 3 m/s to about -12 at 15 m/s averaged over directions.
    levels = [decibels(float(scattering.water(speed, math.radians(40)).vv)) for speed in (3, 7, 15)]
    assert -26 < levels[0] < -21
    assert -20 < levels[1] < -15
    assert -14 < levels[2] < -10


def test_water_is_continuous_where_its_two_branches_meet() -> None:
    theta = math.radians(40)
    start = 0.4971 / 0.1103
    low, high = scattering.water(start - 1e-6, theta).vv, scattering.water(start + 1e-6, theta).vv
    assert float(low) == pytest.approx(float(high), rel=1e-4)


def test_calm_water_is_finite_and_dark() -> None:
    found = scattering.water(0.0, math.radians(38))
    assert np.isfinite(found.vv)
    assert decibels(float(found.vv)) < -28
    assert decibels(float(found.vh)) == pytest.approx(0.592 * 0.5 - 35.6)


def test_corner_by_hand() -> None:
    # Ground of dielectric 80 and wall of 12 at 45 degrees: both reflect under 45 degrees.
    def vertical(eps: float) -> float:
        root = math.sqrt(eps - 0.5)
        return ((eps * math.sqrt(0.5) - root) / (eps * math.sqrt(0.5) + root)) ** 2

    found = scattering.corner(80.0, 12.0, 2.0, math.pi / 4)
    assert found == pytest.approx(Backscatter(2 * vertical(80) * vertical(12), 0.1 * vertical(80) * vertical(12)))
