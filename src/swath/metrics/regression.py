"""Streaming scores of quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swath.metrics.arrays import Vector, used_pairs
from swath.metrics.outcome import Outcome, mean_of, undefined

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

NAMES = ("mae", "rmse", "r2", "pearson", "bias", "mape")


@dataclass
class Regression:
    """Errors and moments of predictions against observations, pooled over everything it was updated with.

    Means and centred second moments are merged pairwise (Chan, Golub and LeVeque 1983, The American Statistician 37,
    242-247), so kelvins and pressures with large offsets keep their digits. With e = prediction - observation over the
    n used values: bias = mean e, mae = mean abs e, rmse = sqrt(mean e^2), r2 = 1 - sum e^2 / sum (obs - mean obs)^2
    about the mean of the evaluated set, pearson = covariance over the product of standard deviations, and
    mape = mean abs(e / obs) as a fraction over the values with obs != 0 (``mape_skipped`` counts the others).

    A score without evidence is NaN: no values, or no spread for r2 and pearson. Units are those of the observations.
    Parts add up: ``a + b``.
    """

    count: int = 0
    mape_skipped: int = 0
    mean_observed: float = 0.0
    mean_predicted: float = 0.0
    mean_error: float = 0.0
    squares_observed: float = 0.0
    squares_predicted: float = 0.0
    products: float = 0.0
    absolute_errors: float = 0.0
    squared_errors: float = 0.0
    relative_errors: float = 0.0

    def update(
        self, observed: Numbers, predicted: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            observed: numbers of any shape.
            predicted: numbers of the same shape and unit.
            valid: bool, broadcastable to ``observed``; what stands under the mask (also NaN) has no effect.
            ids: names of the samples (first axis) for the error; their positions by default.

        Raises:
            InputError: shapes differ, or a used value is NaN or infinite (the first samples are named).
        """
        part = Regression._of(*used_pairs(observed, predicted, valid, ids))
        self.__dict__.update((self + part).__dict__)

    @classmethod
    def _of(cls, observed: Vector, predicted: Vector) -> Regression:
        """Statistics of one batch of float64 vectors."""
        if not observed.size:
            return cls()
        error = predicted - observed
        mean_observed, from_observed = _centred(observed)
        mean_predicted, from_predicted = _centred(predicted)
        scaled = observed != 0
        return cls(
            count=observed.size,
            mape_skipped=int(observed.size - scaled.sum()),
            mean_observed=mean_observed,
            mean_predicted=mean_predicted,
            mean_error=_centred(error)[0],
            squares_observed=float(from_observed @ from_observed),
            squares_predicted=float(from_predicted @ from_predicted),
            products=float(from_observed @ from_predicted),
            absolute_errors=float(np.abs(error).sum()),
            squared_errors=float(error @ error),
            relative_errors=float(np.abs(error[scaled] / observed[scaled]).sum()),
        )

    def __add__(self, other: Regression) -> Regression:
        total = self.count + other.count
        if not total:
            return Regression()
        share = other.count / total
        weight = self.count * share
        step_observed = other.mean_observed - self.mean_observed
        step_predicted = other.mean_predicted - self.mean_predicted
        return Regression(
            count=total,
            mape_skipped=self.mape_skipped + other.mape_skipped,
            mean_observed=self.mean_observed + step_observed * share,
            mean_predicted=self.mean_predicted + step_predicted * share,
            mean_error=self.mean_error + (other.mean_error - self.mean_error) * share,
            squares_observed=self.squares_observed + other.squares_observed + step_observed**2 * weight,
            squares_predicted=self.squares_predicted + other.squares_predicted + step_predicted**2 * weight,
            products=self.products + other.products + step_observed * step_predicted * weight,
            absolute_errors=self.absolute_errors + other.absolute_errors,
            squared_errors=self.squared_errors + other.squared_errors,
            relative_errors=self.relative_errors + other.relative_errors,
        )

    def bias(self) -> float:
        """Mean of prediction - observation."""
        return self.mean_error if self.count else np.nan

    def mae(self) -> float:
        """Mean absolute error."""
        return _ratio(self.absolute_errors, self.count)

    def rmse(self) -> float:
        """Root mean squared error."""
        return float(np.sqrt(_ratio(self.squared_errors, self.count)))

    def r2(self) -> float:
        """Coefficient of determination; negative when worse than the mean of the evaluated set."""
        return 1.0 - _ratio(self.squared_errors, self.squares_observed)

    def pearson(self) -> float:
        """Correlation, within [-1, 1]."""
        spread = float(np.sqrt(self.squares_observed) * np.sqrt(self.squares_predicted))
        return float(np.clip(_ratio(self.products, spread), -1.0, 1.0))

    def mape(self) -> float:
        """Mean absolute relative error as a fraction, over the values with a non-zero observation."""
        return _ratio(self.relative_errors, self.count - self.mape_skipped)

    def scores(self) -> dict[str, float]:
        """All six scores by name."""
        return {name: getattr(self, name)() for name in NAMES}

    def compute(self) -> dict[str, Outcome]:
        """All six scores by name with their counts; ``mape`` says how many zero observations it skipped."""
        spread = "the observations" if not self.squares_observed else "the predictions"
        flat = f"{spread} have no spread" if self.count else "there are no valid values"
        answers = {}
        for name, value in self.scores().items():
            skipped = self.mape_skipped if name == "mape" else 0
            reason = f"{skipped} of {self.count} observations are 0" if skipped else ""
            if np.isnan(value):
                answers[name] = undefined(reason or flat, count=self.count - skipped, skipped=skipped)
            else:
                answers[name] = Outcome(value, self.count - skipped, skipped, reason)
        return answers


def compute_folds(folds: Mapping[str, Regression]) -> dict[str, Outcome]:
    """Every score twice: pooled over all folds (``rmse``) and as the mean of the folds' scores (``rmse_folds``).

    The two differ: pooled r2 is about one mean, the mean of folds about one mean per fold, and a fold weighs the same
    whatever its size. Folds in which a score is undefined are left out of its mean and counted.

    Args:
        folds: accumulated errors by name of the fold.
    """
    pooled = Regression()
    for part in folds.values():
        pooled = pooled + part
    answers = pooled.compute()
    for name in NAMES:
        values = [part.scores()[name] for part in folds.values()]
        answers[f"{name}_folds"] = mean_of(values, "folds", f"leave {name} undefined")
    return answers


def _centred(values: Vector) -> tuple[float, Vector]:
    """Mean and deviations. The first value is taken off first, which makes a constant exactly constant."""
    shifted = values - values[0]
    offset = shifted.mean()
    return float(values[0] + offset), shifted - offset


def _ratio(top: float, bottom: float) -> float:
    return float(top / bottom) if bottom else float("nan")
