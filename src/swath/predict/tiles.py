"""The plan of a scene: one lattice of tiles for the whole scene, swept in super-blocks of bounded size.

The lattice depends on the scene, the tile size and the overlap only. Super-blocks say in which order tiles are read,
predicted and written, so the result does not depend on their size:

* a *strip* is a band of rows as high as a super-block; it is swept from left to right, one super-block after the other;
* sums of tiles that reach beyond the right border of a super-block are carried to the next one, which costs memory for
  one tile width only, so no tile is predicted twice because of a border between columns;
* tiles that reach over the upper or lower border of a strip are predicted in both strips: carrying them would cost
  memory for a whole row of the scene. ``Plan.recompute`` is the factor that this costs, about 1 + stride / block rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.predict.blend import ramp

SMALLEST_BLOCK = 64  # super-blocks are not cut finer than this to save memory
NARROWEST_BLOCK = 32  # nor narrower
WIDTH_STEP = 16  # the tiles of a TIFF, as which super-blocks are stored, are as wide as a multiple of this


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis of a scene.

    Tiles start at 0, stride, 2 stride, ... (stride = tile - overlap) until the scene is covered; the last one may reach
    beyond the scene. A scene that is not larger than a tile has one tile. On a periodic axis the lattice repeats with
    the size of the scene, and starts may be negative or larger than the scene ("unrolled" positions).

    Args:
        size: pixels of the scene along the axis.
        tile: pixels of a tile.
        overlap: pixels that neighbouring tiles share, at most half a tile.
        periodic: whether the last pixel is followed by the first one.

    Raises:
        ConfigError: tile below 1, or overlap below 0 or above half a tile.
        InputError: the scene is empty.
    """

    size: int
    tile: int
    overlap: int
    periodic: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(
                f"The scene has {self.size} pixels along one axis",
                expected="at least one pixel",
                remedy="check the file and the window that was cut from it",
            )
        check_overlap(self.overlap, self.tile)

    @property
    def stride(self) -> int:
        """Pixels from one tile start to the next."""
        return self.tile - self.overlap

    @property
    def first(self) -> int:
        """The first pixel of a tile with a neighbour before it that has a weight: the margin of the blending ramp."""
        return self.overlap // 4

    def whole_until(self, end: int) -> int:
        """The first pixel that needs a tile which ends after ``end``: up to it, pixels before ``end`` are enough."""
        return max(0, (end - self.tile) // self.stride + 1) * self.stride + self.first if end >= self.tile else 0

    def hand_overs(self, low: int, high: int) -> list[int]:
        """Pixels in ``[low, high)`` at which the weight passes from one tile to the next: the middle of overlaps."""
        half = self.overlap // 2
        first = max(1, -(-(low - half) // self.stride))
        last = (high - 1 - half) // self.stride
        return [start * self.stride + half for start in range(first, min(last, self.count - 1) + 1)]

    @property
    def count(self) -> int:
        """Number of distinct tiles."""
        if self.periodic:
            return -(-self.size // self.stride)
        return 1 + max(0, -(-(self.size - self.tile) // self.stride))

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """Blend weights of every distinct tile, float32 ``(count, tile)``: ramps where a neighbour overlaps."""
        weights = np.tile(ramp(self.tile, self.overlap), (self.count, 1))
        if not self.periodic:
            half = self.tile // 2
            weights[0, :half] = 1.0
            weights[-1, half:] = 1.0
        return weights

    def covering(self, low: int, high: int) -> list[tuple[int, int]]:
        """Tiles with a weight above 0 somewhere in the pixels ``[low, high)``, as (index, unrolled start) by start."""
        index = np.arange(self.count)
        first = (self.weights > 0).argmax(axis=1)
        last = self.tile - (self.weights[:, ::-1] > 0).argmax(axis=1)
        turns = range(-(self.tile // self.size) - 1, 2) if self.periodic else range(1)
        found: list[tuple[int, int]] = []
        for turn in turns:
            start = index * self.stride + turn * self.size
            hit = (start + first < high) & (start + last > low)
            found += [(int(i), int(s)) for i, s in zip(index[hit], start[hit], strict=True)]
        return found


@dataclass(frozen=True)
class Block:
    """A super-block: the output window that is finished together, and the tiles that it needs for the first time.

    Args:
        rows: output rows ``[first, last)``.
        columns: output columns ``[first, last)``.
        tile_rows: (index, start) of the rows of tiles.
        tile_columns: (index, unrolled start) of the columns of tiles; columns of earlier blocks of the strip are left
            out, because their sums are carried along.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    tile_rows: tuple[tuple[int, int], ...]
    tile_columns: tuple[tuple[int, int], ...]

    @property
    def tiles(self) -> int:
        """Number of tiles that the block predicts."""
        return len(self.tile_rows) * len(self.tile_columns)


@dataclass(frozen=True)
class Plan:
    """All super-blocks of a scene.

    Args:
        rows: tiles along y.
        columns: tiles along x.
        height: most rows of a super-block; up to half of them fewer where the border then lies better.
        width: columns of a super-block.
        chunk_ends: last rows (exclusive) of the stored chunks, so that a strip ends where a chunk does, or nearly so.

    Raises:
        ConfigError: a super-block below 1 pixel.
    """

    rows: Axis
    columns: Axis
    height: int
    width: int
    chunk_ends: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ConfigError(
                f"A super-block of {self.height} x {self.width} pixels was asked for",
                expected="at least 1 pixel",
                remedy="leave 'block' as it is, or give a multiple of 512",
            )

    def strips(self) -> Iterator[tuple[Block, ...]]:
        """Strips from top to bottom, each as its super-blocks from left to right."""
        for top, bottom in zip(self.cuts[:-1], self.cuts[1:], strict=True):
            yield self._strip(top, bottom)

    @cached_property
    def cuts(self) -> tuple[int, ...]:
        """First rows of the strips, and the end of the scene."""
        cuts = [0]
        while cuts[-1] < self.rows.size:
            cuts.append(self._next(cuts[-1]))
        return tuple(cuts)

    @property
    def tallest(self) -> int:
        """Rows of the highest strip."""
        return max(bottom - top for top, bottom in zip(self.cuts[:-1], self.cuts[1:], strict=True))

    def _next(self, top: int) -> int:
        """Where the strip from ``top`` on ends.

        Best where all tiles that end with a stored chunk are used up: the next strip repeats one row of tiles only, and
        finds the rows it shares with this one in memory. Else where one row of tiles is used up.
        """
        most = top + self.height
        if top + self.height >= self.rows.size:
            return self.rows.size
        ends = [self.rows.whole_until(end) for end in self.chunk_ends if end - self.rows.tile <= most]
        good = [cut for cut in ends if top + self.height // 2 <= cut <= most and cut > top]
        aligned = self.rows.whole_until(top + self.height + self.rows.tile - self.rows.first - 1)
        cut = max(good) if good else aligned if top < aligned <= top + self.height else top + self.height
        return min(cut, self.rows.size)

    def _strip(self, top: int, bottom: int) -> tuple[Block, ...]:
        tile_rows = tuple(self.rows.covering(top, bottom))
        blocks, done = [], -(self.columns.tile + self.columns.size + 1)  # left of every unrolled start
        for left in range(0, self.columns.size, self.width):
            right = min(left + self.width, self.columns.size)
            fresh = tuple(pair for pair in self.columns.covering(left, right) if pair[1] > done)
            done = fresh[-1][1] if fresh else done
            blocks.append(Block((top, bottom), (left, right), tile_rows, fresh))
        return tuple(blocks)

    @property
    def distinct(self) -> int:
        """Number of distinct tiles of the lattice."""
        return self.rows.count * self.columns.count

    @property
    def computed(self) -> int:
        """Number of tiles over all super-blocks, before empty ones are skipped."""
        return sum(block.tiles for strip in self.strips() for block in strip)

    @property
    def recompute(self) -> float:
        """How many times a tile is predicted on average (1 = once)."""
        return self.computed / self.distinct


def overlap_pixels(overlap: int | str, tile: int) -> int:
    """An overlap in pixels, from pixels or a share of the tile such as ``"25%"`` (rounded down).

    Raises:
        ConfigError: neither a whole number nor a percentage, or not from 0 to half a tile.
    """
    if isinstance(overlap, int):
        pixels = overlap
    else:
        match = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*(%|px)?\s*", overlap)
        if match is None or (match[2] != "%" and "." in match[1]):
            raise ConfigError(
                f"The overlap is '{overlap}'",
                expected="pixels such as 64, or a share of the tile such as 25%",
                remedy=f"a quarter of the tile is usual: overlap={tile // 4}, or --overlap 25%",
            )
        if match[2] == "%" and not 0 <= float(match[1]) <= 50:
            raise ConfigError(
                f"The overlap is {match[1]} % of the tile",
                expected="0 to half a tile (0 to 50 %)",
                remedy=f"a quarter of the tile is usual: overlap={tile // 4}, or --overlap 25%",
            )
        pixels = math.floor(float(match[1]) / 100 * tile) if match[2] == "%" else int(match[1])
    check_overlap(pixels, tile)
    return pixels


def check_overlap(overlap: int, tile: int) -> None:
    """Refuse a tile without pixels, and overlaps beyond half a tile.

    Raises:
        ConfigError: tile below 1, or overlap below 0 or above half a tile.
    """
    if tile < 1:
        raise ConfigError(
            f"The tile size is {tile}",
            expected="at least 1 pixel",
            remedy="use the chip size that the model was trained on, for example 256",
        )
    if not 0 <= overlap <= tile // 2:
        beyond = ", so tiles would never get on" if overlap >= tile else ""
        raise ConfigError(
            f"The overlap is {overlap} pixels for tiles of {tile}{beyond}",
            expected=f"0 to half a tile (0 to 50 %), that is 0 to {tile // 2} pixels",
            remedy=f"a quarter of the tile is usual: overlap={tile // 4}, or --overlap 25%",
        )


def block_shape(block: int, tile: int, *, layers: int, channels: int, budget: int) -> tuple[int, int]:
    """Most rows, and columns, of a super-block that keeps two buffers within ``budget`` bytes each.

    Only borders between rows cost recomputation, so blocks are four times as high as wide, and become narrower before
    they become lower when memory is short.

    Args:
        block: wanted rows.
        tile: pixels of a tile.
        layers: float32 layers that are blended (classes + 1).
        channels: bands times dates that are read (5 bytes each: value and validity).
        budget: bytes.
    """

    def rows(width: int) -> int:
        """Rows that fit beside a width."""
        blended = budget // (4 * layers * (width + tile)) if layers else block
        read = budget // (5 * channels * (width + tile)) - 2 * tile if channels else block
        return min(blended, read, block)

    width = _multiple(max(1, block // 4), WIDTH_STEP)
    while rows(width) < block and width > NARROWEST_BLOCK:
        width = _multiple(width // 2, WIDTH_STEP)
    return max(rows(width), min(block, SMALLEST_BLOCK)), width


def _multiple(number: int, step: int) -> int:
    return -(-number // step) * step
