"""Stored chunks of a cube, one by one: decoded once, empty ones recognised, unreadable ones survived."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute
from numpy.typing import NDArray

from swath.failures import Failure

GROUP = 16 * 2**20
"""Bytes of chunks that are decoded at the same time."""


@dataclass(frozen=True, eq=False)
class Piece:
    """The part of one stored chunk that is needed.

    Args:
        dates: where it lies along time.
        bands: where it lies along the wanted bands.
        mask_bands: where it lies along the bands of the mask.
        rows: scene rows ``[first, last)``.
        columns: scene columns ``[first, last)``.
        values: the numbers in their own type (time, band, y, x); None where nothing is valid.
        known: bool, validity (time, band or 1, y, x); None where all is valid.
        failure: why it could not be read.
    """

    dates: slice
    bands: slice
    mask_bands: slice
    rows: tuple[int, int]
    columns: tuple[int, int]
    values: NDArray[Any] | None = None
    known: NDArray[np.bool_] | None = None
    failure: Failure | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(array.nbytes for array in (self.values, self.known) if array is not None)

    @property
    def size(self) -> int:
        """Numbers in it."""
        dates, bands = self.dates.stop - self.dates.start, self.bands.stop - self.bands.start
        return dates * bands * (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])

    def below(self, row: int) -> Piece:
        """Its rows from ``row`` on, in memory of their own."""
        skip = max(0, row - self.rows[0])
        parts = [None if array is None else array[:, :, skip:].copy() for array in (self.values, self.known)]
        return replace(self, rows=(self.rows[0] + skip, self.rows[1]), values=parts[0], known=parts[1])


class Chunks:
    """The stored chunks of the wanted bands.

    Args:
        cube: ``data`` (time, band, y, x) and ``valid`` (time, [band,] y, x), lazy or in memory.
        bands: positions of the wanted bands.
        skip_errors: a chunk that cannot be read gives a piece without values and with a failure.
    """

    def __init__(self, cube: xr.Dataset, bands: Sequence[int], *, skip_errors: bool) -> None:
        data, valid = _select(cube["data"], bands), cube["valid"]
        self.by_band = "band" in valid.dims
        valid = _select(valid, bands) if self.by_band else valid.expand_dims("band", axis=1)
        axes = ("time", "band", "y", "x")
        self._data = data.transpose(*axes).data
        self._valid = valid.transpose(*axes).data
        self._lazy = hasattr(self._data, "dask") or hasattr(self._valid, "dask")
        self._skip = skip_errors
        self._source = str(cube.attrs.get("source", "the scene"))
        self._names = [str(name) for name in data["band"].values] if "band" in data.coords else []
        chunks = getattr(self._data, "chunks", None) or tuple((size,) for size in self._data.shape)
        self._edges = [np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]) for sizes in chunks]
        self.channels = (int(self._data.shape[0]), int(self._data.shape[1]))
        self.mask_channels = (int(self._valid.shape[0]), int(self._valid.shape[1]))
        self.shape = (int(self._data.shape[2]), int(self._data.shape[3]))
        self.row_ends: NDArray[np.int64] = self._edges[2][1:]
        self.column_ends: NDArray[np.int64] = self._edges[3][1:]
        self.decoded = 0
        self._seen: set[tuple[int, ...]] = set()

    @property
    def needed(self) -> int:
        """Different chunks that were decoded."""
        return len(self._seen)

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[Piece]:
        """The chunks of a window of the scene, cut to it."""
        if self.by_band or len(self._edges[1]) == 2:
            yield from self._pieces(rows, columns)
            return
        # One mask for all bands, which are chunks of their own: a band that is NaN or cannot be read masks the others.
        for y0, y1 in self._ranges(2, rows):
            for x0, x1 in self._ranges(3, columns):
                yield from _together(list(self._pieces((y0, y1), (x0, x1))))

    def _pieces(self, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[Piece]:
        group: list[Piece] = []
        for piece in self._plan(rows, columns):
            group.append(piece)
            if sum(each.size for each in group) * self._data.dtype.itemsize >= GROUP:
                yield from self._load(group)
                group = []
        if group:
            yield from self._load(group)

    def _plan(self, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[Piece]:
        """Which chunks a window touches."""
        whole = ((0, self.channels[0]), (0, self.channels[1]))
        for y in self._ranges(2, rows):
            for x in self._ranges(3, columns):
                for t0, t1 in self._ranges(0, whole[0]):
                    for b0, b1 in self._ranges(1, whole[1]):
                        bands = slice(b0, b1)
                        yield Piece(slice(t0, t1), bands, bands if self.by_band else slice(0, 1), y, x)

    def _ranges(self, axis: int, wanted: tuple[int, int]) -> list[tuple[int, int]]:
        """The wanted range of an axis, cut at the borders of chunks."""
        edges = self._edges[axis]
        inside = edges[(edges > wanted[0]) & (edges < wanted[1])].tolist()
        places = [wanted[0], *inside, wanted[1]]
        return list(itertools.pairwise(places))

    def _load(self, group: Sequence[Piece]) -> Iterator[Piece]:
        """Decode some chunks; if that fails, one by one."""
        self._count(group)
        try:
            loaded = self._compute(group)
        except MemoryError:
            raise
        except Exception:  # readers, codecs and file systems raise unrelated classes
            if not self._skip:
                raise
            loaded = None
        for position, piece in enumerate(group):
            yield self._alone(piece) if loaded is None else _filled(piece, *loaded[position])

    def _alone(self, piece: Piece) -> Piece:
        try:
            return _filled(piece, *self._compute([piece])[0])
        except MemoryError:
            raise
        except Exception as error:
            where = f"rows {piece.rows[0]} to {piece.rows[1] - 1}, columns {piece.columns[0]} to {piece.columns[1] - 1}"
            names = self._names[piece.bands]
            bands = f", band {', '.join(names)}" if names and len(names) < self.channels[1] else ""
            retry = "repair or fetch the file again, then run the same command: only strips with failures are repeated"
            return replace(piece, failure=Failure.of(f"{where}{bands} of {self._source}", "read", error, retry))

    def _compute(self, group: Sequence[Piece]) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
        parts = []
        for piece in group:
            space = (slice(*piece.rows), slice(*piece.columns))
            parts.append(
                (self._data[piece.dates, piece.bands, *space], self._valid[piece.dates, piece.mask_bands, *space])
            )
        return list(compute(*parts)) if self._lazy else parts

    def _count(self, group: Sequence[Piece]) -> None:
        if self._lazy:
            self.decoded += len(group)
            for each in group:
                starts = (each.dates.start, each.bands.start, each.rows[0], each.columns[0])
                pairs = zip(self._edges, starts, strict=True)
                self._seen.add(tuple(int(np.searchsorted(edges, start, side="right")) for edges, start in pairs))


def _filled(piece: Piece, stored: NDArray[Any], known: NDArray[np.bool_]) -> Piece:
    """A piece with its numbers; NaN and infinity are never valid."""
    stored, known = np.asarray(stored), np.asarray(known, dtype=bool)
    if not _any(known):
        return piece
    if stored.dtype.kind == "f":
        finite = np.isfinite(stored)
        if not finite.all():
            known = known & (finite if known.shape == stored.shape else finite.all(axis=1, keepdims=True))
    if known.all():
        return replace(piece, values=stored)
    return replace(piece, values=stored, known=known) if known.any() else piece


def _together(pieces: list[Piece]) -> Iterator[Piece]:
    """Bands that share a mask: what is invalid in one piece of a date is invalid in all."""
    if all(piece.values is not None and piece.known is None for piece in pieces):
        yield from pieces
        return
    for start in {piece.dates.start for piece in pieces}:
        group = [piece for piece in pieces if piece.dates.start == start]
        masks = [piece.known for piece in group if piece.known is not None]
        missing = any(piece.values is None for piece in group)
        shared = np.logical_and.reduce(masks) if masks and not missing else None
        for piece in group:
            yield replace(piece, values=None if missing else piece.values, known=shared)


def _any(known: NDArray[np.bool_]) -> bool:
    """Whether one is True; what stands for a constant is looked at once."""
    return bool(known.flat[0]) if known.size and not any(known.strides) else bool(known.any())


def _select(data: xr.DataArray, bands: Sequence[int]) -> xr.DataArray:
    """The wanted bands; a slice where they lie in a row, because it reads and copies less."""
    first, count = bands[0], len(bands)
    if list(bands) == list(range(first, first + count)):
        return data.isel(band=slice(first, first + count))
    return data.isel(band=list(bands))
