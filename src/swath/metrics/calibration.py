"""Is what a model says about its own certainty true? Coverage of intervals, and confidence against accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from swath.errors import ConfigError, InputError
from swath.metrics.arrays import as_numpy, check_between, check_ids, usable
from swath.metrics.outcome import Outcome, quotient, undefined
from swath.metrics.probabilistic import NOTHING, used_gaussians
from swath.types import IGNORE

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

QUANTILES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999)
"""Nominal coverages that ``ece_reg`` runs over."""


class Coverage:
    """Coverage and width of central Gaussian intervals, and the calibration error over many levels.

    The interval of level c is m +- z sd with z the standard normal quantile of (1 + c) / 2; bounds belong to it.
    ``picp@c`` is the share of observations inside, ``width@c`` the mean of 2 z sd. With cov(q) the share inside at
    level q and n_in(q) the number inside, over q = 0, 0.1, ..., 0.9, 0.999:
    ``ece_reg`` = mean_q abs(cov(q) - q), and ``ece_reg_count`` = (1 / N) sum_q n_in(q) abs(cov(q) - q), the weighting
    of the temporal dropout paper, which is not a mean and can pass 1 (Kuleshov, Fenner and Ermon 2018, ICML, for the
    idea). Parts add up; all but the width are sums of integers.

    Args:
        levels: levels c of ``picp`` and ``width``, each between 0 and 1.

    Raises:
        ConfigError: a level out of range.
    """

    def __init__(self, levels: Sequence[float] = (0.95,)) -> None:
        self.levels = tuple(float(level) for level in levels)
        if not all(0 < level < 1 for level in self.levels):
            raise ConfigError(
                f"The levels are {self.levels}", expected="numbers between 0 and 1", remedy="write 0.95 for 95 %"
            )
        self.count = 0
        self.total_deviation = 0.0
        self.inside = np.zeros(len(QUANTILES) + len(self.levels), np.int64)

    def update(
        self,
        observed: Numbers,
        mean: Numbers,
        deviation: Numbers,
        valid: Numbers | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Add one batch; arguments and errors as for ``GaussianScores.update``."""
        truth, centre, spread = used_gaussians(observed, mean, deviation, valid, ids)
        # One sorted pass for all levels; z <= quantile decides, as the closed interval says.
        distance = np.sort(np.abs(truth - centre) / spread)
        self.inside = self.inside + np.searchsorted(distance, _half_width((*QUANTILES, *self.levels)), side="right")
        self.count += truth.size
        self.total_deviation += float(spread.sum())

    def __add__(self, other: Coverage) -> Coverage:
        if self.levels != other.levels:
            raise InputError(
                f"The levels are {self.levels} and {other.levels}",
                expected="the same levels",
                remedy="score both parts alike",
            )
        merged = Coverage(self.levels)
        merged.inside = self.inside + other.inside
        merged.count = self.count + other.count
        merged.total_deviation = self.total_deviation + other.total_deviation
        return merged

    def compute(self) -> dict[str, Outcome]:
        """``picp@c`` and ``width@c`` per level, ``ece_reg``, ``ece_reg_count``; coverages are fractions."""
        inside, at_levels = self.inside[: len(QUANTILES)], self.inside[len(QUANTILES) :]
        answers = {}
        for level, number, reach in zip(self.levels, at_levels, _half_width(self.levels), strict=True):
            answers[f"picp@{level:g}"] = quotient(int(number), self.count, self.count, NOTHING)
            answers[f"width@{level:g}"] = quotient(2 * reach * self.total_deviation, self.count, self.count, NOTHING)
        if not self.count:
            return {**answers, "ece_reg": undefined(NOTHING), "ece_reg_count": undefined(NOTHING)}
        gaps = np.abs(inside / self.count - np.array(QUANTILES))
        answers["ece_reg"] = Outcome(float(gaps.mean()), self.count)
        answers["ece_reg_count"] = Outcome(float((inside * gaps).sum() / self.count), self.count)
        return answers


