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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.predict.blend import ramp

SMALLEST_BLOCK = 64  # super-blocks are not cut finer than this to save memory


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
        if self.tile < 1:
            raise ConfigError(
                f"The tile size is {self.tile}",
                expected="at least 1 pixel",
                remedy="use the chip size that the model was trained on, for example 256",
            )
        if not 0 <= self.overlap <= self.tile // 2:
            raise ConfigError(
                f"The overlap is {self.overlap} pixels for tiles of {self.tile}",
                expected=f"0 to half a tile, that is 0 to {self.tile // 2}",
                remedy=f"a quarter of the tile is usual: {self.tile // 4}",
            )

    @property
    def stride(self) -> int:
        """Pixels from one tile start to the next."""
        return self.tile - self.overlap

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
        height: rows of a super-block.
        width: columns of a super-block.

    Raises:
        ConfigError: a super-block below 1 pixel.
    """

    rows: Axis
    columns: Axis
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ConfigError(
                f"A super-block of {self.height} x {self.width} pixels was asked for",
                expected="at least 1 pixel",
                remedy="leave 'block' as it is, or give a multiple of 512",
            )

    def strips(self) -> Iterator[tuple[Block, ...]]:
        """Strips from top to bottom, each as its super-blocks from left to right."""
        for top in range(0, self.rows.size, self.height):
            yield self._strip(top, min(top + self.height, self.rows.size))

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


def block_shape(block: int, tile: int, *, layers: int, channels: int, budget: int) -> tuple[int, int]:
    """Rows and columns of a super-block that keeps two buffers within ``budget`` bytes each.

    Only borders between rows cost recomputation, so blocks are four times as high as wide, and become narrower before
    they become lower when memory is short.

    Args:
        block: wanted rows.
        tile: pixels of a tile.
        layers: float32 layers that are blended (classes + 1).
        channels: bands times dates that are read (5 bytes each: value and validity).
        budget: bytes.
    """
    height, width = block, max(1, block // 4)

    def fits() -> bool:
        blended = 4 * layers * height * (width + tile)
        read = 5 * channels * (height + 2 * tile) * (width + tile)
        return max(blended, read) <= budget

    while not fits() and width > SMALLEST_BLOCK:
        width //= 2
    while not fits() and height > SMALLEST_BLOCK:
        height //= 2
    return height, width
