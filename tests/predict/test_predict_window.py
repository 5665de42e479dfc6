"""Windows with a halo from a cube."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.predict.window import WindowReader


def plain(values: np.ndarray, valid: np.ndarray, chunks: tuple[int, ...] | None = None) -> xr.Dataset:
    axes = ("time", "band", "y", "x")
    data = values if chunks is None else da.from_array(values, chunks=chunks)
    return xr.Dataset({"data": (axes, data), "valid": (axes if valid.ndim == 4 else ("time", "y", "x"), valid)})


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1, 1 + np.prod(shape)).reshape(shape)


def expected(values: np.ndarray, rows: range, columns: range, *, wrap: bool) -> np.ndarray:
    """The window pixel by pixel; 0 outside."""
    height, width = values.shape[-2:]
    out = np.zeros((*values.shape[:2], len(rows), len(columns)), dtype=np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if 0 <= row < height and (wrap or 0 <= column < width):
                out[:, :, i, j] = values[:, :, row, column % width]
    return out


@settings(deadline=None, max_examples=50)
@given(st.data(), st.booleans(), st.sampled_from([None, (1, 1, 2, 3), (1, 2, 5, 4)]), st.sampled_from([0, 10**9]))
def test_windows_equal_the_array_with_zeros_outside(
    data: st.DataObject, wrap: bool, chunks: tuple[int, ...] | None, budget: int
) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    values = numbers((2, 3, height, width))
    reader = WindowReader(
        plain(values, np.ones((2, height, width), dtype=bool), chunks), [0, 2], wrap=wrap, budget=budget
    )
    top = data.draw(st.integers(-3, height - 1))
    left = data.draw(st.integers(-12, width - 1))
    for _ in range(4):  # from left to right, with rows that change now and then
        rows = range(top, data.draw(st.integers(top + 1, height + 3)))
        columns = range(left, left + data.draw(st.integers(1, 12)))
        window = reader.read((rows.start, rows.stop), (columns.start, columns.stop))
        np.testing.assert_array_equal(window.values, expected(values[:, [0, 2]], rows, columns, wrap=wrap))
        np.testing.assert_array_equal(window.valid[:, 0] * 1.0, window.values[:, 0] > 0)
        assert window.values.dtype == np.float32
        left += data.draw(st.integers(0, 5))
        top += data.draw(st.sampled_from([0, 0, 1]))


def test_every_stored_chunk_is_read_once_per_strip() -> None:
    reads: list[tuple[int, int]] = []

    def block(block_info: dict | None = None) -> np.ndarray:  # type: ignore[type-arg]
        if block_info:
            reads.append(tuple(block_info[None]["chunk-location"][2:]))
        return np.ones((1, 1, 4, 4))

    lazy = da.map_blocks(block, chunks=((1,), (1,), (4, 4), (4, 4, 4)), dtype=float, meta=np.empty((0, 0, 0, 0)))
    cube = xr.Dataset(
        {"data": (("time", "band", "y", "x"), lazy), "valid": (("time", "y", "x"), np.ones((1, 8, 12), dtype=bool))}
    )
    reader = WindowReader(cube, [0], wrap=False, budget=10**6)
    for left in range(0, 10, 2):
        reader.read((0, 4), (left, left + 3))
    assert sorted(reads) == [(0, 0), (0, 1), (0, 2)]


def test_values_under_the_mask_are_zero_and_nan_is_never_valid() -> None:
    values = np.array([1.0, np.nan, np.inf, 4.0]).reshape(1, 1, 2, 2)
    valid = np.array([True, True, False, False]).reshape(1, 2, 2)
    window = WindowReader(plain(values, valid), [0], wrap=False).read((0, 2), (0, 2))
    np.testing.assert_array_equal(window.values.ravel(), [1, 0, 0, 0])
    np.testing.assert_array_equal(window.valid.ravel(), [True, False, False, False])


@pytest.mark.parametrize(
    ("strict", "every_date", "expected_pixels"),
    [
        (True, False, [True, False, True, False]),
        (False, False, [True, True, True, False]),
        (True, True, [True, False, False, False]),
        (False, True, [True, True, False, False]),
    ],
)
def test_usable_pixels(strict: bool, every_date: bool, expected_pixels: list[bool]) -> None:
    # pixels: all valid | band 0 only | both bands, first date only | nothing; axes (time, band, y, x)
    valid = np.array([[[1, 1, 1, 0], [1, 0, 1, 0]], [[1, 1, 0, 0], [1, 0, 0, 0]]], dtype=bool)[:, :, None, :]
    window = WindowReader(plain(numbers((2, 2, 1, 4)), valid), [0, 1], wrap=False).read((0, 1), (0, 4))
    assert window.usable(strict=strict, every_date=every_date)[0].tolist() == expected_pixels


def test_bands_in_any_order_with_their_own_masks() -> None:
    values, valid = numbers((1, 3, 1, 1)), np.array([True, False, True]).reshape(1, 3, 1, 1)
    window = WindowReader(plain(values, valid), [2, 1, 0], wrap=False).read((0, 1), (0, 1))
    assert window.values.ravel().tolist() == [3, 0, 1]
    assert window.valid.ravel().tolist() == [True, False, True]
