"""A few repeated results in one number: the interquartile mean, its standard error, and an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.errors import ConfigError, InputError
from swath.metrics.bootstrap import Interval, Values
from swath.metrics.outcome import Outcome, undefined

CUT = 0.25


def iqm(values: Sequence[float] | NDArray[Any]) -> Outcome:
    """``iqm``: the mean without the floor(n / 4) lowest and the floor(n / 4) highest values.

    That is scipy's ``trim_mean(values, 0.25)``: five seeds give the mean of the middle three (Agarwal et al. 2021,
    NeurIPS). The evidence counts the values that are left.

    Raises:
        InputError: a value is NaN or infinite.
    """
    kept, cut = _trimmed(values)
    if not kept.size:
        return undefined("there are no values")
    return Outcome(float(kept.mean()), kept.size, 2 * cut, f"{cut} lowest and {cut} highest are cut" if cut else "")


def sem(values: Sequence[float] | NDArray[Any]) -> Outcome:
    """``sem``: standard deviation (ddof 1) of the values that ``iqm`` keeps, over the root of their number.

    Raises:
        InputError: a value is NaN or infinite.
    """
    kept, cut = _trimmed(values)
    if kept.size < 2:
        return undefined("fewer than two values are left", count=kept.size, skipped=2 * cut)
    reason = f"{cut} lowest and {cut} highest are cut" if cut else ""
    return Outcome(float(kept.std(ddof=1) / np.sqrt(kept.size)), kept.size, 2 * cut, reason)


def boot_ci(
    values: Sequence[float] | NDArray[Any], *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """``boot_ci``: percentile bootstrap interval of the interquartile mean, the values drawn with replacement.

    For scores that come from counts use ``bootstrap_interval``. Few seeds give a narrow interval: with five, the
    nominal 95 % cover less (measured in the tests).

    Raises:
        ConfigError: level or number of resamples out of range.
        InputError: a value is NaN or infinite.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ConfigError(
            f"The level is {level} with {resamples} resamples",
            expected="a level between 0 and 1 and at least one resample",
            remedy="write 0.95 for 95 %",
        )
    every = _finite(values)
    nothing = np.zeros((), np.int64)
    estimate: Values = np.asarray(iqm(every).value)
    if every.size < 2:
        return Interval(estimate, np.asarray(np.nan), np.asarray(np.nan), every.size, level, nothing)
    cut = int(CUT * every.size)
    drawn = rng.generator(seed, "boot_ci").integers(0, every.size, (resamples, every.size))
    means = np.sort(np.sort(every)[drawn], axis=1)[:, cut : every.size - cut].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, np.asarray(low), np.asarray(high), every.size, level, nothing)


def _trimmed(values: Sequence[float] | NDArray[Any]) -> tuple[Values, int]:
    """The values that stay, ascending, and how many were cut on each side."""
    every = np.sort(_finite(values))
    cut = int(CUT * every.size)
    return every[cut : every.size - cut], cut


def _finite(values: Sequence[float] | NDArray[Any]) -> Values:
    every = np.asarray(values, dtype=np.float64).reshape(-1)
    broken = np.flatnonzero(~np.isfinite(every))
    if broken.size:
        raise InputError(
            f"{broken.size} of {every.size} values are NaN or infinite, first at positions {broken[:5].tolist()}",
            expected="a finite result per seed or data set",
            remedy="find out why the score was undefined; leaving a seed out changes the claim",
        )
    return every
