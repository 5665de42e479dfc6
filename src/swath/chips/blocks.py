"""Which stored blocks an epoch of windows needs, and when each is decoded: planning without reading a pixel.

A *block* here is the piece in which a scene is planned: the smallest rectangle that holds whole stored blocks of its
files (``Layout``). Three ideas keep decoding near once a block:

1. A window is put together from *pieces*, one of each block that it touches. When a block is decoded, the pieces of all
   windows that wait for it are taken at once, so that a window that straddles blocks never asks for one again.
2. What is kept of a decoded block is the cheaper of the two: copies of its pieces, each in the memory of its window, or
   the block itself until its last window has been given out.
3. Windows that are complete wait in a pool, and the next one of the stream is drawn from it at random. Windows leave
   the pool only where memory has to be made for the next block, and at the start, when a full pool would keep the
   training waiting: there the pool grows by one window for each one given out.

The order of blocks is the most random one that leaves half of the memory to the pool (``traversal.orders``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.chips.pool import Room, choose, give_out
from swath.chips.shuffle import shuffle_radius
from swath.chips.traversal import Cells, orders
from swath.errors import ContractError, InputError

Ints = NDArray[np.int64]
AHEAD = 8
"""Blocks that may be decoded ahead of their turn, for any number of workers: the plan must not depend on that."""


@dataclass(frozen=True)
class Layout:
    """How a scene is stored, as far as planning goes.

    Args:
        shape: rows and columns.
        block: rows and columns of a block.
        pixel_bytes: bytes of one pixel over all that is read: bands, masks, labels.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    pixel_bytes: int

    def __post_init__(self) -> None:
        if min(*self.shape, *self.block, self.pixel_bytes) < 1:
            raise ContractError(
                f"The layout has shape {self.shape}, blocks {self.block} and {self.pixel_bytes} bytes a pixel",
                expected="numbers of at least 1",
                remedy="take the layout from an opened scene",
            )

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return -(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1])

    def positions(self, size: int) -> tuple[int, int]:
        """Rows and columns at which a window of ``size`` pixels may begin; zero where it does not fit."""
        return max(0, self.shape[0] - size + 1), max(0, self.shape[1] - size + 1)


def draw_windows(layouts: Sequence[Layout], size: int, count: int, seed: int, epoch: int) -> Ints:
    """Different windows, uniform over all positions of all scenes: int64 ``(count, 3)`` of scene, row and column.

    Raises:
        InputError: the scenes hold fewer positions than ``count``, or none because all are smaller than a window.
    """
    columns = np.array([layout.positions(size)[1] for layout in layouts], np.int64)
    each = np.array([layout.positions(size)[0] for layout in layouts], np.int64) * columns
    ends = np.cumsum(each)
    total = int(ends[-1]) if len(ends) else 0
    if count > total:
        raise InputError(
            f"The {len(layouts)} scenes hold {total} windows of {size} x {size} pixels, not {count}",
            expected="at most one window per position",
            remedy="ask for fewer or smaller windows, or for larger scenes",
        )
    if count == 0:
        return np.zeros((0, 3), np.int64)
    flat = np.sort(rng.generator(seed, "windows of an epoch", epoch).choice(total, size=count, replace=False))
    scene = np.searchsorted(ends, flat, side="right").astype(np.int64)
    row, column = np.divmod(flat - (ends - each)[scene], columns[scene])
    return np.stack([scene, row, column], axis=1)


class Touches(NamedTuple):
    """Every pair of a window and a block that it touches, ordered by window, then by row and column of the block.

    Args:
        window: position of the window.
        cell: number of the block over all scenes, row-major within a scene.
        size: bytes of the piece.
        first: position of a window's first pair, and the number of all pairs at the end: ``(N + 1,)``.
    """

    window: Ints
    cell: Ints
    size: Ints
    first: Ints


