from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from swath.errors import ConfigError, InputError
from swath.metrics import Retrieval, UncertaintyRanking, nearest_neighbours, predictive_ability

QUICK = settings(deadline=None, max_examples=20)


def ranked(unsure: object, right: object) -> dict:
    metric = UncertaintyRanking()
    metric.update(np.asarray(unsure, float), np.asarray(right, float))
    return metric.compute()


def test_hand_worked_uncertainty() -> None:
    """The wrong answer has the second highest uncertainty of four: it loses one of three comparisons."""
    answers = ranked([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 1])
    assert answers["r_auroc"].value == pytest.approx(2 / 3)
    assert answers["cpa"].value == pytest.approx(2 / 3)


@QUICK
@given(hnp.arrays(np.float64, 20, elements=st.integers(0, 5)), hnp.arrays(np.bool_, 20))
def test_for_two_values_cpa_is_auroc(unsure: np.ndarray, right: np.ndarray) -> None:
    right[:2] = True, False
    answers = ranked(unsure, right)
    expected = sk.roc_auc_score(right, -unsure)
    assert answers["r_auroc"].value == pytest.approx(expected)
    assert answers["cpa"].value == pytest.approx(expected)


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_cpa_is_the_weighted_mean_of_the_aurocs_of_all_levels(seed: int) -> None:
    """Gneiting and Walz 2022: each threshold between two outcomes weighs as many pairs as it separates."""
    stream = np.random.default_rng(seed)
    outcome, score = stream.integers(0, 4, 25).astype(float), stream.integers(0, 6, 25).astype(float)
    levels = np.unique(outcome)[1:]
    areas = [sk.roc_auc_score(outcome >= level, score) for level in levels]
    weights = [float((outcome >= level).sum() * (outcome < level).sum()) for level in levels]
    assert predictive_ability(outcome, score) == pytest.approx(np.average(areas, weights=weights))


def test_continuous_correctness_and_perfect_order() -> None:
    stream = np.random.default_rng(0)
    right = stream.random(40)
    answers = ranked(1 - right, right)
    assert answers["cpa"].value == pytest.approx(1)
    assert "cpa is defined" in answers["r_auroc"].reason
    spearman = stats.spearmanr(right, score := stream.random(40)).statistic
    assert predictive_ability(right, score) == pytest.approx((spearman + 1) / 2)  # without ties


def test_no_contrast_is_nan_with_a_reason() -> None:
    answers = ranked([0.1, 0.2], [1, 1])
    assert {answer.reason for answer in answers.values()} == {"all answers are equally right"}
    assert all(np.isnan(answer.value) for answer in answers.values())
    assert ranked([], [])["cpa"].reason == "there are no valid values"
    assert np.isnan(predictive_ability(np.zeros(0), np.zeros(0)))
    with pytest.raises(InputError, match="1 negative"):
        ranked([-1, 0], [1, 0])
    with pytest.raises(InputError, match=r"'uncertainty' holds 1 NaN"):
        ranked([np.nan, 0], [1, 0])


def unit(angles: list[float]) -> np.ndarray:
    return np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)


def test_hand_worked_neighbours() -> None:
    """Directions 0, 10, 30 and 35 degrees: the nearest others are 1, 0, 3, 2."""
    features = unit([0, 10, 30, 35])
    assert nearest_neighbours(features).tolist() == [1, 0, 3, 2]
    assert nearest_neighbours(features, groups=["a", "a", "b", "b"]).tolist() == [2, 2, 1, 1]
    assert nearest_neighbours(features, groups=["a"] * 4).tolist() == [-1] * 4
    places = np.array([[0, 0], [0, 0.05], [0, 1], [179, 0]])  # 5.6, 111 and 19,900 km from the first
    assert nearest_neighbours(features, lonlat=places, radius_km=10).tolist()[:2] == [2, 2]
    metric = Retrieval()
    metric.update(["p", "q", "r", "s"], 5 * features, np.array([0, 0, 1, 2]))
    answer = metric.compute()["recall@1"]
    assert (answer.value, answer.count) == (0.5, 4)


def test_criteria_for_several_labels() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 0]])
    expected = {"one": [1, 1, np.nan, np.nan], "all": [0, 0, 1, 1], "distance": [0.5, 0.5, 1, 1]}
    for criterion, values in expected.items():
        metric = Retrieval(criterion)  # type: ignore[arg-type]
        metric.update(["a", "b", "c", "d"], unit([0, 1, 80, 81]), labels)
        ids, found = metric.correctness()
        assert ids == ("a", "b", "c", "d")
        np.testing.assert_array_equal(found, values)
    assert metric.compute()["recall@1"].skipped == 0


def test_neighbours_equal_brute_force_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).normal(size=(37, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    expected = []
    for row in range(37):
        others = [column for column in range(37) if column != row]
        expected.append(max(others, key=lambda column: float(features[row] @ features[column])))
    assert nearest_neighbours(features).tolist() == expected
    monkeypatch.setattr("swath.metrics.retrieval.CELLS", 37 * 4)
    assert nearest_neighbours(features).tolist() == expected


def test_bad_retrieval_gets_a_sentence() -> None:
    metric = Retrieval()
    with pytest.raises(InputError, match="features of b are all 0"):
        metric.update(["a", "b"], np.array([[1.0, 0], [0, 0]]), np.zeros(2, int))
    with pytest.raises(InputError, match=r"samples \['a'\]"):
        metric.update(["a"], np.array([[np.nan, 0]]), np.zeros(1, int))
    metric.update(["a"], unit([0]), np.zeros(1, int))
    with pytest.raises(InputError, match="given twice: a"):
        metric + metric
    answer = metric.compute()["recall@1"]
    assert np.isnan(answer.value)
    assert "no neighbour" in answer.reason
    assert Retrieval().compute()["recall@1"].reason == "there are no queries"
    with pytest.raises(ConfigError, match="one, all, distance"):
        Retrieval("any")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="without coordinates"):
        nearest_neighbours(unit([0]), radius_km=1)
    with pytest.raises(InputError, match="one vector per sample"):
        metric.update(["c"], np.ones((1, 2, 2)), np.zeros(1, int))
