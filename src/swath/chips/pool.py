"""An epoch played block by block: which windows and blocks are in memory, and when each window is given out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swath.chips.traversal import Order
from swath.errors import ConfigError

if TYPE_CHECKING:
    from swath.chips.blocks import Touches

Ints = NDArray[np.int64]


class Room(NamedTuple):
    """Bytes that windows and kept blocks may take together, and what one of each takes."""

    memory: int
    window: int
    block: int

    def taken(self, slots: int, kept: int) -> int:
        """Bytes of so many windows and kept blocks."""
        return slots * self.window + kept * self.block


class Schedule(NamedTuple):
    """Reads in order, and what each leaves in memory.

    Args:
        read_of: the read of each pair of window and block.
        whole: whether a read keeps its block, rather than copies of the pieces.
        begins: the first read that each window has a copied piece of; the number of reads where it has none.
        ready: the last read that each window needs.
        slots: most windows in memory where every window is given out as soon as it is complete.
        kept: most kept blocks in that case.
    """

    read_of: Ints
    whole: NDArray[np.bool_]
    begins: Ints
    ready: Ints
    slots: int
    kept: int

    @classmethod
    def of(cls, order: Order, pairs: Touches, block: int) -> Schedule:
        """What an order of blocks of ``block`` bytes asks of the memory."""
        count, windows = len(order.cell_of_read), len(pairs.first) - 1
        whole = np.bincount(order.read_of, pairs.size, minlength=count) >= block
        ready, begins = np.zeros(windows, np.int64), np.full(windows, count, np.int64)
        np.maximum.at(ready, pairs.window, order.read_of)
        copied = ~whole[order.read_of]
        np.minimum.at(begins, pairs.window[copied], order.read_of[copied])
        last = np.zeros(count, np.int64)
        np.maximum.at(last, order.read_of, ready[pairs.window])
        held = begins < count
        slots = _most(begins[held], ready[held], count)
        kept = _most(np.flatnonzero(whole), last[whole], count)
        return cls(order.read_of, whole, begins, ready, slots, kept)


def _most(begin: Ints, end: Ints, count: int) -> int:
    """Most intervals (from ``begin`` to ``end``, both included) that hold at one of ``count`` moments."""
    change = np.bincount(begin, minlength=count + 1) - np.bincount(end + 1, minlength=count + 1)
    return int(np.cumsum(change).max(initial=0))


def choose(candidates: Iterator[Order], pairs: Touches, room: Room, size: int) -> tuple[Order, Schedule]:
    """The first order that fits."""
    least = 0
    for order in candidates:
        schedule = Schedule.of(order, pairs, room.block)
        least = room.taken(schedule.slots, schedule.kept)
        if least <= room.memory * order.share:
            return order, schedule
    raise ConfigError(
        f"The memory left for blocks and windows of {size} x {size} pixels is {max(0, room.memory) / 2**20:.3g} MiB",
        expected=f"at least {least / 2**20:.3g} MiB for these files, besides batch and blocks decoded ahead",
        remedy="raise memory_mb, take smaller windows or batches, or store the scenes in smaller tiles, for example "
        "with 'gdal_translate -of COG -co BLOCKSIZE=256'",
    )


class Played(NamedTuple):
    """An epoch as it runs: windows in the order given out, reads done before each, most held, and the mean pool."""

    windows: Ints
    before: Ints
    slots: int
    kept: int
    pool: float


def give_out(schedule: Schedule, pairs: Touches, room: Room, stream: NDArray[np.float64], warm: int) -> Played:
    """Play the epoch, block by block; what it needs at least is set aside, the pool takes the rest."""
    whole, read_of, first = schedule.whole.tolist(), schedule.read_of.tolist(), pairs.first.tolist()
    waiting = np.bincount(schedule.read_of, minlength=len(whole)).tolist()  # pairs of a read not yet given out
    new = np.bincount(schedule.begins, minlength=len(whole) + 1).tolist()  # windows that take memory at a read
    in_slot = (schedule.begins < len(whole)).tolist()
    by_ready = np.argsort(schedule.ready, kind="stable")
    turns = np.searchsorted(schedule.ready[by_ready], np.arange(len(whole) + 1)).tolist()
    completed, draws = by_ready.tolist(), stream.tolist()
    pool: list[int] = []
    given: list[int] = []
    before: list[int] = []
    slots = kept = drawn_from = 0
    most_slots, most_kept = schedule.slots, schedule.kept

    def give(reads: int) -> None:
        """Take one window out of the pool."""
        nonlocal slots, kept, drawn_from
        drawn_from += len(pool)
        place = int(draws[len(given)] * len(pool))
        pool[place], pool[-1] = pool[-1], pool[place]
        window = pool.pop()
        given.append(window)
        before.append(reads)
        slots -= in_slot[window]
        for pair in range(first[window], first[window + 1]):
            source = read_of[pair]
            waiting[source] -= 1
            kept -= whole[source] and not waiting[source]

    for read, keep in enumerate(whole):
        while pool and (
            len(pool) > warm + len(given)
            or room.taken(max(most_slots, slots + new[read]), max(most_kept, kept + keep)) > room.memory
        ):
            give(read)
        slots, kept = slots + new[read], kept + keep
        most_slots, most_kept = max(most_slots, slots), max(most_kept, kept)
        pool.extend(completed[turns[read] : turns[read + 1]])
    while pool:
        give(len(whole))
    mean = drawn_from / len(given) if given else 0.0
    return Played(np.array(given, np.int64), np.array(before, np.int64), most_slots, most_kept, mean)
