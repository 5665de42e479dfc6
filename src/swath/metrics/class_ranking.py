"""Average precision and AUROC of several classes, each against the rest, and their means over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from swath.errors import InputError
from swath.metrics.arrays import as_numpy, usable
from swath.metrics.confusion import ConfusionMatrix
from swath.metrics.outcome import Outcome, mean_of
from swath.metrics.ranking import Ranking
from swath.types import IGNORE

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers


class ClassRanking:
    """One ``Ranking`` per class; labels may be single (one class per value) or multiple (0 or 1 per class).

    Args:
        classes: K class names, unique, in label order.
        bins: as for ``Ranking``.
        split: as for ``Ranking``.
        rankings: K rankings to start from.
    """

    def __init__(
        self,
        classes: Sequence[str],
        bins: int | None = None,
        split: str = "",
        rankings: Sequence[Ranking] | None = None,
    ) -> None:
        self.classes = ConfusionMatrix(classes).classes
        self.rankings = tuple(rankings or (Ranking(bins, split) for _ in self.classes))

    def update(
        self, truth: Numbers, scores: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            truth: class numbers ``(N, ...)`` with ``IGNORE`` where unknown, or 0 and 1 per class ``(N, K, ...)``.
            scores: numbers ``(N, K, ...)``.
            valid: bool, broadcastable to ``truth``.
            ids: names of the N samples for errors.

        Raises:
            InputError: shapes do not fit the classes, a label is outside them, or a used score is NaN.
        """
        labels, values = as_numpy(truth), as_numpy(scores)
        size = len(self.classes)
        multiple = labels.shape == values.shape
        single = values.ndim >= 2 and labels.shape == values.shape[:1] + values.shape[2:]
        if values.ndim < 2 or values.shape[1] != size or not (single or multiple):
            raise InputError(
                f"'truth' has shape {labels.shape} and 'scores' {values.shape}",
                expected=f"(N, ...) and (N, {size}, ...), or (N, {size}, ...) for both",
                remedy="put the classes on the second axis",
            )
        mask = usable(valid, labels.shape, "truth") & (labels != IGNORE)
        outside = mask & ((labels < 0) | (labels >= (2 if multiple else size)))
        if labels.size and (labels.dtype.kind not in "iub" or outside.any()):
            raise InputError(
                f"'truth' holds {np.unique(labels[outside])[:5].tolist()} as {labels.dtype}",
                expected="0 and 1 per class" if multiple else f"class numbers from 0 to {size - 1}, or {IGNORE}",
                remedy="check the legend that the labels were made with",
            )
        # All classes are checked before any of them counts, so that an error leaves nothing half counted.
        parts = [Ranking(ranking.bins, ranking.split) for ranking in self.rankings]
        for number, part in enumerate(parts):
            positive = labels[:, number] == 1 if multiple else labels == number
            part.update(positive, values[:, number], mask[:, number] if multiple else mask, ids)
        self.rankings = tuple(ranking + part for ranking, part in zip(self.rankings, parts, strict=True))

    def __add__(self, other: ClassRanking) -> ClassRanking:
        if self.classes != other.classes:
            raise InputError(
                f"The rankings have the classes {', '.join(self.classes)} and {', '.join(other.classes)}",
                expected="the same classes in the same order",
                remedy="score both with one legend",
            )
        pairs = zip(self.rankings, other.rankings, strict=True)
        return ClassRanking(self.classes, rankings=[first + second for first, second in pairs])

    def per_class(self) -> dict[str, dict[str, Outcome]]:
        """``ap`` and ``auroc`` by class name."""
        return {name: ranking.compute() for name, ranking in zip(self.classes, self.rankings, strict=True)}

    def compute(self) -> dict[str, Outcome]:
        """Means over classes: ``ap_macro`` over those with positives, ``auroc_macro`` over those with both labels.

        Binned rankings give ``ap_binned_macro`` and ``auroc_binned_macro``.
        """
        single = list(self.per_class().values())
        why = "lack positives or negatives"
        return {
            f"{key}_macro": mean_of([answers[key].value for answers in single], "classes", why) for key in single[0]
        }
