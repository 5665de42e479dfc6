"""Random fields: hashed, the same wherever they are asked for, with the moments they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.sources.world import noise


def test_bits_are_splitmix64_of_key_row_and_column() -> None:
    def mixed(state: int) -> int:
        mask = (1 << 64) - 1
        state = (state + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        return state ^ (state >> 31)

    # The published first outputs of SplitMix64 with the seed 0 are those of this reference.
    assert mixed(0) == 0xE220A8397B1DCDAF
    assert mixed(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4
    mask = (1 << 64) - 1
    for key, row, column in ((0, 0, 0), (2**90 + 7, -5, 3), (12345, 10**9, -(10**9))):
        expected = mixed((mixed((row + mixed(key & mask)) & mask) + column) & mask)
        assert int(noise.bits(key, row, column)) == expected


def test_neighbouring_keys_rows_and_columns_share_nothing() -> None:
    rows, columns = np.arange(200)[:, None], np.arange(200)[None, :]
    field = noise.normal(5, rows, columns)
    for other in (noise.normal(6, rows, columns), noise.normal(5, rows + 1, columns), noise.normal(5, columns, rows)):
        assert abs(np.corrcoef(field.ravel(), other.ravel())[0, 1]) < 0.02


def test_moments_of_white_noise() -> None:
    values = noise.uniform(3, np.arange(-300, 300)[:, None], np.arange(500)[None, :])
    assert values.min() > 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 3 / np.sqrt(12 * values.size)
    assert abs(values.var() - 1 / 12) < 0.001
    normal = noise.normal(3, np.arange(600)[:, None], np.arange(500)[None, :])
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0), (1, 1)])
def test_edge_sizes(shape: tuple[int, int]) -> None:
    y, x = np.arange(shape[0]) * 1.0, np.arange(shape[1]) * 1.0
    assert noise.smooth(1, y, x, 7.0).shape == shape
    assert noise.fractal(1, y, x, 7.0, 3).shape == shape


def test_smooth_has_mean_zero_and_variance_one() -> None:
    places = np.arange(0, 2500) * 3.7
    field = noise.smooth(9, places[:700], places, 10.0)
    assert abs(field.mean()) < 0.03 and abs(field.var() - 1) < 0.05
    fractal = noise.fractal(9, places[:700], places, 20.0, 4, 0.6)
    assert abs(fractal.var() - 1) < 0.1


@settings(max_examples=20, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(1, 30), st.integers(1, 30))
def test_a_field_does_not_depend_on_the_window(row: int, column: int, height: int, width: int) -> None:
    y, x = -(row + np.arange(40.0)) * 10, (column + np.arange(40.0)) * 10
    whole = noise.fractal(4, y, x, 330.0, 4)
    np.testing.assert_array_equal(
        whole[3 : 3 + height, 5 : 5 + width], noise.fractal(4, y[3 : 3 + height], x[5 : 5 + width], 330.0, 4)
    )


def test_scattered_places_give_the_field_of_the_mesh() -> None:
    y, x = np.linspace(-50, 30, 7), np.linspace(-9, 44, 5)
    np.testing.assert_allclose(noise.smooth_at(2, y[:, None], x[None, :], 8.0), noise.smooth(2, y, x, 8.0), atol=1e-12)


def test_smooth_fields_are_twice_differentiable() -> None:
    x = np.linspace(0, 40, 40_001)
    field = noise.smooth(1, np.zeros(1), x, 10.0)[0]
    second = np.diff(field, 2) / 1e-6
    assert np.abs(np.diff(second)).max() < 0.01  # a kink would jump by about 1


def test_splines_stay_within_the_lattice_and_keep_straight_lines() -> None:
    lattice = np.add.outer(2.0 * np.arange(8), -3.0 * np.arange(9))
    places = np.linspace(1.0, 5.99, 11)
    mesh = noise.spline_weights(places, 1.0)
    expected = np.add.outer(2.0 * places, -3.0 * places)
    np.testing.assert_allclose(noise.spline(lattice, mesh, mesh), expected, atol=1e-12)
    rough = noise.spline((lattice % 2), mesh, mesh)
    assert rough.min() >= 0 and rough.max() <= 1


def test_noise_in_space_has_no_seam_and_unit_variance() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(-20, 20) * 3.1] * 3))
    field = noise.smooth_in_space(8, grid, 7.0)
    assert abs(field.mean()) < 0.05 and abs(field.var() - 1) < 0.1
    step = noise.smooth_in_space(8, grid + 1e-7, 7.0) - field
    assert np.abs(step).max() < 1e-5


def test_noise_in_space_is_the_same_for_places_close_together_and_far_apart() -> None:
    near = np.stack([np.linspace(0, 3, 50), np.linspace(-2, 1, 50), np.linspace(5, 4, 50)])
    far = np.concatenate([near, np.array([[900.0], [-900.0], [900.0]])], axis=1)
    np.testing.assert_array_equal(noise.smooth_in_space(3, near, 2.0), noise.smooth_in_space(3, far, 2.0)[:50])
    assert noise.smooth_in_space(3, np.zeros((3, 0)), 2.0).shape == (0,)
