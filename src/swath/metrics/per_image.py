"""Scores averaged over images instead of pooled over pixels; their keys end in ``_per_image``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError
from swath.metrics import scores
from swath.metrics.confusion import ConfusionMatrix, confusion_per_unit
from swath.metrics.outcome import Outcome, mean_of

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers


class PerImageConfusion:
    """One confusion matrix per image, whose scores are averaged with equal weight per image.

    Pooled scores weigh images by their pixels; this variant weighs them alike, and a small image counts as much as a
    large one. An image without a valid pixel, or one in which a score is undefined, is left out and counted. Parts add
    up (``a + b``); the order of images has no effect.

    Args:
        classes: K class names, unique, in label order.
        counts: int64 ``(N, K, K)`` to start from; no images by default.
    """

    def __init__(self, classes: Sequence[str], counts: NDArray[np.int64] | None = None) -> None:
        self.classes = ConfusionMatrix(classes).classes
        size = len(self.classes)
        self._parts = [] if counts is None else [counts]
        if counts is not None and counts.shape[1:] != (size, size):
            raise InputError(
                f"The counts have shape {counts.shape}",
                expected=f"(images, {size}, {size})",
                remedy="give the matrices that belong to these classes",
            )

    def update(self, truth: Numbers, prediction: Numbers, valid: Numbers | None = None) -> None:
        """Count a batch of images ``(N, y, x)``; arguments and errors as for ``confusion_per_unit``."""
        self._parts.append(confusion_per_unit(truth, prediction, valid, self.classes))

    @property
    def counts(self) -> NDArray[np.int64]:
        """One matrix per image, int64 ``(N, K, K)``, in the order of the updates."""
        size = len(self.classes)
        return np.concatenate([np.zeros((0, size, size), np.int64), *self._parts])

    def __add__(self, other: PerImageConfusion) -> PerImageConfusion:
        if self.classes != other.classes:
            raise InputError(
                f"The images have the classes {', '.join(self.classes)} and {', '.join(other.classes)}",
                expected="the same classes in the same order",
                remedy="score both with one legend",
            )
        return PerImageConfusion(self.classes, np.concatenate([self.counts, other.counts]))

    def pooled(self) -> ConfusionMatrix:
        """The matrix over all pixels of all images."""
        return ConfusionMatrix(self.classes, self.counts.sum(axis=0))

    def compute(self, absent: scores.Absent = "skip", background: int | None = None) -> dict[str, Outcome]:
        """Means over images of oa, kappa, balanced_accuracy, f1 and miou; each class mean within its own image."""
        counts = self.counts
        suffix = "_per_image" if background is None else "_no_bg_per_image"
        values = {
            "oa_per_image": scores.accuracy(counts),
            "kappa_per_image": scores.kappa(counts),
            "balanced_accuracy_per_image": scores.balanced_accuracy(counts),
            f"f1{suffix}": scores.mean_f1(counts, absent, background),
            f"miou{suffix}": scores.miou(counts, absent, background),
        }
        return {key: mean_of(value, "images", "leave the score undefined") for key, value in values.items()}
