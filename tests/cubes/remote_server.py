"""A web server on loopback that serves the files of a folder by ranges, counts what it is asked, and fails as told."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: path, first byte, byte behind the last one (None = to the end), answer, and bytes that were sent."""

    path: str
    start: int | None
    stop: int | None
    status: int
    sent: int


class FileServer:
    """Serves a folder. Faults are used up one per request, then all goes well.

    Faults: ``cut N`` (close after N bytes of the body), ``status N``, ``status N after S`` (with Retry-After),
    ``hang up`` (close without an answer), ``whole`` (ignore the range), ``wrong range``.

    Args:
        folder: what is served.
        latency_s: pause before each answer.
        token: when set, requests under ``/signed`` need ``?sig=TOKEN`` and get 403 without; ``/token/NAME`` gives it.
        tags: whether ETags are sent.
    """

    def __init__(self, folder: Path, *, latency_s: float = 0.0, token: str = "", tags: bool = True) -> None:
        self.folder = folder
        self.latency_s = latency_s
        self.token = token
        self.tags = tags
        self.expiry = "2999-01-01T00:00:00Z"
        self.faults: list[str] = []
        self.asked: list[Asked] = []
        self.tokens_given = 0
        self.headers_seen: list[dict[str, str]] = []
        self.hook: Callable[[str], bytes | None] = lambda path: None
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                server.answer(self)

            def do_HEAD(self) -> None:  # GDAL asks before it reads
                server.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                """Clients that hang up are part of the tests."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        self.address = f"http://{self.host}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def fetched(self, path: str) -> list[tuple[int | None, int | None]]:
        """Ranges of a file that were answered."""
        return [(one.start, one.stop) for one in self.asked if one.path == path and one.status in (200, 206)]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.latency_s:
            time.sleep(self.latency_s)
        parts = urlsplit(handler.path)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range") or "")
        start, stop = (int(found[1]), int(found[2]) + 1 if found[2] else None) if found else (None, None)
        with self._lock:
            fault = self.faults.pop(0) if self.faults else ""
            self.headers_seen.append(dict(handler.headers))

        def note(status: int, sent: int) -> None:  # before the client can know the answer
            with self._lock:
                self.asked.append(Asked(parts.path, start, stop, status, sent))

        handler.note = note  # type: ignore[attr-defined]
        self._respond(handler, parts.path, parse_qs(parts.query), start, stop, fault)

    def _respond(
        self,
        handler: BaseHTTPRequestHandler,
        path: str,
        query: dict[str, list[str]],
        start: int | None,
        stop: int | None,
        fault: str,
    ) -> None:
        if fault == "hang up":
            handler.note(0, 0)  # type: ignore[attr-defined]
            handler.close_connection = True
            return None
        if fault.startswith("status"):
            words = fault.split()
            return self._short(handler, int(words[1]), b"", {"Retry-After": words[3]} if len(words) > 2 else {})
        if path.startswith("/token/"):
            with self._lock:
                self.tokens_given += 1
            body = json.dumps({"token": f"sig={self.token}", "msft:expiry": self.expiry}).encode()
            return self._short(handler, 200, body, {})
        if path.startswith("/signed/"):
            if query.get("sig") != [self.token]:
                return self._short(handler, 403, b'{"message": "Signature not valid"}', {})
            path = path.removeprefix("/signed")
        content = self.hook(path)
        if content is None:
            place = self.folder / path.lstrip("/")
            if not place.is_file():
                return self._short(handler, 404, b"", {})
            content = place.read_bytes()
        if start is not None and start >= len(content):
            return self._short(handler, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
        return self._send(handler, content, start, stop, fault)

    def _send(
        self, handler: BaseHTTPRequestHandler, content: bytes, start: int | None, stop: int | None, fault: str
    ) -> None:
        partial = start is not None and fault != "whole"
        low = start or 0 if partial else 0
        high = min(stop or len(content), len(content)) if partial else len(content)
        body = content[low:high]
        if fault.startswith("cut"):
            body = body[: int(fault.split()[1])]
            handler.close_connection = True
        handler.note(206 if partial else 200, len(body))  # type: ignore[attr-defined]
        handler.send_response(206 if partial else 200)
        if partial:
            told = low + 1 if fault == "wrong range" else low
            handler.send_header("Content-Range", f"bytes {told}-{high - 1}/{len(content)}")
        if self.tags:
            handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:12]}"')
        handler.send_header("Content-Length", str(high - low))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
            handler.wfile.flush()

    def _short(self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        handler.note(status, len(body))  # type: ignore[attr-defined]
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
            handler.wfile.flush()


@contextmanager
def elsewhere(folder: Path) -> Iterator[str]:
    """The address of a server in a process of its own: GDAL may hold Python's lock while it waits for an answer."""
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


class FakeClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, jitter: float = 1.0) -> None:
        self.time = 0.0
        self.pauses: list[float] = []
        self.jitter = jitter

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds

    def draw(self) -> float:
        return self.jitter


if __name__ == "__main__":
    print(FileServer(Path(sys.argv[1])).address, flush=True)
    threading.Event().wait()
