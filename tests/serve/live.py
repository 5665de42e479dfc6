"""A real server on loopback in a thread, and raw requests that no well-behaved client would send."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import uvicorn

from swath.serve import create_app
from swath.serve.run import listen


class Answer(NamedTuple):
    """Status, headers in small letters, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def sentence(self) -> str:
        """The sentence of a refusal."""
        return str(json.loads(self.body)["error"])


class LiveServer:
    """The server as ``swath.serve.run`` starts it; a context manager."""

    def __init__(self, directory: Path, hosts: Collection[str] = ()) -> None:
        self.app = create_app(directory, hosts)
        self._listener = listen("127.0.0.1", 0)
        self.port = int(self._listener.getsockname()[1])
        settings = uvicorn.Config(self.app, log_level="error", access_log=False, lifespan="off")
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)

    def __enter__(self) -> LiveServer:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._listener.close()

    def request(self, line: str | bytes, body: bytes = b"", **headers: str) -> Answer:
        """Send ``METHOD TARGET`` as it stands; ``host`` and others may be given, underscores stand for hyphens."""
        named = {"host": f"127.0.0.1:{self.port}", "connection": "close"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body and "transfer-encoding" not in named:
            named.setdefault("content-length", str(len(body)))
        first = line if isinstance(line, bytes) else line.encode("latin-1")
        head = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in named.items())
        return self.send(first + b" HTTP/1.1\r\n" + head + b"\r\n" + body)

    def send(self, content: bytes) -> Answer:
        """Send bytes, read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as line:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(content)  # it may be refused before all was sent
            got = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while part := line.recv(65536):
                    got += part
        head, _, rest = bytes(got).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = [entry.split(": ", 1) for entry in lines[1:]]
        return Answer(int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}, rest)