class ClassCalibration:
    """``ece_cls``: expected calibration error of the most likely class in 15 equal bins of its probability.

    ECE = sum_b (n_b / N) abs(acc_b - conf_b) over the bins (b/15, (b+1)/15], the first with its lower bound; acc_b is
    the share of right predictions and conf_b the mean probability in bin b (Guo et al. 2017, ICML, equation 3). Of
    equally likely classes the first is the prediction. Parts add up.

    Args:
        bins: number of bins.

    Raises:
        ConfigError: no bins.
    """

    def __init__(self, bins: int = 15) -> None:
        if bins < 1:
            raise ConfigError(f"{bins} bins", expected="at least 1", remedy="give 15")
        self.counts = np.zeros((2, bins), np.int64)  # values, right ones
        self.confidence = np.zeros(bins)

    def update(
        self, truth: Numbers, probabilities: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            truth: class numbers ``(N, ...)``, ``IGNORE`` where unknown.
            probabilities: ``(N, K, ...)``, within [0, 1], summing to 1 over the classes.
            valid: bool, broadcastable to ``truth``.
            ids: names of the N samples for errors.

        Raises:
            InputError: shapes do not fit, a label is outside the classes, a used probability is NaN or outside
                [0, 1], or the probabilities do not sum to 1.
        """
        labels, values = as_numpy(truth), as_numpy(probabilities)
        if values.ndim < 2 or labels.shape != values.shape[:1] + values.shape[2:]:
            raise InputError(
                f"'truth' has shape {labels.shape} and 'probabilities' {values.shape}",
                expected="(N, ...) and (N, classes, ...)",
                remedy="put the classes on the second axis",
            )
        check_ids(ids, len(labels))
        mask = usable(valid, labels.shape, "truth") & (labels != IGNORE)
        check_between("probabilities", values, np.broadcast_to(mask[:, None], values.shape), (0.0, 1.0), ids)
        used = np.moveaxis(values, 1, -1)[mask].astype(np.float64)
        _check_distribution(used, labels[mask])
        bins = len(self.confidence)
        best = used.argmax(axis=1)
        top = used[np.arange(len(used)), best]
        place = np.clip(np.ceil(top * bins).astype(np.int64) - 1, 0, bins - 1)
        right = place[best == labels[mask]]
        self.counts = self.counts + np.stack([np.bincount(part, minlength=bins) for part in (place, right)])
        self.confidence = self.confidence + np.bincount(place, weights=top, minlength=bins)

    def __add__(self, other: ClassCalibration) -> ClassCalibration:
        if len(self.confidence) != len(other.confidence):
            raise InputError(
                f"There are {len(self.confidence)} and {len(other.confidence)} bins",
                expected="the same number of bins",
                remedy="score both parts alike",
            )
        merged = ClassCalibration(len(self.confidence))
        merged.counts, merged.confidence = self.counts + other.counts, self.confidence + other.confidence
        return merged

    def compute(self) -> dict[str, Outcome]:
        """``ece_cls``, a fraction."""
        total = int(self.counts[0].sum())
        gaps = float(np.abs(self.counts[1] - self.confidence).sum())
        return {"ece_cls": quotient(gaps, total, total, NOTHING)}


def _half_width(levels: Sequence[float]) -> NDArray[np.float64]:
    """Standard normal quantiles of (1 + c) / 2."""
    return np.asarray(special.ndtri((1 + np.array(levels)) / 2), dtype=np.float64)


def _check_distribution(used: NDArray[np.float64], labels: NDArray[Any]) -> None:
    if not len(used):
        return
    if (labels < 0).any() or (labels >= used.shape[1]).any():
        raise InputError(
            f"'truth' holds labels from {labels.min()} to {labels.max()}",
            expected=f"0 to {used.shape[1] - 1}, or {IGNORE} where unknown",
            remedy="check the legend that the labels were made with",
        )
    off = np.abs(used.sum(axis=1) - 1)
    if off.max() > 1e-3:
        raise InputError(
            f"The probabilities of {int((off > 1e-3).sum())} values do not sum to 1 over the classes",
            expected="probabilities of exclusive classes",
            remedy="take the soft max of the logits over the class axis",
        )
