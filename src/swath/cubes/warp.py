"""Move a masked array from one grid to another, chunk by chunk, without invalid numbers touching valid ones."""

from __future__ import annotations

import os
import threading
from typing import Any, Literal, TypeAlias, get_args

import dask.array as da
import numpy as np
import rasterio.warp
from dask.delayed import delayed
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from swath.cubes.cube import apply_affine, shift_between
from swath.errors import ConfigError

Method: TypeAlias = Literal["nearest", "bilinear", "average"]
CHUNK = 1024
_TOLERANCE = 0.01  # pixels; GDAL's transformer may be off by this much between the points that it computes exactly
# rasterio silences a warning of its own for the whole process while it warps, and threads that do so at the same time
# undo each other's silence; one warp at a time uses all cores instead.
_ONE_AT_A_TIME = threading.Lock()
_LEAST_WEIGHT = 1e-3  # a number made of less than this share of valid source pixels is rounding noise


def check_method(method: str) -> Resampling:
    """The GDAL resampling of a name.

    Raises:
        ConfigError: the name is unknown, or the method cannot honour a mask.
    """
    if method not in get_args(Method):
        raise ConfigError(
            f"The resampling '{method}' is not offered",
            expected=f"one of {', '.join(get_args(Method))}",
            remedy="use bilinear for measurements, average to go coarser, nearest for classes",
        )
    return Resampling[method]


def shifted(array: da.Array, source: GeoBox, target: GeoBox, fill: Any) -> da.Array | None:
    """Crop and pad where the pixels of two grids coincide, bit by bit; None where they do not.

    Args:
        array: ``(..., y, x)`` on ``source``.
        source: the grid of the array.
        target: the grid wanted.
        fill: number outside of the source.
    """
    shift = shift_between(source, target)
    if shift is None:
        return None
    cuts, pads = [], [(0, 0)] * (array.ndim - 2)
    for start, length, size in zip(shift, target.shape, source.shape, strict=True):
        first, last = min(max(start, 0), size), max(min(start + length, size), 0)
        last = max(first, last)
        before = min(max(-start, 0), length)
        cuts.append(slice(first, last))
        pads.append((before, length - before - (last - first)))
    cut = array[..., cuts[0], cuts[1]]
    if not cut.size:  # nothing of the source to pad
        return da.full((*array.shape[:-2], *target.shape), fill, dtype=array.dtype, chunks=-1)
    if not any(side for pad in pads for side in pad):
        return cut
    return da.pad(cut, pads, mode="constant", constant_values=fill)


def warped(
    data: da.Array, valid: da.Array, source: GeoBox, target: GeoBox, method: Resampling
) -> tuple[da.Array, da.Array]:
    r"""Resample numbers and mask lazily onto another grid.

    Normalised convolution (Knutsson and Westin 1993): with resampling weights :math:`w`, mask :math:`m` and numbers
    :math:`x`, the result is :math:`\sum w m x / \sum w m`, so that numbers under the mask have no part in it. The mask
    itself is taken from the nearest source pixel: a result is valid only if its own source pixel is.

    Args:
        data: ``(time, band, y, x)``.
        valid: ``(time, y, x)`` or ``(time, band, y, x)``.
        source: grid of the arrays.
        target: grid wanted.
        method: nearest, bilinear or average.

    Returns:
        numbers in the stored type for nearest, else float32 (float64 for wide integers), and the mask.
    """
    dtype = data.dtype if method == Resampling.nearest else np.result_type(data.dtype, np.float32)
    scale = _pixels_per_step(source, target)
    rows, columns = _edges(target.shape.y), _edges(target.shape.x)
    numbers: list[list[da.Array]] = []
    masks: list[list[da.Array]] = []
    for top, bottom in rows:
        number_row, mask_row = [], []
        for left, right in columns:
            tile = target[top:bottom, left:right]
            number, mask = _tile(data, valid, source, tile, method, scale, dtype)
            number_row.append(number)
            mask_row.append(mask)
        numbers.append(number_row)
        masks.append(mask_row)
    return da.block(numbers), da.block(masks)


def _tile(
    data: da.Array,
    valid: da.Array,
    source: GeoBox,
    tile: GeoBox,
    method: Resampling,
    scale: tuple[float, float],
    dtype: np.dtype[Any],
) -> tuple[da.Array, da.Array]:
    """Numbers and mask of one target chunk, from the part of the source that it needs."""
    height, width = int(tile.shape.y), int(tile.shape.x)
    window = _window(source, tile, margin=2 + int(np.ceil(max(scale))))
    if window is None:
        outside = da.zeros((*data.shape[:-2], height, width), dtype=dtype, chunks=-1)
        return outside, da.zeros((*valid.shape[:-2], height, width), dtype=bool, chunks=-1)
    part = source[window]
    both = delayed(_resample, nout=2, pure=True)(
        _whole(data[(..., *window)]), _whole(valid[(..., *window)]), part, tile, method, scale, dtype
    )
    number = da.from_delayed(both[0], (*data.shape[:-2], height, width), dtype=dtype)
    mask = da.from_delayed(both[1], (*valid.shape[:-2], height, width), dtype=bool)
    return number, mask


