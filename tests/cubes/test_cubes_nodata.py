"""Validity: declared, undeclared and never-usable numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swath import cubes
from swath.cubes.nodata import can_be_invalid, per_band, valid_numbers
from swath.errors import InputError

Tif = Callable[..., Path]


def mask_of(path: Path, **options: object) -> np.ndarray:
    scene = cubes.open(path, **options)  # type: ignore[arg-type]
    return next(iter(scene.children.values()))["valid"].values[0]


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("uint8", 0),
        ("int16", -9999),
        ("uint16", 65535),
        ("uint16", 0),
        ("float32", -9999.0),
        ("float32", float("nan")),
        ("float32", float("inf")),
        ("float32", float(np.finfo("float32").min)),
        ("float64", -1.7976931348623157e308),
    ],
)
@pytest.mark.parametrize("how", ["declared", "given", "given among others"])
def test_no_data_declared_and_undeclared(tif: Tif, dtype: str, number: float, how: str) -> None:
    array = np.full((2, 3, 3), 7, dtype=dtype)
    array[0, 1, 2] = number
    path = tif("a.tif", array, nodata=number if how == "declared" else None)
    options = {"declared": {}, "given": {"nodata": number}, "given among others": {"nodata": (number, 3)}}[how]
    valid = mask_of(path, **options)
    assert valid.shape == (2, 3, 3)
    assert not valid[0, 1, 2]
    assert valid.sum() == 17


def test_undeclared_zero_stays_valid_until_it_is_named(tif: Tif) -> None:
    path = tif("a.tif", np.zeros((1, 2, 2), dtype="uint8"))
    assert mask_of(path).all()
    assert not mask_of(path, nodata=0).any()


def test_the_callers_word_replaces_the_files(tif: Tif) -> None:
    array = np.array([[[0, 255, 7]]], dtype="uint8")
    path = tif("a.tif", array, nodata=0)
    np.testing.assert_array_equal(mask_of(path)[0, 0], [False, True, True])
    np.testing.assert_array_equal(mask_of(path, nodata=255)[0, 0], [True, False, True])
    assert mask_of(path, nodata=()).all()


def test_sensor_level_adds_its_own(tif: Tif) -> None:
    array = np.array([[[0, 65535, 7]]], dtype="uint16")
    path = tif("x_B04.tif", array)
    valid = mask_of(path, sensor="sentinel2_l2a", baseline="05.09")
    np.testing.assert_array_equal(np.squeeze(valid), [False, False, True])


def test_nan_and_infinity_are_never_valid(tif: Tif) -> None:
    array = np.array([[[np.nan, np.inf, -np.inf, 1.0]]], dtype="float32")
    np.testing.assert_array_equal(mask_of(tif("a.tif", array, nodata=1.0))[0, 0], [False] * 4)
    np.testing.assert_array_equal(mask_of(tif("a.tif", array), nodata=())[0, 0], [False, False, False, True])


def test_bands_keep_their_own_validity(tif: Tif) -> None:
    array = np.full((3, 2, 2), 5, dtype="int16")
    array[1, 0, 0] = -9999
    valid = mask_of(tif("a.tif", array, nodata=-9999))
    np.testing.assert_array_equal(valid[:, 0, 0], [True, False, True])


def test_all_masked_scene(tif: Tif) -> None:
    path = tif("a.tif", np.full((2, 3, 3), -9999, dtype="int16"), nodata=-9999)
    cube = cubes.to_cube(cubes.open(path))
    assert not cube["valid"].values.any()
    with pytest.raises(InputError, match=r"No pixel of '.*a\.tif' may be used: all 18 are masked"):
        cubes.require_valid(cube)
    cubes.require_valid(cubes.to_cube(cubes.open(path, nodata=())))


@given(
    arrays.arrays(
        dtype=st.sampled_from([np.dtype(name) for name in ("uint8", "int16", "uint16", "int32", "float32", "float64")]),
        shape=st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(0, 4)),
    ),
    st.lists(st.sampled_from([0.0, -9999.0, 255.0, 65535.0, 0.1, float("nan"), float("inf"), 1e300]), max_size=3),
)
@settings(deadline=None, max_examples=50)
def test_valid_is_finite_and_unequal_to_every_named_number(array: np.ndarray, numbers: list[float]) -> None:
    valid = valid_numbers(array, (tuple(numbers),) * len(array))
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.isfinite(array)
        for number in numbers:
            stored = np.float64(number) if array.dtype.kind != "f" else np.float64(array.dtype.type(number))
            expected &= array.astype(np.float64) != stored
    np.testing.assert_array_equal(valid, expected)
    if not can_be_invalid(array.dtype, (numbers,)):
        assert valid.all()


def test_per_band_merges_file_and_sensor() -> None:
    assert per_band(None, [0.0, None], (0.0, 65535.0)) == ((0.0, 65535.0), (0.0, 65535.0))
    assert per_band(5, [0.0, None], (9.0,)) == ((5.0,), (5.0,))