def touches(layouts: Sequence[Layout], windows: Ints, size: int) -> Touches:
    """The blocks that windows of ``size`` pixels touch."""
    scene, start = windows[:, 0], windows[:, 1:]
    block = np.array([layout.block for layout in layouts], np.int64).reshape(-1, 2)[scene]
    low, high = start // block, (start + size - 1) // block
    many = high - low + 1
    count = many[:, 0] * many[:, 1]
    first = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    window = np.repeat(np.arange(len(windows), dtype=np.int64), count)
    row, column = np.divmod(np.arange(len(window), dtype=np.int64) - first[window], many[window, 1])
    place = low[window] + np.stack([row, column], axis=1)
    begin = np.maximum(place * block[window], start[window])
    end = np.minimum((place + 1) * block[window], start[window] + size)
    pixel = np.array([layout.pixel_bytes for layout in layouts], np.int64)[scene[window]]
    across = np.array([layout.blocks[1] for layout in layouts], np.int64)[scene[window]]
    cell = _first_cells(layouts)[scene[window]] + place[:, 0] * across + place[:, 1]
    return Touches(window, cell, (end - begin).prod(axis=1) * pixel, first)


@dataclass(frozen=True, eq=False)
class Plan:
    """The order of windows and blocks of one epoch, and what it costs.

    Args:
        windows: scene, row and column of the windows in the order of the stream, int64 ``(N, 3)``.
        size: rows and columns of a window.
        reads: scene, row and column of the block of each read, in order, int64 ``(R, 3)``; rows and columns count
            blocks, not pixels.
        whole: for each read whether the block is kept as it is, bool ``(R,)``; else copies of its pieces are kept.
        read_of: the read that serves each pair of window and block, ordered by window ``(P,)``.
        first: position of a window's first pair in ``read_of``, ``(N + 1,)``.
        before: reads that must be done before each window is given out, ``(N,)``; it never falls.
        needed: different blocks that the windows touch.
        slots: most windows that are in memory at any moment.
        kept: most blocks that are kept as they are at any moment.
        ahead: blocks that may be decoded ahead.
        window_bytes: bytes of a window as stored, for the scene where that is most.
        block_bytes: bytes of a block, for the scene where that is most.
        pool: mean number of windows that each window was drawn from.
        order: the order of blocks that was chosen, for people.
    """

    windows: Ints
    size: int
    reads: Ints
    whole: NDArray[np.bool_]
    read_of: Ints
    first: Ints
    before: Ints
    needed: int
    slots: int
    kept: int
    ahead: int
    window_bytes: int
    block_bytes: int
    pool: float
    order: str

    @property
    def peak_bytes(self) -> int:
        """Most bytes held: windows, kept blocks, blocks decoded ahead, and as much again for GDAL's block cache."""
        return self.slots * self.window_bytes + (self.kept + 2 * self.ahead) * self.block_bytes

    @property
    def ratio(self) -> float:
        """Blocks read over blocks needed; 1 where each is decoded once, and 1 for an epoch without windows."""
        return len(self.reads) / self.needed if self.needed else 1.0

    @cached_property
    def radius(self) -> float:
        """Effective shuffle radius of the stream, about 1 for a full shuffle; see ``shuffle_radius``."""
        return shuffle_radius(self.windows)

    def summary(self) -> dict[str, Any]:
        """What to report about the plan."""
        return {
            "windows": len(self.windows),
            "blocks_needed": self.needed,
            "blocks_read": len(self.reads),
            "reads_per_needed": round(self.ratio, 4),
            "peak_mb": round(self.peak_bytes / 2**20, 1),
            "pool": round(self.pool, 1),
            "shuffle_radius": round(self.radius, 3),
            "order": self.order,
        }


