"""Whether the sun stands above the horizon of a place.

Low-precision formulas of the Astronomical Almanac (section C, about 0.01 degree between 1950 and 2050): with n days
since J2000.0, mean longitude L = 280.460 + 0.9856474 n, mean anomaly g = 357.528 + 0.9856003 n, ecliptic longitude
L + 1.915 sin g + 0.020 sin 2g and obliquity 23.439 - 0.0000004 n, all in degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_J2000 = np.datetime64("2000-01-01T12:00:00", "ms")
HORIZON = -0.833
"""Geometric elevation of the sun's centre at sunrise [degrees]: refraction of 34' and a radius of 16'."""


def sun_elevation(time: ArrayLike, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """Geometric elevation of the sun above the horizon [degrees].

    Args:
        time: UTC as ``datetime64``; broadcast against the places.
        lon: degrees east.
        lat: degrees north.
    """
    days = (np.asarray(time, "datetime64[ms]") - _J2000) / np.timedelta64(1, "D")
    longitude = 280.460 + 0.9856474 * days
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 0.0000004 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    sidereal = np.radians((280.46061837 + 360.98564736629 * days + np.asarray(lon, np.float64)) % 360.0)
    phi = np.radians(np.asarray(lat, np.float64))
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(sidereal - ascension)
    elevation: NDArray[np.float64] = np.degrees(np.arcsin(np.clip(height, -1.0, 1.0)))
    return elevation


def is_day(time: ArrayLike, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.bool_]:
    """Whether it is between sunrise and sunset there; shapes as ``sun_elevation``."""
    return np.asarray(sun_elevation(time, lon, lat) > HORIZON)
