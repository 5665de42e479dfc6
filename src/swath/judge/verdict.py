"""From paired differences to a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from swath.errors import ClaimError
from swath.judge.intervals import mean_interval, p_of_no_difference
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

    A negative control counts in that family but is decided at the plain level, because a wider interval would make it
    easier to pass.

    Raises:
        ClaimError: a contender has several values of the metric for one seed, or an undefined one; a claim over groups
            lacks some.
    """
    kept = tuple(rows)
    found = [paired_table(claim, kept) for claim in claims]
    exploratory = [index for index, claim in enumerate(claims) if not claim.primary]
    p_values = [p_of_no_difference(found[index], claims[index].interval) for index in exploratory]
    levels = dict(zip(exploratory, holm_levels(p_values, level), strict=True))
    outcomes = []
    for index, (claim, table) in enumerate(zip(claims, found, strict=True)):
        seeds, groups = table.shape
        missing = len(claim.seeds) - seeds
        notes = [f"{missing} of {len(claim.seeds)} registered seeds are missing"] if seeds and missing else []
        chosen = level if claim.control_kind == "negative" else levels.get(index, level)
        if seeds and chosen != level:
            notes.append(f"interval at {100 * chosen:.1f} % (Holm over {len(exploratory)} exploratory claims)")
        if seeds and claim.over == "seed x group":
            notes.append(f"over {seeds} seeds x {groups} groups")
        interval = mean_interval(table, claim.interval, chosen)
        per_seed = table.mean(axis=1).tolist()
        outcomes.append(decide(claim, per_seed, interval=interval, registered=registered, note="; ".join(notes)))
    return tuple(outcomes)


def control_state(outcome: Outcome) -> str:
    """What a control says of its experiment: ``as it should``, ``fails``, ``not measured``; empty for other claims.

    A negative control fails when it holds, weakly or not; a positive one when it does not.
    """
    kind = outcome.claim.control_kind
    if kind is None:
        return ""
    if outcome.verdict in ("not measured", "not testable here"):
        return "not measured"
    holds = outcome.verdict in ("holds", "holds weakly")
    return "as it should" if holds == (kind == "positive") else "fails"


def paired_differences(claim: Claim, rows: Iterable[ResultRow]) -> list[float]:
    """The differences of ``paired_table``, one per seed: the mean over groups where the claim has some."""
    differences: list[float] = paired_table(claim, rows).mean(axis=1).tolist()
    return differences


def paired_table(claim: Claim, rows: Iterable[ResultRow]) -> NDArray[np.float64]:
    """Contender - baseline ``(seed, group)`` of every registered seed that has both, in the order of the registration.

    A claim's metric is ``miou``, or ``iou:forest`` for one class. Contenders are known by backbone, recipe or system,
    the first that a row has. A claim over seeds has one column, from rows over all groups; one over seeds and groups
    takes the rows of single groups, in alphabetical order.

    Raises:
        ClaimError: a contender has several values of the metric for one seed and group, or an undefined one; a claim
            over groups has fewer than two, or not all of them for some seed.
    """
    values = _values(claim, rows)
    pairs = ((seed, group) for who, seed, group in values if who == claim.contender)
    found = {
        (seed, group): values[claim.contender, seed, group] - values[claim.baseline, seed, group]
        for seed, group in pairs
        if (claim.baseline, seed, group) in values
    }
    seeds = [seed for seed in claim.seeds if any(seed == each for each, _ in found)]
    groups = sorted({group for _, group in found}) or [""]
    if claim.over == "seed x group" and seeds:
        _check_crossed(claim, seeds, groups, found)
    return np.array([[found[seed, group] for group in groups] for seed in seeds], np.float64).reshape(-1, len(groups))


def _values(claim: Claim, rows: Iterable[ResultRow]) -> dict[tuple[str, int, str], float]:
    """The value of each contender, seed and group (empty where the claim is over seeds alone)."""
    metric, _, name = claim.metric.partition(":")
    grouped = claim.over == "seed x group"
    values: dict[tuple[str, int, str], float] = {}
    for row in rows:
        who = contender(row)
        if who not in (claim.contender, claim.baseline) or row.seed is None or row.seed not in claim.seeds:
            continue
        if (row.metric, row.class_name or "") != (metric, name) or (row.group is not None) != grouped:
            continue
        where = f"{who}, seed {row.seed}" + (f", group {row.group}" if grouped else "")
        if not np.isfinite(row.value):
            raise ClaimError(
                f"{claim.metric} of {where}, is {row.value} in the evidence for '{claim.name}'",
                expected="a number for every seed",
                remedy="find out why the score is undefined",
            )
        if (who, row.seed, row.group or "") in values:
            raise ClaimError(
                f"The evidence for '{claim.name}' holds several values of {claim.metric} for {where}",
                expected="one value per contender and seed",
                remedy="write the rows of the registered data set, split and variant only",
            )
        values[who, row.seed, row.group or ""] = row.value
    return values


def _check_crossed(claim: Claim, seeds: list[int], groups: list[str], found: dict[tuple[int, str], float]) -> None:
    lacking = [f"seed {seed}, group {group}" for seed in seeds for group in groups if (seed, group) not in found]
    if len(groups) < 2 or lacking:
        raise ClaimError(
            f"'{claim.name}' is registered over seeds and groups, and the evidence "
            + (f"lacks {'; '.join(lacking[:3])}" if lacking else f"has the one group {groups[0]}"),
            expected="both contenders in at least two groups, the same for every seed",
            remedy="score every seed on every group, or register the claim over seeds",
        )


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of Student's paired t test against no difference; 1 with fewer than two differences."""
    return p_of_no_difference(differences)


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
