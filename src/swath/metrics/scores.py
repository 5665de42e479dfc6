"""Scores from confusion counts.

Every function takes counts ``(..., K, K)``, truth along the second to last axis and prediction along the last, and
works on all leading axes at once: one matrix, one per sample, or one per bootstrap resample. For class c,
``TP = N[c, c]``, ``FP = column sum - TP``, ``FN = row sum - TP``. All scores are fractions. A score without any
evidence (a zero denominator) is NaN, never 0 or 1.

References: Cohen (1960), Educational and Psychological Measurement 20, 37-46, for kappa; Sokolova and Lapalme (2009),
Information Processing & Management 45, 427-437, for the others.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, nearest
from swath.metrics.outcome import Outcome, quotient, undefined

Counts = NDArray[Any]
Values = NDArray[np.float64]

Absent = Literal["skip", "zero"]
"""What a class in neither truth nor prediction does to a mean over classes: left out, or counted as 0."""


def _parts(counts: Counts) -> tuple[Values, Values, Values]:
    """True positives, truth totals and prediction totals per class, each ``(..., K)``."""
    numbers = np.asarray(counts, dtype=np.float64)
    return np.diagonal(numbers, axis1=-2, axis2=-1), numbers.sum(axis=-1), numbers.sum(axis=-2)


def _ratio(top: Values, bottom: Values) -> Values:
    """Quotient with NaN where the denominator is 0."""
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) != 0)


def accuracy(counts: Counts) -> Values:
    """Overall accuracy: trace / sum. Shape ``(...)``."""
    hits, truth, _ = _parts(counts)
    return _ratio(hits.sum(axis=-1), truth.sum(axis=-1))


def kappa(counts: Counts) -> Values:
    """Cohen's kappa: (po - pe) / (1 - pe). NaN when chance agreement pe is 1. Shape ``(...)``.

    Written in counts, (n trace - s) / (n^2 - s) with s = sum_c truth_c prediction_c, so that pe = 1 is met exactly.
    """
    hits, truth, predicted = _parts(counts)
    total = truth.sum(axis=-1)
    chance = (truth * predicted).sum(axis=-1)
    return _ratio(total * hits.sum(axis=-1) - chance, total**2 - chance)


def precision(counts: Counts) -> Values:
    """TP / (TP + FP) per class; NaN for a class that was never predicted. Shape ``(..., K)``."""
    hits, _, predicted = _parts(counts)
    return _ratio(hits, predicted)


def recall(counts: Counts) -> Values:
    """TP / (TP + FN) per class; NaN for a class that is not in the truth. Shape ``(..., K)``."""
    hits, truth, _ = _parts(counts)
    return _ratio(hits, truth)


def f1(counts: Counts) -> Values:
    """2 TP / (2 TP + FP + FN) per class; NaN for a class in neither truth nor prediction. Shape ``(..., K)``."""
    hits, truth, predicted = _parts(counts)
    return _ratio(2 * hits, truth + predicted)


def iou(counts: Counts) -> Values:
    """TP / (TP + FP + FN) per class; NaN for a class in neither truth nor prediction. Shape ``(..., K)``."""
    hits, truth, predicted = _parts(counts)
    return _ratio(hits, truth + predicted - hits)


def balanced_accuracy(counts: Counts) -> Values:
    """Mean recall over the classes that occur in the truth. Shape ``(...)``."""
    _, truth, _ = _parts(counts)
    occurs = truth > 0
    return _ratio(np.where(occurs, recall(counts), 0.0).sum(axis=-1), occurs.sum(axis=-1).astype(np.float64))


def classes_present(counts: Counts) -> NDArray[np.int64]:
    """Number of classes in truth or prediction, the count behind a mean with ``absent="skip"``. Shape ``(...)``."""
    _, truth, predicted = _parts(counts)
    number: NDArray[np.int64] = ((truth + predicted) > 0).sum(axis=-1, dtype=np.int64)
    return number


def macro(per_class: Values, counts: Counts, absent: Absent = "skip", background: int | None = None) -> Values:
    """Mean over classes of a per-class score ``(..., K)``. Shape ``(...)``.

    A class in truth or prediction always counts; where its score is undefined (precision of a class never predicted)
    it counts as 0, so that silence is not rewarded. A class in neither follows ``absent``: ``skip`` leaves it out,
    ``zero`` counts it as 0. With ``background`` that class is left out of the mean (``no_bg``), while its pixels still
    count as errors of the others. NaN when no class is left.

    Raises:
        ConfigError: unknown policy, or a background outside the classes.
    """
    _, truth, predicted = _parts(counts)
    present = (truth + predicted) > 0
    _check_background(background, present.shape[-1])
    if background is not None:
        present = np.delete(present, background, axis=-1)
        per_class = np.delete(per_class, background, axis=-1)
    total = np.where(present, np.nan_to_num(per_class, nan=0.0), 0.0).sum(axis=-1)
    number = present.sum(axis=-1).astype(np.float64)
    if absent == "skip":
        return _ratio(total, number)
    if absent == "zero":
        return _ratio(np.where(number > 0, total, np.nan), np.full(np.shape(number), float(present.shape[-1])))
    raise ConfigError(
        f"The policy for absent classes is '{absent}'",
        expected="skip or zero",
        remedy=f"the nearest is: {nearest(str(absent), ('skip', 'zero'))}",
    )


def miou(counts: Counts, absent: Absent = "skip", background: int | None = None) -> Values:
    """Mean intersection over union over classes, background included unless it is named. Shape ``(...)``."""
    return macro(iou(counts), counts, absent, background)


def mean_f1(counts: Counts, absent: Absent = "skip", background: int | None = None) -> Values:
    """Mean F1 over classes. Shape ``(...)``."""
    return macro(f1(counts), counts, absent, background)


def summary(counts: NDArray[Any], absent: Absent = "skip", background: int | None = None) -> dict[str, Outcome]:
    """All scores of one matrix ``(K, K)`` by key, each with its evidence.

    ``oa``, ``kappa`` rest on values; ``balanced_accuracy``, ``precision``, ``recall``, ``f1``, ``miou`` are means over
    classes and say over how many. With ``background`` the four last get the suffix ``_no_bg``.

    Raises:
        ConfigError: as ``macro``.
    """
    _, truth, predicted = _parts(counts)
    total = int(np.sum(counts))
    nothing = "there are no valid values"
    outcomes = {"oa": quotient(np.trace(counts), total, total, nothing)}
    agreement = float(kappa(counts))
    if np.isnan(agreement):
        why = nothing if not total else "truth and prediction hold one and the same class, chance agreement is 1"
        outcomes["kappa"] = undefined(why, count=total)
    else:
        outcomes["kappa"] = Outcome(agreement, total)
    occurring = int((truth > 0).sum())
    missing = len(truth) - occurring
    why = f"{missing} of {len(truth)} classes are not in the truth" if missing else ""
    mean_recall = float(balanced_accuracy(counts))
    outcomes["balanced_accuracy"] = Outcome(mean_recall, occurring, missing, why if total else nothing)
    present = (truth + predicted) > 0
    _check_background(background, len(truth))
    if background is not None:
        present = np.delete(present, background)
    left = int((~present).sum())
    kept, skipped = (present.size, 0) if absent == "zero" else (present.size - left, left)
    rule = "count as 0" if absent == "zero" else "are left out"
    why = f"{left} of {present.size} classes are in neither truth nor prediction and {rule}" if left else ""
    suffix = "" if background is None else "_no_bg"
    for key, score in (("precision", precision), ("recall", recall), ("f1", f1), ("miou", iou)):
        value = float(macro(score(counts), counts, absent, background))
        outcomes[key + suffix] = Outcome(value, kept if total else 0, skipped, why if total else nothing)
    return outcomes


def _check_background(background: int | None, size: int) -> None:
    if background is not None and not 0 <= background < size:
        raise ConfigError(
            f"The background is class {background} of {size}",
            expected=f"a class number from 0 to {size - 1}, or None to keep all",
            remedy="give the position of the background in the class names",
        )
