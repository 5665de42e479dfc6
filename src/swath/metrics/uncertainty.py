"""Does a larger predicted uncertainty go with worse answers? R-AUROC and the coefficient of predictive ability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from swath.errors import InputError
from swath.metrics.arrays import as_numpy, check_finite, check_ids, same_shape, usable
from swath.metrics.outcome import Outcome, undefined
from swath.metrics.ranking import Curve, area_under_roc

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers


def predictive_ability(outcome: NDArray[Any], score: NDArray[Any]) -> float:
    """CPA = (cov(rd, rs) / cov(rd, r) + 1) / 2; NaN when all outcomes are equal.

    rd are the dense ranks of the outcome, r its average ranks and rs the average ranks of the score. 1 when the score
    orders the outcome perfectly, 0.5 by chance, and exactly the AUROC for an outcome of two values (Gneiting and Walz
    2022, Machine Learning 111, 2769-2797, equation 12).

    Args:
        outcome: what was to be predicted, ``(n,)``.
        score: higher where a higher outcome is expected, ``(n,)``.
    """
    if len(outcome) == 0:
        return float("nan")
    dense = stats.rankdata(outcome, method="dense")
    centred = dense - dense.mean()
    own = float(centred @ stats.rankdata(outcome))
    return float("nan") if own == 0 else (float(centred @ stats.rankdata(score)) / own + 1) / 2


class UncertaintyRanking:
    """``r_auroc`` and ``cpa`` of predicted uncertainties u against the correctness c of the answers.

    ``r_auroc`` = AUROC(score = -u, label = c) for c in {0, 1}; ``cpa`` = CPA(outcome = c, score = -u) for any c, equal
    to ``r_auroc`` where both exist. Pairs are kept in a table of distinct pairs, so parts add up exactly.
    """

    def __init__(self) -> None:
        self._pairs: list[NDArray[np.float64]] = []
        self._numbers: list[NDArray[np.int64]] = []

    def update(
        self, uncertainty: Numbers, correctness: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            uncertainty: numbers of 0 or above, any shape.
            correctness: the same shape; bool, 0 and 1, or any number that is higher for better answers.
            valid: bool, broadcastable.
            ids: names of the samples (first axis) for errors.

        Raises:
            InputError: shapes differ, a used value is NaN or infinite, or an uncertainty is negative.
        """
        unsure, right = as_numpy(uncertainty), as_numpy(correctness)
        same_shape(unsure, right, ("uncertainty", "correctness"))
        mask = usable(valid, unsure.shape, "uncertainty")
        check_ids(ids, len(unsure) if unsure.ndim else 1)
        check_finite("uncertainty", unsure, mask, ids)
        check_finite("correctness", right, mask, ids)
        if (mask & (unsure < 0)).any():
            raise InputError(
                f"'uncertainty' holds {int((mask & (unsure < 0)).sum())} negative values",
                expected="numbers of 0 or above",
                remedy="pass a variance or a predicted loss, not its logarithm",
            )
        pairs = np.stack([unsure[mask].astype(np.float64), right[mask].astype(np.float64)], axis=1)
        distinct, numbers = np.unique(pairs, axis=0, return_counts=True)
        self._pairs.append(distinct)
        self._numbers.append(numbers)

    def __add__(self, other: UncertaintyRanking) -> UncertaintyRanking:
        merged = UncertaintyRanking()
        merged._pairs = self._pairs + other._pairs
        merged._numbers = self._numbers + other._numbers
        return merged

    def pairs(self) -> NDArray[np.float64]:
        """All pairs of uncertainty and correctness ``(n, 2)``, sorted."""
        every = np.concatenate([np.zeros((0, 2)), *self._pairs])
        every = np.repeat(every, np.concatenate([np.zeros(0, np.int64), *self._numbers]), axis=0)
        return every[np.lexsort(every.T[::-1])]

    def compute(self) -> dict[str, Outcome]:
        """``r_auroc`` and ``cpa``; NaN with a reason where undefined."""
        unsure, right = self.pairs().T
        count = len(right)
        kinds = np.unique(right)
        if len(kinds) < 2:
            why = "all answers are equally right" if count else "there are no valid values"
            return {key: undefined(why, count=count) for key in ("r_auroc", "cpa")}
        ability = Outcome(predictive_ability(right, -unsure), count)
        if not np.isin(kinds, (0, 1)).all():
            why = "correctness is not 0 or 1, cpa is defined for it"
            return {"r_auroc": undefined(why, count=count), "cpa": ability}
        scores, position = np.unique(-unsure, return_inverse=True)
        hits = np.bincount(position, weights=right, minlength=len(scores)).astype(np.int64)
        curve = Curve(scores, hits, np.bincount(position, minlength=len(scores)) - hits)
        return {"r_auroc": area_under_roc(curve), "cpa": ability}
