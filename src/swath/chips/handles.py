"""Open files that threads borrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from rasterio.io import DatasetReader

from swath.cubes.guard import open_raster
from swath.cubes.raster import RasterFile
from swath.errors import InputError

Key = tuple[str, tuple[int, int]]
"""Path and stamp of a file."""
_OPEN_FILES = 128


class Handles:
    """Open files that threads borrow, so that none is opened twice without need and none is left open.

    A GDAL dataset may be used by one thread at a time; two threads that read one file have two datasets.
    """

    def __init__(self) -> None:
        self._idle: dict[Key, list[DatasetReader]] = {}
        self._lock = Lock()

    @contextmanager
    def borrow(self, file: RasterFile) -> Iterator[DatasetReader]:
        """An open dataset for as long as the block runs.

        Raises:
            InputError: the file changed since the scene was opened, or disappeared.
            RasterioError: the file cannot be opened.
        """
        key = (file.path, file.stamp)
        with self._lock:
            idle = self._idle.get(key)
            if idle:
                dataset = idle.pop()
            else:
                _require_unchanged(file)
                dataset = open_raster(file.path)
        try:
            yield dataset
        finally:
            with self._lock:
                self._idle.setdefault(key, []).append(dataset)
                surplus = self._surplus()
            for old in surplus:
                old.close()

    def _surplus(self) -> list[DatasetReader]:
        """Datasets to close: those of the files that were borrowed first, where too many are open."""
        spare = sum(map(len, self._idle.values())) - _OPEN_FILES
        taken: list[DatasetReader] = []
        for datasets in self._idle.values():
            while datasets and len(taken) < spare:
                taken.append(datasets.pop())
        return taken

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            datasets = [dataset for idle in self._idle.values() for dataset in idle]
            self._idle.clear()
        for dataset in datasets:
            dataset.close()


def _require_unchanged(file: RasterFile) -> None:
    if file.stamp == (0, 0):  # an address, which has no such thing
        return
    path = Path(file.path)
    status = path.stat() if path.exists() else None
    if status is None or (status.st_mtime_ns, status.st_size) != file.stamp:
        raise InputError(
            f"The file '{file.path}' was changed or removed after it had been opened",
            expected="a file that stays as it is while it is in use",
            remedy="open the scene again",
        )
