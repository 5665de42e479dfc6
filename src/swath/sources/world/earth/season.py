"""When the season of leaves begins and ends: warmth after chill in spring, cold and short days in autumn.

Spring comes when the warmth above ``GROWTH`` since midwinter reaches a need that chill lowers, ``a + b exp(c n)``
with the number ``n`` of days below 5 degrees since autumn (Murray, Cannell and Smith 1989, "Date of budburst of fifteen
tree species in Britain following climatic warming", Journal of Applied Ecology 26, 693-700). Autumn comes when, after
days have become shorter than ``DAYLIGHT``, the cold below 15 degrees has added up to ``COLD_NEED`` (after Delpierre et
al. 2009, Agricultural and Forest Meteorology 149, 938-948). The form is theirs; the constants were set by hand for
leaves of middle Europe and Finland. Both days follow from the weather of the year, so they differ between years.

Days are worked out on the nodes of the weather for levels of height, as in ``indices.py``, and read linearly between.
How strongly the cold rules a place, and how much grows there, follows from the normals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.sources.world.earth.climate import LAPSE, Normals, Surroundings, normals, read_surroundings
from swath.sources.world.earth.indices import GROWTH, between_levels, levels_of, midwinters
from swath.sources.world.earth.weather import checked_day, nodes_around, on_nodes
from swath.sources.world.frame import Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]

NEED, NEED_UNCHILLED, CHILL = 60.0, 350.0, -0.012
"""Degree days that leaves need after endless chill, more of them without any, and how a day of chill lowers that."""
DAYLIGHT, COLD_BELOW, COLD_NEED = 13.5, 15.0, 140.0
"""Hours of daylight below which autumn may begin, degrees below which cold counts, degree days that it takes."""

_BEFORE = 61  # days before midwinter from which chill counts
_YEAR = 366
_LATE = 420.0  # a day that no season reaches


@dataclass(frozen=True)
class Season:
    """The season of leaves around one day at the pixels of a window, each ``(H, W)``.

    Args:
        since_start: days since leaves came out this year; negative before.
        length: days from leaves coming out to leaves falling.
        cold: how strongly the cold of winter rules growth, 0 (never cold) to 1.
        productivity: net growth of a normal year over 1500 g m-2 of dry matter.
        evergreen: share of evergreens among trees.
        frost: how far the cold of winter kills grass, 0 to 1.
    """

    since_start: Array
    length: Array
    cold: Array
    productivity: Array
    evergreen: Array
    frost: Array


def season(earth: Earth, window: Window, day: np.datetime64, elevation: NDArray[np.floating[Any]]) -> Season:
    """The season around a day.

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
        return Season(*(height.copy() for _ in range(6)))
    low, levels = levels_of(height)
    return Season(*between_levels(season_on_levels(earth, nodes, known, levels), low, nodes, window, height))


def season_on_levels(earth: Earth, nodes: Window, day: np.datetime64, levels: Array) -> Array:
    """The quantities of ``Season`` in their order, on nodes and levels ``(6, level, y, x)``."""
    around = read_surroundings(earth, nodes)
    start, length = _both_hemispheres(earth, nodes, day, levels, around.latitude)
    usual = normals(around, earth.climate)
    growth = miami(usual, levels) / 1500.0
    return np.stack([start, length, coldness(usual, levels), growth, _evergreen(around, levels), frost(usual, levels)])


def coldness(usual: Normals, levels: Array) -> Array:
    """How strongly winter rules growth ``(level, y, x)``: 0 from 13 degrees in the coldest month on, 1 below 6."""
    coldest = usual.temperature.min(axis=0)[None] - LAPSE * levels[:, None, None]
    return np.asarray(np.clip((13.0 - coldest) / 7.0, 0.0, 1.0))


def miami(usual: Normals, levels: Array) -> Array:
    """Net primary production ``(level, y, x)`` [g m-2 a-1 of dry matter] by the Miami model of Lieth (1975).

    The lesser of ``3000 / (1 + exp(1.315 - 0.119 T))`` and ``3000 (1 - exp(-0.000664 P))`` with the yearly mean
    temperature T [degrees Celsius] and the yearly rain P [mm].
    """
    warmth = usual.temperature.mean(axis=0)[None] - LAPSE * levels[:, None, None]
    rain = usual.rain.mean(axis=0)[None] * 365.25
    by_warmth = 3000.0 / (1.0 + np.exp(1.315 - 0.119 * warmth))
    by_rain = 3000.0 * (1.0 - np.exp(-0.000664 * rain))
    return np.minimum(by_warmth, by_rain)


def day_length(latitude: Array, day_of_year: NDArray[np.int64]) -> Array:
    """Hours of daylight ``(day, y, x)``, from the declination of Cooper (1969), without refraction.

    Args:
        latitude: degrees ``(y, x)``.
        day_of_year: 0 for the first of January ``(day,)``.
    """
    declination = np.radians(23.45) * np.sin(2.0 * np.pi * (285.0 + np.asarray(day_of_year, np.float64)) / 365.0)
    angle = -np.tan(np.radians(latitude))[None] * np.tan(declination)[:, None, None]
    return np.asarray(24.0 / np.pi * np.arccos(np.clip(angle, -1.0, 1.0)))


