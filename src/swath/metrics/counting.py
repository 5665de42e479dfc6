"""Counting pairs of labels fast: the loop behind every confusion matrix.

Truth and prediction become one small integer per pixel, ``truth * K + prediction``. Up to 15 classes that integer fits
into a byte, and two neighbouring bytes are read as one 16-bit number: a histogram of those counts two pixels per step,
and its two margins add up to the counts of single pixels. Labels stay in their own dtype until a block of them lies in
the cache, so that uint8 maps are never copied. NumPy lets go of the interpreter lock in these loops; large arrays are
split over threads, and sums of integers do not depend on the split.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.types import IGNORE

BLOCK = 1 << 19
"""Pixels counted at a time: the 64-bit indices of half as many pairs are 2 MB and stay in the cache."""
PIECE = 1 << 17
"""Pixels indexed at a time; 64-bit labels of a piece are 1 MB."""
SPLIT = 1 << 22
"""Pixels from which on threads pay."""
PAIRS_PAY = 1 << 17
"""Pixels from which on counting pairs pays for its 65,536 cells."""
BYTE_CLASSES, WORD_CLASSES = 15, 255
"""Largest K for which K * K numbers and one for unused pixels fit into 8 and into 16 bits."""


Flat = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None]


class OutsideError(Exception):
    """A used label lies outside the classes; the caller knows the names and says so."""


def count_pairs(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    size: int,
    threads: int | None = None,
) -> NDArray[np.int64]:
    """Counts ``(K, K)`` of truth against prediction over the used pixels.

    Args:
        truth: integer or bool labels of any shape; ``IGNORE`` is not used.
        prediction: labels of the same shape.
        valid: bool of the same shape, True where used, or None for all.
        size: number of classes K.
        threads: at most so many; by default the cores this process may use, and one for small arrays.

    Raises:
        OutsideError: a used label is below 0, or K or above.
    """
    flat = (_flat(truth), _flat(prediction), None if valid is None else _flat(valid))
    total = truth.size
    workers = _cores() if threads is None and total >= SPLIT else max(threads or 1, 1)
    edges = np.linspace(0, total, workers + 1).astype(np.int64) // 2 * 2
    edges[-1] = total
    spans = [(start, stop) for start, stop in pairwise(edges.tolist()) if stop > start]
    if len(spans) < 2:
        return _count_span(flat, (0, total), size)
    with ThreadPoolExecutor(len(spans)) as pool:
        parts = list(pool.map(lambda span: _count_span(flat, span, size), spans))
    return np.sum(parts, axis=0, dtype=np.int64)


def _count_span(flat: Flat, span: tuple[int, int], size: int) -> NDArray[np.int64]:
    """Counts of the pixels from the first to before the second position of the span."""
    true, predicted, valid = flat
    cells = size * size + 1
    single, pairs = np.zeros(cells, np.int64), np.zeros(0, np.int64)
    for start in range(span[0], span[1], BLOCK):
        part = slice(start, min(start + BLOCK, span[1]))
        index = _index(true[part], predicted[part], None if valid is None else valid[part], size)
        paired = 0
        if index.dtype == np.uint8 and index.size >= PAIRS_PAY:
            paired = index.size // 2 * 2
            found = np.bincount(index[:paired].view(np.uint16), minlength=cells * 256)
            pairs = found if not pairs.size else np.add(pairs, found, out=pairs)
        single += np.bincount(index[paired:].astype(np.intp, copy=False), minlength=cells)
    if pairs.size:
        table = pairs.reshape(cells, 256)  # one pixel along each axis, in an order that no sum depends on
        single += table.sum(axis=1) + table.sum(axis=0)[:cells]
    return single[: size * size].reshape(size, size)


def _index(
    true: NDArray[Any], predicted: NDArray[Any], valid: NDArray[np.bool_] | None, size: int
) -> NDArray[np.unsignedinteger]:
    """``truth * K + prediction`` per pixel, and ``K * K`` where a pixel is not used."""
    small = np.uint8 if size <= BYTE_CLASSES else np.uint16 if size <= WORD_CLASSES else np.uint64
    index: NDArray[np.unsignedinteger] = np.empty(true.size, small)
    for start in range(0, true.size, PIECE):
        part = slice(start, start + PIECE)
        _fill(index[part], true[part], predicted[part], None if valid is None else valid[part], size)
    return index


def _fill(
    index: NDArray[np.unsignedinteger],
    true: NDArray[Any],
    predicted: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    size: int,
) -> None:
    """Write the indices of a piece that stays in the cache between the passes over it."""
    signed = true.dtype.kind == "i"
    true, predicted = _unsigned(true), _unsigned(predicted)
    used = None if valid is None or valid.all() else valid
    largest = true.max() if used is None else size
    if signed and largest >= size:
        known = true != true.dtype.type(IGNORE % 2 ** (8 * true.dtype.itemsize))
        used = known if used is None else known & used
    if used is not None:  # what stands under the mask may be any number
        keep = used.view(np.uint8)
        true, predicted = true * keep, predicted * keep
        largest = true.max()
    if largest >= size or predicted.max() >= size:
        raise OutsideError
    small = index.dtype.type
    np.multiply(true.astype(small, copy=False), small(size), out=index)
    index += predicted.astype(small, copy=False)
    if used is not None:  # unused pixels have index 0 so far
        index += np.multiply(used.view(np.uint8) ^ 1, size * size, dtype=small)


def _unsigned(labels: NDArray[Any]) -> NDArray[Any]:
    """The same bytes read as unsigned numbers: negative ones become too large, so one comparison finds both."""
    return labels.view(f"u{labels.dtype.itemsize}")


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """One axis, no copy if the values lie in one piece."""
    return np.ascontiguousarray(values).reshape(-1)


def _cores() -> int:
    """Cores that this process may use, at most 8: beyond that the memory is the limit."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, 8)
