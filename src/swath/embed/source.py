"""Embeddings on disk, read by cell or by window, with the record of what made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import cubes
from swath.embed.places import Cells
from swath.embed.record import EmbeddingRecord, read_record
from swath.errors import InputError

_ROWS = 256
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """A raster of embeddings that ``embed_scene`` wrote.

    Args:
        path: the file.
        record: what made it.
        cube: its numbers, lazy; see docs/architecture.md.
    """

    path: Path
    record: EmbeddingRecord
    cube: xr.Dataset

    @property
    def geobox(self) -> GeoBox:
        """Its grid."""
        return cubes.geobox_of(self.cube)

    def at(self, cells: Cells) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Embeddings ``(N, D)`` of cells, and where there is one ``(N,)``; 0 elsewhere, as for rows of -1."""
        values, valid = values_at(self.cube, cells)
        return values, np.asarray(valid.all(axis=1))

    def strips(self) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        """First row, embeddings ``(D, rows, columns)`` and validity ``(rows, columns)``, from top to bottom."""
        for top in range(0, self.cube.sizes["y"], _ROWS):
            part = self.cube.isel(time=0, y=slice(top, top + _ROWS))
            values = np.asarray(part["data"].values, np.float32)
            mask = np.asarray(part["valid"].values)
            whole = mask.all(axis=0) if mask.ndim == 3 else mask
            valid = np.asarray(whole & np.isfinite(values).all(axis=0))
            yield top, np.where(valid, values, np.float32(0)), valid


def open_map(path: Path | str) -> EmbeddingMap:
    """Open a raster of embeddings.

    Raises:
        InputError: there is no such file, no record beside it, or the two do not belong together.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        raise InputError(
            f"'{path}' is a table of embeddings",
            expected="a map of embeddings, which covers every place of a scene",
            remedy="make one: swath embed SCENE --model NAME -o emb.tif",
        )
    tree = cubes.open(path)
    record = read_record(path)
    cube = cubes.to_physical(cubes.to_cube(tree))
    if cube.sizes["band"] != record.dimensions or cube.sizes["time"] != 1:
        raise InputError(
            f"'{path}' has {cube.sizes['band']} bands, and its record tells of {record.dimensions}",
            expected="a raster and the record that was written with it",
            remedy="copy both again, or make the embeddings again with swath embed",
        )
    return EmbeddingMap(path, record, cube)


def values_at(cube: xr.Dataset, cells: Cells) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Numbers ``(N, T x C)`` of a cube at cells and where they are valid; 0 elsewhere, as for rows of -1.

    Blocks of a bounded number of pixels are read, each once.
    """
    times, bands = cube.sizes["time"], cube.sizes["band"]
    values = np.zeros((len(cells), times, bands), np.float32)
    valid = np.zeros((len(cells), times, bands), bool)
    for chosen, rows, columns in blocks_with(cells.rows, cells.columns):
        part = cube.isel(y=slice(rows, rows + _BLOCK), x=slice(columns, columns + _BLOCK))
        inner = cells.rows[chosen] - rows, cells.columns[chosen] - columns
        numbers = np.asarray(part["data"].values, np.float32)[:, :, inner[0], inner[1]]
        mask = np.asarray(part["valid"].values)
        mask = (mask if mask.ndim == 4 else mask[:, None])[:, :, inner[0], inner[1]]
        usable = np.broadcast_to(mask, numbers.shape) & np.isfinite(numbers)
        values[chosen] = np.where(usable, numbers, np.float32(0)).transpose(2, 0, 1)
        valid[chosen] = usable.transpose(2, 0, 1)
    return values.reshape(len(cells), -1), valid.reshape(len(cells), -1)


def blocks_with(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int, int]]:
    """Positions of the cells in each block of 512 x 512, and its first row and column; cells of -1 are passed over."""
    known = np.flatnonzero((rows >= 0) & (columns >= 0))
    keys = np.stack([rows[known] // _BLOCK, columns[known] // _BLOCK], axis=1)
    blocks, place = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(place.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(place.reshape(-1), minlength=len(blocks)))
    for number, chosen in enumerate(np.split(known[order], ends[:-1]) if len(known) else []):
        yield chosen, int(blocks[number][0]) * _BLOCK, int(blocks[number][1]) * _BLOCK
