"""A few pixels of a large scene: blocks spread evenly over it, thinned."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute
from numpy.typing import NDArray

from swath.cubes.cube import as_cube, lazy
from swath.errors import InputError

BLOCKS = 9
PIXELS_PER_BLOCK = 2**16


def sample_blocks(cube: xr.Dataset, blocks: int = BLOCKS) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Numbers and validity of at most ``blocks`` stored blocks, each ``(time, band, pixel)``.

    Args:
        cube: the cube; scenes of few blocks are used entirely.
        blocks: how many blocks to read.
    """
    dataset = as_cube(cube)
    data = lazy(dataset["data"])
    windows = _windows(data.chunks[-2], data.chunks[-1], blocks)
    full = dataset["valid"].broadcast_like(dataset["data"]).transpose(*dataset["data"].dims)
    parts = [(data[..., rows, columns], lazy(full)[..., rows, columns]) for rows, columns in windows]
    loaded = _read(parts)
    values = [np.asarray(number).reshape(*data.shape[:2], -1) for number, _ in loaded]
    valid = [np.asarray(mask).reshape(*data.shape[:2], -1) for _, mask in loaded]
    return np.concatenate(values, axis=-1), np.concatenate(valid, axis=-1)


def _read(parts: list[Any]) -> Any:
    """The blocks as numpy arrays; those that cannot be read are left out, unless none can."""
    try:
        return compute(*parts)
    except (InputError, OSError):
        read: list[Any] = []
        for position, part in enumerate(parts):
            try:
                read.append(*compute(part))
            except (InputError, OSError):
                if not read and position == len(parts) - 1:
                    raise
        return read


def _windows(heights: tuple[int, ...], widths: tuple[int, ...], blocks: int) -> list[tuple[slice, slice]]:
    """Evenly spread blocks, each thinned to at most ``PIXELS_PER_BLOCK`` pixels."""
    side = max(1, int(blocks**0.5))
    windows = []
    for row in _spread(len(heights), side if len(widths) > 1 else blocks):
        for column in _spread(len(widths), side if len(heights) > 1 else blocks):
            step = max(1, int(np.ceil((heights[row] * widths[column] / PIXELS_PER_BLOCK) ** 0.5)))
            top, left = sum(heights[:row]), sum(widths[:column])
            windows.append((slice(top, top + heights[row], step), slice(left, left + widths[column], step)))
    return windows


def _spread(count: int, wanted: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()
