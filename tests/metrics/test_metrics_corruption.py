from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from swath.errors import ConfigError, InputError
from swath.metrics import CorruptionScores, boot_ci, iqm, sem

SWEEP = {("haze", 1): 0.8, ("haze", 5): 0.4, ("noise", 1): 0.9, ("noise", 5): 0.7}


def test_hand_worked_sweep() -> None:
    """m(haze) = 0.6 and m(noise) = 0.8 of a clean 0.9."""
    answers = CorruptionScores(0.9, SWEEP).compute(CorruptionScores(0.8, dict.fromkeys(SWEEP, 0.5)))
    assert answers["m"].value == pytest.approx(0.7)
    assert answers["drop"].value == pytest.approx((0.3 + 0.1) / 2)
    assert answers["rel_drop"].value == pytest.approx((0.3 + 0.1) / 2 / 0.9)
    assert answers["worst"].value == pytest.approx(0.6)
    assert answers["mce"].value == pytest.approx((0.4 / 0.5 + 0.2 / 0.5) / 2)
    single = CorruptionScores(0.9, SWEEP).by_corruption()
    assert single["haze"]["drop"].value == pytest.approx(0.3)
    assert single["noise"]["m"].count == 2


def test_lower_is_better_turns_signs() -> None:
    """An error that grows from 2 to 3 is a drop of 1; the worst corruption has the largest error."""
    answers = CorruptionScores(2.0, {("haze", 3): 3.0, ("gaps", 3): 2.5}, higher_is_better=False).compute(
        CorruptionScores(1.0, {("haze", 3): 6.0, ("gaps", 3): 5.0}, higher_is_better=False)
    )
    assert answers["drop"].value == pytest.approx(0.75)
    assert answers["rel_drop"].value == pytest.approx(0.375)
    assert answers["worst"].value == 3
    assert answers["mce"].value == pytest.approx(0.5)


def test_undefined_scores_are_counted_not_averaged() -> None:
    answers = CorruptionScores(0.9, {**SWEEP, ("noise", 5): math.nan}).compute(CorruptionScores(0.9, SWEEP))
    for key in ("m", "drop", "rel_drop", "worst", "mce"):
        assert (answers[key].count, answers[key].skipped) == (1, 1), key
        assert "1 of 2 corruptions" in answers[key].reason
    assert answers["worst"].value == pytest.approx(0.6)
    nothing = CorruptionScores(math.nan, SWEEP).compute()
    assert np.isnan(nothing["drop"].value)
    assert nothing["m"].value == pytest.approx(0.7)
    zero = CorruptionScores(0.0, SWEEP).by_corruption()["haze"]["rel_drop"]
    assert zero.reason == "the clean score is 0"


def test_bad_sweeps_get_a_sentence() -> None:
    for severity in (0, 6):
        with pytest.raises(ConfigError, match=f"severities .{severity}. were given"):
            CorruptionScores(0.9, {("haze", severity): 0.5})
    with pytest.raises(InputError, match="haze: 1, 5; noise: 1"):
        CorruptionScores(0.9, {key: value for key, value in SWEEP.items() if key != ("noise", 5)})
    with pytest.raises(InputError, match="at least one"):
        CorruptionScores(0.9, {})
    with pytest.raises(InputError, match="other corruptions"):
        CorruptionScores(0.9, SWEEP).compute(CorruptionScores(0.9, {("haze", 1): 0.4}))
    percent = CorruptionScores(90, {key: 100 * value for key, value in SWEEP.items()})
    with pytest.raises(InputError, match="divide percent by 100"):
        percent.compute(percent)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 20])
def test_iqm_and_sem_equal_scipy(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    assert iqm(values).value == pytest.approx(stats.trim_mean(values, 0.25))
    kept = stats.trimboth(np.sort(values), 0.25)
    assert iqm(values).count == len(kept)
    if len(kept) > 1:
        assert sem(values).value == pytest.approx(stats.sem(kept))
    else:
        assert "fewer than two" in sem(values).reason


def test_five_seeds_by_hand() -> None:
    answer = iqm([9.0, 1.0, 2.0, 3.0, -100.0])
    assert (answer.value, answer.count, answer.skipped) == (2, 3, 2)
    assert answer.reason == "1 lowest and 1 highest are cut"
    assert sem([9.0, 1.0, 2.0, 3.0, -100.0]).value == pytest.approx(1 / np.sqrt(3))
    assert iqm([]).reason == "there are no values"
    with pytest.raises(InputError, match=r"positions \[1\]"):
        iqm([1.0, np.nan])


def test_boot_ci_equals_scipy_and_repeats() -> None:
    values = np.random.default_rng(3).exponential(size=25)
    ours = boot_ci(values, resamples=8000)
    theirs = stats.bootstrap(
        (values,),
        lambda part, axis: stats.trim_mean(part, 0.25, axis=axis),
        n_resamples=8000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert float(ours.low) == pytest.approx(theirs.low, abs=0.03)
    assert float(ours.high) == pytest.approx(theirs.high, abs=0.03)
    assert [*map(float, boot_ci(values, seed=4))] == [*map(float, boot_ci(values[::-1], seed=4))]
    one = boot_ci([0.5])
    assert float(one.estimate) == 0.5
    assert np.isnan(one.low)
    with pytest.raises(ConfigError, match="level is 95"):
        boot_ci(values, level=95)
