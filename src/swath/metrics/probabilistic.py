"""Scores of predicted distributions: negative log likelihood and the continuous ranked probability score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from swath.errors import InputError
from swath.metrics.arrays import (
    Vector,
    as_numpy,
    check_finite,
    check_ids,
    check_positive,
    same_shape,
    usable,
)
from swath.metrics.outcome import Outcome, quotient

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

NOTHING = "there are no valid values"


def gaussian_nll(observed: Vector, mean: Vector, deviation: Vector) -> Vector:
    """Negative log density 0.5 ln(2 pi) + ln sd + 0.5 z^2 with z = (y - m) / sd, per value, in nats.

    The constant is kept (a training loss drops it), so values compare across papers that report densities.
    """
    z = (observed - mean) / deviation
    return np.asarray(0.5 * np.log(2 * np.pi) + np.log(deviation) + 0.5 * z**2)


def gaussian_crps(observed: Vector, mean: Vector, deviation: Vector) -> Vector:
    """CRPS = sd [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)] per value, in the unit of the observations.

    Gneiting and Raftery (2007), JASA 102, 359-378, equation 21.
    """
    z = (observed - mean) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * (2 * special.ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)))


def sample_crps(observed: Vector, members: Vector) -> Vector:
    """CRPS = mean abs(x - y) - 0.5 mean abs(x - x') over all pairs of members, a member with itself included.

    The second mean comes from the sorted members in M log M instead of M^2 steps: sum over pairs abs(x_i - x_j) =
    2 sum_i (2 i - M - 1) x_(i) with i from 1 (Gneiting and Raftery 2007, equation 20; the ensemble itself is taken as
    the forecast, which favours neither small nor large ensembles of the same distribution as the "fair" form would).

    Args:
        observed: values ``(n,)``.
        members: forecasts ``(M, n)``.
    """
    count = len(members)
    distance = np.abs(members - observed).mean(axis=0)
    weight = 2 * np.arange(1, count + 1) - count - 1
    # Differences to the observation keep the digits of values with a large offset.
    spread = 2 * np.tensordot(weight, np.sort(members - observed, axis=0), axes=1) / count**2
    return np.asarray(distance - 0.5 * spread)


@dataclass
class GaussianScores:
    """``nll`` and ``crps`` of Gaussian predictions: means over all valid values. Parts add up.

    Args:
        count: values so far.
        total_nll: their sum of negative log densities [nats].
        total_crps: their sum of CRPS, unit of the observations.
    """

    count: int = 0
    total_nll: float = 0.0
    total_crps: float = 0.0

    def update(
        self,
        observed: Numbers,
        mean: Numbers,
        deviation: Numbers,
        valid: Numbers | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Add one batch.

        Args:
            observed: numbers of any shape.
            mean: predicted means of the same shape and unit.
            deviation: predicted standard deviations, above 0, same shape and unit.
            valid: bool, broadcastable; what stands under the mask has no effect.
            ids: names of the samples (first axis) for errors.

        Raises:
            InputError: shapes differ, a used value is NaN or infinite, or a used deviation is not above 0.
        """
        values = used_gaussians(observed, mean, deviation, valid, ids)
        self.count += values[0].size
        self.total_nll += float(gaussian_nll(*values).sum())
        self.total_crps += float(gaussian_crps(*values).sum())

    def __add__(self, other: GaussianScores) -> GaussianScores:
        return GaussianScores(
            self.count + other.count, self.total_nll + other.total_nll, self.total_crps + other.total_crps
        )

    def compute(self) -> dict[str, Outcome]:
        """``nll`` and ``crps``."""
        totals = {"nll": self.total_nll, "crps": self.total_crps}
        return {key: quotient(total, self.count, self.count, NOTHING) for key, total in totals.items()}


@dataclass
class SampleScores:
    """``crps`` of predictions given as members: mean over all valid values. Parts add up, also of unequal ensembles.

    Args:
        count: values so far.
        total: their sum of CRPS, unit of the observations.
    """

    count: int = 0
    total: float = 0.0

    def update(
        self, observed: Numbers, members: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            observed: numbers ``(N, ...)``.
            members: M >= 1 forecasts ``(M, N, ...)``.
            valid: bool, broadcastable to ``observed``.
            ids: names of the N samples for errors.

        Raises:
            InputError: shapes do not fit, there is no member, or a used value is NaN or infinite.
        """
        truth, forecasts = as_numpy(observed), as_numpy(members)
        if forecasts.shape[1:] != truth.shape or not len(forecasts):
            raise InputError(
                f"'members' has shape {forecasts.shape} and 'observed' {truth.shape}",
                expected="at least one member on the first axis, and the shape of the observations behind it",
                remedy="move the axis of the members to the front",
            )
        mask = usable(valid, truth.shape, "observed")
        check_ids(ids, len(truth) if truth.ndim else 1)
        check_finite("observed", truth, mask, ids)
        check_finite("members", np.where(np.isfinite(forecasts).all(axis=0), 0.0, np.nan), mask, ids)
        self.count += int(mask.sum())
        self.total += float(sample_crps(truth[mask].astype(np.float64), forecasts[:, mask].astype(np.float64)).sum())

    def __add__(self, other: SampleScores) -> SampleScores:
        return SampleScores(self.count + other.count, self.total + other.total)

    def compute(self) -> dict[str, Outcome]:
        """``crps``."""
        return {"crps": quotient(self.total, self.count, self.count, NOTHING)}


def used_gaussians(
    observed: Numbers, mean: Numbers, deviation: Numbers, valid: Numbers | None, ids: Sequence[str] | None
) -> tuple[Vector, Vector, Vector]:
    """The used observations, means and standard deviations as float64 vectors, checked."""
    truth, centre, spread = as_numpy(observed), as_numpy(mean), as_numpy(deviation)
    same_shape(truth, centre, ("observed", "mean"))
    same_shape(truth, spread, ("observed", "deviation"))
    mask = usable(valid, truth.shape, "observed")
    check_ids(ids, len(truth) if truth.ndim else 1)
    check_finite("observed", truth, mask, ids)
    check_finite("mean", centre, mask, ids)
    check_positive("deviation", spread, mask, ids)
    return truth[mask].astype(np.float64), centre[mask].astype(np.float64), spread[mask].astype(np.float64)
