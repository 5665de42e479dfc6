"""The one lattice of pixels on which all chips of a set lie, and the cells that scenes offer on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from swath.errors import InputError
from swath.grids.geobox import crs_of

_EDGE = 33
_SAME = 1e-3  # pixels


@dataclass(frozen=True)
class Lattice:
    """Square pixels of a CRS, counted from (x0, y0) downwards and to the right.

    Args:
        crs: code or WKT.
        step: width of a pixel in units of the CRS.
        x0: left edge of column 0, 0 to below ``step``.
        y0: upper edge of row 0, 0 to below ``step``.
    """

    crs: str
    step: float
    x0: float = 0.0
    y0: float = 0.0

    @classmethod
    def of(cls, box: GeoBox, what: str) -> Lattice:
        """The lattice that a grid is a part of.

        Raises:
            InputError: its pixels are not square or not upright.
        """
        affine = box.affine
        if abs(affine.b) + abs(affine.d) > 0 or affine.a <= 0 or not math.isclose(affine.a, -affine.e, rel_tol=1e-6):
            raise InputError(
                f"The pixels of '{what}' are {affine.a:g} by {affine.e:g} units, turned by {affine.b:g}",
                expected="square pixels, north up",
                remedy="name the grid of the chips with crs= and resolution= (--crs, --resolution)",
            )
        step = float(affine.a)
        return cls(str(box.crs), step, _phase(affine.c, step), _phase(affine.f, step))

    def pixels(self, lon: Any, lat: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row and column of places, in fractions of pixels from the lattice's own edge."""
        x, y = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        if self.crs != "EPSG:4326":
            x, y = (np.asarray(part) for part in Transformer.from_crs(4326, self.crs, always_xy=True).transform(x, y))
        return (self.y0 - y) / self.step, (x - self.x0) / self.step

    def box(self, row: int, column: int, height: int, width: int) -> GeoBox:
        """A window as a grid."""
        corner = self.x0 + column * self.step, self.y0 - row * self.step
        return GeoBox((height, width), Affine(self.step, 0, corner[0], 0, -self.step, corner[1]), self.crs)

    def window(self, box: GeoBox) -> tuple[int, int, int, int]:
        """First row and column, and rows and columns, of a grid's extent: exact on this lattice, else the hull."""
        height, width = box.shape.yx
        along = np.linspace(0.0, 1.0, _EDGE)
        columns = np.concatenate([along, along, np.zeros(_EDGE), np.ones(_EDGE)]) * width
        rows = np.concatenate([np.zeros(_EDGE), np.ones(_EDGE), along, along]) * height
        x, y = box.affine.a * columns + box.affine.c, box.affine.e * rows + box.affine.f
        if str(crs_of(box)) != self.crs:
            x, y = Transformer.from_crs(crs_of(box).proj, self.crs, always_xy=True).transform(x, y)
        down, right = (self.y0 - np.asarray(y)) / self.step, (np.asarray(x) - self.x0) / self.step
        top, left = math.floor(down.min() + _SAME), math.floor(right.min() + _SAME)
        bottom, east = math.ceil(down.max() - _SAME), math.ceil(right.max() - _SAME)
        return top, left, bottom - top, east - left

    def nearest(self, box: GeoBox) -> tuple[int, int, float]:
        """Row and column of the whole-pixel window nearest to a grid, and how far off its centre is [pixels].

        Raises:
            InputError: the grid has another CRS, or its pixels drift by over half a pixel within it.
        """
        if str(crs_of(box)) != self.crs or abs(box.affine.b) + abs(box.affine.d) > 0:
            raise InputError(
                f"The grid is in {box.crs}", expected=f"{self.crs}, as the others", remedy="bring all into one CRS"
            )
        drift = max(abs(box.affine.a - self.step), abs(-box.affine.e - self.step)) / self.step * max(box.shape)
        if drift > 0.5:
            raise InputError(
                f"Its pixels are {box.affine.a:.10g} by {-box.affine.e:.10g} units",
                expected=f"{self.step:.10g}, as the others (within half a pixel over the chip)",
                remedy="resample it, or make a chip set of its own from it",
            )
        middle = box.affine * (box.shape.x / 2, box.shape.y / 2)
        down = (self.y0 - middle[1]) / self.step - box.shape.y / 2
        right = (middle[0] - self.x0) / self.step - box.shape.x / 2
        row, column = round(down), round(right)
        return row, column, max(abs(down - row), abs(right - column))


def cells(
    rows: NDArray[np.float64], columns: NDArray[np.float64], window: tuple[int, int, int, int], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Cell down and right of pixels, counted from the corner of a window, and whether that cell lies wholly inside.

    Args:
        rows: as ``Lattice.pixels``.
        columns: as ``Lattice.pixels``.
        window: as ``Lattice.window``.
        size: rows and columns of a cell.
    """
    top, left, height, width = window
    down = np.floor((np.floor(rows) - top) / size).astype(np.int64)
    right = np.floor((np.floor(columns) - left) / size).astype(np.int64)
    whole = (down >= 0) & (right >= 0) & (down < height // size) & (right < width // size)
    return down, right, whole


def _phase(edge: float, step: float) -> float:
    """Where a lattice begins; counts of pixels stay exact, as edges are rounded to a thousandth of a pixel."""
    phase = round((edge - math.floor(edge / step) * step) / step / _SAME) * _SAME * step
    return 0.0 if math.isclose(phase, step, rel_tol=1e-9) or phase == 0 else phase
