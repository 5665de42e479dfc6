"""What is in a scene, and its picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.transform import Affine

from swath import cubes
from swath.errors import InputError
from swath.sensors import Band, BandSet

Tif = Callable[..., Path]
Box = Callable[..., GeoBox]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_one_row_per_grid(tif: Tif, box: Box) -> None:
    array = np.arange(16, dtype="int16").reshape(1, 4, 4)
    scene = cubes.open(
        [tif("x_B04.tif", array, nodata=0), tif("x_B11.tif", array[:, :2, :2], box(2, 2, 20.0))], time="2021-02-03"
    )
    first, second = cubes.summary(scene)
    assert first == {
        "node": "grid_10m",
        "size": "4 x 4",
        "crs": "EPSG:32633",
        "gsd": "10 m",
        "bands": "B04",
        "files": "x_B04.tif",
        "dates": "2021-02-03",
        "unit": "DN",
        "valid": "93.8%",
        "minimum": "1",
        "mean": "8",
        "maximum": "15",
    }
    assert (second["node"], second["gsd"], second["valid"]) == ("grid_20m", "20 m", "100.0%")
    assert second["files"] == "x_B11.tif"
    assert scene.attrs["files"] == "x_B04.tif, x_B11.tif"
    assert cubes.to_cube(scene).attrs["files"] == "x_B04.tif, x_B11.tif"


def test_a_folder_tells_which_files_were_taken(tif: Tif, box: Box, tmp_path: Path) -> None:
    tif("S_B04_20m.tif", np.ones((1, 2, 2), "uint16"), box(2, 2, 20.0))
    tif("S_B04_10m.tif", np.ones((1, 4, 4), "uint16"))
    tif("S_B03_10m.tif", np.ones((1, 4, 4), "uint16"))
    (row,) = cubes.summary(cubes.open(tmp_path, sensor="sentinel2_l2a", baseline="05.09"))
    assert row["files"] == "S_B03_10m.tif, S_B04_10m.tif"
    (alone,) = cubes.summary(cubes.open(tmp_path / "S_B04_10m.tif"))
    assert "files" not in alone


def test_units_are_told_in_words(tif: Tif, box: Box) -> None:
    array = np.full((1, 4, 4), 2000, "uint16")
    (stored,) = cubes.summary(cubes.open(tif("S_B04.tif", array), sensor="sentinel2_l2a", baseline="05.09"))
    assert stored["unit"] == "DN (scaled to reflectance)"
    physical = cubes.open(tif("P_B04.tif", array / np.float32(1e4)), sensor="sentinel2_l2a", level="physical")
    assert cubes.summary(physical)[0]["unit"] == "reflectance"
    assert cubes.summary(cubes.open(tif("a.tif", array)))[0]["unit"] == "DN"
    bands = BandSet((Band("t", unit="K"), Band("vv", kind="backscatter", unit="dB"), Band("n")))
    numbers, valid = np.ones((1, 3, 4, 4)), np.ones((1, 4, 4), bool)
    time = np.array(["2020-01-01"], "datetime64[ns]")
    cube = cubes.make_cube(
        numbers, valid, box(4, 4), bands, time=time, scale=[1] * 3, offset=[0] * 3, stored=False, attrs={}
    )
    assert cubes.summary(cube)[0]["unit"] == "K, backscatter in dB, 1"


def test_all_masked_and_undated(tif: Tif) -> None:
    (row,) = cubes.summary(cubes.open(tif("a.tif", np.full((2, 3, 3), np.nan, "float32"))))
    assert row["dates"] == "unknown"
    assert row["valid"] == "0.0%"
    assert row["mean"] == "-, -"


def test_picture_is_stretched_and_transparent_where_invalid(tif: Tif, tmp_path: Path) -> None:
    array = np.tile(np.linspace(100, 200, 50, dtype="float32"), (4, 40, 1))
    array[1, 0, 0] = np.nan
    cube = cubes.to_cube(cubes.open(tif("a.tif", array, names=("B02", "B03", "B04", "x")), sensor=None))
    picture = pixels(cubes.quicklook(cube, tmp_path / "p" / "q.png", ["B04", "B03", "B02"]))
    assert picture.shape == (40, 50, 4)
    assert picture[0, 0, 3] == 0
    assert (picture[1:, :, 3] == 255).all()
    assert picture[5, 0, :3].tolist() == [0, 0, 0]
    assert picture[5, -1, :3].tolist() == [255, 255, 255]
    assert [item.name for item in (tmp_path / "p").iterdir()] == ["q.png"]
    grey = pixels(cubes.quicklook(cube, tmp_path / "g.png", ["x"]))
    assert (grey[..., 0] == grey[..., 2]).all()
    with pytest.raises(InputError, match="2 bands were named"):
        cubes.quicklook(cube, tmp_path / "g.png", ["x", "B02"])
    with pytest.raises(InputError, match="There is no band 'nir'"):
        cubes.quicklook(cube, tmp_path / "g.png", ["nir"])


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_constant_and_masked_pictures(tif: Tif, tmp_path: Path, value: float) -> None:
    cube = cubes.to_cube(cubes.open(tif("a.tif", np.full((1, 1, 1), value, "float32"))))
    picture = pixels(cubes.quicklook(cube, tmp_path / "q.png"))
    assert picture.shape == (1, 1, 4)
    assert picture[0, 0, 3] == (0 if np.isnan(value) else 255)


def test_true_colour_is_found_by_wavelength(tif: Tif, tmp_path: Path) -> None:
    array = np.zeros((3, 1, 3), dtype="uint16")
    array[0] = [[1, 1, 100]]  # near infrared
    array[1] = [[1, 100, 1]]
    array[2] = [[100, 1, 1]]
    extra = np.concatenate([array, np.full((1, 1, 3), 7, "uint16")])
    path = tif("a.tif", extra, names=("B04", "B03", "B02", "B08"))
    cube = cubes.to_cube(cubes.open(path, sensor="sentinel2_l2a", baseline="05.09"))
    picture = pixels(cubes.quicklook(cube, tmp_path / "q.png"))[0, :, :3]
    assert picture.argmax(axis=1).tolist() == [2, 1, 0]


def test_north_is_up(tif: Tif, tmp_path: Path) -> None:
    array = np.array([[[1.0], [2.0]]], dtype="float32")
    path = tif("a.tif", array, transform=Affine(10, 0, 500_000, 0, 10, 5_000_000))
    picture = pixels(cubes.quicklook(cubes.to_cube(cubes.open(path)), tmp_path / "q.png"))
    assert picture[0, 0, 0] > picture[1, 0, 0]


def test_large_cubes_are_thinned(tif: Tif, tmp_path: Path) -> None:
    cube = cubes.to_cube(cubes.open(tif("a.tif", np.ones((1, 3, 2500), "uint8"))))
    assert pixels(cubes.quicklook(cube, tmp_path / "q.png")).shape == (1, 834, 4)
