"""Carries out a plan: decodes blocks ahead in threads, keeps what windows wait for, and hands out windows in order."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray

from swath.chips.blocks import Layout, Plan, touches
from swath.chips.handles import Handles
from swath.chips.stored import StoredScene
from swath.errors import InputError
from swath.failures import Failure

Array = NDArray[Any]
Ints = NDArray[np.int64]


class Memory:
    """Pieces of memory of one length that are used again and again, so that a process neither grows nor fragments.

    Args:
        length: bytes of each piece.
    """

    def __init__(self, length: int) -> None:
        self.length, self.made = length, 0
        self._free: list[NDArray[np.uint8]] = []

    def take(self) -> NDArray[np.uint8]:
        """A piece that nobody uses; its content is left over from earlier use."""
        if self._free:
            return self._free.pop()
        self.made += 1
        return np.empty(self.length, np.uint8)

    def give(self, piece: NDArray[np.uint8]) -> None:
        """Give a piece back."""
        self._free.append(piece)


class Block(NamedTuple):
    """A block that is being decoded, or kept.

    Args:
        memory: where it lies.
        arrays: one array ``(band, y, x)`` a part of the scene, within ``memory``.
        scene: number of the scene.
        rows: first row and the row after the last.
        columns: first column and the column after the last.
    """

    memory: NDArray[np.uint8]
    arrays: tuple[Array, ...]
    scene: int
    rows: tuple[int, int]
    columns: tuple[int, int]


class Reader:
    """Reads the windows of a plan in order, from one of them on.

    Args:
        scenes: the scenes.
        layouts: their layouts, as they were planned with.
        made: the plan.
        begin: first window wanted.
        workers: threads.
        memories: memory for windows and for blocks, kept by the caller from epoch to epoch.
    """

    def __init__(
        self,
        scenes: Sequence[StoredScene],
        layouts: Sequence[Layout],
        made: Plan,
        begin: int,
        workers: int,
        memories: tuple[Memory, Memory],
    ) -> None:
        self.scenes, self.layouts, self.plan = scenes, layouts, made
        self.for_windows, self.for_blocks = memories
        start = int(made.first[min(begin, len(made.windows))])
        self.window_of = touches(layouts, made.windows, made.size).window
        self.corners = _corners(layouts, made, self.window_of)
        needed = np.unique(made.read_of[start:])
        self.todo = deque(needed.tolist())  # reads that were not asked for yet
        self.coming: deque[tuple[int, Block, Future[None]]] = deque()
        by_read = start + np.argsort(made.read_of[start:], kind="stable")
        ends = np.searchsorted(made.read_of[by_read], np.arange(len(made.reads) + 1))
        self.pairs_of = {read: by_read[ends[read] : ends[read + 1]].tolist() for read in needed.tolist()}
        self.windows: dict[int, tuple[NDArray[np.uint8], tuple[Array, ...]]] = {}
        self.kept: dict[int, Block] = {}
        self.spoilt: set[int] = set()  # windows of which a block cannot be read
        self.lent: NDArray[np.uint8] | None = None
        self.failures: list[Failure] = []
        self.decoders = _Decoders(scenes, min(workers, made.ahead), max(made.ahead * made.block_bytes, 2**20))

    def window(self, place: int) -> tuple[Array, ...] | None:
        """The arrays ``(band, y, x)`` of a window, one a part, until the next call; None if it cannot be read."""
        if self.lent is not None:
            self.for_windows.give(self.lent)
            self.lent = None
        while (self.coming or self.todo) and self._upcoming() < self.plan.before[place]:
            self._ask()
            self._spread(*self.coming.popleft())
        self._ask()
        self.lent, arrays = self.windows.pop(place) if place in self.windows else self._new(place)
        for pair in range(int(self.plan.first[place]), int(self.plan.first[place + 1])):
            read = int(self.plan.read_of[pair])
            if read in self.kept:
                self._copy(pair, self.kept[read], arrays)
                self._done(read, pair)
        return None if place in self.spoilt else arrays

    def take_failures(self) -> list[Failure]:
        """The failures since the last call."""
        taken, self.failures = self.failures, []
        return taken

    def close(self) -> None:
        """Stop the threads, close the files, and give back all memory."""
        self.decoders.close()
        for block in (*self.kept.values(), *(block for _, block, _ in self.coming)):
            self.for_blocks.give(block.memory)
        for memory, _ in self.windows.values():
            self.for_windows.give(memory)
        if self.lent is not None:
            self.for_windows.give(self.lent)
        self.kept, self.windows, self.lent = {}, {}, None
        self.coming.clear()

    def _upcoming(self) -> int:
        """The next read."""
        return self.coming[0][0] if self.coming else self.todo[0]

    def _ask(self) -> None:
        """Keep as many blocks coming as may be decoded ahead; the one being spread counts among them."""
        while self.todo and len(self.coming) < self.plan.ahead:
            read = self.todo.popleft()
            scene, row, column = self.plan.reads[read].tolist()
            (height, width), (high, wide) = self.layouts[scene].shape, self.layouts[scene].block
            rows = (row * high, min((row + 1) * high, height))
            columns = (column * wide, min((column + 1) * wide, width))
            memory = self.for_blocks.take()
            arrays = self.scenes[scene].arrays(memory, rows[1] - rows[0], columns[1] - columns[0])
            block = Block(memory, arrays, scene, rows, columns)
            self.coming.append((read, block, self.decoders.submit(block)))

    def _spread(self, read: int, block: Block, future: Future[None]) -> None:
        """Give the pieces of a decoded block to the windows that wait for them, or keep it for them."""
        try:
            future.result()
        except InputError as error:
            where = f"rows {block.rows[0]} to {block.rows[1] - 1}, columns {block.columns[0]} to {block.columns[1] - 1}"
            self.failures.append(Failure.of(f"{where} of {self.scenes[block.scene].name}", "read", error))
            self.spoilt.update(int(self.window_of[pair]) for pair in self.pairs_of.pop(read))
            self.for_blocks.give(block.memory)
            return
        except BaseException:
            self.for_blocks.give(block.memory)
            raise
        if self.plan.whole[read]:
            self.kept[read] = block
            return
        for pair in self.pairs_of.pop(read):
            place = int(self.window_of[pair])
            if place not in self.windows:
                self.windows[place] = self._new(place)
            self._copy(pair, block, self.windows[place][1])
        self.for_blocks.give(block.memory)

    def _new(self, place: int) -> tuple[NDArray[np.uint8], tuple[Array, ...]]:
        memory, size = self.for_windows.take(), self.plan.size
        return memory, self.scenes[int(self.plan.windows[place, 0])].arrays(memory, size, size)

    def _copy(self, pair: int, block: Block, arrays: tuple[Array, ...]) -> None:
        """Copy the piece that a window has of a block."""
        row, column, bottom, right = self.corners[pair].tolist()
        _, top, left = self.plan.windows[self.window_of[pair]].tolist()
        rows, columns = slice(row - top, bottom - top), slice(column - left, right - left)
        first, second = block.rows[0], block.columns[0]
        for target, source in zip(arrays, block.arrays, strict=True):
            target[:, rows, columns] = source[:, row - first : bottom - first, column - second : right - second]

    def _done(self, read: int, pair: int) -> None:
        """Note that a window has its piece of a kept block; without further ones the memory is free."""
        self.pairs_of[read].remove(pair)
        if not self.pairs_of[read]:
            self.for_blocks.give(self.kept.pop(read).memory)


class _Decoders:
    """Threads that read blocks, each within its own GDAL settings.

    Args:
        scenes: the scenes.
        workers: number of threads.
        cache: bytes of GDAL's block cache, which only has to hold what is being read.
    """

    def __init__(self, scenes: Sequence[StoredScene], workers: int, cache: int) -> None:
        self.scenes, self.cache, self.handles = scenes, cache, Handles()
        self.jobs: queue.SimpleQueue[tuple[Block, Future[None]] | None] = queue.SimpleQueue()
        self.threads = [Thread(target=self._work, name=f"decode-{number}", daemon=True) for number in range(workers)]
        for thread in self.threads:
            thread.start()

    def submit(self, block: Block) -> Future[None]:
        """Ask for a block."""
        future: Future[None] = Future()
        self.jobs.put((block, future))
        return future

    def close(self) -> None:
        """Drop what was not begun, end the threads and close the files."""
        while not self.jobs.empty():
            try:
                self.jobs.get_nowait()
            except queue.Empty:
                break
        for _ in self.threads:
            self.jobs.put(None)
        for thread in self.threads:
            thread.join()
        self.handles.close()

    def _work(self) -> None:
        with rasterio.Env(GDAL_CACHEMAX=self.cache):
            while (job := self.jobs.get()) is not None:
                block, future = job
                try:
                    self.scenes[block.scene].read(self.handles, block.rows, block.columns, block.arrays)
                    future.set_result(None)
                except BaseException as error:
                    future.set_exception(error)


def _corners(layouts: Sequence[Layout], made: Plan, window: Ints) -> Ints:
    """First row and column, and row and column after the last, of each pair's piece, in pixels of the scene."""
    place = made.reads[made.read_of]
    block = np.array([layout.block for layout in layouts], np.int64)[place[:, 0]]
    start = made.windows[window, 1:]
    low = np.maximum(place[:, 1:] * block, start)
    high = np.minimum((place[:, 1:] + 1) * block, start + made.size)
    return np.concatenate([low, high], axis=1)
