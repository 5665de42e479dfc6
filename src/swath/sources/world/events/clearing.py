"""Clearings: woods that are felled for good, beside land that is in use already.

Every cell of 10 km has plots at hashed places, with a size, a direction and a date between 1980 and 2100. A plot is
cleared where its middle is wooded and people are near: at least ``NEAR`` of the ground within 600 m is farmland, built
over or road, or a road between places leads past. How many plots a road draws falls with the distance, so that 95 in a
hundred lie within 5.5 km, as in the Amazon (Barber et al. 2014, Biological Conservation 177, 203-209). Plots are
rectangles, as along forest roads, mostly in the direction that their cell has; felling goes from one end to the other
within days to weeks. The ground lies bare for ``BARE_DAYS``; then it is pasture, a field, or left to grow up again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.sources.world import noise
from swath.sources.world.earth.settlements import roads
from swath.sources.world.events.kept import Kept
from swath.sources.world.frame import KILOMETRE, PIXEL, Window
from swath.sources.world.truth import (
    BARE,
    BUILT,
    CROP,
    GRASS,
    MANGROVE,
    NO_CROP,
    PASTURE,
    ROOT_CROP,
    SUMMER_CEREAL,
    TREE,
)

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]

CELL = 10 * KILOMETRE
PLOTS = 120
"""Plots of a cell from 1980 to 2100; those without wood or without people near stay as they are."""
NEAR = 0.04
"""Share of the ground within 600 m that must be in use."""
BARE_DAYS = 60
"""Days that the ground lies bare."""
WOODED = (TREE, MANGROVE)
"""Codes of ``COVER`` that can be cleared."""

TO_PASTURE, TO_FIELD, TO_WOOD = range(3)
"""What becomes of a clearing."""
_SHARES = (0.55, 0.85)  # cumulative shares of pasture and fields

_LONGEST = 100  # finest pixels along the longer side
_AROUND = 60  # finest pixels within which people count as near
_SPAN = 44_195  # days from 1980 to 2100

_ROADSIDE, _FARTHEST = 5_500.0 / 3.0, 8_000.0  # metres over which roads draw clearings (to a share of 1/e), and at most

_KEPT: Kept[bool] = Kept(65536)
_ROADS: Kept[Array] = Kept(64)


@dataclass(frozen=True)
class Plot:
    """A clearing.

    Args:
        number: identity, unique on its planet.
        zone_epsg: code of its zone.
        row, column: its middle [finest pixels].
        angle: direction of its longer side [radians from east to south].
        length, width: sides [finest pixels].
        start: first day of felling.
        days: that felling takes.
        use: TO_PASTURE, TO_FIELD or TO_WOOD.
    """

    number: int
    zone_epsg: int
    row: float
    column: float
    angle: float
    length: float
    width: float
    start: np.datetime64
    days: int
    use: int

    def progress(self, window: Window) -> Array:
        """Share of the felling days after which each pixel of a window falls ``(H, W)``; NaN outside of the plot."""
        down = (window.rows + 0.5 - self.row)[:, None]
        right = (window.columns + 0.5 - self.column)[None, :]
        along = (right * np.cos(self.angle) + down * np.sin(self.angle)) / self.length
        across = (down * np.cos(self.angle) - right * np.sin(self.angle)) / self.width
        inside = (abs(along) <= 0.5) & (abs(across) <= 0.5)
        return np.where(inside, along + 0.5, np.nan)

    def corners(self) -> Array:
        """Eastings and northings of its corners ``(4, 2)`` [m]."""
        along = 0.5 * self.length * np.array([-1, 1, 1, -1])
        across = 0.5 * self.width * np.array([-1, -1, 1, 1])
        column = self.column + along * np.cos(self.angle) - across * np.sin(self.angle)
        row = self.row + along * np.sin(self.angle) + across * np.cos(self.angle)
        return np.stack([column * PIXEL, -row * PIXEL], axis=-1)


@dataclass(frozen=True)
class Cleared:
    """What clearings did to the pixels of a window, each ``(H, W)``.

    Args:
        age: days since the pixel was cleared, -1 where it was not.
        use: what becomes of it.
        number: of the plot, 0 outside.
    """

    age: NDArray[np.int32]
    use: NDArray[np.int8]
    number: NDArray[np.int64]


def cleared(earth: Earth, window: Window, day: np.datetime64, cover: NDArray[np.integer[Any]]) -> Cleared:
    """What has been cleared by the end of a day; where plots overlap, the first to come counts.

    Args:
        earth: the planet.
        window: finest pixels.
        day: of 1980 to 2100.
        cover: land cover before any clearing, of the window's shape.
    """
    age, use = np.full(window.shape, -1, np.int32), np.zeros(window.shape, np.int8)
    number = np.zeros(window.shape, np.int64)
    wooded = np.isin(cover, WOODED)
    if not wooded.any():
        return Cleared(age, use, number)
    for plot in plots(earth, window, np.datetime64("1980-01-01"), day):
        rows, columns = _box(plot, window)
        part = Window(window.zone, window.row + rows.start, window.column + columns.start, *_sizes(rows, columns))
        progress = plot.progress(part)
        felled = float((day - plot.start).astype(int)) - np.floor(progress * plot.days)
        new = wooded[rows, columns] & (felled >= 0.0) & (age[rows, columns] < 0)
        age[rows, columns] = np.where(new, np.nan_to_num(felled, nan=-1.0), age[rows, columns])
        use[rows, columns] = np.where(new, plot.use, use[rows, columns])
        number[rows, columns] = np.where(new, plot.number, number[rows, columns])
    return Cleared(age, use, number)


def plots(earth: Earth, window: Window, first: np.datetime64, last: np.datetime64) -> list[Plot]:
    """Plots that are cleared for certain, whose felling starts from ``first`` to ``last``, near a window, by start."""
    found = []
    for cell in window.pad(_LONGEST).cells(CELL) if 0 not in window.shape else ():
        for plot in _drawn(earth, cell):
            rows, columns = _box(plot, window)
            if first <= plot.start <= last and min(_sizes(rows, columns)) > 0 and _allowed(earth, plot, window):
                found.append(plot)
    return sorted(found, key=lambda plot: (plot.start, plot.number))


def after_clearing(
    done: Cleared, cover: NDArray[np.integer[Any]], crop: NDArray[np.integer[Any]], year: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cover and crop ``(H, W)`` once clearings have their way.

    Args:
        done: the clearings.
        cover: codes of ``COVER`` before.
        crop: codes of ``CROPS`` before.
        year: new fields change between two crops from year to year.
    """
    bare = (done.age >= 0) & (done.age < BARE_DAYS)
    used = done.age >= BARE_DAYS
    field, pasture = used & (done.use == TO_FIELD), used & (done.use == TO_PASTURE)
    young = used & (done.use == TO_WOOD) & (done.age < 5 * 365)
    new_cover = np.select([bare, field, pasture | young], [BARE, CROP, GRASS], cover.astype(np.int64))
    turn = np.where((done.number + year) % 2 == 0, SUMMER_CEREAL, ROOT_CROP)
    new_crop = np.select([field, pasture, bare | young], [turn, PASTURE, NO_CROP], crop.astype(np.int64))
    return new_cover.astype(np.uint8), new_crop.astype(np.uint8)


