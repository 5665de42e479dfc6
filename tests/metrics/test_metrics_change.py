from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from swath.errors import InputError
from swath.metrics import DAMAGE, ConfusionMatrix, SemanticChange, damage_scores

QUICK = settings(deadline=None, max_examples=20)
CLASSES = ("unchanged", "field", "town", "water")
Maps = tuple[np.ndarray, np.ndarray]


def judged(truth: Maps, prediction: Maps, **options: object) -> dict:
    metric = SemanticChange(CLASSES)
    metric.update(truth, prediction, **options)  # type: ignore[arg-type]
    return metric.compute()


def test_hand_worked_change() -> None:
    """Ten pixels. Truth: 4 turn from field to town, 2 from field to water. Right: 3 and 1; one is water for town, one
    is missed, one unchanged pixel is called field to town."""
    before = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    after = np.array([2, 2, 2, 2, 3, 3, 0, 0, 0, 0])
    guess_before = np.array([1, 1, 1, 1, 1, 0, 1, 0, 0, 0])
    guess_after = np.array([2, 2, 2, 3, 3, 0, 2, 0, 0, 0])
    answers = judged((before, after), (guess_before, guess_after))
    iou = 5 / 7  # five changed in both, seven in either
    assert answers["iou_change"].value == pytest.approx(iou)
    assert answers["iou_mean"].value == pytest.approx((3 / 5 + iou) / 2)
    assert answers["Fscd"].value == pytest.approx(2 * 4 / (6 + 6))
    sc = (3 / (4 + 4) + 1 / (2 + 2)) / 3
    assert answers["SC"].value == pytest.approx(sc)
    assert answers["SCS"].value == pytest.approx((iou + sc) / 2)
    # Without the three unchanged pixels: 4 of 7 agree, by chance 1*1 + 4*4 + 2*2 of 49.
    kappa = (4 / 7 - 21 / 49) / (1 - 21 / 49)
    assert answers["SeK"].value == pytest.approx(kappa * math.exp(iou) / math.e)


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_equals_brute_force(seed: int) -> None:
    stream = np.random.default_rng(seed)
    changed = stream.random((2, 60)) < 0.6
    truth, guess = (stream.integers(1, 4, (2, 60)) * part for part in changed)
    truth, guess = truth.copy(), guess.copy()
    truth[:, :2], guess[:, :2] = [[1, 0], [2, 0]], [[1, 0], [2, 0]]  # a hit, and an unchanged pixel
    names = [[f"{a}{b}" if a and b else "none" for a, b in zip(*part, strict=True)] for part in (truth, guess)]
    real, found = (np.array(part) for part in names)
    both, either = (real != "none") & (found != "none"), (real != "none") | (found != "none")
    answers = judged((truth[0], truth[1]), (guess[0], guess[1]))
    iou = both.sum() / either.sum()
    assert answers["iou_change"].value == pytest.approx(iou)
    kappa = sk.cohen_kappa_score(real[either], found[either])
    assert answers["SeK"].value == pytest.approx(kappa * math.exp(iou - 1))
    right = (real == found) & both
    precision, recall = right.sum() / (found != "none").sum(), right.sum() / (real != "none").sum()
    assert answers["Fscd"].value == pytest.approx(2 * precision * recall / (precision + recall))
    total = sum(
        ((real == name) & (found == name)).sum() / ((real == name).sum() + (found == name).sum())
        for name in {*real, *found} - {"none"}
    )
    assert answers["SC"].value == pytest.approx(total / 3)


def test_classes_that_are_given_everywhere_need_a_change_mask() -> None:
    before, after = np.array([[1, 1], [2, 2]]), np.array([[1, 2], [2, 3]])
    mask = before != after
    exact = judged((before, after), (before, after), changed=(mask, mask))
    assert exact["Fscd"].value == exact["SeK"].value == exact["iou_mean"].value == 1
    assert exact["SC"].value == pytest.approx(2 / (2 * 3))  # two trajectories, each 1/2, over K - 1
    nothing = judged((before, after), (before, after), changed=(mask, np.zeros_like(mask)))
    assert nothing["Fscd"].value == nothing["iou_change"].value == 0


