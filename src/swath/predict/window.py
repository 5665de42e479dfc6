"""Reading windows with a halo from a cube, in bounded memory, each stored chunk about once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath.failures import Failure
from swath.predict.chunks import Chunks, Piece


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

    def copy(self) -> Window:
        """The same window in memory of its own."""
        return replace(self, values=self.values.copy(), valid=self.valid.copy())

    def usable(self, *, strict: bool, every_date: bool) -> NDArray[np.bool_]:
        """Pixels that get a prediction, bool (y, x).

        Args:
            strict: all bands must be valid; otherwise one is enough.
            every_date: a band counts as valid if it is so on every date; otherwise one date is enough.
        """
        dates, bands = self.valid.shape[:2]
        if dates == 1 and bands == 1:
            return self.valid[0, 0].copy()
        over_dates = self.valid[0] if dates == 1 else self.valid.all(axis=0) if every_date else self.valid.any(axis=0)
        return np.asarray(over_dates.all(axis=0) if strict else over_dates.any(axis=0))


class WindowReader:
    """Reads windows of a cube from left to right and strip by strip; what an earlier window held is not read again.

    Columns that the last window held are copied from it. Rows at the lower end of a strip that the next strip needs too
    are kept in the stored type, as far as memory allows.

    Args:
        cube: ``data`` (time, band, y, x) and ``valid`` (time, [band,] y, x), lazy or in memory.
        bands: positions of the wanted bands.
        wrap: whether the first column follows the last one (a globe in degrees).
        budget: bytes that a window may take; within them, reads go on to the end of the stored chunk, so that a chunk
            is not decoded once for every super-block that it serves. As many may be kept for the next strip.
        skip_errors: chunks that cannot be read become invalid and are listed in ``failures``; otherwise they stop all.
    """

    def __init__(
        self, cube: xr.Dataset, bands: Sequence[int], *, wrap: bool, budget: int = 0, skip_errors: bool = False
    ) -> None:
        self.chunks = Chunks(cube, bands, skip_errors=skip_errors)
        self.shape = self.chunks.shape
        self.failures: list[Failure] = []
        self._wrap = wrap
        self._budget = budget
        self._last: Window | None = None
        self._tallest = 0
        self._carried = _Carry(budget)
        self._coming = _Carry(budget)

    def next_strip(self) -> None:
        """Begin a strip: rows kept for it can be used, and failures are listed anew."""
        self._carried, self._coming = self._coming, _Carry(self._budget)
        self._last = None
        self.failures = []

    def read(self, rows: tuple[int, int], columns: tuple[int, int], keep: int | None = None) -> Window:
        """The window of the scene rows and unrolled columns ``[first, last)``.

        Args:
            rows: scene rows.
            columns: unrolled scene columns.
            keep: the first row that the next strip needs; None = none.
        """
        kept = self._kept(rows, columns)
        held = 0 if kept is None else kept.values.shape[-1]
        if kept is not None and columns[0] + held >= columns[1]:
            return kept.cut(rows, columns)
        end = self._read_to(rows, columns)
        space = (rows[1] - rows[0], end - columns[0])
        values = np.zeros((*self.chunks.channels, *space), dtype=np.float32)
        valid = np.zeros((*self.chunks.mask_channels, *space), dtype=bool)
        if kept is not None:
            values[..., :held], valid[..., :held] = kept.values, kept.valid
        self._last = Window(values, valid, rows[0], columns[0])
        self._load(self._last.cut(rows, (columns[0] + held, end)), keep)
        return self._last.cut(rows, columns)

    def _read_to(self, rows: tuple[int, int], columns: tuple[int, int]) -> int:
        """The end of the chunk in which the window ends, if memory allows."""
        later = self.chunks.column_ends[self.chunks.column_ends >= columns[1]]
        if columns[1] < 1 or not later.size:
            return columns[1]
        self._tallest = max(self._tallest, rows[1] - rows[0])  # equal columns in every strip, so that rows can be kept
        dates, bands = self.chunks.channels
        cost = 5 * dates * bands * self._tallest * (int(later[0]) - columns[0])
        return int(later[0]) if cost <= self._budget else columns[1]

    def _kept(self, rows: tuple[int, int], columns: tuple[int, int]) -> Window | None:
        """What the last window has of this one, if it has its left side."""
        last = self._last
        if last is None or (last.row, last.row + last.values.shape[-2]) != rows:
            return None
        end = last.column + last.values.shape[-1]
        return last.cut(rows, (columns[0], end)) if last.column <= columns[0] < end else None

    def _load(self, window: Window, keep: int | None) -> None:
        """Fill an empty window; what lies outside the scene stays 0 and False."""
        top, bottom = max(window.row, 0), min(window.row + window.values.shape[-2], self.shape[0])
        columns = (window.column, window.column + window.values.shape[-1])
        for first, last, target in _segments(columns, self.shape[1], wrap=self._wrap) if top < bottom else []:
            until, pieces = self._carried.take((first, last), top)
            fresh = self.chunks.read((until, bottom), (first, last)) if until < bottom else ()
            for piece in itertools.chain(pieces, fresh):
                if piece.failure is not None:
                    self.failures.append(piece.failure)
                self._place(piece, window, top, first, target)
                self._coming.add(piece, (first, last), keep)
            self._coming.close((first, last), keep, bottom)

    def _place(self, piece: Piece, window: Window, top: int, first: int, target: int) -> None:
        """Put a piece into the window."""
        if piece.values is None:
            return
        y0, x0 = max(piece.rows[0], top), piece.columns[0]
        here = (
            slice(y0 - window.row, piece.rows[1] - window.row),
            slice(target + x0 - first, target + piece.columns[1] - first),
        )
        stored = piece.values[:, :, y0 - piece.rows[0] :]
        values = window.values[piece.dates, piece.bands, *here]
        known = None if piece.known is None else piece.known[:, :, y0 - piece.rows[0] :]
        window.valid[piece.dates, piece.mask_bands, *here] = True if known is None else known
        if known is None:
            values[...] = stored
        else:
            np.copyto(values, stored, where=known, casting="unsafe")


class _Carry:
    """Pieces that the next strip needs again, by their columns."""

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._pieces: dict[tuple[int, int], list[Piece]] = {}
        self._until: dict[tuple[int, int], int] = {}

    def add(self, piece: Piece, columns: tuple[int, int], keep: int | None) -> None:
        """Keep the rows of a piece from ``keep`` on, unless memory is short."""
        if keep is None or piece.rows[1] <= keep or self._left < 0:
            return
        part = piece.below(keep)
        self._left -= part.nbytes
        if self._left >= 0:
            self._pieces.setdefault(columns, []).append(part)

    def close(self, columns: tuple[int, int], keep: int | None, bottom: int) -> None:
        """All pieces of some columns down to ``bottom`` were offered; without room for all of them none counts."""
        if keep is not None and keep < bottom and self._left >= 0:
            self._until[columns] = bottom
        else:
            self._pieces.pop(columns, None)

    def take(self, columns: tuple[int, int], top: int) -> tuple[int, list[Piece]]:
        """Down to which row pieces were kept, and the pieces; they leave the carry."""
        pieces = self._pieces.pop(columns, [])
        return max(top, self._until.pop(columns, top)), pieces


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
