"""Open rasters for reuse: GDAL handles are costly to open and must not be shared by threads."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from swath.cubes import guard

KEPT_OPEN = 128  # idle handles of all rasters together, well below the usual limit of 1,024 open files
MAX_BLOCK_BYTES = 256 * 2**20  # of one stored block, decoded
FORMATS = frozenset({"GTiff", "PNG", "JPEG", "JP2OpenJPEG"})
"""The formats that hold their own numbers.

A virtual raster may name any other file or address, whatever its suffix: it is never opened.
"""
WARNING_FILTERS = threading.Lock()
"""Held by whoever changes the filters of warnings for a moment (opening a raster does): all threads share them."""

Key = tuple[str, str, int | None]


def block_bytes(source: DatasetReader) -> int:
    """Bytes of one stored block once decoded, of all bands where they are stored together."""
    rows, columns = source.block_shapes[0]
    bands = source.count if source.interleaving is not None and source.interleaving.value == "PIXEL" else 1
    return int(rows * columns * bands * np.dtype(source.dtypes[0]).itemsize)


class Handles:
    """Idle handles of many files, the least recently used closed first; a handle serves one thread at a time."""

    def __init__(self, limit: int = KEPT_OPEN) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: list[tuple[Key, DatasetReader]] = []

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, key: Key) -> DatasetReader | None:
        """An idle handle of this file as it is now; handles of earlier versions of the file are closed."""
        path, stamp, _ = key
        with self._lock:
            stale = [handle for known, handle in self._idle if known[0] == path and known[1] != stamp]
            self._idle = [(known, handle) for known, handle in self._idle if known[0] != path or known[1] == stamp]
            place = next((at for at in reversed(range(len(self._idle))) if self._idle[at][0] == key), None)
            found = None if place is None else self._idle.pop(place)[1]
        for handle in stale:
            handle.close()
        return found

    def give(self, key: Key, handle: DatasetReader) -> None:
        """Keep a handle for the next one who needs it."""
        with self._lock:
            self._idle.append((key, handle))
            surplus = self._idle.pop(0)[1] if len(self._idle) > self._limit else None
        if surplus is not None:
            surplus.close()

    def drop(self, path: Path) -> None:
        """Close the idle handles of one file."""
        with self._lock:
            gone = [handle for key, handle in self._idle if key[0] == str(path)]
            self._idle = [(key, handle) for key, handle in self._idle if key[0] != str(path)]
        for handle in gone:
            handle.close()


class ReaderPool:
    """Handles of one file at full resolution and at its overviews.

    Args:
        path: the file.
        handles: where idle handles wait, shared by all rasters of a server.
        check: called before each use; raises OSError when the file may not be read (any more).
    """

    def __init__(self, path: Path, handles: Handles | None = None, check: Callable[[], None] | None = None) -> None:
        self._path = path
        self._handles = Handles() if handles is None else handles
        self._check = check

    def stamp(self) -> str:
        """Changes when the file does: from its modification time, size and place on the disk."""
        status = os.stat(self._path)
        return hashlib.sha256(f"{status.st_mtime_ns}:{status.st_size}:{status.st_ino}".encode()).hexdigest()[:16]

    @contextmanager
    def open(self, overview: int | None = None) -> Iterator[DatasetReader]:
        """A reader of the file as it is now, at full resolution or at one of its overviews."""
        if self._check is not None:
            self._check()
        key = (str(self._path), self.stamp(), overview)
        source = self._handles.take(key)
        if source is None:
            source = open_raster(self._path, overview)
        try:
            yield source
        except BaseException:
            source.close()
            raise
        self._handles.give(key, source)

    def close(self) -> None:
        """Close every idle reader."""
        self._handles.drop(self._path)


def open_raster(path: Path, overview: int | None = None) -> DatasetReader:
    """Open a raster that holds its own numbers, as ``cubes.guard`` does; nothing that it names elsewhere is followed.

    Raises:
        RasterioError: it is none, or damaged.
        InputError: it declares more than ``swath.limits`` allow, or keeps overviews at an address.
    """
    if guard.driver_of(path) not in FORMATS:
        raise RasterioIOError(f"it is of none of the formats {', '.join(sorted(FORMATS))}")
    # No address is ever fetched, whatever a file beside the raster may ask for.
    with WARNING_FILTERS, rasterio.Env(CPL_VSIL_CURL_ALLOWED_EXTENSIONS="{none}", GDAL_HTTP_MAX_RETRY="0"):
        return guard.open_raster(path, overview_level=overview)
