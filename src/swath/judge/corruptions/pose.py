"""Geometric corruptions on one modality: values, validity, flags and grids move together."""

from __future__ import annotations

from dataclasses import replace

import torch
from odc.geo.geobox import GeoBox

from swath.errors import InputError
from swath.judge.corruptions.geometric import Placement, move_nearest, move_values
from swath.judge.corruptions.scale import Scale, scale_for
from swath.types import Batch, Modality


def posed(modality: Modality, moved: Placement, scale: Scale | None, key: str) -> Modality:
    """One modality after a geometric corruption.

    Raises:
        InputError: a grid that cannot be moved, or a scale that does not fit.
    """
    strange = [type(grid).__name__ for grid in modality.grid if not isinstance(grid, GeoBox)]
    if strange:
        raise InputError(
            f"The grid of '{key}' is a {strange[0]}, which cannot be turned, scaled or shifted",
            expected="a GeoBox",
            remedy="leave geometric corruptions out for this input",
        )
    if modality.values.numel() == 0:
        return modality
    count, dates, bands, height, width = modality.values.shape
    fitting = scale_for(modality, scale, key)
    fill = fitting.low.expand(count, dates, bands, 1, 1).reshape(count, dates * bands, 1, 1)
    shared = modality.valid.shape[2] == 1
    valid = modality.valid.expand(count, dates, 1 if shared else bands, height, width).flatten(1, 2)
    if shared and bands > 1 and dates > 1:
        valid = valid.repeat_interleave(bands, dim=1)
    values, seen = move_values(modality.values.flatten(1, 2), valid, moved, fill)
    values = values.view(modality.values.shape)
    seen = seen.reshape(count, dates, -1, height, width)
    flags = [place for place, band in enumerate(modality.bands) if band.kind == "quality"]
    if flags:
        taken = move_nearest(modality.values[:, :, flags].flatten(1, 2), moved).view(count, dates, -1, height, width)
        known = seen if seen.shape[2] == 1 else seen[:, :, flags]
        values[:, :, flags] = torch.where(known, taken, values[:, :, flags])
    boxes = zip(modality.grid, moved.grids((height, width)), strict=True)
    grid = tuple(GeoBox(box.shape, box.affine * change, box.crs) for box, change in boxes if isinstance(box, GeoBox))
    return replace(modality, values=values, valid=seen[:, :, :1] if shared else seen, grid=grid)


def coarsest(batch: Batch) -> tuple[int, int]:
    """The size of the coarsest raster, whose whole pixels are whole in finer ones."""
    return min(_sizes(batch), key=lambda size: size[0] * size[1])


def finest(batch: Batch) -> tuple[int, int]:
    """The size of the image that boxes are measured on."""
    return max(_sizes(batch), key=lambda size: size[0] * size[1])


def _sizes(batch: Batch) -> list[tuple[int, int]]:
    return [(int(each.values.shape[3]), int(each.values.shape[4])) for each in batch.inputs.values()]
