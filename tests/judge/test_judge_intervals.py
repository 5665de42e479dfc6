from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from swath.errors import ClaimError, ConfigError, InputError
from swath.judge import control_state, decide, decide_all, paired_differences, paired_table
from swath.judge.intervals import mean_interval, p_of_no_difference
from swath.metrics import bootstrap_interval
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


def crossed(stream: np.random.Generator, groups: int = 6, seeds: int = 10) -> np.ndarray:
    """Differences with mean 0 and equal parts from the seed, the group and the rest."""
    return stream.normal(size=(seeds, 1)) + stream.normal(size=(1, groups)) + stream.normal(size=(seeds, groups))


def grouped_rows(table: np.ndarray) -> list[ResultRow]:
    rows = []
    for seed, line in enumerate(table):
        for group, value in zip("abcdefgh", line, strict=False):
            for who, score in (("unet", 0.4 + value), ("forest", 0.4)):
                rows.append(ResultRow("r", "demo", backbone=who, seed=seed, group=group, metric="miou", value=score))
    return rows


@pytest.mark.parametrize("method", ["t", "bca"])
def test_no_interval_from_nothing_or_one_seed(method: str) -> None:
    for values in ([], [0.3], np.zeros((0, 3)), np.full((1, 3), 0.3)):
        interval = mean_interval(values, method)  # type: ignore[arg-type]
        assert np.isnan([interval.low, interval.high]).all()
        assert p_of_no_difference(values, method) == 1.0  # type: ignore[arg-type]
    assert float(mean_interval([0.3]).estimate) == 0.3
    equal = mean_interval([0.5] * 10, method)  # type: ignore[arg-type]
    assert [float(x) for x in equal] == pytest.approx([0.5] * 3)


def test_over_seeds_t_is_student_and_bca_is_the_bootstrap_of_metrics() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=40)
    student = stats.ttest_1samp(values, 0)
    interval = mean_interval(values, "t", 0.9)
    assert (float(interval.low), float(interval.high)) == pytest.approx(tuple(student.confidence_interval(0.9)))
    assert p_of_no_difference(values) == pytest.approx(student.pvalue)
    oracle = bootstrap_interval(
        np.stack([values, np.ones(40)], axis=1), lambda sums: sums[:, 0] / sums[:, 1], resamples=20_000, method="bca"
    )
    bca = mean_interval(values, "bca")
    width = float(oracle.high - oracle.low)
    assert float(bca.low) == pytest.approx(float(oracle.low), abs=0.05 * width)
    assert float(bca.high) == pytest.approx(float(oracle.high), abs=0.05 * width)
    assert float(bca.high) - values.mean() > values.mean() - float(bca.low)  # skewed data, skewed interval


def test_groups_against_a_hand_worked_table() -> None:
    """Seed means 1 and 3 (variance 2), group means 1, 2, 3 (variance 1), rest 0: error^2 = 2/2 + 1/3."""
    table = np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]])
    interval = mean_interval(table, "t")
    variance = 1 + 1 / 3
    freedom = variance**2 / (1 + (1 / 9) / 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert [float(x) for x in interval] == pytest.approx([2, 2 - half, 2 + half])
    assert interval.units == 2


@pytest.mark.parametrize("skewed", [False, True])
def test_coverage_over_ten_seeds(skewed: bool) -> None:
    """Nominal 95 %, 1,000 (t) and 300 (BCa) made-up studies; bands of 4 binomial errors around what longer runs gave.

    Measured over 4,000 and 1,000 studies: t 0.952 and 0.907 skewed, BCa 0.911 and 0.861 skewed. With ten seeds the
    bootstrap is too narrow, which is why t is the default.
    """
    stream = np.random.default_rng(7)
    for method, studies, known in (("t", 1000, (0.95, 0.907)), ("bca", 300, (0.911, 0.861))):
        values = stream.exponential(size=(studies, 10)) - 1 if skewed else stream.normal(size=(studies, 10))
        intervals = [mean_interval(row, method) for row in values]  # type: ignore[arg-type]
        share = np.mean([each.low < 0 < each.high for each in intervals])
        expected = known[int(skewed)]
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / studies)


