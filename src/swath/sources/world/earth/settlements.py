"""Where people live: places from farms to cities, the built land around them, roads, buildings and wealth.

Places lie on jittered lattices of 64, 32, ... 2 km. A lattice half as wide has four times the places, each with a
quarter of the people, and within a lattice sizes follow the density ``P ** -2`` over one factor of four; together that
is the rank-size rule of Zipf (Gabaix 1999, "Zipf's law for cities"). Whether a place of a lattice is there at all
depends on the land cover that the base tells. Cities large enough to be land cover of the base are built where the base
says. Streets are grids in the direction of the district; roads between towns meet in their middles like spokes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from swath.sources.world import noise
from swath.sources.world.earth.lattice import Array, Districts, Places, districts, members, over, patches, places
from swath.sources.world.frame import Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

LEVELS = (64_000.0, 32_000.0, 16_000.0, 8_000.0, 4_000.0, 2_000.0)
"""Metres between the places of a level."""

LARGEST = 2**18
"""People in the smallest place of the first level; each next level has a quarter."""

_AREA, _ALLOMETRY = 0.25e6, 0.9  # square metres of a place of 1000 people; built land grows slower than people
_URBAN = 13  # class of the base
_SPRAWL = 1.5  # standard deviations by which the edge of a town may depart from a circle
_CANDIDATES = 4  # positions among which a place of the upper levels takes the one with most people around
_STREET = 8.0  # metres
_PARKS = 0.06  # of the blocks
_PLOT = 20.0  # metres along a street that a building has

# People that a class of the base attracts, next to a city (IGBP order, water to barren).
_ATTRACTION = (
    *(0.0, 0.03, 0.04, 0.01, 0.06, 0.06, 0.06, 0.02, 0.06),
    *(0.08, 0.05, 0.03, 0.3, 1.0, 0.3, 0.0, 0.005),
)


@dataclass(frozen=True)
class Towns:
    """Places where people live, all arrays ``(n,)``, by level and lattice.

    Args:
        level: number in ``LEVELS``.
        row, column: of the lattice of the level.
        y, x: of the middle [m].
        people: inhabitants.
        radius: of the built land, were it a circle [m].
    """

    level: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    y: Array
    x: Array
    people: Array
    radius: Array


def towns(earth: Earth, window: Window, margin: float = 0.0, lattices: int = 0) -> Towns:
    """The places around a window.

    Args:
        earth: gives seed and base.
        window: of any step, not empty.
        margin: metres around the window in which places are wanted.
        lattices: and so many cells of the lattice of each level.
    """
    parts = [_level(earth, window, level, margin + lattices * LEVELS[level]) for level in range(len(LEVELS))]
    return Towns(*(np.concatenate([part[name] for part in parts]) for name in range(7)))


def _level(earth: Earth, window: Window, level: int, margin: float) -> tuple[NDArray[np.generic], ...]:
    """The existing places of a level, as the columns of ``Towns``."""
    epsg, spacing = window.zone.epsg, LEVELS[level]
    key = earth.key("town", epsg, level)
    options = [places(key + 2 * number, spacing, window, margin) for number in range(_CANDIDATES if level < 4 else 1)]
    drawn = np.stack([attraction(earth, window, option) for option in options])
    best = drawn.argmax(axis=0)
    here = np.arange(best.size)
    y, x = (np.stack([getattr(option, axis) for option in options])[best, here] for axis in "yx")
    row, column = options[0].row, options[0].column
    there = noise.uniform(earth.key("town/there", epsg, level), row, column) < drawn[best, here]
    share = noise.uniform(earth.key("town/people", epsg, level), row, column)
    people = np.rint(LARGEST / 4.0**level / (1.0 - 0.75 * share))
    radius = np.sqrt(_AREA * (people / 1000.0) ** _ALLOMETRY / math.pi)
    columns = (np.full(best.size, level), row, column, y, x, people, radius)
    return tuple(column_[there] for column_ in columns)


def attraction(earth: Earth, window: Window, found: Places) -> Array:
    """How likely places are lived in ``(n,)``, 0 to 1, by the land cover of the base; rough and icy land is empty."""
    lon, lat = window.zone.lonlat(found.x, found.y)
    sample = earth.base.sample(lon, lat)
    drawn = np.zeros(found.x.shape)
    for share, weight in zip(sample.cover, _ATTRACTION, strict=True):
        drawn = drawn + share * weight
    dry = np.clip((sample.land - sample.lake) * 2.0 - 1.0, 0.0, 1.0)
    return np.clip(drawn * 1.3, 0.0, 1.0) * dry * np.exp(-sample.roughness / 300.0)


@dataclass(frozen=True)
class Road:
    """A road between two places.

    Args:
        y, x: of points every 5 m or less ``(n,)`` [m].
        width: of the sealed ground [m].
        level: of the smaller of its ends.
    """

    y: Array
    x: Array
    width: float
    level: int


_WIDTHS = (20.0, 14.0, 10.0, 8.0, 6.0, 3.5)
_BENDS = 14
_STEP = 5.0  # metres between the points of a road


def roads(earth: Earth, window: Window) -> list[Road]:
    """The parts of all roads between places that cross a window, with a margin of a few hundred metres.

    A place is joined to those of its level in the next cells of the lattice to the east and south, and to the largest
    place near it among those of the next larger level.
    """
    around = towns(earth, window, lattices=2)
    number = {
        (int(level), int(row), int(column)): index
        for index, (level, row, column) in enumerate(zip(around.level, around.row, around.column, strict=True))
    }
    found = []
    for (level, row, column), start in number.items():
        ends = [number.get((level, row, column + 1)), number.get((level, row + 1, column))]
        above = [number.get((level - 1, (row + down) // 2, (column + right) // 2)) for down, right in _AROUND]
        larger = [index for index in above if index is not None]
        if larger:
            ends.append(max(larger, key=lambda index: (around.people[index], index)))
        for end in ends:
            road = None if end is None else _road(earth, window, around, start, end)
            if road is not None:
                found.append(road)
    return found


_AROUND = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))  # lattice cells, of which half fall on each larger cell around


def _road(earth: Earth, window: Window, around: Towns, start: int, end: int) -> Road | None:
    """The part of a road near the window; it bends to both sides by sines that vanish at its ends."""
    down, right = around.y[end] - around.y[start], around.x[end] - around.x[start]
    length = math.hypot(down, right)
    level = int(around.level[start])
    names = (level, int(around.row[start]), int(around.column[start]))
    other = (int(around.level[end]), int(around.row[end]), int(around.column[end]))
    key = earth.key("road", window.zone.epsg, *names, *other)
    orders = np.arange(1, _BENDS + 1)
    bends = 0.03 * length / orders * noise.normal(key, orders, 0)
    reach = float(np.abs(bends).sum()) + 50.0
    box = (window.y[-1] - reach, window.y[0] + reach, window.x[0] - reach, window.x[-1] + reach)
    low, high = _inside((around.y[start], around.x[start]), (down, right), box)
    steps = math.ceil(1.2 * length / _STEP)
    if low >= high or steps == 0:
        return None
    share = np.arange(math.floor(low * steps), math.ceil(high * steps) + 1) / steps
    aside = np.zeros(share.shape)
    for order, bend in zip(orders, bends, strict=True):
        aside = aside + bend * np.sin(math.pi * order * share)
    y = around.y[start] + share * down + aside * right / length
    x = around.x[start] + share * right - aside * down / length
    return Road(y, x, _WIDTHS[level], level)


def _inside(
    start: tuple[float, float], way: tuple[float, float], box: tuple[float, float, float, float]
) -> tuple[float, float]:
    """The shares of a straight way at which it enters and leaves a box (south, north, west, east)."""
    low, high = 0.0, 1.0
    for at, step, first, last in ((start[0], way[0], box[0], box[1]), (start[1], way[1], box[2], box[3])):
        if step == 0.0:
            if not first <= at <= last:
                return 1.0, 0.0
            continue
        enters, leaves = sorted(((first - at) / step, (last - at) / step))
        low, high = max(low, enters), min(high, leaves)
    return low, high


BUILT_LAND = ("town_depth", "town_size")


def built_land(earth: Earth, window: Window) -> dict[str, NDArray[np.float32]]:
    """Maker of ``town_depth``, 1 in the middle of a town and 0 or less outside, and ``town_size``, log10 of its people.

    Both float32, whatever the ground; water and steep slopes are left out by those who build.
    """
    epsg = window.zone.epsg
    around = towns(earth, window, margin=2.0 * _radius(4.0 * LARGEST))
    depth = np.full(window.shape, -1.0, np.float32)
    size = np.zeros(window.shape, np.float32)
    edge = patches(earth.key("town/edge", epsg), window, 400.0, 50.0, 0.6)
    urban = over(window, 1280.0, lambda y, x: _urban(earth, window, y, x))
    city = np.clip(urban, 0.0, 1.0) - ndtr(patches(earth.key("town/city", epsg), window, 1600.0, 50.0, 0.6))
    np.copyto(depth, city.astype(np.float32), where=city > 0.0)
    np.copyto(size, np.float32(5.5), where=city > 0.0)
    shape = np.exp(0.4 * np.clip(edge, -_SPRAWL, _SPRAWL)).astype(np.float32)
    y, x = window.y, window.x
    reaches = around.radius * math.exp(0.4 * _SPRAWL)
    for place_y, place_x, people, radius, reach in zip(
        around.y, around.x, around.people, around.radius, reaches, strict=True
    ):
        rows = slice(*np.searchsorted(-y, [-place_y - reach, -place_y + reach]))
        columns = slice(*np.searchsorted(x, [place_x - reach, place_x + reach]))
        if rows.start == rows.stop or columns.start == columns.stop:
            continue
        down, right = (y[rows] - place_y) / radius, (x[columns] - place_x) / radius
        round_ = np.sqrt((down**2).astype(np.float32)[:, None] + (right**2).astype(np.float32)[None, :])
        own = 1.0 - 1.17 * round_ * shape[rows, columns]  # 1.17 keeps the area in spite of the ragged edge
        deeper = (own > 0.0) & (own > depth[rows, columns])
        np.copyto(depth[rows, columns], own, where=deeper)
        np.copyto(size[rows, columns], np.float32(math.log10(people)), where=deeper)
    return {"town_depth": depth, "town_size": size}


def _radius(people: float) -> float:
    return math.sqrt(_AREA * (people / 1000.0) ** _ALLOMETRY / math.pi)


def _urban(earth: Earth, window: Window, y: Array, x: Array) -> Array:
    """Share of the class "urban" of the base at a mesh of places."""
    lon, lat = window.zone.lonlat(*np.meshgrid(x, y))
    return earth.base.sample(lon, lat).cover[_URBAN]


SETTLED = ("building_cover", "building_height", "road_cover", "wealth")


def settlements(earth: Earth, cell: Window) -> dict[str, Array]:
    """Maker of buildings, roads and wealth over a cell, on dry ground that is not too steep."""
    ground = earth.read_all(("slope", PERMANENT_WATER, *BUILT_LAND), cell)
    dry = 1.0 - np.clip(ground[PERMANENT_WATER], 0.0, 1.0)
    usable = np.clip((25.0 - ground["slope"]) / 10.0, 0.0, 1.0) * (dry > 0.95)
    road = _splat(roads(earth, cell), cell)
    built = (ground["town_depth"] > 0.0) & (usable > 0.0)
    building, height = np.zeros(cell.shape), np.zeros(cell.shape)
    if built.any():
        laid = districts(earth, cell)
        blocks = block_of(earth, cell, laid)
        for number, pixels in members(laid.owner, built):
            depth, size = (ground[name].ravel()[pixels] for name in BUILT_LAND)
            street, cover, high = _town(earth, cell, (laid, number, float(blocks[number])), pixels, (depth, size))
            row, column = np.divmod(pixels, cell.width)
            road[row, column] = np.maximum(road[row, column], street * usable[row, column])
            cover = np.minimum(cover * usable[row, column], 1.0 - np.minimum(road[row, column] * 1.2, 1.0))
            building[row, column] = cover
            height[row, column] = np.where(cover > 2.0**-10, high, 0.0)
    return {
        "building_cover": building,
        "building_height": height,
        "road_cover": np.minimum(road, dry),
        "wealth": wealth(earth, cell),
    }


PERMANENT_WATER = "open_water"
"""Layer of the share under water that is always there."""


def _splat(found: list[Road], cell: Window) -> Array:
    """Share of each pixel under roads ``(H, W)``: each point gives its ground to the four pixels around it."""
    if not found:
        return np.zeros(cell.shape)
    height, width = cell.shape
    row = np.concatenate([-road.y for road in found]) / cell.gsd - 0.5 - cell.row
    column = np.concatenate([road.x for road in found]) / cell.gsd - 0.5 - cell.column
    # Steps are at most 5 m along the road, shorter where it hardly bends; each covers its step times the width.
    ground = np.concatenate([road.width * np.hypot(np.gradient(road.y), np.gradient(road.x)) for road in found])
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    total = np.zeros(height * width)
    for down in (0, 1):
        for right in (0, 1):
            at_row, at_column = top + down, left + right
            share = np.abs(1 - down - (row - top)) * np.abs(1 - right - (column - left))
            inside = (at_row >= 0) & (at_row < height) & (at_column >= 0) & (at_column < width)
            place = at_row[inside] * width + at_column[inside]
            total += np.bincount(place, share[inside] * ground[inside], height * width)
    return np.minimum(total.reshape(cell.shape) / cell.gsd**2, 1.0)


def block_of(earth: Earth, window: Window, laid: Districts) -> Array:
    """Metres between the streets of each district ``(n,)``: short and long way are 1 to 1.6."""
    key = earth.key("town/block", window.zone.epsg)
    return np.asarray(70.0 + 50.0 * noise.uniform(key, laid.places.row, laid.places.column))


LONG = 1.6
"""Long side of a block over its short side."""


def _town(
    earth: Earth,
    cell: Window,
    district: tuple[Districts, int, float],
    pixels: NDArray[np.int64],
    town: tuple[Array, Array],
) -> tuple[Array, Array, Array]:
    """Street share, building share and building height of built pixels in one district, each ``(n,)``.

    Args:
        earth: gives the seed.
        cell: the cell.
        district: districts, number of this one, metres between its streets.
        pixels: flat indices in the cell ``(n,)``.
        town: depth in the town and its size ``(n,)``.
    """
    (laid, number, short), (depth, size) = district, town
    along, across = laid.turned(number, cell.y[pixels // cell.width], cell.x[pixels % cell.width])
    distance = np.minimum(_to_line(along, LONG * short), _to_line(across, short))
    street = np.clip((_STREET / 2.0 + 5.0 - distance) / 10.0, 0.0, _STREET / 10.0)
    key = earth.key("town/plot", cell.zone.epsg, int(laid.places.row[number]), int(laid.places.column[number]))
    # Middles are dense and high; every fifth plot, more at the edge, is a garden, a yard or a place.
    chance = _hashed(key, along / _PLOT, across / _PLOT)
    dense = np.clip(0.25 + 0.5 * depth + 0.04 * (size - 3.0), 0.1, 0.85)
    kept = (chance < 0.55 + 0.4 * np.clip(depth * 2.0, 0.0, 1.0)) & (distance > _STREET / 2.0)
    kept &= _hashed(key + 1, along / (LONG * short), across / short) >= _PARKS
    spread = np.exp(0.35 * ndtri(_hashed(key + 2, along / (LONG * short), across / short)))
    storeys = spread * np.maximum(size - 2.0, 0.2) ** 2 * np.clip(depth, 0.0, 1.0)
    cover = np.where(kept, np.clip(dense * (0.7 + 0.6 * chance), 0.0, 0.95), 0.0)
    return street, cover, 3.5 + 1.6 * storeys


def _hashed(key: int, along: Array, across: Array) -> Array:
    """A hashed uniform number for the unit square that each place lies in ``(n,)``."""
    column, row = np.floor(along).astype(np.int64), np.floor(across).astype(np.int64)
    first_row, first_column = int(row.min()), int(column.min())
    rows, columns = np.arange(first_row, int(row.max()) + 1), np.arange(first_column, int(column.max()) + 1)
    return noise.uniform(key, rows[:, None], columns)[row - first_row, column - first_column]


def plots(along: Array, across: Array) -> tuple[NDArray[np.int64], tuple[Array, Array]]:
    """The plots that places of a district lie in: a number from 0 for each place, and the middles of the plots."""
    column, row = np.floor(along / _PLOT).astype(np.int64), np.floor(across / _PLOT).astype(np.int64)
    packed, number = np.unique(row * 2**20 + (column + 2**19), return_inverse=True)
    row, column = packed >> 20, (packed & (2**20 - 1)) - 2**19
    return number, ((column + 0.5) * _PLOT, (row + 0.5) * _PLOT)


def _to_line(place: Array, spacing: float) -> Array:
    """Distance to the nearest whole multiple of ``spacing``."""
    return np.asarray(np.abs(place - np.rint(place / spacing) * spacing))


def wealth(earth: Earth, window: Window) -> Array:
    """Wealth of the households around ``(H, W)``, 0 to 1: smooth, and higher in and near large towns."""
    epsg = window.zone.epsg
    around = towns(earth, window, margin=25_000.0)
    large = around.level <= 2

    def values(y: Array, x: Array) -> Array:
        total = 0.42 + 0.11 * noise.smooth(earth.key("wealth/region", epsg), y, x, 40_000.0)
        total = total + 0.08 * noise.smooth(earth.key("wealth/quarter", epsg), y, x, 1_500.0)
        near = np.zeros(total.shape)
        for place_y, place_x, people in zip(around.y[large], around.x[large], around.people[large], strict=True):
            distance = np.hypot((y - place_y)[:, None], (x - place_x)[None, :])
            pull = 0.09 * (math.log10(people) - 3.5) * np.clip(1.0 - distance / 20_000.0, 0.0, 1.0) ** 2
            near = np.maximum(near, pull)
        return np.asarray(total + near)

    return np.clip(over(window, 500.0, values), 0.0, 1.0)
