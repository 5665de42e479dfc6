"""What past weather has added up to: warmth, wetness of the ground, drought, snow; and the danger of fire.

Each index looks back over a fixed number of days, at most ``MEMORY``, so any day can be worked out alone. As they
depend on height through the temperature, they are worked out on the nodes of the weather for levels of ``LEVEL``
metres, and read linearly between nodes and levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.sources.world.earth.climate import LAPSE, normals, read_surroundings
from swath.sources.world.earth.weather import Array, Weather, checked_day, node_shares, nodes_around, on_nodes
from swath.sources.world.frame import Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

MEMORY = 365
"""Days that an index looks back at most."""

LEVEL = 200.0
"""Metres of height between levels."""

GROWTH = 5.0
"""Degrees Celsius above which warmth counts for growth."""

_DRYING = 0.9  # share of the antecedent wetness that is left after a day (Kohler and Linsley 1951: 0.85 to 0.98)
_WET_MEMORY = 40  # days; what is left of older rain is below 2 %
_MELT = 3.5  # mm per day and kelvin above freezing (degree-day factor, Hock 2003: 2.5 to 5.5 for snow)
_SNOW_BELOW, _RAIN_ABOVE = 0.0, 2.0  # degrees: all snow, all rain, a mixture between
_FULL = 203.2  # mm of water that the drought index of Keetch and Byram lets go missing at most
_INTERCEPTED = 5.08  # mm of each wet spell that do not reach the soil


@dataclass(frozen=True)
class Indices:
    """Indices of one day at the pixels of a window, each ``(H, W)``.

    Args:
        degree_days: sum of daily means above ``GROWTH`` since the middle of winter of the hemisphere [K day].
        antecedent_rain: past rain and melt water, each day ago counting a tenth less [mm].
        drought: Keetch-Byram drought index as a share of its maximum, 0 (soaked) to 1.
        snow_water: water in the snow on the ground [mm].
    """

    degree_days: Array
    antecedent_rain: Array
    drought: Array
    snow_water: Array


def indices(earth: Earth, window: Window, day: np.datetime64, elevation: NDArray[np.floating[Any]]) -> Indices:
    """Indices of a day.

    Args:
        earth: gives seed, climate and what lies around.
        window: pixels.
        day: of 1980 to 2100.
        elevation: of the pixels [m] ``(H, W)``; numbers that are not finite count as sea level.

    Raises:
        InputError: the day lies outside 1980 to 2100.
    """
    known, nodes = checked_day(day), nodes_around(window)
    height = np.nan_to_num(np.asarray(elevation, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if height.size == 0:
        return Indices(height, height.copy(), height.copy(), height.copy())
    low, levels = levels_of(height)
    past = on_nodes(earth, nodes, np.arange(known - MEMORY, known + 1))
    surroundings = read_surroundings(earth, nodes)
    yearly = np.asarray(normals(surroundings, earth.climate).rain.mean(axis=0) * 365.25)
    found = on_levels(past, levels, surroundings.latitude, yearly)
    return Indices(*between_levels(np.stack(found), low, nodes, window, height))


def levels_of(height: Array) -> tuple[int, Array]:
    """The number of the lowest level that some heights need, and all levels that they need [m]."""
    low, high = int(np.floor(height.min() / LEVEL)), int(np.floor(height.max() / LEVEL)) + 1
    return low, np.asarray(np.arange(low, high + 1) * LEVEL, np.float64)


def midwinters(day: np.datetime64) -> tuple[np.datetime64, np.datetime64]:
    """Where the growing season of a day begins: 1 January in the north, the last 1 July in the south."""
    year = day.astype("datetime64[Y]")
    july = year.astype("datetime64[M]") + 6
    south = july if july <= day else july - 12
    return year.astype("datetime64[D]"), south.astype("datetime64[D]")


def angstrom(temperature: Array, humidity: Array) -> Array:
    """Fire index of Angström: below 2 fires are very likely, above 4 unlikely (Chandler et al. 1983, Fire in Forestry).

    Args:
        temperature: at midday [degrees Celsius].
        humidity: relative, 0 to 1, at midday.
    """
    return np.asarray(humidity * 5.0 + (27.0 - temperature) / 10.0)


def on_levels(past: Weather, levels: Array, latitude: Array, yearly_rain: Array) -> tuple[Array, Array, Array, Array]:
    """The four indices of the last day of ``past`` on nodes and levels, each ``(level, y, x)``.

    Args:
        past: weather of ``MEMORY`` + 1 days, at least of one.
        levels: heights [m] ``(level,)``.
        latitude: of the nodes ``(y, x)``.
        yearly_rain: normal rain of the nodes [mm per year].
    """
    shape = (len(levels), *past.temperature.shape[1:])
    degrees, snow, wet, missing, spell = (np.zeros(shape) for _ in range(5))
    missing = missing + 0.3 * _FULL  # forgotten long before the last day wherever it rains or is warm
    count = len(past.days)
    for step in range(count):
        warmth = past.temperature[step] - LAPSE * levels[:, None, None]
        rain = np.broadcast_to(past.rain[step], shape)
        frozen = rain * np.clip((_RAIN_ABOVE - warmth) / (_RAIN_ABOVE - _SNOW_BELOW), 0.0, 1.0)
        melt = np.minimum(snow + frozen, _MELT * np.maximum(warmth, 0.0))
        snow = snow + frozen - melt
        water = rain - frozen + melt
        if count - 1 - step <= _WET_MEMORY:
            wet = wet * _DRYING + water
        degrees = degrees + np.maximum(warmth - GROWTH, 0.0) * _this_season(past.days[step], past.days[-1], latitude)
        missing, spell = _drier(missing, spell, water, warmth + 0.5 * past.swing[step], yearly_rain)
    return degrees, wet, missing / _FULL, snow


def _drier(missing: Array, spell: Array, water: Array, hottest: Array, yearly_rain: Array) -> tuple[Array, Array]:
    """One day of the index of Keetch and Byram (1968), metric as in Crane (1982), corrected by Alexander (1990).

    Args:
        missing: water that the soil lacks [mm].
        spell: rain of the wet spell so far [mm].
        water: rain and melt water of the day [mm].
        hottest: maximum temperature of the day [degrees Celsius].
        yearly_rain: normal [mm].
    """
    before = np.minimum(spell, _INTERCEPTED)
    spell = np.where(water > 0.1, spell + water, 0.0)
    reaching = np.maximum(water - (_INTERCEPTED - before), 0.0)
    missing = np.maximum(missing - reaching, 0.0)
    # Plants transpire more where more rain lets more of them grow.
    drawn = 0.968 * np.exp(0.0875 * np.minimum(hottest, 50.0) + 1.5552) - 8.30
    loss = 1e-3 * (_FULL - missing) * drawn / (1.0 + 10.88 * np.exp(-0.001736 * yearly_rain))
    return np.clip(missing + np.maximum(loss, 0.0), 0.0, _FULL), spell


def _this_season(day: np.datetime64, last: np.datetime64, latitude: Array) -> NDArray[np.bool_]:
    """Whether a day lies in the growing season of the last day."""
    north, south = midwinters(last)
    return np.where(latitude >= 0.0, day >= north, day >= south)


def between_levels(fields: Array, low: int, nodes: Window, window: Window, height: Array) -> Array:
    """Values ``(index, level, y, x)`` at pixels of given heights ``(H, W)``, linear between nodes and levels."""
    row, row_share, column, column_share = node_shares(nodes, window)
    along = fields[..., column] * (1.0 - column_share) + fields[..., column + 1] * column_share
    table = np.ascontiguousarray(np.moveaxis(along, 0, -1))  # (level, node row, W, index): one look-up for all
    scaled = height / LEVEL - low
    level = np.floor(scaled).astype(np.int64)
    share, share_row = (scaled - level)[..., None], row_share[:, None, None]
    here, row = np.arange(window.width), row[:, None]
    lower = table[level, row, here] * (1.0 - share) + table[level + 1, row, here] * share
    upper = table[level, row + 1, here] * (1.0 - share) + table[level + 1, row + 1, here] * share
    return np.moveaxis(lower * (1.0 - share_row) + upper * share_row, -1, 0)
