from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from swath import metrics
from swath.errors import ConfigError, InputError
from swath.metrics import bootstrap_interval, paired_bootstrap, paired_t_interval, sum_by_group


def mean(sums: np.ndarray) -> np.ndarray:
    """Mean from sums of (1, value)."""
    return sums[..., 1] / sums[..., 0]


def with_ones(values: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(values), values], axis=-1)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_agrees_with_scipy(method: str) -> None:
    values = np.random.default_rng(0).exponential(size=60)
    ours = bootstrap_interval(with_ones(values), mean, resamples=8000, method=method)  # type: ignore[arg-type]
    name = {"percentile": "percentile", "bca": "BCa"}[method]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=8000, method=name, rng=np.random.default_rng(1))
    assert float(ours.estimate) == pytest.approx(values.mean())
    assert float(ours.low) == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert float(ours.high) == pytest.approx(theirs.confidence_interval.high, abs=0.02)
    assert (ours.units, int(ours.undefined)) == (60, 0)


def test_same_seed_same_interval_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(0).integers(0, 50, (20, 3, 3))
    whole = bootstrap_interval(counts, metrics.miou, resamples=200, seed=4)
    monkeypatch.setattr("swath.metrics.bootstrap.CELLS", 20 * 7)
    parts = bootstrap_interval(counts, metrics.miou, resamples=200, seed=4)
    other = bootstrap_interval(counts, metrics.miou, resamples=200, seed=0)
    assert [float(x) for x in whole] == [float(x) for x in parts] != [float(x) for x in other]


def test_equals_resampling_one_by_one() -> None:
    counts = np.random.default_rng(0).integers(0, 50, (6, 2, 2))
    from swath import rng

    stream = rng.generator(9, "bootstrap")
    draws = []
    for _ in range(50):
        weights = stream.multinomial(6, np.full(6, 1 / 6))
        draws.append(metrics.accuracy(np.repeat(counts, weights, axis=0).sum(axis=0)))
    interval = bootstrap_interval(counts, metrics.accuracy, resamples=50, seed=9)
    assert [float(interval.low), float(interval.high)] == pytest.approx(np.quantile(draws, [0.025, 0.975]))


def test_scores_per_class_come_as_arrays_and_undefined_resamples_are_counted() -> None:
    counts = np.zeros((5, 3, 3), np.int64)
    counts[:, 0, 0] = 4
    counts[0, 1, 1] = 1  # class 1 lives in one unit only, class 2 nowhere
    interval = bootstrap_interval(counts, metrics.iou, resamples=300)
    assert interval.estimate.shape == interval.low.shape == interval.undefined.shape == (3,)
    assert interval.undefined[0] == 0
    assert 0 < interval.undefined[1] < 300
    assert interval.undefined[2] == 300
    assert interval.low[1] == interval.high[1] == 1
    assert np.isnan(interval.low[2])
    bca = bootstrap_interval(counts, metrics.iou, resamples=300, method="bca")
    assert bca.low[0] == bca.high[0] == 1
    assert np.isnan(bca.high[2])


@pytest.mark.parametrize("units", [0, 1])
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_too_few_units_give_no_bounds(units: int, method: str) -> None:
    interval = bootstrap_interval(np.full((units, 2, 2), 3), metrics.accuracy, method=method)  # type: ignore[arg-type]
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)
    assert float(interval.estimate) == 0.5 if units else np.isnan(interval.estimate)


def test_pairing_removes_what_units_share() -> None:
    stream = np.random.default_rng(0)
    hard = stream.normal(scale=5, size=200)
    first, second = with_ones(hard + 0.5 + 0.1 * stream.normal(size=200)), with_ones(hard)
    paired = paired_bootstrap(first, second, mean)
    single = bootstrap_interval(first, mean)
    assert 0.4 < paired.low < paired.estimate < paired.high < 0.6
    assert paired.high - paired.low < (single.high - single.low) / 10
    same = paired_bootstrap(first, first, mean)
    assert (float(same.estimate), float(same.low), float(same.high)) == (0, 0, 0)


def test_paired_t_interval_equals_scipy() -> None:
    values = np.random.default_rng(0).normal(1, 2, 11)
    interval = paired_t_interval(values, level=0.9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert float(interval.low) == pytest.approx(expected.low)
    assert float(interval.high) == pytest.approx(expected.high)


def test_paired_t_interval_edges() -> None:
    assert np.isnan(list(paired_t_interval([]))).all()
    one = paired_t_interval([0.25])
    assert one.estimate == 0.25
    assert np.isnan(one.low)
    assert np.isnan(one.high)
    equal = paired_t_interval([0.5] * 10)
    assert [float(x) for x in equal] == [0.5, 0.5, 0.5]


def test_coverage_of_the_paired_t_interval() -> None:
    """Nominal 95 % over 2,000 made-up experiments of 10 seeds; a binomial band of +-4 standard errors."""
    stream = np.random.default_rng(7)
    intervals = [paired_t_interval(row) for row in stream.normal(0.3, 1.0, (2000, 10))]
    share = np.mean([interval.low < 0.3 < interval.high for interval in intervals])
    assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_sum_by_group() -> None:
    counts = np.arange(12).reshape(3, 2, 2)
    summed, names = sum_by_group(counts, ["b", "a", "b"])
    assert names == ("a", "b")
    assert (summed[0] == counts[1]).all()
    assert (summed[1] == counts[0] + counts[2]).all()
    with pytest.raises(InputError, match="2 groups for 3 units"):
        sum_by_group(counts, ["a", "b"])


def test_bad_input_gets_a_sentence() -> None:
    counts = np.ones((3, 2, 2))
    with pytest.raises(ConfigError, match="level"):
        bootstrap_interval(counts, metrics.accuracy, level=95)
    with pytest.raises(ConfigError, match="resamples"):
        bootstrap_interval(counts, metrics.accuracy, resamples=0)
    with pytest.raises(ConfigError, match="method"):
        bootstrap_interval(counts, metrics.accuracy, method="basic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="first axis"):
        bootstrap_interval(np.array(1), metrics.accuracy)
    with pytest.raises(InputError, match="same units"):
        paired_bootstrap(counts, counts[:2], metrics.accuracy)
    with pytest.raises(InputError, match="1 of 2 differences"):
        paired_t_interval([0.1, np.nan])


@pytest.mark.parametrize("skewed", [False, True])
def test_coverage_of_the_bca_interval(skewed: bool) -> None:
    """Nominal 90 % for the mean of 40 values over 400 made-up experiments, 400 resamples each.

    Shares may be 4 binomial standard errors (0.06) off the nominal one; below, 2 points more for skewed values, because
    no bootstrap interval is exact with 40 of them (measured here: 0.905, and 0.863 skewed).
    """
    stream = np.random.default_rng(11)
    values = stream.exponential(size=(400, 40)) if skewed else stream.normal(1.0, 1.0, (400, 40))
    bca = [bootstrap_interval(with_ones(row), mean, resamples=400, level=0.9, method="bca") for row in values]
    share = np.mean([interval.low < 1 < interval.high for interval in bca])
    allowed = 4 * np.sqrt(0.9 * 0.1 / 400)
    assert 0.9 - allowed - (0.02 if skewed else 0) < share < 0.9 + allowed
    above = np.mean([interval.low >= 1 for interval in bca])
    below = np.mean([interval.high <= 1 for interval in bca])
    assert abs(above - below) < 0.06  # misses on both sides alike
