"""Objects under a geometric corruption: upright boxes, turned boxes and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
import torch
from numpy.typing import NDArray

from swath.errors import InputError
from swath.judge.corruptions.geometric import Floats, Placement, move_labels
from swath.metrics.arrays import as_numpy
from swath.metrics.detection import Objects
from swath.metrics.overlap import corners

LEAST_VISIBLE = 0.25
"""Objects of which less is left in the frame are dropped."""
_WHOLE = 1 - 1e-6


def move_objects(objects: Objects, moved: Placement, sample: int, size: tuple[int, int], name: str) -> Objects:
    """The objects of one image where the corruption takes them.

    An upright box becomes the upright box around the part of its moved outline that is in the frame; for an object that
    does not fill its box this is larger than the object, as boxes drawn by hand again would not be. A turned box is
    moved as a whole and marked ``crowd`` (need not be found) when the frame cuts it. Masks are moved like labels.

    Args:
        objects: shapes ``(n, 4)``, ``(n, 5)`` or bool ``(n, y, x)``, as in ``swath.metrics.Objects``.
        moved: where pixels go.
        sample: which of the B maps is this image's.
        size: height and width of the image.
        name: name of the target, for the sentence.

    Raises:
        InputError: shapes of another form.
    """
    shapes = as_numpy(objects.shapes)
    found: NDArray[Any]
    if shapes.ndim == 3:
        found, visible = _masks(shapes, moved, sample)
    elif shapes.ndim == 2 and shapes.shape[1] in (4, 5):
        matrix = moved.matrices(size)[sample]
        found, visible = (_upright if shapes.shape[1] == 4 else _turned)(shapes, matrix, size)
    else:
        raise InputError(
            f"The objects of '{name}' have shapes {shapes.shape}",
            expected="(n, 4) boxes, (n, 5) turned boxes or (n, y, x) masks",
            remedy="see swath.metrics.Objects",
        )
    kept = visible >= LEAST_VISIBLE
    crowd = np.zeros(len(shapes), np.bool_) if objects.crowd is None else np.asarray(objects.crowd, np.bool_)
    if shapes.ndim == 2 and shapes.shape[1] == 5:
        crowd = crowd | (visible < _WHOLE)
    scores = None if objects.scores is None else as_numpy(objects.scores)[kept]
    return Objects(found[kept], as_numpy(objects.labels)[kept], scores, crowd[kept])


def _upright(boxes: NDArray[Any], matrix: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Boxes ``(n, 4)`` and the visible share of each."""
    x0, y0, x1, y1 = np.asarray(boxes, np.float64).T
    outline = np.stack([np.stack([x0, x1, x1, x0], 1), np.stack([y0, y0, y1, y1], 1)], axis=2)
    seen, visible = _in_frame(_mapped(outline, matrix), size)
    bounds = shapely.bounds(seen).reshape(-1, 4)
    return np.nan_to_num(bounds), visible


def _turned(boxes: NDArray[Any], matrix: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Boxes ``(n, 5)`` and the visible share of each."""
    values = np.asarray(boxes, np.float64)
    _, visible = _in_frame(_mapped(corners(values), matrix), size)
    factor = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    angle = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
    found = np.concatenate([_mapped(values[:, :2], matrix), values[:, 2:4] * factor, values[:, 4:] + angle], axis=1)
    return found, visible


def _masks(masks: NDArray[Any], moved: Placement, sample: int) -> tuple[NDArray[np.bool_], Floats]:
    """Masks ``(n, y, x)`` and the share of each that is left, after its change of size."""
    count = len(masks)
    repeated = Placement(moved.linear[[sample] * count], moved.shift[[sample] * count], moved.frame)
    labels = torch.from_numpy(np.ascontiguousarray(masks, dtype=np.int64))
    found = move_labels(labels, torch.ones_like(labels, dtype=torch.bool), repeated)[0].numpy() == 1
    growth = abs(np.linalg.det(moved.linear[sample]))
    before = np.maximum(masks.reshape(count, -1).sum(axis=1), 1)
    return found, found.reshape(count, -1).sum(axis=1) / (before * growth)


def _mapped(points: Floats, matrix: Floats) -> Floats:
    """Points ``(..., 2)`` through a map ``(2, 3)``."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _in_frame(outlines: Floats, size: tuple[int, int]) -> tuple[NDArray[Any], Floats]:
    """The parts of outlines ``(n, 4, 2)`` in the frame and their shares; a box without area is in or out by centre."""
    polygons = np.asarray(shapely.polygons(outlines)).reshape(-1)
    area = shapely.area(polygons)
    seen = np.asarray(shapely.intersection(polygons, shapely.box(0, 0, size[1], size[0]))).reshape(-1)
    centre = outlines.mean(axis=1)
    within = ((centre >= 0) & (centre <= [size[1], size[0]])).all(axis=1)
    share = np.divide(shapely.area(seen), area, out=within.astype(np.float64), where=area > 0)
    return seen, share
