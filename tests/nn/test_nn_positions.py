"""Positions: equations by hand, resizing, days that wrap around the year."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError
from swath.nn import positions


def test_sine_cosine_by_hand() -> None:
    table = positions.sine_cosine(torch.tensor([0.0, 3.0]), 4)
    assert table[0].tolist() == [0, 0, 1, 1]
    expected = [math.sin(3), math.sin(0.03), math.cos(3), math.cos(0.03)]
    torch.testing.assert_close(table[1], torch.tensor(expected))


def test_two_dimensions_tell_column_first() -> None:
    table = positions.sine_cosine_2d(3, 5, 8)
    assert table.shape == (3, 5, 8)
    line = positions.sine_cosine(torch.arange(5), 4)
    for row in range(3):
        torch.testing.assert_close(table[row, :, :4], line)
        torch.testing.assert_close(table[row, 2, 4:], line[row])


def test_three_dimensions_tell_date_first() -> None:
    table = positions.sine_cosine_3d(2, 3, 5, 16)
    assert table.shape == (2, 3, 5, 16)
    torch.testing.assert_close(table[1, 2, 4, :4], positions.sine_cosine(torch.tensor(1), 4))
    torch.testing.assert_close(table[1, 2, 4, 4:10], positions.sine_cosine(torch.tensor(4), 6))
    torch.testing.assert_close(table[1, 2, 4, 10:], positions.sine_cosine(torch.tensor(2), 6))
    assert len(table.reshape(-1, 16).unique(dim=0)) == 30  # every place differs


def test_a_width_that_does_not_divide_is_named() -> None:
    with pytest.raises(ConfigError, match="have 6 numbers each"):
        positions.sine_cosine_2d(2, 2, 6)
    with pytest.raises(ConfigError, match="multiple of 16"):
        positions.sine_cosine_3d(1, 1, 1, 24)
    with pytest.raises(ConfigError, match="multiple of 2"):
        positions.sine_cosine(torch.zeros(1), 0)


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), value=st.floats(-3, 3))
def test_resizing_keeps_constants_and_sizes(rows: int, columns: int, value: float) -> None:
    resized = positions.resize_grid(torch.full((4, 6, 3), value), rows, columns)
    assert resized.shape == (rows, columns, 3)
    torch.testing.assert_close(resized, torch.full_like(resized, value), rtol=1e-4, atol=1e-5)


def test_resizing_to_the_same_size_is_the_same_table() -> None:
    table, line = torch.randn(3, 4, 2), torch.randn(5, 2)
    assert positions.resize_grid(table, 3, 4) is table
    assert positions.resize_line(line, 5) is line
    assert positions.resize_line(torch.tensor([[0.0], [2.0]]), 4)[:, 0].tolist() == [0, 0.5, 1.5, 2]


def test_shrinking_does_not_alias() -> None:
    """Every third place is 1: its mean is 1/9, and a third of the size must not hit or miss the ones."""
    table = torch.zeros(12, 12, 1)
    table[1::3, 1::3] = 1
    inside = positions.resize_grid(table, 4, 4)[1:-1, 1:-1]
    assert float((inside - 1 / 9).abs().max()) < 0.06


def test_resizing_keeps_a_smooth_field() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 8), torch.linspace(0, 1, 8), indexing="ij")
    table = torch.stack([y, x, y * x], dim=-1)
    back = positions.resize_grid(positions.resize_grid(table, 16, 16), 8, 8)
    assert float((back - table)[1:-1, 1:-1].detach().abs().max()) < 0.02


def test_days_wrap_around_the_year() -> None:
    code = positions.encode_days(torch.tensor([1.0, 1.0 + positions.YEAR, 180.0]), 8)
    torch.testing.assert_close(code[0], code[1], rtol=1e-5, atol=1e-5)
    assert float((code[0] - code[2]).detach().abs().max()) > 0.5
    angle = 2 * math.pi / positions.YEAR
    expected = [math.sin(angle * k) for k in (1, 2, 3, 4)] + [math.cos(angle * k) for k in (1, 2, 3, 4)]
    torch.testing.assert_close(code[0], torch.tensor(expected))


def test_days_that_are_not_numbers_count_as_zero() -> None:
    code = positions.encode_days(torch.tensor([float("nan"), float("inf"), 0.0]), 4)
    assert torch.equal(code[0], code[2]) and torch.equal(code[1], code[2])
    with pytest.raises(ConfigError, match="period of the days is 0"):
        positions.encode_days(torch.zeros(1), 4, period=0)
