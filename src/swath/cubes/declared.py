"""What NetCDF and Zarr stores declare, checked before a library allocates, follows or decodes any of it.

HDF5 can keep data in other files (external links, external storage, virtual data sets), form endless groups, and
declare arrays and chunks of any size; Zarr names its codecs in JSON, one of which unpickles what it reads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swath import limits
from swath.cubes.bounded import compressor_of
from swath.errors import InputError
from swath.reading import read_json

CODECS = frozenset(
    {
        "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "cast_value", "crc32", "crc32c", "delta",
        "fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits", "pcodec",
        "quantize", "scale_offset", "sharding_indexed", "shuffle", "transpose", "vlen-bytes", "vlen-utf8", "zfpy",
        "zlib", "zstd",
    }
)  # fmt: skip
"""Zarr codecs that turn bytes into numbers or text and nothing else; ``pickle`` is not among them."""
_DEEPEST = 32


def check_netcdf(path: Path) -> None:
    """Refuse an HDF5 file that leads to other files, or declares more than the limits.

    Raises:
        InputError: see above. Errors of HDF5 itself pass through.
    """
    import h5py

    with h5py.File(path, "r") as file:
        seen: set[Any] = set()
        waiting: list[tuple[Any, int]] = [(file, 0)]
        while waiting:
            group, depth = waiting.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise _leads_out(path, f"links to the file '{link.filename[:80]}'")
                member = group.get(name)
                if member is None:
                    continue
                address = h5py.h5o.get_info(member.id).addr
                if isinstance(member, h5py.Dataset) and address not in seen:
                    _check_hdf5_array(path, member)
                elif isinstance(member, h5py.Group):
                    if address in seen or depth >= _DEEPEST:
                        raise _endless(path)
                    waiting.append((member, depth + 1))
                seen.add(address)
                limits.STORE_NODES.check(len(seen), path)


def _check_hdf5_array(path: Path, array: Any) -> None:
    if array.external:
        raise _leads_out(path, f"keeps '{array.name}' in the file '{str(array.external[0][0])[:80]}'")
    if array.is_virtual and any(source.file_name != "." for source in array.virtual_sources()):
        raise _leads_out(path, f"composes '{array.name}' of other files")
    shape = array.shape or ()
    _check_array(path, shape, array.chunks or (), array.dtype.itemsize)


def check_zarr(path: Path) -> dict[str, tuple[str, int]]:
    """Refuse a Zarr store with codecs that could run code, or that declares more than the limits.

    Returns:
        For every array by its path in the store: its compressor, and the bytes of one of its chunks.

    Raises:
        InputError: see above, or metadata are no JSON.
    """
    found = {}
    for count, (place, array) in enumerate(_zarr_arrays(path), start=1):
        limits.STORE_NODES.check(count, path)
        version3 = "codecs" in array
        codecs = array.get("codecs", []) if version3 else [array.get("compressor"), *(array.get("filters") or [])]
        for name in _codec_names(codecs, place):
            if name.removeprefix("numcodecs.") not in CODECS:
                raise InputError(
                    f"'{place}' is stored with the codec '{name[:40]}'",
                    expected="codecs that hold numbers, such as blosc, zstd and gzip; others could run code when read",
                    remedy="ask for the store with one of those",
                )
        grid = array.get("chunk_grid") if version3 else None
        settings = grid.get("configuration") if isinstance(grid, dict) else None
        chunks = settings.get("chunk_shape") if isinstance(settings, dict) else array.get("chunks")
        size = _item_size(array.get("data_type" if version3 else "dtype"))
        lengths = _lengths(chunks, place)
        _check_array(place, _lengths(array.get("shape"), place), lengths, size)
        name = "" if place == path else place.relative_to(path).as_posix()
        found[name] = (compressor_of(array, place), math.prod(lengths) * size)
    return found


def _zarr_arrays(root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Metadata of every array, without looking among the chunks of any."""
    for count, (place, folders, files) in enumerate(os.walk(root)):
        limits.STORE_NODES.check(count, root)
        if len(Path(place).relative_to(root).parts) > _DEEPEST:
            raise _endless(root)
        folders.sort()
        found = [name for name in (".zarray", "zarr.json") if name in files]
        for name in found:
            content = read_json(Path(place) / name, expected="the metadata of a Zarr array or group")
            if not isinstance(content, dict):
                raise InputError(
                    f"'{Path(place) / name}' holds no metadata",
                    expected="a JSON object as Zarr writes it",
                    remedy="fetch the store again",
                )
            if name == ".zarray" or content.get("node_type") == "array":
                folders.clear()
                yield Path(place), content


def _codec_names(codecs: object, place: Path, depth: int = 0) -> Iterator[str]:
    """Names of codecs, those inside of shards included."""
    if not isinstance(codecs, list) or depth > 4:
        raise InputError(
            f"'{place}' names its codecs in a way that Zarr does not know",
            expected="a list of codecs",
            remedy="fetch the store again",
        )
    for codec in codecs:
        if isinstance(codec, dict):
            yield str(codec.get("id", codec.get("name", "")))
            inner = codec.get("configuration")
            if isinstance(inner, dict):
                for key in ("codecs", "index_codecs"):
                    if key in inner:
                        yield from _codec_names(inner[key], place, depth + 1)
        elif codec is not None:
            yield str(codec)


def _lengths(value: object, place: Path) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        raise InputError(
            f"'{place}' declares the shape {str(value)[:60]}",
            expected="whole numbers, for the array and for its chunks",
            remedy="fetch the store again",
        )
    return tuple(value)


def _item_size(kind: object) -> int:
    """Bytes of one number of a Zarr type; 8 where it has no fixed size or no known name."""
    import numpy as np

    try:
        return np.dtype(str(kind)).itemsize or 8
    except (TypeError, ValueError):
        return 8


def _check_array(where: Path, shape: Sequence[int], chunks: Sequence[int], size: int) -> None:
    limits.SIDE.check(max(shape, default=0), where)
    limits.NUMBERS.check(math.prod(shape), where)
    if chunks:
        limits.BLOCK_BYTES.check(math.prod(chunks) * size, where)
        limits.CHUNKS.check(math.prod(_counts(shape, chunks)), where)


def _counts(shape: Iterable[int], chunks: Iterable[int]) -> Iterator[int]:
    return (-(-length // max(1, chunk)) for length, chunk in zip(shape, chunks, strict=False))


def _leads_out(path: Path, what: str) -> InputError:
    return InputError(
        f"'{path}' {what}, which swath does not follow from inside a file",
        expected="a store that holds its own data",
        remedy="copy the data into one file, for example with 'nccopy' or 'h5repack'",
    )


def _endless(path: Path) -> InputError:
    return InputError(
        f"The groups of '{path}' lie in each other, or nest more than {_DEEPEST} deep",
        expected="groups that form a tree",
        remedy="fetch the store again",
    )
