"""Ranks of contenders over tasks, with an interval over seeds and tasks.

On every task and seed the contenders are ranked by the score, 1 is best, ties share the mean of their ranks; a
contender's rank on a task is its mean over seeds, and its mean rank the mean over tasks. The interval is a percentile
bootstrap of two levels: tasks are drawn with replacement, and within each drawn task seeds are. It says how the mean
rank might have come out on other tasks like these; ten tasks are few, and the interval is rather too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from swath import rng
from swath.errors import InputError

RESAMPLES = 2000


@dataclass(frozen=True)
class MeanRank:
    """The mean rank of one contender.

    Args:
        name: the contender.
        mean: mean rank, 1 is best.
        low: lower bound of the 95 % interval.
        high: upper bound.
        tasks: number of tasks.
    """

    name: str
    mean: float
    low: float
    high: float
    tasks: int


def ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks along the last axis, 1 for the highest score, ties share their mean.

    Raises:
        InputError: a score is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise InputError(
            f"{int((~np.isfinite(scores)).sum())} of {scores.size} scores are NaN or infinite",
            expected="a finite score of every contender",
            remedy="find out why it is undefined; it cannot be ranked",
        )
    return np.asarray(stats.rankdata(-scores, axis=-1), np.float64)


def mean_ranks(names: tuple[str, ...], scores: list[NDArray[np.float64]], level: float = 0.95) -> tuple[MeanRank, ...]:
    """Mean rank and interval of each contender, in the order of ``names``.

    Args:
        names: C contenders.
        scores: for each task ``(seeds, C)``, higher is better; tasks may differ in the number of seeds.
        level: coverage of the interval.

    Raises:
        InputError: no task, another number of contenders, no seed, or a score that is NaN.
    """
    if not scores or any(each.ndim != 2 or each.shape[1] != len(names) or not len(each) for each in scores):
        raise InputError(
            f"There are scores of shapes {[each.shape for each in scores]} for {len(names)} contenders",
            expected="for at least one task a table (seed, contender)",
            remedy="measure the suite first",
        )
    tables = [ranks(each) for each in scores]
    means = np.mean([table.mean(axis=0) for table in tables], axis=0)
    draws = _draws(tables)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    if len(tables) < 2:
        low, high = np.full(len(names), np.nan), np.full(len(names), np.nan)
    return tuple(
        MeanRank(name, float(means[place]), float(low[place]), float(high[place]), len(tables))
        for place, name in enumerate(names)
    )


def _draws(tables: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean ranks ``(RESAMPLES, C)`` of resampled tasks and seeds."""
    stream = rng.generator(0, "real10 ranks")
    count = len(tables)
    total = np.zeros((RESAMPLES, tables[0].shape[1]))
    drawn = stream.integers(count, size=(RESAMPLES, count))
    for column in range(count):
        for task, table in enumerate(tables):
            here = np.flatnonzero(drawn[:, column] == task)
            seeds = stream.integers(len(table), size=(len(here), len(table)))
            total[here] += table[seeds].mean(axis=1)
    return total / count
