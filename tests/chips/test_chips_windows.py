"""Windows on grids, at random, and at rare pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.chips import grid_windows, random_windows, windows_at
from swath.errors import ConfigError, InputError

sizes = st.integers(1, 9)
lengths = st.integers(0, 40)


@pytest.mark.parametrize(
    ("edge", "rows"),
    [("drop", [0, 4]), ("shift", [0, 4, 6]), ("pad", [0, 4, 8])],
)
def test_grid_windows_treat_the_edge_as_asked(edge: str, rows: list[int]) -> None:
    windows = grid_windows((10, 4), 4, edge=edge)  # type: ignore[arg-type]
    assert windows.tolist() == [[row, 0] for row in rows]


@pytest.mark.parametrize(("edge", "count"), [("drop", 0), ("shift", 0), ("pad", 1)])
def test_a_scene_smaller_than_a_chip_gives_a_window_with_padding_only(edge: str, count: int) -> None:
    assert grid_windows((3, 5), 8, edge=edge).shape == (count, 2)  # type: ignore[arg-type]


def test_an_empty_scene_gives_no_window() -> None:
    assert grid_windows((0, 10), 4, edge="pad").shape == (0, 2)


@settings(deadline=None, max_examples=50)
@given(rows=lengths, columns=lengths, size=sizes, stride=st.integers(1, 12))
def test_windows_without_padding_lie_inside(rows: int, columns: int, size: int, stride: int) -> None:
    for edge in ("drop", "shift"):
        windows = grid_windows((rows, columns), size, stride, edge=edge)  # type: ignore[arg-type]
        assert (windows >= 0).all() and (windows + size <= [rows, columns]).all()
        assert len(np.unique(windows, axis=0)) == len(windows)


@settings(deadline=None, max_examples=50)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), size=sizes, data=st.data())
def test_padded_windows_cover_every_pixel_and_none_is_empty(
    rows: int, columns: int, size: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, size))
    seen = np.zeros((rows + size, columns + size), int)
    for row, column in grid_windows((rows, columns), size, stride, edge="pad"):
        assert row < rows and column < columns
        seen[row : row + size, column : column + size] += 1
    assert (seen[:rows, :columns] > 0).all()


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), size=sizes, seed=st.integers(0, 3), data=st.data())
def test_random_windows_are_different_inside_and_repeatable(
    rows: int, columns: int, size: int, seed: int, data: st.DataObject
) -> None:
    positions = max(0, rows - size + 1) * max(0, columns - size + 1)
    count = data.draw(st.integers(0, positions))
    windows = random_windows((rows, columns), size, count, seed)
    assert windows.shape == (count, 2) and len(np.unique(windows, axis=0)) == count
    assert (windows >= 0).all() and (windows + size <= [rows, columns]).all()
    assert np.array_equal(windows, random_windows((rows, columns), size, count, seed))


def test_random_windows_reach_every_position() -> None:
    assert random_windows((4, 5), 2, 12, 0).tolist() == [[row, column] for row in range(3) for column in range(4)]


def test_streams_of_random_windows_differ_by_purpose_and_seed() -> None:
    first = random_windows((500, 500), 8, 20, 0)
    assert not np.array_equal(first, random_windows((500, 500), 8, 20, 0, "other"))
    assert not np.array_equal(first, random_windows((500, 500), 8, 20, 1))


def test_too_many_random_windows_are_refused_with_the_number_that_fits() -> None:
    with pytest.raises(InputError, match="holds 12 windows of 2 x 2, not 13"):
        random_windows((4, 5), 2, 13, 0)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 1000), size=st.integers(1, 8), count=st.integers(0, 30))
def test_every_window_at_a_mask_holds_a_true_pixel(seed: int, size: int, count: int) -> None:
    mask = np.random.default_rng(seed).random((12, 17)) < 0.05
    windows = windows_at(mask, size, count, seed)
    assert len(windows) <= min(count, mask.sum())
    assert (windows >= 0).all() and (windows + size <= mask.shape).all()
    assert all(mask[row : row + size, column : column + size].any() for row, column in windows)


def test_windows_at_one_pixel_hold_it_wherever_it_lies() -> None:
    mask = np.zeros((9, 9), bool)
    mask[0, 8] = True
    row, column = windows_at(mask, 4, 5, 0)[0]
    assert row == 0 and column == 5


def test_windows_at_nothing_are_none() -> None:
    assert windows_at(np.zeros((9, 9), bool), 4, 5, 0).shape == (0, 2)


def test_windows_at_a_mask_smaller_than_a_chip_are_refused() -> None:
    with pytest.raises(InputError, match="3 x 9 pixels and a chip 4 x 4"):
        windows_at(np.ones((3, 9), bool), 4, 1, 0)


@pytest.mark.parametrize(("size", "stride"), [(0, 1), (4, 0), (-1, 1)])
def test_sizes_below_one_are_refused(size: int, stride: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        grid_windows((10, 10), size, stride)


def test_an_unknown_edge_is_refused() -> None:
    with pytest.raises(ConfigError, match="edge='reflect'"):
        grid_windows((10, 10), 4, edge="reflect")  # type: ignore[arg-type]
