from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from swath import metrics
from swath.errors import ConfigError, InputError
from swath.metrics import ConfusionMatrix, confusion_per_group, confusion_per_unit
from swath.types import IGNORE

CLASSES = ("forest", "crop", "ice", "barren")
K = len(CLASSES)
QUICK = settings(deadline=None, max_examples=40)


def labels(shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]], ignore: bool = True) -> st.SearchStrategy:
    values = st.sampled_from([*range(K), IGNORE]) if ignore else st.integers(0, K - 1)
    return hnp.arrays(np.int64, shape, elements=values)


def brute_force(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray) -> np.ndarray:
    counts = np.zeros((K, K), np.int64)
    for t, p, v in zip(truth.flat, prediction.flat, valid.flat, strict=True):
        if v and t != IGNORE:
            counts[t, p] += 1
    return counts


@QUICK
@given(st.data())
def test_counts_equal_brute_force(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 3)))
    truth, prediction = data.draw(labels(shape)), data.draw(labels(shape, ignore=False))
    valid = data.draw(hnp.arrays(np.bool_, shape))
    matrix = ConfusionMatrix(CLASSES)
    matrix.update(truth, prediction, valid)
    assert (matrix.counts == brute_force(truth, prediction, valid)).all()
    units = confusion_per_unit(truth, prediction, valid, CLASSES)
    assert units.shape == (shape[0], K, K)
    assert units.dtype == np.int64
    for unit in range(shape[0]):
        assert (units[unit] == brute_force(truth[unit], prediction[unit], valid[unit])).all()


@QUICK
@given(labels((60,), ignore=False), labels((60,), ignore=False))
def test_scores_equal_scikit_learn(truth: np.ndarray, prediction: np.ndarray) -> None:
    matrix = ConfusionMatrix(CLASSES)
    matrix.update(truth, prediction)
    every = list(range(K))
    occurring = sorted(set(truth) | set(prediction))
    assert matrix.accuracy() == pytest.approx(sk.accuracy_score(truth, prediction))
    with warnings.catch_warnings():  # scikit-learn warns about classes without truth, which we test on purpose
        warnings.simplefilter("ignore")
        assert matrix.balanced_accuracy() == pytest.approx(sk.balanced_accuracy_score(truth, prediction))
        expected = sk.cohen_kappa_score(truth, prediction)
    assert matrix.kappa() == pytest.approx(expected, nan_ok=True)
    options = {"labels": every, "average": None, "zero_division": np.nan}
    assert matrix.precision() == pytest.approx(sk.precision_score(truth, prediction, **options), nan_ok=True)
    assert matrix.recall() == pytest.approx(sk.recall_score(truth, prediction, **options), nan_ok=True)
    shown = np.isin(every, occurring)
    plain = {"labels": every, "average": None, "zero_division": 0}
    assert matrix.f1()[shown] == pytest.approx(sk.f1_score(truth, prediction, **plain)[shown])
    assert matrix.iou()[shown] == pytest.approx(sk.jaccard_score(truth, prediction, **plain)[shown])
    assert np.isnan(matrix.f1()[~shown]).all()
    assert np.isnan(matrix.iou()[~shown]).all()
    mean = {"average": "macro", "zero_division": 0}
    assert matrix.miou() == pytest.approx(sk.jaccard_score(truth, prediction, labels=occurring, **mean))
    assert matrix.miou("zero") == pytest.approx(sk.jaccard_score(truth, prediction, labels=every, **mean))
    assert matrix.mean_f1() == pytest.approx(sk.f1_score(truth, prediction, labels=occurring, **mean))
    macro_precision = metrics.macro(matrix.precision(), matrix.counts)
    assert macro_precision == pytest.approx(sk.precision_score(truth, prediction, labels=occurring, **mean))
    assert matrix.present == len(occurring)


@QUICK
@given(labels((24,)), labels((24,), ignore=False), st.integers(1, 24), st.permutations(range(24)))
def test_batching_and_order_change_nothing(truth: np.ndarray, prediction: np.ndarray, size: int, order: list) -> None:
    whole = ConfusionMatrix(CLASSES)
    whole.update(truth, prediction)
    parts = []
    for start in range(0, 24, size):
        part = ConfusionMatrix(CLASSES)
        part.update(torch.from_numpy(truth[order][start : start + size]), prediction[order][start : start + size])
        parts.append(part)
    forward, backward = ConfusionMatrix(CLASSES), ConfusionMatrix(CLASSES)
    for part in parts:
        forward = forward + part
    for part in reversed(parts):
        backward = part + backward
    assert whole == forward == backward


@QUICK
@given(st.data())
def test_values_under_the_mask_change_nothing(data: st.DataObject) -> None:
    shape = (3, 5)
    truth, prediction = data.draw(labels(shape)), data.draw(labels(shape, ignore=False))
    valid = data.draw(hnp.arrays(np.bool_, shape))
    off = ~valid | (truth == IGNORE)
    noise = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-999, 999)))
    expected = confusion_per_unit(truth, prediction, valid, CLASSES)
    assert (confusion_per_unit(truth, np.where(off, noise, prediction), valid, CLASSES) == expected).all()
    assert (confusion_per_unit(np.where(valid, truth, noise), prediction, valid, CLASSES) == expected).all()


