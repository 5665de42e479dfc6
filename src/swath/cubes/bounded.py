"""Zarr chunks that do not inflate beyond what their array declares.

A stored chunk of a kilobyte can hold gigabytes of zeros, and the codecs decode all of it before Zarr compares its
length with the shape of a chunk. Each chunk is therefore measured before a codec sees it: by the length in its header
(Zstandard, Blosc, LZ4), or by decoding it piece by piece without keeping anything (gzip, zlib, bzip2).
"""

from __future__ import annotations

import bz2
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swath.errors import InputError

SLACK = 32 * 2**20
"""Bytes that any chunk may take; smaller ones are not worth a look, and headers and padding stay below."""
MEASURED = frozenset({"zstd", "blosc", "lz4", "gzip", "zlib", "bz2"})
"""Compressors whose output can be measured before it is decoded."""
UNMEASURED = frozenset({"lzma", "zfpy", "pcodec"})
_PIECE = 2**20
_MOST_OF_DEFLATE = 1032  # RFC 1951: 258 bytes from two bits at best


def compressor_of(array: Mapping[str, Any], place: Path) -> str:
    """Name of the one compressor of an array from its metadata, empty without one.

    Raises:
        InputError: it has several, or one whose output cannot be measured, or hides one inside shards.
    """
    text = json.dumps([array.get("codecs"), array.get("compressor"), array.get("filters")])
    names = list(_names(json.loads(text)))
    compressors = [name for name in names if name in MEASURED | UNMEASURED]
    hidden = "sharding_indexed" in names and bool(compressors)
    if len(compressors) > 1 or hidden or set(compressors) & UNMEASURED:
        shown = "compressed shards" if hidden else " after ".join(compressors)
        raise InputError(
            f"'{place}' is stored with {shown}, whose decoded size cannot be told before decoding",
            expected=f"chunks with one compressor of {', '.join(sorted(MEASURED))}, and no compressed shards",
            remedy="ask for the store with one of those",
        )
    if compressors and "codecs" in array:
        after = names[names.index(compressors[0]) + 1 :]
        if set(after) - {"crc32c"}:
            raise InputError(
                f"'{place}' packs its compressed chunks once more, with {', '.join(after)[:60]}",
                expected="the compressor last, or a crc32c checksum behind it",
                remedy="ask for the store without it",
            )
    return compressors[0] if compressors else ""


def _names(codecs: Any) -> Iterator[str]:
    if isinstance(codecs, list):
        for codec in codecs:
            yield from _names(codec)
    elif isinstance(codecs, dict):
        yield str(codecs.get("id", codecs.get("name", ""))).removeprefix("numcodecs.")
        inner = codecs.get("configuration")
        yield from _names(inner.get("codecs") if isinstance(inner, dict) else None)


def check_chunk(codec: str, data: bytes, size: int, where: str) -> None:
    """Refuse a chunk that decodes to more than twice the declared bytes and more than ``SLACK``.

    Raises:
        InputError: see above.
    """
    most = max(2 * size, SLACK)
    if codec in MEASURED and decoded_length(codec, data, most) > most:
        raise InputError(
            f"The chunk '{where}' of {len(data)} bytes inflates to more than {most} bytes, where {size} are declared",
            expected="chunks that decode to what their array declares",
            remedy="do not use this store; it is damaged or made to exhaust the memory",
        )


def decoded_length(codec: str, data: bytes, most: int) -> int:
    """Bytes that a chunk decodes to, or more than ``most`` as soon as that is clear; 0 for what is no such stream."""
    if codec == "blosc":
        return int.from_bytes(data[4:8], "little") if len(data) >= 16 else 0
    if codec == "lz4":  # numcodecs writes the length in front of the block
        return int.from_bytes(data[:4], "little")
    if codec == "zstd":
        return _zstd_length(data, most)
    if codec in ("gzip", "zlib") and len(data) * _MOST_OF_DEFLATE <= most:
        return 0
    return _streamed(codec, data, most)


def _zstd_length(data: bytes, most: int) -> int:
    """All frames together, decoded piece by piece: a frame need not tell its length, and several may follow."""
    import pyarrow

    total = 0
    try:
        with pyarrow.CompressedInputStream(io.BytesIO(data), "zstd") as stream:
            while total <= most and (piece := stream.read(_PIECE)):
                total += len(piece)
    except (OSError, ValueError):  # damaged, which the codec itself will say
        return total
    return total


def _streamed(codec: str, data: bytes, most: int) -> int:
    """Length of gzip, zlib or bzip2 data, whose members may follow each other."""
    total = 0
    try:
        while data and total <= most:
            if codec == "bz2":
                total, data = _bz2_member(data, total, most)
            else:
                total, data = _deflate_member(data, total, most)
    except (OSError, EOFError, zlib.error):  # damaged, which the codec itself will say
        return total
    return total


def _bz2_member(data: bytes, total: int, most: int) -> tuple[int, bytes]:
    member = bz2.BZ2Decompressor()
    piece = member.decompress(data, _PIECE)
    while total <= most and not member.eof and (piece or not member.needs_input):
        total += len(piece)
        piece = member.decompress(b"", _PIECE)
    return total + len(piece), member.unused_data if member.eof else b""


def _deflate_member(data: bytes, total: int, most: int) -> tuple[int, bytes]:
    member = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as its header says
    while data and total <= most and not member.eof:
        total += len(member.decompress(data, _PIECE))
        data = member.unconsumed_tail
    return total, member.unused_data