def start_of(warmth: Array) -> Array:
    """Days from midwinter until leaves come out.

    Args:
        warmth: daily mean temperature ``(day, ...)`` [degrees Celsius], the first 61 days before midwinter.

    Returns:
        with fractions of a day ``(...)``; ``420`` where they never do.
    """
    chill = np.cumsum(warmth < GROWTH, axis=0)[_BEFORE:]
    heat = np.cumsum(np.maximum(warmth[_BEFORE:] - GROWTH, 0.0), axis=0)
    return _crossing(heat - (NEED + NEED_UNCHILLED * np.exp(CHILL * chill)))


def end_of(warmth: Array, daylight: Array) -> Array:
    """Days from midwinter until half of the leaves have fallen.

    Args:
        warmth: daily mean temperature from midwinter on ``(day, ...)``.
        daylight: hours ``(day, ...)``.

    Returns:
        with fractions of a day ``(...)``; ``420`` where the year is too warm for an end.
    """
    autumn = (daylight < DAYLIGHT) & (np.arange(len(warmth)) > 182).reshape((-1,) + (1,) * (warmth.ndim - 1))
    cold = np.cumsum(np.where(autumn, np.maximum(COLD_BELOW - warmth, 0.0), 0.0), axis=0)
    return _crossing(cold - COLD_NEED)


def _crossing(values: Array) -> Array:
    """First position along the first axis at which values reach zero, linear between days; late where they never do."""
    reached = values >= 0.0
    first = np.argmax(reached, axis=0)
    after = np.take_along_axis(values, first[None], axis=0)[0]
    before = np.take_along_axis(values, np.maximum(first - 1, 0)[None], axis=0)[0]
    share = np.where(first > 0, after / np.maximum(after - before, 1e-9), 0.0)
    return np.where(reached.any(axis=0), first - np.clip(share, 0.0, 1.0) + 1.0, _LATE)


def _both_hemispheres(
    earth: Earth, nodes: Window, day: np.datetime64, levels: Array, latitude: Array
) -> tuple[Array, Array]:
    """Days since the start of the season and its length ``(level, y, x)``; seasons turn in midwinter."""
    since, length = np.zeros((2, len(levels), *latitude.shape))
    january, july = midwinters(day)
    for southern, midwinter in ((False, january), (True, july)):
        here = (latitude < 0.0) == southern
        if not here.any():
            continue
        start, end = _days(earth, nodes, midwinter, levels, latitude)
        # A season that would end before it began (polar and high ground) has no length, and so no leaves.
        since = np.where(here, float((day - midwinter).astype(int)) - start, since)
        length = np.where(here, np.maximum(end - start, 0.0), length)
    return since, length


def _days(earth: Earth, nodes: Window, midwinter: np.datetime64, levels: Array, latitude: Array) -> tuple[Array, Array]:
    """Start and end of the season in days from midwinter ``(level, y, x)``."""
    days = np.arange(midwinter - _BEFORE, midwinter + _YEAR)
    year = on_nodes(earth, nodes, days)
    warmth = year.temperature[:, None] - LAPSE * levels[:, None, None]
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)[_BEFORE:]
    daylight = day_length(latitude, of_year)[:, None]
    return start_of(warmth), end_of(warmth[_BEFORE:], np.broadcast_to(daylight, warmth[_BEFORE:].shape))


def frost(usual: Normals, levels: Array) -> Array:
    """How far the cold of winter kills the leaves of grass ``(level, y, x)``: 0 above 4 degrees in the coldest month.

    Grass stays green in the mild winters of coasts, where it hardly stops growing (it needs about 5 degrees), and turns
    yellow where the ground freezes for weeks, below -2 degrees throughout; both are round numbers.
    """
    coldest = usual.temperature.min(axis=0)[None] - LAPSE * levels[:, None, None]
    return np.asarray(np.clip((4.0 - coldest) / 6.0, 0.0, 1.0))


def _evergreen(around: Surroundings, levels: Array) -> Array:
    """Share of evergreens among trees ``(level, y, x)``.

    Where the base has forests, from their classes (evergreen, shedding, mixed as half of both); elsewhere from the
    climate: most in the tropics and the cold, fewest in between.
    """
    share = np.zeros(around.latitude.shape)
    for group, part in zip(around.groups, (0.85, 0.5, 0.35, 0.65, 0.8), strict=True):
        share = share + group * part
    higher = np.clip(levels / 3000.0, 0.0, 0.4)[:, None, None]
    by_climate = np.clip(share[None] + higher, 0.0, 0.95)
    if around.evergreen is None:
        return np.asarray(by_climate)
    known = np.isfinite(around.evergreen)[None]
    return np.asarray(np.where(known, np.clip(np.nan_to_num(around.evergreen)[None], 0.02, 0.98), by_climate))
