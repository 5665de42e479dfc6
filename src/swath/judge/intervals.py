"""Intervals of a claim's mean difference, over seeds or over seeds and test groups, never over pixels.

The differences are a table ``(seed, group)``; a claim over seeds alone has one column. Seeds and groups are drawn
independently of each other and every seed is scored on every group, so cells of one row or column are not independent:
treating all cells as separate draws would make intervals too narrow by far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from swath import rng
from swath.errors import ConfigError, InputError
from swath.metrics import Interval

Values = NDArray[np.float64]
Method = Literal["t", "bca"]
RESAMPLES = 2000


def mean_interval(differences: Values | Sequence[float], method: Method = "t", level: float = 0.95) -> Interval:
    """Interval of the mean of a table of paired differences.

    Args:
        differences: ``(seed, group)``, or ``(seed,)``.
        method: ``t`` is Student's interval; with groups its variance is that of the two-way random model,
            (MS_seed + MS_group - MS_rest) / (S G), not below the larger of the first two terms, with the degrees of
            freedom of Satterthwaite (1946, Biometrics Bulletin 2, 110-114). ``bca`` is the bias-corrected and
            accelerated bootstrap (Efron 1987, JASA 82, 171-185), rows and columns drawn independently (Owen 2007,
            Annals of Applied Statistics 1, 386-411), 2,000 resamples with a fixed seed.
        level: nominal coverage.

    Returns:
        The interval; its bounds are NaN with fewer than two seeds, or with groups and fewer than two of them.

    Raises:
        ConfigError: level or method unknown.
        InputError: a difference is NaN or infinite.
    """
    table = _checked(differences, method, level)
    mean = np.asarray(table.mean() if table.size else np.nan)
    low = high = np.asarray(np.nan)
    if _enough(table):
        if method == "t":
            error, freedom = _error(table)
            half = np.asarray(stats.t.ppf((1 + level) / 2, freedom) * error)
            low, high = mean - half, mean + half
        else:
            low, high = _bca_bounds(table, level)
    return Interval(mean, low, high, table.shape[0], level, np.zeros((), np.int64))


def p_of_no_difference(differences: Values | Sequence[float], method: Method = "t") -> float:
    """Two-sided p against no difference that belongs to ``mean_interval``; 1 where no interval can be given.

    The interval at coverage 1 - p just reaches 0. For ``bca`` p is read off the same resamples, and is never below
    2 / (resamples + 1).
    """
    table = _checked(differences, method, 0.95)
    if not _enough(table):
        return 1.0
    mean = float(table.mean())
    if method == "t":
        error, freedom = _error(table)
        if error == 0:
            return 0.0 if mean else 1.0
        return float(2 * stats.t.sf(abs(mean) / error, freedom))
    draws = _draws(table)
    least = 1 / (len(draws) + 1)
    below = np.clip(np.mean(draws < 0) + 0.5 * np.mean(draws == 0), least, 1 - least)
    bias, lift = _bca_constants(table, draws)
    way = special.ndtri(below) - bias
    share = float(special.ndtr(way / (1 + lift * way) - bias))
    return float(np.clip(2 * min(share, 1 - share), 2 * least, 1.0))


def _checked(differences: Values | Sequence[float], method: str, level: float) -> Values:
    if method not in ("t", "bca") or not 0 < level < 1:
        raise ConfigError(
            f"The interval is '{method}' at level {level}",
            expected="t or bca, at a level between 0 and 1",
            remedy="write interval = 't' in the registration",
        )
    table = np.asarray(differences, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    broken = int((~np.isfinite(table)).sum())
    if broken:
        raise InputError(
            f"{broken} of {table.size} differences are NaN or infinite",
            expected="a finite difference per seed and group",
            remedy="find out why the score was undefined before leaving a pair out",
        )
    return table


def _enough(table: Values) -> bool:
    """At least two seeds; with groups at least two of them, which ``paired_table`` makes sure of."""
    return bool(table.size) and table.shape[0] > 1


def _error(table: Values) -> tuple[float, float]:
    """Standard error of the mean and its degrees of freedom."""
    seeds, groups = table.shape
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    if groups == 1:
        return float(rows.std(ddof=1) / np.sqrt(seeds)), seeds - 1
    by_seed, by_group = rows.var(ddof=1) / seeds, columns.var(ddof=1) / groups
    rest = table - rows[:, None] - columns[None] + table.mean()
    noise = (rest**2).sum() / ((seeds - 1) * (groups - 1)) / table.size
    variance = max(by_seed + by_group - noise, by_seed, by_group)
    parts = by_seed**2 / (seeds - 1) + by_group**2 / (groups - 1)
    return float(np.sqrt(variance)), float(variance**2 / parts) if parts else min(seeds, groups) - 1


def _draws(table: Values) -> Values:
    """Means ``(RESAMPLES,)`` of tables whose rows and columns were each drawn with replacement."""
    seeds, groups = table.shape
    stream = rng.generator(0, "claim_interval")
    rows = stream.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    columns = stream.multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES) / groups
    return np.einsum("rs,sg,rg->r", rows, table, columns, optimize=True)


def _bca_constants(table: Values, draws: Values) -> tuple[float, float]:
    """Bias correction and acceleration; the latter is a sixth of the skewness of the mean, from rows and columns."""
    mean, count = table.mean(), len(draws)
    below = (np.sum(draws < mean) + 0.5 * np.sum(draws == mean)) / count
    bias = float(special.ndtri(np.clip(below, 1 / (count + 1), count / (count + 1))))
    shares = [(table.mean(axis=1 - axis) - mean) / table.shape[axis] for axis in (0, 1)]
    moved = np.concatenate(shares)
    spread = float((moved**2).sum()) ** 1.5
    return bias, float((moved**3).sum()) / (6 * spread) if spread > 0 else 0.0


def _bca_bounds(table: Values, level: float) -> tuple[Values, Values]:
    draws = _draws(table)
    bias, lift = _bca_constants(table, draws)
    reach = bias + special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(draws, special.ndtr(bias + reach / (1 - lift * reach)))
    return np.asarray(low), np.asarray(high)
