"""Where the blocks of a GeoTIFF lie, from its header alone, and how they are decoded (async-tiff).

Read here: tiled files, deflate, LZW, Zstandard or no compression, no predictor or predictor 2 or 3, whole and floating
numbers of 8 to 64 bits, bands by pixel, an internal mask. Anything else is GDAL's to read (``UnsupportedError``),
several bands stored one after another too: async-tiff 0.7 undoes their predictor wrongly.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swath.cubes.remote.answers import plain
from swath.cubes.remote.connection import EXTRA, Connection
from swath.cubes.remote.index import Header
from swath.errors import InputError, SwathError, require
from swath.reading import reading

T = TypeVar("T")
PREFETCH = 32 * 1024
"""Bytes of the first request for a header: the headers of usual COGs fit."""
_COMPRESSIONS = frozenset({1, 5, 8, 32946, 50000})
"""None, LZW, deflate, its older number, Zstandard."""
_PREDICTORS = frozenset({1, 2, 3})
"""None, horizontal, floating point."""
_KINDS = {"Uint": "u", "Int": "i", "Float": "f"}
_WIDTHS = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (32, 64)}
_EXPECTED = "a complete GeoTIFF or COG on a server that gives parts of files"


class UnsupportedError(InputError):
    """A file is sound as far as one can see, but not of the kind that is read here."""

    @classmethod
    def because(cls, why: str) -> UnsupportedError:
        """The error for a reason such as ``it is stored in strips``."""
        expected = "tiles with deflate, LZW, Zstandard or no compression, bands by pixel, no alpha band"
        return cls(why, expected=expected, remedy="open it with cubes.open, which leaves it to GDAL")


@dataclass(frozen=True)
class Layout:
    """Blocks of one image of a file.

    Args:
        position: place of the image in the file.
        shape: rows and columns [pixels].
        block: rows and columns of a block.
        starts: first byte of each block, row by row.
        lengths: bytes of each block, 0 where the file does not store it.
    """

    position: int
    shape: tuple[int, int]
    block: tuple[int, int]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def across(self) -> int:
        """Blocks in a row of blocks."""
        return -(-self.shape[1] // self.block[1])


class Source:
    """What async-tiff reads from: bytes that are known, else the server. Only for threads that asked for something."""

    def __init__(self, ask: Callable[[int, int], bytes]) -> None:
        self.ask = ask
        self.trouble: SwathError | None = None
        self._held = threading.local()

    def hold(self, pieces: dict[tuple[int, int], bytes]) -> None:
        """Give this thread bytes to read next."""
        self._held.pieces = pieces

    async def get_range_async(self, path: str, *, start: int, end: int | None = None, length: int | None = None) -> Any:
        """One range."""
        stop = end if end is not None else start + (length or 0)
        found: bytes | None = getattr(self._held, "pieces", {}).get((start, stop))
        try:
            return self.ask(start, stop) if found is None else found
        except SwathError as error:  # async-tiff would make a text of it
            self.trouble = error
            raise

    async def get_ranges_async(
        self,
        path: str,
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> Any:
        """Several ranges."""
        stops = ends if ends is not None else [a + b for a, b in zip(starts, lengths or (), strict=True)]
        return [await self.get_range_async(path, start=a, end=b) for a, b in zip(starts, stops, strict=True)]


def read_header(address: str, connection: Connection) -> Header:
    """Fetch the bytes that tell the layout of a file.

    Raises:
        MissingError: the server cannot be reached or refuses.
        InputError: the file is no TIFF.
    """
    pieces: dict[int, bytes] = {}
    facts: dict[str, Any] = {"size": None, "tag": ""}

    def ask(start: int, stop: int) -> bytes:
        for low, content in pieces.items():
            if low <= start and stop <= low + len(content):
                return content[start - low : stop - low]
        span = connection.span(address, start, stop, tag=facts["tag"], counted="header_requests")
        pieces[start] = span.content
        facts.update(size=span.total, tag=span.tag)
        return span.content

    _parse(address, Source(ask))
    connection.report.add("headers_read")
    size = facts["size"]
    if size is None:
        size = max(low + len(content) for low, content in pieces.items())
    return Header(address, int(size), str(facts["tag"]), _joined(pieces))


def _joined(pieces: dict[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    """Pieces in order, neighbours and overlapping ones as one."""
    out: list[tuple[int, bytes]] = []
    for start in sorted(pieces):
        content = pieces[start]
        if out and start <= out[-1][0] + len(out[-1][1]):
            low, before = out[-1]
            out[-1] = (low, before + content[low + len(before) - start :])
        elif content:
            out.append((start, content))
    return tuple(out)


class Blocks:
    """The images of a file as its header tells them, and their decoder.

    Args:
        header: its bytes.

    Raises:
        UnsupportedError: it is of another kind than those read here.
        InputError: the header is damaged.
    """

    def __init__(self, header: Header) -> None:
        self.header = header

        def ask(start: int, stop: int) -> bytes:
            found = header.find(start, stop)
            if found is None:
                raise ValueError(f"the header names bytes {start} to {stop}, which are not part of it")
            return found

        self._source = Source(ask)
        self._tiff = _parse(header.address, self._source)
        with reading(plain(header.address), expected=_EXPECTED):
            images = list(self._tiff.ifds)
            self.data = _layout(images[0], 0)
            _check_readable(images[0])
            masks = [index for index, image in enumerate(images) if index and _is_mask(image)]
            same = [i for i in masks if (images[i].image_height, images[i].image_width) == self.data.shape]
            if same:
                _check_readable(images[same[0]], mask=True)
            self.mask = _layout(images[same[0]], same[0]) if same else None

    def decode(self, layout: Layout, numbers: Sequence[int], contents: Sequence[bytes]) -> list[NDArray[Any]]:
        """Blocks of an image, each ``(rows, columns, band)``; parts beyond the image's edge are not cut off.

        Args:
            layout: of the image.
            numbers: which blocks.
            contents: their stored bytes.

        Raises:
            InputError: a block is damaged.
        """
        registry = require("async_tiff", EXTRA).DecoderRegistry()
        places = [(number % layout.across, number // layout.across) for number in numbers]
        starts = layout.starts[list(numbers)].tolist()
        held = {(start, start + len(content)): content for start, content in zip(starts, contents, strict=True)}
        image = self._tiff.ifds[layout.position]

        async def fetch() -> Any:
            return await image.fetch_tiles(places)

        with reading(plain(self.header.address), expected="blocks that can be decoded"):
            self._source.hold(held)
            try:
                tiles = _complete(fetch)
            finally:
                self._source.hold({})
            return [_pixels_last(np.asarray(tile.decode_sync(decoder_registry=registry)), layout) for tile in tiles]


def _parse(address: str, source: Source) -> Any:
    module = require("async_tiff", EXTRA)

    async def parse() -> Any:
        return await module.TIFF.open("file", store=source, prefetch=PREFETCH)

    with reading(plain(address), expected=_EXPECTED, remedy="check the address, and that the file is a raster"):
        try:
            return _complete(parse)
        except Exception:
            if source.trouble is not None:
                raise source.trouble from None
            raise


def _layout(image: Any, position: int) -> Layout:
    if image.tile_width is None or image.tile_height is None:
        raise UnsupportedError.because("it is stored in strips, not in tiles")
    shape = (int(image.image_height), int(image.image_width))
    block = (int(image.tile_height), int(image.tile_width))
    starts = np.asarray(image.tile_offsets, dtype=np.int64)
    lengths = np.asarray(image.tile_byte_counts, dtype=np.int64)
    if min(*shape, *block) < 1:
        raise ValueError(f"an image of {shape} pixels in blocks of {block}")
    wanted = -(-shape[0] // block[0]) * -(-shape[1] // block[1])
    planes = int(image.samples_per_pixel) if image.planar_configuration.name == "Planar" else 1
    if planes > 1:
        raise UnsupportedError.because("its bands are stored one after another")
    if len(starts) != wanted or len(lengths) != wanted or (lengths < 0).any() or (starts < 0).any():
        raise ValueError(f"{len(starts)} blocks, and {wanted} are needed")
    return Layout(position, shape, block, starts, lengths)


def _check_readable(image: Any, mask: bool = False) -> None:
    if int(image.compression) not in _COMPRESSIONS:
        raise UnsupportedError.because(f"its compression is {getattr(image.compression, 'name', image.compression)}")
    if image.predictor is not None and int(image.predictor) not in _PREDICTORS:
        raise UnsupportedError.because(f"its predictor has the number {int(image.predictor)}")
    bits, kinds = set(image.bits_per_sample), {entry.name for entry in image.sample_format}
    if mask:
        if not bits <= {1, 8} or image.samples_per_pixel != 1:
            raise UnsupportedError.because("its mask has an unusual type")
        return
    kind = _KINDS.get(next(iter(kinds)), "") if len(kinds) == 1 else ""
    if len(bits) != 1 or next(iter(bits)) not in _WIDTHS.get(kind, ()):
        raise UnsupportedError.because(f"its numbers are {', '.join(sorted(kinds))} of {sorted(bits)} bits")
    if any(entry.name in ("AssociatedAlpha", "UnassociatedAlpha") for entry in image.extra_samples or ()):
        raise UnsupportedError.because("it has an alpha band")
    if image.photometric_interpretation.name not in ("BlackIsZero", "RGB", "RGBPalette"):
        raise UnsupportedError.because(f"its colours are {image.photometric_interpretation.name}")


def _is_mask(image: Any) -> bool:
    kind = image.new_subfile_type
    return kind is not None and bool(kind & 4) and not kind & 1


def _pixels_last(block: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """A decoded block as ``(rows, columns, band)``."""
    if block.shape[:2] == layout.block:
        return block
    if block.ndim == 3 and block.shape[1:] == layout.block:
        return block.transpose(1, 2, 0)
    raise ValueError(f"a block of {block.shape} instead of {layout.block} pixels")


class _Loop:
    """An event loop that is closed with its thread."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()

    def __del__(self) -> None:
        if self.process == os.getpid():
            self.loop.close()


class _Loops(threading.local):
    """A loop for each thread that reads: making one for every few blocks takes as long as decoding one."""

    def __init__(self) -> None:
        self.held = _Loop()
        self.inherited: list[_Loop] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end."""
        if self.held.process != os.getpid():  # a forked process shares its parent's loop, which it must not touch
            self.inherited.append(self.held)
            self.held = _Loop()
        return self.held.loop.run_until_complete(work)


_loops = _Loops()


def _complete(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end; in a thread of its own where this one runs an event loop (notebooks)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _loops.run(make())
    out: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            out.append(asyncio.run(make()))
        except BaseException as error:  # it belongs to the thread that asked
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return out[0]
