"""Files of many sensors open by band names, and numbers in a wrong unit name their band."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from swath import cubes, sensors
from swath.errors import InputError


def raster(path: Path, values: np.ndarray, names: list[str] | None, nodata: float | None = None) -> Path:
    """A GeoTIFF with bands called so."""
    count, height, width = values.shape
    place = {"crs": "EPSG:32633", "transform": Affine(30, 0, 500_000, 0, -30, 5_000_000), "nodata": nodata}
    shape = {"driver": "GTiff", "width": width, "height": height, "count": count, "dtype": values.dtype}
    with rasterio.open(path, "w", **shape, **place) as dataset:
        dataset.write(values)
        if names is not None:
            dataset.descriptions = tuple(names)
    return path


def cube_of(path: Path, sensor: str, level: str | None = None) -> xr.Dataset:
    opened = cubes.to_cube(cubes.open(path, sensor=sensor, level=level))
    return opened if cubes.is_physical(opened) else cubes.to_physical(opened)


@pytest.mark.parametrize(
    ("sensor", "level", "names", "number", "value"),
    [
        ("modis_land", "MOD09", ["sur_refl_b01", "sur_refl_b02"], 2500, 0.25),
        ("planetscope_8b", "SR", ["coastal_blue", "green_i", "rededge"], 1500, 0.15),
        ("planetscope_4b", "SR", ["blue", "green", "red", "nir"], 1500, 0.15),
        ("naip", "visual", ["red", "green", "blue", "nir"], 102, 0.4),
        ("vhr_rgb", "visual", ["red", "green", "blue"], 51, 0.2),
    ],
)
def test_a_file_with_named_bands(
    tmp_path: Path, sensor: str, level: str, names: list[str], number: int, value: float
) -> None:
    kind = np.uint8 if number < 256 else np.int16
    path = raster(tmp_path / "a.tif", np.full((len(names), 4, 5), number, kind), names)
    cube = cube_of(path, sensor, level)
    assert tuple(cube["band"].values) == sensors.load(sensor).bands.select(names).names
    np.testing.assert_allclose(cube["data"].values, value, rtol=1e-6)
    assert cube["valid"].values.all()
    cubes.check_physical(cube)


def test_all_bands_of_a_spectrometer_in_file_order(tmp_path: Path) -> None:
    bands = sensors.load("enmap").bands
    values = np.arange(len(bands), dtype=np.int16)[:, None, None] * np.ones((1, 2, 2), np.int16)
    values[3, 0, 0] = -32768
    cube = cube_of(raster(tmp_path / "a.tif", values, None), "enmap")
    assert tuple(cube["band"].values) == bands.names
    np.testing.assert_allclose(cube["data"].values[0, :, 1, 1], np.arange(len(bands)) * 1e-4, rtol=1e-6, atol=1e-9)
    assert not cube["valid"].values[0, 3, 0, 0] and cube["valid"].values.sum() == values.size - 1
    np.testing.assert_allclose(cube["wavelength"].values, [band.wavelength_nm for band in bands])


@pytest.mark.parametrize(
    ("sensor", "level", "names", "numbers", "words"),
    [
        ("emit", "L2A", ["B001", "B002"], (0.3, 3100.0), r"band B002 of .*these look like"),
        ("modis_toa", "TOA", ["B01", "B31"], (40.0, 290.0), r"band B01 of .*these look like percent"),
        ("modis_toa", "percent", ["B01", "B31"], (40.0, 16.5), r"band B31 of .*look like degrees Celsius"),
        ("planetscope_8b", "SR", ["blue", "nir"], (1500, 31_000), r"band nir of .*reflectance"),
    ],
)
def test_a_wrong_unit_names_the_band(
    tmp_path: Path, sensor: str, level: str, names: list[str], numbers: tuple[float, float], words: str
) -> None:
    values = np.array(numbers, np.float32)[:, None, None] + np.linspace(0, 0.01, 30, dtype=np.float32).reshape(1, 5, 6)
    path = raster(tmp_path / "a.tif", values, names)
    with pytest.raises(InputError, match=words):
        cubes.check_physical(cube_of(path, sensor, level))


def reanalysis(path: Path, **variables: tuple[float, str]) -> Path:
    """A NetCDF file as the Climate Data Store gives one: a value and a unit for each variable."""
    shape, dims = (2, 3, 4), ("time", "latitude", "longitude")
    noise = np.linspace(0, 1, 24, dtype=np.float32).reshape(shape)
    data = {name: (dims, noise + np.float32(value), {"units": unit}) for name, (value, unit) in variables.items()}
    coordinates = {
        "time": np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]"),
        "latitude": ("latitude", np.array([50.0, 49.75, 49.5]), {"units": "degrees_north"}),
        "longitude": ("longitude", np.array([5.0, 5.25, 5.5, 5.75]), {"units": "degrees_east"}),
    }
    xr.Dataset(data, coordinates).to_netcdf(path, engine="h5netcdf")
    return path


def test_reanalysis_by_the_names_of_its_files(tmp_path: Path) -> None:
    path = reanalysis(tmp_path / "a.nc", t2m=(280.0, "K"), u10=(3.0, "m s**-1"), z500=(54_000.0, "m**2 s**-2"))
    cube = cubes.to_cube(cubes.open(path, sensor="era5"))
    assert tuple(cube["band"].values) == ("t2m", "u10", "z_500")
    assert list(cube["band_unit"].values) == ["K", "m s-1", "m2 s-2"]
    assert cubes.is_physical(cube)
    cubes.check_physical(cube)
    assert cube.sizes["time"] == 2


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"t2m": (12.0, "K"), "sp": (99_000.0, "Pa")}, r"band t2m of .*look like degrees Celsius"),
        ({"t2m": (285.0, "K"), "msl": (1012.0, "Pa")}, r"band msl of .*pressure in the unit 'Pa'"),
        ({"tcc": (55.0, "(0 - 1)"), "tp": (0.0, "m")}, r"band tcc of .*look like percent"),
    ],
)
def test_a_wrong_unit_of_weather_names_the_variable(
    tmp_path: Path, variables: dict[str, tuple[float, str]], words: str
) -> None:
    path = reanalysis(tmp_path / "a.nc", **variables)
    with pytest.raises(InputError, match=words):
        cubes.check_physical(cubes.to_cube(cubes.open(path, sensor="era5")))


def test_celsius_that_is_declared_is_fine(tmp_path: Path) -> None:
    path = reanalysis(tmp_path / "a.nc", t2m=(12.0, "degC"), msl=(1012.0, "hPa"))
    cubes.check_physical(cubes.to_cube(cubes.open(path, sensor="era5")))


def test_a_real_aerial_image() -> None:
    folder = os.environ.get("SWATH_DATA")
    if not folder:
        pytest.skip("SWATH_DATA names no directory")
    path = Path(folder) / "naip_north_dakota" / "m_4709963_se_14_1_20150926.tif"
    if not path.exists():
        pytest.skip(f"SWATH_DATA holds no {path.name}")
    cube = cube_of(path, "naip")
    assert tuple(cube["band"].values) == ("red", "green", "blue", "nir")
    cubes.check_physical(cube)
    values = np.where(cube["valid"].values.reshape(1, -1, *cube["data"].shape[2:]), cube["data"].values, np.nan)
    means = np.nanmean(values, axis=(0, 2, 3))
    assert ((means > 0.2) & (means < 0.8)).all()


@pytest.mark.parametrize(
    ("sensor", "names", "bands"),
    [
        ("naip", None, ("red", "green", "blue", "nir")),  # as many as the sensor has
        ("planetscope_8b", ["red", "green", "blue", "nir"], ("red", "green", "blue", "nir")),  # called so in the file
        ("vhr_rgb", None, ("red", "green", "blue")),  # the sensor has no fourth
        ("vhr_rgb", ["red", "green", "blue", "alpha"], ("red", "green", "blue")),
    ],
)
def test_near_infrared_that_is_marked_as_alpha(
    tmp_path: Path, sensor: str, names: list[str] | None, bands: tuple[str, ...]
) -> None:
    path = raster(tmp_path / "a.tif", np.full((4, 4, 5), 100, np.uint8), names)
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3].name == "alpha"  # GDAL marks the fourth of four bands of 8 bits
    level = "SR" if sensor.startswith("planet") else None
    assert tuple(cube_of(path, sensor, level)["band"].values) == bands
