"""Blur, averaging and absolute native grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath.errors import InputError
from swath.sources.world.render.instrument import INSTRUMENTS
from swath.sources.world.render.resolution import (
    Rectangle,
    block_mean,
    check_pixels,
    enlarge,
    gaussian,
    kernel,
    resample,
    truth_grid,
)


def box(row: int = 0, column: int = 0, height: int = 12, width: int = 12, gsd: float = 10.0, crs: str = "EPSG:32632"):
    return GeoBox((height, width), Affine(gsd, 0, column * gsd, 0, -gsd, -row * gsd), crs)


@pytest.mark.parametrize(("detector", "transfer"), [(10.0, 0.25), (20.0, 0.25), (60.0, 0.30), (30.0, 0.28)])
def test_stripes_at_nyquist_keep_the_published_contrast(detector: float, transfer: float) -> None:
    # Stripes one detector pixel wide, averaged over pixels of the truth as any truth is. One pixel of the detector
    # sees them with the contrast that its modulation transfer says.
    gsd = 10.0
    times = round(detector / gsd)
    taps = kernel(gaussian(detector, transfer, gsd), times)
    margin = len(taps) - times
    edges = np.arange(-margin // 2, 12 * times + margin // 2 + 1) * gsd
    wave = detector / math.pi  # integral of cos(pi x / detector)
    stripes = np.diff(wave * np.sin(np.pi * (edges - detector / 2) / detector)) / gsd
    seen = resample(np.tile(stripes.astype(np.float32), (12 * times + margin, 1)), taps, times)
    assert seen.shape == (12, 12)
    assert np.abs(seen).max() == pytest.approx(transfer, abs=0.002)
    assert np.sign(seen[0, ::2]).tolist() != np.sign(seen[0, 1::2]).tolist()


def test_a_detector_of_the_truths_own_pixel_without_blur_changes_nothing() -> None:
    fine = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(resample(fine, kernel((1.0,), 1), 1), fine)


def test_pixels_coarser_than_the_detector_are_not_blurred() -> None:
    assert gaussian(10.0, 0.25, 30.0) == (1.0,)


@pytest.mark.parametrize("sensor", INSTRUMENTS)
def test_kernels_sum_to_one_and_are_symmetric(sensor: str) -> None:
    for channel in INSTRUMENTS[sensor].channels.values():
        taps = kernel(gaussian(channel.gsd_m, channel.transfer, 10.0), round(channel.gsd_m / 10))
        assert taps.sum() == pytest.approx(1.0, abs=1e-6)
        assert np.allclose(taps, taps[::-1])


def test_resample_is_a_weighted_sum_worked_out_by_hand() -> None:
    # Taps (1/4, 1/2, 1/4) and a mean over two pixels make (1/8, 3/8, 3/8, 1/8).
    taps = kernel((0.25, 0.5, 0.25), 2)
    assert taps.tolist() == [0.125, 0.375, 0.375, 0.125]
    fine = np.zeros((6, 6), np.float32)
    fine[2, 3] = 64.0
    assert resample(fine, taps, 2).tolist() == [[3.0, 9.0], [1.0, 3.0]]


@given(st.integers(1, 4), st.integers(0, 7), st.integers(0, 7), st.integers(1, 9), st.integers(1, 9))
def test_a_window_of_the_result_is_the_result_of_a_window(
    times: int, row: int, column: int, height: int, width: int
) -> None:
    taps = kernel(gaussian(10.0 * times, 0.25, 10.0), times)
    margin = (len(taps) - times) // 2
    whole = Rectangle(0, 0, 16, 16)
    fine = np.random.default_rng(times).random(whole.finer(times).pad(margin).shape).astype(np.float32)
    part = Rectangle(row, column, height, width)
    cut = fine[part.finer(times).pad(margin).within(whole.finer(times).pad(margin))]
    assert np.array_equal(resample(cut, taps, times), resample(fine, taps, times)[part.within(whole)])


def test_block_mean_of_ones_is_one() -> None:
    for times in range(1, 8):
        assert (block_mean(np.ones((3 * times, times), np.float32), times) == 1.0).all()
    assert block_mean(np.array([[1, 2], [3, 6]], np.float32), 2).tolist() == [[3.0]]


def test_enlarge_keeps_a_plane() -> None:
    y, x = np.mgrid[-1:5, -1:6].astype(np.float32)
    fine = enlarge(2 * y + 3 * x, 2)
    rows, columns = (np.arange(8) + 0.5) / 2 - 0.5, (np.arange(10) + 0.5) / 2 - 0.5
    assert np.allclose(fine, 2 * rows[:, None] + 3 * columns[None, :])


def test_native_pixels_lie_on_whole_multiples_and_cover_the_truth() -> None:
    grid = truth_grid(box(row=-7, column=5, height=11, width=13))
    native = grid.native(60.0)
    assert (native.row, native.bottom, native.column, native.right) == (-2, 1, 0, 3)
    made = grid.geobox(60.0, native)
    assert made.affine == Affine(60, 0, 0, 0, -60, 120)


def test_a_grid_that_lies_between_multiples_keeps_its_shift() -> None:
    shifted = GeoBox((4, 4), Affine(10, 0, 503.0, 0, -10, 4998.0), "EPSG:3035")
    grid = truth_grid(shifted)
    assert grid.geobox(10.0, grid.native(10.0)).affine == shifted.affine
    assert grid.shift == (3.0, -2.0)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (GeoBox((4, 4), Affine(10, 0, 0, 0, -10, 0), None), "CRS"),
        (GeoBox((4, 4), Affine(0.001, 0, 10, 0, -0.001, 50), "EPSG:4326"), "metres"),
        (GeoBox((4, 4), Affine(10, 0, 0, 0, -20, 0), "EPSG:32632"), "square"),
        (GeoBox((4, 4), Affine(10, 0, 0, 0, 10, 0), "EPSG:32632"), "north up"),
    ],
)
def test_grids_that_no_sensor_has(given: GeoBox, word: str) -> None:
    with pytest.raises(InputError, match=word):
        truth_grid(given)


def test_a_truth_coarser_than_the_sensor_is_refused() -> None:
    with pytest.raises(InputError, match="finer than the truth"):
        check_pixels(truth_grid(box(gsd=30.0)), {"B02": 10.0}, "sentinel2_l2a")
    with pytest.raises(InputError, match="whole number"):
        check_pixels(truth_grid(box(gsd=20.0)), {"B2": 30.0}, "landsat8_oli")
    check_pixels(truth_grid(box(gsd=30.0)), {"B2": 30.0}, "landsat8_oli")
