"""Gaps: lines or blocks that the sensor, the downlink or the archive lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.judge.corruptions.view import View

_BLOCKS = 10
_THICKEST = 40


def lost(view: View, share: float) -> NDArray[np.bool_]:
    """Bool ``(B, T, 1, H, W)``: True where all bands of a pixel are lost.

    Per sample and date either lines across the frame fail (rows: scan lines; columns: detectors of a push-broom), each
    1 to 1/40 of the side thick, or blocks of a tenth of the side. Units fail in a random order until their share is
    reached, so the gaps of one severity are part of those of the next. At least one unit fails.
    """
    count, dates, _, height, width = view.shape
    found = np.zeros((count, dates, 1, height, width), np.bool_)
    for place, stream in enumerate(view.streams()):
        for date in range(dates):
            found[place, date, 0] = _failed(stream, height, width, share)
    return found


def gaps(view: View, mask: NDArray[np.bool_]) -> None:
    """Values become 0 on the unit scale where they are lost."""
    np.copyto(view.values.numpy(), np.float32(0), where=mask)


def _failed(stream: np.random.Generator, height: int, width: int, share: float) -> NDArray[np.bool_]:
    kind = stream.integers(0, 3)
    thick = int(stream.integers(1, max(1, min(height, width) // _THICKEST) + 1))
    rows = thick if kind == 0 else height if kind == 1 else max(1, height // _BLOCKS)
    columns = thick if kind == 1 else width if kind == 0 else max(1, width // _BLOCKS)
    down, across = -(-height // rows), -(-width // columns)
    order = stream.permutation(down * across).reshape(down, across)
    gone = order < max(1, round(share * down * across))
    return np.repeat(np.repeat(gone, rows, axis=0), columns, axis=1)[:height, :width]
