"""Floods: rivers rise with the rain of the days before, and water stands where it can get to and the ground is lower.

The rain of past days, weighted by a unit hydrograph (Nash 1957: a cascade of linear reservoirs, here ``STORES`` of
``STORE_DAYS``), gives the flow of a day. What exceeds the flood of two years, which fills the banks (Leopold, Wolman
and Miller 1964, "Fluvial processes in geomorphology"), raises the level. Ground is under water where its height above
the stream that it drains into is less than that level (HAND: Nobre et al. 2011, Journal of Hydrology 404, 13-29), and
where the water has a way to it that is low enough (``flood_sill`` of the drainage); so floods hang together with their
rivers, and hollows behind higher ground stay dry until it is overtopped.

Within a pixel heights are normally distributed about their mean, as wide as the slope and the micro-relief make them,
so that the shore of a flood is a strip of mixed pixels, wide on plains and narrow at steep banks. Where water fell or
drained away, mud is left, which dries from above within weeks.

Levels live on the nodes of the weather and are read linearly, so floods rise and fall over days and hang together over
cells. Melting snow raises no level in this version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.special import gammainc, ndtr

from swath.sources.world.earth.weather import between_nodes, checked_day, nodes_around, on_nodes
from swath.sources.world.events.kept import Kept
from swath.sources.world.frame import PIXEL, Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]

STORES, STORE_DAYS = 3, 2.0
MEMORY = 30
"""Days of rain that count; the weight of older rain is below a ten-thousandth."""

REFERENCE = np.datetime64("1981-01-01"), np.datetime64("1990-12-31")
"""Days whose greatest flow of each year tells the flood of two years, as its median."""

RISE, HIGHEST = 2.5, 6.0
"""Metres that the level rises for every flow of full banks on top, and metres that it rises at most."""

MICRO_RELIEF = 0.12
"""Standard deviation of the ground within a level 10 m pixel [m]: a round number between the centimetres of a tilled
field (Zobeck and Onstad 1987, Soil and Tillage Research 9, 1-20) and the decimetres of the ridges and swales of a flood
plain."""

MUD_DAYS, DRYING_DAYS = 40, 25.0
"""Days back from which mud may be left, and days in which the height up to which it is wet falls to a share of 1/e."""

LAYERS = ("height_above_drainage", "slope", "open_water")
"""Static layers that ``standing`` reads, besides ``flood_sill`` where the planet has it."""

_SEEN = 1.0 / 256.0  # of a pixel: smaller shares of flood water count as none
_AREA_STEP, _AREA_REACH = 25, 8  # finest pixels of the layer of catchments; its pixels in 2 km
_INNER = slice(_AREA_REACH, -_AREA_REACH)
_FROZEN, _MELTED = 0.0, 2.0  # degrees Celsius: all snow, all rain

_KEPT: Kept[Array] = Kept(512)


def hydrograph() -> Array:
    """Weights of the rain of today, yesterday and so on ``(MEMORY,)``, adding up to one."""
    reached = gammainc(STORES, np.arange(MEMORY + 1) / STORE_DAYS)
    return np.asarray(np.diff(reached) / reached[-1])


def flow(rain: Array) -> Array:
    """Flow from past rain, for every day that has ``MEMORY`` days of rain up to it.

    Args:
        rain: ``(day, y, x)`` [mm].

    Returns:
        ``(day - MEMORY + 1, y, x)`` [mm per day].
    """
    days = len(rain) - MEMORY + 1
    total = np.zeros((days, *rain.shape[1:]))
    for back, weight in enumerate(hydrograph()):
        first = MEMORY - 1 - back
        total = total + weight * rain[first : first + days]
    return total


def level_of(flow: Array, full: Array) -> Array:
    """Metres that rivers stand above their banks.

    Args:
        flow: of the day [mm per day].
        full: flow that fills the banks [mm per day].
    """
    return np.clip(RISE * (flow / full - 1.0), 0.0, HIGHEST)


def bankfull(flows: Array, days: NDArray[np.datetime64]) -> Array:
    """Flow that fills the banks ``(y, x)`` [mm per day]: median over years of their greatest flow, at least 1 mm.

    Args:
        flows: ``(day, y, x)``.
        days: of the flows ``(day,)``; whole years.
    """
    years = days.astype("datetime64[Y]")
    greatest = [flows[years == year].max(axis=0) for year in np.unique(years)]
    return np.maximum(np.median(np.stack(greatest), axis=0), 1.0)


def level(earth: Earth, window: Window, day: Any) -> Array:
    """Level of rivers above the usual at the pixels of a window ``(H, W)`` [m], as the largest rivers have it.

    Raises:
        InputError: the day lies outside 1980 to 2100.
    """
    known, nodes = checked_day(day), nodes_around(window)
    return between_nodes(_on_nodes(earth, nodes, known, known)[0], nodes, window)


def highest_levels(earth: Earth, window: Window, first: np.datetime64, last: np.datetime64) -> Array:
    """Greatest level on the nodes around a window for each day from ``first`` to ``last`` ``(day,)`` [m]."""
    return np.asarray(_on_nodes(earth, nodes_around(window), first, last).max(axis=(1, 2)))


def _on_nodes(earth: Earth, nodes: Window, first: np.datetime64, last: np.datetime64) -> Array:
    """Levels of days on nodes ``(day, y, x)`` [m]."""

    def banks() -> Array:
        return bankfull(_flows(earth, nodes, *REFERENCE), np.arange(REFERENCE[0], REFERENCE[1] + 1))

    # Rivers made their banks in the climate of today.
    full = _KEPT.get(earth, nodes, banks) / max(earth.climate.wetness, 0.1)
    return level_of(_flows(earth, nodes, first, last), full)


def _flows(earth: Earth, nodes: Window, first: np.datetime64, last: np.datetime64) -> Array:
    past = on_nodes(earth, nodes, np.arange(first - MEMORY + 1, last + 1))
    return flow(past.rain * np.clip((past.temperature - _FROZEN) / (_MELTED - _FROZEN), 0.0, 1.0))


def standing(earth: Earth, window: Window, level: Array) -> tuple[Array, Array]:
    """Flood water at a level of the rivers.

    Args:
        earth: the planet.
        window: finest pixels.
        level: of rivers above the usual [m] ``(H, W)``.

    Returns:
        share of each pixel under flood water, and its mean depth there [m], each ``(H, W)``; 0 where there is water
        anyway.
    """
    if not (level > 0.0).any():
        return np.zeros(window.shape), np.zeros(window.shape)
    known = earth.read_all((*LAYERS, *(("flood_sill",) if "flood_sill" in earth.layers else ())), window)
    height = np.asarray(known["height_above_drainage"], np.float64)
    spread = spread_of(np.asarray(known["slope"], np.float64))
    share, depth = under_water(level, height, spread)
    # The sill is one of mean heights; water finds the low places of its pixels, too.
    reached = level > np.asarray(known.get("flood_sill", height), np.float64) - 2.0 * spread
    flooded = reached & (known["open_water"] < 1.0) & (share >= _SEEN)
    return np.where(flooded, share, 0.0), np.where(flooded, depth, 0.0)


def spread_of(slope: Array) -> Array:
    """Standard deviation of the ground within 10 m pixels [m], from their slope [degree] and the micro-relief."""
    tilted = PIXEL * np.tan(np.radians(slope)) / np.sqrt(12.0)
    return np.asarray(np.hypot(tilted, MICRO_RELIEF))


def under_water(level: Array, height: Array, spread: Array) -> tuple[Array, Array]:
    """Share of pixels below a level, and the mean depth of water there [m].

    Heights within a pixel are normal, cut off at 0: below that the pixel would be stream already.

    Args:
        level: of the water above the drainage [m].
        height: mean of the pixel above the drainage, 0 or more [m]; where it is not finite nothing is under water.
        spread: standard deviation within the pixel [m].
    """
    known = np.isfinite(height) & (level > 0.0)
    mean = np.where(known, height, 0.0)
    bottom, top = -mean / spread, (level - mean) / spread
    below = np.where(known, ndtr(top) - ndtr(bottom), 0.0)
    share = below / (1.0 - ndtr(bottom))
    density = np.exp(-0.5 * top**2) - np.exp(-0.5 * bottom**2)
    seen = share >= _SEEN
    depth = level - mean + spread * density / np.sqrt(2.0 * np.pi) / np.where(seen, below, 1.0)
    return np.where(seen, share, 0.0), np.where(seen, np.maximum(depth, 0.0), 0.0)


def wet_level(earth: Earth, window: Window, day: Any) -> Array:
    """Level up to which ground is still wet and muddy from floods of the last weeks ``(H, W)`` [m], as ``level``."""
    known, nodes = checked_day(day), nodes_around(window)
    past = _on_nodes(earth, nodes, known - MUD_DAYS, known)
    back = np.arange(MUD_DAYS, -1, -1)[:, None, None]
    return between_nodes((past * np.exp(-back / DRYING_DAYS)).max(axis=0), nodes, window)


def size_of_rivers(earth: Earth, window: Window) -> Array:
    """How far the rivers around share the level of the largest ones ``(H, W)``, 0.2 (brooks) to 1.

    A logarithm of the largest catchment within 2 km: 1 km2 gives a fifth, 1000 km2 and more give one. Read linearly on
    absolute pixels of 250 m; one everywhere on a planet that does not know its catchments.
    """
    if "river_area" not in earth.layers:
        return np.ones(window.shape)
    coarse = window.coarsened(_AREA_STEP).pad(1)
    area = np.nan_to_num(np.asarray(earth.read("river_area", coarse.pad(_AREA_REACH)), np.float64), nan=0.0)
    largest = maximum_filter(area, size=2 * _AREA_REACH + 1, mode="nearest")[_INNER, _INNER]
    share = np.clip(0.2 + 0.8 * np.log10(np.maximum(largest, 1.0)) / 3.0, 0.2, 1.0)
    rows, columns = ((places + 0.5) / _AREA_STEP - 0.5 for places in (window.rows, window.columns))
    row, column = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = (rows - row)[:, None], columns - column
    row, column = row - coarse.row, column - coarse.column
    along = share[:, column] * (1.0 - right) + share[:, column + 1] * right
    return np.asarray(along[row] * (1.0 - down) + along[row + 1] * down)