def _drawn(earth: Earth, cell: Window) -> list[Plot]:
    """All plots of a cell, whether they are cleared or not."""
    key = earth.key("clearing/plots", cell.zone.epsg)
    place = (cell.row // CELL) * 65536 + cell.column // CELL
    draws = noise.uniform(key, place, np.arange(PLOTS * 8)).reshape(PLOTS, 8)
    numbers = noise.bits(key ^ 1, place, np.arange(PLOTS)) >> np.uint64(2)
    grid = float(noise.uniform(key ^ 2, place, 0)) * np.pi
    out = []
    for number, (down, right, turn, size, shape, when, speed, use) in zip(numbers, draws, strict=True):
        # Most clearings are small; a few are as large as 35 ha.
        area = 100.0 * 1.2 * float(np.exp(3.4 * size**1.5))
        longer = 1.2 + 2.3 * float(shape)
        width = float(np.sqrt(area / longer))
        out.append(
            Plot(
                int(number),
                cell.zone.epsg,
                cell.row + float(down) * CELL,
                cell.column + float(right) * CELL,
                grid + 0.5 * np.pi * float(turn > 0.5) + 0.1 * float(turn - 0.5),
                min(width * longer, float(_LONGEST)),
                width,
                np.datetime64("1980-01-01") + int(when * _SPAN),
                2 + int(speed * 25),
                int(np.searchsorted(_SHARES, use)),
            )
        )
    return out


def _allowed(earth: Earth, plot: Plot, window: Window) -> bool:
    return _KEPT.get(earth, (plot.zone_epsg, plot.number), lambda: _near_people(earth, plot, window))


def _near_people(earth: Earth, plot: Plot, window: Window) -> bool:
    size = 2 * _AROUND + 1
    around = Window(window.zone, int(plot.row) - _AROUND, int(plot.column) - _AROUND, size, size)
    layers = earth.read_all(("cover", "road_cover"), around)
    cover = layers["cover"]
    in_use = np.isin(cover, (CROP, BUILT)) | (np.asarray(layers["road_cover"]) > 0.1)
    if not np.isin(cover[_AROUND, _AROUND], WOODED):
        return False
    return float(in_use.mean()) >= NEAR or _by_a_road(earth, plot, window)


def _by_a_road(earth: Earth, plot: Plot, window: Window) -> bool:
    """Whether a road draws the plot; only planets with places have roads between them."""
    if "town_depth" not in earth.layers:
        return False
    middle = Window(window.zone, int(plot.row), int(plot.column), 1, 1)
    cell = next(iter(middle.cells(CELL)))
    points = _ROADS.get(earth, (cell.zone.epsg, cell.row, cell.column), lambda: _road_points(earth, cell))
    if points.shape[1] == 0:
        return False
    metres = float(np.hypot(points[0] - middle.y[0], points[1] - middle.x[0]).min())
    chance = float(noise.uniform(earth.key("clearing/roads", window.zone.epsg), plot.number, 0))
    return metres < _FARTHEST and chance < np.exp(-metres / _ROADSIDE)


def _road_points(earth: Earth, cell: Window) -> Array:
    """Northings and eastings of points every 50 m of the roads near a cell ``(2, n)`` [m]."""
    lines = [np.stack([road.y[::10], road.x[::10]]) for road in roads(earth, cell.pad(round(_FARTHEST / PIXEL)))]
    return np.concatenate(lines, axis=1) if lines else np.zeros((2, 0))


def _box(plot: Plot, window: Window) -> tuple[slice, slice]:
    """Rows and columns of a window that a plot may cover; empty where it lies outside."""
    half_down = 0.5 * (abs(plot.length * np.sin(plot.angle)) + abs(plot.width * np.cos(plot.angle)))
    half_right = 0.5 * (abs(plot.length * np.cos(plot.angle)) + abs(plot.width * np.sin(plot.angle)))

    def cut(middle: float, half: float, start: int, size: int) -> slice:
        low = min(max(int(np.floor(middle - half)) - start, 0), size)
        return slice(low, max(min(int(np.ceil(middle + half)) + 1 - start, size), low))

    return (
        cut(plot.row, half_down, window.row, window.height),
        cut(plot.column, half_right, window.column, window.width),
    )


def _sizes(rows: slice, columns: slice) -> tuple[int, int]:
    return rows.stop - rows.start, columns.stop - columns.start
