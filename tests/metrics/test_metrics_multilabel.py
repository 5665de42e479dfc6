from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from swath.errors import ConfigError, InputError
from swath.metrics import Multilabel, TopK

QUICK = settings(deadline=None, max_examples=15)
CLASSES = ("a", "b", "c", "d")


def test_hand_worked_labels() -> None:
    """Sample 1: truth a b, predicted a c (1 of each). 2: nothing at all. 3: truth none, predicted a. 4: truth d."""
    truth = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    chosen = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    metric = Multilabel(CLASSES)
    metric.update(truth, chosen * 0.5)  # 0.5 itself is predicted
    answers = metric.compute()
    assert answers["f1_micro"].value == pytest.approx(2 * 1 / (3 + 3))
    assert answers["f1_macro"].value == pytest.approx((2 / 3 + 0 + 0 + 0) / 4)
    assert answers["f1_samples"].value == pytest.approx((0.5 + 1 + 0 + 0) / 4)


def test_hand_worked_top_k() -> None:
    """K = 2: sample 1 takes d and c of truth c; sample 2 has no truth; of equal scores the first class wins."""
    truth = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]])
    scores = np.array([[0.1, 0.2, 0.7, 0.9], [1.0, 0.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
    metric = TopK(CLASSES, 2)
    metric.update(truth, scores)
    answers = metric.compute()
    assert answers["f1_samples@2"].value == pytest.approx((1 / (1 + 0.5 * 1) + 0 + 2 / (2 + 0.5 * 1)) / 3)
    assert answers["recall@2"].value == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert answers["precision@2"].value == pytest.approx((1 / 2 + 0 + 1) / 3)
    several = TopK(CLASSES, None)
    several.update(truth, scores, sizes=np.array([1, 0, 3]))
    answers = several.compute()
    assert answers["f1_samples@K"].value == pytest.approx((0 + 1 + 1) / 3)
    assert answers["recall@K"].value == pytest.approx((0 + 1 + 1) / 3)


@QUICK
@given(
    hnp.arrays(np.int64, (12, 4), elements={"min_value": 0, "max_value": 1}),
    hnp.arrays(np.int64, (12, 4), elements={"min_value": 0, "max_value": 1}),
)
def test_f1_equals_scikit_learn(truth: np.ndarray, chosen: np.ndarray) -> None:
    metric = Multilabel(CLASSES)
    metric.update(truth, chosen.astype(float))
    answers = metric.compute()
    some = (truth + chosen).any(axis=0)
    if some.any():
        assert answers["f1_micro"].value == pytest.approx(sk.f1_score(truth, chosen, average="micro"))
        per_class = sk.f1_score(truth, chosen, average=None, zero_division=0)
        assert answers["f1_macro"].value == pytest.approx(per_class[some].mean())
        assert answers["f1_macro"].skipped == (~some).sum()
    else:
        assert np.isnan(answers["f1_micro"].value)
        assert answers["f1_micro"].reason == "there are no labels in truth or prediction"
    expected = sk.f1_score(truth, chosen, average="samples", zero_division=1)
    assert answers["f1_samples"].value == pytest.approx(expected)


@QUICK
@given(
    hnp.arrays(np.int64, (6, 4), elements={"min_value": 0, "max_value": 1}),
    hnp.arrays(np.float64, (6, 4), elements={"min_value": 0, "max_value": 3}),
    hnp.arrays(np.int64, 6, elements={"min_value": 0, "max_value": 4}),
)
def test_top_k_equals_brute_force(truth: np.ndarray, scores: np.ndarray, sizes: np.ndarray) -> None:
    f1, recall, precision = [], [], []
    for row in range(6):
        order = sorted(range(4), key=lambda column: (-scores[row, column], column))
        chosen = set(order[: sizes[row]])
        true = set(np.flatnonzero(truth[row]).tolist())
        hits = len(chosen & true)
        wrong = len(chosen - true) + len(true - chosen)
        f1.append(hits / (hits + 0.5 * wrong) if hits + wrong else 1)
        recall.append(hits / len(true) if true else float(not chosen))
        precision.append(hits / len(chosen) if chosen else float(not true))
    metric = TopK(CLASSES, None)
    metric.update(truth, scores, sizes=sizes)
    answers = metric.compute()
    assert answers["f1_samples@K"].value == pytest.approx(np.mean(f1))
    assert answers["recall@K"].value == pytest.approx(np.mean(recall))
    assert answers["precision@K"].value == pytest.approx(np.mean(precision))


def test_unknown_labels_are_left_out_label_by_label() -> None:
    truth = np.array([[1, -100, 0, 1], [-100, -100, -100, -100]])
    scores = np.array([[0.9, np.nan, 0.8, 0.1], [np.nan] * 4])
    metric = Multilabel(CLASSES)
    metric.update(truth, scores)
    assert metric.compute()["f1_samples"] == metric.compute()["f1_micro"]
    assert metric.compute()["f1_samples"].value == pytest.approx(2 * 1 / (2 + 2))
    assert metric.compute()["f1_samples"].count == 1
    top = TopK(CLASSES, 4)
    top.update(truth, scores)
    assert top.compute()["precision@4"].value == pytest.approx(2 / 3)  # three labels are known


def test_bad_input_gets_a_sentence() -> None:
    metric, top = Multilabel(CLASSES), TopK(CLASSES, 1)
    with pytest.raises(InputError, match=r"outside 0 to 1, first in samples \['y'\]"):
        metric.update(np.zeros((2, 4), int), np.array([[0.0] * 4, [0, 0, 0, 7.0]]), ids=["x", "y"])
    with pytest.raises(InputError, match="one column per class"):
        metric.update(np.zeros((2, 3), int), np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"'truth' holds \[0, 3\]"):
        top.update(np.array([[0, 0, 0, 3]]), np.zeros((1, 4)))
    with pytest.raises(InputError, match="given twice"):
        top.update(np.zeros((1, 4), int), np.zeros((1, 4)), sizes=np.array([1]))
    with pytest.raises(InputError, match="missing"):
        TopK(CLASSES, None).update(np.zeros((1, 4), int), np.zeros((1, 4)))
    with pytest.raises(InputError, match="integers from 0 to 4"):
        TopK(CLASSES, None).update(np.zeros((1, 4), int), np.zeros((1, 4)), sizes=np.array([5]))
    with pytest.raises(ConfigError, match="K is 5"):
        TopK(CLASSES, 5)
    with pytest.raises(InputError, match="same classes and K"):
        top + TopK(CLASSES, 2)
    with pytest.raises(InputError, match="same classes and threshold"):
        metric + Multilabel(CLASSES, 0.4)
    assert metric.compute()["f1_micro"].reason == "there are no valid values"
    assert np.isnan(top.compute()["recall@1"].value)
