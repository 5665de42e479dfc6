"""The reader of HLS chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath import cubes, sensors
from swath.errors import InputError
from swath.sources.published import hls
from swath.sources.published.common import one_cube, write_raster


def test_bands_units_and_no_data(tmp_path: Path) -> None:
    chips = hls.open(hls.write_fake(tmp_path, 0))
    assert [chip.id for chip in chips] == ["chip_0_input", "chip_1_input"]
    cube = one_cube(chips[0].scene())
    assert tuple(cube["band"].values) == hls.BANDS
    valid = cube["valid"].values
    assert np.count_nonzero(~valid) == len(hls.BANDS) * 6
    physical = cubes.to_physical(cube)
    np.testing.assert_allclose(physical["data"].values[0, 0, 0, 0], -0.012, rtol=1e-5)  # small negatives are kept
    stored = cube["data"].values[0, -1, 5, 5]
    np.testing.assert_allclose(physical["data"].values[0, -1, 5, 5], stored * 0.01 + 273.15, rtol=1e-6)


def test_the_six_prithvi_bands_are_served_by_name() -> None:
    match = sensors.load(hls.SENSOR).bands.match(sensors.load(hls.SENSOR).bands.select(hls.PRITHVI_BANDS))
    assert match.missing == ()
    assert set(match.how) == {"name"}


def test_another_number_of_bands_is_told(tmp_path: Path) -> None:
    root = hls.write_fake(tmp_path, 0)
    write_raster(root / "six.tif", np.ones((6, 4, 4), np.float32), hls.Affine(30, 0, 0, 0, -30, 0), "EPSG:32614")
    assert hls.check(root) == ["six.tif: 6 bands, expected 10"]
    with pytest.raises(InputError, match="6 bands"):
        hls.open(root)[-1].scene()


def test_the_real_chip(real_data: Path) -> None:
    root = real_data / "hls_chip"
    assert hls.check(root) == []
    (chip,) = hls.open(root)
    cube = one_cube(chip.scene())
    assert cube["data"].shape == (1, 10, 224, 224)
    physical = cubes.to_physical(cube)
    cubes.check_physical(physical)
    values, valid = physical["data"].values[0], physical["valid"].values[0]
    means = [values[band][valid[band]].mean() for band in range(10)]
    assert means[1] < means[2] < means[3] < means[4] < means[5]  # bright, dry soil with some vegetation
    assert 280 < means[8] < 330
    assert 280 < means[9] < 330
