"""Scores by spatial blocks: neighbours look alike, so labels near the training labels say little about a map.

Blocks are squares; folds are made of whole blocks; every label is predicted by a head that saw none of its block. The
unit of resampling is the block, after Roberts et al. (2017), Ecography 40, 913-929.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath import metrics, rng
from swath.errors import ConfigError
from swath.metrics import Interval, bootstrap_interval, scores

FOLDS = 5
_BLOCKS_ACROSS = 6
"""Blocks along the longer side of the labelled area where no size is given."""

Predict = Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.int64]]
"""From training rows and rows to predict, as masks ``(N,)``, to class numbers of the latter."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Which block and fold each of N labels belongs to.

    Args:
        side: of a block, in cells.
        block: int64 ``(N,)``, 0 to G - 1.
        fold: int64 ``(N,)``.
    """

    side: float
    block: NDArray[np.int64]
    fold: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of blocks G."""
        return int(self.block.max()) + 1

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1


@dataclass(frozen=True, eq=False)
class BlockScore:
    """What predictions of labels in blocks that were held out are worth.

    Args:
        counts: confusion per block ``(G, K, K)``, truth by prediction.
        accuracy: share of the labels that is right.
        mean_f1: mean over the classes of F1.
    """

    counts: NDArray[np.int64]
    accuracy: Interval
    mean_f1: Interval


def spatial_blocks(
    cells: NDArray[np.int64],
    objects: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    side: float | None = None,
    seed: int = 0,
) -> Blocks:
    """Put labels into square blocks, and blocks into at most five folds of like class shares.

    All cells of one object (a polygon) belong to the block of its centre.

    Args:
        cells: rows and columns ``(N, 2)``.
        objects: ``(N,)``, what each cell came from.
        labels: class numbers ``(N,)``.
        side: of a block, in cells; None: a sixth of the longer side of the labelled area.
        seed: order in which blocks of equal size are dealt.

    Raises:
        ConfigError: the side is not positive.
    """
    extent = float((cells.max(axis=0) - cells.min(axis=0)).max()) + 1
    side = max(extent / _BLOCKS_ACROSS, 1.0) if side is None else side
    if not (side > 0 and math.isfinite(side)):
        raise ConfigError(
            f"Blocks have a side of {side:g} cells", expected="a positive number", remedy="leave out --block"
        )
    _, place = np.unique(objects, return_inverse=True)
    number = np.bincount(place)
    centre = np.stack([np.bincount(place, cells[:, axis]) / number for axis in (0, 1)], axis=1)
    squares = np.floor((centre - cells.min(axis=0)) / side).astype(np.int64)
    _, of_object = np.unique(squares, axis=0, return_inverse=True)
    block = of_object.reshape(-1)[place]
    return Blocks(side, block, _deal(block, labels, seed)[block])


def _deal(block: NDArray[np.int64], labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Fold of each block: large blocks first, each to the fold that has least of its classes."""
    count, classes = int(block.max()) + 1, int(labels.max()) + 1
    table = np.zeros((count, classes))
    np.add.at(table, (block, labels), 1.0)
    table /= np.maximum(table.sum(axis=0), 1)
    order = rng.generator(seed, "spatial folds").permutation(count)
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    filled = np.zeros((min(FOLDS, count), classes))
    fold = np.zeros(count, np.int64)
    for number in order:
        # The sum of squares grows least where little of these classes lies; ties go to the emptiest fold.
        growth = 2 * filled @ table[number] + 1e-6 * filled.sum(axis=1)
        fold[number] = int(np.argmin(growth))
        filled[fold[number]] += table[number]
    return fold


def alone(blocks: Blocks, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classes whose labels all lie in one fold, and so all count as wrong: no head saw any when it was asked."""
    seen = np.zeros((int(labels.max()) + 1, blocks.folds), bool)
    seen[labels, blocks.fold] = True
    return np.flatnonzero(seen.sum(axis=1) == 1)


def held_out(blocks: Blocks, labels: NDArray[np.int64], predict: Predict) -> NDArray[np.int64]:
    """Class numbers ``(N,)`` that each label gets from training without its fold; a lone class is always predicted."""
    found = np.empty(len(labels), np.int64)
    for fold in range(blocks.folds):
        test = blocks.fold == fold
        train = ~test
        if not test.any():
            continue
        seen = np.unique(labels[train])
        found[test] = predict(train, test) if len(seen) > 1 else (seen[0] if len(seen) else -1)
    return found


def block_score(
    blocks: Blocks, labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, *, seed: int = 0
) -> BlockScore:
    """Accuracy and mean F1 with 95 % intervals over blocks (bootstrap, 1000 resamples)."""
    counts = np.zeros((blocks.count, classes, classes), np.int64)
    np.add.at(counts, (blocks.block, labels, predicted), 1)
    accuracy = bootstrap_interval(counts, scores.accuracy, seed=seed)
    return BlockScore(counts, accuracy, bootstrap_interval(counts, scores.mean_f1, seed=seed))


def difference(first: BlockScore, second: BlockScore, *, seed: int = 0) -> Interval:
    """Accuracy of the first minus that of the second, the same blocks drawn for both."""
    return metrics.paired_bootstrap(first.counts, second.counts, scores.accuracy, seed=seed)
