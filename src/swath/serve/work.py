"""Bounded work: how many requests read at once, how many wait, and what is kept of the answers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Request

from swath.serve.places import Refused

Answer = TypeVar("Answer")

READERS = min(8, max(4, os.cpu_count() or 1))  # threads that draw tiles; more only wait for each other
ANALYSTS = 2  # large readings at once
WAITING = 8  # large readings that may wait for their turn
CACHE_BYTES = 64 * 2**20
GONE = 499  # the status for clients that left; nobody reads it


class Tiles:
    """Encoded tiles, the least recently used dropped first once they take more than a number of bytes."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> bytes | None:
        """The tile, if it is kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, tile: bytes) -> None:
        """Keep a tile; one that is larger than the whole cache is not."""
        with self._lock:
            self.size += len(tile) - len(self._kept.pop(key, b""))
            self._kept[key] = tile
            while self.size > self._limit:
                self.size -= len(self._kept.popitem(last=False)[1])


async def _left(request: Request) -> bool:
    """Whether a client is gone: of what it sent, the first message is its body, and only then can it have left."""
    return await request.is_disconnected() or await request.is_disconnected()


class Desk:
    """Where requests are served: a few threads draw tiles, two do large readings, the rest wait in the open.

    A request whose client has left is dropped before its turn, and the same tile is drawn once for all who wait.
    """

    def __init__(self, readers: int = READERS) -> None:
        self.tiles = Tiles()
        self._readers = CapacityLimiter(readers)
        self._analysts = CapacityLimiter(ANALYSTS)
        self._asked = 0
        self._drawing: dict[Hashable, tuple[asyncio.Task[bytes], list[Request]]] = {}

    async def read(self, action: Callable[[], Answer]) -> Answer:
        """A short reading in one of the threads."""
        return await anyio.to_thread.run_sync(action, limiter=self._readers)

    async def tile(self, key: Hashable, request: Request, draw: Callable[[], bytes]) -> bytes:
        """A tile from the cache, from the one who is drawing it already, or drawn now.

        Raises:
            Refused: the client has left.
        """
        kept = self.tiles.get(key)
        if kept is not None:
            return kept
        drawing = self._drawing.get(key)
        if drawing is None:
            waiting = [request]
            task = asyncio.ensure_future(self._draw(key, waiting, draw))
            self._drawing[key] = task, waiting
            task.add_done_callback(partial(self._drawn, key))
        else:
            task, waiting = drawing
            waiting.append(request)
        # One client who leaves must not take the tile from the others.
        return await asyncio.shield(task)

    async def large(self, action: Callable[[], Answer]) -> Answer:
        """A long reading; when too many wait already, a sentence instead.

        Raises:
            Refused: too many wait.
        """
        if self._asked >= ANALYSTS + WAITING:
            raise Refused(503, "The server is busy with other areas; try again in a moment.")
        self._asked += 1
        try:
            return await anyio.to_thread.run_sync(action, limiter=self._analysts)
        finally:
            self._asked -= 1

    async def _draw(self, key: Hashable, waiting: list[Request], draw: Callable[[], bytes]) -> bytes:
        async with self._readers:
            for request in waiting:
                if not await _left(request):
                    break
            else:
                raise Refused(GONE, "Nobody waits for this tile any more.")
            tile = await anyio.to_thread.run_sync(draw, limiter=CapacityLimiter(1))
        self.tiles.put(key, tile)
        return tile

    def _drawn(self, key: Hashable, task: asyncio.Task[bytes]) -> None:
        self._drawing.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waits gets it; without one who does, it is not a surprise
