import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from swath.sources.world.render.speckle import speckle

SIDE = np.arange(400)


@pytest.mark.parametrize("looks", [1.0, 4.4, 20.0])
def test_mean_and_equivalent_number_of_looks(looks: float) -> None:
    factors = speckle(1, SIDE, SIDE, looks).astype(np.float64)
    # About 160,000 pixels of which a sixth is independent.
    assert factors.mean() == pytest.approx(1.0, abs=0.015)
    assert factors.mean() ** 2 / factors.var() == pytest.approx(looks, rel=0.04)


def test_distribution_is_gamma() -> None:
    apart = speckle(2, SIDE, SIDE, 4.4)[::4, ::4].ravel()  # places that share no noise
    assert stats.kstest(apart, stats.gamma(a=4.4, scale=1 / 4.4).cdf).pvalue > 0.01


def test_one_look_is_exponential() -> None:
    apart = speckle(4, SIDE, SIDE, 1.0)[::4, ::4].ravel()
    assert stats.kstest(apart, stats.expon().cdf).pvalue > 0.01


def test_neighbours_are_alike_and_places_three_apart_are_not() -> None:
    factors = speckle(3, SIDE, SIDE, 4.4)
    assert np.corrcoef(factors[:, 1:].ravel(), factors[:, :-1].ravel())[0, 1] == pytest.approx(0.5, abs=0.05)
    assert np.corrcoef(factors[:, 3:].ravel(), factors[:, :-3].ravel())[0, 1] == pytest.approx(0.0, abs=0.02)


def test_no_correlation_when_none_is_asked_for() -> None:
    factors = speckle(3, SIDE, SIDE, 4.4, neighbour=0.0)
    assert np.corrcoef(factors[:, 1:].ravel(), factors[:, :-1].ravel())[0, 1] == pytest.approx(0.0, abs=0.01)


@settings(deadline=None, max_examples=20)
@given(
    top=st.integers(-(10**6), 10**6),
    left=st.integers(-(10**6), 10**6),
    height=st.integers(0, 5),
    width=st.integers(0, 5),
)
def test_a_part_equals_the_part_of_the_whole(top: int, left: int, height: int, width: int) -> None:
    whole = speckle(7, np.arange(top - 4, top + 9), np.arange(left - 3, left + 8), 4.4)
    part = speckle(7, np.arange(top, top + height), np.arange(left, left + width), 4.4)
    np.testing.assert_array_equal(part, whole[4 : 4 + height, 3 : 3 + width])


def test_other_keys_give_other_speckle() -> None:
    a, b = (speckle(key, SIDE, SIDE, 4.4) for key in (1, 2))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] == pytest.approx(0.0, abs=0.02)
