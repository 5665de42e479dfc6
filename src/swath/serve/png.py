"""Pictures with an alpha channel as PNG."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def encode(rgba: NDArray[np.uint8]) -> bytes:
    """Encode (4, y, x) as PNG (ISO/IEC 15948).

    GDAL could, but its writer warns, and to silence a warning is not safe among threads.
    """
    _, height, width = rgba.shape
    lines = np.zeros((height, 1 + 4 * width), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = np.moveaxis(rgba, 0, -1).reshape(height, 4 * width)
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    # Light compression: tiles are drawn far more often than they travel far.
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 2)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
