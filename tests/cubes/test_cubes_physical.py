"""From stored to physical numbers, once, and the check against DN fed as reflectance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from swath import cubes
from swath.cubes import sample
from swath.errors import InputError

Tif = Callable[..., Path]


def opened(path: Path, **options: object) -> xr.Dataset:
    return cubes.to_cube(cubes.open(path, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("baseline", "expected"), [("03.01", 0.2), ("05.09", 0.1)])
def test_sentinel2_offset_depends_on_the_baseline(tif: Tif, baseline: str, expected: float) -> None:
    path = tif("x_B04.tif", np.array([[[2000, 0]]], dtype="uint16"))
    cube = opened(path, sensor="sentinel2_l2a", baseline=baseline)
    assert cube["data"].attrs["unit"] == cube.attrs["unit"] == "DN"
    physical = cubes.to_physical(cube)
    assert physical["data"].dtype == np.float32
    assert physical["data"].attrs["unit"] == physical.attrs["unit"] == "1"
    assert float(physical["data"][0, 0, 0, 0]) == pytest.approx(expected, abs=1e-7)
    np.testing.assert_array_equal(physical["valid"].values, cube["valid"].values)
    assert not physical["valid"].values.ravel()[1]
    assert physical["scale_factor"].item() == 1
    assert physical["add_offset"].item() == 0
    cubes.check_physical(physical)


def test_a_second_application_is_refused(tif: Tif) -> None:
    physical = cubes.to_physical(
        opened(tif("x_B04.tif", np.ones((1, 2, 2), "uint16")), sensor="sentinel2_l2a", baseline="05.09")
    )
    assert cubes.is_physical(physical)
    with pytest.raises(InputError, match="holds numbers in '1' already"):
        cubes.to_physical(physical)


def test_scale_declared_in_the_file(tif: Tif) -> None:
    path = tif("a.tif", np.array([[[10]], [[20]]], dtype="int16"))
    import rasterio

    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.units = (0.5, 2.0), (1.0, -3.0), ("K", "m")
    physical = cubes.to_physical(opened(path))
    np.testing.assert_array_equal(physical["data"].values.ravel(), [6.0, 37.0])
    assert physical["data"].attrs["unit"] == "mixed"
    assert physical["band_unit"].values.tolist() == ["K", "m"]


def test_units_in_the_file_mean_physical_numbers(tif: Tif, tmp_path: Path) -> None:
    path = tif("a.tif", np.array([[[-12.5]]], dtype="float32"))
    import rasterio

    with rasterio.open(path, "r+") as dataset:
        dataset.units = ("dB",)
    cube = opened(path)
    assert cubes.is_physical(cube)
    assert cube["data"].attrs["unit"] == "dB"


def test_physical_is_a_level_of_any_sensor(tif: Tif) -> None:
    path = tif("x_B04.tif", np.array([[[0.25]]], dtype="float32"))
    cube = opened(path, sensor="sentinel2_l2a", level="physical")
    assert cubes.is_physical(cube)
    assert cubes.bands_of(cube)[0].kind == "reflectance"
    cubes.check_physical(cube)


def test_dn_fed_as_reflectance(tif: Tif) -> None:
    stored = np.random.default_rng(0).integers(300, 4000, size=(1, 40, 40)).astype("float32")
    path = tif("x_B04.tif", stored)
    with pytest.raises(InputError, match=r"band B04 of '.*x_B04\.tif': the values run from 3\d\d to .*integers \(DN\)"):
        cubes.check_physical(opened(path, sensor="sentinel2_l2a", level="physical"))
    with pytest.raises(InputError, match=r"holds stored numbers \(unit DN\)"):
        cubes.check_physical(opened(path))


def test_masked_numbers_do_not_count(tif: Tif) -> None:
    array = np.full((1, 20, 20), -9999.0, dtype="float32")
    array[0, 3, 4] = 0.2
    cube = opened(tif("x_B04.tif", array, nodata=-9999), sensor="sentinel2_l2a", level="physical")
    cubes.check_physical(cube)
    everything = opened(tif("y_B04.tif", array), sensor="sentinel2_l2a", level="physical")
    with pytest.raises(InputError, match="run from -9999"):
        cubes.check_physical(everything)


def test_the_check_samples_a_few_blocks(tif: Tif, monkeypatch: pytest.MonkeyPatch) -> None:
    from swath.cubes import raster

    monkeypatch.setattr(raster, "CHUNK_ELEMENTS", 16 * 16)
    path = tif("x_B04.tif", np.full((1, 320, 320), 0.3, "float32"), tiled=True, blockxsize=16, blockysize=16)
    cube = opened(path, sensor="sentinel2_l2a", level="physical")
    read = []
    inner = raster.read_window
    monkeypatch.setattr(
        raster, "read_window", lambda *arguments, **options: (read.append(1), inner(*arguments, **options))[1]
    )
    cubes.check_physical(cube)
    assert cube["data"].data.npartitions == 400
    assert len(read) == sample.BLOCKS


def test_all_masked_passes_the_range_check(tif: Tif) -> None:
    path = tif("x_B04.tif", np.full((1, 3, 3), np.nan, dtype="float32"))
    cubes.check_physical(opened(path, sensor="sentinel2_l2a", level="physical"))


def test_fractions_are_not_scaled_again(tif: Tif) -> None:
    options = {"sensor": "sentinel2_l2a", "baseline": "05.09"}
    fractions = np.random.default_rng(0).uniform(0.0, 0.25, (1, 20, 20)).astype("float32")
    with pytest.raises(InputError, match=r"x_B04\.tif' holds reflectance already.*--level physical"):
        cubes.to_physical(opened(tif("x_B04.tif", fractions), **options))
    fractions[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="holds reflectance already"):
        cubes.to_physical(opened(tif("y_B04.tif", fractions), **options))


@pytest.mark.parametrize(
    "stored",
    [
        np.array([[[300.0, 2500.0]]], "float32"),  # stored numbers in a file of floats
        np.array([[[1.0, 2.0]]], "float32"),  # very dark, but whole
        np.array([[[0.1, 900.5]]], "float32"),  # resampled stored numbers
        np.array([[[np.nan, np.nan]]], "float32"),
        np.array([[[1, 2]]], "uint16"),
    ],
)
def test_stored_numbers_of_any_type_are_scaled(tif: Tif, stored: np.ndarray) -> None:
    cube = opened(tif("x_B04.tif", stored), sensor="sentinel2_l2a", baseline="05.09")
    expected = ((stored[0, 0].astype("float64") - 1000) / 10_000).astype("float32")
    np.testing.assert_allclose(cubes.to_physical(cube)["data"].values[0, 0, 0], expected, atol=1e-6)
