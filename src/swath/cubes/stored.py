"""Whether a GeoTIFF reached the disk: GDAL says nothing of a disk that is full when it closes a file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray


def mark(
    filled: NDArray[np.bool_], block: int, array: NDArray[Any], row: int, column: int, empty: float | None
) -> None:
    """Note which stored blocks a window puts numbers into that the file has to hold.

    Args:
        filled: bool (block row, block column), changed in place.
        block: rows and columns of a block.
        array: ``(band, y, x)``.
        row: first row of the window.
        column: first column of the window.
        empty: the number that blocks hold which were never written; such blocks may be left out of the file.
    """
    unwritten = 0 if empty is None else empty
    for y in range(row // block, (row + array.shape[1] - 1) // block + 1):
        for x in range(column // block, (column + array.shape[2] - 1) // block + 1):
            if filled[y, x]:
                continue
            rows = slice(max(0, y * block - row), (y + 1) * block - row)
            columns = slice(max(0, x * block - column), (x + 1) * block - column)
            part = array[:, rows, columns]
            same = np.isnan(part) if unwritten != unwritten else part == unwritten
            filled[y, x] = not same.all()


def check_stored(path: Path, filled: NDArray[np.bool_] | None = None) -> None:
    """Compare where the stored blocks of a GeoTIFF end, those of its overviews included, with its size.

    Args:
        path: a tiled GeoTIFF whose bands lie together in one block.
        filled: bool (block row, block column): blocks that may not be missing.

    Raises:
        OSError: a block is missing or incomplete, as when the disk was full.
    """
    size = path.stat().st_size
    with rasterio.open(path) as dataset:
        levels: list[int | None] = [None, *range(len(dataset.overviews(1)))]
        height, width = dataset.shape
        tall, wide = dataset.block_shapes[0]
        for level in levels:
            factor = 1 if level is None else dataset.overviews(1)[level]
            shape = (-(-height // (factor * tall)), -(-width // (factor * wide)))
            for y, x in np.ndindex(*shape):
                start = dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1, ovr=level)
                length = dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=1, ovr=level)
                needed = level is None and filled is not None and bool(filled[y, x])
                if (needed and not start) or (start and int(start) + int(length or 0) > size):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
