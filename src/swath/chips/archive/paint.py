"""From observations in pixels to a label raster: windows around each, and one rule where they meet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.chips.archive.request import Conflict
from swath.types import IGNORE


def paint(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[Any], size: int, window: int, rule: Conflict
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Label every pixel within ``window`` pixels of an observation, whatever the order of the observations.

    A pixel belongs to the nearest observation in the maximum norm. Where observations at the same distance say
    different things, and with the rule ``unlabelled`` wherever windows that reach the pixel do, it stays without a
    label. Windows end at the edge of the chip.

    Args:
        rows: of the observations ``(P,)``, 0 to ``size`` - 1.
        columns: of the observations ``(P,)``.
        values: classes or quantities ``(P,)``.
        size: rows and columns of the chip.
        window: pixels on either side.
        rule: what happens where windows meet.

    Returns:
        labels float64 ``(y, x)``, NaN without one; and where there was a disagreement.
    """
    low = np.full((size, size), np.inf)
    high = np.full((size, size), -np.inf)
    settled = np.zeros((size, size), bool)
    numbers = np.asarray(values, np.float64)
    for distance in range(window + 1):
        # Chebyshev rings, the nearest first: a ring never touches what a nearer one has settled.
        y, x = _ring(distance)
        at_row, at_column = rows[:, None] + y, columns[:, None] + x
        inside = (at_row >= 0) & (at_row < size) & (at_column >= 0) & (at_column < size)
        place = (at_row[inside], at_column[inside])
        told = np.broadcast_to(numbers[:, None], inside.shape)[inside]
        open_ = np.ones(len(told), bool) if rule == "unlabelled" else ~settled[place]
        place, told = (place[0][open_], place[1][open_]), told[open_]
        np.minimum.at(low, place, told)
        np.maximum.at(high, place, told)
        settled[place] = True
    disagree = settled & (low != high)
    return np.where(settled & ~disagree, low, np.nan), disagree


def as_classes(labels: NDArray[np.float64]) -> NDArray[np.int16]:
    """Legend values int16, ``IGNORE`` for NaN."""
    return np.where(np.isnan(labels), IGNORE, labels).astype(np.int16)


def _ring(distance: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets of all pixels at one distance in the maximum norm."""
    side = np.arange(-distance, distance + 1)
    y, x = (grid.ravel() for grid in np.meshgrid(side, side, indexing="ij"))
    chosen = np.maximum(np.abs(y), np.abs(x)) == distance
    return y[chosen], x[chosen]
