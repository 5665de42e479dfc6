"""A server of ranges on loopback in a process of its own: every answer waits for a while, as one from far away does.

It keeps connections open, answers as many as come at once, reads no byte of a file that nobody asked for, and costs
little processor time, so that it is not what the race measures. ``/count`` tells the requests and bytes since the last
``/count``. Only the standard library: contenders of any environment may ask it.

    python bench/peers/range_server.py FOLDER SECONDS
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from pathlib import Path

SPAN = re.compile(r"bytes=(\d+)-(\d*)")
TOLD = {200: "OK", 206: "Partial Content", 404: "Not Found", 416: "Range Not Satisfiable"}


class RangeServer:
    """Files of a folder, by range, after a pause.

    Args:
        folder: what is served.
        latency_s: pause before every answer [s].
    """

    def __init__(self, folder: Path, latency_s: float) -> None:
        self.folder = folder
        self.latency_s = latency_s
        self.requests = self.sent = 0
        self.files: dict[str, tuple[int, int] | None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        # A client that closes its connection ends the series of requests; that is how it is told.
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ", 2)
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                writer.write(await self.answer(method, path.partition("?")[0], fields.get("range", "")))
                await writer.drain()

    async def answer(self, method: str, path: str, asked: str) -> bytes:
        """Head and body of one answer."""
        if path == "/count":
            body = json.dumps({"requests": self.requests, "bytes": self.sent}).encode()
            self.requests = self.sent = 0
            return head_of(200, len(body), "") + body
        self.requests += 1
        await asyncio.sleep(self.latency_s)
        found = self.opened(path)
        if found is None:
            return head_of(404, 0, "")
        handle, size = found
        span = SPAN.fullmatch(asked)
        low = int(span[1]) if span else 0
        high = min(int(span[2]) + 1, size) if span and span[2] else size
        if low >= size:
            return head_of(416, 0, f"Content-Range: bytes */{size}\r\n")
        extra = f'ETag: "{size}"\r\nAccept-Ranges: bytes\r\nLast-Modified: Mon, 06 May 2024 10:00:00 GMT\r\n'
        extra += f"Content-Range: bytes {low}-{high - 1}/{size}\r\n" if span else ""
        head = head_of(206 if span else 200, high - low, extra)
        if method == "HEAD":
            return head
        self.sent += high - low
        return head + os.pread(handle, high - low, low)

    def opened(self, path: str) -> tuple[int, int] | None:
        """Handle and size of a file; None where there is none."""
        if path not in self.files:
            place = self.folder / path.lstrip("/")
            inside = place.resolve().is_relative_to(self.folder.resolve()) and place.is_file()
            self.files[path] = (os.open(place, os.O_RDONLY), place.stat().st_size) if inside else None
        return self.files[path]


def head_of(status: int, length: int, extra: str) -> bytes:
    """The lines before a body."""
    text = f"HTTP/1.1 {status} {TOLD[status]}\r\nContent-Type: image/tiff\r\nContent-Length: {length}\r\n{extra}\r\n"
    return text.encode("latin-1")


async def main() -> None:
    """Serve until killed; the first line printed is the address."""
    server = RangeServer(Path(sys.argv[1]), float(sys.argv[2]))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
