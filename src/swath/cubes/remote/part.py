"""A window of a raster file as a file of its own, so that a scene of a small place plans no more than that place."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from swath.cubes.raster import CHUNK_ELEMENTS, RasterFile, read_window
from swath.cubes.remote.answers import plain
from swath.cubes.remote.plan import Window
from swath.errors import InputError
from swath.grids.geobox import to_lonlat

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Part:
    """Reads a window of a file as if it were all of it.

    Args:
        base: the file.
        window: rows and columns of the base.
    """

    base: RasterFile
    window: Window

    def read(
        self, bands: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int], *, masks: bool
    ) -> NDArray[Any]:
        """Bands (0-based) ``(band, y, x)`` of a part of the window, or with ``masks`` the shared mask of each."""
        (top, _), (left, _) = self.window
        moved = (top + rows[0], top + rows[1]), (left + columns[0], left + columns[1])
        return read_window(self.base, bands, *moved, masks=masks)

    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Heights and widths of chunks of the window that split no stored block."""
        block = self.base.block
        budget = max(1, CHUNK_ELEMENTS // (self.base.count if self.base.by_pixel else 1))
        columns = block[1] * max(1, int(budget**0.5) // block[1])
        rows = block[0] * max(1, budget // columns // block[0])
        (top, bottom), (left, right) = self.window
        return _aligned(top, bottom, rows), _aligned(left, right, columns)


def part_of(file: RasterFile, window: Window) -> RasterFile:
    """A window of a file with its own grid."""
    (top, bottom), (left, right) = window
    digest = hashlib.sha256(repr((file.stamp, window)).encode()).digest()
    stamp = (int.from_bytes(digest[:7], "big"), file.stamp[1])
    return replace(file, geobox=file.geobox[top:bottom, left:right], stamp=stamp, reader=Part(file, window))


def parts_in(files: Sequence[RasterFile], bbox: Bounds, scene: Sequence[RasterFile] = ()) -> list[RasterFile]:
    """The part of each file of a scene that covers a box.

    Edges are moved outward to whole pixels of the coarsest file, so that grids of a scene that nest still do.

    Args:
        files: whose parts are wanted.
        bbox: west, south, east, north [degrees], west below east.
        scene: all files of the scene; those files when left out.

    Raises:
        InputError: the box lies outside a file, or it crosses the antimeridian.
    """
    if bbox[0] >= bbox[2] or bbox[1] >= bbox[3]:
        raise InputError(
            f"The box {_text(bbox)} crosses the antimeridian, or has no area",
            expected="west below east and south below north",
            remedy="read the two sides of the antimeridian one after another; otherwise exchange the numbers",
        )
    coarsest: dict[str, float] = {}
    for file in scene or files:
        key = str(file.geobox.crs)
        coarsest[key] = max(coarsest.get(key, 0.0), abs(file.geobox.affine.a))
    return [part_of(file, window_of(file, bbox, coarsest[str(file.geobox.crs)])) for file in files]


def window_of(file: RasterFile, bbox: Bounds, step: float = 0.0) -> Window:
    """Rows and columns of a file that cover a box in degrees.

    Args:
        file: the file.
        bbox: west, south, east, north [degrees].
        step: the window begins and ends at multiples of this from the file's corner [units of its CRS].

    Raises:
        InputError: the box lies outside the file.
    """
    grid = file.geobox
    to_grid = Transformer.from_crs("OGC:CRS84", str(grid.crs), always_xy=True)
    west, south, east, north = to_grid.transform_bounds(*bbox, densify_pts=21)
    inverse = ~grid.affine
    ends = np.array([inverse * (x, y) for x in (west, east) for y in (south, north)])
    if not np.isfinite(ends).all():
        raise _outside(file, bbox)
    factor = max(1, round(step / abs(grid.affine.a))) if step else 1
    low = np.floor(np.round(ends.min(axis=0), 6) / factor) * factor
    high = np.ceil(np.round(ends.max(axis=0), 6) / factor) * factor
    height, width = (int(side) for side in grid.shape.yx)
    left, right = max(0, int(low[0])), min(width, int(high[0]))
    top, bottom = max(0, int(low[1])), min(height, int(high[1]))
    if left >= right or top >= bottom:
        raise _outside(file, bbox)
    return (top, bottom), (left, right)


def extent(grid: GeoBox) -> Bounds:
    """West, south, east and north of a grid, from its corners and the middles of its edges [degrees]."""
    height, width = grid.shape.yx
    columns, rows = np.meshgrid([0.0, width / 2, width], [0.0, height / 2, height])
    lon, lat = to_lonlat(grid, columns.ravel(), rows.ravel())
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def _outside(file: RasterFile, bbox: Bounds) -> InputError:
    return InputError(
        f"The box {_text(bbox)} lies outside {plain(file.path)}, which covers {_text(extent(file.geobox))}",
        expected="a box (west, south, east, north in degrees) that touches the file",
        remedy="move the box, or search for scenes that cover it",
    )


def _text(bbox: Bounds) -> str:
    return ", ".join(f"{value:.6g}" for value in bbox)


def _aligned(first: int, last: int, step: int) -> tuple[int, ...]:
    """Lengths of pieces of ``first`` to ``last`` that end at multiples of ``step``."""
    edges = [first, *range((first // step + 1) * step, last, step), last]
    return tuple(high - low for low, high in itertools.pairwise(edges))
