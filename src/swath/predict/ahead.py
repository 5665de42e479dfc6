"""Reading ahead: windows of super-blocks come from a thread of their own while the model runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from swath.failures import Failure
from swath.predict.tiles import Block
from swath.predict.window import Window, WindowReader


class Ahead:
    """Reads windows in one thread of its own, one window ahead of the model.

    Args:
        reader: used in that thread only.
        strips: the strips in their order, with their numbers.
        tile: output pixels of a tile.
        scale: input pixels per output pixel.
    """

    def __init__(
        self, reader: WindowReader, strips: list[tuple[int, tuple[Block, ...]]], tile: int, scale: int
    ) -> None:
        self._reader = reader
        self._tile, self._scale = tile, scale
        self._jobs = self._list(strips)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="swath-read")
        self._next: Future[tuple[Window, list[Failure]]] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self) -> tuple[Window, list[Failure]]:
        """The next window, and what could not be read for it; begins to read the one after it."""
        assert self._next is not None
        result = self._next.result()
        self._start()
        return result

    def _start(self) -> None:
        job = next(self._jobs, None)
        self._next = None if job is None else self._pool.submit(self._read, *job)

    def _read(self, block: Block, keep: int | None, new: bool) -> tuple[Window, list[Failure]]:
        if new:
            self._reader.next_strip()
        known = len(self._reader.failures)
        rows, columns = self._reach(block.tile_rows), self._reach(block.tile_columns)
        return self._reader.read(rows, columns, keep), self._reader.failures[known:]

    def _reach(self, tiles: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """The input pixels of some tiles in a row."""
        return tiles[0][1] * self._scale, (tiles[-1][1] + self._tile) * self._scale

    def _list(self, strips: list[tuple[int, tuple[Block, ...]]]) -> Iterator[tuple[Block, int | None, bool]]:
        """Blocks to read, the first row that the next strip needs, and whether a strip begins."""
        for position, (number, strip) in enumerate(strips):
            after = strips[position + 1] if position + 1 < len(strips) else None
            follows = after is not None and after[0] == number + 1
            keep = after[1][0].tile_rows[0][1] * self._scale if after is not None and follows else None
            new = True
            for block in strip:
                if block.tiles:
                    yield block, keep, new
                    new = False
