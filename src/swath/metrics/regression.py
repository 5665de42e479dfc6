"""Streaming scores of quantities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError
from swath.metrics.arrays import as_numpy, same_shape, usable

if TYPE_CHECKING:
    from torch import Tensor

Vector = NDArray[np.float64]


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
        self,
        observed: NDArray[Any] | Tensor,
        predicted: NDArray[Any] | Tensor,
        valid: NDArray[Any] | Tensor | None = None,
    ) -> None:
        """Add one batch.

        Args:
            observed: numbers of any shape.
            predicted: numbers of the same shape and unit.
            valid: bool, broadcastable to ``observed``; what stands under the mask (also NaN) has no effect.

        Raises:
            InputError: shapes differ, or a used value is NaN or infinite (the first samples are named).
        """
        truth, guess = as_numpy(observed), as_numpy(predicted)
        same_shape(truth, guess, ("observed", "predicted"))
        mask = usable(valid, truth.shape, "observed")
        for name, values in (("observed", truth), ("predicted", guess)):
            _check_finite(name, values, mask)
        part = Regression._of(truth[mask].astype(np.float64), guess[mask].astype(np.float64))
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
        return {name: getattr(self, name)() for name in ("mae", "rmse", "r2", "pearson", "bias", "mape")}


def _centred(values: Vector) -> tuple[float, Vector]:
    """Mean and deviations. The first value is taken off first, which makes a constant exactly constant."""
    shifted = values - values[0]
    offset = shifted.mean()
    return float(values[0] + offset), shifted - offset


def _ratio(top: float, bottom: float) -> float:
    return float(top / bottom) if bottom else float("nan")


def _check_finite(name: str, values: NDArray[Any], mask: NDArray[np.bool_]) -> None:
    broken = mask & ~np.isfinite(values)
    if not broken.any():
        return
    where = sorted({int(index[0]) if broken.ndim else 0 for index in np.argwhere(broken)[:1000]})[:5]
    raise InputError(
        f"'{name}' holds {int(broken.sum())} NaN or infinite values where valid, first in samples {where}",
        expected="finite numbers wherever they are used",
        remedy="mark missing observations in 'valid'; for predictions check the model",
    )
