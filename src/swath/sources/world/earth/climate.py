"""Climate of the simulated Earth: what may be changed about it, and the monthly normals of a place.

Normals follow from the Köppen main groups around a place, its latitude, how far inland it lies, on which side the sea
is, and how green it is. The formulas are simple on purpose: zonal mean temperature and its yearly swing as in textbooks
of climatology (Hartmann 2016, "Global Physical Climatology", chapters 1 and 6), with constants set by hand from the
normals of a few stations; ``tests/world/test_world_climate.py`` holds them against others. Temperatures are given at
sea level; the ground is cooler by ``LAPSE`` per metre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError
from swath.sources.world.frame import Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]

NODE = 1000
"""Finest pixels between the places where climate and weather are worked out: 10 km."""

LAPSE = 0.0065
"""Kelvin per metre of height, as in the International Standard Atmosphere."""

GROUPS = ("tropical", "arid", "temperate", "cold", "polar")
"""Main groups of Köppen and Geiger (A to E), in the order of the first axis of ``Surroundings.groups``."""

# Per group: sea-level mean temperature is ``_WARM - _COOLING * latitude**2``; the yearly swing is multiplied by
# ``_SWING``; the yearly rain goes from ``_DRY`` (bare ground) to ``_WET`` (under forest).
_WARM = (27.8, 31.5, 26.0, 24.0, 25.5)
_COOLING = (0.0030, 0.0077, 0.0058, 0.0066, 0.0070)
_SWING = (0.8, 1.2, 1.2, 1.3, 0.95)
_DRY = (500.0, 50.0, 400.0, 350.0, 100.0)
_WET = (2500.0, 700.0, 1400.0, 750.0, 500.0)


@dataclass(frozen=True)
class Climate:
    """What differs from the climate of today; the defaults change nothing.

    Args:
        warming_degrees: added to every temperature [K], twice as much near the poles as at the equator.
        wetness: times all rain and snow.
        cloudiness: times all cloud shares.
        variability: times all departures of the daily temperature from its normal.

    Raises:
        ConfigError: a number is not finite, or outside what the formulas can bear.
    """

    warming_degrees: float = 0.0
    wetness: float = 1.0
    cloudiness: float = 1.0
    variability: float = 1.0

    def __post_init__(self) -> None:
        bounds = {"warming_degrees": (-10.0, 10.0), "wetness": (0.0, 3.0), "cloudiness": (0.0, 2.0)}
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), bounds.get(field.name, (0.0, 3.0))
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(
                    f"The climate has {field.name} = {value}",
                    expected=f"a number from {low:g} to {high:g}",
                    remedy="choose a milder change, or leave it out for the climate of today",
                )


@dataclass(frozen=True)
class Surroundings:
    """What the climate of places is worked out from; all arrays have the shape of the places ``(...)``.

    Args:
        latitude: degrees.
        groups: shares of ``GROUPS`` among the land around ``(5, ...)``, adding up to one.
        inland: 0 on a small island to 1 far from any sea.
        lee: -1 where the sea lies to the east to 1 where it lies to the west.
        forest: share of forest among the land around.
        bare: share of bare ground among the land around.
        current: how much milder it is than latitude and group tell, 1 for 5 K: near a warm current (northern Europe),
            or where only height puts a place into a cold group.
        evergreen: share of evergreens among the forests around, NaN where there are none; None = nowhere known.
    """

    latitude: Array
    groups: Array
    inland: Array
    lee: Array
    forest: Array
    bare: Array
    current: Array
    evergreen: Array | None = None


SURROUNDINGS = (
    *(f"climate_{name}" for name in GROUPS),
    *("climate_inland", "climate_lee", "climate_forest", "climate_bare", "climate_current", "climate_evergreen"),
)
"""Intermediate layers on pixels of 10 km, from which ``read_surroundings`` reads."""


def read_surroundings(earth: Earth, nodes: Window) -> Surroundings:
    """The surroundings of the pixels of a window of 10 km pixels, arrays ``(y, x)``."""
    layers = earth.read_all(SURROUNDINGS, nodes)
    held = [np.asarray(layers[name], np.float64) for name in SURROUNDINGS]
    x, y = np.meshgrid(nodes.x, nodes.y)
    _, latitude = nodes.zone.lonlat(x, y)
    return Surroundings(latitude, np.stack(held[: len(GROUPS)]), *held[len(GROUPS) :])


_NEAR = 40.0  # km within which groups and land cover count
_RINGS = {100.0: 0.3, 300.0: 0.3, 800.0: 0.25, 1800.0: 0.15}
"""Distances [km] at which land or sea counts for how far inland a place lies, with weights."""
_SIDES = {300.0: 0.3, 800.0: 0.3, 1800.0: 0.2, 3500.0: 0.2}
"""Distances at which it counts for the side on which the sea is."""
_DIRECTIONS = 8
_WOODED = 0.05  # of the land around: forest from which on its kind tells whether trees keep their leaves


def surroundings(earth: Earth, cell: Window) -> dict[str, Array]:
    """Maker of ``SURROUNDINGS`` on pixels of 10 km, from the base around each pixel."""
    x, y = np.meshgrid(cell.x, cell.y)
    lon, lat = cell.zone.lonlat(x, y)
    groups, cover, height = np.zeros((len(GROUPS), *cell.shape)), np.zeros((17, *cell.shape)), np.zeros(cell.shape)
    for distance, angle in ((0.0, 0.0), *((_NEAR, 2.0 * math.pi * step / 8.0) for step in range(8))):
        near = earth.base.sample(*_away(lon, lat, distance, angle))
        groups, cover, height = groups + near.climate, cover + near.cover, height + near.relief
    known = np.maximum(cover[1:].sum(axis=0), 1e-9)
    inland, lee = _seas(earth, lon, lat)
    forest = (cover[1] + cover[2] + cover[3] + cover[4] + cover[5] + 0.5 * cover[8]) / known
    bare = (cover[16] + 0.3 * cover[7]) / known
    woods = cover[1] + cover[2] + cover[3] + cover[4] + cover[5]
    keeping = (cover[1] + cover[2] + 0.5 * cover[5]) / np.maximum(woods, 1e-9)
    evergreen = np.where(woods > _WOODED * known, keeping, np.nan)
    # Where height makes it cold, and high ground warms the air, sea level would be mild: 1.5 K per km. Not so over ice.
    current = 0.3 * np.clip(height / 9000.0, 0.0, 5.0) * np.clip((70.0 - np.abs(lat)) / 20.0, 0.0, 1.0)
    if earth.base.name == "planet":  # the North Atlantic Drift
        current = current + np.exp(-0.5 * ((lon - 12.0) / 24.0) ** 2) * np.clip((lat - 42.0) / 12.0, 0.0, 1.0)
    values = (*(groups / groups.sum(axis=0)), inland, lee, forest, bare, current, evergreen)
    return dict(zip(SURROUNDINGS, values, strict=True))


def _seas(earth: Earth, lon: Array, lat: Array) -> tuple[Array, Array]:
    """How far inland places lie (0 to 1), and on which side the sea is (-1 east to 1 west)."""
    # Winds bring the sea's air from the west in the middle latitudes, from the east in the tropics.
    westerly = 2.0 * np.clip((np.abs(lat) - 25.0) / 10.0, 0.0, 1.0) - 1.0
    inland, total, lee = np.zeros(lon.shape), np.zeros(lon.shape), np.zeros(lon.shape)
    for distance in sorted({*_RINGS, *_SIDES}):
        for step in range(_DIRECTIONS):
            east = math.sin(2.0 * math.pi * step / _DIRECTIONS)
            land = earth.base.sample(*_away(lon, lat, distance, 2.0 * math.pi * step / _DIRECTIONS)).land
            weight = _RINGS.get(distance, 0.0) * (1.0 - 0.6 * westerly * east)
            inland, total = inland + weight * land, total + weight
            lee = lee + _SIDES.get(distance, 0.0) * east * land
    return inland / total, np.clip(lee / 2.0, -1.0, 1.0)


def _away(lon: Array, lat: Array, distance: float, angle: float) -> tuple[Array, Array]:
    """Places ``distance`` km away in the direction ``angle`` (0 north, a quarter turn east), nearly."""
    north = np.clip(lat + distance / 111.2 * math.cos(angle), -89.9, 89.9)
    east = distance / 111.2 * math.sin(angle) / np.maximum(np.cos(np.radians(lat)), 0.1)
    return (lon + east + 180.0) % 360.0 - 180.0, north


@dataclass(frozen=True)
class Normals:
    """Monthly normals of places, January first, each ``(12, ...)``.

    Args:
        temperature: mean at sea level [degrees Celsius].
        rain: rain and melted snow [mm per day].
        wet: share of days with rain or snow.
        cloud: mean share of the sky under cloud.
        spread: standard deviation of the daily mean temperature [K].
        wind: mean wind speed at 10 m [m/s].
    """

    temperature: Array
    rain: Array
    wet: Array
    cloud: Array
    spread: Array
    wind: Array

    def on(self, day_of_year: NDArray[np.int64]) -> Normals:
        """Normals of days, each ``(days, ...)``, linear between the middles of the months.

        Args:
            day_of_year: 0 for the first of January ``(days,)``.
        """
        month = (np.asarray(day_of_year, np.float64) + 0.5) / (365.25 / 12.0) - 0.5
        low = np.floor(month).astype(np.int64)
        share = month - low

        def between(monthly: Array) -> Array:
            late = share.reshape((-1,) + (1,) * (monthly.ndim - 1))
            return monthly[low % 12] * (1.0 - late) + monthly[(low + 1) % 12] * late

        return Normals(**{field.name: between(getattr(self, field.name)) for field in fields(self)})


def normals(around: Surroundings, climate: Climate) -> Normals:
    """Monthly normals of places.

    Args:
        around: the places.
        climate: what differs from today.

    Returns:
        arrays ``(12, ...)``.
    """
    temperature = _temperature(around) + climate.warming_degrees * (1.0 + np.abs(around.latitude) / 90.0)
    rain = _rain(around) * climate.wetness
    wet = _wet_days(temperature, rain)
    # Cloud goes with rain over what the air could evaporate, after Budyko's dryness.
    demand = np.maximum(0.18 * temperature, 0.0) + 0.6
    cloud = 0.14 + 0.62 * np.tanh(1.5 * rain / demand)
    polar = np.clip((np.abs(around.latitude) - 20.0) / 40.0, 0.0, 1.0)
    season = _season(around.latitude, 15.0)  # 1 in the middle of winter, -1 of summer, 0 at the equator
    spread = 0.9 + polar * (2.2 + (0.8 + around.inland) * (1.0 + season)) + 0.8 * around.groups[1]
    wind = 3.2 + 1.6 * (1.0 - around.inland) + 0.6 * season * polar + 1.0 * around.groups[4]
    shape = temperature.shape
    return Normals(
        temperature,
        rain,
        wet,
        np.clip(cloud * climate.cloudiness, 0.0, 0.98),
        np.broadcast_to(spread, shape).copy(),
        np.broadcast_to(np.maximum(wind, 1.0), shape).copy(),
    )


def _wet_days(temperature: Array, rain: Array) -> Array:
    """Share of wet days ``(12, ...)``.

    Over the year a wet day brings more where it is warm, because warm air holds more water. From month to month the
    number of wet days grows with the 0.45th power of the rain (New, Hulme and Jones 2000, Journal of Climate 13,
    2217-2238), so that the few wet days of a dry season are light ones.
    """
    yearly = np.maximum(rain.mean(axis=0), 1e-9)
    per_wet_day = np.clip(5.0 + 0.35 * temperature.mean(axis=0), 3.0, 14.0)
    return np.asarray(np.clip(yearly / per_wet_day * (rain / yearly) ** 0.45, 0.004, 0.8))


def _by_group(groups: Array, values: tuple[float, ...]) -> Array:
    """Mean of ``values`` weighted by the shares of the groups, in a fixed order."""
    total = groups[0] * values[0]
    for share, value in zip(groups[1:], values[1:], strict=True):
        total = total + share * value
    return np.asarray(total)


def _season(latitude: Array, delay: Array | float) -> Array:
    """Cosine of the year ``(12, ...)``: 1 in midwinter of the hemisphere, scaled to fade out towards the equator.

    Args:
        latitude: degrees ``(...)``.
        delay: days by which the season lags behind the sun.
    """
    middle = ((np.arange(12) + 0.5) * (365.25 / 12.0)).reshape((12,) + (1,) * np.ndim(latitude))
    winter = np.cos(2.0 * math.pi * (middle - 355.0 - delay) / 365.25)
    return np.asarray(winter * np.clip(latitude / 10.0, -1.0, 1.0))


def _year(around: Surroundings) -> Array:
    """Yearly mean temperature at sea level ``(...)`` [degrees Celsius]."""
    distance = np.abs(around.latitude)
    squared = around.latitude**2
    year = _by_group(around.groups, _WARM) - _by_group(around.groups, _COOLING) * squared
    # West coasts: cold currents in the subtropics, mild westerlies further polewards; the middle of a continent is
    # colder the further polewards.
    year = year + 1.5 * around.lee * np.clip((distance - 35.0) / 15.0, -1.0, 1.5)
    year = year - 4.0 * around.inland**2 * (squared / 3600.0 - 0.4)
    return np.asarray(year + 5.0 * around.current * (around.groups[3] + around.groups[4]))


def _temperature(around: Surroundings) -> Array:
    """Monthly mean temperature at sea level ``(12, ...)`` [degrees Celsius]."""
    distance, inland = np.abs(around.latitude), around.inland
    harsh = np.clip(1.0 - around.current, 0.0, 1.0)
    swing = 5.0 + 6.0 * inland + 7.0 * inland**3 * harsh - 2.0 * around.lee
    # Anticyclones of the winter in the middle of continents.
    swing = swing + 8.0 * inland**3 * np.clip((distance - 50.0) / 12.0, 0.0, 1.0) * harsh
    swing = np.maximum(swing * _by_group(around.groups, _SWING) * np.sin(np.radians(distance)), 0.6)
    delay = 26.0 + 14.0 * (1.0 - inland)
    return np.asarray(_year(around) - swing * _season(around.latitude, delay))


def _rain(around: Surroundings) -> Array:
    """Monthly rain and snow ``(12, ...)`` [mm per day]."""
    dry, wet = _by_group(around.groups, _DRY), _by_group(around.groups, _WET)
    distance = np.abs(around.latitude)
    _, arid, temperate, cold, polar = around.groups
    green = np.clip(0.35 + 0.65 * around.forest - 0.4 * around.bare, 0.0, 1.0)
    # East coasts of the middle latitudes are wetter than west coasts; cold air holds little water.
    year = (dry + (wet - dry) * green) * (1.0 - 0.4 * around.lee * temperate) / 365.25
    year = year * np.exp(0.05 * np.minimum(_year(around), 0.0))
    # Summer rain: the rain belt follows the sun in the tropics, monsoons and thunderstorms further polewards. Winter
    # rain: westerly storms on the west coasts of the subtropics (Mediterranean climates).
    westerly = np.clip(0.5 + 2.0 * around.lee, 0.0, 1.0) * np.clip(1.0 - np.abs(distance - 36.0) / 9.0, 0.0, 1.0)
    summer = np.clip(distance / 12.0, 0.0, 1.0) * (0.95 - 0.6 * around.forest) * around.groups[0]
    summer = summer + cold * (0.2 + 0.4 * around.inland) + 0.4 * polar
    summer = summer + (0.35 * temperate * np.clip(0.7 - around.lee, 0.0, 1.0) + 0.3 * arid) * (1.0 - westerly)
    summer = summer - 0.9 * westerly * (temperate + arid)
    season = _season(around.latitude, 30.0)
    return np.asarray(np.maximum(year * (1.0 - np.clip(summer, -0.92, 0.92) * season), 0.004))
