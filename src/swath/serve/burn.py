"""Polygons to pixels and back with GDAL, safe among the threads of a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes
from rasterio.transform import Affine

from swath.serve.handles import WARNING_FILTERS

IDENTITY = Affine.identity()


def burnt(
    pieces: Iterable[tuple[Any, int]], size: tuple[int, int], dtype: str, affine: Affine = IDENTITY
) -> NDArray[Any]:
    """The number of the polygon that holds the centre of each pixel, 0 where none does.

    rasterio wraps every array in a raster without a place, and silences the warning about that: whatever the affine,
    and by filters that all threads share. So it runs only while nobody else changes them.

    Args:
        pieces: polygons in the coordinates of ``affine``, each with its number.
        size: rows and columns.
        dtype: of the numbers.
        affine: from (column, row) to coordinates; default pixels.

    Returns:
        an array (y, x).
    """
    with WARNING_FILTERS:
        return np.asarray(rasterize(pieces, out_shape=size, transform=affine, dtype=dtype))


def outlined(
    codes: NDArray[np.int32], wanted: NDArray[np.bool_], polygons: int, corners: int
) -> list[tuple[dict[str, Any], int]] | None:
    """GeoJSON-like polygons, in (column, row), of the pieces of equal code, joined along edges, each with its code.

    Args:
        codes: (y, x).
        wanted: (y, x); pixels that are False belong to no polygon.
        polygons: the most polygons to give.
        corners: the most corners of all of them together.

    Returns:
        the polygons; None where there are more of them, or more corners.
    """
    found: list[tuple[dict[str, Any], int]] = []
    with WARNING_FILTERS:  # see burnt
        for piece, code in shapes(codes, mask=wanted, connectivity=4):
            corners -= sum(len(ring) for ring in piece["coordinates"])
            if len(found) >= polygons or corners < 0:
                return None
            found.append((piece, int(code)))
    return found
