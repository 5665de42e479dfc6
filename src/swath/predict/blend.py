"""Blending of overlapping tiles: separable weights and a canvas that sums float32 fields times weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def ramp(tile: int, overlap: int) -> NDArray[np.float32]:
    """Blend weights along one axis of a tile that has a neighbour on both sides, float32 ``(tile,)``.

    ``w(d) = sin²(π/2 · clip((d - m) / (overlap - 2 m), 0, 1))`` with d the distance of the pixel centre from the nearer
    tile border in pixels and the margin ``m = overlap // 4``: the weights of two neighbours add up to 1, the middle of
    a tile counts fully, and the outermost ``m`` pixels, where a network has seen least of the surroundings, not at all.
    So a shift-equivariant model whose receptive field reaches at most ``m`` pixels gives what a whole-image pass gives.

    Args:
        tile: pixels of a tile.
        overlap: pixels shared with each neighbour, at most half a tile.
    """
    if overlap == 0:
        return np.ones(tile, dtype=np.float32)
    margin = overlap // 4
    position = np.arange(tile) + 0.5
    distance = np.minimum(position, tile - position) - margin
    share = np.clip(distance / (overlap - 2 * margin), 0.0, 1.0)
    return np.where(share >= 1.0, 1.0, np.sin(np.pi / 2 * share) ** 2).astype(np.float32)


class Canvas:
    """Weighted sums of tiles over a super-block and one tile width to its right.

    Tiles must be added by column, then by row: every pixel then sums its tiles in one order, whatever the super-block,
    and results are equal to the last bit. Plain numpy, because a tile is too small to gain from threads.

    Args:
        fields: number of layers K that are blended (class probabilities, means).
        height: rows of the super-block.
        width: columns of the super-block.
        tile: pixels of a tile.
    """

    def __init__(self, fields: int, height: int, width: int, tile: int) -> None:
        self.tile = tile
        self.sums = np.zeros((fields, height, width + tile), dtype=np.float32)
        self.weights = np.zeros((height, width + tile), dtype=np.float32)
        self.usable = np.zeros((height, width + tile), dtype=bool)
        self._scratch = np.empty((tile, tile), dtype=np.float32)
        self._reach = 0  # columns from here on hold nothing
        self._height = height

    @property
    def empty(self) -> bool:
        """Whether no tile lies on the canvas."""
        return self._reach == 0

    def add(self, fields: Floats, weights: tuple[Floats, Floats], place: tuple[int, int], valid: Mask | None) -> None:
        """Add one tile; parts outside the canvas are cut off.

        Args:
            fields: float32 ``(K, tile, tile)``.
            weights: blend weights along y and x, each float32 ``(tile,)``.
            place: row and column of the tile's first pixel on the canvas; may be negative.
            valid: bool ``(tile, tile)``, where the model gave a prediction; None = everywhere.
        """
        cut = self._cut(place, (self.tile, self.tile))
        if cut is None:
            return
        here, there = cut
        weight = weights[0][here[0], None] * weights[1][None, here[1]]
        if valid is not None:
            weight = weight * valid[here]
        scratch = self._scratch[here]
        for part, sums in zip(fields[:, *here], self.sums[:, *there], strict=True):  # one layer fits into the cache
            if valid is not None:
                part = np.where(valid[here], part, np.float32(0))  # 0 times NaN would be NaN
            sums += np.multiply(part, weight, out=scratch)
        self.weights[there] += weight
        self._reach = max(self._reach, there[1].stop)

    def compare(
        self,
        fields: Floats,
        weights: tuple[Floats, Floats],
        place: tuple[int, int],
        valid: Mask | None,
        sample: tuple[int, int, int],
    ) -> tuple[Floats, Floats] | None:
        """What a tile says and what the tiles before it said, at sampled pixels where both count and may be predicted.

        Args:
            fields: float32 ``(K, tile, tile)``; fewer layers than the canvas has are compared with its first ones.
            weights: as in ``add``.
            place: as in ``add``.
            valid: as in ``add``.
            sample: every how many pixels, and the rows and columns to add to those of the canvas before counting.

        Returns:
            two arrays ``(K, pixel)``, or None where there is nothing to compare.
        """
        cut = self._cut(place, (self.tile, self.tile))
        if cut is None or cut[1][1].start >= self._reach:
            return None
        here, there = (
            tuple(
                slice(one.start + (-(canvas.start + origin)) % sample[0], one.stop, sample[0])
                for one, canvas, origin in zip(part, cut[1], sample[1:], strict=True)
            )
            for part in cut
        )
        weight = weights[0][here[0], None] * weights[1][None, here[1]]
        before = self.weights[there]
        both = (weight > 0) & (before > 0) & self.usable[there]
        if valid is not None:
            both &= valid[here]
        if not both.any():
            return None
        earlier = self.sums[: len(fields), *there][:, both] / before[both]
        return fields[:, *here][:, both], earlier

    def mark(self, usable: Mask, place: tuple[int, int]) -> None:
        """Allow predictions at pixels; parts outside the canvas are cut off.

        Args:
            usable: bool (y, x).
            place: row and column of its first pixel on the canvas; may be negative.
        """
        cut = self._cut(place, (usable.shape[0], usable.shape[1]))
        if cut is not None:
            here, there = cut
            self.usable[there] |= usable[here]

    def take(self, height: int, width: int) -> tuple[Floats, Mask]:
        """Finish the leftmost columns: blended fields ``(K, height, width)`` and where they hold, bool.

        The columns leave the canvas, and the rest moves to the left.
        """
        total = self.weights[:height, :width]
        valid = self.usable[:height, :width] & (total > 0)
        blended: Floats = np.divide(self.sums[:, :height, :width], np.where(total > 0, total, 1), dtype=np.float32)
        for buffer in (*self.sums, self.weights):  # layer by layer: the copies stay small
            _shift(buffer, width, self._reach)
        _shift(self.usable, width, self.usable.shape[1])
        self._reach = max(0, self._reach - width)
        return blended, valid

    def skip(self, width: int) -> None:
        """Move on by some columns while no tile lies on the canvas."""
        _shift(self.usable, width, self.usable.shape[1])

    def clear(self, height: int | None = None) -> None:
        """Empty the canvas before a new strip of ``height`` rows (None = all); nothing is added below them."""
        self._height = self.weights.shape[0] if height is None else height
        for buffer in (self.sums, self.weights, self.usable):
            buffer[...] = 0
        self._reach = 0

    def _cut(
        self, place: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """The part of an array at ``place`` that lies on the canvas, in its own and in canvas pixels."""
        (row, column), height, width = place, self._height, self.weights.shape[1]
        top, left = max(0, -row), max(0, -column)
        bottom, right = min(shape[0], height - row), min(shape[1], width - column)
        if top >= bottom or left >= right:
            return None
        here = (slice(top, bottom), slice(left, right))
        return here, (slice(row + top, row + bottom), slice(column + left, column + right))


def _shift(buffer: NDArray[Any], width: int, reach: int) -> None:
    """Move columns to the left by ``width``; nothing lies from column ``reach`` on."""
    rest = buffer[:, width:reach].copy()
    buffer[:, : rest.shape[1]] = rest
    buffer[:, rest.shape[1] : reach] = 0
