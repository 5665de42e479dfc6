from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from swath.errors import ClaimError, InputError
from swath.judge import decide, decide_all, holm_levels, p_value, paired_differences
from swath.metrics import paired_t_interval
from swath.types import Claim, ResultRow


def claim(**changes: object) -> Claim:
    facts: dict[str, object] = {
        "name": "c",
        "primary": True,
        "statement": "s",
        "estimand": "e",
        "metric": "miou",
        "margin": 0.01,
        "contender": "unet",
        "baseline": "forest",
        "seeds": tuple(range(10)),
    }
    return Claim(**{**facts, **changes})  # type: ignore[arg-type]


def around(centre: float, spread: float, count: int = 10) -> np.ndarray:
    """Differences with exactly this mean and standard deviation."""
    values = np.linspace(-1, 1, count)
    return centre + spread * (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize(
    ("centre", "spread", "verdict"),
    [
        (0.05, 0.01, "holds"),
        (0.012, 0.01, "holds weakly"),
        (0.0, 0.005, "equivalent"),
        (-0.004, 0.001, "equivalent"),
        (-0.05, 0.01, "does not hold"),
        (-0.012, 0.01, "does not hold"),
        (0.0, 0.1, "inconclusive"),
        (0.02, 0.05, "inconclusive"),
    ],
)
def test_verdicts(centre: float, spread: float, verdict: str) -> None:
    differences = around(centre, spread)
    outcome = decide(claim(), differences, registered="abc")
    assert outcome.verdict == verdict
    assert outcome.measured == pytest.approx(centre)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (outcome.low, outcome.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert (outcome.seeds, outcome.indicative, outcome.registered) == (10, False, "abc")
    lower = decide(claim(direction="lower"), -differences)
    assert (lower.verdict, lower.measured) == (verdict, pytest.approx(centre))
    assert (lower.low, lower.high) == (pytest.approx(outcome.low), pytest.approx(outcome.high))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9, 10])
def test_number_of_seeds(count: int) -> None:
    outcome = decide(claim(), around(0.05, 0.001, count) if count > 1 else [0.05] * count)
    assert outcome.seeds == count
    assert outcome.indicative == (5 <= count < 10)
    if count == 0:
        assert (outcome.verdict, outcome.measured, outcome.low) == ("not measured", None, None)
    elif count < 5:
        assert outcome.verdict == "inconclusive"
        assert "too few" in outcome.note
        assert outcome.measured == pytest.approx(0.05)
        assert (outcome.low is None) == (count == 1)
    else:
        assert outcome.verdict == "holds"


def test_equal_differences_and_borders() -> None:
    assert decide(claim(), [0.05] * 10).verdict == "holds"
    assert decide(claim(), [0.0] * 10).verdict == "equivalent"
    assert decide(claim(margin=0.5), [0.5] * 10).verdict == "holds weakly"  # beyond the margin means beyond
    with pytest.raises(InputError, match="NaN"):
        decide(claim(), [0.1, np.nan])


def test_an_interval_can_be_given() -> None:
    wide = paired_t_interval(around(0.05, 0.01), level=0.999999)
    assert decide(claim(), around(0.05, 0.01), interval=wide).verdict != "inconclusive"
    assert decide(claim(margin=0.04), around(0.05, 0.01), interval=wide).verdict == "holds weakly"


def test_coverage_of_the_default_interval() -> None:
    """The interval of a claim covers the true difference in 95 % of 1,000 made-up studies of 10 seeds."""
    stream = np.random.default_rng(11)
    inside = 0
    for differences in stream.normal(0.02, 0.03, (1000, 10)):
        outcome = decide(claim(), differences)
        assert outcome.low is not None
        assert outcome.high is not None
        inside += outcome.low < 0.02 < outcome.high
    assert abs(inside / 1000 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_levels_reject_exactly_what_holm_rejects(values: list[float]) -> None:
    """Against adjusted p values: running maximum of (m - k + 1) p_(k)."""
    levels = holm_levels(values, 0.95)
    order = np.argsort(values, kind="stable")
    adjusted, highest = np.ones(len(values)), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, (len(values) - rank) * values[index])
        adjusted[index] = min(highest, 1.0)
    alpha = 1 - 0.95
    for value, level, one in zip(values, levels, adjusted, strict=True):
        if abs(one - alpha) > 1e-9:
            assert (value <= 1 - level + 1e-12) == (one <= alpha)
    assert all(0.95 <= level < 1 for level in levels)


def test_p_value_equals_scipy() -> None:
    values = around(0.3, 1.1, 7)
    assert p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert (p_value([]), p_value([3.0]), p_value([0.0, 0.0]), p_value([1.0, 1.0])) == (1, 1, 1, 0)


def test_differences_are_paired_by_seed(evidence_rows: list[ResultRow]) -> None:
    differences = paired_differences(claim(), evidence_rows[::-1])
    by = {(row.backbone, row.seed): row.value for row in evidence_rows if row.metric == "miou"}
    assert differences == [by["unet", seed] - by["forest", seed] for seed in range(10)]
    assert paired_differences(claim(metric="iou:ice"), evidence_rows) == differences
    assert paired_differences(claim(metric="iou"), evidence_rows) == []
    assert len(paired_differences(claim(seeds=(2, 3, 99)), evidence_rows)) == 2
    assert len(paired_differences(claim(), evidence_rows[3:])) == 9
    grouped = [replace(row, group="Asia") for row in evidence_rows]
    assert paired_differences(claim(), evidence_rows + grouped) == differences
    with pytest.raises(ClaimError, match="several values of miou for forest, seed 0"):
        paired_differences(claim(), [*evidence_rows, replace(evidence_rows[0], split="train")])
    with pytest.raises(ClaimError, match="seed 0, is nan"):
        paired_differences(claim(), [replace(evidence_rows[0], value=float("nan"))])


def test_exploratory_claims_share_an_error_rate(evidence_rows: list[ResultRow]) -> None:
    claims = [claim(), *(claim(name=f"e{k}", primary=False, metric="iou:ice") for k in range(3))]
    primary, *others = decide_all(claims, evidence_rows)
    assert primary.note == ""
    assert primary.low is not None
    assert all(outcome.low is not None and outcome.low <= primary.low for outcome in others)
    assert others[0].note == "interval at 98.3 % (Holm over 3 exploratory claims)"
    some = decide_all([claim(seeds=(0, 1, 2, 3, 4, 77))], evidence_rows)[0]
    assert some.indicative
    assert some.note == "1 of 6 registered seeds are missing"
    assert decide_all([claim(contender="vit")], evidence_rows)[0].verdict == "not measured"
