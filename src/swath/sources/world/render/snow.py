"""Snow from the size of its grains: the asymptotic solution of radiative transfer for thick, weakly absorbing snow.

Kokhanovsky and Zege (2004), Applied Optics 43, 1589-1602, with the constants for irregular grains of Zege et al.
(2011), Remote Sensing of Environment 115, 2674-2685, and the reflectance without absorption of Kokhanovsky et al.
(2019), Remote Sensing 11, 2280:

    R = R0 exp(-A sqrt(g r) K(mu) K(mu0) / R0),    K(mu) = 3 (1 + 2 mu) / 7,    g = 4 pi (k + 0.2 c) / wavelength

with r the effective radius of the grains, A = 5.8, k the imaginary refractive index of ice (Warren and Brandt 2008,
Journal of Geophysical Research 113, D14220) and c the volume of soot per volume of snow grains. Snow is deep: nothing
shows through.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.sources.world.render.canopy import Geometry

Values = NDArray[np.float64]

FRESH_MM, OLD_MM = 0.1, 1.0
"""Effective radius of grains: new dry snow, and firn or melting snow (Wiscombe and Warren 1980)."""

_SHAPE = 5.8

# Wavelength [nm] and imaginary part of the refractive index of ice.
# fmt: off
_ICE = (
    (400, 2.365e-11), (410, 2.669e-11), (420, 3.135e-11), (430, 4.14e-11), (440, 6.268e-11), (450, 9.239e-11),
    (460, 1.325e-10), (470, 1.956e-10), (480, 2.861e-10), (490, 4.172e-10), (500, 5.889e-10), (510, 8.036e-10),
    (520, 1.076e-09), (530, 1.409e-09), (540, 1.813e-09), (550, 2.289e-09), (560, 2.839e-09), (570, 3.461e-09),
    (580, 4.159e-09), (590, 4.93e-09), (600, 5.73e-09), (610, 6.89e-09), (620, 8.58e-09), (630, 1.04e-08),
    (640, 1.22e-08), (650, 1.43e-08), (660, 1.66e-08), (670, 1.89e-08), (680, 2.09e-08), (690, 2.4e-08),
    (700, 2.9e-08), (710, 3.44e-08), (720, 4.03e-08), (730, 4.3e-08), (740, 4.92e-08), (750, 5.87e-08),
    (760, 7.08e-08), (770, 8.58e-08), (780, 1.02e-07), (790, 1.18e-07), (800, 1.34e-07), (810, 1.4e-07),
    (820, 1.43e-07), (830, 1.45e-07), (840, 1.51e-07), (850, 1.83e-07), (860, 2.15e-07), (870, 2.65e-07),
    (880, 3.35e-07), (890, 3.92e-07), (900, 4.2e-07), (910, 4.44e-07), (920, 4.74e-07), (930, 5.11e-07),
    (940, 5.53e-07), (950, 6.02e-07), (960, 7.55e-07), (970, 9.26e-07), (980, 1.12e-06), (990, 1.33e-06),
    (1000, 1.62e-06), (1010, 2e-06), (1020, 2.25e-06), (1030, 2.33e-06), (1040, 2.33e-06), (1050, 2.17e-06),
    (1060, 1.96e-06), (1070, 1.81e-06), (1080, 1.74e-06), (1090, 1.73e-06), (1100, 1.7e-06), (1120, 1.82e-06),
    (1140, 2.25e-06), (1150, 2.29e-06), (1160, 3.04e-06), (1180, 4.77e-06), (1200, 6.71e-06), (1220, 1.02e-05),
    (1240, 1.22e-05), (1260, 1.32e-05), (1280, 1.33e-05), (1300, 1.32e-05), (1340, 1.34e-05), (1360, 1.42e-05),
    (1370, 1.48e-05), (1380, 1.58e-05), (1390, 1.74e-05), (1400, 1.98e-05), (1410, 3.442e-05), (1420, 5.959e-05),
    (1430, 0.0001028), (1440, 0.0001516), (1449, 0.000203), (1460, 0.0002942), (1471, 0.0003987), (1481, 0.0004941),
    (1493, 0.0005532), (1504, 0.0005373), (1515, 0.0005143), (1527, 0.0004908), (1538, 0.0004594), (1563, 0.0003858),
    (1587, 0.0003105), (1613, 0.0002659), (1650, 0.0002361), (1680, 0.0002046), (1700, 0.0001875), (1730, 0.000165),
    (1760, 0.0001522), (1800, 0.0001411), (1830, 0.0001302), (1850, 0.0001339), (1860, 0.0001432), (1870, 0.0001632),
    (1890, 0.0002566), (1905, 0.0004081), (1923, 0.000706), (1942, 0.001108), (1961, 0.001442), (1980, 0.001614),
    (2000, 0.00164), (2020, 0.001566), (2041, 0.001458), (2062, 0.001267), (2083, 0.001023), (2105, 0.0007586),
    (2130, 0.0005255), (2150, 0.0004025), (2170, 0.0003235), (2190, 0.0002707), (2220, 0.0002228), (2240, 0.0002037),
    (2260, 0.0002078), (2270, 0.0002171), (2290, 0.0002538), (2310, 0.0003138), (2330, 0.0003858), (2350, 0.0004591),
    (2370, 0.0005187), (2390, 0.0005605), (2410, 0.0005956), (2430, 0.0006259), (2460, 0.000682), (2500, 0.000753),
)
# fmt: on


def ice_index(wavelength: ArrayLike) -> Values:
    """Imaginary part of the refractive index of ice at wavelengths [nm], interpolated in its logarithm."""
    nodes, values = np.asarray(_ICE, np.float64).T
    return np.exp(np.interp(np.asarray(wavelength, np.float64), nodes, np.log(values)))


def snow_reflectance(
    wavelength: ArrayLike, geometry: Geometry, radius_mm: ArrayLike = FRESH_MM, soot: ArrayLike = 1e-7
) -> Values:
    """Bidirectional reflectance of deep snow.

    Args:
        wavelength: nanometres ``(L,)``.
        geometry: sun and sensor; the formula holds to a zenith of about 75 degrees.
        radius_mm: effective radius of the grains [mm] ``(...)``, about 0.05 to 2.
        soot: volume of soot per volume of snow grains ``(...)``; 1e-7 is a clean snow pack of the mid-latitudes.

    Returns:
        float64 ``(..., L)``.
    """
    mu_0, mu = np.cos(np.radians(geometry.sun_zenith)), np.cos(np.radians(geometry.view_zenith))
    white = _white(geometry)
    escape = (3.0 * (1.0 + 2.0 * mu_0) / 7.0) * (3.0 * (1.0 + 2.0 * mu) / 7.0)
    return np.asarray(white * np.exp(-_decay(wavelength, radius_mm, soot) * escape / white))


def snow_albedo(wavelength: ArrayLike, radius_mm: ArrayLike = FRESH_MM, soot: ArrayLike = 0.0) -> Values:
    """Albedo of deep snow under diffuse light, ``(..., L)``; arguments as ``snow_reflectance``."""
    return np.exp(-_decay(wavelength, radius_mm, soot))


def _decay(wavelength: ArrayLike, radius_mm: ArrayLike, soot: ArrayLike) -> Values:
    place = np.asarray(wavelength, np.float64)
    radius = np.asarray(radius_mm, np.float64)[..., None] * 1e-3
    index = ice_index(place) + 0.2 * np.asarray(soot, np.float64)[..., None]
    return np.asarray(_SHAPE * np.sqrt(4.0 * np.pi * index / (place * 1e-9) * radius))


def _white(geometry: Geometry) -> float:
    """Reflectance of snow that does not absorb."""
    sun, view = np.radians(geometry.sun_zenith), np.radians(geometry.view_zenith)
    mu_0, mu = np.cos(sun), np.cos(view)
    cosine = -mu * mu_0 - np.sin(sun) * np.sin(view) * np.cos(np.radians(geometry.relative_azimuth))
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    phase = 11.1 * np.exp(-0.087 * angle) + 1.1 * np.exp(-0.014 * angle)
    return float((1.247 + 1.186 * (mu_0 + mu) + 5.157 * mu_0 * mu + phase) / (4.0 * (mu_0 + mu)))
