"""Means and majorities from grid to grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.sources.planet import aggregate
from swath.sources.planet.aggregate import majority, mean, overlap

SIZES = st.integers(1, 24)


def whole(array: np.ndarray) -> aggregate.ReadRows:
    return lambda start, stop: array[start:stop]


@settings(deadline=None, max_examples=50)
@given(source=SIZES, target=SIZES)
def test_overlap_shares_every_cell_out_completely(source: int, target: int) -> None:
    weights = overlap(source, target).toarray()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.sum(axis=0), target / source)
    assert (weights >= 0).all()


def test_overlap_of_three_cells_on_two() -> None:
    np.testing.assert_allclose(overlap(3, 2).toarray(), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])


def test_one_cell_becomes_many_and_many_become_one() -> None:
    assert mean(np.array([[7]]), (2, 3)).tolist() == [[7, 7, 7], [7, 7, 7]]
    assert mean(np.array([[1, 2], [3, 6]]), (1, 1)).tolist() == [[3]]


@settings(deadline=None, max_examples=40)
@given(rows=SIZES, columns=SIZES, to_rows=SIZES, to_columns=SIZES, seed=st.integers(0, 9))
def test_the_mean_over_the_globe_is_kept(rows: int, columns: int, to_rows: int, to_columns: int, seed: int) -> None:
    array = np.random.default_rng(seed).integers(-400, 8000, (rows, columns))
    out = mean(array, (to_rows, to_columns))
    assert out.shape == (to_rows, to_columns)
    np.testing.assert_allclose(out.mean(), array.mean(), rtol=1e-9, atol=1e-6)


def test_bytes_do_not_overflow_in_the_mean() -> None:
    assert mean(np.full((8, 8), 255, np.uint8), (1, 1))[0, 0] == 255


def test_majority_by_hand() -> None:
    array = np.array([[1, 1, 0, 2], [1, 2, 2, 2]], np.uint8)
    assert majority(whole(array), (2, 4), 3, (1, 2)).tolist() == [[1, 2]]


def test_ties_go_to_the_middle_and_take_turns() -> None:
    # All four source cells differ: the middle is the lower right one, and the one before it on odd rows and columns.
    tile = np.array([[1, 2], [3, 4]], np.uint8)
    array = np.tile(tile, (2, 2))
    assert majority(whole(array), (4, 4), 5, (2, 2)).tolist() == [[4, 3], [2, 1]]


def test_ties_do_not_favour_low_class_numbers() -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2, (400, 400)).astype(np.uint8)
    share = majority(whole(array), (400, 400), 2, (200, 200)).mean()
    assert abs(share - 0.5) < 0.02


def test_a_tie_never_goes_to_a_class_that_is_behind() -> None:
    array = np.array([[1, 2, 1], [2, 3, 2], [1, 2, 1]], np.uint8)  # the middle is class 3, once
    assert majority(whole(array), (3, 3), 4, (1, 1)).tolist() == [[1]]


def test_values_outside_the_classes_count_for_nothing() -> None:
    array = np.array([[255, 255], [255, 1]], np.uint8)
    assert majority(whole(array), (2, 2), 2, (1, 1)).tolist() == [[1]]
    assert majority(whole(np.full((2, 2), 255, np.uint8)), (2, 2), 2, (1, 1)).tolist() == [[0]]


@pytest.mark.parametrize("block", [2, 300])
def test_blocks_of_more_than_255_rows_are_counted_exactly(block: int) -> None:
    array = np.zeros((block, block), np.uint8)
    array[:, : block // 2 + 1] = 1
    assert majority(whole(array), (block, block), 2, (1, 1)).tolist() == [[1]]


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 9), columns=st.integers(1, 9), high=st.integers(1, 4), wide=st.integers(1, 4),
    strip=st.integers(1, 200), seed=st.integers(0, 99),
)  # fmt: skip
def test_counting_and_weighting_agree_for_any_strip(
    rows: int, columns: int, high: int, wide: int, strip: int, seed: int
) -> None:
    source = (rows * high, columns * wide)
    array = np.random.default_rng(seed).integers(0, 4, source).astype(np.uint8)
    counted = majority(whole(array), source, 4, (rows, columns))
    shares = np.stack(
        [overlap(source[0], rows) @ (array == label) @ overlap(source[1], columns).T for label in range(4)]
    )
    chosen = np.take_along_axis(shares, counted[None].astype(int), axis=0)[0]
    np.testing.assert_allclose(chosen, shares.max(axis=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregate, "STRIP_CELLS", strip)
        np.testing.assert_array_equal(majority(whole(array), source, 4, (rows, columns)), counted)


@settings(deadline=None, max_examples=40)
@given(source=st.tuples(SIZES, SIZES), target=st.tuples(SIZES, SIZES), strip=st.integers(1, 200))
def test_cut_cells_and_strips_give_the_largest_share(
    source: tuple[int, int], target: tuple[int, int], strip: int
) -> None:
    array = np.random.default_rng(1).integers(0, 3, source).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregate, "STRIP_CELLS", strip)
        got = majority(whole(array), source, 3, target)
    shares = np.stack([mean(array == label, target) for label in range(3)])
    chosen = np.take_along_axis(shares, got[None].astype(int), axis=0)[0]
    np.testing.assert_allclose(chosen, shares.max(axis=0), atol=1e-5)
