"""Downloading one file: resumed after a cut, checked, and there only when it is whole.

Bytes go to a hidden file beside the target, which an interrupted download leaves and the next one goes on with, even in
another process. Whether a server can go on is asked each time; one that cannot sends all from the beginning.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from swath import __version__
from swath.errors import InputError, MissingError, ResourceError
from swath.reading import reason

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all, None where the server does not tell."""

ATTEMPTS = 5
TIMEOUT_S = 30.0
_BLOCK = 1 << 18
_LARGEST = 64 * 2**30
"""Bytes of a file whose size nobody knows."""
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same question may succeed."""


class _PassingError(Exception):
    """Something that may be different at the next attempt."""


@dataclass(frozen=True)
class _Wanted:
    address: str
    checksum: str | None
    size: int | None
    progress: Progress | None


def download(
    address: str,
    target: Path,
    *,
    checksum: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    attempts: int = ATTEMPTS,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch a file over HTTP; returns ``target``.

    Args:
        address: http or https.
        target: the file; its folder exists.
        checksum: sha256 of the whole file, or None.
        size: its bytes, or None.
        progress: see ``Progress``.
        attempts: how often a cut connection or a busy server is tried, with growing pauses.
        wait: sleeps for some seconds.

    Raises:
        MissingError: the server does not have or give the file, or cannot be reached.
        InputError: the file is another one than the checksum or size says.
        ResourceError: the folder cannot take it.
    """
    wanted = _Wanted(address, checksum, size, progress)
    partial = target.with_name(f".{target.name}.{hashlib.sha256(address.encode()).hexdigest()[:8]}.partial")
    try:
        with _alone(partial) as file:
            if target.is_file():  # another process was faster
                return target
            began_with = _length(file)
            _all_of(wanted, file, attempts, wait)
            if not _is_right(wanted, file) and began_with:
                # What an earlier run left may have been of another file: once more, from the beginning.
                file.truncate(0)
                _all_of(wanted, file, attempts, wait)
            if not _is_right(wanted, file):
                found, length = _checksum(file), _length(file)
                file.truncate(0)
                raise InputError(
                    f"{address} gave {length} bytes with the sha256 {found}",
                    expected=f"{checksum}, the checksum that is known for the file",
                    remedy="try again later; if it stays, the file was changed at its source: do not use it",
                )
            os.fsync(file.fileno())
            os.replace(partial, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG):
            raise ResourceError(
                f"'{target}' cannot be written ({error.strerror})",
                expected="a folder that may be written to, with room left",
                remedy="check permissions and free space, or name another folder in $SWATH_CACHE",
            ) from error
        raise
    return target


@contextmanager
def _alone(partial: Path) -> Iterator[BinaryIO]:
    """The hidden file, opened for going on, while no other process writes it."""
    while True:
        with partial.open("a+b") as file:
            _lock(file)
            # While waiting, the file may have been renamed to the target by the one that had it.
            if os.name == "nt" or (partial.exists() and os.path.samestat(os.fstat(file.fileno()), partial.stat())):
                try:
                    yield file
                finally:
                    if _length(file) == 0:  # nothing to go on with, and nobody else holds it yet
                        partial.unlink(missing_ok=True)
                return


def _lock(file: BinaryIO) -> None:
    try:
        import fcntl
    except ImportError:  # where there is none, two downloads of one file spoil each other, and the checksum tells
        return
    with suppress(OSError):  # file systems without locks
        fcntl.flock(file, fcntl.LOCK_EX)


def _all_of(wanted: _Wanted, file: BinaryIO, attempts: int, wait: Callable[[float], None]) -> None:
    """Download until all is there; an attempt that brought something does not count among the failed ones."""
    failed = 0
    for last in [False] * (20 * attempts) + [True]:
        before = _length(file)
        try:
            _go_on(wanted, file)
            return
        except (_PassingError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            trouble: Exception = error
        except urllib.error.URLError as error:
            trouble = error.reason if isinstance(error.reason, Exception) else error
        failed = 0 if _length(file) > before else failed + 1
        if last or failed >= attempts:
            raise MissingError(
                f"{wanted.address} cannot be fetched ({reason(trouble)}; {attempts} attempts; "
                f"{_length(file)} bytes are kept)",
                expected="a connection to the server",
                remedy="check the network and start again, which goes on where it stopped; or fetch the file by other "
                "means and name it with path=",
            ) from trouble
        wait(min(0.5 * 2**failed, 10.0))


def _go_on(wanted: _Wanted, file: BinaryIO) -> None:
    """One request for what is still missing."""
    have = _length(file)
    if wanted.size is not None and have > wanted.size:
        file.truncate(0)
        have = 0
    if wanted.size is not None and have == wanted.size:
        return
    headers = {"User-Agent": f"swath/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(wanted.address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            if response.status == 206 and not _continues(response.headers.get("Content-Range"), have):
                file.truncate(0)
                raise _PassingError(f"the server answered with the range {response.headers.get('Content-Range')}")
            if response.status == 200:
                file.truncate(0)  # all of it, from the beginning
            _receive(wanted, response, file)
    except urllib.error.HTTPError as error:
        with error:
            _refused(wanted, file, error.code, have)


def _refused(wanted: _Wanted, file: BinaryIO, code: int, have: int) -> None:
    """What an answer that is an error means."""
    if code == 416 and have:
        if wanted.size is None and wanted.checksum == _checksum(file):
            return  # nothing was missing
        file.truncate(0)
        raise _PassingError("the server has no such range")
    if code in _PASSING:
        raise _PassingError(f"the server answered {code}")
    raise MissingError(
        f"{wanted.address} cannot be fetched: the server answered {code}",
        expected="the published file at this address",
        remedy="look whether it was moved; a file fetched by other means can be named with path=",
    )


def _receive(wanted: _Wanted, response: http.client.HTTPResponse, file: BinaryIO) -> None:
    """Write the body of an answer behind what is there."""
    have = _length(file)
    announced = response.headers.get("Content-Length")
    total = have + int(announced) if announced and announced.isdigit() else wanted.size
    limit = wanted.size or _LARGEST
    if total is not None and (total > limit or (wanted.size is not None and total != wanted.size)):
        file.truncate(0)
        raise InputError(
            f"{wanted.address} is a file of {total} bytes",
            expected=f"{wanted.size} bytes" if wanted.size else f"at most {_LARGEST} bytes",
            remedy="the file was changed at its source: do not use it",
        )
    file.seek(0, os.SEEK_END)
    while block := response.read(_BLOCK):
        have += len(block)
        if have > limit:
            file.truncate(0)
            raise InputError(
                f"{wanted.address} sends more than {limit} bytes",
                expected=f"a file of {limit} bytes",
                remedy="the file was changed at its source: do not use it",
            )
        file.write(block)
        file.flush()
        if wanted.progress:
            wanted.progress(have, total)
    if total is not None and have < total:
        raise _PassingError(f"the connection was cut after {have} of {total} bytes")


def _continues(content_range: str | None, have: int) -> bool:
    """Whether a partial answer begins where the file ends."""
    return content_range is not None and content_range.replace(" ", "").lower().startswith(f"bytes{have}-")


def _is_right(wanted: _Wanted, file: BinaryIO) -> bool:
    if wanted.checksum is None:
        return wanted.size is None or _length(file) == wanted.size
    return _checksum(file) == wanted.checksum


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _checksum(file: BinaryIO) -> str:
    file.flush()
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0, os.SEEK_END)
    return found
