from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from swath.errors import ConfigError, InputError
from swath.metrics import Regression, WithinEnvelope, compute_folds

QUICK = settings(deadline=None, max_examples=40)
NUMBERS = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda x: round(x, 3))


def pooled(observed: np.ndarray, predicted: np.ndarray) -> Regression:
    regression = Regression()
    regression.update(observed, predicted)
    return regression


@QUICK
@given(hnp.arrays(np.float64, 30, elements=NUMBERS), hnp.arrays(np.float64, 30, elements=NUMBERS))
def test_scores_equal_scikit_learn_and_scipy(observed: np.ndarray, predicted: np.ndarray) -> None:
    observed[0], observed[1], predicted[0], predicted[1] = 0.0, 1.0, 2.0, 4.0  # some spread, and an observation of 0
    scores = pooled(observed, predicted).scores()
    assert scores["mae"] == pytest.approx(sk.mean_absolute_error(observed, predicted))
    assert scores["rmse"] == pytest.approx(sk.root_mean_squared_error(observed, predicted))
    assert scores["r2"] == pytest.approx(sk.r2_score(observed, predicted))
    assert scores["pearson"] == pytest.approx(stats.pearsonr(observed, predicted).statistic, abs=1e-12)
    assert scores["bias"] == pytest.approx((predicted - observed).mean(), abs=1e-9)
    some = observed != 0
    assert scores["mape"] == pytest.approx(sk.mean_absolute_percentage_error(observed[some], predicted[some]))
    assert pooled(observed, predicted).mape_skipped == (~some).sum()


@QUICK
@given(st.integers(1, 40), st.permutations(range(40)), st.floats(-1e6, 1e6))
def test_batching_and_order_change_nothing(size: int, order: list[int], offset: float) -> None:
    stream = np.random.default_rng(1)
    observed = offset + stream.normal(size=40)
    predicted = observed + 0.3 * stream.normal(size=40)
    whole, merged = pooled(observed, predicted), Regression()
    parts = [order[start : start + size] for start in range(0, 40, size)]
    for part in parts:
        merged = pooled(observed[part], predicted[part]) + merged
    for name, value in whole.scores().items():
        assert merged.scores()[name] == pytest.approx(value, rel=1e-8), name


def test_large_offsets_keep_their_digits() -> None:
    stream = np.random.default_rng(2)
    observed = stream.normal(size=(50, 20))
    predicted = observed + 0.1 * stream.normal(size=(50, 20))
    plain, lifted = Regression(), Regression()
    for row in range(50):
        plain.update(observed[row], predicted[row])
        lifted.update(observed[row] + 1e8, predicted[row] + 1e8)
    assert lifted.r2() == pytest.approx(plain.r2(), rel=1e-6)
    assert lifted.pearson() == pytest.approx(plain.pearson(), rel=1e-6)


@QUICK
@given(hnp.arrays(np.bool_, (4, 5)), st.sampled_from([np.nan, np.inf, 1e30]))
def test_values_under_the_mask_change_nothing(valid: np.ndarray, junk: float) -> None:
    stream = np.random.default_rng(3)
    observed, predicted = stream.normal(size=(2, 4, 5))
    masked = Regression()
    masked.update(np.where(valid, observed, junk), np.where(valid, predicted, -junk), valid)
    assert masked == pooled(observed[valid], predicted[valid])


def test_float32_tensors_are_accumulated_in_float64() -> None:
    regression = Regression()
    regression.update(torch.full((3, 1000), 300.1), torch.full((3, 1000), 300.1) + 0.5, torch.ones(3, 1).bool())
    assert regression.bias() == pytest.approx(0.5, abs=1e-4)
    assert regression.count == 3000


