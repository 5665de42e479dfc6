"""Under which conditions a scene is taken: time, sun, view, sky, instrument; the rest follows from the truth."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import Geod, Transformer

from swath.cubes.assemble import parse_time
from swath.errors import ConfigError, InputError
from swath.rng import generator
from swath.rng import key as named_key
from swath.sources.world.render.atmosphere import SUN_LIMIT, Atmosphere
from swath.sources.world.render.clouds import Layer, Ray
from swath.sources.world.render.resolution import TruthGrid
from swath.sources.world.render.sun import overpass_time, sun_position

_DATE_ONLY = re.compile(r"\s*\d{4}-\d{2}-\d{2}\s*")
_ZONE = 6.0  # degrees of longitude over which an overpass counts as one moment
_AEROSOL_ERROR = (0.03, 0.1)  # constant and relative part of the error of retrieved aerosol, one standard deviation
_ELLIPSOID = Geod(ellps="WGS84")

MAX_AEROSOL = 1.2
"""Largest aerosol optical depth that the atmosphere's table holds."""


@dataclass(frozen=True)
class Conditions:
    """Everything about an observation that is neither truth nor sensor; None follows from truth, time and seed.

    Azimuths are degrees clockwise from the north of the grid, which in UTM is the true north to within three degrees.

    Args:
        atmosphere: aerosol, water vapour and ozone; None: ``truth.attrs`` ``aerosol`` (optical depth at 550 nm),
            ``water_vapour`` [g cm-2] and ``ozone`` [cm-atm], where present, and defaults.
        cloud_fraction: share of a large area under low cloud; None: ``truth.attrs['cloud_fraction']``, else 0. It is
            an expectation: clouds are kilometres wide, and a small scene may be all clear or all grey.
        cirrus_fraction: the same of cirrus; None: half of ``cloud_fraction``.
        cloud_height, cirrus_height: range above the ground [m]; one height a scene is drawn from it.
        cloud_thickness, cirrus_thickness: range of the optical thickness one standard deviation inside the edge.
        wind_speed: at 10 m [m s-1]; radar alone asks for it. None: ``truth.attrs['wind_speed']``, else 4.
        view_zenith, view_azimuth: of the satellite seen from the ground [degrees].
        sun: (zenith, azimuth) instead of what time and place say [degrees].
        platform: which satellite, such as ``sentinel2b``; None: the first.
        orbit: ``ascending`` or ``descending``; radar alone asks for it.
        radar_incidence: angle of the radar's look from the vertical [degrees].
        noise: whether the detector is noisy.
        point_spread: whether it is blurred.
        terrain_reach: how far terrain casts shadows [m].
        aerosol_error: what surface products take the aerosol's optical depth too large by; None: drawn with the
            standard deviation 0.03 + 0.1 of the optical depth.
        baseline: processing baseline of the product, where the date does not tell it; at level 1 of Landsat 7 the gain.

    Raises:
        ConfigError: a share outside 0 to 1, an angle or a range that cannot be.
    """

    atmosphere: Atmosphere | None = None
    cloud_fraction: float | None = None
    cirrus_fraction: float | None = None
    cloud_height: tuple[float, float] = (900.0, 2500.0)
    cirrus_height: tuple[float, float] = (8000.0, 11000.0)
    cloud_thickness: tuple[float, float] = (6.0, 30.0)
    cirrus_thickness: tuple[float, float] = (0.1, 0.8)
    wind_speed: float | None = None
    view_zenith: float = 0.0
    view_azimuth: float = 100.0
    sun: tuple[float, float] | None = None
    platform: str | None = None
    orbit: str = "descending"
    radar_incidence: float = 38.0
    noise: bool = True
    point_spread: bool = True
    terrain_reach: float = 1500.0
    aerosol_error: float | None = None
    baseline: str | None = None

    def __post_init__(self) -> None:
        for name in ("cloud_fraction", "cirrus_fraction"):
            share = getattr(self, name)
            if share is not None and not 0.0 <= share <= 1.0:
                raise _refused(f"{name} is {share}", "a share from 0 to 1", "divide percent by 100")
        for name in ("cloud_height", "cirrus_height", "cloud_thickness", "cirrus_thickness"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high < math.inf:
                raise _refused(f"{name} is ({low}, {high})", "two rising numbers of at least 0", "swap them")
        if not 0.0 <= self.view_zenith <= 30.0:
            raise _refused(
                f"view_zenith is {self.view_zenith:g} degrees",
                "0 to 30: these sensors look almost straight down (Sentinel-2 to 12 degrees)",
                "give the angle from the vertical",
            )
        if self.sun is not None and not 0.0 <= self.sun[0] <= SUN_LIMIT:
            raise _refused(f"The sun's zenith angle is {self.sun[0]:g} degrees", f"0 to {SUN_LIMIT:g}", "raise the sun")
        if not 0.0 <= self.terrain_reach <= 20_000.0:
            raise _refused(
                f"terrain_reach is {self.terrain_reach:g} m",
                "0 to 20,000 m",
                "0 leaves cast shadows out; 1500 is usual",
            )
        if self.wind_speed is not None and not 0.0 <= self.wind_speed <= 60.0:
            raise _refused(f"wind_speed is {self.wind_speed:g} m/s", "0 to 60 m/s", "give metres per second")
        if self.orbit not in ("ascending", "descending"):
            raise _refused(f"orbit is '{self.orbit}'", "ascending or descending", "choose one of them")


@dataclass(frozen=True)
class Moment:
    """Conditions without gaps.

    Args:
        time: of the acquisition, UTC.
        seed: names all random streams.
        atmosphere: as it is.
        retrieved: as the processing to surface reflectance believes it is.
        clouds: low layer, then cirrus.
        wind_speed: m s-1.
        said: what the caller gave.
    """

    time: np.datetime64
    seed: int
    atmosphere: Atmosphere
    retrieved: Atmosphere
    clouds: tuple[Layer, Layer]
    wind_speed: float
    said: Conditions

    @property
    def view(self) -> Ray:
        """The direction to the satellite."""
        return Ray(self.said.view_zenith, self.said.view_azimuth)


def seed_of(rng: int | np.random.Generator) -> int:
    """The seed that names the streams of a scene: the number itself, or 63 bits drawn from a generator.

    Raises:
        ConfigError: neither a whole number nor a generator.
    """
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        return int(rng)
    raise _refused(f"rng is {rng!r}", "a whole number or a numpy Generator", "give rng=0 or another seed")


def moment_of(truth: xr.Dataset, grid: TruthGrid, time: Any, hour: float, rng: Any, said: Conditions) -> Moment:
    """Fill the gaps of the conditions.

    Args:
        truth: its ``attrs`` may hold aerosol, water_vapour, ozone, cloud_fraction and wind_speed.
        grid: of the truth.
        time: a date (the satellite then comes at ``hour``), or a moment in UTC.
        hour: mean local solar time of the overpass.
        rng: seed or generator.
        said: by the caller.

    Raises:
        InputError: no time, or one outside 1980 to 2100; an attribute of the truth that is no number in its range.
    """
    when, seed = acquisition_time(time, grid, hour), seed_of(rng)
    air = said.atmosphere or _atmosphere_of(truth)
    constant, relative = _AEROSOL_ERROR
    error = said.aerosol_error
    if error is None:
        spread = constant + relative * air.aerosol_optical_depth
        error = spread * float(generator(seed, "aerosol error", str(when)).standard_normal())
    believed = replace(air, aerosol_optical_depth=min(max(air.aerosol_optical_depth + error, 0.0), MAX_AEROSOL))
    share = said.cloud_fraction
    if share is None:
        share = _attribute(truth, "cloud_fraction", 0.0, (0.0, 1.0))
    wind = said.wind_speed if said.wind_speed is not None else _attribute(truth, "wind_speed", 4.0, (0.0, 60.0))
    return Moment(when, seed, air, believed, _clouds(said, share, seed, when), wind, said)


def acquisition_time(time: Any, grid: TruthGrid, hour: float) -> np.datetime64:
    """The moment of acquisition, ``datetime64[s]`` in UTC.

    A date alone means the overpass at ``hour`` of mean solar time in the middle of the six degrees of longitude (the
    UTM zone) that the truth's centre lies in: neighbouring windows are then seen at the same moment.

    Raises:
        InputError: no time, or one outside 1980 to 2100.
    """
    day_only = (
        (isinstance(time, str) and bool(_DATE_ONLY.fullmatch(time)))
        or (isinstance(time, date) and not isinstance(time, datetime))
        or (isinstance(time, np.datetime64) and np.datetime_data(time.dtype)[0] == "D")
    )
    when = parse_time(time.isoformat() if type(time) is date else time)
    if when is None or not np.datetime64("1980") <= when < np.datetime64("2101"):
        raise InputError(
            f"The time {time} lies outside of the years that can be simulated",
            expected="a time from 1980-01-01 to 2100-12-31",
            remedy="choose a date in that range: beyond it neither orbits nor climate are described",
        )
    if not day_only:
        return when.astype("datetime64[s]")
    place = grid.place
    centre = (place.column + place.width / 2) * grid.gsd, -(place.row + place.height / 2) * grid.gsd
    lon = float(_lonlat(grid, np.array([centre[0]]), np.array([centre[1]]))[0][0])
    middle = (math.floor(lon / _ZONE) + 0.5) * _ZONE
    return np.datetime64(overpass_time(when.astype("datetime64[D]"), middle, hour).item(), "s")


def sun_over(grid: TruthGrid, x: NDArray[np.float64], y: NDArray[np.float64], moment: Moment) -> list[Ray]:
    """The sun over places of the grid's plane, its azimuth from the north of the grid.

    Args:
        grid: of the truth.
        x: eastings ``(N,)`` [m].
        y: northings ``(N,)`` [m].
        moment: when; an override of the sun wins.

    Raises:
        InputError: the sun is below the horizon or too low there.
    """
    if moment.said.sun is not None:
        return [Ray(float(moment.said.sun[0]), float(moment.said.sun[1]) % 360.0)] * len(x)
    lon, lat = _lonlat(grid, x, y)
    zenith, azimuth = sun_position(moment.time, lon, lat)
    highest = float(zenith.max(initial=0.0))
    if highest > SUN_LIMIT:
        worst = int(zenith.argmax())
        state = "below the horizon" if highest >= 90.0 else f"only {90.0 - highest:.1f} degrees above the horizon"
        night = " (polar night)" if highest >= 90.0 and abs(lat[worst]) > 60.0 else ""
        raise InputError(
            f"The sun stands {state}{night} at {lat[worst]:.2f} N, {lon[worst]:.2f} E on {moment.time} UTC",
            expected=f"a zenith angle of at most {SUN_LIMIT:g} degrees",
            remedy="choose a brighter day or hour, a radar sensor, or Conditions(sun=(zenith, azimuth))",
        )
    north_lon, north_lat = _lonlat(grid, x, y + 1000.0)
    bearing, _, _ = _ELLIPSOID.inv(lon, lat, north_lon, north_lat)
    turned = (azimuth - np.asarray(bearing)) % 360.0
    return [Ray(float(a), float(b)) for a, b in zip(zenith, turned, strict=True)]


def _lonlat(
    grid: TruthGrid, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lon, lat = Transformer.from_crs(grid.crs.to_wkt(), 4326, always_xy=True).transform(x, y)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise InputError(
            f"The truth reaches beyond what its CRS ({grid.crs}) can show",
            expected="a place on the Earth",
            remedy="check the coordinates of the truth",
        )
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def _atmosphere_of(truth: xr.Dataset) -> Atmosphere:
    """What the truth's attributes say of the air."""
    usual = Atmosphere()
    return Atmosphere(
        _attribute(truth, "aerosol", usual.aerosol_optical_depth, (0.0, MAX_AEROSOL)),
        _attribute(truth, "water_vapour", usual.water_vapour_g_cm2, (0.0, 8.0)),
        _attribute(truth, "ozone", usual.ozone_cm_atm, (0.0, 0.7)),
    )


def _clouds(said: Conditions, share: float, seed: int, when: np.datetime64) -> tuple[Layer, Layer]:
    """One low layer and one of cirrus: the same sky for every sensor that looks at that moment."""
    cirrus = 0.5 * share if said.cirrus_fraction is None else said.cirrus_fraction
    stamp = str(when)
    draw = generator(seed, "clouds", stamp).uniform
    low_height, low_depth = float(draw(*said.cloud_height)), _log_uniform(draw, said.cloud_thickness)
    high_height, high_depth = float(draw(*said.cirrus_height)), _log_uniform(draw, said.cirrus_thickness)
    keys = (named_key(seed, "low cloud", stamp), named_key(seed, "cirrus", stamp))
    return (
        Layer(keys[0], share, low_height, low_depth, 4000.0, 6, False),
        Layer(keys[1], cirrus, high_height, high_depth, 16_000.0, 5, True),
    )


def _log_uniform(draw: Any, limits: tuple[float, float]) -> float:
    low, high = (math.log(max(value, 1e-6)) for value in limits)
    return math.exp(float(draw(low, high)))


def _attribute(truth: xr.Dataset, name: str, default: float, limits: tuple[float, float]) -> float:
    value = truth.attrs.get(name, default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not limits[0] <= number <= limits[1]:
        raise InputError(
            f"The truth's attribute '{name}' is {value!r}",
            expected=f"a number from {limits[0]:g} to {limits[1]:g}",
            remedy="correct truth.attrs, or give the value in Conditions",
        )
    return number


def _refused(given: str, expected: str, remedy: str) -> ConfigError:
    return ConfigError(given, expected=expected, remedy=remedy)
