"""NetCDF and Zarr: cubes come back as they were, CF variables become cubes, and bad stores get a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from swath import cubes
from swath.errors import InputError

Tif = Callable[..., Path]
FORMATS = ("nc", "zarr")


def save(dataset: xr.Dataset | xr.DataTree, path: Path) -> Path:
    if path.suffix == ".zarr":
        dataset.to_zarr(path, consolidated=False, zarr_format=2)  # strings have no settled form in version 3
    else:
        dataset.to_netcdf(path, engine="h5netcdf")
    return path


def weather(latitudes: np.ndarray, longitudes: np.ndarray, dates: int = 2) -> xr.Dataset:
    """Packed temperature and plain pressure as a reanalysis writes them."""
    generator = np.random.default_rng(0)
    shape = (dates, latitudes.size, longitudes.size)
    stored = generator.integers(0, 1000, size=shape).astype("int16")
    stored.ravel()[0] = -32767
    packing = {"units": "K", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": np.int16(-32767)}
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), stored, packing),
            "mask": (("latitude", "longitude"), np.ones(shape[1:], dtype="float32"), {"units": "1"}),
        },
        coords={
            "time": pd.date_range("2020-01-01", periods=dates),
            "latitude": latitudes,
            "longitude": longitudes,
        },
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_cube_comes_back(tif: Tif, tmp_path: Path, suffix: str) -> None:
    array = np.arange(24, dtype="int16").reshape(2, 3, 4)
    scene = cubes.open(
        tif("a.tif", array, names=("B04", "B8A"), nodata=5), sensor="sentinel2_l2a", baseline="05.09", time="2021-05-06"
    )
    cube = cubes.to_cube(scene)
    again = cubes.open(save(cube, tmp_path / f"a.{suffix}"))
    assert list(again.children) == ["grid_10m"]
    result = again["grid_10m"].to_dataset()
    np.testing.assert_array_equal(result["data"].values, cube["data"].values)
    np.testing.assert_array_equal(result["valid"].values, cube["valid"].values)
    assert result["valid"].dtype == bool
    assert result["data"].dtype == np.int16
    assert cubes.bands_of(result) == cubes.bands_of(cube)
    assert cubes.geobox_of(result) == cubes.geobox_of(cube)
    np.testing.assert_array_equal(result["time"].values, cube["time"].values)
    assert {key: result.attrs[key] for key in ("sensor", "baseline", "unit")} == {
        key: cube.attrs[key] for key in ("sensor", "baseline", "unit")
    }
    assert cubes.to_physical(result)["data"].attrs["unit"] == "1"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_scene_of_two_grids_comes_back(tif: Tif, box: Callable[..., object], tmp_path: Path, suffix: str) -> None:
    scene = cubes.open(
        [tif("x_B04.tif", np.ones((1, 4, 4), "uint8")), tif("x_B11.tif", np.ones((1, 2, 2), "uint8"), box(2, 2, 20.0))]
    )
    again = cubes.open(save(scene, tmp_path / f"s.{suffix}"))
    assert list(again.children) == ["grid_10m", "grid_20m"]
    assert cubes.bands_of(again["grid_20m"]).names == ("B11",)


@pytest.mark.parametrize("suffix", FORMATS)
def test_packed_variables_stay_packed_until_asked(tmp_path: Path, suffix: str) -> None:
    source = weather(np.array([50.0, 49.5, 49.0]), np.array([10.0, 10.5]))
    scene = cubes.open(save(source, tmp_path / f"w.{suffix}"))
    cube = next(iter(scene.children.values())).to_dataset()
    assert sorted(cubes.bands_of(cube).names) == ["mask", "t2m"]
    if suffix == "nc":
        assert cubes.bands_of(cube).names == ("t2m", "mask")  # the order of the file; Zarr has none
    cube = cube.sel(band=["t2m", "mask"])
    assert cube["data"].shape == (2, 2, 3, 2)
    assert cube["data"].attrs["unit"] == "DN"
    assert cube["valid"].values.sum() == 23
    assert not cube["valid"].values[0, 0, 0, 0]
    assert str(cubes.geobox_of(cube).crs) == "EPSG:4326"
    physical = cubes.to_physical(cube)
    assert float(physical["data"][1, 0, 2, 1]) == pytest.approx(float(source["t2m"][1, 2, 1]) * 0.01 + 280, abs=1e-4)
    assert physical["band_unit"].values.tolist() == ["K", "1"]


def test_variables_are_chosen_by_name(tmp_path: Path) -> None:
    path = save(weather(np.array([1.0, 0.0]), np.array([0.0, 1.0])), tmp_path / "w.nc")
    chosen = cubes.open(path, bands=["mask"])
    assert cubes.bands_of(next(iter(chosen.children.values()))).names == ("mask",)
    with pytest.raises(InputError, match=r"has no variable 'tm2'.*t2m"):
        cubes.open(path, bands=["tm2"])


@pytest.mark.parametrize("suffix", FORMATS)
def test_time_units_that_have_no_fixed_length(tmp_path: Path, suffix: str) -> None:
    dataset = weather(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    months = ("time", np.array([0, 1], "int32"), {"units": "months since 1960-01-01"})
    path = save(dataset.drop_vars("time").assign_coords(time=months), tmp_path / f"w.{suffix}")
    cube = next(iter(cubes.open(path).children.values()))
    assert (cube.sizes["time"], cube.attrs["time_known"]) == (2, 0)
    assert cubes.summary(cube.to_dataset())[0]["dates"] == "unknown"
    np.testing.assert_array_equal(cube["data"].sel(band="t2m").values, dataset["t2m"].values)


def test_one_date_without_a_time_axis(tmp_path: Path) -> None:
    path = save(weather(np.array([1.0, 0.0]), np.array([0.0, 1.0])).isel(time=0, drop=True), tmp_path / "w.nc")
    cube = next(iter(cubes.open(path).children.values()))
    assert cube["data"].shape == (1, 2, 2, 2)
    assert cube.attrs["time_known"] == 0
    dated = next(iter(cubes.open(path, time="2020-02-03").children.values()))
    assert dated["time"].values[0] == np.datetime64("2020-02-03")


def test_unequal_steps_and_unknown_crs_and_extra_axes(tmp_path: Path) -> None:
    uneven = save(weather(np.array([3.0, 2.0, 0.0]), np.array([0.0, 1.0])), tmp_path / "u.nc")
    with pytest.raises(InputError, match=r"'latitude' of .* has unequal steps"):
        cubes.open(uneven)
    nowhere = weather(np.array([1.0, 0.0]), np.array([0.0, 1.0])).rename(latitude="y", longitude="x")
    with pytest.raises(InputError, match="declares no coordinate reference system"):
        cubes.open(save(nowhere, tmp_path / "n.nc"))
    levels = xr.Dataset({"u": (("level", "lat", "lon"), np.zeros((2, 2, 2)))}, coords={"lat": [0, 1], "lon": [0, 1]})
    with pytest.raises(InputError, match=r"holds nothing on a map grid: u\('level', 'lat', 'lon'\)"):
        cubes.open(save(levels, tmp_path / "l.nc"))


@pytest.mark.parametrize("suffix", FORMATS)
def test_missing_and_damaged_stores(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="There is no file"):
        cubes.open(tmp_path / f"no.{suffix}")
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(b"no store at all")
    with pytest.raises(InputError, match=rf"bad\.{suffix}' cannot be read as"):
        cubes.open(path)


def test_truncated_netcdf(tmp_path: Path) -> None:
    path = save(weather(np.linspace(1, 0, 50), np.linspace(0, 1, 50)), tmp_path / "w.nc")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"w\.nc' cannot be read as NetCDF"):
        cubes.open(path)
