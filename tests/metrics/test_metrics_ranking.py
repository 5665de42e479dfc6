from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from swath.errors import ConfigError, InputError
from swath.metrics import BinaryF1, ClassRanking, Outcome, Ranking, best_threshold, f1_at

QUICK = settings(deadline=None, max_examples=20)
TIED = st.integers(0, 8).map(lambda step: step / 8)


def ranked(truth: object, scores: object, **options: object) -> Ranking:
    ranking = Ranking(**options)  # type: ignore[arg-type]
    ranking.update(np.asarray(truth), np.asarray(scores, dtype=float))
    return ranking


def test_hand_worked_ranking() -> None:
    """Scores .9+ .7- .7+ .2-: steps at recall 1/2 (precision 1) and 1 (precision 2/3); pairs won 3.5 of 4."""
    answers = ranked([1, 0, 1, 0], [0.9, 0.7, 0.7, 0.2]).compute()
    assert answers["ap"].value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert answers["auroc"].value == pytest.approx(3.5 / 4)
    assert answers["ap"].count == 4


def brute_force(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Both numbers from their definitions, pair by pair and threshold by threshold."""
    positives, negatives = scores[truth], scores[~truth]
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]
    area, last = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        recall = float((chosen & truth).sum() / truth.sum())
        area += (recall - last) * float((chosen & truth).sum() / chosen.sum())
        last = recall
    return area, float(np.mean(wins))


@QUICK
@given(hnp.arrays(np.bool_, 25), hnp.arrays(np.float64, 25, elements=TIED))
def test_equals_brute_force_and_scikit_learn(truth: np.ndarray, scores: np.ndarray) -> None:
    truth[:2] = True, False
    answers = ranked(truth, scores).compute()
    area, wins = brute_force(truth, scores)
    assert answers["ap"].value == pytest.approx(area)
    assert answers["auroc"].value == pytest.approx(wins)
    assert answers["ap"].value == pytest.approx(sk.average_precision_score(truth, scores))
    assert answers["auroc"].value == pytest.approx(sk.roc_auc_score(truth, scores))


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_bins_err_by_no_more_than_the_pairs_that_share_one(seed: int) -> None:
    stream = np.random.default_rng(seed)
    truth, scores = stream.random(200) < 0.3, stream.random(200) ** 4
    exact, binned = ranked(truth, scores), ranked(truth, scores, bins=1024)
    curve = binned.curve()
    positives, negatives = curve.totals
    shared = float((curve.positives * curve.negatives).sum() / (positives * negatives))
    answers = binned.compute()
    assert set(answers) == {"ap_binned", "auroc_binned"}
    assert abs(answers["auroc_binned"].value - exact.compute()["auroc"].value) <= shared / 2 + 1e-12
    on_edges = np.floor(scores * 1024) / 1024
    assert answers["ap_binned"].value == pytest.approx(sk.average_precision_score(truth, on_edges))


def test_bins_hold_both_ends() -> None:
    curve = ranked([0, 1, 1], [0.0, 1.0, 0.9999], bins=1024).curve()
    assert curve.scores.tolist() == [0, 1023 / 1024]
    assert curve.positives.tolist() == [0, 2]


def test_one_class_only_gives_nan_and_says_why() -> None:
    for truth, missing in (([1, 1], "negatives"), ([0, 0], "positives")):
        answer = ranked(truth, [0.1, 0.2]).compute()["auroc"]
        assert np.isnan(answer.value)
        assert answer.reason == f"there are no {missing}"
    assert ranked([1, 1], [0.1, 0.2]).compute()["ap"].value == 1
    assert "no positives" in ranked([0, 0], [0.1, 0.2]).compute()["ap"].reason
    empty = ranked(np.zeros(0, int), []).compute()
    assert {answer.reason for answer in empty.values()} == {"there are no valid values"}


def test_macro_means_leave_out_and_count_classes_without_positives() -> None:
    stream = np.random.default_rng(0)
    truth, scores = stream.integers(0, 3, 60), stream.dirichlet(np.ones(4), 60)
    metric = ClassRanking(("a", "b", "c", "d"))
    metric.update(truth, scores)
    answers = metric.compute()
    areas = [sk.roc_auc_score(truth == number, scores[:, number]) for number in range(3)]
    precisions = [sk.average_precision_score(truth == number, scores[:, number]) for number in range(3)]
    assert answers["auroc_macro"].value == pytest.approx(np.mean(areas))
    assert answers["ap_macro"].value == pytest.approx(np.mean(precisions))
    assert (answers["ap_macro"].count, answers["ap_macro"].skipped) == (3, 1)
    several = ClassRanking(("a", "b", "c", "d"))
    several.update(np.eye(4, dtype=int)[truth], scores)
    assert several.compute() == answers


def test_maps_of_classes_and_masks() -> None:
    stream = np.random.default_rng(1)
    truth, scores = stream.integers(0, 2, (3, 4, 5)), stream.random((3, 2, 4, 5))
    valid = stream.random((3, 1, 5)) < 0.6
    metric = ClassRanking(("a", "b"))
    metric.update(truth, np.where(valid[:, None], scores, np.nan), valid)
    keep = np.broadcast_to(valid, truth.shape)
    expected = sk.roc_auc_score(truth[keep] == 1, scores[:, 1][keep])
    assert metric.per_class()["b"]["auroc"].value == pytest.approx(expected)


def test_hand_worked_f1_and_threshold() -> None:
    """At 0.5: TP 1, FP 1, FN 1. At 0.3: TP 2, FP 1, FN 0, the best."""
    truth, scores = [1, 0, 1, 0], [0.9, 0.6, 0.3, 0.1]
    ranking = ranked(truth, scores, split="validation")
    assert f1_at(ranking.curve()).value == pytest.approx(2 / 4)
    chosen = best_threshold(ranking)
    assert (chosen.value, chosen.f1, chosen.split) == (0.3, pytest.approx(4 / 5), "validation")
    fixed, tuned = BinaryF1(), BinaryF1(chosen)
    for metric in (fixed, tuned):
        metric.update(np.array(truth), np.array(scores))
    assert fixed.compute()["f1_binary"].value == pytest.approx(0.5)
    assert tuned.compute()["f1_binary"].value == pytest.approx(0.8)
    assert tuned.counts.tolist() == [[1, 1], [0, 2]]


@QUICK
@given(hnp.arrays(np.bool_, 20), hnp.arrays(np.float64, 20, elements=TIED))
def test_f1_equals_scikit_learn_and_no_threshold_is_better(truth: np.ndarray, scores: np.ndarray) -> None:
    truth[0] = True
    ranking = ranked(truth, scores, split="val")
    metric = BinaryF1()
    metric.update(truth, scores)
    assert metric.compute()["f1_binary"].value == pytest.approx(sk.f1_score(truth, scores >= 0.5, zero_division=0))
    every = [sk.f1_score(truth, scores >= threshold, zero_division=0) for threshold in np.unique(scores)]
    assert best_threshold(ranking).f1 == pytest.approx(max(every))


def test_a_threshold_is_chosen_on_validation_data_alone() -> None:
    for split in ("", "test", "train"):
        with pytest.raises(ConfigError, match="validation"):
            best_threshold(ranked([1, 0], [0.5, 0.1], split=split))
    with pytest.raises(InputError, match="one split"):
        ranked([1], [0.5], split="validation") + ranked([1], [0.5], split="test")
    with pytest.raises(InputError, match="no positive"):
        best_threshold(ranked([0], [0.5], split="validation"))


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(InputError, match=r"samples \['b'\]"):
        Ranking().update(np.array([0, 1]), np.array([0.1, np.nan]), ids=["a", "b"])
    with pytest.raises(InputError, match="outside 0 to 1"):
        Ranking(1024).update(np.array([0, 1]), np.array([0.1, 1.5]))
    with pytest.raises(InputError, match=r"'truth' holds \[0, 2\]"):
        Ranking().update(np.array([0, 2]), np.array([0.1, 0.5]))
    with pytest.raises(ConfigError, match="1024"):
        Ranking(100)
    with pytest.raises(InputError, match="one kind of table"):
        Ranking() + Ranking(1024)
    with pytest.raises(InputError, match="one threshold"):
        BinaryF1(0.5) + BinaryF1(0.4)
    metric = ClassRanking(("a", "b"))
    with pytest.raises(InputError, match="second axis"):
        metric.update(np.zeros(3, int), np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"'truth' holds \[2\]"):
        metric.update(np.array([2]), np.zeros((1, 2)))
    with pytest.raises(InputError, match="same classes"):
        metric + ClassRanking(("b", "a"))
    assert np.isnan(metric.compute()["ap_macro"].value)
    assert isinstance(metric.compute()["ap_macro"], Outcome)
