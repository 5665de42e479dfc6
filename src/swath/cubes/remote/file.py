"""One GeoTIFF on a web server: its header read once, windows of it by ranges, each needed block decoded once a read."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import limits
from swath.cubes.raster import RasterFile, chunks_of, probe_with_gdal
from swath.cubes.remote.answers import plain
from swath.cubes.remote.connection import Connection, Span
from swath.cubes.remote.index import Header, HeaderIndex
from swath.cubes.remote.layout import Blocks, Layout, UnsupportedError, read_header
from swath.cubes.remote.plan import Run, Window, blocks_of, runs_of
from swath.errors import InputError, MissingError

LOG = logging.getLogger("swath.cubes.remote")
_said: set[str] = set()


@dataclass(frozen=True)
class _Opened:
    """What was learned from a header."""

    header: Header
    blocks: Blocks
    facts: RasterFile


class RemoteFile:
    """A tiled GeoTIFF that is read by ranges; threads share it, and other processes open it anew.

    Args:
        address: the file, unsigned.
        connection: how its server is asked.
        index: where headers are kept.

    Raises:
        UnsupportedError: it is sound, but GDAL's to read.
        MissingError: its server cannot be reached or refuses.
        InputError: it is no raster, damaged, or lies nowhere on Earth.
    """

    def __init__(self, address: str, connection: Connection, index: HeaderIndex) -> None:
        self.address = address
        self.connection = connection
        self.index = index
        self._lock = threading.Lock()
        self._opened = self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("address", "connection", "index")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def facts(self) -> RasterFile:
        """What the file declares, with this as its reader."""
        return replace(self._opened.facts, reader=self)

    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Heights and widths of chunks that split no stored block."""
        return chunks_of(self._opened.facts)

    def read(
        self, bands: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int], *, masks: bool
    ) -> NDArray[Any]:
        """Bands (0-based) ``(band, y, x)`` of a window, or with ``masks`` the shared mask of each.

        Raises:
            MissingError: the server cannot be reached or refuses.
            InputError: the file is damaged, or was changed.
        """
        if not masks:
            return self.windows([(rows, columns)], bands)[0]
        (valid,) = self.masks([(rows, columns)])
        return np.broadcast_to(valid, (len(bands), *valid.shape))

    def windows(self, windows: Sequence[Window], bands: Sequence[int] | None = None) -> list[NDArray[Any]]:
        """Many windows of the file at once, each ``(band, y, x)``; blocks that they share are decoded once.

        Args:
            windows: rows and columns inside the file.
            bands: 0-based; all when left out.

        Raises:
            MissingError: the server cannot be reached or refuses.
            InputError: a window leaves the file, or the file is damaged or was changed.
        """
        chosen = list(range(self._opened.facts.count)) if bands is None else list(bands)
        nodata = self._opened.facts.nodata[0]
        kind = self._opened.facts.dtype
        fill = _fill(nodata, kind)
        outs = [np.full((len(chosen), b - t, r - le), fill, kind) for (t, b), (le, r) in windows]
        self._fill_in(windows, outs, chosen, masks=False)
        return outs

    def masks(self, windows: Sequence[Window]) -> list[NDArray[np.bool_]]:
        """The mask that all bands share in many windows, each ``(y, x)``, True where valid."""
        outs = [np.full((1, b - t, r - le), self._opened.blocks.mask is None) for (t, b), (le, r) in windows]
        if self._opened.blocks.mask is not None:
            self._fill_in(windows, outs, [0], masks=True)
        return [out[0] for out in outs]

    def _fill_in(
        self, windows: Sequence[Window], outs: Sequence[NDArray[Any]], bands: Sequence[int], masks: bool
    ) -> None:
        """Fetch, decode and place what windows need; where the header was of an older file, begin again once."""
        for window in windows:
            self._check_inside(window)
        opened = self._opened
        for again in (False, True):
            try:
                self._fetch(opened, windows, outs, bands, masks)
                return
            except _ChangedError as error:
                if again:
                    raise _changed(self.address) from error
                opened = self._reopen(opened)

    def _fetch(
        self,
        opened: _Opened,
        windows: Sequence[Window],
        outs: Sequence[NDArray[Any]],
        bands: Sequence[int],
        masks: bool,
    ) -> None:
        layout = opened.blocks.mask if masks else opened.blocks.data
        assert layout is not None
        report = self.connection.report
        needed = blocks_of(windows, layout.block, layout.across)
        stored = needed[layout.lengths[needed] > 0]
        report.add("blocks_needed", len(needed))
        report.add("blocks_absent", len(needed) - len(stored))
        if not len(stored):
            return
        limits.BLOCK_BYTES.check(int(layout.lengths[stored].max()), plain(self.address))
        starts, lengths = layout.starts[stored], layout.lengths[stored]
        runs = runs_of(starts, lengths)
        report.add("runs", len(runs))

        def work(run: Run) -> None:
            content = self._bytes(opened.header, run)
            members = list(run.members)
            pieces = [content[int(starts[i]) - run.start :][: int(lengths[i])] for i in members]
            numbers = [int(stored[i]) for i in members]
            for number, block in zip(numbers, opened.blocks.decode(layout, numbers, pieces), strict=True):
                report.add("blocks_decoded")
                _place(block, number, layout, windows, outs, bands)

        self.connection.side_by_side(work, runs)

    def _bytes(self, header: Header, run: Run) -> bytes:
        span: Span = self.connection.span(self.address, run.start, run.stop, counted="run_requests")
        if (header.tag and span.tag and span.tag != header.tag) or span.total not in (None, header.size):
            raise _ChangedError
        if len(span.content) < run.stop - run.start:
            raise InputError(
                f"{plain(self.address)} is truncated: it ends before byte {run.stop}, where a stored block ends",
                expected="a complete file",
                remedy="ask those who keep the archive, or take another scene",
            )
        return span.content

    def _open(self) -> _Opened:
        header = self.index.get(self.address)
        if header is not None:
            try:
                opened = self._learn(header)
                self.connection.report.add("headers_known")
                return opened
            except UnsupportedError:
                raise
            except InputError:  # what was kept of it is damaged
                self.index.forget(self.address)
        header = read_header(self.address, self.connection)
        opened = self._learn(header)
        self.index.put(header)
        return opened

    def _learn(self, header: Header) -> _Opened:
        return _Opened(header, Blocks(header), _facts(header))

    def _reopen(self, opened: _Opened) -> _Opened:
        """Read the header anew, as the file was changed since; the new one must describe the same image."""
        with self._lock:
            if self._opened is opened:
                self.index.forget(self.address)
                new = self._open()
                if not _alike(new.facts, opened.facts):
                    raise _changed(self.address)
                self._opened = new
            return self._opened

    def _check_inside(self, window: Window) -> None:
        (height, width), ((top, bottom), (left, right)) = self._opened.facts.geobox.shape.yx, window
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise InputError(
                f"The window of rows {top} to {bottom} and columns {left} to {right} leaves {plain(self.address)}",
                expected=f"rows within 0 to {height} and columns within 0 to {width}, none of them empty",
                remedy="cut the window at the edges of the image",
            )


