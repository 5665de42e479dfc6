"""Confusion matrices: the counts that all scores of labels come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.metrics import scores
from swath.metrics.arrays import as_numpy, same_shape, usable
from swath.metrics.counting import OutsideError, count_pairs
from swath.metrics.outcome import Outcome
from swath.metrics.scores import Absent, Values, summary
from swath.types import IGNORE

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

LARGE_UNIT = 1 << 12
"""Pixels per unit from which on units are counted one by one instead of all in one index."""


class ConfusionMatrix:
    """Counts of truth (rows) against prediction (columns), pooled over everything it was updated with.

    Matrices of parts add up to the matrix of the whole (``a + b``), whatever the batching or the order.

    Args:
        classes: K class names, unique, in label order.
        counts: int64 ``(K, K)`` to start from; zeros by default.
    """

    def __init__(self, classes: Sequence[str], counts: NDArray[np.int64] | None = None) -> None:
        self.classes = _checked_classes(classes)
        size = len(self.classes)
        if counts is None:
            counts = np.zeros((size, size), dtype=np.int64)
        if counts.shape != (size, size) or not np.issubdtype(counts.dtype, np.integer) or bool((counts < 0).any()):
            raise InputError(
                f"The counts have shape {counts.shape} and dtype {counts.dtype}",
                expected=f"non-negative integers of shape {(size, size)}, one row and column per class",
                remedy="give the matrix that belongs to these classes",
            )
        self.counts: NDArray[np.int64] = counts.astype(np.int64)

    def update(
        self, truth: Numbers, prediction: Numbers, valid: Numbers | None = None, threads: int | None = None
    ) -> None:
        """Count one batch; uint8 labels are the fastest and are not copied.

        Args:
            truth: integer labels of any shape; ``IGNORE`` (-100) is left out.
            prediction: integer labels of the same shape; what stands under the mask has no effect.
            valid: bool, broadcastable to ``truth``; True where both may be used.
            threads: at most so many; by default one for small arrays and one per core from 4 megapixels on.

        Raises:
            InputError: shapes differ, labels are not integers, or a used label lies outside the classes; the counts
                then stay as they were.
        """
        self.counts += _counted(truth, prediction, valid, self.classes, threads)

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if self.classes != other.classes:
            raise InputError(
                f"The matrices have the classes {', '.join(self.classes)} and {', '.join(other.classes)}",
                expected="the same classes in the same order",
                remedy="score both with one legend",
            )
        return ConfusionMatrix(self.classes, self.counts + other.counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        return self.classes == other.classes and bool((self.counts == other.counts).all())

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"ConfusionMatrix({len(self.classes)} classes, {self.total} counts)"

    @property
    def total(self) -> int:
        """Number of counted values."""
        return int(self.counts.sum())

    @property
    def present(self) -> int:
        """Number of classes in truth or prediction: how many a mean with ``absent="skip"`` runs over."""
        return int(scores.classes_present(self.counts))

    def accuracy(self) -> float:
        """Overall accuracy; NaN without counts."""
        return float(scores.accuracy(self.counts))

    def balanced_accuracy(self) -> float:
        """Mean recall over the classes in the truth."""
        return float(scores.balanced_accuracy(self.counts))

    def kappa(self) -> float:
        """Cohen's kappa."""
        return float(scores.kappa(self.counts))

    def precision(self) -> Values:
        """Precision per class ``(K,)``."""
        return scores.precision(self.counts)

    def recall(self) -> Values:
        """Recall per class ``(K,)``."""
        return scores.recall(self.counts)

    def f1(self) -> Values:
        """F1 per class ``(K,)``."""
        return scores.f1(self.counts)

    def iou(self) -> Values:
        """Intersection over union per class ``(K,)``."""
        return scores.iou(self.counts)

    def miou(self, absent: Absent = "skip") -> float:
        """Mean intersection over union; see ``scores.macro`` for ``absent``."""
        return float(scores.miou(self.counts, absent))

    def mean_f1(self, absent: Absent = "skip") -> float:
        """Mean F1; see ``scores.macro`` for ``absent``."""
        return float(scores.mean_f1(self.counts, absent))

    def compute(self, absent: Absent = "skip", background: int | None = None) -> dict[str, Outcome]:
        """All pooled scores over classes, with the number of classes behind each mean (see ``summary``)."""
        return summary(self.counts, absent, background)