def test_a_true_change_without_a_class_is_left_out_and_counted() -> None:
    truth, guess = (np.array([1, 1, 0, -100]), np.array([2, 0, 0, 2])), (np.array([1, 1, 0, 1]), np.array([2, 2, 0, 1]))
    answers = judged(truth, guess)
    assert (answers["Fscd"].value, answers["Fscd"].count, answers["Fscd"].skipped) == (1, 2, 1)
    assert "1 changed pixels without a true class" in answers["SC"].reason


def test_no_change_is_nan_with_a_reason() -> None:
    zeros = np.zeros(5, int)
    answers = judged((zeros, zeros), (zeros, zeros))
    assert all(np.isnan(answer.value) and "nothing changed" in answer.reason for answer in answers.values())
    empty = SemanticChange(CLASSES).compute()
    assert all(np.isnan(answer.value) and "no valid pixels" in answer.reason for answer in empty.values())
    one = judged((zeros + 1, zeros + 2), (zeros + 1, zeros + 2))
    assert "chance agreement is 1" in one["SeK"].reason
    assert "everything changed" in one["iou_mean"].reason
    assert np.isnan(one["iou_mean"].value)


def test_bad_change_input_gets_a_sentence() -> None:
    zeros = np.zeros(2, int)
    with pytest.raises(InputError, match="'prediction' holds classes such as 4"):
        judged((zeros, zeros), (zeros, np.array([0, 4])))
    with pytest.raises(InputError, match="truth after"):
        judged((zeros, np.zeros(3, int)), (zeros, zeros))
    with pytest.raises(InputError, match="only class"):
        SemanticChange(("unchanged",))
    with pytest.raises(InputError, match="same classes"):
        SemanticChange(CLASSES) + SemanticChange(CLASSES[:3])


def test_hand_worked_damage() -> None:
    """Rows are truth. Damage on the 20 building pixels: intact 8 of 8+2 and 8+3, damaged 2 of 6 and 4, destroyed 2."""
    counts = np.array([[50, 5, 0, 1], [1, 8, 1, 0], [1, 2, 2, 1], [1, 1, 0, 2]])
    answers = damage_scores(counts)
    assert answers["f1_loc"].value == pytest.approx(2 * 17 / (2 * 17 + 6 + 3))
    intact, damaged, destroyed = 2 * 8 / (10 + 11), 2 * 2 / (6 + 3), 2 * 2 / (4 + 3)
    assert answers["f1_damage:intact"].value == pytest.approx(intact)
    assert answers["f1_damage:destroyed"].value == pytest.approx(destroyed)
    assert answers["f1_damage"].value == pytest.approx(3 / (1 / intact + 1 / damaged + 1 / destroyed))
    assert answers["oa"].value == pytest.approx(62 / 76)


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_damage_equals_scikit_learn_on_building_pixels(seed: int) -> None:
    stream = np.random.default_rng(seed)
    truth, guess = stream.integers(0, 4, (2, 80))
    matrix = ConfusionMatrix(DAMAGE)
    matrix.update(truth, guess)
    answers = damage_scores(matrix.counts)
    assert answers["f1_loc"].value == pytest.approx(sk.f1_score(truth > 0, guess > 0))
    on = truth > 0
    f1 = sk.f1_score(truth[on], guess[on], labels=[1, 2, 3], average=None, zero_division=0)
    assert [answers[f"f1_damage:{name}"].value for name in DAMAGE[1:]] == pytest.approx(f1)
    expected = 0.0 if (f1 == 0).any() else 3 / (1 / f1).sum()
    assert answers["f1_damage"].value == pytest.approx(expected)


def test_damage_without_buildings_or_without_a_class() -> None:
    nothing = damage_scores(np.diag([9, 0, 0, 0]))
    assert nothing["f1_damage"].reason == "there are no true building pixels"
    assert nothing["f1_loc"].reason == "there is no building in truth or prediction"
    assert damage_scores(np.zeros((4, 4), int))["f1_loc"].reason == "there are no valid pixels"
    two = damage_scores(np.diag([9, 4, 0, 4]))["f1_damage"]
    assert (two.value, two.count, two.skipped) == (1, 2, 1)
    missed = np.diag([9, 4, 0, 4])
    missed[2, 1] = 1
    assert damage_scores(missed)["f1_damage"].value == 0
    with pytest.raises(InputError, match="ConfusionMatrix"):
        damage_scores(np.zeros((2, 2), int))
