"""Intervals around scores: bootstrap over units with additive counts, and paired intervals of differences.

The unit of resampling is whatever was drawn independently: an image, a tile, a group, a seed; never a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from swath import rng
from swath.errors import ConfigError, InputError

Values = NDArray[np.float64]
Statistic = Callable[[NDArray[Any]], Values]
"""From summed counts ``(R, ...)`` to scores ``(R, ...)``, all R at once; the functions of ``scores`` are such."""
Method = Literal["percentile", "bca"]

CELLS = 4_000_000
"""Largest number of resampling weights held at once, about 32 MB."""


@dataclass(frozen=True, eq=False)
class Interval:
    """An estimate with an interval; arrays share the shape of the statistic (0-d for a single score).

    Args:
        estimate: the score of the whole sample.
        low: lower bound; NaN where no interval can be given (fewer than two units).
        high: upper bound.
        units: number of units.
        level: nominal coverage.
        undefined: resamples in which the score was NaN and which the interval therefore leaves out.
    """

    estimate: Values
    low: Values
    high: Values
    units: int
    level: float
    undefined: NDArray[np.int64]

    def __iter__(self) -> Iterator[Values]:
        """Unpacks as ``estimate, low, high``."""
        return iter((self.estimate, self.low, self.high))


def bootstrap_interval(
    per_unit: NDArray[Any],
    statistic: Statistic,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    method: Method = "percentile",
) -> Interval:
    """Bootstrap interval of a score that is a function of summed counts.

    Units are drawn with replacement. Instead of copying them, each resample is a vector of multinomial weights, and
    one matrix product gives the summed counts of all resamples (Efron and Tibshirani 1993, chapters 13 and 14).

    Args:
        per_unit: additive counts ``(N, ...)``, for example confusion matrices ``(N, K, K)``.
        statistic: from counts ``(R, ...)`` to scores ``(R, ...)``.
        resamples: number of resamples R.
        level: nominal coverage.
        seed: seed of the resampling; the same seed gives the same interval.
        method: ``percentile``, or ``bca`` (bias-corrected and accelerated).

    Raises:
        ConfigError: level, resamples or method out of range.
        InputError: no unit axis.
    """
    _check_options(level, resamples, method)
    counts = np.asarray(per_unit)
    if counts.ndim == 0:
        raise InputError("The counts are one number", expected="units along the first axis", remedy="keep that axis")
    units = counts.shape[0]
    estimate = np.asarray(statistic(counts.sum(axis=0, keepdims=True)), dtype=np.float64)[0]
    if units < 2:
        unknown = np.full(estimate.shape, np.nan)
        return Interval(estimate, unknown, unknown.copy(), units, level, np.zeros(estimate.shape, np.int64))
    draws = _resampled(counts, statistic, resamples, seed)
    undefined = np.isnan(draws).sum(axis=0)
    shares = np.array([(1 - level) / 2, (1 + level) / 2])
    flat = draws.reshape(resamples, -1)
    if method == "bca":
        lifted = _bca_shares(shares, flat, estimate.reshape(-1), _jackknife(counts, statistic))
    else:
        lifted = np.repeat(shares[:, None], flat.shape[1], axis=1)
    bounds = np.full((2, flat.shape[1]), np.nan)
    for column in range(flat.shape[1]):
        known = flat[~np.isnan(flat[:, column]), column]
        if known.size and np.isfinite(lifted[:, column]).all():
            bounds[:, column] = np.quantile(known, lifted[:, column])
    low, high = (bound.reshape(estimate.shape) for bound in bounds)
    return Interval(estimate, low, high, units, level, np.asarray(undefined, dtype=np.int64))


def paired_bootstrap(
    first: NDArray[Any],
    second: NDArray[Any],
    statistic: Statistic,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    method: Method = "percentile",
) -> Interval:
    """Bootstrap interval of ``statistic(first) - statistic(second)``, the same units drawn for both.

    Args:
        first: additive counts ``(N, ...)`` of one contender.
        second: counts of the other on the same units in the same order.
        statistic: as for ``bootstrap_interval``, and so are the other options.
        resamples: number of resamples.
        level: nominal coverage.
        seed: seed of the resampling.
        method: ``percentile`` or ``bca``.

    Raises:
        InputError: the shapes differ.
    """
    if np.shape(first) != np.shape(second):
        raise InputError(
            f"The contenders have counts of shape {np.shape(first)} and {np.shape(second)}",
            expected="the same units and classes",
            remedy="score both on the same samples",
        )

    def difference(counts: NDArray[Any]) -> Values:
        return np.asarray(statistic(counts[:, 0]) - statistic(counts[:, 1]), dtype=np.float64)

    pairs = np.stack([first, second], axis=1)
    return bootstrap_interval(pairs, difference, resamples=resamples, level=level, seed=seed, method=method)


def paired_t_interval(differences: Sequence[float] | NDArray[Any], level: float = 0.95) -> Interval:
    """Student's t interval of the mean of paired differences: mean +- t(n-1) s / sqrt(n), s with ddof 1.

    One difference gives its value and no bounds, none gives NaN (Student 1908, Biometrika 6, 1-25).

    Raises:
        ConfigError: level out of range.
        InputError: a difference is NaN or infinite.
    """
    _check_options(level, 1, "percentile")
    values = np.asarray(differences, dtype=np.float64).reshape(-1)
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} differences are NaN or infinite",
            expected="a finite difference per seed or unit",
            remedy="find out why the score was undefined before leaving a pair out",
        )
    count = values.size
    mean = np.asarray(values.mean() if count else np.nan)
    half = np.asarray(np.nan)
    if count > 1:
        half = np.asarray(stats.t.ppf((1 + level) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half, count, level, np.zeros((), np.int64))


def sum_by_group(per_unit: NDArray[Any], groups: Sequence[str]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Counts ``(G, ...)`` summed over the units of each group, and the sorted group names.

    Raises:
        InputError: not one group per unit.
    """
    counts = np.asarray(per_unit)
    if len(groups) != len(counts):
        raise InputError(
            f"There are {len(groups)} groups for {len(counts)} units",
            expected="one group name per unit",
            remedy="look the group of every sample up in the split table",
        )
    names, position = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    summed = np.zeros((len(names), *counts.shape[1:]), dtype=counts.dtype)
    np.add.at(summed, position, counts)
    return summed, tuple(str(name) for name in names)


