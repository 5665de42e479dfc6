"""From paired differences to a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from swath.errors import ClaimError
from swath.judge.table import contender
from swath.metrics import Interval, paired_t_interval
from swath.types import Claim, Outcome, ResultRow, Verdict

SEEDS_FOR_A_VERDICT = 10
SEEDS_FOR_AN_INDICATION = 5


def decide(
    claim: Claim,
    differences_per_seed: Sequence[float],
    *,
    interval: Interval | None = None,
    level: float = 0.95,
    registered: str | None = None,
    note: str = "",
) -> Outcome:
    """Decide a claim from the differences contender - baseline, one per seed.

    Differences are turned so that positive is as claimed: for ``direction = "lower"`` the sign changes, and
    ``measured``, ``low`` and ``high`` of the outcome are in the claimed direction. With interval [low, high] and margin
    d the first that is true decides: low > d holds; low > 0 holds weakly; -d < low and high < d equivalent; high < 0
    does not hold; else inconclusive. Ten seeds make a verdict, five to nine an indication, fewer none.

    Args:
        claim: the registered claim.
        differences_per_seed: one paired difference per seed, in the unit of the metric.
        interval: an interval of the same differences (as measured, not turned) from a bootstrap over seeds and test
            groups; Student's t over seeds by default.
        level: coverage of the default interval.
        registered: the commit of the registration.
        note: something to add to the outcome.

    Raises:
        InputError: a difference is NaN or infinite.
    """
    sign = 1.0 if claim.direction == "higher" else -1.0
    count = len(differences_per_seed)
    measured = paired_t_interval(differences_per_seed, level) if interval is None else interval
    ends = sorted((sign * float(measured.low), sign * float(measured.high)))
    low, high = (None, None) if np.isnan(ends).any() else (ends[0], ends[1])
    verdict: Verdict = "not measured"
    notes = [note] if note else []
    if count:
        verdict = _verdict(low, high, claim.margin) if low is not None and high is not None else "inconclusive"
    if 0 < count < SEEDS_FOR_AN_INDICATION:
        verdict = "inconclusive"
        notes.append(f"{count} seeds are too few, {SEEDS_FOR_AN_INDICATION} are needed for an indication")
    return Outcome(
        claim=claim,
        measured=sign * float(measured.estimate) if count else None,
        low=low,
        high=high,
        seeds=count,
        verdict=verdict,
        indicative=SEEDS_FOR_AN_INDICATION <= count < SEEDS_FOR_A_VERDICT,
        registered=registered,
        note="; ".join(notes),
    )


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if low > margin:
        return "holds"
    if low > 0:
        return "holds weakly"
    if low > -margin and high < margin:
        return "equivalent"
    if high < 0:
        return "does not hold"
    return "inconclusive"


def decide_all(
    claims: Sequence[Claim], rows: Iterable[ResultRow], *, level: float = 0.95, registered: str | None = None
) -> tuple[Outcome, ...]:
    """Decide the claims of one system from its rows; the exploratory ones share one error rate after Holm.

    Raises:
        ClaimError: a contender has several values of the metric for one seed, or an undefined one.
    """
    kept = tuple(rows)
    found = [paired_differences(claim, kept) for claim in claims]
    exploratory = [index for index, claim in enumerate(claims) if not claim.primary]
    levels = dict(zip(exploratory, holm_levels([p_value(found[i]) for i in exploratory], level), strict=True))
    outcomes = []
    for index, (claim, differences) in enumerate(zip(claims, found, strict=True)):
        missing = len(claim.seeds) - len(differences)
        notes = [f"{missing} of {len(claim.seeds)} registered seeds are missing"] if differences and missing else []
        chosen = levels.get(index, level)
        if differences and chosen != level:
            notes.append(f"interval at {100 * chosen:.1f} % (Holm over {len(exploratory)} exploratory claims)")
        outcomes.append(decide(claim, differences, level=chosen, registered=registered, note="; ".join(notes)))
    return tuple(outcomes)


def paired_differences(claim: Claim, rows: Iterable[ResultRow]) -> list[float]:
    """Contender - baseline per registered seed that has both, in the order of the registration.

    A claim's metric is ``miou``, or ``iou:forest`` for one class. Contenders are known by backbone, recipe or system,
    the first that a row has. Rows of one group only are left out.

    Raises:
        ClaimError: a contender has several values of the metric for one seed, or an undefined one.
    """
    metric, _, name = claim.metric.partition(":")
    values: dict[tuple[str, int | None], float] = {}
    for row in rows:
        who = contender(row)
        if who not in (claim.contender, claim.baseline) or row.seed not in claim.seeds or row.group is not None:
            continue
        if (row.metric, row.class_name or "") != (metric, name):
            continue
        if not np.isfinite(row.value):
            raise ClaimError(
                f"{claim.metric} of {who}, seed {row.seed}, is {row.value} in the evidence for '{claim.name}'",
                expected="a number for every seed",
                remedy="find out why the score is undefined",
            )
        if (who, row.seed) in values:
            raise ClaimError(
                f"The evidence for '{claim.name}' holds several values of {claim.metric} for {who}, seed {row.seed}",
                expected="one value per contender and seed",
                remedy="write the rows of the registered data set, split and variant only",
            )
        values[who, row.seed] = row.value
    pairs = [((claim.contender, seed), (claim.baseline, seed)) for seed in claim.seeds]
    return [values[first] - values[second] for first, second in pairs if first in values and second in values]


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of Student's paired t test against no difference; 1 with fewer than two differences."""
    numbers = np.asarray(differences, dtype=np.float64)
    if numbers.size < 2:
        return 1.0
    error = numbers.std(ddof=1) / np.sqrt(numbers.size)
    if error == 0:
        return 0.0 if numbers.mean() else 1.0
    return float(2 * stats.t.sf(abs(numbers.mean()) / error, numbers.size - 1))


def holm_levels(p_values: Sequence[float], level: float = 0.95) -> list[float]:
    """Coverage for the interval of each claim so that the family keeps its error rate.

    Holm (1979), Scandinavian Journal of Statistics 6, 65-70: of m claims the one with the k-th smallest p is tested at
    alpha / (m - k + 1), and from the first that is not rejected on all others keep that step. An interval at the level
    given here excludes 0 exactly when Holm rejects the claim's test.
    """
    alpha, count = 1 - level, len(p_values)
    levels = [level] * count
    step = alpha
    stopped = False
    for rank, index in enumerate(np.argsort(np.asarray(p_values, dtype=np.float64), kind="stable")):
        if not stopped:
            step = alpha / (count - rank)
            stopped = p_values[index] > step
        levels[int(index)] = 1 - step
    return levels
