"""Tables over a few quantities, read by multilinear interpolation for many pixels at once.

The weights of a pixel's neighbours form one row of a sparse matrix, whose product with the table reads all bands in one
pass. Each row is summed by itself in a fixed order, so a pixel's value does not depend on which others it comes with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Table:
    """Values on a grid of nodes.

    Args:
        axes: rising nodes of each of the D axes, at least two each.
        values: float32 ``(n_1, ..., n_D, C)``.
    """

    axes: tuple[Values, ...]
    values: Values

    def at(self, places: Sequence[Values]) -> Values:
        """Values ``(N, C)``, float32, at places ``(N,)`` along each axis; places beyond the ends are moved to them."""
        count = places[0].size
        # One contiguous row per corner: short inner axes would cost more than the sums themselves.
        indices, weights = [np.zeros(count, np.int32)], [np.ones(count, np.float32)]
        for nodes, place in zip(self.axes, places, strict=True):
            left, share = _cell(nodes, place)
            rest = np.float32(1) - share
            firsts = [index * np.int32(nodes.size) + left for index in indices]
            indices = [corner for first in firsts for corner in (first, first + np.int32(1))]
            weights = [corner for weight in weights for corner in (weight * rest, weight * share)]
        corners = len(indices)
        starts = np.arange(0, count * corners + 1, corners, dtype=np.int32)
        flat = self.values.reshape(-1, self.values.shape[-1])
        order, amounts = np.stack(indices, axis=-1).ravel(), np.stack(weights, axis=-1).ravel()
        return np.asarray(csr_array((amounts, order, starts), shape=(count, flat.shape[0])) @ flat, np.float32)


def _cell(nodes: Values, place: Values) -> tuple[NDArray[np.int32], Values]:
    """Node to the left of each place, and how far the place is towards the next."""
    place = np.clip(place, nodes[0], nodes[-1])
    left = np.clip(np.searchsorted(nodes, place, side="right") - 1, 0, nodes.size - 2).astype(np.int32)
    return left, np.asarray((place - nodes[left]) * (1 / np.diff(nodes))[left], np.float32)
