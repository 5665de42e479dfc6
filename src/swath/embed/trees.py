"""A random forest as plain arrays: grown by scikit-learn, kept and read without running anything that was stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError

TENSORS = ("roots", "left", "right", "feature", "threshold", "share")
_LEAF = -1


@dataclass(frozen=True, eq=False)
class Trees:
    """All nodes of T trees, one tree after the other.

    Args:
        roots: int64 ``(T,)``, first node of each tree.
        left: int64 ``(M,)``, next node where the feature is at most the threshold; -1 at leaves.
        right: int64 ``(M,)``, next node elsewhere.
        feature: int64 ``(M,)``.
        threshold: float64 ``(M,)``.
        share: float64 ``(M, K)``, shares of the classes among the training rows of a node.
    """

    roots: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    share: NDArray[np.float64]

    @classmethod
    def of(cls, forest: Any) -> Trees:
        """The nodes of a fitted ``RandomForestClassifier`` whose classes are 0 to K - 1."""
        trees = [each.tree_ for each in forest.estimators_]
        sizes = np.array([tree.node_count for tree in trees])
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

        def shifted(name: str) -> NDArray[np.int64]:
            parts = [getattr(tree, name) for tree in trees]
            moved = [np.where(part < 0, _LEAF, part + root) for part, root in zip(parts, roots, strict=True)]
            return np.concatenate(moved).astype(np.int64)

        counts = np.concatenate([tree.value[:, 0, :] for tree in trees]).astype(np.float64)
        feature = np.concatenate([np.maximum(tree.feature, 0) for tree in trees]).astype(np.int64)
        threshold = np.concatenate([tree.threshold for tree in trees]).astype(np.float64)
        share = counts / counts.sum(axis=1, keepdims=True)
        return cls(roots, shifted("children_left"), shifted("children_right"), feature, threshold, share)

    def probability(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean over the trees of the shares in the leaf of each row, ``(N, K)``."""
        total = np.zeros((len(rows), self.share.shape[1]))
        places = np.arange(len(rows))
        for root in self.roots:
            node = np.full(len(rows), root)
            moving = places
            while len(moving):
                here = node[moving]
                inner = self.left[here] >= 0
                moving, here = moving[inner], here[inner]
                low = rows[moving, self.feature[here]] <= self.threshold[here]
                node[moving] = np.where(low, self.left[here], self.right[here])
            total += self.share[node]
        return total / max(len(self.roots), 1)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in TENSORS}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, NDArray[Any]], features: int, classes: int, where: str) -> Trees:
        """Trees from stored arrays, checked: every node leads onwards, so that no row can walk for ever.

        Raises:
            InputError: arrays are absent, of another kind, or are no trees of this many features and classes.
        """
        expected = f"a forest on {features} numbers for {classes} classes, as training wrote it"
        error = InputError(f"'{where}' is damaged", expected=expected, remedy="train again, or copy the run again")
        if set(stored) != set(TENSORS):
            raise error
        made = cls(**{name: np.asarray(stored[name]) for name in TENSORS})
        count = len(made.left)
        whole = (made.roots, made.left, made.right, made.feature)
        if any(item.dtype != np.int64 or item.ndim != 1 for item in whole) or not count or not len(made.roots):
            raise error
        if made.share.shape != (count, classes) or any(len(item) != count for item in (*whole[1:], made.threshold)):
            raise error
        places, inner = np.arange(count), made.left >= 0
        forward = ((made.left > places) & (made.right > places) & (made.left < count) & (made.right < count))[inner]
        if not forward.all() or made.feature.min() < 0 or made.feature.max() >= features:
            raise error
        if made.roots.min() < 0 or made.roots.max() >= count or made.share.min() < 0:
            raise error
        if not (np.isfinite(made.share).all() and np.isfinite(made.threshold).all()):
            raise error
        return made
