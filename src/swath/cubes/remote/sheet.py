"""Windows of a raster file laid one below the other, as a file of their own: what many chips of one scene are read as.

A scene of sheets is assembled once for all chips, each file is read in one go, and no stored block twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath.cubes.raster import RasterFile
from swath.cubes.remote.many import windows_of
from swath.cubes.remote.plan import Window


@dataclass(frozen=True)
class Sheet:
    """Reads windows of a file as if they lay below each other, flush left.

    Args:
        base: the file.
        windows: rows and columns of the base, at least one.
    """

    base: RasterFile
    windows: tuple[Window, ...]

    @cached_property
    def tops(self) -> tuple[int, ...]:
        """First row of each window in the sheet, and the height of the sheet."""
        heights = [bottom - top for (top, bottom), _ in self.windows]
        return tuple(np.cumsum([0, *heights]).tolist())

    @property
    def width(self) -> int:
        """Columns of the widest window."""
        return max(right - left for _, (left, right) in self.windows)

    def read(
        self, bands: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int], *, masks: bool
    ) -> NDArray[Any]:
        """Bands (0-based) ``(band, y, x)`` of a part of the sheet, 0 beside narrow windows; or their masks."""
        out = np.zeros((len(bands), self.tops[-1], self.width), bool if masks else self.base.dtype)
        found = windows_of(self.base, self.windows, bands, masks=masks)
        for top, part in zip(self.tops, found, strict=False):
            out[:, top : top + part.shape[1], : part.shape[2]] = part
        return out[:, slice(*rows), slice(*columns)]

    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """One chunk, so that the blocks of all windows are planned together."""
        return (self.tops[-1],), (self.width,)

    def place(self, number: int) -> tuple[slice, slice, GeoBox]:
        """Rows and columns of a window in the sheet, and its grid on Earth."""
        (top, bottom), (left, right) = self.windows[number]
        start = self.tops[number]
        return slice(start, start + bottom - top), slice(0, right - left), self.base.geobox[top:bottom, left:right]


def sheet_of(sheet: Sheet) -> RasterFile:
    """A sheet as a file. Its grid has the pixels of the base; only that of its first window is a place on Earth."""
    file, ((top, _), (left, _)) = sheet.base, sheet.windows[0]
    grid = file.geobox
    box = GeoBox((sheet.tops[-1], sheet.width), grid.affine * Affine.translation(left, top), grid.crs)
    digest = hashlib.sha256(repr((file.stamp, sheet.windows)).encode()).digest()
    stamp = (int.from_bytes(digest[:7], "big"), file.stamp[1])
    return replace(file, geobox=box, stamp=stamp, reader=sheet)
