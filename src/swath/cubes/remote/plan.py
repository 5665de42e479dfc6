"""Which stored blocks windows need, and in how few requests they can be fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Window = tuple[tuple[int, int], tuple[int, int]]
"""Rows (first, behind last) and columns of a window [pixels]."""

GAP_BYTES = 64 * 1024
"""Bytes between two blocks that are fetched along: cheaper than another request at any usual latency."""
RUN_BYTES = 4 * 2**20
"""Most bytes of one request, so that a large window is fetched over several connections."""


@dataclass(frozen=True)
class Run:
    """Neighbouring blocks that are fetched in one request.

    Args:
        start: first byte.
        stop: byte behind the last one.
        members: positions of its blocks in what was planned.
    """

    start: int
    stop: int
    members: tuple[int, ...]


def blocks_of(windows: Sequence[Window], block: tuple[int, int], across: int) -> NDArray[np.int64]:
    """Numbers of the distinct blocks that windows touch, row by row, ascending.

    Args:
        windows: not empty, inside the image.
        block: rows and columns of a block.
        across: blocks in a row of blocks.
    """
    found = [np.zeros(0, np.int64)]
    for (top, bottom), (left, right) in windows:
        rows = np.arange(top // block[0], -(-bottom // block[0]))
        columns = np.arange(left // block[1], -(-right // block[1]))
        found.append((rows[:, None] * across + columns[None, :]).ravel())
    return np.unique(np.concatenate(found))


def runs_of(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], gap: int = GAP_BYTES, most: int = RUN_BYTES
) -> list[Run]:
    """Group byte ranges into runs: two neighbours share one where at most ``gap`` bytes lie between them.

    Args:
        starts: first byte of each range.
        lengths: bytes of each range, above 0.
        gap: most bytes fetched in vain between two ranges.
        most: bytes after which a run ends; a longer range is a run of its own.
    """
    order = np.argsort(starts, kind="stable")
    runs: list[Run] = []
    members: list[int] = []
    start = stop = 0
    for index in order.tolist():
        low, high = int(starts[index]), int(starts[index] + lengths[index])
        if members and (low - stop > gap or max(stop, high) - start > most):
            runs.append(Run(start, stop, tuple(members)))
            members = []
        if not members:
            start, stop = low, high
        members.append(index)
        stop = max(stop, high)
    if members:
        runs.append(Run(start, stop, tuple(members)))
    return runs
