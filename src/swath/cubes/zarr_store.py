"""A Zarr store that measures each chunk before a codec decodes it; on its own, because importing zarr is slow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

from swath.cubes.bounded import check_chunk


class BoundedStore(WrapperStore[LocalStore]):
    """A local Zarr store, read-only, whose chunks are measured when they are read.

    Args:
        store: the store itself.
        arrays: for every array by its path in the store, its compressor and the bytes of one chunk.
    """

    def __init__(self, store: LocalStore, arrays: Mapping[str, tuple[str, int]]) -> None:
        super().__init__(store)
        self._arrays = arrays

    def _with_store(self, store: LocalStore) -> BoundedStore:
        return type(self)(store, self._arrays)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key; refuses a chunk that would inflate beyond its array's chunk."""
        found = await super().get(key, prototype, byte_range)
        name = key.rsplit("/", 1)[-1]
        if found is not None and not name.startswith(".z") and name != "zarr.json":
            for place, (codec, size) in self._arrays.items():
                if not place or key.startswith(place + "/"):
                    check_chunk(codec, found.to_bytes(), size, key)
                    break
        return found

    async def get_partial_values(self, prototype: BufferPrototype, key_ranges: Any) -> list[Buffer | None]:
        """Several pieces, each through ``get``."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]


def bounded(path: Path, arrays: Mapping[str, tuple[str, int]]) -> BoundedStore:
    """A store at a local path whose chunks are measured; ``arrays`` as in ``BoundedStore``."""
    return BoundedStore(LocalStore(path, read_only=True), arrays)
