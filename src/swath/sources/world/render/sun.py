"""Where the sun stands: zenith, azimuth and distance for any place and any time from 1980 to 2100.

The low-accuracy solar theory of Meeus, Astronomical Algorithms (2nd edition 1998), chapters 12, 22 and 25: about 0.01
degree. Angles are geometric, without refraction, as radiative transfer codes want them. The difference between
terrestrial and universal time (about a minute) and the sun's parallax (0.002 degree) are neglected.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.errors import InputError

FIRST = np.datetime64("1980-01-01T00:00:00", "s")
LAST = np.datetime64("2101-01-01T00:00:00", "s")
_J2000 = np.datetime64("2000-01-01T12:00:00", "us")

Angles = NDArray[np.float64]


def sun_position(time: Any, lon: ArrayLike, lat: ArrayLike) -> tuple[Angles, Angles]:
    """Zenith and azimuth of the sun.

    Args:
        time: UTC as ``datetime64`` or as whole seconds since 1970; any shape, broadcast against the places.
        lon: degrees east, any range.
        lat: degrees north, -90 to 90.

    Returns:
        zenith (0 to 180) and azimuth (0 to 360, clockwise from north), both in degrees and of the broadcast shape.
        At a pole north is the direction that it has along the meridian ``lon``.

    Raises:
        InputError: a time outside 1980 to 2100, a latitude beyond a pole, or a coordinate that is not a number.
    """
    days = _days(time)
    longitude, latitude = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    if not (np.isfinite(longitude).all() and (np.abs(latitude) <= 90).all()):
        raise InputError(
            "A place has a coordinate that is not a number, or a latitude beyond a pole",
            expected="degrees east, and degrees north between -90 and 90",
            remedy="give lon and lat in degrees, in this order",
        )
    right_ascension, declination, _ = _sun(days)
    hour = np.radians(_sidereal(days) + longitude) - right_ascension
    phi = np.radians(latitude)
    # Unit vector to the sun in the local frame; arctan2 keeps full precision at the zenith and at the horizon.
    east = -np.cos(declination) * np.sin(hour)
    north = np.sin(declination) * np.cos(phi) - np.cos(declination) * np.cos(hour) * np.sin(phi)
    up = np.sin(declination) * np.sin(phi) + np.cos(declination) * np.cos(hour) * np.cos(phi)
    zenith = np.degrees(np.arctan2(np.hypot(east, north), up))
    azimuth = np.degrees(np.arctan2(east, north)) % 360.0
    return zenith, np.broadcast_to(azimuth, zenith.shape).copy()


def earth_sun_distance(time: Any) -> Angles:
    """Distance from the earth to the sun in astronomical units; irradiance goes with its inverse square.

    Args:
        time: as in ``sun_position``.

    Raises:
        InputError: a time outside 1980 to 2100.
    """
    return np.asarray(_sun(_days(time))[2])


def overpass_time(date: Any, lon: ArrayLike, hour: ArrayLike) -> NDArray[np.datetime64]:
    """The moment (UTC) when the mean solar time at a longitude is ``hour`` on a local calendar day.

    Sun-synchronous satellites are specified this way: Sentinel-2 crosses at 10.5 and Landsat at about 10.2 hours.

    Args:
        date: local calendar day as ``datetime64`` (a time of day is cut off) or ISO text such as ``2024-06-01``.
        lon: degrees east, any range; taken as -180 to 180, so that the day is the one that people there would name.
        hour: mean solar time in hours, 0 to 24.

    Returns:
        ``datetime64[s]`` of the broadcast shape.

    Raises:
        InputError: a date outside 1980 to 2100, an hour outside 0 to 24, or a longitude that is not a number.
    """
    day = np.asarray(date, dtype="datetime64[D]")
    longitude, solar = np.asarray(lon, dtype=np.float64), np.asarray(hour, dtype=np.float64)
    if not (np.isfinite(longitude).all() and ((solar >= 0) & (solar <= 24)).all()):
        raise InputError(
            "A longitude is not a number, or an hour lies outside of the day",
            expected="degrees east, and an hour between 0 and 24",
            remedy="give the longitude in degrees and the mean solar time in hours",
        )
    west_to_east = (longitude + 180.0) % 360.0 - 180.0
    seconds = np.round(3600.0 * solar - 240.0 * west_to_east).astype("timedelta64[s]")
    moment = day.astype("datetime64[s]") + seconds
    _days(day)
    return np.asarray(moment)


def local_solar_time(time: Any, lon: ArrayLike) -> Angles:
    """Mean solar time in hours, 0 to 24, at a longitude in degrees east; the inverse of ``overpass_time``."""
    days = _days(time)
    return np.asarray((24.0 * (days + 0.5) + np.asarray(lon, dtype=np.float64) / 15.0) % 24.0)


def _days(time: Any) -> Angles:
    """Days since 2000-01-01 12:00 UTC."""
    given = np.asarray(time)
    if given.dtype.kind in "iu":
        given = given.astype("datetime64[s]")
    if given.dtype.kind == "U":
        given = given.astype("datetime64[us]")
    if given.dtype.kind != "M":
        raise InputError(
            f"A time has the type {given.dtype}",
            expected="datetime64 in UTC, or whole seconds since 1970",
            remedy="convert it, for example with numpy.datetime64('2024-06-01T10:30')",
        )
    if not ((given >= FIRST) & (given < LAST)).all():
        raise InputError(
            "A time lies outside of the years 1980 to 2100, or is missing",
            expected="a time from 1980-01-01 to 2100-12-31",
            remedy="choose a date in that range: beyond it neither orbits nor climate are described",
        )
    return np.asarray((given.astype("datetime64[us]") - _J2000) / np.timedelta64(86_400_000_000, "us"))


def _sidereal(days: Angles) -> Angles:
    """Mean sidereal time at Greenwich in degrees (Meeus 12.4); its nutation (below 0.005 degree) is left out."""
    centuries = days / 36525.0
    return np.asarray(280.46061837 + 360.98564736629 * days + 0.000387933 * centuries**2) % 360.0


def _sun(days: Angles) -> tuple[Angles, Angles, Angles]:
    """Apparent right ascension and declination in radians, and distance in astronomical units (Meeus 25)."""
    t = days / 36525.0
    mean_longitude = 280.46646 + 36000.76983 * t + 0.0003032 * t**2
    anomaly = np.radians(357.52911 + 35999.05029 * t - 0.0001537 * t**2)
    eccentricity = 0.016708634 - 0.000042037 * t - 0.0000001267 * t**2
    centre = (
        (1.914602 - 0.004817 * t - 0.000014 * t**2) * np.sin(anomaly)
        + (0.019993 - 0.000101 * t) * np.sin(2 * anomaly)
        + 0.000289 * np.sin(3 * anomaly)
    )
    distance = 1.000001018 * (1 - eccentricity**2) / (1 + eccentricity * np.cos(anomaly + np.radians(centre)))
    node = np.radians(125.04 - 1934.136 * t)
    # Aberration and nutation in longitude, then nutation in obliquity.
    longitude = np.radians(mean_longitude + centre - 0.00569 - 0.00478 * np.sin(node))
    obliquity = np.radians(23.43929111 - 0.013004167 * t - 1.639e-7 * t**2 + 0.00256 * np.cos(node))
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))
    return right_ascension, np.arcsin(np.sin(obliquity) * np.sin(longitude)), distance