def plan(
    layouts: Sequence[Layout], windows: Ints, size: int, *, memory: int, seed: int, epoch: int, warm: int = 64
) -> Plan:
    """Plan one epoch; the same arguments give the same plan.

    Args:
        layouts: how the scenes are stored.
        windows: scene, row and column of each window, int64 ``(N, 3)``; all within their scenes.
        size: rows and columns of a window.
        memory: bytes that may be held at once.
        seed: seed of the order.
        epoch: number of the epoch.
        warm: windows in the pool before the first one is given out, where memory allows.

    Raises:
        InputError: a window reaches beyond its scene.
        ConfigError: the memory does not hold the blocks of a single window.
    """
    windows = check_windows(layouts, windows, size)
    pairs = touches(layouts, windows, size)
    cells = _cells(layouts, pairs)
    window_bytes = size * size * max((layout.pixel_bytes for layout in layouts), default=0)
    block_bytes = max((math.prod(layout.block) * layout.pixel_bytes for layout in layouts), default=0)
    ahead = next((number for number in (AHEAD, 4, 2) if 8 * number * block_bytes <= memory), 1)
    room = Room(memory - 2 * ahead * block_bytes, window_bytes, block_bytes)
    order, schedule = choose(orders(layouts_of(layouts), cells, pairs, seed=seed, epoch=epoch), pairs, room, size)
    stream = rng.generator(seed, "pool", epoch).random(len(windows))
    played = give_out(schedule, pairs, room, stream, warm)
    count = np.diff(pairs.first)[played.windows]
    first = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    within = np.arange(len(pairs.window), dtype=np.int64) - np.repeat(first[:-1], count)
    place = np.repeat(pairs.first[played.windows], count) + within
    return Plan(
        windows=windows[played.windows],
        size=size,
        reads=np.stack([cells.scene, cells.row, cells.column], axis=1)[order.cell_of_read],
        whole=schedule.whole,
        read_of=schedule.read_of[place],
        first=first,
        before=played.before,
        needed=len(cells.scene),
        slots=played.slots,
        kept=played.kept,
        ahead=ahead,
        window_bytes=window_bytes,
        block_bytes=block_bytes,
        pool=played.pool,
        order=order.name,
    )


def stack_windows(windows: Sequence[Ints]) -> Ints:
    """Windows of several scenes in one array ``(N, 3)``: the scene's number before row and column.

    Args:
        windows: for each scene an array ``(n, 2)``, as ``grid_windows``, ``windows_at`` and ``random_windows`` give.
    """
    parts = [
        np.insert(np.asarray(part, np.int64).reshape(-1, 2), 0, scene, axis=1) for scene, part in enumerate(windows)
    ]
    return np.concatenate([np.zeros((0, 3), np.int64), *parts])


def check_windows(layouts: Sequence[Layout], windows: Ints, size: int) -> Ints:
    """The windows as int64 ``(N, 3)``, all inside of their scenes.

    Raises:
        ContractError: the array has another shape or type.
        InputError: a window names no scene, or reaches beyond it.
    """
    array = np.asarray(windows)
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iu":
        raise ContractError(
            f"The windows are an array of {array.dtype} with shape {array.shape}",
            expected="whole numbers (N, 3): scene, row, column",
            remedy="join the results of chips.grid_windows or chips.windows_at with chips.stack_windows",
        )
    array = array.astype(np.int64)
    known = (array[:, 0] >= 0) & (array[:, 0] < len(layouts))
    limits = np.array([layout.positions(size) for layout in layouts], np.int64).reshape(-1, 2)
    inside = known.copy()
    inside[known] = ((array[known, 1:] >= 0) & (array[known, 1:] < limits[array[known, 0]])).all(axis=1)
    if not inside.all():
        scene, row, column = array[np.flatnonzero(~inside)[0]].tolist()
        what = f"{layouts[scene].shape[0]} x {layouts[scene].shape[1]} pixels" if 0 <= scene < len(layouts) else "none"
        raise InputError(
            f"The window at row {row}, column {column} of scene {scene} does not lie within it (it has {what})",
            expected=f"windows of {size} x {size} pixels inside of {len(layouts)} scenes, counted from 0",
            remedy="draw windows with chips.draw_windows, or with edge='shift'",
        )
    return array


def layouts_of(layouts: Sequence[Layout]) -> Ints:
    """Rows and columns of blocks of each scene, int64 ``(S, 2)``."""
    return np.array([layout.blocks for layout in layouts], np.int64).reshape(-1, 2)


def _first_cells(layouts: Sequence[Layout]) -> Ints:
    """Number of each scene's first block over all scenes."""
    return np.concatenate([[0], np.cumsum(layouts_of(layouts).prod(axis=1))]).astype(np.int64)


def _cells(layouts: Sequence[Layout], pairs: Touches) -> Cells:
    """The blocks that are needed, in order of scene, row and column."""
    number, inverse = np.unique(pairs.cell, return_inverse=True)
    scene = np.searchsorted(_first_cells(layouts), number, side="right") - 1
    row, column = np.divmod(number - _first_cells(layouts)[scene], layouts_of(layouts)[scene, 1])
    return Cells(scene, row, column, inverse.reshape(-1).astype(np.int64))
