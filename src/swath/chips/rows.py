"""Read a scene from top to bottom, every stored block once, holding no more rows than a row of chips needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dask.base import compute
from numpy.typing import NDArray

from swath.errors import InputError, SwathError

Array = NDArray[Any]
Fetch = Callable[[int, int], list[Array]]


@dataclass(frozen=True)
class Unreadable:
    """A stored block that cannot be read.

    Args:
        rows: first row and the one after the last.
        columns: first column and the one after the last.
        error: why.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    error: Exception


class RowReader:
    """Serves ranges of rows in the order of their first row.

    Args:
        fetch: gives the arrays ``(..., y, x)`` of the rows from start to stop.
        edges: rows where stored blocks begin, and the number of rows last. A block is read as a whole, once, and
            dropped when no later range can need it.
    """

    def __init__(self, fetch: Fetch, edges: Sequence[int]) -> None:
        self._fetch = fetch
        self._edges = list(edges)
        self._block = 0
        self._first = 0
        self._held: list[Array] = []

    def rows(self, start: int, stop: int) -> list[Array]:
        """The rows from ``start`` to ``stop``; ``start`` may not lie before that of an earlier call."""
        held_to = self._first + (self._held[0].shape[-2] if self._held else 0)
        if start >= held_to:
            self._held = []
            while self._edges[self._block + 1] <= start:
                self._block += 1
            self._first = held_to = self._edges[self._block]
        else:
            self._held = [array[..., start - self._first :, :] for array in self._held]
            self._first = start
        if held_to < stop:
            first_block = self._block
            while self._edges[self._block] < stop:
                self._block += 1
            fresh = self._fetch(self._edges[first_block], self._edges[self._block])
            joined = zip(self._held, fresh, strict=True) if self._held else [(array,) for array in fresh]
            self._held = [np.concatenate(parts, axis=-2) if len(parts) > 1 else parts[0] for parts in joined]
        return [array[..., start - self._first : stop - self._first, :] for array in self._held]


def reader_of(arrays: Sequence[Any], step: int, unreadable: list[Unreadable] | None = None) -> RowReader:
    """A reader of arrays ``(..., y, x)`` on one grid, numpy or dask; lazy ones are computed together.

    Args:
        arrays: arrays with the same rows.
        step: rows read at a time where no array has blocks.
        unreadable: blocks that cannot be read are noted here and read as 0 or False; None = they are an error.
    """
    lazy = next((array for array in arrays if hasattr(array, "chunks") and array.chunks), None)
    length = int(arrays[0].shape[-2])
    edges = [*range(0, length, step), length] if lazy is None else [0, *np.cumsum(lazy.chunks[-2]).tolist()]

    def fetch(start: int, stop: int) -> list[Array]:
        parts = [array[..., start:stop, :] for array in arrays]
        try:
            return _compute(parts)
        except SwathError:
            if unreadable is None:
                raise
        return _block_by_block(parts, start, unreadable)

    return RowReader(fetch, edges)


def gather(slab: Array, first_row: int, row: int, columns: NDArray[np.int64], size: int, fill: float) -> Array:
    """Cut the windows of one row of chips.

    Args:
        slab: ``(..., y, x)``, the rows of the scene from ``first_row`` on that the windows need.
        first_row: row of the scene of ``slab[..., 0, :]``.
        row: first row of all windows; may lie outside the scene.
        columns: first columns ``(N,)`` of the windows; may lie outside the scene.
        size: rows and columns of a window.
        fill: number outside the scene.

    Returns:
        ``(N, ..., size, size)``.
    """
    y = row - first_row + np.arange(size)
    x = columns[:, None] + np.arange(size)
    inside_y, inside_x = (y >= 0) & (y < slab.shape[-2]), (x >= 0) & (x < slab.shape[-1])
    cut = slab[..., y.clip(0, slab.shape[-2] - 1), :][..., x.clip(0, slab.shape[-1] - 1)]
    cut = np.ascontiguousarray(np.moveaxis(cut, -2, 0))
    outside = ~(inside_y[None, :, None] & inside_x[:, None, :])
    if outside.any():
        middle = (1,) * (cut.ndim - 3)
        cut[np.broadcast_to(outside.reshape(len(columns), *middle, size, size), cut.shape)] = fill
    return cut


def _block_by_block(parts: Sequence[Any], first_row: int, unreadable: list[Unreadable]) -> list[Array]:
    """What can be read of some rows; blocks that cannot are noted."""
    whole = [np.zeros(part.shape, part.dtype) for part in parts]
    for rows, columns in itertools.product(_spans(parts, -2), _spans(parts, -1)):
        place = (..., slice(*rows), slice(*columns))
        try:
            for target, read in zip(whole, _compute([part[place] for part in parts]), strict=True):
                target[place] = read
        except SwathError as error:
            unreadable.append(Unreadable((first_row + rows[0], first_row + rows[1]), columns, error))
    return whole


def _spans(parts: Sequence[Any], axis: int) -> list[tuple[int, int]]:
    """Between which positions of an axis no array has the edge of a block."""
    edges = {0, int(parts[0].shape[axis])}
    for part in parts:
        if hasattr(part, "chunks") and part.chunks:
            edges.update(int(edge) for edge in np.cumsum(part.chunks[axis]))
    return list(itertools.pairwise(sorted(edges)))


def _compute(arrays: Sequence[Any]) -> list[Array]:
    try:
        computed = compute(*arrays)
    except OSError as error:
        raise InputError(
            f"The scene could not be read: {error}", expected="complete files", remedy="fetch the scene again"
        ) from error
    return [np.asarray(array) for array in computed]
