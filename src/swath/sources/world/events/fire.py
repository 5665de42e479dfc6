"""Fires: where and when they start, how far they run each day, how severe they are, and what is left of them.

Every cell of 10 km has a few sparks a year at hashed days and places. A spark becomes a fire where the weather is
dangerous (the index of Angström, and the drought index of Keetch and Byram) and the ground carries fuel: deserts do not
burn. The fire then runs over pixels of 30 m by least travel time (Finney 2002, Canadian Journal of Forest Research 32,
1420-1424): each day it has the hours of that day, the wind of that day and the fuel as dry as it was at the start. The
rate of spread is that of the fuel times ``1 + wind + slope`` after Rothermel (1972), towards the head; to the sides and
the back it is that of an ellipse (Alexander 1985) around the sum of both vectors. It ends with rain, after ``LONGEST``
days, or at the edge of its square of 6 km. Perimeters of later days hold those of earlier ones, and no fire crosses
ground without fuel.

Severity is the share of the vegetation that the fire takes: more where it ran fast, in dry fuel and in woody patches.
Char washes off within weeks, leaves come back within months (grass) to years (trees).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.sources.world import noise
from swath.sources.world.earth.climate import LAPSE, normals, read_surroundings
from swath.sources.world.earth.indices import angstrom, indices
from swath.sources.world.earth.phenology import rooted
from swath.sources.world.earth.season import miami
from swath.sources.world.earth.weather import FIRST_DAY, LAST_DAY, on_nodes
from swath.sources.world.events.kept import Kept
from swath.sources.world.events.spread import Fuel, run_of_a_day
from swath.sources.world.frame import KILOMETRE, Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]

CELL = 10 * KILOMETRE
"""Finest pixels along a side of the cells that have sparks."""
STEP = 3
"""Finest pixels along a side of the pixels over which fires run."""
REACH = 100
"""Pixels of ``STEP`` from the spark to the edge of the square that a fire stays in."""

SPARKS, LIKELY = 4, 0.25
"""Sparks of a cell and year, and how likely one becomes a fire at the most dangerous weather."""
LONGEST = 8
"""Days that a fire runs at most."""
YEARS = 12
"""Years that a fire is remembered."""

# By code of COVER: spread without wind [m/min] where it is dry, and the share of the plants that is above the flames.
SPREAD = np.array([0.10, 0.16, 0.30, 0.18, 0.0, 0.04, 0.0, 0.0, 0.12, 0.0, 0.08])
_CROWN = np.array([0.55, 0.25, 0.05, 0.05, 0.0, 0.1, 0.0, 0.0, 0.1, 0.0, 0.1])

_KEPT: Kept[tuple[Fire, ...]] = Kept(4096)


@dataclass(frozen=True, eq=False)
class Fire:
    """One fire.

    Args:
        number: identity, unique on its planet.
        window: the pixels of ``STEP`` that it could reach.
        start: first day.
        day: days after the start on which each pixel burns ``(H, W)``, int16, -1 where it does not.
        severity: share of the vegetation that it takes, 0 where it does not burn ``(H, W)``.
    """

    number: int
    window: Window
    start: np.datetime64
    day: NDArray[np.int16]
    severity: NDArray[np.float32]

    @property
    def end(self) -> np.datetime64:
        """Last day on which a pixel caught fire."""
        return self.start + int(self.day.max())

    def perimeter(self, day: np.datetime64) -> NDArray[np.bool_]:
        """Pixels of ``window`` that have burnt by the end of a day ``(H, W)``."""
        return (self.day >= 0) & (self.day <= int((day - self.start).astype(int)))


@dataclass(frozen=True)
class Traces:
    """What fires left on the pixels of a window, each ``(H, W)``.

    Args:
        severity: of the last fire, 0 where none is remembered.
        age: days since it, 0 where none is remembered.
    """

    severity: Array
    age: Array


def traces(earth: Earth, window: Window, day: np.datetime64) -> Traces:
    """What the fires of the past ``YEARS`` years left by the end of a day.

    Args:
        earth: the planet.
        window: finest pixels.
        day: of 1980 to 2100.
    """
    severity, age = np.zeros((2, *window.shape))
    for fire in fires(earth, window, day - YEARS * 365, day):
        on_fire, fine = _common(window, fire.window.finest())
        rows, columns = (np.arange(part.start, part.stop) // STEP for part in fine)
        burnt = fire.perimeter(day)[np.ix_(rows, columns)]
        days = float((day - fire.start).astype(int)) - fire.day[np.ix_(rows, columns)]
        severity[on_fire] = np.where(burnt, fire.severity[np.ix_(rows, columns)], severity[on_fire])
        age[on_fire] = np.where(burnt, days, age[on_fire])
    return Traces(severity, age)


def fires(earth: Earth, window: Window, first: np.datetime64, last: np.datetime64) -> list[Fire]:
    """Fires that start from ``first`` to ``last`` and whose square touches a window, in the order of their start."""
    found: list[Fire] = []
    margin = (REACH + 1) * STEP
    years = range(_year(max(first, FIRST_DAY)), _year(min(last, LAST_DAY)) + 1)
    for cell in window.pad(margin).cells(CELL) if 0 not in window.shape else ():
        for year in years:
            for spark in _sparks(earth, cell, year):
                if first <= spark.day <= last and _touches(spark.square.finest(), window):
                    found.extend(_fire(earth, spark))
    return sorted(found, key=lambda fire: (fire.start, fire.number))


@dataclass(frozen=True)
class _Spark:
    """A spark: its square has it in the middle."""

    number: int
    square: Window
    day: np.datetime64
    luck: float


def _sparks(earth: Earth, cell: Window, year: int) -> list[_Spark]:
    """The sparks of a cell and year that could become fires at all."""
    key = earth.key("fire/sparks", cell.zone.epsg, year)
    place = (cell.row // CELL) * 65536 + cell.column // CELL
    draws = noise.uniform(key, place, np.arange(SPARKS * 4)).reshape(SPARKS, 4)
    numbers = noise.bits(key, place, np.arange(SPARKS)) >> np.uint64(2)
    sparks = []
    for number, (luck, when, down, right) in zip(numbers, draws, strict=True):
        if luck >= LIKELY:
            continue
        row = (cell.row + int(down * CELL)) // STEP
        column = (cell.column + int(right * CELL)) // STEP
        size = 2 * REACH + 1
        square = Window(cell.zone, row - REACH, column - REACH, size, size, STEP)
        sparks.append(_Spark(int(number), square, np.datetime64(f"{year}-01-01") + int(when * 365), float(luck)))
    return sparks


def _fire(earth: Earth, spark: _Spark) -> tuple[Fire, ...]:
    """The fire of a spark, if it becomes one."""
    return _KEPT.get(earth, ("fire", spark.square.zone.epsg, spark.number), lambda: _burn(earth, spark))


def danger(angstrom_index: Array | float, drought: Array | float) -> Array:
    """Share of sparks that become fires, of the most that can: 0 to 1.

    Args:
        angstrom_index: below 2 fires are very likely, above 4 unlikely.
        drought: Keetch-Byram index, 0 to 1; nothing burns below 0.2.
    """
    dry_air = np.clip((3.4 - np.asarray(angstrom_index)) / 1.4, 0.0, 1.0)
    return np.asarray(dry_air * np.clip((np.asarray(drought) - 0.2) / 0.4, 0.0, 1.0))


def _burn(earth: Earth, spark: _Spark) -> tuple[Fire, ...]:
    middle = Window(spark.square.zone, spark.square.row + REACH, spark.square.column + REACH, 1, 1, STEP)
    seed_pixel = Window(middle.zone, middle.row * STEP + 1, middle.column * STEP + 1, 1, 1)
    node = Window(middle.zone, seed_pixel.row // CELL, seed_pixel.column // CELL, 1, 1, CELL)
    air = on_nodes(earth, node, np.arange(spark.day, spark.day + LONGEST))
    height = np.asarray(earth.read("elevation", seed_pixel), np.float64)
    warmth = air.temperature[:, 0, 0] - LAPSE * float(height[0, 0])
    hot = warmth + 0.5 * air.swing[:, 0, 0]
    # Air holds the same water at midday as in the mean of the day, but could hold more: about 6 % a kelvin.
    moisture = air.humidity[:, 0, 0] * np.exp(-0.06 * 0.5 * air.swing[:, 0, 0])
    index = angstrom(hot, moisture)
    if spark.luck >= LIKELY * float(danger(index[0], 1.0)):
        return ()
    usual = normals(read_surroundings(earth, node), earth.climate)
    productivity = miami(usual, height[0]) / 1500.0
    plenty = float(np.clip((productivity[0, 0, 0] - 0.08) / 0.3, 0.0, 1.0))
    if plenty <= 0.1:
        return ()
    soil = indices(earth, seed_pixel, spark.day, height).drought
    drought = float(rooted(soil, productivity[0]).ravel()[0])
    if spark.luck >= LIKELY * float(danger(index[0], drought)):
        return ()
    fuel = _fuel(earth, spark.square, drought, plenty)
    if fuel.spread[REACH, REACH] <= 0.0:
        return ()
    day = np.full(spark.square.shape, -1, np.int16)
    day[REACH, REACH] = 0
    for step in range(LONGEST):
        if air.rain[step, 0, 0] > 2.0 or index[step] > 4.0:
            break
        hours = 1.0 + 4.0 * float(np.clip((4.0 - index[step]) / 2.5, 0.0, 1.0))
        wind = float(air.wind_east[step, 0, 0]), float(air.wind_north[step, 0, 0])
        reached = run_of_a_day(fuel, day >= 0, wind, hours * 60.0)
        day = np.where((day < 0) & reached, np.int16(step), day)
    return (Fire(spark.number, spark.square, spark.day, day, _severity(earth, spark, fuel, day, drought)),)


def _fuel(earth: Earth, square: Window, drought: float, plenty: float) -> Fuel:
    """Fuel of a square: means over the finest pixels; trees need a drought, and sealed ground carries no fire.

    Args:
        earth: the planet.
        square: pixels of ``STEP``.
        drought: for plants, 0 to 1.
        plenty: 0 where so little grows that fire finds no way from plant to plant, to 1.
    """
    layers = earth.read_all(("cover", "elevation"), square.finest())
    cover = layers["cover"].astype(np.int64)
    damping = np.where(cover == 0, np.clip((drought - 0.25) / 0.35, 0.05, 1.0), np.clip(drought / 0.6, 0.1, 1.0))
    spread = _blocks(SPREAD[cover] * damping) * plenty
    # Half of a pixel without fuel is a fire break.
    carries = _blocks((SPREAD[cover] > 0.0).astype(np.float64)) > 0.5
    height = _blocks(np.asarray(layers["elevation"], np.float64))
    return Fuel(np.where(carries, spread, 0.0), height, float(STEP * 10), _blocks(_CROWN[cover]))


def _severity(earth: Earth, spark: _Spark, fuel: Fuel, day: NDArray[np.int16], drought: float) -> NDArray[np.float32]:
    key = earth.key("fire/severity", spark.square.zone.epsg)
    patches = noise.fractal(key, spark.square.y, spark.square.x, 400.0, 4, 0.7)
    # Crowns burn in the worst droughts only; grass burns whole whenever it burns.
    base = 0.9 - fuel.crown * (1.0 - np.clip((drought - 0.3) / 0.6, 0.0, 1.0))
    severity = np.clip(base + 0.18 * patches, 0.08, 1.0)
    return np.where(day >= 0, np.rint(severity * 1024.0) / 1024.0, 0.0).astype(np.float32)


def _blocks(values: Array) -> Array:
    """Means over blocks of ``STEP`` pixels, added up in a fixed order."""
    total = np.zeros((values.shape[0] // STEP, values.shape[1] // STEP))
    for row in range(STEP):
        for column in range(STEP):
            total = total + values[row::STEP, column::STEP]
    return total / float(STEP * STEP)


def _touches(one: Window, other: Window) -> bool:
    down = one.row < other.row + other.height and other.row < one.row + one.height
    return down and one.column < other.column + other.width and other.column < one.column + one.width


def _common(window: Window, other: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels that two windows share, as slices of the first and of the second."""
    top, left = max(window.row, other.row), max(window.column, other.column)
    bottom = max(min(window.row + window.height, other.row + other.height), top)
    right = max(min(window.column + window.width, other.column + other.width), left)

    def of(part: Window) -> tuple[slice, slice]:
        return slice(top - part.row, bottom - part.row), slice(left - part.column, right - part.column)

    return of(window), of(other)


def _year(day: np.datetime64) -> int:
    return int(day.astype("datetime64[Y]").astype(int)) + 1970
