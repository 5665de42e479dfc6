"""A web server on loopback that fails as told."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class FaultyServer:
    """Serves one file; faults are used up one per request, then all goes well.

    Faults: ``cut N`` (close after N bytes of the answer), ``status N``, ``lie N`` (announce N bytes too many),
    ``wrong range`` (answer a range from another place), ``endless`` (no length, many more bytes than the file has).
    """

    def __init__(self, content: bytes, *, ranges: bool = True, length: bool = True) -> None:
        self.content = content
        self.ranges = ranges
        self.length = length
        self.faults: list[str] = []
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                """Clients that hang up are part of the tests."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}/model.pt"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        kind, _, number = (self.faults.pop(0) if self.faults else "").partition(" ")
        if kind == "status":
            handler.send_response(int(number))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1)) if wanted and self.ranges else 0  # type: ignore[union-attr]
        if start and start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            told = start + 1 if kind == "wrong" else start
            handler.send_header("Content-Range", f"bytes {told}-{len(self.content) - 1}/{len(self.content)}")
        if self.length and kind != "endless":
            handler.send_header("Content-Length", str(len(body) + (int(number) if kind == "lie" else 0)))
        handler.end_headers()
        if kind == "endless":
            body = body * 5
        handler.wfile.write(body[: int(number)] if kind == "cut" else body)
        handler.wfile.flush()
        handler.close_connection = True


@pytest.fixture
def serve() -> Iterator[object]:
    """``serve(content, ranges=True)`` starts a server."""
    servers: list[FaultyServer] = []

    def start(content: bytes, **options: bool) -> FaultyServer:
        servers.append(FaultyServer(content, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