def _whole(array: da.Array) -> da.Array:
    return array.rechunk(array.shape) if array.npartitions > 1 else array


def _resample(
    data: NDArray[Any],
    valid: NDArray[np.bool_],
    source: GeoBox,
    target: GeoBox,
    method: Resampling,
    scale: tuple[float, float],
    dtype: np.dtype[Any],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    planes = valid.shape[-2:]
    mask = _gdal(valid.reshape(-1, *planes).astype(np.uint8), source, target, Resampling.nearest, scale) > 0
    mask = mask.reshape(*valid.shape[:-2], *mask.shape[-2:])
    stack = data.reshape(-1, *planes)
    if method == Resampling.nearest:
        moved = _gdal(stack, source, target, method, scale)
        return moved.reshape(*data.shape[:-2], *moved.shape[-2:]), mask
    full = valid[:, None] if valid.ndim == 3 else valid
    clean = np.where(full, data, 0).astype(dtype, copy=False)
    above = _gdal(clean.reshape(-1, *planes), source, target, method, scale)
    above = above.reshape(*data.shape[:-2], *above.shape[-2:])
    below = _gdal(full.reshape(-1, *planes).astype(dtype), source, target, method, scale)
    below = below.reshape(*full.shape[:-2], *below.shape[-2:])
    enough = below > _LEAST_WEIGHT
    result = np.divide(above, below, out=np.zeros_like(above), where=np.broadcast_to(enough, above.shape))
    return result, mask & (enough if valid.ndim == 4 else enough[:, 0])


def _gdal(
    stack: NDArray[Any], source: GeoBox, target: GeoBox, method: Resampling, scale: tuple[float, float]
) -> NDArray[Any]:
    """One GDAL warp of planes ``(n, y, x)``; zeros outside of the source."""
    out = np.zeros((len(stack), int(target.shape.y), int(target.shape.x)), dtype=stack.dtype)
    # Without XSCALE and YSCALE GDAL guesses the kernel from the window, and results would depend on the chunks.
    with _ONE_AT_A_TIME:
        rasterio.warp.reproject(
            np.ascontiguousarray(stack),
            out,
            src_transform=source.affine,
            src_crs=str(source.crs),
            dst_transform=target.affine,
            dst_crs=str(target.crs),
            resampling=method,
            tolerance=_TOLERANCE,
            num_threads=os.cpu_count() or 1,
            XSCALE=1.0 / max(scale[1], 1.0),
            YSCALE=1.0 / max(scale[0], 1.0),
        )
    return out


def _window(source: GeoBox, tile: GeoBox, margin: int) -> tuple[slice, slice] | None:
    """Rows and columns of the source that a target chunk needs, or None where it lies outside."""
    columns, rows = _source_pixels(source, tile, points=33)
    inside = np.isfinite(columns) & np.isfinite(rows)
    if not inside.any():
        return None
    spans = []
    for values, size in ((rows[inside], source.shape.y), (columns[inside], source.shape.x)):
        first = max(0, int(np.floor(values.min())) - margin)
        last = min(int(size), int(np.ceil(values.max())) + margin)
        if first >= last:
            return None
        spans.append(slice(first, last))
    return spans[0], spans[1]


def _source_pixels(source: GeoBox, tile: GeoBox, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Source columns and rows of a mesh of points over a target chunk, corners included."""
    columns, rows = np.meshgrid(np.linspace(0, tile.shape.x, points), np.linspace(0, tile.shape.y, points))
    x, y = apply_affine(tile.affine, columns, rows)
    if source.crs != tile.crs:
        # One CRS to another; points outside of the projection come back as infinity.
        from pyproj import Transformer

        move = Transformer.from_crs(str(tile.crs), str(source.crs), always_xy=True)
        x, y = (np.asarray(item, dtype=np.float64) for item in move.transform(x, y))
    return apply_affine(~source.affine, x, y)


def _pixels_per_step(source: GeoBox, target: GeoBox) -> tuple[float, float]:
    """How many source rows and columns one target pixel spans, the median over the target."""
    columns, rows = _source_pixels(source, target, points=9)
    ratios = []
    for values, axis, size in ((rows, 0, target.shape.y), (columns, 1, target.shape.x)):
        steps = np.abs(np.diff(values, axis=axis)) * 8 / size
        finite = steps[np.isfinite(steps)]
        ratios.append(float(np.median(finite)) if finite.size else 1.0)
    return ratios[0], ratios[1]


def _edges(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]
