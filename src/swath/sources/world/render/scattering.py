"""Scattering of C-band radar by soil, vegetation, water and towns: sigma nought of VV and VH as power ratios.

Everything is elementwise over arrays that broadcast. Angles are local incidence angles in radians. Parameters of
vegetation are typical C-band values: they make saturated forest, crops and grass as bright as the handbook ranges of
Ulaby and Dobson (1989, "Handbook of Radar Scattering Statistics for Terrain") say, and are fitted to no scene.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FREQUENCY_GHZ = 5.405
WAVE_NUMBER = 2 * np.pi * FREQUENCY_GHZ * 1e9 / 299_792_458.0
"""Radians per metre."""

Power = NDArray[np.floating]


class Backscatter(NamedTuple):
    """Sigma nought as power ratio, arrays of one shape."""

    vv: Power
    vh: Power


def dielectric_constant(soil_moisture: ArrayLike) -> Power:
    """Apparent dielectric constant of moist mineral soil (Topp, Davis and Annan 1980, equation 7 inverted form).

    ``3.03 + 9.3 m + 146 m^2 - 76.7 m^3`` for volumetric moisture ``m`` [m3 m-3], clipped to 0 .. 0.6. Its loss is
    neglected: at 5.4 GHz it changes the reflectivity of wet soil by less than the spread between soils.
    """
    m = np.clip(np.asarray(soil_moisture), 0.0, 0.6)
    return np.asarray(3.03 + m * (9.3 + m * (146.0 - 76.7 * m)))


def fresnel(dielectric: ArrayLike, incidence: ArrayLike) -> tuple[Power, Power]:
    """Power reflectivity of a smooth plane, horizontal and vertical polarisation.

    Args:
        dielectric: real relative permittivity.
        incidence: angle [radians].
    """
    eps, cosine = np.asarray(dielectric), np.cos(np.asarray(incidence))
    root = np.sqrt(eps - (1.0 - cosine**2))
    horizontal = ((cosine - root) / (cosine + root)) ** 2
    vertical = ((eps * cosine - root) / (eps * cosine + root)) ** 2
    return horizontal, vertical


def bare_soil(soil_moisture: ArrayLike, rms_height_m: ArrayLike, incidence: ArrayLike) -> Backscatter:
    """Rough moist soil: the semi-empirical model of Oh, Sarabandi and Ulaby (1992).

    ``vv = 0.7 (1 - exp(-0.65 (ks)^1.8)) cos^3(theta) (G_v + G_h) / sqrt(p)`` and ``vh = q vv`` with
    ``sqrt(p) = 1 - (2 theta / pi)^(1 / (3 G_0)) exp(-ks)`` and ``q = 0.23 sqrt(G_0) (1 - exp(-ks))``, where ``G`` are
    Fresnel reflectivities (``G_0`` at nadir) and ``s`` the standard deviation of heights.

    Args:
        soil_moisture: [m3 m-3].
        rms_height_m: standard deviation of heights [m].
        incidence: local incidence angle [radians], below pi / 2.
    """
    theta = np.asarray(incidence)
    eps = dielectric_constant(soil_moisture)
    roughness = WAVE_NUMBER * np.asarray(rms_height_m)
    nadir = ((1.0 - np.sqrt(eps)) / (1.0 + np.sqrt(eps))) ** 2
    horizontal, vertical = fresnel(eps, theta)
    root_p = 1.0 - (2.0 * theta / np.pi) ** (1.0 / (3.0 * nadir)) * np.exp(-roughness)
    gain = 0.7 * (1.0 - np.exp(-0.65 * roughness**1.8))
    vv = gain * np.cos(theta) ** 3 * (vertical + horizontal) / root_p
    return Backscatter(vv, vv * 0.23 * np.sqrt(nadir) * (1.0 - np.exp(-roughness)))


def vegetated(
    soil: Backscatter, amount: ArrayLike, brightness: tuple[ArrayLike, ArrayLike], extinction: ArrayLike, theta: Power
) -> Backscatter:
    """A cloud of scatterers over soil: the water-cloud model (Attema and Ulaby 1978).

    ``sigma = brightness cos(theta) (1 - t) + t sigma_soil``, ``t = exp(-2 extinction amount / cos(theta))``.

    Args:
        soil: the ground below.
        amount: leaf area plus woody area per ground area.
        brightness: of an endless layer of it, VV and VH.
        extinction: one-way, per unit of amount.
        theta: local incidence angle [radians].
    """
    cosine = np.cos(theta)
    through = np.exp(-2.0 * np.asarray(extinction) * np.asarray(amount) / cosine)
    layer = cosine * (1.0 - through)
    vv = np.asarray(brightness[0]) * layer + through * soil.vv
    vh = np.asarray(brightness[1]) * layer + through * soil.vh
    return Backscatter(vv, vh)


# Hersbach (2010), CMOD5.N: the coefficients of the term that does not depend on the direction of the wind.
_CMOD = (-0.6878, -0.7957, 0.3380, -0.1728, 0.0, 0.0040, 0.1103, 0.0159, 6.7329, 2.7713, -2.2885, 0.4971, -0.7250)


def water(wind_speed: ArrayLike, incidence: ArrayLike) -> Backscatter:
    """Wind-roughened water.

    VV: the isotropic term ``B_0`` of the geophysical model function CMOD5.N (Hersbach 2010), as the direction of the
    wind against the look is not known. VH: ``0.592 U - 35.6`` dB (Vachon and Wolfe 2011).

    Args:
        wind_speed: at 10 m above the water [m s-1]; below 0.5 it counts as 0.5.
        incidence: angle [radians]; CMOD5.N holds from 17 to 66 degrees and is held constant beyond.
    """
    speed = np.maximum(np.asarray(wind_speed, np.float64), 0.5)
    x = (np.clip(np.degrees(incidence), 17.0, 66.0) - 40.0) / 25.0
    c = _CMOD
    level = c[0] + x * (c[1] + x * (c[2] + x * c[3])) + (c[4] + c[5] * x) * speed
    exponent = c[8] + x * (c[9] + x * c[10])
    start = c[11] + c[12] * x
    s = (c[6] + c[7] * x) * speed
    logistic = 1.0 / (1.0 + np.exp(-np.maximum(s, start)))
    low = logistic * (np.maximum(s, 1e-6) / start) ** (start * (1.0 - logistic))
    shape = np.where(s < start, low, logistic)
    vv = shape**exponent * 10.0**level
    vh = np.broadcast_to(10.0 ** ((0.592 * speed - 35.6) / 10.0), np.shape(vv))
    return Backscatter(np.asarray(vv), np.asarray(vh))


def corner(ground: ArrayLike, wall: ArrayLike, strength: ArrayLike, incidence: ArrayLike) -> Backscatter:
    """Double bounce between level ground and upright walls or trunks.

    The power is ``strength G_ground(theta) G_wall(90 degrees - theta)`` with vertical Fresnel reflectivities (both
    planes of incidence are the same); a twentieth of it is depolarised, as walls are seldom seen squarely.

    Args:
        ground: dielectric constant of the ground.
        wall: dielectric constant of walls or trunks.
        strength: power of a corner whose planes reflect all, per ground area.
        incidence: angle at level ground [radians].
    """
    theta = np.asarray(incidence)
    power = np.asarray(strength) * fresnel(ground, theta)[1] * fresnel(wall, np.pi / 2 - theta)[1]
    return Backscatter(power, 0.05 * power)
