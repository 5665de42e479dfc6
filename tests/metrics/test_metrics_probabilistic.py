from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from swath.errors import InputError
from swath.metrics import GaussianScores, SampleScores

QUICK = settings(deadline=None, max_examples=20)


def gaussian(observed: object, mean: object, deviation: object) -> dict:
    metric = GaussianScores()
    metric.update(*(np.asarray(part, dtype=float) for part in (observed, mean, deviation)))
    return metric.compute()


def test_hand_worked_values() -> None:
    """At its mean a standard normal has density 1/sqrt(2 pi) and CRPS (sqrt 2 - 1) / sqrt pi."""
    answers = gaussian([3.0], [3.0], [1.0])
    assert answers["nll"].value == pytest.approx(0.5 * np.log(2 * np.pi))
    assert answers["crps"].value == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi))
    members = SampleScores()
    members.update(np.array([0.0]), np.array([[-1.0], [2.0]]))
    assert members.compute()["crps"].value == pytest.approx(1.5 - 0.5 * (3 + 3) / 4)


@QUICK
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 5))
def test_gaussian_scores_equal_scipy_and_the_integral(observed: float, mean: float, deviation: float) -> None:
    answers = gaussian([observed], [mean], [deviation])
    normal = stats.norm(mean, deviation)
    assert answers["nll"].value == pytest.approx(-normal.logpdf(observed))
    below = integrate.quad(lambda x: normal.cdf(x) ** 2, mean - 12 * deviation - 10, observed)[0]
    above = integrate.quad(lambda x: (1 - normal.cdf(x)) ** 2, observed, mean + 12 * deviation + 10)[0]
    assert answers["crps"].value == pytest.approx(below + above, abs=1e-6)


@QUICK
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_members_equal_brute_force(count: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    observed, members = stream.normal(size=5), stream.normal(size=(count, 5)).round(1)
    values = []
    for column in range(5):
        x = members[:, column]
        far = np.mean([abs(a - observed[column]) for a in x])
        spread = np.mean([abs(a - b) for a in x for b in x])
        values.append(far - 0.5 * spread)
    metric = SampleScores()
    metric.update(observed, members)
    assert metric.compute()["crps"].value == pytest.approx(np.mean(values))


def test_many_members_approach_the_gaussian() -> None:
    stream = np.random.default_rng(0)
    observed = stream.normal(size=20)
    metric = SampleScores()
    metric.update(observed, stream.normal(size=(20000, 20)))
    assert metric.compute()["crps"].value == pytest.approx(
        gaussian(observed, np.zeros(20), np.ones(20))["crps"].value, abs=0.01
    )


def test_large_offsets_keep_their_digits() -> None:
    stream = np.random.default_rng(1)
    observed, members = stream.normal(size=30), stream.normal(size=(9, 30))
    plain, lifted = SampleScores(), SampleScores()
    plain.update(observed, members)
    lifted.update(observed + 1e8, members + 1e8)
    assert lifted.compute()["crps"].value == pytest.approx(plain.compute()["crps"].value, rel=1e-6)


def test_masks_and_no_evidence() -> None:
    valid = np.array([[True, False], [False, True]])
    observed = np.where(valid, 1.0, np.nan)
    metric, members = GaussianScores(), SampleScores()
    metric.update(observed, np.where(valid, 1.0, np.inf), np.where(valid, 1.0, 0.0), valid)
    members.update(observed, np.stack([observed, observed]), valid)
    assert metric.count == members.count == 2
    assert members.compute()["crps"].value == 0
    for answers in (GaussianScores().compute(), SampleScores().compute()):
        assert {answer.reason for answer in answers.values()} == {"there are no valid values"}
        assert all(np.isnan(answer.value) for answer in answers.values())


def test_bad_input_gets_a_sentence() -> None:
    zeros = np.zeros(2)
    with pytest.raises(InputError, match=r"'deviation' holds 1 values of 0 or below, first in samples \[1\]"):
        GaussianScores().update(zeros, zeros, np.array([1.0, 0.0]))
    with pytest.raises(InputError, match=r"'mean' holds 1 NaN .* samples \['q'\]"):
        GaussianScores().update(zeros, np.array([0, np.nan]), np.ones(2), ids=["p", "q"])
    with pytest.raises(InputError, match=r"'members' holds 1 NaN .* samples \[0\]"):
        SampleScores().update(zeros, np.array([[np.nan, 0], [0, 0]]))
    for shape in ((0, 2), (2,), (2, 3)):
        with pytest.raises(InputError, match="at least one member"):
            SampleScores().update(zeros, np.zeros(shape))
