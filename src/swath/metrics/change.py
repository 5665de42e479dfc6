"""Scores of semantic change: what a place was before and what it is after, judged together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError
from swath.metrics import scores
from swath.metrics.arrays import as_numpy, same_shape, usable
from swath.metrics.confusion import ConfusionMatrix
from swath.metrics.outcome import Outcome, quotient, undefined
from swath.types import IGNORE

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

Pair = tuple["Numbers", "Numbers"]


class SemanticChange:
    """Confusion of trajectories (class before, class after), and the scores of the change literature.

    With K classes of which 0 means "unchanged or no class", trajectory 0 is no change and 1 + (a - 1) (K - 1) + (b - 1)
    is the change from class a to b; N counts truth against prediction over these 1 + (K - 1)^2 trajectories. Scores:
    see ``change_scores``. Parts add up, exactly.

    Args:
        classes: K >= 2 class names, the first for unchanged.
        counts: int64 counts to start from.
    """

    def __init__(self, classes: Sequence[str], counts: NDArray[np.int64] | None = None) -> None:
        self.classes = ConfusionMatrix(classes).classes
        if len(self.classes) < 2:
            raise InputError(
                f"The only class is {self.classes[0]}",
                expected="the unchanged class and at least one more",
                remedy="put 'unchanged' first and the classes of the legend behind it",
            )
        size = 1 + (len(self.classes) - 1) ** 2
        self._matrix = ConfusionMatrix([str(number) for number in range(size)], counts)
        self.left_out = 0

    @property
    def counts(self) -> NDArray[np.int64]:
        """Counts over trajectories ``(1 + (K - 1)^2, 1 + (K - 1)^2)``, truth along the first axis."""
        return self._matrix.counts

    def update(self, truth: Pair, prediction: Pair, valid: Numbers | None = None, changed: Pair | None = None) -> None:
        """Count one batch.

        Args:
            truth: class numbers before and after, two arrays of one shape; ``IGNORE`` where unknown.
            prediction: predicted class numbers before and after.
            valid: bool, broadcastable.
            changed: bool masks of the true and of the predicted change, for classes that are given everywhere. By
                default a pixel changed where both classes are above 0. A predicted pixel without a class at one date
                is unchanged; a true change without a class at one date cannot be judged and is counted in ``left_out``.

        Raises:
            InputError: shapes differ or a used class is outside the legend.
        """
        size = len(self.classes)
        before, after = (as_numpy(part) for part in truth)
        guesses = [as_numpy(part) for part in prediction]
        for name, part in (("truth after", after), ("prediction before", guesses[0]), ("prediction after", guesses[1])):
            same_shape(before, part, ("truth before", name))
        known = usable(valid, before.shape, "truth") & (before != IGNORE) & (after != IGNORE)
        for name, part in (("truth", before), ("truth", after), *(("prediction", part) for part in guesses)):
            outside = part[known & ((part < 0) | (part >= size))]
            if outside.size:
                raise InputError(
                    f"'{name}' holds classes such as {int(outside[0])}",
                    expected=f"0 to {size - 1}, or {IGNORE} in the truth where unknown",
                    remedy="map the labels to the legend first",
                )
        masks = (None, None) if changed is None else tuple(as_numpy(mask) for mask in changed)
        real = (before > 0) | (after > 0) if masks[0] is None else masks[0]
        judged = ~real | ((before > 0) & (after > 0))
        self._matrix.update(
            self._trajectory(before, after, masks[0]),
            self._trajectory(guesses[0], guesses[1], masks[1]),
            known & judged,
        )
        self.left_out += int((known & ~judged).sum())

    def _trajectory(self, before: NDArray[Any], after: NDArray[Any], changed: NDArray[Any] | None) -> NDArray[np.int64]:
        both = (before > 0) & (after > 0)
        if changed is not None:
            both = both & changed.astype(np.bool_)
        number = 1 + (before.astype(np.int64) - 1) * (len(self.classes) - 1) + after.astype(np.int64) - 1
        return np.where(both, number, 0)

    def __add__(self, other: SemanticChange) -> SemanticChange:
        if self.classes != other.classes:
            raise InputError(
                f"The parts have the classes {', '.join(self.classes)} and {', '.join(other.classes)}",
                expected="the same classes in the same order",
                remedy="score both with one legend",
            )
        merged = SemanticChange(self.classes, self.counts + other.counts)
        merged.left_out = self.left_out + other.left_out
        return merged

    def compute(self) -> dict[str, Outcome]:
        """``SC``, ``SCS``, ``SeK``, ``Fscd``, ``iou_change`` and ``iou_mean``; ``left_out`` is in their evidence."""
        answers = change_scores(self.counts, len(self.classes))
        if not self.left_out:
            return answers
        note = f"{self.left_out} changed pixels without a true class"
        return {
            key: Outcome(
                value.value, value.count, self.left_out, "; ".join(part for part in (value.reason, note) if part)
            )
            for key, value in answers.items()
        }


def change_scores(counts: NDArray[Any], classes: int) -> dict[str, Outcome]:
    """The scores of a matrix N over trajectories with number 0 for no change.

    With the binary change collapsed from N: ``iou_change`` = IoU_fg = changed in both / changed in either, ``iou_mean``
    = (IoU_bg + IoU_fg) / 2, ``SeK`` = kappa(N with N[0, 0] = 0) exp(IoU_fg) / e (Yang et al. 2022, IEEE TGRS 60,
    5609818), ``Fscd`` = the harmonic mean of correct trajectories over predicted and over true change, that is
    2 TP / (predicted + true) (Ding et al. 2022, IEEE TGRS 60, 5620014), ``SC`` = sum over changes t of
    N[t, t] / (row_t + column_t), divided by K - 1, and ``SCS`` = (IoU_fg + SC) / 2, both as HySCDG publishes them
    (CVPR 2025). Mind that this SC is neither a mean nor bounded by 1: a perfect map with p different changes in it
    scores p / (2 (K - 1)), so compare it on one data set only.

    Args:
        counts: ``(T, T)``, truth along the first axis.
        classes: K, the unchanged class included.
    """
    numbers = np.asarray(counts, dtype=np.int64)
    total = int(numbers.sum())
    if not total:
        why = "there are no valid pixels"
        return {key: undefined(why) for key in ("SC", "SCS", "SeK", "Fscd", "iou_change", "iou_mean")}
    rows, columns = numbers.sum(axis=1)[1:], numbers.sum(axis=0)[1:]
    either = total - int(numbers[0, 0])
    both = int(numbers[1:, 1:].sum())
    hits = np.diagonal(numbers)[1:]
    foreground = quotient(both, either, total, "nothing changed, in truth or prediction")
    background = quotient(int(numbers[0, 0]), total - both, total, "everything changed, in truth and prediction")
    ratio = np.divide(hits, rows + columns, out=np.zeros(len(hits)), where=rows + columns > 0)
    agreement = Outcome(float(ratio.sum()) / (classes - 1), total)
    if not either:
        agreement = undefined(foreground.reason, count=total)
    without = numbers.copy()
    without[0, 0] = 0
    kappa = float(scores.kappa(without))
    if math.isnan(kappa):
        separated = undefined(foreground.reason or "one trajectory only, chance agreement is 1", count=total)
    else:
        separated = Outcome(kappa * math.exp(foreground.value - 1), total)
    changes = int(rows.sum() + columns.sum())
    return {
        "SC": agreement,
        "SCS": _half(foreground, agreement),
        "SeK": separated,
        "Fscd": quotient(2 * int(hits.sum()), changes, total, foreground.reason),
        "iou_change": foreground,
        "iou_mean": _half(background, foreground),
    }


def _half(first: Outcome, second: Outcome) -> Outcome:
    """The mean of two numbers; NaN with the reason of the one that is missing."""
    return Outcome((first.value + second.value) / 2, first.count, 0, first.reason or second.reason)