def _resampled(counts: NDArray[Any], statistic: Statistic, resamples: int, seed: int) -> Values:
    """Scores ``(resamples, ...)`` of the resampled sums."""
    units = counts.shape[0]
    flat = counts.reshape(units, -1).astype(np.float64)
    stream = rng.generator(seed, "bootstrap")
    step = max(CELLS // units, 1)
    parts = []
    for start in range(0, resamples, step):
        weights = stream.multinomial(units, np.full(units, 1 / units), size=min(step, resamples - start))
        sums = (weights.astype(np.float64) @ flat).reshape(-1, *counts.shape[1:])
        parts.append(np.asarray(statistic(sums), dtype=np.float64))
    return np.concatenate(parts)


def _jackknife(counts: NDArray[Any], statistic: Statistic) -> Values:
    """Scores with one unit left out at a time, ``(N, S)``."""
    left = counts.sum(axis=0, keepdims=True) - counts
    return np.asarray(statistic(left), dtype=np.float64).reshape(len(counts), -1)


def _bca_shares(shares: Values, draws: Values, estimate: Values, jackknife: Values) -> Values:
    """Quantiles to read off per score, ``(2, S)``, by Efron (1987), JASA 82, 171-185, equation 2.3."""
    known = np.maximum((~np.isnan(draws)).sum(axis=0), 1)
    below = ((draws < estimate).sum(axis=0) + 0.5 * (draws == estimate).sum(axis=0)) / known
    bias = special.ndtri(np.clip(below, 1 / (known + 1), known / (known + 1)))
    # A unit without which the score is undefined says nothing about its slope.
    seen = ~np.isnan(jackknife)
    mean = np.where(seen, jackknife, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    slope = np.where(seen, mean - jackknife, 0.0)
    spread = (slope**2).sum(axis=0) ** 1.5
    lift = np.divide((slope**3).sum(axis=0), 6 * spread, out=np.zeros_like(spread), where=spread > 0)
    reach = bias + special.ndtri(shares)[:, None]
    return np.asarray(special.ndtr(bias + reach / (1 - lift * reach)), dtype=np.float64)


def _check_options(level: float, resamples: int, method: str) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"The level is {level}", expected="a number between 0 and 1", remedy="write 0.95 for 95 %")
    if resamples < 1:
        raise ConfigError(f"{resamples} resamples", expected="at least 1, usually 1000", remedy="give more resamples")
    if method not in ("percentile", "bca"):
        raise ConfigError(f"The method is '{method}'", expected="percentile or bca", remedy="write one of the two")