class _ChangedError(Exception):
    """A file is another one than its header says."""


def probe(address: str, connection: Connection | None = None, index: HeaderIndex | None = None) -> RasterFile:
    """What a raster on a web server declares, with a reader of its windows; where it is of a kind that is not read by
    ranges here, or the extra ``stac`` is not installed, GDAL reads it, and the log says so once for each reason.

    Args:
        address: http, https, or s3 (``buckets``).
        connection: how its server is asked; an open one when left out.
        index: where headers are kept; the user's when left out.

    Raises:
        MissingError: its server cannot be reached or refuses.
        InputError: it is no raster, damaged, or lies nowhere on Earth.
    """
    try:
        connection = connection or shared_connection()
    except MissingError as error:
        return _fall_back(address, address, error.given, None)
    try:
        return RemoteFile(address, connection, index or HeaderIndex.of_user()).facts
    except UnsupportedError as error:
        signed, _ = connection.signed(address)
        return _fall_back(address, signed, error.given, connection)


_shared: list[Connection] = []


def shared_connection() -> Connection:
    """The open connection of this process for addresses that belong to no archive."""
    if not _shared:
        _shared.append(Connection())
    return _shared[0]


def _fall_back(address: str, signed: str, why: str, connection: Connection | None) -> RasterFile:
    if connection is not None:
        connection.report.fell_back(address, why)
    if why not in _said:
        _said.add(why)
        LOG.warning("GDAL reads %s and other files for the same reason: %s", plain(address), why)
    return probe_with_gdal(signed)


def _facts(header: Header) -> RasterFile:
    """What a header declares, in GDAL's reading: it is shown the header in a file of the full size with holes."""
    with tempfile.TemporaryDirectory(prefix="swath-header-") as folder:
        mirror = Path(folder) / "header.tif"
        with mirror.open("wb") as file:
            for start, content in header.pieces:
                file.seek(start)
                file.write(content)
            file.truncate(header.size)
        try:
            facts = probe_with_gdal(mirror)
        except InputError as error:
            name = plain(header.address)
            raise InputError(
                error.given.replace(str(mirror), name),
                expected=error.expected,
                remedy=error.remedy.replace(str(mirror), name),
            ) from None
    digest = hashlib.sha256(header.tag.encode()).digest()
    return replace(facts, path=header.address, stamp=(int.from_bytes(digest[:7], "big"), header.size))


def _alike(new: RasterFile, old: RasterFile) -> bool:
    return (new.geobox, new.dtype, new.count, new.nodata) == (old.geobox, old.dtype, old.count, old.nodata)


def _place(
    block: NDArray[Any],
    number: int,
    layout: Layout,
    windows: Sequence[Window],
    outs: Sequence[NDArray[Any]],
    bands: Sequence[int],
) -> None:
    """Copy a decoded block ``(rows, columns, band)`` into the windows that touch it."""
    y0, x0 = number // layout.across * layout.block[0], number % layout.across * layout.block[1]
    y1, x1 = min(y0 + layout.block[0], layout.shape[0]), min(x0 + layout.block[1], layout.shape[1])
    for ((top, bottom), (left, right)), out in zip(windows, outs, strict=True):
        a, b, c, d = max(top, y0), min(bottom, y1), max(left, x0), min(right, x1)
        if a < b and c < d:
            part = block[a - y0 : b - y0, c - x0 : d - x0]
            out[:, a - top : b - top, c - left : d - left] = part[..., bands].transpose(2, 0, 1)


def _fill(nodata: float | None, kind: np.dtype[Any]) -> Any:
    """What GDAL gives for blocks that a file does not store: no data where declared and possible, else 0."""
    if nodata is None or (kind.kind != "f" and not float(nodata).is_integer()):
        return kind.type(0)
    if kind.kind in "iu" and not np.iinfo(kind).min <= nodata <= np.iinfo(kind).max:
        return kind.type(0)
    return kind.type(nodata)


def _changed(address: str) -> InputError:
    return InputError(
        f"{plain(address)} was changed while it was read",
        expected="a file that stays as it is",
        remedy="open the scene again",
    )