def confusion_per_unit(
    truth: Numbers, prediction: Numbers, valid: Numbers | None, classes: Sequence[str]
) -> NDArray[np.int64]:
    """One confusion matrix per unit (sample, tile, group) of the first axis, in one count.

    Args:
        truth: integer labels ``(N, ...)``; ``IGNORE`` is left out.
        prediction: integer labels of the same shape.
        valid: bool, broadcastable to ``truth``, or None.
        classes: K class names in label order.

    Returns:
        int64 ``(N, K, K)``; its sum over the first axis is the pooled matrix.

    Raises:
        InputError: as ``ConfusionMatrix.update``, or labels without a unit axis.
    """
    names = _checked_classes(classes)
    array = as_numpy(truth)
    if array.ndim == 0:
        raise InputError(
            "The labels are a single number", expected="units along the first axis", remedy="add an axis of length 1"
        )
    units, size = array.shape[0], len(names)
    per_unit = max(int(np.prod(array.shape[1:])), 1)
    if units and per_unit >= LARGE_UNIT:
        predicted_units, masks = as_numpy(prediction), usable(valid, array.shape, "truth")
        same_shape(array, predicted_units, ("truth", "prediction"))
        parts = zip(array, predicted_units, masks, strict=True)
        return np.stack([_counted(*part, names) for part in parts])
    true, predicted, position = _used(truth, prediction, valid, names)
    index = (position // per_unit * size + true) * size + predicted
    return np.bincount(index, minlength=units * size * size).reshape(units, size, size)


def confusion_per_group(
    truth: Numbers, prediction: Numbers, groups: Numbers, valid: Numbers | None, classes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One confusion matrix per group of values, such as the polygons or blocks of one map.

    Args:
        truth: integer labels of any shape; ``IGNORE`` is left out.
        prediction: integer labels of the same shape.
        groups: the number of the group of each value, of the same shape; below 0 where it belongs to none.
        valid: bool, broadcastable to ``truth``, or None.
        classes: K class names in label order.

    Returns:
        numbers of the groups, ascending ``(G,)``, and counts ``(G, K, K)``; groups without a counted value keep zeros.

    Raises:
        InputError: as ``ConfusionMatrix.update``, or the groups have another shape or are not integers.
    """
    names = _checked_classes(classes)
    numbers = as_numpy(groups)
    same_shape(as_numpy(truth), numbers, ("truth", "groups"))
    if numbers.size and numbers.dtype.kind not in "iu":
        raise InputError(
            f"'groups' has dtype {numbers.dtype}", expected="the whole number of a group", remedy="number the groups"
        )
    member = numbers >= 0
    known, position = np.unique(numbers[member].astype(np.int64), return_inverse=True)
    place = np.zeros(numbers.shape, dtype=np.int64)
    place[member] = position
    inside = usable(valid, numbers.shape, "truth") & member
    true, predicted, used = _used(truth, prediction, inside, names)
    size = len(names)
    index = (place.reshape(-1)[used] * size + true) * size + predicted
    return known, np.bincount(index, minlength=len(known) * size * size).reshape(len(known), size, size)


def _checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(classes)
    if isinstance(classes, str) or not names or len(set(names)) != len(names):
        raise ConfigError(
            f"The classes are {classes!r}",
            expected="at least one class name, each once",
            remedy="give the names of the legend in label order",
        )
    return names


def _labels(truth: Numbers, prediction: Numbers) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as arrays, after a check that they are integers of one shape."""
    true, predicted = as_numpy(truth), as_numpy(prediction)
    same_shape(true, predicted, ("truth", "prediction"))
    for name, labels in (("truth", true), ("prediction", predicted)):
        if labels.size and labels.dtype.kind not in "iub":
            raise InputError(
                f"'{name}' has dtype {labels.dtype}",
                expected="integer labels",
                remedy="take the arg max of probabilities, or map classes to integers, first",
            )
    return true, predicted


def _counted(
    truth: Numbers, prediction: Numbers, valid: Numbers | None, classes: tuple[str, ...], threads: int | None = None
) -> NDArray[np.int64]:
    """Counts ``(K, K)`` of one batch."""
    true, predicted = _labels(truth, prediction)
    mask = None if valid is None else usable(valid, true.shape, "truth")
    if not true.size:
        return np.zeros((len(classes), len(classes)), np.int64)
    try:
        return count_pairs(true, predicted, mask, len(classes), threads)
    except OutsideError:
        _used(true, predicted, mask, classes)  # slower, and says which labels
        raise


def _used(
    truth: Numbers, prediction: Numbers, valid: Numbers | None, classes: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Truth, prediction and flat position of the values that count, each 1-D int64."""
    true, predicted = _labels(truth, prediction)
    position = np.flatnonzero(usable(valid, true.shape, "truth") & (true != IGNORE))
    kept = [labels.reshape(-1)[position].astype(np.int64) for labels in (true, predicted)]
    for name, labels in zip(("truth", "prediction"), kept, strict=True):
        _check_range(name, labels, classes)
    return kept[0], kept[1], position


def _check_range(name: str, labels: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    if not labels.size or (labels.min() >= 0 and labels.max() < len(classes)):
        return
    outside, numbers = np.unique(labels[(labels < 0) | (labels >= len(classes))], return_counts=True)
    listed = ", ".join(f"{value} ({count} times)" for value, count in zip(outside[:5], numbers[:5], strict=True))
    raise InputError(
        f"'{name}' holds labels outside the {len(classes)} classes: {listed}",
        expected=f"0 to {len(classes) - 1} ({', '.join(classes[:8])}{', ...' if len(classes) > 8 else ''})"
        + (f", or {IGNORE} where unknown" if name == "truth" else ""),
        remedy="check the legend that the labels were made with",
    )
