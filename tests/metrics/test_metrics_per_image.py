from __future__ import annotations

import numpy as np
import pytest

from swath import metrics
from swath.errors import ConfigError, InputError
from swath.metrics import ConfusionMatrix, PerImageConfusion

CLASSES = ("sea", "crop", "ice")


def test_hand_worked_images() -> None:
    """Image 1: truth 0 0 1 1, prediction 0 1 1 1; image 2: all 0; image 3: nothing valid."""
    truth = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [-100, -100, -100, -100]])
    prediction = np.array([[0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
    metric = PerImageConfusion(CLASSES)
    metric.update(truth, prediction)
    answers = metric.compute()
    assert answers["oa_per_image"].value == pytest.approx((3 / 4 + 1) / 2)
    assert (answers["oa_per_image"].count, answers["oa_per_image"].skipped) == (2, 1)
    assert answers["oa_per_image"].reason == "1 of 3 images leave the score undefined"
    assert answers["miou_per_image"].value == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    assert answers["kappa_per_image"].count == 1  # chance agreement is 1 in the second image
    assert metric.compute("zero")["miou_per_image"].value == pytest.approx(((1 / 2 + 2 / 3) / 3 + 1 / 3) / 2)
    assert metric.compute(background=0)["miou_no_bg_per_image"].value == pytest.approx(2 / 3)
    assert metric.pooled().accuracy() == pytest.approx(7 / 8)


def test_equals_the_matrix_of_every_image_alone() -> None:
    stream = np.random.default_rng(0)
    truth, prediction = stream.integers(0, 3, (2, 9, 6, 5))
    valid = stream.random(truth.shape) < 0.5
    metric = PerImageConfusion(CLASSES)
    metric.update(truth, prediction, valid)
    values = []
    for unit in range(9):
        single = ConfusionMatrix(CLASSES)
        single.update(truth[unit], prediction[unit], valid[unit])
        values.append(single.miou())
    assert metric.compute()["miou_per_image"].value == pytest.approx(np.mean(values))


def test_summary_says_what_it_rests_on() -> None:
    matrix = ConfusionMatrix(CLASSES, np.array([[5, 1, 0], [2, 4, 0], [0, 0, 0]]))
    answers = matrix.compute()
    assert answers["oa"] == metrics.Outcome(0.75, 12)
    assert answers["kappa"].value == pytest.approx(0.5)
    assert answers["balanced_accuracy"].value == pytest.approx((5 / 6 + 4 / 6) / 2)
    assert answers["balanced_accuracy"].reason == "1 of 3 classes are not in the truth"
    assert answers["miou"].value == pytest.approx((5 / 8 + 4 / 7) / 2)
    assert (answers["miou"].count, answers["miou"].skipped) == (2, 1)
    assert answers["miou"].reason == "1 of 3 classes are in neither truth nor prediction and are left out"
    zero = matrix.compute("zero")["miou"]
    assert zero.value == pytest.approx((5 / 8 + 4 / 7) / 3)
    assert (zero.count, zero.skipped) == (3, 0)
    assert zero.reason == "1 of 3 classes are in neither truth nor prediction and count as 0"
    no_bg = matrix.compute(background=0)
    assert no_bg["miou_no_bg"].value == pytest.approx(4 / 7)
    assert no_bg["f1_no_bg"].value == pytest.approx(8 / 11)
    assert "miou" not in no_bg
    assert float(metrics.miou(matrix.counts, background=1)) == pytest.approx(5 / 8)


def test_no_evidence_is_nan_with_a_reason() -> None:
    for answers in (ConfusionMatrix(CLASSES).compute(), PerImageConfusion(CLASSES).compute()):
        for key, answer in answers.items():
            assert np.isnan(answer.value), key
            assert answer.reason, key
    one = ConfusionMatrix(("ice",), np.array([[4]])).compute()
    assert np.isnan(one["kappa"].value)
    assert "chance agreement is 1" in one["kappa"].reason


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(ConfigError, match="background is class 3 of 3"):
        ConfusionMatrix(CLASSES).compute(background=3)
    with pytest.raises(InputError, match="same classes"):
        PerImageConfusion(CLASSES) + PerImageConfusion(CLASSES[::-1])
    with pytest.raises(InputError, match="shape"):
        PerImageConfusion(CLASSES, np.zeros((2, 2), np.int64))
