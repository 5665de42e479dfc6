"""Intersection over union of boxes, turned boxes, polygons and masks: every first against every second."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.errors import InputError
from swath.metrics.arrays import check_finite

Overlap = NDArray[np.float64]


def box_iou(first: NDArray[Any], second: NDArray[Any], crowd: NDArray[np.bool_] | None = None) -> Overlap:
    """IoU ``(n, m)`` of upright boxes; 0 where both have no area.

    Args:
        first: ``(n, 4)``, x0, y0, x1, y1 in pixels, no pixel added to width or height.
        second: ``(m, 4)``.
        crowd: ``(m,)`` True where the second is a crowd: then intersection / area of the first (COCO's rule).

    Raises:
        InputError: another shape, NaN, or x1 < x0 or y1 < y0.
    """
    one, two = _boxes(first, "first"), _boxes(second, "second")
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(one[:, None, 2:], two[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area, other = ((part[:, 2:] - part[:, :2]).prod(axis=1) for part in (one, two))
    return _shares(shared, area, other, crowd)


def corners(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Corners ``(n, 4, 2)`` of turned boxes.

    Args:
        boxes: ``(n, 5)``, centre x, centre y, width, height, angle [degrees] from the x towards the y axis.

    Raises:
        InputError: another shape, NaN, or a negative width or height.
    """
    values = np.asarray(boxes, dtype=np.float64).reshape(-1, 5) if np.size(boxes) == 0 else np.asarray(boxes, float)
    if values.ndim != 2 or values.shape[1] != 5:
        raise InputError(
            f"The turned boxes have shape {values.shape}",
            expected="(n, 5): centre x, centre y, width, height, angle in degrees",
            remedy="for four corners use polygon_iou",
        )
    check_finite("boxes", values)
    if (values[:, 2:4] < 0).any():
        raise InputError("A turned box has a negative width or height", expected="0 or above", remedy="check the head")
    angle = np.radians(values[:, 4])
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1) * values[:, 2:3] / 2
    down = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * values[:, 3:4] / 2
    ends = np.stack([-across - down, across - down, across + down, -across + down], axis=1)
    return np.asarray(values[:, None, :2] + ends)


def rotated_iou(first: NDArray[Any], second: NDArray[Any], crowd: NDArray[np.bool_] | None = None) -> Overlap:
    """IoU ``(n, m)`` of turned boxes ``(n, 5)`` and ``(m, 5)`` (see ``corners``), by exact polygon intersection."""
    return polygon_iou(corners(first), corners(second), crowd)


def polygon_iou(first: NDArray[Any], second: NDArray[Any], crowd: NDArray[np.bool_] | None = None) -> Overlap:
    """IoU ``(n, m)`` of polygons with the same number of corners, ``(n, c, 2)`` and ``(m, c, 2)``.

    Raises:
        InputError: NaN, or a polygon that crosses itself.
    """
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    for name, part in (("first", first), ("second", second)):
        check_finite(name, np.asarray(part))
    one, two = np.asarray(shapely.polygons(first)), np.asarray(shapely.polygons(second))
    for name, shapes in (("first", one), ("second", two)):
        # A polygon without area is not valid for GEOS, yet a box of width 0 is a box.
        broken = ~shapely.is_valid(shapes) & (shapely.area(shapes) > 0)
        if broken.any():
            raise InputError(
                f"'{name}' holds {int(broken.sum())} polygons that cross themselves",
                expected="corners in the order around the polygon",
                remedy="sort the corners",
            )
    area, other = np.asarray(shapely.area(one)), np.asarray(shapely.area(two))
    shared = np.zeros((len(one), len(two)))
    # Only pairs whose upright frames meet are intersected.
    left, right = shapely.STRtree(two).query(one[area > 0])
    rows = np.flatnonzero(area > 0)[left]
    solid = other[right] > 0
    rows, right = rows[solid], right[solid]
    shared[rows, right] = shapely.area(shapely.intersection(one[rows], two[right]))
    return _shares(shared, area, other, crowd)


def mask_iou(first: NDArray[Any], second: NDArray[Any], crowd: NDArray[np.bool_] | None = None) -> Overlap:
    """IoU ``(n, m)`` of bool masks ``(n, y, x)`` and ``(m, y, x)`` of one size.

    Raises:
        InputError: the masks are not bool or differ in size.
    """
    one, two = np.asarray(first), np.asarray(second)
    if one.ndim != 3 or two.ndim != 3 or one.shape[1:] != two.shape[1:] or {one.dtype, two.dtype} != {np.dtype(bool)}:
        raise InputError(
            f"The masks have shapes {one.shape} and {two.shape} and dtypes {one.dtype} and {two.dtype}",
            expected="bool masks (n, y, x) and (m, y, x) of one size",
            remedy="compare probabilities with 0.5 first",
        )
    pixels = one.shape[1] * one.shape[2]
    flat, other = (part.reshape(len(part), pixels).astype(np.float64) for part in (one, two))
    return _shares(flat @ other.T, flat.sum(axis=1), other.sum(axis=1), crowd)


def _shares(shared: Overlap, area: Overlap, other: Overlap, crowd: NDArray[np.bool_] | None) -> Overlap:
    """Shared area over union, or over the first area for crowds."""
    whole = area[:, None] + other[None] - shared
    if crowd is not None:
        whole = np.where(np.asarray(crowd)[None], area[:, None], whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _boxes(boxes: NDArray[Any], name: str) -> NDArray[np.float64]:
    values = np.asarray(boxes, dtype=np.float64)
    values = values.reshape(-1, 4) if values.size == 0 else values
    if values.ndim != 2 or values.shape[1] != 4:
        raise InputError(
            f"'{name}' has shape {values.shape}", expected="(n, 4): x0, y0, x1, y1", remedy="one box in a row"
        )
    check_finite(name, values)
    if (values[:, 2:] < values[:, :2]).any():
        raise InputError(
            f"'{name}' holds {int((values[:, 2:] < values[:, :2]).any(axis=1).sum())} boxes that end before they begin",
            expected="x0 <= x1 and y0 <= y1",
            remedy="convert from x, y, width, height first",
        )
    return values
