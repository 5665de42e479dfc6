"""Many windows of many files at once, on servers or on disk: where each alone would wait, all wait together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swath.cubes import raster
from swath.cubes.raster import FAR, RasterFile, read_window
from swath.cubes.remote.connection import Connection
from swath.cubes.remote.file import RemoteFile, probe, shared_connection
from swath.cubes.remote.index import HeaderIndex
from swath.cubes.remote.part import Part
from swath.cubes.remote.plan import Window
from swath.errors import ContractError, MissingError

T = TypeVar("T")
R = TypeVar("R")


def probe_all(
    places: Sequence[str], connection: Connection | None = None, index: HeaderIndex | None = None
) -> list[RasterFile]:
    """What files on servers or on disk declare, in order; headers that are not known are fetched side by side.

    Args:
        places: addresses and paths.
        connection: how servers are asked; the open one of this process when left out.
        index: where headers are kept; the user's when left out.

    Raises:
        InputError: a file is missing, damaged, no raster, or lies nowhere on Earth.
        MissingError: a server cannot be reached or refuses.
    """

    def one(place: str) -> RasterFile:
        return probe(place, connection, index) if _is_far(place) else raster.probe(place)

    return side_by_side(one, places, waiting(places, connection) if any(map(_is_far, places)) else 1)


def read_windows(files: Sequence[RasterFile], windows: Sequence[Sequence[Window]]) -> list[list[NDArray[Any]]]:
    """Windows of each of some files, each ``(band, y, x)`` as stored; no block of a file is decoded twice.

    Args:
        files: as ``probe_all`` or ``cubes.raster.probe`` tell them.
        windows: of each file, inside of it.

    Raises:
        ContractError: not one list of windows for each file.
        InputError: a window leaves its file, or a file is damaged or was changed.
        MissingError: a server cannot be reached or refuses.
    """
    if len(files) != len(windows):
        raise ContractError(
            f"{len(files)} files came with {len(windows)} lists of windows",
            expected="one list of windows for each file",
            remedy="give [] for a file of which nothing is wanted",
        )
    pairs = list(zip(files, windows, strict=True))
    return side_by_side(lambda pair: windows_of(*pair), pairs, waiting([file.path for file in files]))


def windows_of(
    file: RasterFile, windows: Sequence[Window], bands: Sequence[int] | None = None, *, masks: bool = False
) -> list[NDArray[Any]]:
    """Windows of one file ``(band, y, x)`` as stored, or with ``masks`` the shared mask of each band.

    Raises:
        InputError: as ``read_windows``.
        MissingError: as ``read_windows``.
    """
    chosen = tuple(range(file.count)) if bands is None else tuple(bands)
    if isinstance(file.reader, RemoteFile):
        if not masks:
            return file.reader.windows(windows, chosen)
        return [np.broadcast_to(valid, (len(chosen), *valid.shape)) for valid in file.reader.masks(windows)]
    if isinstance(file.reader, Part):
        (top, _), (left, _) = file.reader.window
        moved = [((a + top, b + top), (c + left, d + left)) for (a, b), (c, d) in windows]
        return windows_of(file.reader.base, moved, chosen, masks=masks)
    # Neighbours one after another, so that GDAL still holds the blocks that they share.
    order = sorted(range(len(windows)), key=lambda at: (windows[at][0][0] // file.block[0], windows[at][1][0]))
    found = {at: read_window(file, chosen, *windows[at], masks=masks) for at in order}
    return [found[at] for at in range(len(windows))]


def waiting(places: Sequence[str], connection: Connection | None = None) -> int:
    """How many threads read files at the same time: as many as a connection has where servers are waited for."""
    if any(_is_far(place) for place in places):
        try:
            return (connection or shared_connection()).connections
        except MissingError:  # without the extra GDAL reads, and waits as long
            return 32
    return min(4, os.cpu_count() or 1)


def side_by_side(work: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """Results of ``work`` in the order of the items."""
    if len(items) < 2 or threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), thread_name_prefix="swath-files") as pool:
        return list(pool.map(work, items))


def _is_far(place: str) -> bool:
    return place.startswith(FAR)
