"""Rasters of quantities (height, biomass, ...) on the grid of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import grids
from swath.chips.align import IntegerRaster, positions
from swath.chips.rows import Array, RowReader, reader_of
from swath.chips.targets import check_names
from swath.cubes import as_cube, bands_of, check_physical, geobox_of, same_grid
from swath.errors import InputError
from swath.types import IGNORE

MEASURED = 1
"""Value of the label rasters where at least one quantity is known."""


@dataclass(frozen=True)
class Quantities:
    """Quantities and how to read them on the grid of a scene.

    Args:
        array: ``(quantity, y, x)``, numpy or dask, floats; NaN where unknown.
        grid: its own grid; None when it is the scene's.
        scene: grid of the scene.
        names: one per quantity.
        units: one per quantity.
        source: file or name, for sentences.
    """

    array: Any
    grid: GeoBox | None
    scene: GeoBox
    names: tuple[str, ...]
    units: tuple[str, ...]
    source: str

    @classmethod
    def of(
        cls,
        cube: xr.Dataset,
        scene: GeoBox,
        *,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        scene_source: str = "scene",
    ) -> Quantities:
        """Check quantities against a scene.

        Args:
            cube: one date in physical numbers, one band per quantity; what is not valid or not finite is unknown.
            scene: grid of the scene.
            names: of the quantities; default: those of the bands.
            units: of the quantities; default: those of the bands.
            scene_source: file or name of the scene, for sentences.

        Raises:
            ContractError: the dataset is no cube.
            InputError: several dates, stored numbers without their scale, names or units that do not fit, or no overlap
                with the scene (both extents are told).
        """
        cube = as_cube(cube)
        check_physical(cube)
        source = str(cube.attrs.get("source") or "quantities")
        bands = bands_of(cube)
        if cube.sizes["time"] != 1:
            raise InputError(
                f"The quantities of '{source}' have {cube.sizes['time']} dates",
                expected="one date",
                remedy="choose one, and cut the others into chip sets of their own",
            )
        called = check_names(bands.names if names is None else names, "quantities")
        given = tuple(band.unit for band in bands) if units is None else tuple(units)
        for what, listed in (("names", called), ("units", given)):
            if len(listed) != len(bands):
                raise InputError(
                    f"'{source}' holds {len(bands)} bands, and {len(listed)} {what} of quantities were given "
                    f"({', '.join(listed)})",
                    expected="one per band, in order",
                    remedy="name all of them, or extract the bands that are wanted",
                )
        valid, data = cube["valid"].data, cube["data"].data
        data = data if data.dtype.kind == "f" else data.astype("float64")
        mask = valid[:, None] if valid.ndim == 3 else valid
        array = xr.where(xr.Variable(cube["data"].dims, mask | np.zeros(data.shape, bool)), data, np.nan).data[0]
        own: GeoBox | None = geobox_of(cube)
        assert own is not None
        if same_grid(own, scene):
            own = None
        else:
            grids.overlap(scene, own, names=(scene_source, source))
        return cls(array, own, scene, called, given, source)

    @property
    def measured(self) -> IntegerRaster:
        """Where at least one quantity is known: ``MEASURED``, elsewhere ``IGNORE``."""
        known = np.isfinite(self.array).any(axis=0)
        return IntegerRaster(known * (MEASURED - IGNORE) + IGNORE, self.grid, self.scene, self.source)

    def reader(self, step: int) -> RowReader:
        """Rows ``(quantity, y, x)`` on the grid of the scene, each pixel that of the nearest centre; NaN outside."""
        if self.grid is None:
            return reader_of([self.array], step)
        length = int(self.scene.shape.y)
        return RowReader(lambda start, stop: [self._nearest(start, stop)], [*range(0, length, step), length])

    def _nearest(self, start: int, stop: int) -> Array:
        assert self.grid is not None
        result: NDArray[np.float64] = np.full((len(self.names), stop - start, int(self.scene.shape.x)), np.nan)
        column, row = positions(self.grid, self.scene, start, stop)
        height, width = self.array.shape[-2:]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        if inside.any():
            row, column = row[inside].astype(np.int64), column[inside].astype(np.int64)
            first = int(row.min())
            block = np.asarray(self.array[:, first : int(row.max()) + 1])
            result[:, inside] = block[:, row - first, column]
        return result
