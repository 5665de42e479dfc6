"""Water that shapes the ground: rivers, streams, lakes, valleys, and the height above them.

Two makers. ``rivers`` looks at 140 km around each cell of 100 km on 250 m pixels, and settles which way the rivers run,
how low their water lies and which depressions are lakes. ``drainage`` lays these rivers as curves into the ground of a
10 km cell with its margin on 50 m pixels, carves their valleys, follows the small streams in the same way, and works
out the elevation, the height above drainage and the open water at 10 m. Streams whose catchments reach beyond a margin
are cut there: see docs/world.md for how often that shows on the borders of cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from swath.sources.world import noise
from swath.sources.world.earth.hydrology import (
    CUT,
    Courses,
    Flow,
    courses,
    depressions_kept,
    flow,
    nearest,
    river_width,
    sill,
)
from swath.sources.world.earth.relief import LAND, Ground, ground, slope
from swath.sources.world.frame import Window
from swath.sources.world.truth import quantised

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

RIVER_STEP, STREAM_STEP = 25, 5
"""Finest pixels along the pixels on which rivers and streams are followed."""
RIVER_MARGIN, STREAM_MARGIN = 80, 60
"""Such pixels around a cell: 20 km and 3 km."""
RIVER_AREA, STREAM_AREA = 1.0, 0.25
"""Square kilometres upstream from which on there is a river, a stream."""
_SHORE = 0.3  # of the smoothed mask of a lake: how far it may spread over low ground around it
_SILL_HIGHEST, _SILL_STEP = 6.5, 0.25  # metres above the drainage that a flood may reach; fineness of its sills
_WIDEST = 40  # finest pixels around a cell in which wide rivers are looked for

RIVERS = ("river_area", "river_level", "river_turn", "lake_level", "lake_depth", "silt")
DRAINAGE = ("elevation", "slope", "height_above_drainage", "open_water", "water_kind", "flood_sill")

NO_WATER, STREAM, LAKE, SEA = range(4)
"""Codes of the layer ``water_kind``."""


def rivers(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
    """Maker of ``river_area`` [km2], ``river_level``, ``lake_level``, ``lake_depth``, ``silt`` [m] and ``river_turn``.

    All on 250 m. ``river_turn`` is the place of the cell downstream among the nine around, 4 where a river ends;
    ``lake_level`` is NaN where there is no lake; ``silt`` is how much depressions that are no lakes are filled.
    """
    wide = cell.pad(RIVER_MARGIN)
    land = ground(earth, wide)
    dry = land.water == LAND
    over = flow(land.height, dry)
    area = over.cells * (wide.gsd / 1000.0) ** 2
    key = earth.key("lakes", cell.zone.epsg)
    lake = depressions_kept(over.filled - land.height, key, wide, land.lakes, deepest=3.0, cells=6) & dry
    is_river = dry & (area >= RIVER_AREA)
    bed = over.bed(land.height - is_river * _incision(area, land.strength) / CUT, np.where(lake, over.filled, -np.inf))
    inner = (slice(RIVER_MARGIN, -RIVER_MARGIN),) * 2
    turn = _turn(over.down, wide.width).reshape(wide.shape)
    return {
        "river_area": np.where(is_river, area, 0.0)[inner],
        "river_level": bed[inner],
        "river_turn": turn[inner],
        "lake_level": np.where(lake, over.filled, np.nan)[inner],
        "lake_depth": np.where(lake, over.filled - land.height, 0.0)[inner],
        "silt": (np.maximum(bed - land.height, 0.0) * ~lake)[inner],
    }


def drainage(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
    """Maker of ``DRAINAGE``: heights [m], slope [degree], the share of open water at rest, and ``water_kind``.

    Slopes on the edge of a cell come from the ground as it goes on in the margin, so they need no neighbouring cells.
    ``flood_sill`` is the level [m] from which on a flood out of streams and lakes stands on a pixel; what lies low but
    behind higher ground has that of the ground between. At the edge of a cell nobody knows what lies beyond: there low
    ground counts as reached, so that no flood ends at an edge.
    """
    wide = Window(
        cell.zone, cell.row // STREAM_STEP, cell.column // STREAM_STEP, *_by(cell.shape, STREAM_STEP), STREAM_STEP
    ).pad(STREAM_MARGIN)
    edge = cell.pad(1)
    large = _large_rivers(earth, wide)
    carved = _carved(earth, wide, large)
    fine = ground(earth, edge)
    mesh = _mesh(edge, wide)
    change = noise.spline(carved.bed - carved.before.height, *mesh)
    level = noise.spline(carved.level, *mesh)
    elevation = np.where(fine.water == LAND, fine.height + change, fine.height)
    share, stream_level = _streams(edge, large.and_also(carved.streams), fine.runoff)
    lake_level = carved.lake_level[_within(edge, wide)]
    lake = (elevation < lake_level) & (fine.water == LAND) & (noise.spline(carved.still, *mesh) > _SHORE)
    share = quantised("open_water", np.where(lake | (fine.water != LAND), 1.0, share)).astype(np.float64)
    elevation = np.where(lake, lake_level, elevation)
    flowing = (fine.water == LAND) & ~lake
    elevation = np.where(flowing, elevation + share * (stream_level - elevation), elevation)
    # Beds reach down to the sea, never below it; land that lies below it from the first stays there.
    elevation = np.where(flowing, np.maximum(elevation, np.minimum(fine.height, 0.0)), elevation)
    above = np.where(share >= 0.5, 0.0, np.maximum(elevation - level, 0.0))
    kind = np.where(flowing, np.where(share > 0, STREAM, NO_WATER), np.where(fine.height != 0.0, LAKE, SEA))
    sources = share > 0.0
    sources[[0, -1]], sources[:, [0, -1]] = True, True
    inner = (slice(1, -1),) * 2
    return {
        "elevation": elevation[inner],
        "slope": slope(elevation),
        "height_above_drainage": above[inner],
        "open_water": share[inner],
        "water_kind": kind[inner].astype(np.uint8),
        "flood_sill": sill(above, sources, _SILL_HIGHEST, _SILL_STEP)[inner].astype(np.float32),
    }


@dataclass(frozen=True)
class _Carved:
    """Ground of a cell with its margin on 50 m, after the water.

    Args:
        before: the ground before.
        bed: heights of the ground, floors of lakes included [m].
        level: of the stream, lake or sea that each pixel drains into [m].
        lake_level: of lakes and a strip around them [m], minus infinity elsewhere.
        still: 1 where there are lakes, 0 elsewhere.
        streams: courses of the small streams.
    """

    before: Ground
    bed: Array
    level: Array
    lake_level: Array
    still: Array
    streams: Courses


def _large_rivers(earth: Earth, wide: Window) -> Courses:
    over = wide.coarsened(RIVER_STEP).pad(4)
    made = earth.read_all(("river_area", "river_level", "river_turn"), over)
    row, column = np.divmod(np.arange(over.height * over.width), over.width)
    turn = made["river_turn"].ravel().astype(np.int64)
    there_row, there_column = row + turn // 3 - 1, column + turn % 3 - 1
    inside = (there_row >= 0) & (there_row < over.height) & (there_column >= 0) & (there_column < over.width)
    down = np.where(inside, there_row * over.width + there_column, np.arange(row.size))
    key = earth.key("rivers", wide.zone.epsg)
    area, level = made["river_area"].astype(np.float64), made["river_level"].astype(np.float64)
    return courses(over, down, level, area, key, 8.0)


def _carved(earth: Earth, wide: Window, large: Courses) -> _Carved:
    before = ground(earth, wide)
    dry = before.water == LAND
    river_level, river_area = large.painted(wide)
    silt, depth, lake_level, around = _depressions(earth, wide)
    # Fine detail would stand out of the water everywhere: the floors of lakes are lowered by what it may reach.
    bottom = before.height + silt - 0.15 * before.strength * np.clip(depth / 3.0, 0.0, 1.0)
    bottom = _valleys(bottom, before.strength, river_level, river_area, wide.gsd)
    lake = dry & (bottom < lake_level) & (around > _SHORE)
    height = np.where(dry, np.where(lake, lake_level, bottom), before.height)
    over = flow(height, dry)
    area = over.cells * (wide.gsd / 1000.0) ** 2
    key = earth.key("ponds", wide.zone.epsg)
    pond = depressions_kept(over.filled - height, key, wide, before.lakes, deepest=1.0, cells=4) & dry
    is_stream = dry & ((area >= STREAM_AREA) | (river_area > 0))
    fixed = np.where(pond | lake, over.filled, np.where(river_area > 0, river_level, -np.inf))
    bed = over.bed(height - 0.5 / CUT * (is_stream & (river_area == 0)), fixed)
    bed = np.where(dry, bed, before.height)
    level = over.drain_level(bed, is_stream | pond | lake)
    small = np.where(is_stream & (river_area == 0) & ~lake & ~pond, area, 0.0)
    streams = _small_streams(earth, wide, over, bed, small)
    lake_level = np.where(pond, over.filled, np.where(lake, lake_level, -np.inf))
    bed = np.where(lake, bottom, np.where(pond, height - 0.05 * before.strength, bed))
    return _Carved(before, bed, level, _spilled(lake_level), (pond | lake).astype(np.float64), streams)


def _small_streams(earth: Earth, wide: Window, over: Flow, bed: Array, area: Array) -> Courses:
    """Courses of streams; they lead into the river that they reach."""
    down = np.where(over.down < 0, np.arange(over.down.size), over.down)
    reached = np.zeros(area.shape, bool)
    reached.ravel()[down[np.flatnonzero(area.ravel() > 0)]] = True
    area = np.where((area == 0) & reached, STREAM_AREA, area)
    return courses(wide, down, bed, area, earth.key("streams", wide.zone.epsg), 8.0)


def _depressions(earth: Earth, wide: Window) -> tuple[Array, Array, Array, Array]:
    """Silt, depth of lakes, their level with a strip around them, and how much of a place is lake, on 50 m."""
    over = wide.coarsened(RIVER_STEP).pad(4)
    made = earth.read_all(("silt", "lake_depth", "lake_level"), over)
    mesh = _mesh(wide, over)
    silt, depth = (noise.spline(made[name].astype(np.float64), *mesh) for name in ("silt", "lake_depth"))
    level = np.nan_to_num(made["lake_level"].astype(np.float64), nan=-np.inf)
    around = noise.spline(np.isfinite(level).astype(np.float64), *mesh)
    return silt, depth, _spilled(level)[_within(wide, over)], around


def _valleys(height: Array, strength: Array, river_level: Array, river_area: Array, gsd: int) -> Array:
    """Ground that comes down to its river over a floor, wide for large rivers, and sides, steep in mountains."""
    distance, place = nearest(river_area > 0)
    if not np.isfinite(distance).any():
        return height
    level, metres = river_level[place], distance * gsd
    floor = 25.0 + 30.0 * river_area[place] ** 0.35
    sides = 0.03 + 0.5 * np.minimum(strength / 200.0, 1.0)
    rise = 1.0 * np.minimum(metres / floor, 1.0) ** 2 + sides * np.maximum(metres - floor, 0.0)
    carved = np.minimum(height, level + rise)
    return np.where(metres <= floor, np.maximum(carved, level), carved)


def _streams(cell: Window, water: Courses, runoff: Array) -> tuple[Array, Array]:
    """Share of each pixel under streams, and their level."""
    wide = cell.pad(_WIDEST)
    level, area = water.painted(wide)
    distance, place = nearest(area > 0)
    inner = (slice(_WIDEST, -_WIDEST),) * 2
    place = tuple(part[inner] for part in place)
    half, metres = river_width(area[place], runoff) / 2.0, distance[inner] * cell.gsd
    reach = np.minimum(half, metres + cell.gsd / 2.0) - np.maximum(-half, metres - cell.gsd / 2.0)
    return np.clip(reach / cell.gsd, 0.0, 1.0), level[place]


def _incision(area: Array, strength: Array) -> Array:
    """How far rivers have cut into the ground [m]: more where they are large and the ground is steep."""
    return np.asarray(np.minimum(0.3 * np.maximum(area, 0.0) ** 0.3 * (1.0 + strength / 50.0), 15.0))


def _spilled(level: Array) -> Array:
    """Levels of lakes spread by two pixels, the higher one where two meet."""
    return np.asarray(ndimage.maximum_filter(level, 5, mode="nearest"))


def _turn(down: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Place of the cell downstream among the nine around, row by row; 4 for none."""
    here = np.arange(down.size)
    away = np.where(down < 0, here, down)
    turn = (away // width - here // width + 1) * 3 + (away % width - here % width + 1)
    return turn.astype(np.uint8)


def _by(shape: tuple[int, int], step: int) -> tuple[int, int]:
    return shape[0] // step, shape[1] // step


def _mesh(fine: Window, coarse: Window) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Where the pixels of a window lie among those of a coarser one that reaches two pixels beyond it, for splines."""
    rows = (fine.rows + 0.5) * fine.step / coarse.step - coarse.row - 0.5
    columns = (fine.columns + 0.5) * fine.step / coarse.step - coarse.column - 0.5
    return noise.spline_weights(rows, 1.0), noise.spline_weights(columns, 1.0)


def _within(fine: Window, coarse: Window) -> tuple[NDArray[Any], ...]:
    """Indices of the pixel of ``coarse`` that each pixel of ``fine`` lies in."""
    rows = fine.rows * fine.step // coarse.step - coarse.row
    columns = fine.columns * fine.step // coarse.step - coarse.column
    return np.ix_(rows, columns)
