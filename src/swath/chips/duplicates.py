"""Chips of different splits that show the same picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from swath.chips.store import ChipSet

CELLS = 8  # thumbnails are CELLS x CELLS block means per layer
TOLERANCE = 0.05  # of a chip's own contrast
_AT_ONCE = 256
_PAIRS_AT_ONCE = 2048


def duplicates(chipset: ChipSet, splits: Mapping[str, str]) -> list[str]:
    """Sentences about chips with the same or nearly the same pixels in two splits.

    Two chips count as nearly the same when their thumbnails (8 x 8 block means of every layer, layers scaled to unit
    spread) differ by less than 5 % of the contrast of the stronger one. Chips without contrast (open sea, masked
    chips) are left out: they look alike everywhere, and say nothing about a leak.

    Args:
        chipset: the chips.
        splits: split of each chip to compare.
    """
    ids = sorted(splits)
    if len(set(splits.values())) < 2:
        return []
    thumbnails = np.concatenate([_thumbnails(chipset, ids[i : i + _AT_ONCE]) for i in range(0, len(ids), _AT_ONCE)])
    spread = thumbnails.std(axis=(0, 2))
    scaled = thumbnails / np.where(spread > 0, spread, 1.0)[None, :, None]
    contrast = np.sqrt(((scaled - scaled.mean(axis=2, keepdims=True)) ** 2).sum(axis=(1, 2)))
    telling = contrast > 1e-3
    vectors = scaled.reshape(len(ids), -1)
    vectors -= vectors.mean(axis=0)
    content = dict(zip(chipset.index["id"], chipset.index["content"], strict=True))
    kinds = np.array([splits[name] for name in ids])
    found = []
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        a, b = (np.flatnonzero((kinds == name) & telling) for name in (first, second))
        near = _pairs(vectors, contrast, a, b)
        same = [(i, j) for i, j in near if content[ids[i]] == content[ids[j]]]
        alike = [(i, j) for i, j in near if content[ids[i]] != content[ids[j]]]
        for pairs, what in ((same, "the same pixels"), (alike, "nearly the same pixels")):
            if pairs:
                example = f"{ids[pairs[0][0]]} and {ids[pairs[0][1]]}"
                found.append(f"{len(pairs)} pairs of {first} and {second} chips hold {what}, for example {example}")
    return found


def _thumbnails(chipset: ChipSet, ids: list[str]) -> NDArray[np.float64]:
    """Block means ``(N, T * C, cells)`` over valid pixels, 0 where there are none."""
    values, valid, _ = chipset.load(ids)
    n, t, c, h, w = values.shape
    rows, columns = (np.unique(np.linspace(0, length, min(CELLS, length) + 1).astype(int)) for length in (h, w))
    total = values.reshape(n, t * c, h, w).astype(np.float64)
    count = valid.reshape(n, t * c, h, w).astype(np.float64)
    for axis, edges in ((2, rows), (3, columns)):
        total, count = (np.add.reduceat(array, edges[:-1], axis=axis) for array in (total, count))
    means: NDArray[np.float64] = (total / np.maximum(count, 1.0)).reshape(n, t * c, -1)
    return means


def _pairs(
    vectors: NDArray[np.float64], contrast: NDArray[np.float64], a: NDArray[np.int64], b: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Pairs closer than the tolerance, by blocks so that memory stays bounded."""
    found: list[tuple[int, int]] = []
    squares = (vectors**2).sum(axis=1)
    for start in range(0, len(a), _PAIRS_AT_ONCE):
        part = a[start : start + _PAIRS_AT_ONCE]
        distance = squares[part][:, None] + squares[b][None, :] - 2.0 * vectors[part] @ vectors[b].T
        limit = TOLERANCE * np.maximum(contrast[part][:, None], contrast[b][None, :])
        i, j = np.nonzero(distance <= limit**2)
        found += list(zip(part[i].tolist(), b[j].tolist(), strict=True))
    return found
