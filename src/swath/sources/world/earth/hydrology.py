"""Where water runs over a grid of heights: depressions, flow directions, upstream areas, and the courses of streams.

Every cell drains to its steepest lower neighbour (D8, O'Callaghan and Mark 1984). Out of a depression water takes the
lowest way, along the bottoms that are there, as in the least-cost search of Metz et al. (2011,
doi:10.5194/hess-15-667-2011). Both come out of one minimum spanning tree: an edge between neighbours weighs as much as
its higher end, and among the edges of that end the steepest weighs least; paths along such a tree have the lowest
possible highest point, which is also the height to which depressions fill (Barnes et al. 2014 reach it by flooding).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from swath.sources.world import noise
from swath.sources.world.frame import Window

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.int64]

_EIGHT = np.ones((3, 3), bool)

WIDTH_OF_DISCHARGE = 7.2
"""Width [m] of a river with a discharge of 1 m3/s; it grows with the root of the discharge (Andreadis et al. 2013,
doi:10.1002/wrcr.20440, after Leopold and Maddock 1953)."""

CUT = 0.35
"""How far the outlet of a depression is cut down, as a share of its depth; the rest is filled."""

_SECONDS_A_YEAR = 365.25 * 86400.0


@dataclass(frozen=True)
class Flow:
    """Flow over a grid ``(h, w)``.

    Args:
        height: of the ground [m].
        down: flat index of the cell that each cell drains to, its own at outlets, -1 on water ``(h * w,)``.
        steps: the cells that are no outlets, by their distance from their outlet, nearest first.
    """

    height: Array
    down: Index
    steps: tuple[Index, ...]

    @property
    def outlets(self) -> Mask:
        """Cells that drain out of the grid or into water ``(h, w)``."""
        return (self.down == np.arange(self.down.size)).reshape(self.height.shape)

    @cached_property
    def filled(self) -> Array:
        """Heights with all depressions filled [m]."""
        out = self.height.ravel().copy()
        for step in self.steps:
            out[step] = np.maximum(out[step], out[self.down[step]])
        return out.reshape(self.height.shape)

    @cached_property
    def cells(self) -> Array:
        """Number of cells upstream of each cell ``(h, w)``, its own included; 0 on water."""
        out = (self.down >= 0).astype(np.float64)
        for step in reversed(self.steps):
            np.add.at(out, self.down[step], out[step])
        return out.reshape(self.height.shape)

    def bed(self, low: Array, floor: Array) -> Array:
        """Heights that never rise downstream [m]: depressions are partly filled, and their outlets partly cut down.

        Filled heights fall along every flow path, and so do the lowest heights upstream; therefore any fixed mixture
        of the two does. Nothing is cut below what lies downstream and must not change.

        Args:
            low: heights ``(h, w)``, as they were before filling or lower.
            floor: heights that must not be cut down, such as levels of lakes; minus infinity elsewhere.
        """
        lowest, highest = low.ravel().copy(), np.where(self.outlets, self.height, floor).ravel()
        for step in reversed(self.steps):
            np.minimum.at(lowest, self.down[step], lowest[step])
        for step in self.steps:
            highest[step] = np.maximum(highest[step], highest[self.down[step]])
        mixed = CUT * lowest.reshape(low.shape) + (1.0 - CUT) * self.filled
        return np.asarray(np.maximum(mixed, highest.reshape(low.shape)))

    def drain_level(self, height: Array, drains: Mask) -> Array:
        """Height of the first drain downstream of each cell, itself included [m]; outlets are drains.

        ``height`` less this is the height above the nearest drainage (Nobre et al. 2011,
        doi:10.1016/j.jhydrol.2011.03.051).
        """
        level, is_drain = height.ravel().copy(), drains.ravel()
        for step in self.steps:
            level[step] = np.where(is_drain[step], level[step], level[self.down[step]])
        return level.reshape(height.shape)


def flow(height: Array, land: Mask) -> Flow:
    """Flow directions over a grid; water and the edges of the grid take what reaches them.

    Args:
        height: ``(h, w)`` [m].
        land: False where there is the sea or a large lake.
    """
    size = height.size
    lies = height.ravel()
    start, end, metric = _edges(height.shape, land)
    swapped = lies[start] < lies[end]
    upper, lower = np.where(swapped, end, start), np.where(swapped, start, end)
    # Weights: the place of the higher end in the order of heights, and below one how gently it falls.
    order = np.empty(size, np.int64)
    order[np.argsort(lies, kind="stable")] = np.arange(size)
    upper, lower = np.where(order[upper] < order[lower], (lower, upper), (upper, lower))
    fall = (lies[upper] - lies[lower]) / metric
    gentle = 1.0 - fall / (1.001 * fall.max(initial=0.0) + 1e-9)
    outlets = np.flatnonzero(_outlets(land))
    weights = np.concatenate([order[upper] + 1.0 + gentle * 0.999, order[outlets] + 1.0])
    graph = coo_array(
        (weights, (np.concatenate([upper, np.full(outlets.size, size)]), np.concatenate([lower, outlets]))),
        shape=(size + 1, size + 1),
    ).tocsr()
    visited, before = breadth_first_order(minimum_spanning_tree(graph), size, directed=False)
    before = before.astype(np.int64)
    down = np.full(size, -1, np.int64)
    reached = visited[1:]
    down[reached] = np.where(before[reached] == size, reached, before[reached])
    return Flow(height, down, _by_distance(visited, before))


def _edges(shape: tuple[int, int], land: Mask) -> tuple[Index, Index, Array]:
    """Pairs of neighbours on land, and their distance in cells."""
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    pairs = (
        (number[:, :-1], number[:, 1:], 1.0),
        (number[:-1], number[1:], 1.0),
        (number[:-1, :-1], number[1:, 1:], np.sqrt(2.0)),
        (number[:-1, 1:], number[1:, :-1], np.sqrt(2.0)),
    )
    start = np.concatenate([one.ravel() for one, _, _ in pairs])
    end = np.concatenate([other.ravel() for _, other, _ in pairs])
    metric = np.concatenate([np.full(one.size, distance) for one, _, distance in pairs])
    dry = land.ravel()
    both = dry[start] & dry[end]
    return start[both], end[both], metric[both]


def _outlets(land: Mask) -> Mask:
    """Land at the edge of the grid or beside water."""
    inner = ndimage.binary_erosion(land, structure=_EIGHT, border_value=0)
    return np.asarray(land & ~inner)


def _by_distance(visited: Index, before: Index) -> tuple[Index, ...]:
    """Cells two or more steps from the root, together by distance; a search in breadth gives them in that order."""
    position = np.zeros(before.size, np.int64)
    position[visited] = np.arange(visited.size)
    parent = position[before[visited[1:]]]  # never falls
    groups, first, stop = [], 0, 1
    while stop < visited.size:
        first, stop = stop, 1 + int(np.searchsorted(parent, stop))
        groups.append(visited[first:stop].astype(np.int64))
    return tuple(groups[1:])


def depressions_kept(depth: Array, key: int, window: Window, share: Array, *, deepest: float, cells: int) -> Mask:
    """Which filled depressions hold a lake, decided by a hashed number at their deepest cell; large ones rarely do.

    Args:
        depth: of the filling ``(h, w)`` [m].
        key: of the decision.
        window: of the grid.
        share: of depressions that hold lakes ``(h, w)``, read at the deepest cell.
        deepest: metres that the deepest cell must have.
        cells: that the depression must have; of those a hundred times as large, a tenth of the share hold lakes.
    """
    label, count = ndimage.label(depth > 0.05, structure=_EIGHT)
    if count == 0:
        return np.zeros(depth.shape, bool)
    numbers = np.arange(1, count + 1)
    places = np.array(ndimage.maximum_position(depth, label, numbers), np.int64)
    row, column = places[:, 0], places[:, 1]
    chance = noise.uniform(key, window.rows[row], window.columns[column])
    size = np.bincount(label.ravel(), minlength=count + 1)[1:]
    likely = share[row, column] * np.sqrt(cells / np.maximum(size, cells))
    kept = (depth[row, column] >= deepest) & (size >= cells) & (chance < likely)
    return np.concatenate([[False], kept])[label]


@dataclass(frozen=True)
class Courses:
    """Points along streams, close enough that no pixel is left out; each ``(n,)``.

    Args:
        y: northing [m].
        x: easting [m].
        level: of the water [m].
        area: upstream [km2].
    """

    y: Array
    x: Array
    level: Array
    area: Array

    def painted(self, window: Window) -> tuple[Array, Array]:
        """Level and upstream area ``(H, W)`` on the pixels that streams touch, area 0 elsewhere; the largest counts."""
        row = np.floor(-self.y / window.gsd).astype(np.int64) - window.row
        column = np.floor(self.x / window.gsd).astype(np.int64) - window.column
        inside = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
        order = np.flatnonzero(inside)[np.argsort(self.area[inside], kind="stable")]
        level, area = np.zeros(window.shape), np.zeros(window.shape)
        level[row[order], column[order]] = self.level[order]
        area[row[order], column[order]] = self.area[order]
        return level, area

    def and_also(self, other: Courses) -> Courses:
        """Both together."""
        parts = ((self.y, other.y), (self.x, other.x), (self.level, other.level), (self.area, other.area))
        return Courses(*(np.concatenate(pair) for pair in parts))


def courses(window: Window, down: NDArray[np.int64], level: Array, area: Array, key: int, spacing: float) -> Courses:
    """Smooth lines along the cells that are streams: quadratic Bézier curves between the middles of their steps.

    Args:
        window: of the grid.
        down: flat index of the cell downstream ``(h * w,)``, its own where the stream ends.
        level: of the water [m] ``(h, w)``.
        area: upstream [km2]; 0 where there is no stream.
        key: of the noise that moves the corners, by up to a third of a cell, so that streams do not run straight.
        spacing: metres between points, about.
    """
    stream = np.flatnonzero(area.ravel() > 0)
    joined = stream[(down[stream] != stream) & (area.ravel()[np.maximum(down[stream], 0)] > 0)]
    middle = down[joined]
    after = np.where(area.ravel()[np.maximum(down[middle], 0)] > 0, down[middle], middle)
    row, column = np.divmod(np.arange(area.size), window.width)
    moved = [(noise.uniform(key + axis, window.rows[row], window.columns[column]) - 0.5) / 1.5 for axis in (0, 1)]
    y = -(window.row + row + 0.5 + moved[0]) * window.gsd
    x = (window.column + column + 0.5 + moved[1]) * window.gsd
    count = int(np.ceil(1.5 * window.gsd / spacing))
    t = (np.arange(count) + 0.5) / count
    has_upstream = np.zeros(area.size, bool)
    has_upstream[middle] = True
    heads = joined[~has_upstream[joined]]

    def along(values: Array) -> Array:
        start, end = (values[joined] + values[middle]) / 2.0, (values[middle] + values[after]) / 2.0
        curves = np.outer(start, (1 - t) ** 2) + np.outer(values[middle], 2 * t * (1 - t)) + np.outer(end, t**2)
        # Springs have no step before them: a straight line leads to the middle of their first.
        first = values[heads, None] + np.outer(values[down[heads]] - values[heads], t / 2.0)
        return np.concatenate([curves.ravel(), first.ravel()])

    return Courses(along(y), along(x), along(level.ravel()), along(area.ravel()))


def river_width(area: Array, runoff: Array) -> Array:
    """Width of the water of streams [m], from the area upstream [km2] and the yearly runoff [m]."""
    discharge = area * 1e6 * runoff / _SECONDS_A_YEAR
    return np.asarray(WIDTH_OF_DISCHARGE * np.sqrt(discharge))


def sill(height: Array, sources: Mask, highest: float, step: float) -> Array:
    """Level from which on water that rises out of sources stands on each pixel ``(h, w)`` [m]; infinite beyond.

    The lowest highest point of any path from a source, as filled depressions have it (``Flow.filled``), but worked out
    for rising levels in turn: what lies below a level and hangs together with a source is reached. A pixel that is
    lower than ``step`` below the first level that reaches it lay behind a sill, known to that step.

    Args:
        height: above the sources, 0 or more ``(h, w)`` [m].
        sources: where the water comes from.
        highest: level up to which it is asked [m].
        step: of the levels [m].
    """
    out = np.full(height.shape, np.inf)
    for level in np.arange(1, int(np.ceil(highest / step)) + 1) * step:
        below = height < level
        label, count = ndimage.label(below, structure=_EIGHT)
        reached = np.zeros(count + 1, bool)
        reached[label[sources & below]] = True
        new = reached[label] & np.isinf(out)
        out[new] = np.maximum(height[new], level - step)
    return out


def nearest(where: Mask) -> tuple[Array, tuple[NDArray[np.int64], ...]]:
    """Distance [pixels] to the nearest True pixel and its indices; infinity and zeros where there is none."""
    if not where.any():
        zeros = np.zeros(where.shape, np.int64)
        return np.full(where.shape, np.inf), (zeros, zeros)
    distance, indices = ndimage.distance_transform_edt(~where, return_indices=True)
    return distance, tuple(indices)
