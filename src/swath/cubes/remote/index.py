"""Headers of remote files, kept on disk: a second job asks no server where the blocks of a file lie.

One small file an address, named by its hash: a line of JSON (address, size, ETag, which bytes follow), then those bytes
of the remote file as they were sent. Signatures are no part of the address. Whether the remote file is still the same
shows with the first block that is read: every answer tells ETag and size.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swath.files import user_cache, write_whole

LARGEST = 64 * 2**20
"""Bytes of a header that is kept; one larger is read each time."""


@dataclass(frozen=True)
class Header:
    """The bytes of a file from which its layout was read.

    Args:
        address: the file, without a signature.
        size: its bytes.
        tag: its ETag, empty where the server gives none.
        pieces: first byte and content of each piece, ascending, not overlapping.
    """

    address: str
    size: int
    tag: str
    pieces: tuple[tuple[int, bytes], ...]

    def find(self, start: int, stop: int) -> bytes | None:
        """Bytes ``start`` to before ``stop`` (or the end of the file), or None where they are not known."""
        stop = min(stop, self.size)
        for low, content in self.pieces:
            if low <= start and stop <= low + len(content):
                return content[start - low : stop - low]
        return None


@dataclass(frozen=True)
class HeaderIndex:
    """Headers in a folder; several processes may use it at once.

    Args:
        folder: where they lie; None keeps nothing.
    """

    folder: Path | None = None

    @classmethod
    def of_user(cls) -> HeaderIndex:
        """The index in the user's cache ($SWATH_CACHE where set)."""
        return cls(user_cache("headers"))

    def get(self, address: str) -> Header | None:
        """The header of a file; None where it is not known, or what was kept of it is damaged."""
        path = self._path(address)
        if path is None or not path.is_file():
            return None
        with suppress(OSError, ValueError, KeyError, TypeError):
            line, _, content = path.read_bytes().partition(b"\n")
            facts = json.loads(line)
            pieces, place = [], 0
            for start, length in facts["pieces"]:
                pieces.append((int(start), content[place : place + length]))
                place += length
            if facts["address"] == address and place == len(content):
                return Header(address, int(facts["size"]), str(facts["tag"]), tuple(pieces))
        return None

    def put(self, header: Header) -> None:
        """Keep a header; where the folder cannot be written, it is read again next time."""
        path = self._path(header.address)
        lengths = [(start, len(content)) for start, content in header.pieces]
        if path is None or sum(length for _, length in lengths) > LARGEST:
            return
        facts = {"address": header.address, "size": header.size, "tag": header.tag, "pieces": lengths}
        content = json.dumps(facts).encode() + b"\n" + b"".join(content for _, content in header.pieces)
        from swath.errors import ResourceError

        with suppress(OSError, ResourceError):
            write_whole(path, lambda temporary: temporary.write_bytes(content))

    def forget(self, address: str) -> None:
        """Drop the header of a file that was changed."""
        path = self._path(address)
        if path is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _path(self, address: str) -> Path | None:
        if self.folder is None:
            return None
        name = hashlib.sha256(address.encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.header"