def test_scores_work_on_leading_axes_at_once() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (2, 3, K, K))
    for score in (metrics.accuracy, metrics.kappa, metrics.iou, metrics.miou, metrics.mean_f1, metrics.recall):
        stacked = score(counts)
        for index in np.ndindex(2, 3):
            assert stacked[index] == pytest.approx(score(counts[index]))


def test_hand_worked_matrix() -> None:
    matrix = ConfusionMatrix(("no", "yes"), np.array([[5, 1], [2, 4]]))
    assert matrix.accuracy() == pytest.approx(9 / 12)
    assert matrix.iou() == pytest.approx([5 / 8, 4 / 7])
    assert matrix.f1() == pytest.approx([10 / 13, 8 / 11])
    assert matrix.precision() == pytest.approx([5 / 7, 4 / 5])
    assert matrix.recall() == pytest.approx([5 / 6, 4 / 6])
    assert matrix.kappa() == pytest.approx((9 / 12 - 0.5) / 0.5)


def test_empty_and_all_masked_give_nan_and_counts() -> None:
    matrix = ConfusionMatrix(CLASSES)
    matrix.update(np.zeros((0,), np.int64), np.zeros((0,), np.int64))
    matrix.update(np.full((2, 2), IGNORE), np.zeros((2, 2), np.int64))
    matrix.update(np.zeros((2, 2), np.int64), np.full((2, 2), 77), np.zeros((2, 1), bool))
    assert matrix.total == 0
    assert matrix.present == 0
    for score in ("accuracy", "balanced_accuracy", "kappa", "miou", "mean_f1"):
        assert np.isnan(getattr(matrix, score)())
    assert np.isnan(matrix.miou("zero"))


def test_one_class_only() -> None:
    matrix = ConfusionMatrix(("ice",))
    matrix.update(np.zeros(4, np.int64), np.zeros(4, np.int64))
    assert matrix.accuracy() == 1
    assert matrix.miou() == 1
    assert np.isnan(matrix.kappa())


def test_large_counts_do_not_overflow() -> None:
    matrix = ConfusionMatrix(("a", "b"), np.array([[2**40, 0], [0, 2**40]]))
    assert matrix.kappa() == 1
    assert (matrix + matrix).total == 2**42


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_small_integer_types(dtype: torch.dtype) -> None:
    matrix = ConfusionMatrix(("no", "yes"))
    matrix.update(torch.tensor([0, 1, 1]).to(dtype), torch.tensor([0, 1, 0]).to(dtype), torch.tensor([True]))
    assert matrix.counts.tolist() == [[1, 0], [1, 1]]


def test_bad_input_gets_a_sentence() -> None:
    matrix = ConfusionMatrix(CLASSES)
    with pytest.raises(InputError, match=r"'truth' holds labels outside the 4 classes: 7 \(2 times\)"):
        matrix.update(np.array([7, 7, 0]), np.array([0, 0, 0]))
    with pytest.raises(InputError, match=r"'prediction' holds .* -100 \(1 times\)"):
        matrix.update(np.array([0, 0]), np.array([IGNORE, 0]))
    with pytest.raises(InputError, match="shape"):
        matrix.update(np.zeros((2, 3), np.int64), np.zeros((2, 1), np.int64))
    with pytest.raises(InputError, match="float64"):
        matrix.update(np.zeros(2), np.zeros(2, np.int64))
    with pytest.raises(InputError, match="'valid' has dtype"):
        matrix.update(np.zeros(2, int), np.zeros(2, int), np.ones(2, int))
    with pytest.raises(InputError, match="'valid' has shape"):
        matrix.update(np.zeros(2, int), np.zeros(2, int), np.ones(3, bool))
    with pytest.raises(InputError, match="single number"):
        confusion_per_unit(np.array(1), np.array(1), None, CLASSES)
    assert matrix.total == 0
    with pytest.raises(InputError, match="same classes"):
        matrix + ConfusionMatrix(CLASSES[::-1])
    with pytest.raises(InputError, match="counts have shape"):
        ConfusionMatrix(CLASSES, np.zeros((2, 2), np.int64))
    with pytest.raises(ConfigError, match="nearest is: zero"):
        matrix.miou("zeros")  # type: ignore[arg-type]
    for wrong in ((), ("a", "a"), "ab"):
        with pytest.raises(ConfigError, match="class name"):
            ConfusionMatrix(wrong)


@QUICK
@given(st.data())
def test_counts_per_group_equal_counts_of_each_group_alone(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(0, 4), st.integers(1, 5)))
    truth, prediction = data.draw(labels(shape)), data.draw(labels(shape, ignore=False))
    groups = data.draw(hnp.arrays(np.int32, shape, elements=st.sampled_from([-1, 0, 3, 2**20])))
    valid = data.draw(hnp.arrays(np.bool_, shape))
    numbers, counts = confusion_per_group(truth, prediction, groups, valid, CLASSES)
    assert numbers.tolist() == sorted(set(groups[groups >= 0].tolist()))
    assert counts.shape == (len(numbers), K, K)
    for number, matrix in zip(numbers, counts, strict=True):
        assert (matrix == brute_force(truth, prediction, valid & (groups == number))).all()


def test_groups_that_do_not_fit_are_refused() -> None:
    zeros = np.zeros((2, 2), np.int64)
    with pytest.raises(InputError, match="groups"):
        confusion_per_group(zeros, zeros, np.zeros(4, np.int64), None, CLASSES)
    with pytest.raises(InputError, match="dtype float64"):
        confusion_per_group(zeros, zeros, np.zeros((2, 2)), None, CLASSES)