def test_no_evidence_is_nan() -> None:
    assert all(np.isnan(value) for value in (Regression() + Regression()).scores().values())
    one = pooled(np.array([2.0]), np.array([3.0]))
    assert (one.mae(), one.rmse(), one.bias(), one.mape()) == (1, 1, 1, 0.5)
    assert np.isnan(one.r2())
    assert np.isnan(one.pearson())
    constant = pooled(np.full(7, 0.1), np.arange(7.0)) + pooled(np.full(5, 0.1), np.arange(5.0))
    assert np.isnan(constant.r2())
    assert np.isnan(constant.pearson())
    zeros = pooled(np.zeros(3), np.ones(3))
    assert np.isnan(zeros.mape())
    assert zeros.mape_skipped == 3


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(InputError, match=r"'predicted' holds 1 NaN .* samples \[1\]"):
        pooled(np.zeros((2, 2)), np.array([[0, 0], [np.nan, 0]]))
    with pytest.raises(InputError, match="same shape"):
        pooled(np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(InputError, match=r"samples \['b'\]"):
        Regression().update(np.zeros(2), np.array([0, np.nan]), ids=["a", "b"])
    with pytest.raises(InputError, match="1 ids for 2 samples"):
        Regression().update(np.zeros(2), np.zeros(2), ids=["a"])


def test_scores_come_with_their_evidence() -> None:
    answers = pooled(np.array([0.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])).compute()
    assert answers["mae"].value == pytest.approx(2 / 3)
    assert answers["r2"].value == pytest.approx(1 - 2 / 8)
    assert (answers["mape"].value, answers["mape"].count, answers["mape"].skipped) == (pytest.approx(0.125), 2, 1)
    assert answers["mape"].reason == "1 of 3 observations are 0"
    assert {answer.reason for answer in Regression().compute().values()} == {"there are no valid values"}
    flat = pooled(np.ones(3), np.arange(3.0)).compute()
    assert flat["r2"].reason == flat["pearson"].reason == "the observations have no spread"
    still = pooled(np.arange(3.0), np.ones(3)).compute()
    assert still["pearson"].reason == "the predictions have no spread"


def test_pooled_and_mean_of_folds_are_both_there_and_differ() -> None:
    folds = {
        "2019": pooled(np.array([0.0, 2.0]), np.array([1.0, 1.0])),
        "2020": pooled(np.array([10.0, 12.0, 14.0, 16.0]), np.array([10.0, 12.0, 14.0, 12.0])),
        "2021": pooled(np.array([5.0]), np.array([5.0])),
    }
    answers = compute_folds(folds)
    assert answers["rmse"].value == pytest.approx(np.sqrt((1 + 1 + 16) / 7))
    assert answers["rmse_folds"].value == pytest.approx((1 + 2 + 0) / 3)
    assert answers["r2_folds"].value == pytest.approx((0 + 1 - 16 / 20) / 2)
    assert (answers["r2_folds"].count, answers["r2_folds"].skipped) == (2, 1)
    assert answers["r2_folds"].reason == "1 of 3 folds leave r2 undefined"
    assert answers["r2"].value > 0.8 > answers["r2_folds"].value


def test_share_within_the_expected_error() -> None:
    """Allowed errors at 0, 1 and 2 are 0.05, 0.2 and 0.35; a bound belongs to the envelope."""
    metric = WithinEnvelope()
    metric.update(np.array([0.0, 1.0, 2.0, 2.0]), np.array([0.05, 1.3, 1.7, 9.0]), np.array([True, True, True, False]))
    assert metric.compute()["pct_within_ee"].value == pytest.approx(2 / 3)
    assert (metric + metric).compute()["pct_within_ee"].count == 6
    assert np.isnan(WithinEnvelope().compute()["pct_within_ee"].value)
    stream = np.random.default_rng(0)
    observed, predicted = stream.random((2, 50))
    wide = WithinEnvelope(0.1, 0.3)
    wide.update(observed, predicted)
    inside = [abs(p - o) <= 0.1 + 0.3 * o for o, p in zip(observed, predicted, strict=True)]
    assert wide.compute()["pct_within_ee"].value == pytest.approx(np.mean(inside))
    with pytest.raises(ConfigError, match="one envelope"):
        metric + wide
    with pytest.raises(ConfigError, match="envelope is -1"):
        WithinEnvelope(-1)
