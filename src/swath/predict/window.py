"""Reading windows with a halo from a cube, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a scene, possibly reaching beyond it.

    Args:
        values: float32 (time, band, y, x); 0 where not valid and outside the scene.
        valid: bool (time, band or 1, y, x); False outside the scene.
        row: scene row of the first row; may be negative.
        column: unrolled scene column of the first column; may be negative.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    row: int
    column: int

    def cut(self, rows: tuple[int, int], columns: tuple[int, int]) -> Window:
        """The sub-window of the scene rows and unrolled columns ``[first, last)``, without copying."""
        here = (
            ...,
            slice(rows[0] - self.row, rows[1] - self.row),
            slice(columns[0] - self.column, columns[1] - self.column),
        )
        return Window(self.values[here], self.valid[here], rows[0], columns[0])

    def usable(self, *, strict: bool, every_date: bool) -> NDArray[np.bool_]:
        """Pixels that get a prediction, bool (y, x).

        Args:
            strict: all bands must be valid; otherwise one is enough.
            every_date: a band counts as valid if it is so on every date; otherwise one date is enough.
        """
        bands = self.valid.all(axis=0) if every_date else self.valid.any(axis=0)
        return np.asarray(bands.all(axis=0) if strict else bands.any(axis=0))


class WindowReader:
    """Reads windows of a cube from left to right; columns that the last window held are not read again.

    Args:
        cube: ``data`` (time, band, y, x) and ``valid`` (time, [band,] y, x), lazy or in memory.
        bands: positions of the wanted bands.
        wrap: whether the first column follows the last one (a globe in degrees).
        budget: bytes that a window may take; within them, reads go on to the end of the stored chunk, so that a chunk
            is not decoded once for every super-block that it serves.
    """

    def __init__(self, cube: xr.Dataset, bands: Sequence[int], *, wrap: bool, budget: int = 0) -> None:
        data, valid = _select(cube["data"], bands), cube["valid"]
        by_band = "band" in valid.dims
        valid = _select(valid, bands) if by_band else valid.expand_dims("band", axis=1)
        axes = ("time", "band", "y", "x")
        mask_axes = axes if by_band else ("time", "one", "y", "x")
        self._parts = xr.Dataset(
            {"data": (axes, data.transpose(*axes).data), "valid": (mask_axes, valid.transpose(*axes).data)}
        )
        self.shape = (int(data.sizes["y"]), int(data.sizes["x"]))
        self._chunk_ends = np.cumsum(data.chunksizes.get("x", ()), dtype=np.int64)
        self._wrap = wrap
        self._budget = budget
        self._last: Window | None = None

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Window:
        """The window of the scene rows and unrolled columns ``[first, last)``."""
        kept = self._kept(rows, columns)
        held = 0 if kept is None else kept.values.shape[-1]
        if kept is not None and columns[0] + held >= columns[1]:
            return kept.cut(rows, columns)
        end = self._read_to(rows, columns)
        sizes, space = self._parts.sizes, (rows[1] - rows[0], end - columns[0])
        values = np.zeros((sizes["time"], sizes["band"], *space), dtype=np.float32)
        valid = np.zeros((*self._parts["valid"].shape[:2], *space), dtype=bool)
        if kept is not None:
            values[..., :held], valid[..., :held] = kept.values, kept.valid
        self._last = Window(values, valid, rows[0], columns[0])
        self._load(self._last.cut(rows, (columns[0] + held, end)))
        return self._last.cut(rows, columns)

    def _read_to(self, rows: tuple[int, int], columns: tuple[int, int]) -> int:
        """The end of the chunk in which the window ends, if memory allows."""
        later = self._chunk_ends[self._chunk_ends >= columns[1]]
        if columns[1] < 1 or not later.size:
            return columns[1]
        channels = self._parts.sizes["time"] * self._parts.sizes["band"]
        cost = 5 * channels * (rows[1] - rows[0]) * (int(later[0]) - columns[0])
        return int(later[0]) if cost <= self._budget else columns[1]

    def _kept(self, rows: tuple[int, int], columns: tuple[int, int]) -> Window | None:
        """What the last window has of this one, if it has its left side."""
        last = self._last
        if last is None or (last.row, last.row + last.values.shape[-2]) != rows:
            return None
        end = last.column + last.values.shape[-1]
        return last.cut(rows, (columns[0], end)) if last.column <= columns[0] < end else None

    def _load(self, window: Window) -> None:
        """Fill an empty window; what lies outside the scene stays 0 and False."""
        top, bottom = max(window.row, 0), min(window.row + window.values.shape[-2], self.shape[0])
        if top >= bottom:
            return
        columns = (window.column, window.column + window.values.shape[-1])
        for first, last, target in _segments(columns, self.shape[1], wrap=self._wrap):
            part = self._parts.isel(y=slice(top, bottom), x=slice(first, last)).compute()
            stored, known = part["data"].values, part["valid"].values
            if stored.dtype.kind == "f":
                finite = np.isfinite(stored)
                known = known & (finite if known.shape == stored.shape else finite.all(axis=1, keepdims=True))
            here = (..., slice(top - window.row, bottom - window.row), slice(target, target + last - first))
            window.valid[here] = known
            np.copyto(window.values[here], stored, where=known, casting="unsafe")


def _select(data: xr.DataArray, bands: Sequence[int]) -> xr.DataArray:
    """The wanted bands; a slice where they lie in a row, because it reads and copies less."""
    first, count = bands[0], len(bands)
    if list(bands) == list(range(first, first + count)):
        return data.isel(band=slice(first, first + count))
    return data.isel(band=list(bands))


def _segments(columns: tuple[int, int], size: int, *, wrap: bool) -> list[tuple[int, int, int]]:
    """Pieces (first, last, target) of a range of unrolled columns that lie in the scene; target counts from its left.

    >>> _segments((-2, 5), 4, wrap=True)
    [(2, 4, 0), (0, 4, 2), (0, 1, 6)]
    """
    begin, end = columns
    if not wrap:
        first, last = max(begin, 0), min(end, size)
        return [(first, last, first - begin)] if first < last else []
    pieces = []
    position = begin
    while position < end:
        first = position % size
        length = min(size - first, end - position)
        pieces.append((first, first + length, position - begin))
        position += length
    return pieces
