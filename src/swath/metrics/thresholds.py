"""F1 of a class of interest at a threshold, and the choice of that threshold on validation data alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.metrics.outcome import Outcome, undefined
from swath.metrics.ranking import Curve, Ranking

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from: a value belongs to the class of interest from ``value`` on."""

    value: float
    f1: float
    split: str


def f1_at(curve: Curve, threshold: float = 0.5) -> Outcome:
    """F1 = 2 TP / (2 TP + FP + FN) of the values with score >= threshold (van Rijsbergen 1979, chapter 7).

    NaN when there is neither a positive nor a value above the threshold.
    """
    above = curve.scores >= threshold
    hits, alarms = int(curve.positives[above].sum()), int(curve.negatives[above].sum())
    positives, negatives = curve.totals
    if not positives + alarms:
        why = "there are no positives and none were predicted" if negatives else "there are no valid values"
        return undefined(why, count=negatives)
    return Outcome(2 * hits / (hits + alarms + positives), positives + negatives)


def best_threshold(ranking: Ranking) -> Threshold:
    """The score with the highest F1 on validation data; of equals the highest score.

    Raises:
        ConfigError: the ranking is not of the validation split, so the choice would leak into the result.
        InputError: there are no positives, so that no threshold is better than another.
    """
    if ranking.split not in ("val", "validation"):
        raise ConfigError(
            f"The threshold would be chosen on the split '{ranking.split}'",
            expected="a ranking made with split='validation'",
            remedy="choose on validation data, then apply the threshold to the test set",
        )
    curve = ranking.curve()
    positives, _ = curve.totals
    if not positives:
        raise InputError(
            "The validation data hold no positive value",
            expected="at least one",
            remedy="take a validation split that contains the class, or keep the threshold 0.5",
        )
    hits = np.cumsum(curve.positives[::-1])
    chosen = hits + np.cumsum(curve.negatives[::-1])
    scores = 2 * hits / (chosen + positives)
    best = int(np.argmax(scores))
    return Threshold(float(curve.scores[::-1][best]), float(scores[best]), ranking.split)


class BinaryF1:
    """``f1_binary``: F1 of the class of interest at a fixed threshold, streamed in four counts.

    Args:
        threshold: a number (0.5 by default), or what ``best_threshold`` chose.
        counts: int64 ``(2, 2)``, truth by decision, to start from; zeros by default.
    """

    def __init__(self, threshold: float | Threshold = 0.5, counts: NDArray[np.int64] | None = None) -> None:
        self.threshold = threshold.value if isinstance(threshold, Threshold) else float(threshold)
        self.counts = np.zeros((2, 2), np.int64) if counts is None else counts

    def update(
        self, truth: Numbers, scores: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch; arguments and errors as for ``Ranking.update``."""
        batch = Ranking()
        batch.update(truth, scores, valid, ids)
        curve = batch.curve()
        above = curve.scores >= self.threshold
        sides = (curve.negatives, curve.positives)
        self.counts = self.counts + np.array([[side[~above].sum(), side[above].sum()] for side in sides], np.int64)

    def __add__(self, other: BinaryF1) -> BinaryF1:
        if self.threshold != other.threshold:
            raise InputError(
                f"The thresholds are {self.threshold} and {other.threshold}",
                expected="one threshold",
                remedy="score both parts with the same threshold",
            )
        return BinaryF1(self.threshold, self.counts + other.counts)

    def compute(self) -> dict[str, Outcome]:
        """``f1_binary``; NaN with a reason when the class is in neither truth nor prediction."""
        negatives, positives = self.counts
        decided = Curve(np.array([-np.inf, self.threshold]), positives, negatives)
        return {"f1_binary": f1_at(decided, self.threshold)}
