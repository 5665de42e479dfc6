"""COGs out: layout, overviews, names, units, colours, styles; nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import dask.array as da
import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate

from swath import cubes
from swath.cubes import CogWriter, Legend
from swath.errors import ConfigError, ContractError, InputError, ResourceError

Box = Callable[..., GeoBox]


def validated(path: Path) -> Path:
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert valid, (errors, warnings)
    return path


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (1, 1, 600), (1, 513, 511), (5, 65, 33)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_numbers_come_back(tmp_path: Path, box: Box, shape: tuple[int, int, int], dtype: str) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) % 251).astype(dtype)
    names = [f"band {index}" for index in range(shape[0])]
    path = cubes.write_cog(tmp_path / "a.tif", array, box(*shape[1:]), names=names, unit="K", tags={"who": "me"})
    with rasterio.open(validated(path)) as dataset:
        np.testing.assert_array_equal(dataset.read(), array)
        assert dataset.descriptions == tuple(names)
        assert dataset.units == ("K",) * shape[0]
        assert dataset.tags()["who"] == "me"
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform == box(*shape[1:]).affine
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.qml", "a.tif"]


def test_open_reads_what_was_written(tmp_path: Path, box: Box) -> None:
    array = np.random.default_rng(0).normal(size=(2, 20, 30)).astype("float32")
    valid = np.random.default_rng(1).random((2, 20, 30)) > 0.3
    path = cubes.write_cog(tmp_path / "a.tif", array, box(20, 30), names=["a", "b"], unit=["dB", "K"], valid=valid)
    cube = cubes.to_cube(cubes.open(path))
    np.testing.assert_array_equal(cube["valid"].values[0], valid)
    np.testing.assert_array_equal(cube["data"].values[0][valid], array[valid])
    assert cubes.geobox_of(cube) == box(20, 30)
    assert cube["band_unit"].values.tolist() == ["dB", "K"]
    assert cubes.is_physical(cube)


def test_overviews_average_numbers_and_pick_classes(tmp_path: Path, box: Box) -> None:
    array = np.zeros((1, 1024, 1024), dtype="uint8")
    array[0, :, 1::2] = 2
    plain = cubes.write_cog(tmp_path / "a.tif", array, box(1024, 1024), names=["n"])
    classes = cubes.write_cog(tmp_path / "b.tif", array, box(1024, 1024), names=["c"], legend=Legend.of("x", "y", "z"))
    for path, expected in ((plain, {1}), (classes, {0, 2})):
        with rasterio.open(validated(path)) as dataset:
            assert dataset.overviews(1) == [2]
            small = set(np.unique(dataset.read(1, out_shape=(512, 512))).tolist())
        assert small <= expected


def test_masked_numbers_stay_out_of_overviews(tmp_path: Path, box: Box) -> None:
    array = np.full((1, 1024, 1024), 5.0, dtype="float32")
    valid = np.random.default_rng(0).random((1024, 1024)) > 0.5
    array[0, ~valid] = 1e9
    path = cubes.write_cog(tmp_path / "a.tif", array, box(1024, 1024), names=["n"], valid=valid)
    with rasterio.open(path) as dataset:
        assert np.isnan(dataset.nodata)
        small = dataset.read(1, out_shape=(512, 512), masked=True)
    assert set(np.unique(small.compressed())) == {5.0}


def test_classes_have_a_colour_table_a_legend_and_a_paletted_style(tmp_path: Path, box: Box) -> None:
    legend = Legend.of("forest", "water", "ice")
    array = np.array([[[0, 1], [2, 255]]], dtype="uint8")
    path = cubes.write_cog(tmp_path / "c.tif", array, box(2, 2), names=["class"], nodata=255, legend=legend)
    with rasterio.open(validated(path)) as dataset:
        table = dataset.colormap(1)
        assert dataset.colorinterp[0] == ColorInterp.palette
        assert dataset.nodata == 255
    for entry in legend:
        assert table[entry.value] == (*entry.rgb, 255)
    assert cubes.read_legend(path) == legend
    root = ElementTree.parse(path.with_suffix(".qml")).getroot()
    assert root.tag == "qgis"
    assert root.find("pipe/rasterrenderer").get("type") == "paletted"
    entries = root.findall("pipe/rasterrenderer/colorPalette/paletteEntry")
    assert [(item.get("value"), item.get("label"), item.get("color")) for item in entries] == [
        (str(entry.value), entry.name, entry.colour.lower()) for entry in legend
    ]


def test_signed_labels_keep_their_legend_without_a_colour_table(tmp_path: Path, box: Box) -> None:
    array = np.array([[[-100, 3]]], dtype="int16")
    path = cubes.write_cog(
        tmp_path / "l.tif", array, box(1, 2), names=["label"], nodata=-100, legend=Legend.of("x", first=3)
    )
    assert cubes.read_legend(path) == Legend.of("x", first=3)
    labels = cubes.read_labels(path)
    np.testing.assert_array_equal(labels.values, [[-100, 3]])
    assert labels.dtype == np.int16
    assert labels.odc.geobox == box(1, 2)


@pytest.mark.parametrize(
    ("bands", "kind"), [(1, "singlebandpseudocolor"), (2, "singlebandpseudocolor"), (4, "multibandcolor")]
)
def test_numbers_get_a_stretched_style(tmp_path: Path, box: Box, bands: int, kind: str) -> None:
    array = np.linspace(0, 100, bands * 400, dtype="float32").reshape(400, bands).T.reshape(bands, 20, 20)
    path = cubes.write_cog(tmp_path / "a [1].tif", array, box(20, 20), names=list("abcd"[:bands]))
    renderer = ElementTree.parse(path.with_suffix(".qml")).getroot().find("pipe/rasterrenderer")
    assert renderer.get("type") == kind
    low, high = np.percentile(array[0], [2, 98])
    if bands < 3:
        shown = float(renderer.get("classificationMin")), float(renderer.get("classificationMax"))
        values = [float(item.get("value")) for item in renderer.findall("rastershader/colorrampshader/item")]
        assert values == sorted(values)
    else:
        shown = tuple(float(renderer.find(f"redContrastEnhancement/{tag}").text) for tag in ("minValue", "maxValue"))
    assert shown == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize("fill", [np.nan, 3.0])
def test_masked_or_constant_numbers_still_get_a_style(tmp_path: Path, box: Box, fill: float) -> None:
    path = cubes.write_cog(tmp_path / "a.tif", np.full((1, 4, 4), fill, "float32"), box(4, 4), names=["a"])
    renderer = ElementTree.parse(path.with_suffix(".qml")).getroot().find("pipe/rasterrenderer")
    assert float(renderer.get("classificationMin")) < float(renderer.get("classificationMax"))


def test_near_infrared_is_not_called_alpha(tmp_path: Path, box: Box) -> None:
    array = np.full((4, 3, 3), 9, dtype="uint8")
    path = cubes.write_cog(tmp_path / "a.tif", array, box(3, 3), names=["red", "green", "blue", "nir"])
    with rasterio.open(path) as dataset:
        assert ColorInterp.alpha not in dataset.colorinterp
    assert cubes.to_cube(cubes.open(path)).sizes["band"] == 4


def test_scale_is_declared(tmp_path: Path, box: Box) -> None:
    array = np.array([[[10, 20]]], dtype="int16")
    path = cubes.write_cog(tmp_path / "a.tif", array, box(1, 2), names=["t"], scale=(0.5, 2.0), unit="K")
    physical = cubes.to_physical(cubes.to_cube(cubes.open(path)))
    np.testing.assert_array_equal(physical["data"].values.ravel(), [7.0, 12.0])
    assert physical["data"].attrs["unit"] == "K"
    factor = cubes.write_cog(tmp_path / "b.tif", array, box(1, 2), names=["t"], scale=0.05)
    with rasterio.open(factor) as dataset:
        assert (dataset.scales, dataset.offsets) == ((0.05,), (0.0,))


def test_dask_arrays_are_written_block_by_block(tmp_path: Path, box: Box) -> None:
    array = np.random.default_rng(0).integers(0, 99, size=(2, 70, 90)).astype("uint16")
    lazy = da.from_array(array, chunks=(1, 32, 40))
    mask = da.from_array(array[0] > 9, chunks=(20, 20))
    path = cubes.write_cog(tmp_path / "a.tif", lazy, box(70, 90), names=["a", "b"], nodata=65535, valid=mask)
    with rasterio.open(validated(path)) as dataset:
        np.testing.assert_array_equal(dataset.read(), np.where(array[0] > 9, array, 65535))


def test_windows_in_any_order_from_threads_equal_one_array(tmp_path: Path, box: Box) -> None:
    array = np.random.default_rng(0).normal(size=(2, 600, 650)).astype("float32")
    windows = [(row, column) for row in range(0, 600, 100) for column in range(0, 650, 130)]
    np.random.default_rng(1).shuffle(windows)
    path = tmp_path / "w.tif"
    with CogWriter(path, box(600, 650), names=["a", "b"], dtype="float32") as writer, ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda at: writer.write(array[:, at[0] : at[0] + 100, at[1] : at[1] + 130], *at), windows))
    with rasterio.open(validated(path)) as dataset:
        np.testing.assert_array_equal(dataset.read(), array)


@pytest.mark.parametrize(("nodata", "expected"), [(None, 0), (255, 255)])
def test_pixels_never_written_are_no_data(tmp_path: Path, box: Box, nodata: int | None, expected: int) -> None:
    path = tmp_path / "w.tif"
    with CogWriter(path, box(600, 4), names=["a"], dtype="uint8", nodata=nodata) as writer:
        writer.write(np.full((1, 2, 2), 7, "uint8"), 0, 0)
    with rasterio.open(path) as dataset:
        array = dataset.read(1)
    assert (array[:2, :2] == 7).all()
    assert (array[2:] == expected).all()


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, box: Box) -> None:
    path = cubes.write_cog(tmp_path / "a.tif", np.ones((1, 2, 2), "uint8"), box(2, 2), names=["a"])
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    writer = CogWriter(path, box(9, 9), names=["a"], dtype="uint8")

    def stop_half_way() -> None:
        with writer:
            writer.write(np.zeros((1, 9, 9), "uint8"), 0, 0)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stop_half_way()
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_nothing_appears_before_the_end(tmp_path: Path, box: Box) -> None:
    path = tmp_path / "new" / "a.tif"
    with CogWriter(path, box(4, 4), names=["a"], dtype="int16") as writer:
        writer.write(np.ones((1, 4, 4), "int16"), 0, 0)
        assert not path.exists()
        assert all(item.name.startswith(".a.tif.") for item in path.parent.iterdir())
    assert path.exists()


@pytest.mark.parametrize("dtype", ["bool", "float16"])
def test_types_that_geotiff_lacks_are_widened(tmp_path: Path, box: Box, dtype: str) -> None:
    array = np.array([[[0, 1]]]).astype(dtype)
    path = cubes.write_cog(tmp_path / "a.tif", array, box(1, 2), names=["a"])
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), array.astype("float32"))


def test_sentences(tmp_path: Path, box: Box) -> None:
    path, array = tmp_path / "a.tif", np.array([[[1, 2]]], dtype="uint8")
    mask = np.array([[True, False]])
    cases = [
        (ContractError, "The array has shape", {"names": ["a", "b"]}),
        (ContractError, "The mask has shape", {"names": ["a"], "valid": np.ones((3, 3), bool)}),
        (ContractError, "came with 2 units", {"names": ["a"], "unit": ["K", "m"]}),
        (ConfigError, "no-data value -9999 does not fit the type uint8", {"names": ["a"], "nodata": -9999}),
        (ConfigError, "has a mask, but no number of type uint8", {"names": ["a"], "valid": mask}),
        (
            InputError,
            "1 valid numbers of 'a.tif' equal the no-data value 1",
            {"names": ["a"], "valid": mask, "nodata": 1},
        ),
    ]
    for kind, sentence, options in cases:
        with pytest.raises(kind, match=sentence):
            cubes.write_cog(path, array, box(1, 2), **options)
    with pytest.raises(ContractError, match="A legend came with 2 bands"):
        cubes.write_cog(path, np.ones((2, 1, 2), "uint8"), box(1, 2), names=["a", "b"], legend=Legend.of("x"))
    with pytest.raises(ConfigError, match="complex64 cannot be written"):
        cubes.write_cog(path, array.astype("complex64"), box(1, 2), names=["a"])
    with pytest.raises(ContractError, match="is not open"):
        CogWriter(path, box(1, 2), names=["a"], dtype="uint8").write(array, 0, 0)
    for at in ((0, 1), (1, 0), (-1, 0)):
        with (
            pytest.raises(ContractError, match=f"at row {at[0]}, column {at[1]} does not fit"),
            CogWriter(path, box(1, 2), names=["a"], dtype="uint8") as writer,
        ):
            writer.write(array, *at)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path: Path, box: Box) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        cubes.write_cog(tmp_path / "f" / "a.tif", np.ones((1, 1, 1), "uint8"), box(1, 1), names=["a"])
