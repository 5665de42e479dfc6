"""Speckle of multilooked radar images: gamma-distributed, correlated between neighbours, a function of place.

The power of a fully developed speckle pattern averaged over ``looks`` independent looks follows a gamma distribution
with mean 1 and variance ``1 / looks`` (Goodman 1976; Oliver and Quegan 2004, section 4.4). Pixels of a ground-range
product are closer than its resolution, so neighbours are alike: a Gaussian field with the wanted correlation is turned
into the gamma distribution by its quantiles (a Gaussian copula).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr

from swath.sources.world import noise

GRD_LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW ground range products in high resolution (product specification)."""

GRD_NEIGHBOUR = 0.5
"""Correlation of the Gaussian field one 10 m pixel apart: the resolution of these products is about 20 m."""

MARGIN = 1  # pixels that the kernel reaches
_QUANTILES = 4096
_REACH = 8.0  # standard deviations; hashed normal numbers never go beyond


def speckle(
    key: int, rows: NDArray[np.int64], columns: NDArray[np.int64], looks: float, neighbour: float = GRD_NEIGHBOUR
) -> NDArray[np.float32]:
    """Factors that multiply the power of each pixel.

    Args:
        key: of the acquisition and polarisation.
        rows: absolute numbers of the rows, consecutive ``(H,)``.
        columns: of the columns, consecutive ``(W,)``.
        looks: equivalent number of looks, positive; need not be whole.
        neighbour: correlation of the underlying Gaussian field one pixel apart, 0 to 0.6.

    Returns:
        float32 ``(H, W)``, mean 1 and variance ``1 / looks``.
    """
    if len(rows) == 0 or len(columns) == 0:
        return np.zeros((len(rows), len(columns)), np.float32)
    wide_rows = np.arange(rows[0] - MARGIN, rows[-1] + MARGIN + 1)
    wide_columns = np.arange(columns[0] - MARGIN, columns[-1] + MARGIN + 1)
    white = noise.normal(key, wide_rows[:, None], wide_columns[None, :])
    side = _side_weight(neighbour)
    scale = 1.0 / (1.0 + 2.0 * side**2)  # the kernel (side, 1, side) in both directions, of variance 1
    across = side * (white[:, :-2] + white[:, 2:]) + white[:, 1:-1]
    field = (side * (across[:-2] + across[2:]) + across[1:-1]) * scale
    at, quantiles = _table(float(looks))
    return np.interp(field, at, quantiles).astype(np.float32)


@lru_cache(maxsize=8)
def _table(looks: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of a standard normal number and the quantiles of the gamma distribution there."""
    at = np.linspace(-_REACH, _REACH, _QUANTILES)
    return at, gammaincinv(looks, np.clip(ndtr(at), 1e-300, 1.0 - 1e-16)) / looks


def _side_weight(neighbour: float) -> float:
    """Weight ``a`` of the kernel (a, 1, a) whose correlation one step apart, 2 a / (1 + 2 a^2), is ``neighbour``."""
    if neighbour == 0.0:
        return 0.0
    return float((1.0 - np.sqrt(1.0 - 2.0 * neighbour**2)) / (2.0 * neighbour))
