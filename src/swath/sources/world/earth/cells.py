"""A bounded store of cells that threads share, and the watch over makers that would need themselves."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from swath.errors import ContractError

Place = tuple[str, int, int, int]
"""Maker, EPSG code of the zone, row and column of the cell."""

Cell = Mapping[str, NDArray[Any]]


class Cells:
    """Cells by place, at most ``limit`` bytes of them; the least recently used go first.

    A cell is made once even when several threads want it: the others wait. That cannot lock up, because ``Needs``
    refuses makers that wait for each other.

    Args:
        limit: bytes of arrays; the newest cell stays even where it alone is larger.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Place, Cell] = OrderedDict()
        self._bytes = 0
        self._under_way: dict[Place, threading.Event] = {}
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, place: Place, make: Callable[[], Cell]) -> Cell:
        """The cell at ``place``, made by ``make`` where it is not kept."""
        while True:
            with self._lock:
                if place in self._kept:
                    self._kept.move_to_end(place)
                    return self._kept[place]
                waiting = self._under_way.get(place)
                if waiting is None:
                    self._under_way[place] = threading.Event()
                    break
            waiting.wait()
        try:
            cell = make()
            self._keep(place, cell)
            return cell
        finally:
            # Also after an error: those who wait then try themselves, and meet it too.
            with self._lock:
                self._under_way.pop(place).set()

    def _keep(self, place: Place, cell: Cell) -> None:
        with self._lock:
            self._kept[place] = cell
            self._bytes += _size(cell)
            while self._bytes > self._limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= _size(dropped)


class Needs:
    """Which maker reads which; refuses a circle as soon as it closes, in whatever thread."""

    def __init__(self) -> None:
        self._reads: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def of(self, maker: str) -> Iterator[None]:
        """While ``maker`` works (in this thread) everything that is read is read for it.

        Raises:
            ContractError: what it needs depends on the maker that asks for it.
        """
        stack: list[str] = getattr(self._local, "stack", [])
        if stack:
            self._note(stack[-1], maker)
        self._local.stack = [*stack, maker]
        try:
            yield
        finally:
            self._local.stack = stack

    def _note(self, reader: str, read: str) -> None:
        with self._lock:
            if read in self._reads.get(reader, ()):
                return
            path = self._path(read, reader)
            if path is not None:
                raise ContractError(
                    f"Makers of layers need each other in a circle: {' reads '.join([reader, *path])}",
                    expected="makers that read only layers made without them",
                    remedy="split one of them in two, so that what the other needs is made first",
                )
            self._reads.setdefault(reader, set()).add(read)

    def _path(self, start: str, end: str) -> list[str] | None:
        """A way along readings from ``start`` to ``end``."""
        if start == end:
            return [start]
        for following in sorted(self._reads.get(start, ())):
            path = self._path(following, end)
            if path is not None:
                return [start, *path]
        return None


def _size(cell: Cell) -> int:
    return sum(array.nbytes for array in cell.values())