def test_coverage_over_seeds_and_groups() -> None:
    """Nominal 95 %: t covers (0.952 of 4,000), BCa nearly (0.925 of 1,000), cells as if independent do not (0.59)."""
    stream = np.random.default_rng(8)

    def share(method: str, studies: int) -> float:
        tables = [crossed(stream) for _ in range(studies)]
        if method == "cells":
            intervals = [mean_interval(table.ravel()) for table in tables]
        else:
            intervals = [mean_interval(table, method) for table in tables]  # type: ignore[arg-type]
        return float(np.mean([each.low < 0 < each.high for each in intervals]))

    assert abs(share("t", 1000) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)
    assert abs(share("bca", 300) - 0.925) < 4 * np.sqrt(0.925 * 0.075 / 300)
    assert share("cells", 300) < 0.75


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(-2, 2), st.sampled_from(["t", "bca"]), st.sampled_from([1, 4]))
def test_the_interval_at_one_minus_p_reaches_zero(seed: int, centre: float, method: str, groups: int) -> None:
    """So Holm decides with ``p`` exactly what the interval shows."""
    table = np.random.default_rng(seed).normal(centre, 1.0, (12, groups))
    p = p_of_no_difference(table, method)  # type: ignore[arg-type]
    if not 0.01 < p < 0.9:
        return
    narrow = mean_interval(table, method, 1 - min(p * 1.15, 0.99))  # type: ignore[arg-type]
    wide = mean_interval(table, method, 1 - p * 0.85)  # type: ignore[arg-type]
    assert narrow.low > 0 or narrow.high < 0 or p * 1.15 > 0.9
    assert wide.low < 0 < wide.high


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(ConfigError, match="'basic' at level"):
        mean_interval([1.0, 2.0], "basic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="level 95"):
        mean_interval([1.0, 2.0], level=95)
    with pytest.raises(InputError, match="1 of 2 differences"):
        mean_interval([1.0, np.nan])


def test_a_claim_over_seeds_and_groups() -> None:
    table = 0.05 + 0.002 * crossed(np.random.default_rng(1), groups=4)
    rows = grouped_rows(table)
    over = claim(over="seed x group")
    assert paired_table(over, rows[::-1]) == pytest.approx(table)
    assert paired_differences(over, rows) == pytest.approx(table.mean(axis=1).tolist())
    assert paired_table(claim(), rows).shape == (0, 1)  # rows of groups are not those over all groups
    (student,) = decide_all([over], rows)
    (bca,) = decide_all([claim(over="seed x group", interval="bca")], rows)
    assert student.note == "over 10 seeds x 4 groups"
    assert (student.seeds, student.verdict, bca.verdict) == (10, "holds", "holds")
    expected = mean_interval(table, "bca")
    assert (bca.low, bca.high) == pytest.approx((float(expected.low), float(expected.high)))
    assert student.low is not None
    assert bca.low is not None
    assert student.low < bca.low  # four groups: Student's t knows how few they are


def test_groups_must_be_the_same_for_every_seed() -> None:
    rows = grouped_rows(np.full((10, 3), 0.05))
    over = claim(over="seed x group")
    with pytest.raises(ClaimError, match="lacks seed 0, group a"):
        decide_all([over], rows[1:])
    with pytest.raises(ClaimError, match="the one group a"):
        decide_all([over], [row for row in rows if row.group == "a"])
    with pytest.raises(ClaimError, match="several values of miou for unet, seed 0, group a"):
        decide_all([over], [*rows, rows[0]])
    assert decide_all([over], [])[0].verdict == "not measured"


def test_controls_say_whether_they_did_as_they_should() -> None:
    good, none = [0.05, 0.06, 0.055] * 4, [0.05, -0.05] * 6
    negative, positive = claim(control="negative"), claim(name="positive_control_planted")
    assert claim(name="negative-control-shuffled").control_kind == "negative"
    assert (claim().control_kind, claim(name="negative_trend").control_kind) == (None, None)
    assert control_state(decide(claim(), good)) == ""
    assert [control_state(decide(negative, values)) for values in (none, good, [])] == [
        "as it should",
        "fails",
        "not measured",
    ]
    assert [control_state(decide(positive, values)) for values in (none, good)] == ["fails", "as it should"]


def test_a_negative_control_is_decided_at_the_plain_level(evidence_rows: list[ResultRow]) -> None:
    others = [claim(name=f"e{k}", primary=False) for k in range(3)]
    controls = [claim(name="negative_control", primary=False)]
    outcomes = decide_all([claim(), *others, *controls], evidence_rows)
    assert outcomes[-1].low == outcomes[0].low
    assert "98.8 %" in outcomes[1].note  # the family still counts four
