"""Scores of rankings: average precision and the area under the ROC curve, exact or in bins.

Both need only, for every distinct score, how many positives and how many negatives got it. Such tables merge exactly,
so the answer does not depend on batches or workers in any digit. The exact table may grow to one row per value; the
binned one has a fixed size and its keys say so (``ap_binned``, ``auroc_binned``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.metrics.arrays import as_numpy, check_between, check_finite, check_ids, same_shape, usable
from swath.metrics.outcome import Outcome, undefined
from swath.types import IGNORE

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers


@dataclass(frozen=True, eq=False)
class Curve:
    """Counts per distinct score.

    Args:
        scores: distinct scores, ascending, float64 ``(n,)``.
        positives: int64 ``(n,)``, values of the class of interest with that score.
        negatives: int64 ``(n,)``, the others.
    """

    scores: NDArray[np.float64]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]

    @property
    def totals(self) -> tuple[int, int]:
        """Number of positives and of negatives."""
        return int(self.positives.sum()), int(self.negatives.sum())


def average_precision(curve: Curve) -> Outcome:
    """AP = sum_n (R_n - R_(n-1)) P_n over distinct scores from high to low; no interpolation.

    NaN when there are no positives (Davis and Goadrich 2006, ICML, on why interpolating is optimistic).
    """
    positives, negatives = curve.totals
    if not positives:
        return undefined("there are no positives" if negatives else "there are no valid values", count=negatives)
    hits = np.cumsum(curve.positives[::-1])
    chosen = hits + np.cumsum(curve.negatives[::-1])
    seen = chosen > 0
    precision = hits[seen] / chosen[seen]
    return Outcome(float((curve.positives[::-1][seen] * precision).sum() / positives), positives + negatives)


def area_under_roc(curve: Curve) -> Outcome:
    """AUROC = P(s+ > s-) + 0.5 P(s+ = s-), the Mann-Whitney statistic (Hanley and McNeil 1982, Radiology 143, 29-36).

    NaN when either class is absent.
    """
    positives, negatives = curve.totals
    if not positives or not negatives:
        missing = "positives" if negatives else "negatives"
        reason = f"there are no {missing}" if positives + negatives else "there are no valid values"
        return undefined(reason, count=positives + negatives)
    below = np.cumsum(curve.negatives) - curve.negatives
    wins = curve.positives * ((below + 0.5 * curve.negatives) / negatives)
    return Outcome(float(wins.sum() / positives), positives + negatives)


class Ranking:
    """Scores of a class of interest against its labels, pooled over everything it was updated with.

    Args:
        bins: None for the exact table; otherwise the number of equal bins of [0, 1], at least 1024. Two values in one
            bin count as a tie.
        split: the split the values come from, "validation" where a threshold is to be chosen.

    Raises:
        ConfigError: fewer than 1024 bins.
    """

    def __init__(self, bins: int | None = None, split: str = "") -> None:
        if bins is not None and bins < 1024:
            raise ConfigError(f"{bins} bins", expected="at least 1024", remedy="give 1024, or None for exact scores")
        self.bins, self.split = bins, split
        self._pending: list[Curve] = []

    def update(
        self, truth: Numbers, scores: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            truth: bool, or integers 0 and 1, of any shape; ``IGNORE`` (-100) is left out.
            scores: numbers of the same shape, higher for the class of interest; within [0, 1] where binned.
            valid: bool, broadcastable to ``truth``; what stands under the mask has no effect.
            ids: names of the samples (first axis) for errors.

        Raises:
            InputError: shapes differ, a label is not 0 or 1, or a used score is NaN, infinite or outside the bins.
        """
        labels, values = as_numpy(truth), as_numpy(scores)
        same_shape(labels, values, ("truth", "scores"))
        check_ids(ids, len(labels) if labels.ndim else 1)
        mask = usable(valid, labels.shape, "truth") & (labels != IGNORE)
        if self.bins is None:
            check_finite("scores", values, mask, ids)
        else:
            check_between("scores", values, mask, (0.0, 1.0), ids)
        used = labels[mask]
        if used.size and (used.dtype.kind not in "iub" or not np.isin(used, (0, 1)).all()):
            raise InputError(
                f"'truth' holds {np.unique(used)[:5].tolist()}",
                expected=f"0 and 1 as integers or bool, {IGNORE} where unknown",
                remedy="compare the labels with the class of interest first",
            )
        self._pending.append(self._table(values[mask].astype(np.float64), used.astype(np.bool_)))

    def _table(self, values: NDArray[np.float64], labels: NDArray[np.bool_]) -> Curve:
        if self.bins is not None:
            values = np.minimum(np.floor(values * self.bins), self.bins - 1) / self.bins
        distinct, position = np.unique(values, return_inverse=True)
        count = len(distinct)
        return Curve(
            distinct, np.bincount(position[labels], minlength=count), np.bincount(position[~labels], minlength=count)
        )

    def __add__(self, other: Ranking) -> Ranking:
        if (self.bins, self.split) != (other.bins, other.split):
            raise InputError(
                f"The rankings have {self.bins or 'exact'} and {other.bins or 'exact'} scores of the splits "
                f"'{self.split}' and '{other.split}'",
                expected="one kind of table and one split",
                remedy="merge parts of one evaluation only",
            )
        merged = Ranking(self.bins, self.split)
        merged._pending = [*self._pending, *other._pending]
        return merged

    def curve(self) -> Curve:
        """The merged table."""
        if len(self._pending) != 1:
            distinct, position = np.unique(
                np.concatenate([np.zeros(0), *(part.scores for part in self._pending)]), return_inverse=True
            )
            positives, negatives = np.zeros((2, len(distinct)), np.int64)
            np.add.at(positives, position, _joined([part.positives for part in self._pending]))
            np.add.at(negatives, position, _joined([part.negatives for part in self._pending]))
            self._pending = [Curve(distinct, positives, negatives)]
        return self._pending[0]

    def compute(self) -> dict[str, Outcome]:
        """``ap`` and ``auroc``, or ``ap_binned`` and ``auroc_binned``."""
        suffix = "" if self.bins is None else "_binned"
        curve = self.curve()
        return {f"ap{suffix}": average_precision(curve), f"auroc{suffix}": area_under_roc(curve)}


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts])
