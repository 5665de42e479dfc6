"""Integer rasters (labels, groups) on the grid of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from swath import grids
from swath.chips.rows import Array, RowReader, reader_of
from swath.cubes import Legend, same_grid
from swath.errors import InputError
from swath.grids.geobox import crs_of
from swath.types import IGNORE

_CHECK_PIXELS = 4_000_000  # label pixels checked at a time


@dataclass(frozen=True)
class IntegerRaster:
    """A raster of whole numbers and how to read it on the grid of a scene.

    Args:
        array: ``(y, x)``, numpy or dask, on its own grid.
        grid: its own grid; None when it is the scene's.
        scene: grid of the scene.
        source: file or name, for sentences.
    """

    array: Any
    grid: GeoBox | None
    scene: GeoBox
    source: str

    @classmethod
    def of(cls, raster: xr.DataArray | Array, scene: GeoBox, *, what: str, scene_source: str) -> IntegerRaster:
        """Check a raster against a scene.

        Args:
            raster: whole numbers ``(y, x)``; a plain array, or one without a grid, has to have the scene's shape.
            scene: grid of the scene.
            what: ``labels`` or ``groups``, for sentences.
            scene_source: file or name of the scene, for sentences.

        Raises:
            InputError: not whole numbers, not two axes, another shape, or no overlap (both extents are printed).
        """
        source, grid = what, None
        array: Any = raster
        if isinstance(raster, xr.DataArray):
            source = str(raster.attrs.get("source") or raster.encoding.get("source") or raster.name or what)
            box = raster.odc.geobox
            grid = box if isinstance(box, GeoBox) and box.crs is not None else None
            array = raster.data
        if array.ndim == 3 and array.shape[0] == 1:
            array = array[0]
        if array.ndim != 2 or array.dtype.kind not in "iub":
            raise InputError(
                f"'{source}' has {array.ndim} axes {array.shape} of type {array.dtype}",
                expected=f"{what} of whole numbers with the axes y, x",
                remedy=f"convert them, for example with astype('int16'), NaN as {IGNORE}",
            )
        if grid is not None and not same_grid(grid, scene):
            grids.overlap(scene, grid, names=(scene_source, source))
            return cls(array, grid, scene, source)
        if array.shape != tuple(scene.shape):
            raise InputError(
                f"'{source}' has {array.shape[0]} x {array.shape[1]} pixels and no coordinates of its own",
                expected=f"{scene.shape.y} x {scene.shape.x} pixels, as '{scene_source}' has",
                remedy="give a DataArray with coordinates and CRS, which swath then brings to the grid of the scene",
            )
        return cls(array, None, scene, source)

    def reader(self, step: int) -> RowReader:
        """Rows on the grid of the scene; ``IGNORE`` where the raster does not reach."""
        if self.grid is None:
            return reader_of([self.array], step)
        length = int(self.scene.shape.y)
        return RowReader(lambda start, stop: [self._nearest(start, stop)], [*range(0, length, step), length])

    def check_values(self, legend: Legend) -> None:
        """Compare every value with the legend before anything is written.

        Raises:
            InputError: values that are neither in the legend nor ``IGNORE``, with their counts.
        """
        rows = max(1, _CHECK_PIXELS // max(1, self.array.shape[1]))
        counts: dict[int, int] = {}
        for start in range(0, self.array.shape[0], rows):
            block = np.asarray(self.array[start : start + rows])
            for value, count in zip(*np.unique(block, return_counts=True), strict=True):
                counts[int(value)] = counts.get(int(value), 0) + int(count)
        strange = {value: counts[value] for value in sorted(counts) if value not in {*legend.values, IGNORE}}
        if strange:
            listed = ", ".join(f"{value} ({count} pixels)" for value, count in list(strange.items())[:8])
            known = ", ".join(f"{entry.value} {entry.name}" for entry in legend)
            raise InputError(
                f"'{self.source}' holds label values outside the legend: {listed}"
                + (f" and {len(strange) - 8} more values" if len(strange) > 8 else ""),
                expected=f"{known}, or {IGNORE} for no label",
                remedy=f"add the classes to the legend, or set these pixels to {IGNORE}",
            )

    def _nearest(self, start: int, stop: int) -> NDArray[np.int64]:
        """Value of the pixel that holds the centre of each scene pixel, rows ``start`` to ``stop``."""
        assert self.grid is not None
        result = np.full((stop - start, int(self.scene.shape.x)), IGNORE, np.int64)
        column, row = positions(self.grid, self.scene, start, stop)
        inside = (row >= 0) & (row < self.array.shape[0]) & (column >= 0) & (column < self.array.shape[1])
        if inside.any():
            row, column = row[inside].astype(np.int64), column[inside].astype(np.int64)
            first = int(row.min())
            block = np.asarray(self.array[first : int(row.max()) + 1])
            result[inside] = block[row - first, column]
        return result


def positions(own: GeoBox, scene: GeoBox, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row in a raster of the centres of scene pixels, rounded down; far outside where not on its map.

    Args:
        own: grid of the raster.
        scene: grid of the scene.
        start: first row of the scene.
        stop: the row after the last.
    """
    columns, rows = np.meshgrid(np.arange(scene.shape.x) + 0.5, np.arange(start, stop) + 0.5)
    a, b, c, d, e, f = scene.affine[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    map_of, map_of_scene = crs_of(own), crs_of(scene)
    if map_of != map_of_scene:
        x, y = Transformer.from_crs(map_of_scene.proj, map_of.proj, always_xy=True).transform(x, y)
    a, b, c, d, e, f = (~own.affine)[:6]
    x, y = np.where(np.isfinite(x), x, 1e30), np.where(np.isfinite(y), y, 1e30)
    column, row = np.floor(a * x + b * y + c), np.floor(d * x + e * y + f)
    if map_of.geographic and own.axis_aligned:
        # Longitudes of 0 to 360 and of -180 to 180 name the same places.
        column = np.floor((a * x + b * y + c) % abs(360.0 * a))
    return column, row
