"""From the cells of one plate carrée grid to the cells of another: means of quantities, majorities of classes.

Both grids cover the same rectangle, so a target cell is a rectangle of whole and cut source cells. Everything here is
plain arrays, and sources are read strip by strip, so that a 21600 x 43200 raster never lies in memory at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Shape = tuple[int, int]
ReadRows = Callable[[int, int], NDArray[np.generic]]
"""Gives the source rows ``start:stop`` as ``(rows, columns)``; called with starts that never decrease."""

STRIP_CELLS = 2**25
_TIE = 1e-6  # below the share of one source cell of the finest layer in the coarsest grid (1 / 240**2)


def overlap(source: int, target: int) -> sparse.csr_array:
    """Shares of ``source`` equal cells in ``target`` equal cells of the same interval.

    Returns:
        ``(target, source)``; entry (i, j) is the share of target cell i that source cell j covers; rows sum to 1.
    """
    # In units of 1 / (source * target) all edges are whole numbers, so nothing is lost to rounding.
    edges = np.union1d(np.arange(target + 1) * source, np.arange(source + 1) * target)
    starts = edges[:-1]
    weights = np.diff(edges) / source
    return sparse.csr_array((weights, (starts // source, starts // target)), shape=(target, source))


def mean(array: NDArray[np.generic], shape: Shape) -> NDArray[np.float64]:
    """Area-weighted mean of the source cells in each target cell.

    Args:
        array: ``(y, x)`` quantities.
        shape: rows and columns of the target grid.

    Returns:
        ``(y, x)`` float64.
    """
    rows, columns = overlap(array.shape[0], shape[0]), overlap(array.shape[1], shape[1])
    return np.asarray((columns @ (rows @ array.astype(np.float64)).T).T)


def majority(read: ReadRows, source: Shape, classes: int, shape: Shape) -> NDArray[np.uint8]:
    """The class with the largest share of each target cell.

    Ties are frequent where a target cell holds four source cells. They go to the class at the middle of the target
    cell (in cells of odd row or column to the source cell just before the middle), because taking the lowest class
    number would favour forest over savanna, and always taking one corner would shift the map.

    Args:
        read: gives source rows; classes are 0 .. ``classes`` - 1, other values count for nothing.
        source: rows and columns of the source.
        classes: number of classes.
        shape: rows and columns of the target grid.

    Returns:
        ``(y, x)`` uint8; 0 where no source cell has a class.
    """
    out = np.zeros(shape, np.uint8)
    cells_per_row = source[0] * source[1] / shape[0]
    step = max(1, int(STRIP_CELLS / cells_per_row))
    for top in range(0, shape[0], step):
        bottom = min(top + step, shape[0])
        first, last = top * source[0] // shape[0], -(-bottom * source[0] // shape[0])
        strip = read(first, last)
        middle = _middle(source[0], shape[0])[top:bottom] - first
        centre = strip[np.ix_(middle, _middle(source[1], shape[1]))]
        share = _shares(strip, source, shape, (top, bottom), first)
        best = np.zeros(centre.shape)
        for label in range(classes):
            score = share(label)
            score += _TIE * (centre == label) * (score > 0)
            better = score > best
            best[better] = score[better]
            out[top:bottom][better] = label
    return out


def _middle(source: int, target: int) -> NDArray[np.int64]:
    """Source cell at the middle of each target cell; where that is an edge, the sides take turns."""
    cell = np.arange(target)
    middle = (2 * cell + 1) * source
    on_edge = middle % (2 * target) == 0
    return np.asarray(middle // (2 * target) - (on_edge & (cell % 2 == 1)), np.int64)


def _shares(
    strip: NDArray[np.generic], source: Shape, shape: Shape, target_rows: tuple[int, int], first: int
) -> Callable[[int], NDArray[np.float64]]:
    """A function that gives the share of one class in the target rows ``target_rows``.

    Whole ratios, the common case, are counted in blocks of bytes; others need weights for cut cells.
    """
    top, bottom = target_rows
    if source[0] % shape[0] == 0 and source[1] % shape[1] == 0:
        high, wide = source[0] // shape[0], source[1] // shape[1]
        blocks = strip.reshape(bottom - top, high, source[1])
        # Rows first: adding whole rows of bytes runs at the speed of memory.
        counter = np.uint8 if high < 256 else np.uint32

        def counted(label: int) -> NDArray[np.float64]:
            by_column = (blocks == label).view(np.uint8).sum(axis=1, dtype=counter)
            counts = by_column.reshape(bottom - top, shape[1], wide).sum(axis=2, dtype=np.uint32)
            return np.asarray(counts / (high * wide), np.float64)

        return counted
    rows = overlap(source[0], shape[0])[top:bottom, first : first + strip.shape[0]]
    columns = overlap(source[1], shape[1])

    def weighted(label: int) -> NDArray[np.float64]:
        return np.asarray((columns @ (rows @ (strip == label).astype(np.float64)).T).T)

    return weighted
