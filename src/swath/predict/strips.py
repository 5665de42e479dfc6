"""Finished strips of a prediction, kept in a hidden folder until the maps are whole.

A strip is there when its record is: ``strip_00012.json`` is written after the rasters of the strip, under a temporary
name that is then renamed. The records hold for one request only (``request.json``); a folder of another one is emptied.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from swath.cubes.mosaic import Part
from swath.errors import ResourceError
from swath.files import write_json
from swath.predict.lock import LOCK, lock_folder, unlock

REQUEST = "request.json"
TILE_ROWS = 512


class TiledFile:
    """A plain, uncompressed, sparse BigTIFF, written tile by tile in any order.

    Written here rather than by GDAL, which tells of a full disk only on standard error when it closes a file. Layout
    after the TIFF 6.0 and BigTIFF specifications: bands one after the other, tiles of one super-block's width.

    Args:
        path: the file; it is not whole before ``close``.
        shape: bands, rows, columns.
        tile_width: columns of a tile, a multiple of 16.
        dtype: stored type.
        nodata: what tiles without data hold.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int, int], tile_width: int, dtype: np.dtype[Any], nodata: float
    ) -> None:
        self.shape, self.tile_width, self.nodata = shape, tile_width, nodata
        self.dtype = dtype.newbyteorder("<")
        self._across, self._down = -(-shape[2] // tile_width), -(-shape[1] // TILE_ROWS)
        self._offsets = np.zeros((shape[0], self._down, self._across), dtype="<u8")
        self._file: BinaryIO = path.open("wb")
        self._file.write(b"\0" * 16)  # the header comes last: what is not finished is no TIFF

    def write(self, array: NDArray[Any], column: int) -> None:
        """Write all rows of some columns, (band, y, x), from the left edge of a tile on."""
        for position, top in enumerate(range(0, self.shape[1], TILE_ROWS)):
            part = array[:, top : top + TILE_ROWS]
            whole = np.full((part.shape[0], TILE_ROWS, self.tile_width), self.nodata, dtype=self.dtype)
            whole[:, : part.shape[1], : part.shape[2]] = part
            for band in range(part.shape[0]):
                self._offsets[band, position, column // self.tile_width] = self._file.tell()
                self._file.write(whole[band].data)

    def close(self) -> None:
        """Write the directory and the header."""
        nbytes = TILE_ROWS * self.tile_width * self.dtype.itemsize
        bands, rows, columns = self.shape
        kind = {"u": 1, "i": 2, "f": 3}[self.dtype.kind]
        text = (b"nan" if np.isnan(self.nodata) else repr(self.nodata).encode()) + b"\0"
        counts = np.where(self._offsets > 0, nbytes, 0)
        tags: dict[int, tuple[str, list[Any]]] = {
            256: ("I", [columns]),
            257: ("I", [rows]),
            258: ("H", [8 * self.dtype.itemsize] * bands),
        }
        tags |= {259: ("H", [1]), 262: ("H", [1]), 277: ("H", [bands]), 284: ("H", [2])}
        tags |= {322: ("I", [self.tile_width]), 323: ("I", [TILE_ROWS])}
        tags |= {324: ("Q", self._offsets.ravel().tolist()), 325: ("Q", counts.ravel().tolist())}
        tags |= {338: ("H", [0] * (bands - 1))} if bands > 1 else {}
        tags |= {339: ("H", [kind] * bands), 42113: ("s", [text])}
        self._directory(tags)
        self._file.close()

    def discard(self) -> None:
        """Close without finishing; what is still in memory may not fit the disk, which is why we are here."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _directory(self, tags: Mapping[int, tuple[str, list[Any]]]) -> None:
        codes = {"H": 3, "I": 4, "Q": 16, "s": 2}
        entries = []
        for tag, (kind, values) in tags.items():
            data = values[0] if kind == "s" else struct.pack(f"<{len(values)}{kind}", *values)
            count = len(data) if kind == "s" else len(values)
            if len(data) > 8:
                place = self._file.tell()
                self._file.write(data)
                data = struct.pack("<Q", place)
            entries.append(struct.pack("<HHQ", tag, codes[kind], count) + data.ljust(8, b"\0"))
        start = self._file.tell()
        self._file.write(struct.pack("<Q", len(entries)) + b"".join(entries) + struct.pack("<Q", 0))
        self._file.seek(0)
        self._file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, start))


@dataclass(frozen=True)
class Output:
    """How an output is stored.

    Args:
        name: its name.
        bands: number of bands.
        dtype: type.
        nodata: stored number without prediction.
    """

    name: str
    bands: int
    dtype: np.dtype[Any]
    nodata: float


class StripFolder:
    """The hidden folder with finished strips.

    Args:
        folder: the folder.
        fingerprint: what the strips depend on; None = they serve this run only.
        keep: whether strips of an earlier run with the same fingerprint may be used.

    Raises:
        ResourceError: on entering, if the folder cannot be made, or another run uses it.
    """

    def __init__(self, folder: Path, fingerprint: str | None, keep: bool) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self._keep = keep and fingerprint is not None
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._lock = lock_folder(self.folder)
        try:
            self._begin()
        except BaseException:
            unlock(self._lock)
            raise
        return self

    def _begin(self) -> None:
        """Keep what holds for this request, and nothing else."""
        found = _json(self.folder / REQUEST) if self._keep else None
        if found is None or found.get("fingerprint") != self.fingerprint:
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != LOCK:
                    path.unlink(missing_ok=True)
        write_json(self.folder / REQUEST, {"fingerprint": self.fingerprint})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finished = any(self.folder.glob("strip_*.json"))
        if kind is not None and (self.fingerprint is None or not finished):
            self.remove()
        unlock(self._lock)

    def remove(self) -> None:
        """Remove the folder and all strips."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)

    def record(self, strip: int) -> dict[str, Any] | None:
        """What the record of a finished strip says; None where the strip is to be done (again)."""
        record = _json(self._record(strip))
        if record is None:
            return None
        sizes: dict[str, int] = record.get("sizes", {})
        whole = all(_size(self.path(strip, name)) == size for name, size in sizes.items())
        return record if whole else None

    def path(self, strip: int, output: str) -> Path:
        """The raster of one output of a strip."""
        return self.folder / f"strip_{strip:05d}_{output}.tif"

    def finish(self, strip: int, outputs: Sequence[str], record: Mapping[str, Any]) -> None:
        """Make a strip count: its record appears after its rasters."""
        sizes = {name: _size(self.path(strip, name)) for name in outputs}
        write_json(self._record(strip), {**record, "sizes": {name: n for name, n in sizes.items() if n is not None}})

    def parts(self, output: str, cuts: Sequence[int]) -> list[Part]:
        """The rasters of an output, of the strips that have one."""
        rows = list(itertools.pairwise(cuts))
        found = [Part(self.path(strip, output), top, bottom - top) for strip, (top, bottom) in enumerate(rows)]
        return [part for part in found if part.path.exists()]

    def _record(self, strip: int) -> Path:
        return self.folder / f"strip_{strip:05d}.json"


class StripWriter:
    """Writes the rasters of one strip after the other; used in one thread.

    Args:
        folder: where they go.
        outputs: what is written.
        shape: rows of every strip and columns of the scene.
        tile_width: columns of a super-block.
    """

    def __init__(
        self, folder: StripFolder, outputs: Sequence[Output], rows: Sequence[int], columns: int, tile_width: int
    ) -> None:
        self._folder, self._outputs = folder, tuple(outputs)
        self._rows, self._columns, self._tile_width = tuple(rows), columns, tile_width
        self._files: dict[str, TiledFile] = {}

    def write(self, strip: int, arrays: Mapping[str, NDArray[Any]], column: int) -> None:
        """Write one window of a strip, all its rows.

        Raises:
            ResourceError: the disk or folder cannot take it.
        """
        try:
            if not self._files:
                self._open(strip)
            for name, array in arrays.items():
                self._files[name].write(array, column)
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self, strip: int, record: Mapping[str, Any]) -> None:
        """Close the rasters of a strip and make it count.

        Raises:
            ResourceError: the disk or folder cannot take it.
        """
        try:
            names = list(self._files)
            for file in self._files.values():
                file.close()
            self._files = {}
            for output in self._outputs:
                if output.name not in names:  # from an earlier attempt
                    self._folder.path(strip, output.name).unlink(missing_ok=True)
            self._folder.finish(strip, names, record)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Drop what is not finished."""
        for file in self._files.values():
            file.discard()
        self._files = {}

    def _open(self, strip: int) -> None:
        for output in self._outputs:
            path = self._folder.path(strip, output.name)
            (self._folder.folder / f"strip_{strip:05d}.json").unlink(missing_ok=True)
            shape = (output.bands, self._rows[strip], self._columns)
            self._files[output.name] = TiledFile(path, shape, self._tile_width, output.dtype, output.nodata)

    def _unwritable(self, error: OSError) -> ResourceError:
        return ResourceError(
            f"The map cannot be written below '{self._folder.folder.parent}' ({error.strerror or error})",
            expected="a folder that may be written to, with room for the map uncompressed and compressed",
            remedy="make room and run the same command again; strips that are finished are not predicted again",
        )


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _json(path: Path) -> dict[str, Any] | None:
    """The content of a record; None where there is none, or none that was finished."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
