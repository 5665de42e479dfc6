"""The lattice of tiles and the plan of super-blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, InputError
from swath.predict.blend import ramp
from swath.predict.tiles import SMALLEST_BLOCK, Axis, Plan, block_shape

SETTINGS = settings(deadline=None, max_examples=50)


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    tile = draw(st.integers(1, 20))
    return Axis(draw(st.integers(1, 70)), tile, draw(st.integers(0, tile // 2)), draw(st.booleans()))


def total_weight(axis: Axis, low: int, high: int) -> np.ndarray:
    """Sum of the weights of the tiles that cover [low, high), by brute force."""
    total = np.zeros(high - low)
    for index, start in axis.covering(low, high):
        for offset in range(axis.tile):
            if low <= start + offset < high:
                total[start + offset - low] += axis.weights[index, offset]
    return total


@SETTINGS
@given(axes(), st.data())
def test_every_pixel_has_weight_whatever_the_window(axis: Axis, data: st.DataObject) -> None:
    whole = total_weight(axis, 0, axis.size)
    assert (whole > 0).all()
    low = data.draw(st.integers(0, axis.size - 1))
    high = data.draw(st.integers(low + 1, axis.size))
    np.testing.assert_array_equal(total_weight(axis, low, high), whole[low:high])


@SETTINGS
@given(axes())
def test_weights_add_up_to_one_without_wrapping(axis: Axis) -> None:
    if not axis.periodic:
        np.testing.assert_allclose(total_weight(axis, 0, axis.size), 1.0, atol=1e-6)


@SETTINGS
@given(axes())
def test_tiles_that_do_not_weigh_in_are_left_out(axis: Axis) -> None:
    low, high = axis.size // 3, axis.size // 3 + 1
    for index, start in axis.covering(low, high):
        assert (axis.weights[index, max(0, low - start) : high - start] > 0).any()


@SETTINGS
@given(axes(), axes(), st.integers(1, 40), st.integers(1, 40))
def test_blocks_cover_the_scene_once_and_carry_columns(rows: Axis, columns: Axis, height: int, width: int) -> None:
    rows = Axis(rows.size, rows.tile, rows.overlap)  # only columns wrap
    plan = Plan(rows, Axis(columns.size, rows.tile, rows.overlap, columns.periodic), height, width)
    seen = np.zeros((rows.size, columns.size), dtype=int)
    for strip in plan.strips():
        done: list[tuple[int, int]] = []
        for block in strip:
            seen[slice(*block.rows), slice(*block.columns)] += 1
            done += block.tile_columns
            assert set(plan.columns.covering(*block.columns)) <= set(done)
            assert all(start >= block.columns[0] - rows.tile for _, start in block.tile_columns)
        assert done == sorted(set(done), key=lambda pair: pair[1])
    assert (seen == 1).all()
    assert plan.recompute >= 1


@pytest.mark.parametrize(("size", "count"), [(1, 1), (255, 1), (256, 1), (257, 2), (448, 2), (449, 3)])
def test_number_of_tiles(size: int, count: int) -> None:
    assert Axis(size, 256, 64).count == count


def test_one_strip_recomputes_nothing_and_many_recompute_rows_only() -> None:
    rows, columns = Axis(1000, 100, 20), Axis(5000, 100, 20)
    assert Plan(rows, columns, 1000, 64).recompute == 1
    factor = Plan(rows, columns, 200, 64).recompute
    assert factor == Plan(rows, columns, 200, 5000).recompute
    assert 1 < factor < 1.6


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (-1, 0), (256, -1), (256, 129), (256, 256), (1, 1)])
def test_tile_and_overlap_out_of_range(tile: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match=r"Expected: .*What to do:"):
        Axis(100, tile, overlap)


def test_an_empty_scene_and_an_empty_block_are_refused() -> None:
    with pytest.raises(InputError, match="0 pixels"):
        Axis(0, 256, 64)
    with pytest.raises(ConfigError, match="0 x 5"):
        Plan(Axis(5, 4, 0), Axis(5, 4, 0), 0, 5)


def test_ramp_of_a_hand_worked_case() -> None:
    # overlap 4: margin 1, ramp over 2 pixels: sin²(π/8) and sin²(3π/8)
    low, high = np.sin(np.pi / 8) ** 2, np.sin(3 * np.pi / 8) ** 2
    np.testing.assert_allclose(ramp(8, 4), [0, low, high, 1, 1, high, low, 0], rtol=1e-6)
    np.testing.assert_array_equal(ramp(5, 0), np.ones(5))


def test_block_shape_stays_wanted_when_memory_allows_and_shrinks_in_width_first() -> None:
    assert block_shape(2048, 256, layers=10, channels=6, budget=192 * 2**20) == (2048, 512)
    height, width = block_shape(2048, 256, layers=301, channels=6, budget=192 * 2**20)
    assert width <= SMALLEST_BLOCK < height
    assert 4 * 301 * height * (width + 256) <= 192 * 2**20
    assert block_shape(1, 1, layers=1, channels=1, budget=0) == (1, 16)  # as wide as a tile of a TIFF can be
