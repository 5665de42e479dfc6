"""Many clients at once: right pixels and bounded work. How fast it is, is for ``bench/tiles.py`` to say."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from live import LiveServer
from starlette.requests import Request
from starlette.types import Message

from swath.serve.guard import _replayed
from swath.serve.places import Refused
from swath.serve.work import ANALYSTS, WAITING, Desk, Tiles

BENCH = Path(__file__).parents[2] / "bench" / "tiles.py"


class Client:
    """A request that is still there, or not."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone

    async def is_disconnected(self) -> bool:
        return self.gone


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    specification = importlib.util.spec_from_file_location("bench_tiles", BENCH)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["bench_tiles"] = module
    specification.loader.exec_module(module)
    return module


def test_fifty_clients_get_the_right_pixels(bench: ModuleType, tmp_path: Path) -> None:
    numbers = bench.write_map(tmp_path, 4)
    with LiveServer(tmp_path) as server:
        result = bench.race(server.port, numbers, 50, 4)
        desk = server.app.state.desk
    assert result.errors == ()
    assert result.seconds.size == 200
    assert len(desk._drawing) == 0
    assert 0 < len(desk.tiles) <= 200


def test_a_wrong_pixel_would_be_seen(bench: ModuleType, tmp_path: Path) -> None:
    numbers = bench.write_map(tmp_path, 2)
    with LiveServer(tmp_path) as server:
        numbers[:] = 5 - numbers
        assert len(bench.race(server.port, numbers, 2, 3).errors) == 6


def test_the_cache_is_bounded_in_bytes() -> None:
    tiles = Tiles(100)
    for number in range(10):
        tiles.put(number, b"x" * 30)
        tiles.get(0)
    assert tiles.size <= 100
    assert tiles.get(0) is not None  # in use
    assert tiles.get(1) is None
    tiles.put("large", b"x" * 101)
    assert tiles.get("large") is None
    assert tiles.size == 0
    tiles.put("a", b"x" * 10)
    tiles.put("a", b"x" * 20)
    assert (tiles.size, len(tiles)) == (20, 1)


def test_the_same_tile_is_drawn_once_for_all() -> None:
    drawn: list[int] = []

    def draw() -> bytes:
        drawn.append(threading.get_ident())
        time.sleep(0.05)
        return b"tile"

    async def ask() -> list[bytes]:
        desk = Desk()
        return await asyncio.gather(*(desk.tile("key", Client(), draw) for _ in range(20)))  # type: ignore[arg-type]

    assert asyncio.run(ask()) == [b"tile"] * 20
    assert len(drawn) == 1


def test_few_threads_draw_and_clients_who_left_get_nothing_drawn() -> None:
    running: list[int] = []
    most = 0
    lock = threading.Lock()

    def draw() -> bytes:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))
        time.sleep(0.01)
        with lock:
            running.pop()
        drawn.append(1)
        return b"tile"

    drawn: list[int] = []

    async def ask() -> list[Any]:
        desk = Desk(3)
        clients = [Client(gone=number % 2 == 1) for number in range(40)]
        answers = (desk.tile(number, client, draw) for number, client in enumerate(clients))  # type: ignore[arg-type]
        return await asyncio.gather(*answers, return_exceptions=True)

    answers = asyncio.run(ask())
    assert most <= 3
    assert len(drawn) == 20
    assert [isinstance(answer, Refused) for answer in answers] == [number % 2 == 1 for number in range(40)]


def test_a_client_who_left_is_noticed_behind_the_guard() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def ask() -> bytes:
        request = Request({"type": "http", "headers": []}, _replayed(b"", gone))
        return await Desk().tile("key", request, lambda: b"tile")

    with pytest.raises(Refused, match="Nobody waits"):
        asyncio.run(ask())


def test_one_client_who_leaves_does_not_take_the_tile_from_another() -> None:
    async def ask() -> bytes:
        desk = Desk()
        first = asyncio.ensure_future(desk.tile("key", Client(gone=True), lambda: b"tile"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        second = asyncio.ensure_future(desk.tile("key", Client(), lambda: b"tile"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(ask()) == b"tile"


def test_large_readings_wait_in_a_short_queue() -> None:
    async def ask() -> list[Any]:
        desk = Desk()
        many = ANALYSTS + WAITING + 5
        return await asyncio.gather(
            *(desk.large(lambda: time.sleep(0.01)) for _ in range(many)), return_exceptions=True
        )

    answers = asyncio.run(ask())
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(refusals) == 5
    assert {refusal.status for refusal in refusals} == {503}


def test_a_tile_that_fails_is_not_kept() -> None:
    def fail() -> bytes:
        raise OSError("gone")

    async def ask() -> tuple[int, bytes]:
        desk = Desk()
        for _ in range(2):
            with pytest.raises(OSError, match="gone"):
                await desk.tile("key", Client(), fail)  # type: ignore[arg-type]
        return len(desk.tiles), await desk.tile("key", Client(), lambda: b"tile")  # type: ignore[arg-type]

    assert asyncio.run(ask()) == (0, b"tile")
