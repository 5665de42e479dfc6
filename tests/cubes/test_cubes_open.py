"""Open GeoTIFFs: names, grids, laziness, dates, and the sentence for each bad file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from swath import cubes
from swath.cubes import raster
from swath.errors import InputError

Tif = Callable[..., Path]
Box = Callable[..., GeoBox]


def ramp(bands: int, height: int, width: int, dtype: str = "uint16") -> np.ndarray:
    return np.arange(1, bands * height * width + 1).reshape(bands, height, width).astype(dtype)


def only(scene: xr.DataTree) -> xr.Dataset:
    assert len(scene.children) == 1
    return next(iter(scene.children.values())).to_dataset()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 1), (2, 33, 17)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_numbers_and_grid_come_back(tif: Tif, box: Box, shape: tuple[int, int, int], dtype: str) -> None:
    array = (ramp(*shape) % 200 + 1).astype(dtype)
    cube = only(cubes.open(tif("a.tif", array)))
    assert cube["data"].dims == ("time", "band", "y", "x")
    assert cube["data"].dtype == array.dtype
    np.testing.assert_array_equal(cube["data"].values[0], array)
    assert cube["valid"].dtype == bool
    assert cube["valid"].values.all()
    assert cubes.geobox_of(cube) == box(*shape[1:])
    assert cube["data"].attrs["unit"] == "DN"


def test_node_is_named_by_gsd_and_epoch_stands_for_an_unknown_date(tif: Tif) -> None:
    scene = cubes.open(tif("a.tif", ramp(1, 4, 4)))
    assert list(scene.children) == ["grid_10m"]
    assert not scene.attrs["time_known"]
    assert scene["grid_10m"]["time"].values[0] == np.datetime64("1970-01-01")


def test_time_from_caller_beats_tag(tif: Tif) -> None:
    path = tif("a.tif", ramp(1, 4, 4), tags={"TIFFTAG_DATETIME": "2021:07:05 10:30:00"})
    assert only(cubes.open(path))["time"].values[0] == np.datetime64("2021-07-05T10:30:00")
    given = only(cubes.open(path, time="2022-01-01T00:00:00+02:00"))
    assert given["time"].values[0] == np.datetime64("2021-12-31T22:00:00")
    assert given.attrs["time_known"] == 1
    with pytest.raises(InputError, match="'soon' is no time"):
        cubes.open(path, time="soon")


def test_names_come_from_caller_then_file_then_numbers(tif: Tif) -> None:
    plain, named = tif("a.tif", ramp(2, 3, 3)), tif("b.tif", ramp(2, 3, 3), names=("red", "nir"))
    assert cubes.bands_of(only(cubes.open(plain))).names == ("band_1", "band_2")
    assert cubes.bands_of(only(cubes.open(named))).names == ("red", "nir")
    assert cubes.bands_of(only(cubes.open(named, bands=["a", "b"]))).names == ("a", "b")
    with pytest.raises(InputError, match=r"a\.tif' has 2 bands, but 3 names were given \(a, b, c\)"):
        cubes.open(plain, bands=["a", "b", "c"])
    with pytest.raises(InputError, match="'a' appears twice"):
        cubes.open(plain, bands=["a", "a"])


def test_sensor_names_bands_by_description_not_by_position(tif: Tif) -> None:
    path = tif("a.tif", ramp(3, 4, 4), names=("B8A", "B4", "B02"))
    bands = cubes.bands_of(only(cubes.open(path, sensor="sentinel2_l2a", baseline="05.09")))
    assert bands.names == ("B8A", "B04", "B02")
    assert bands[1].wavelength_nm == pytest.approx(665, abs=5)
    assert bands[1].called("red")
    with pytest.raises(InputError, match="has 2 bands, but the sensor has"):
        cubes.open(tif("b.tif", ramp(2, 3, 3)), sensor="sentinel2_l2a", baseline="05.09")
    with pytest.raises(InputError, match="There is no band 'X9'"):
        cubes.open(tif("c.tif", ramp(2, 3, 3)), sensor="sentinel2_l2a", bands=["B02", "X9"], baseline="05.09")
    with pytest.raises(InputError, match="There is no sensor 'sentinell2'"):
        cubes.open(path, sensor="sentinell2")
    with pytest.raises(InputError, match="'L2A' was given without a sensor"):
        cubes.open(path, level="L2A")


def test_folder_of_single_bands_gives_one_node_per_grid(tif: Tif, box: Box, tmp_path: Path) -> None:
    tif("T33_B04_10m.tif", ramp(1, 8, 8), box(8, 8))
    tif("T33_B08_10m.tif", ramp(1, 8, 8) + 100, box(8, 8))
    tif("T33_B11_20m.tif", ramp(1, 4, 4), box(4, 4, 20.0))
    scene = cubes.open(tmp_path, sensor="sentinel2_l2a", baseline="05.09", time="2023-06-01")
    assert list(scene.children) == ["grid_10m", "grid_20m"]
    assert cubes.bands_of(scene["grid_10m"]).names == ("B04", "B08")
    assert cubes.bands_of(scene["grid_20m"]).names == ("B11",)
    np.testing.assert_array_equal(scene["grid_10m"]["data"].values[0, 1], ramp(1, 8, 8)[0] + 100)


def test_a_band_repeated_at_other_resolutions_keeps_its_native_one(tif: Tif, box: Box, tmp_path: Path) -> None:
    tif("T33_B04_10m.tif", ramp(1, 8, 8), box(8, 8))
    tif("T33_B04_20m.tif", ramp(1, 4, 4), box(4, 4, 20.0))
    tif("T33_B11_20m.tif", ramp(1, 4, 4), box(4, 4, 20.0))
    scene = cubes.open(tmp_path, sensor="sentinel2_l2a", baseline="05.09")
    assert [cubes.bands_of(node).names for node in scene.children.values()] == [("B04",), ("B11",)]


def test_duplicated_band_names_both_files(tif: Tif) -> None:
    paths = [tif("one_B04.tif", ramp(1, 4, 4)), tif("two_B04.tif", ramp(1, 4, 4))]
    for sensor in (None, "sentinel2_l2a"):
        with pytest.raises(InputError, match=r"'B04' is in '.*one_B04\.tif' and again in '.*two_B04\.tif'"):
            cubes.open(paths, sensor=sensor, baseline="05.09")


def test_single_band_files_take_one_name_each(tif: Tif) -> None:
    paths = [tif("p.tif", ramp(1, 4, 4)), tif("q.tif", ramp(1, 4, 4))]
    assert cubes.bands_of(only(cubes.open(paths, bands=["red", "nir"]))).names == ("red", "nir")
    assert cubes.bands_of(only(cubes.open(paths))).names == ("p", "q")
    with pytest.raises(InputError, match="1 band names were given for 2 single-band files"):
        cubes.open(paths, bands=["red"])
    with pytest.raises(InputError, match=r"No part of the file name 'p\.tif' is a band of the sensor"):
        cubes.open(paths, sensor="sentinel2_l2a", baseline="05.09")


def test_alpha_is_a_mask_unless_it_is_named(tif: Tif) -> None:
    array = np.full((4, 3, 3), 200, dtype="uint8")
    array[3, 0, 0] = 0
    path = tif("a.tif", array, photometric="RGB", alpha="YES")
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    masked = only(cubes.open(path))
    assert masked.sizes["band"] == 3
    assert masked["valid"].values.sum() == 8
    named = only(cubes.open(path, bands=["red", "green", "blue", "nir"]))
    assert named.sizes["band"] == 4
    assert named["valid"].values.all()


def test_internal_mask_is_honoured(tif: Tif) -> None:
    mask = np.full((5, 4), 255, dtype="uint8")
    mask[2:4, 1] = 0
    cube = only(cubes.open(tif("a.tif", ramp(2, 5, 4), mask=mask)))
    assert cube["valid"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(cube["valid"].values[0], mask > 0)


@pytest.mark.parametrize(
    "layout",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel"},
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band"},
        {"interleave": "pixel"},
    ],
)
def test_each_stored_block_is_read_once(tif: Tif, monkeypatch: pytest.MonkeyPatch, layout: dict[str, object]) -> None:
    array = ramp(3, 300, 200, "float32")
    path = tif("a.tif", array, **layout)
    monkeypatch.setattr(raster, "CHUNK_ELEMENTS", 128 * 128)
    cube = only(cubes.open(path))
    counts = np.zeros(array.shape, dtype=int)
    lock = threading.Lock()
    inner = raster.read_window

    def counting(file, bands, rows, columns, *, masks=False):  # type: ignore[no-untyped-def]
        with lock:
            counts[list(bands), rows[0] : rows[1], columns[0] : columns[1]] += 1
        return inner(file, bands, rows, columns, masks=masks)

    monkeypatch.setattr(raster, "read_window", counting)
    data, valid = dask.compute(cube["data"].data, cube["valid"].data)
    np.testing.assert_array_equal(data[0], array)
    assert valid.all()
    assert counts.min() == counts.max() == 1
    assert cube["data"].data.npartitions > 1
    block_rows, block_columns = probe_block(path)
    starts = np.cumsum((0, *cube["data"].data.chunks[2][:-1])), np.cumsum((0, *cube["data"].data.chunks[3][:-1]))
    assert not (starts[0] % block_rows).any()
    assert not (starts[1] % block_columns).any()


def probe_block(path: Path) -> tuple[int, int]:
    with rasterio.open(path) as dataset:
        return dataset.block_shapes[0]


def test_opening_reads_no_pixel(tif: Tif, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tif("a.tif", ramp(2, 20, 20, "float32"))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(raster, "read_window", forbidden)
    cube = only(cubes.open(path))
    assert isinstance(cube["data"].data, da.Array)
    assert isinstance(cubes.to_physical(cubes.to_cube(cube))["data"].data, da.Array)


def test_threads_do_not_share_handles(tif: Tif) -> None:
    array = ramp(2, 64, 64)
    file = raster.probe(tif("a.tif", array, tiled=True, blockxsize=16, blockysize=16))
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda row: raster.read_window(file, (0, 1), (row, row + 1), (0, 64)), range(64)))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), array)


def test_a_rewritten_file_is_read_anew(tif: Tif) -> None:
    first = only(cubes.open(tif("a.tif", np.full((1, 4, 4), 1, dtype="uint16"))))["data"].values
    second = only(cubes.open(tif("a.tif", np.full((1, 4, 5), 2, dtype="uint16"))))["data"].values
    assert first.max() == 1
    assert second.min() == 2


def test_a_file_that_changes_or_goes_away_under_an_open_scene(tif: Tif) -> None:
    path = tif("a.tif", np.full((1, 4, 4), 1, dtype="uint16"))
    scene = cubes.open(path)
    tif("a.tif", np.full((1, 4, 5), 2, dtype="uint16"))
    with pytest.raises(InputError, match="was changed after it had been opened"):
        only(scene)["data"].compute()
    path.unlink()
    with pytest.raises(InputError, match="There is no file"):
        only(scene)["data"].compute()


def test_missing_file_names_the_nearest(tif: Tif, tmp_path: Path) -> None:
    tif("scene.tif", ramp(1, 4, 4))
    with pytest.raises(InputError, match=r"There is no file '.*scen\.tif'.*scene\.tif"):
        cubes.open(tmp_path / "scen.tif")
    with pytest.raises(InputError, match="There is no file"):
        cubes.open(tmp_path / "nowhere" / "scene.tif")


def test_truncated_file(tif: Tif, box: Box, tmp_path: Path) -> None:
    plain = tif("a.tif", ramp(2, 200, 200)).read_bytes()  # its directory lies at the end
    cog = cubes.write_cog(tmp_path / "b.tif", ramp(2, 700, 700, "float32"), box(700, 700), names=["a", "b"])
    cut = tmp_path / "cut.tif"
    for whole, sentence in (
        (plain, "cannot be read as a raster"),
        (cog.read_bytes(), r"is truncated: it has \d+ bytes"),
    ):
        for share in (0.5, 0.9, 0.99):
            cut.write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises(InputError, match=rf"cut\.tif' {sentence}"):
                cubes.open(cut)
        cut.write_bytes(whole[:6])
        with pytest.raises(InputError, match="cannot be read as a raster"):
            cubes.open(cut)


def test_damage_inside_is_told_when_the_block_is_read(tif: Tif) -> None:
    path = tif("a.tif", ramp(1, 200, 200), compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = b"\0" * 200
    path.write_bytes(bytes(content))
    scene = cubes.open(path)
    with pytest.raises(InputError, match=r"a\.tif' cannot be read as a raster"):
        only(scene)["data"].compute()


@pytest.mark.parametrize("content", [b"", b"no raster at all", b"II*\0"])
def test_file_that_is_no_raster(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif' cannot be read as a raster"):
        cubes.open(tmp_path / "a.tif")


def test_empty_folder_and_empty_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no raster"):
        cubes.open(tmp_path)
    with pytest.raises(InputError, match="list of files is empty"):
        cubes.open([])


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["somewhere",UNIT["metre",1]]'])
def test_unknown_crs(tif: Tif, crs: str | None) -> None:
    path = tif("a.tif", ramp(1, 4, 4), crs=crs)
    with pytest.raises(InputError, match=r"a\.tif' declares (no coordinate reference system|an unknown CRS)"):
        cubes.open(path)


def test_rotated_grid(tif: Tif) -> None:
    path = tif("a.tif", ramp(1, 4, 4), transform=Affine(10, 1, 500_000, 1, -10, 5_000_000))
    with pytest.raises(InputError, match="has a rotated grid"):
        cubes.open(path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # writing it warns, as it should
def test_missing_geotransform(tif: Tif) -> None:
    path = tif("a.tif", ramp(1, 4, 4), transform=Affine.identity())
    with pytest.raises(InputError, match="no position on Earth"):
        cubes.open(path)


def test_south_up_grid_keeps_its_rows(tif: Tif) -> None:
    array = ramp(1, 4, 3)
    cube = only(cubes.open(tif("a.tif", array, transform=Affine(10, 0, 500_000, 0, 10, 4_000_000))))
    assert cube["y"].values[0] < cube["y"].values[-1]
    np.testing.assert_array_equal(cube["data"].values[0], array)


@pytest.mark.parametrize("left", [-180.0, 179.0, 359.5])
def test_grids_at_the_edges_of_the_world(tif: Tif, left: float) -> None:
    box = GeoBox((4, 4), Affine(0.5, 0, left, 0, -0.5, 90.0), "EPSG:4326")
    cube = only(cubes.open(tif("a.tif", ramp(1, 4, 4), box)))
    assert cube["x"].values[0] == left + 0.25
    assert cube["y"].values[0] == 89.75
    assert cubes.geobox_of(cube) == box
