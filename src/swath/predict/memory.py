"""Give memory back: freed buffers of a long job must not stay behind as holes in the heap."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's mallopt(3)


@cache
def _libc() -> Any:
    """The C library where it is glibc, else None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except OSError:
        return None


def share_one_heap() -> bool:
    """Let all threads of the process take memory from one heap; says whether this C library can.

    Left alone, glibc gives every thread a heap of its own, and what a reading thread has freed cannot serve the model:
    half as much memory again. Mapping every large array on its own would save as much, but made a U-Net a fifth slower,
    because its activations then come as fresh pages every time.
    """
    library = _libc()
    return bool(library is not None and library.mallopt(_ARENA_MAX, 1))


def release_free_memory() -> None:
    """Return free pages of the heap to the system, where the C library can."""
    library = _libc()
    if library is not None:
        library.malloc_trim(0)
