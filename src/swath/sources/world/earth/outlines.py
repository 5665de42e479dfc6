"""From layers to shapes: outlines of pixels that belong together, and lines along narrow features."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import shapes
from scipy import ndimage

from swath.sources.world.frame import Window

Mask = NDArray[np.bool_]
Shapes = NDArray[Any]


def outlines(numbers: NDArray[Any], window: Window) -> tuple[Shapes, NDArray[np.int64]]:
    """Polygons around connected pixels of the same number, along the edges of the pixels.

    Args:
        numbers: whole numbers ``(H, W)``; 0 belongs to nothing.
        window: where they lie.

    Returns:
        polygons ``(n,)`` in metres and the number of each; pixels that touch at a corner only are apart.
    """
    if numbers.size == 0:
        return np.empty(0, object), np.empty(0, np.int64)
    known, place = np.unique(numbers, return_inverse=True)
    labels = place.reshape(numbers.shape).astype(np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        found = list(shapes(labels, mask=numbers != 0, transform=window.geobox.affine))
    polygons = np.array([shapely.geometry.shape(shape) for shape, _ in found], object)
    return polygons, known[[int(label) for _, label in found]].astype(np.int64)


def thinned(mask: Mask) -> Mask:
    """Lines one pixel wide in the middle of what is True (Zhang and Suen 1984, "A fast parallel algorithm for thinning
    digital patterns"); its pieces stay connected. The edge of the array counts as False.
    """
    left = mask.copy()
    while True:
        before = int(left.sum())
        for corner in (0, 1):
            left &= ~_removable(left, corner)
        if int(left.sum()) == before:
            return left


def lines_along(mask: Mask, window: Window) -> Shapes:
    """Lines through the middles of the pixels of a thin mask, from junction to junction or end ``(n,)``."""
    row, column = np.nonzero(mask)
    number = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -1, np.int64)
    number[row + 1, column + 1] = np.arange(row.size)
    pairs = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        other = number[row + 1 + down, column + 1 + right]
        joined = other >= 0
        if down and right:  # a diagonal step that two straight ones replace would close a small ring
            joined &= (number[row + 1, column + 1 + right] < 0) & (number[row + 1 + down, column + 1] < 0)
        pairs.append(np.stack([np.flatnonzero(joined), other[joined]], axis=1))
    steps = np.concatenate(pairs)
    if not len(steps):
        return np.empty(0, object)
    points = np.stack([window.x[column], window.y[row]], axis=1)
    merged = shapely.line_merge(shapely.multilinestrings(shapely.linestrings(points[steps])))
    return np.asarray(shapely.get_parts(merged), object)


def _removable(mask: Mask, corner: int) -> Mask:
    """Pixels that one half step of the thinning takes away.

    Args:
        mask: what is left.
        corner: 0 takes pixels from the south-east and the north-west corner, 1 from the others.
    """
    padded = np.pad(mask, 1)
    height, width = mask.shape
    around = [padded[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in _RING]
    north, east, south, west = around[0], around[2], around[4], around[6]
    count = sum((part.astype(np.uint8) for part in around), np.zeros(mask.shape, np.uint8))
    turns = np.zeros(mask.shape, np.uint8)
    for first, second in zip(around, [*around[1:], around[0]], strict=True):
        turns += ~first & second
    if corner == 0:
        open_ = ~(north & east & south) & ~(east & south & west)
    else:
        open_ = ~(north & east & west) & ~(north & south & west)
    return np.asarray(mask & (count >= 2) & (count <= 6) & (turns == 1) & open_)


_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise from the north


def half_width(mask: Mask) -> NDArray[np.float64]:
    """Distance [pixels] from each True pixel to the nearest False one ``(H, W)``."""
    return np.asarray(ndimage.distance_transform_edt(mask), np.float64)
