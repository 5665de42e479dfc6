"""Orders in which the blocks of an epoch can be decoded, from the most random to the one that needs least memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swath import rng

if TYPE_CHECKING:
    from swath.chips.blocks import Touches

Ints = NDArray[np.int64]
FOR_POOL = 0.5
"""Share of the memory that a random order may use for windows that are not complete yet; the rest is the pool's."""


class Cells(NamedTuple):
    """The blocks that an epoch needs.

    Args:
        scene: number of the scene, ``(K,)``.
        row: row of blocks within the scene.
        column: column of blocks within the scene.
        of_pair: for each pair of a window and a block, the place of the block in this table.
    """

    scene: Ints
    row: Ints
    column: Ints
    of_pair: Ints


class Order(NamedTuple):
    """Blocks in the order of decoding.

    Args:
        name: for people.
        read_of: the read that serves each pair of window and block.
        cell_of_read: the block of each read, as its place among the ``Cells``; a block may come more than once.
        share: share of the memory that incomplete windows may take for this order to be chosen.
    """

    name: str
    read_of: Ints
    cell_of_read: Ints
    share: float


def orders(blocks: Ints, cells: Cells, pairs: Touches, *, seed: int, epoch: int) -> Iterator[Order]:
    """The candidates, to be tried in turn.

    1. Patches of 1, 2, 4, 8, ... blocks a side in random order. Pieces wait until the neighbouring patch comes, so that
       each block is decoded once, but many windows wait.
    2. Scenes swept from one end to the other, all at once or fewer at a time: each block once, and what waits is about
       one line of blocks a scene.
    3. Strips of 16, 8, 4, 2, 1 lines in random order, each on its own: least memory, but the line after a strip is
       decoded again for the next strip, so that up to ``1 + 1 / lines`` of the blocks are read.

    Args:
        blocks: rows and columns of blocks of each scene ``(S, 2)``.
        cells: the blocks needed.
        pairs: the pairs of window and block.
        seed: seed of the order.
        epoch: number of the epoch.
    """
    stream = rng.generator(seed, "blocks", epoch)
    rank = stream.permutation(len(cells.scene))  # one random number a block, from which patches take theirs
    scenes = stream.permutation(len(blocks))
    longest = int(blocks.max(initial=1))
    side = 1
    while side < longest or side == 1:
        patch = _numbers(cells.scene, cells.row // side, cells.column // side)
        turn = np.full(patch.max(initial=0) + 1, len(rank), np.int64)
        np.minimum.at(turn, patch, rank)
        yield _once(f"patches of {side} x {side} blocks", (cells.column, cells.row, turn[patch]), cells, FOR_POOL)
        side *= 2
    along, across = _axes(blocks, cells)
    line = along * (across.max(initial=0) + 1) + across
    count = np.bincount(cells.scene, minlength=len(blocks))[cells.scene]
    within = np.lexsort((line, cells.scene))
    progress = np.empty(len(within), np.float64)
    start = np.searchsorted(cells.scene, cells.scene)
    progress[within] = (np.arange(len(within)) - start[within] + 0.5) / count[within]
    together = len(blocks)
    while together >= 1:
        group = scenes[cells.scene] // together
        name = f"sweeps over {together} scenes at once" if together > 1 else "sweeps over one scene at a time"
        yield _once(name, (scenes[cells.scene], progress, group), cells, FOR_POOL if together > 1 else 1.0)
        together //= 2
    for lines in (16, 8, 4, 2, 1):
        yield _strips(lines, blocks, cells, pairs, rank)


def _once(name: str, keys: tuple[NDArray[np.generic], ...], cells: Cells, share: float) -> Order:
    """Every block once, ordered by ``keys`` (the last one first)."""
    sequence = np.lexsort(keys).astype(np.int64)
    place = np.empty(len(sequence), np.int64)
    place[sequence] = np.arange(len(sequence))
    return Order(name, place[cells.of_pair], sequence, share)


def _strips(lines: int, blocks: Ints, cells: Cells, pairs: Touches, rank: Ints) -> Order:
    """Strips of ``lines`` lines along the longer side of a scene; a window belongs to the strip of its first block."""
    along, across = _axes(blocks, cells)
    first = cells.of_pair[pairs.first[pairs.window]]  # the top-left block of the pair's window
    strip = _numbers(cells.scene[first], across[first] // lines)
    turn = np.full(strip.max(initial=0) + 1, len(rank), np.int64)
    np.minimum.at(turn, strip, rank[first])
    mine = cells.of_pair
    # A read is a block within a strip; the rest of the key orders the reads of a strip along it.
    key = np.stack([turn[strip], along[mine], across[mine], mine], axis=1)
    reads, read_of = np.unique(key, axis=0, return_inverse=True)
    name = f"strips of {lines} lines of blocks"
    return Order(name, read_of.reshape(-1).astype(np.int64), reads[:, 3].astype(np.int64), 1.0)


def _axes(blocks: Ints, cells: Cells) -> tuple[Ints, Ints]:
    """Coordinates of blocks along the longer and the shorter side of their scene."""
    wide = (blocks[:, 1] >= blocks[:, 0])[cells.scene]
    return np.where(wide, cells.column, cells.row), np.where(wide, cells.row, cells.column)


def _numbers(*keys: Ints) -> Ints:
    """One whole number per distinct combination of keys."""
    return np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
