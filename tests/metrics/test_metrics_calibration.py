from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from swath.errors import ConfigError, InputError
from swath.metrics import ClassCalibration, Coverage
from swath.metrics.calibration import QUANTILES

QUICK = settings(deadline=None, max_examples=20)


def covered(z: np.ndarray, levels: tuple[float, ...] = (0.5, 0.95)) -> dict:
    metric = Coverage(levels)
    metric.update(10 + 2 * np.asarray(z), np.full(len(z), 10.0), np.full(len(z), 2.0))
    return metric.compute()


def test_hand_worked_coverage() -> None:
    """Observations 0, 0.5, 1 and 3 standard deviations away; the 50 % interval reaches to 0.674, the 95 % to 1.96."""
    answers = covered(np.array([0.0, 0.5, -1.0, 3.0]))
    assert answers["picp@0.5"].value == 0.5
    assert answers["picp@0.95"].value == 0.75
    assert answers["width@0.95"].value == pytest.approx(2 * 1.959964 * 2, rel=1e-6)


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_calibration_errors_equal_brute_force(seed: int) -> None:
    z = np.random.default_rng(seed).normal(scale=1.7, size=23)
    z[0] = 0.0
    answers = covered(z)
    gaps, weighted = [], 0.0
    for q in QUANTILES:
        reach = stats.norm.ppf((1 + q) / 2)
        inside = sum(abs(value) <= reach for value in z)
        gaps.append(abs(inside / 23 - q))
        weighted += inside * gaps[-1] / 23
    assert answers["ece_reg"].value == pytest.approx(np.mean(gaps))
    assert answers["ece_reg_count"].value == pytest.approx(weighted)


def test_a_true_model_is_calibrated_and_a_sure_one_is_not() -> None:
    z = np.random.default_rng(0).normal(size=200_000)
    honest, sure = covered(z), covered(3 * z)
    assert honest["picp@0.95"].value == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 200_000))
    assert honest["ece_reg"].value < 0.003
    assert sure["picp@0.95"].value < 0.55
    assert sure["ece_reg"].value > 0.2


def confident(truth: list[int], probabilities: list[list[float]]) -> float:
    metric = ClassCalibration()
    metric.update(np.array(truth), np.array(probabilities))
    return metric.compute()["ece_cls"].value


def test_hand_worked_confidence() -> None:
    """Two values at 0.9, one right: |1 - 1.8| / 3; one at 0.6, wrong: |0 - 0.6| / 3."""
    found = confident([0, 1, 1], [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    assert found == pytest.approx((0.8 + 0.6) / 3)
    assert confident([0, 1], [[1.0, 0.0], [0.0, 1.0]]) == 0


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_class_calibration_equals_brute_force(seed: int) -> None:
    stream = np.random.default_rng(seed)
    truth = stream.integers(0, 3, 40)
    probabilities = stream.dirichlet(np.ones(3), 40)
    top, best = probabilities.max(axis=1), probabilities.argmax(axis=1)
    total = 0.0
    for b in range(15):
        member = (top > b / 15) & (top <= (b + 1) / 15)
        if member.any():
            total += member.sum() / 40 * abs((best == truth)[member].mean() - top[member].mean())
    assert confident(truth.tolist(), probabilities.tolist()) == pytest.approx(total)


def test_maps_and_masks() -> None:
    stream = np.random.default_rng(3)
    probabilities = np.moveaxis(stream.dirichlet(np.ones(3), (2, 4, 5)), -1, 1)
    truth = stream.integers(0, 3, (2, 4, 5))
    truth[0, 0] = -100
    valid = stream.random((2, 4, 5)) < 0.6
    metric, flat = ClassCalibration(), ClassCalibration()
    metric.update(truth, np.where(valid[:, None], probabilities, np.nan), valid)
    keep = valid & (truth != -100)
    flat.update(truth[keep], np.moveaxis(probabilities, 1, -1)[keep])
    assert metric.compute() == flat.compute()
    assert metric.compute()["ece_cls"].count == keep.sum()


def test_bad_input_gets_a_sentence() -> None:
    metric = ClassCalibration()
    with pytest.raises(InputError, match="do not sum to 1"):
        metric.update(np.array([0]), np.array([[0.9, 0.9]]))
    with pytest.raises(InputError, match="outside 0 to 1"):
        metric.update(np.array([0]), np.array([[2.0, -1.0]]))
    with pytest.raises(InputError, match="labels from 2 to 2"):
        metric.update(np.array([2]), np.array([[0.5, 0.5]]))
    with pytest.raises(InputError, match="second axis"):
        metric.update(np.array([0]), np.array([0.5]))
    with pytest.raises(InputError, match=r"NaN .* samples \[1\]"):
        metric.update(np.array([0, 0]), np.array([[0.5, 0.5], [np.nan, 0.5]]))
    with pytest.raises(InputError, match="same number of bins"):
        metric + ClassCalibration(10)
    with pytest.raises(ConfigError, match="0 bins"):
        ClassCalibration(0)
    with pytest.raises(ConfigError, match=r"95\.0"):
        Coverage((95,))
    with pytest.raises(InputError, match="same levels"):
        Coverage((0.9,)) + Coverage((0.8,))
    for answers in (metric.compute(), Coverage().compute()):
        assert all(np.isnan(answer.value) and answer.reason for answer in answers.values())
