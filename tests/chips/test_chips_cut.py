"""Cutting: what lies on disk, what is refused, and that validity survives."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from chip_scenes import LEGEND, chip_set, globe, label_map, on_grid, scene, utm_box
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath import chips
from swath.chips import DropRules
from swath.chips.rows import RowReader, reader_of
from swath.cubes import Legend
from swath.errors import ConfigError, ContractError, InputError
from swath.types import IGNORE

KEEP_ALL = DropRules(0.0, 0.0)


def test_chips_hold_the_numbers_validity_and_labels_of_their_windows(tmp_path: Path) -> None:
    shape, size = (37, 50), 12
    valid = np.random.default_rng(2).random((2, 4, *shape)) < 0.7
    cube, labels = scene(shape, dates=2, valid=valid), label_map(shape)
    labels[:5] = IGNORE
    made = chips.cut(cube, labels, tmp_path / "chips", size=size, legend=LEGEND, drop=KEEP_ALL)
    assert len(made) == 3 * 4
    arrays = made.load(made.ids)
    assert arrays.values.shape == (12, 2, 4, size, size) and arrays.values.dtype == np.float32
    for position, name in enumerate(made.ids):
        row, column = made.index.set_index("id").loc[name, ["row", "column"]]
        window = (..., slice(row, row + size), slice(column, column + size))
        here = valid[window]
        physical = (cube["data"].values[window] * 1e-4 + 0.01).astype(np.float32)
        assert np.array_equal(arrays.valid[position], here)
        assert np.array_equal(arrays.values[position], np.where(here, physical, 0))
        assert np.array_equal(arrays.labels[position], np.where(here.any(axis=(0, 1)), labels[window], IGNORE))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", "int32"])
@pytest.mark.parametrize("per_band", [False, True])
def test_validity_survives_for_every_type_even_where_numbers_fill_the_range(
    tmp_path: Path, dtype: str, per_band: bool
) -> None:
    shape = (16, 16)
    valid = np.random.default_rng(0).random((1, 4, *shape) if per_band else (1, *shape)) < 0.8
    cube = scene(shape, dtype=dtype, valid=valid)
    if np.dtype(dtype).kind != "f":
        info = np.iinfo(dtype)
        cube["data"].values[..., 0, :3] = [0, info.max, info.min]
        cube["valid"].values[..., 0, :3] = True
        valid = cube["valid"].values
    made = chips.cut(cube, label_map(shape), tmp_path / "chips", size=16, legend=LEGEND)
    layered = np.broadcast_to(valid if per_band else valid[:, None], (1, 4, *shape))
    assert np.array_equal(made.load(made.ids).valid[0], layered)
    assert (tmp_path / "chips" / "valid").exists() == per_band
    with rasterio.open(tmp_path / "chips" / made.index["image"][0]) as file:
        assert file.dtypes == (dtype,) * 4
        assert np.array_equal(file.dataset_mask() > 0, layered[0].any(axis=0))
        assert file.descriptions == ("red", "green", "blue", "latitude")
        if file.nodata is not None and not np.isnan(file.nodata):
            assert not (file.read()[layered[0]] == file.nodata).any()


def test_nan_and_infinite_numbers_are_invalid_whatever_the_mask_says(tmp_path: Path) -> None:
    cube = scene((8, 8), dtype="float64")
    cube["data"].values[0, 1, 2, 3] = np.nan
    cube["data"].values[0, 0, 4, 4] = -np.inf
    cube["data"].values[0, 0, 5, 5] = 1e39
    made = chips.cut(cube, label_map((8, 8)), tmp_path / "chips", size=8, legend=LEGEND)
    arrays = made.load(made.ids)
    assert np.argwhere(~arrays.valid[0]).tolist() == [[0, 0, 4, 4], [0, 0, 5, 5], [0, 1, 2, 3]]
    assert np.isfinite(arrays.values).all()


def test_the_index_says_where_and_how_much(tmp_path: Path) -> None:
    labels = np.full((16, 32), IGNORE, np.int16)
    labels[:4, :16] = 1
    labels[:, 16:] = 2
    valid = np.ones((1, 16, 32), bool)
    valid[:, :, 24:] = False
    made = chips.cut(scene((16, 32), valid=valid), labels, tmp_path / "chips", size=16, legend=LEGEND, name_prefix="a_")
    index = geopandas.read_parquet(tmp_path / "chips" / "index.parquet")
    assert index["id"].tolist() == ["a_r00000_c00000", "a_r00000_c00016"]
    assert index["valid_share"].tolist() == [1.0, 0.5]
    assert index["labelled_share"].tolist() == [0.25, 0.5]
    assert index[["pixels_0", "pixels_1", "pixels_2"]].to_numpy().tolist() == [[0, 64, 0], [0, 0, 128]]
    assert index["time"].tolist() == [pd.Timestamp("2020-06-01", tz="UTC")] * 2
    assert index.crs.to_epsg() == 4326
    assert made.class_counts() == {"water": 0, "forest": 64, "crop": 128}
    expected = geopandas.GeoSeries.from_wkt(
        ["POLYGON ((500000 4999840, 500160 4999840, 500160 5e6, 500000 5e6, 500000 4999840))"]
    )
    area = expected.set_crs("EPSG:32633").to_crs("EPSG:4326")
    assert index.geometry[0].symmetric_difference(area[0]).area < 1e-3 * area[0].area


def test_the_index_is_geoparquet_and_chips_json_tells_what_is_shared(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    made = chip_set(tmp_path / "chips", (32, 32))
    geo = json.loads(parquet.read_schema(tmp_path / "chips" / "index.parquet").metadata[b"geo"])
    assert geo["version"].startswith("1.") and geo["primary_column"] == "geometry"
    record = json.loads((tmp_path / "chips" / "chips.json").read_text())
    assert record["schema_version"] == 1 and record["modality"] == "image" and record["size"] == 16
    assert record["bands"][0]["name"] == "red" and record["bands"][0]["scale"] == 1e-4
    assert record["legend"][1]["name"] == "forest"
    assert record["source"] == "scene.tif" and record["crs"] == "EPSG:32633"
    assert len(record["fingerprint"]) == 64 == len(made.fingerprint)
    again = chips.open(tmp_path / "chips")
    assert again.description == made.description and again.bands == made.bands


def test_the_fingerprint_follows_what_may_be_used_and_nothing_else(tmp_path: Path) -> None:
    valid = np.ones((1, 16, 16), bool)
    valid[0, 0, 0] = False
    cubes = [scene((16, 16), valid=valid.copy()) for _ in range(4)]
    cubes[1]["data"].values[0, 0, 0, 0] += 9
    cubes[2]["data"].values[0, 0, 0, 1] += 9
    cubes[3]["valid"].values[0, 0, 1] = False
    prints = [
        chips.cut(cube, label_map((16, 16)), tmp_path / str(number), size=16, legend=LEGEND).fingerprint
        for number, cube in enumerate(cubes)
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_each_stored_block_is_read_once_and_few_rows_are_held(tmp_path: Path) -> None:
    import dask.array as da

    numbers = np.random.default_rng(0).integers(0, 99, (1, 4, 128, 32)).astype("int16")
    reads: list[int] = []

    def block(values: np.ndarray, block_info: object = None) -> np.ndarray:
        if block_info:
            reads.append(block_info[0]["array-location"][2][0])  # type: ignore[index]
        return values

    lazy = da.from_array(numbers, chunks=(1, 4, 24, 32)).map_blocks(
        block, dtype="int16", meta=np.empty((0,) * 4, "int16")
    )
    cube = scene((128, 32)).assign(data=(("time", "band", "y", "x"), lazy, {"unit": "DN"}))
    held: list[int] = []
    original = RowReader.rows

    def watched(self: RowReader, start: int, stop: int) -> list[np.ndarray]:
        found = original(self, start, stop)
        held.append(max(array.shape[-2] for array in self._held))
        return found

    with patch.object(RowReader, "rows", watched):
        made = chips.cut(cube, label_map((128, 32)), tmp_path / "chips", size=16, stride=8, legend=LEGEND)
    assert sorted(reads) == [0, 24, 48, 72, 96, 120]
    assert max(held) <= 16 + 24
    expected = (numbers[0, :, 104:120, 8:24] * 1e-4 + 0.01).astype(np.float32)
    assert np.array_equal(made.load(["r00104_c00008"]).values[0, 0], expected)


@settings(deadline=None, max_examples=40)
@given(
    chunk=st.integers(1, 20),
    rows=st.integers(1, 20),
    ranges=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 8)), max_size=8),
)
def test_a_row_reader_gives_what_slicing_gives(chunk: int, rows: int, ranges: list[tuple[int, int]]) -> None:
    import dask.array as da

    array = np.arange(rows * 3).reshape(rows, 3)
    reader = reader_of([da.from_array(array, chunks=(chunk, 3)), array], step=4)
    for start, length in sorted(ranges):
        if start < rows:
            for found in reader.rows(start, min(rows, start + length)):
                assert np.array_equal(found, array[start : start + length])


def test_windows_beyond_the_scene_are_padded_with_invalid_pixels(tmp_path: Path) -> None:
    shape = (10, 10)
    windows = np.array([[-3, -3], [6, 6], [6, 6]])
    made = chips.cut(
        scene(shape), label_map(shape), tmp_path / "chips", size=8, legend=LEGEND, windows=windows, drop=KEEP_ALL
    )
    assert made.ids == ["r-0003_c-0003", "r00006_c00006"]
    valid = made.load(made.ids).valid[:, 0, 0]
    assert valid[0, 3:, 3:].all() and valid[0].sum() == 25
    assert valid[1, :4, :4].all() and valid[1].sum() == 16
    assert made.geobox("r-0003_c-0003").affine == utm_box(shape).affine @ Affine.translation(-3, -3)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "uint16"])
def test_labels_of_any_whole_type_can_be_padded(tmp_path: Path, dtype: str) -> None:
    labels = (label_map((6, 6)) % 2).astype(dtype)
    made = chips.cut(
        scene((6, 6)), labels, tmp_path / "chips", size=8, legend=LEGEND, windows=np.array([[0, 0]]), drop=KEEP_ALL
    )
    found = made.load(made.ids).labels[0]
    assert np.array_equal(found[:6, :6], labels) and (found[6:] == IGNORE).all() and (found[:, 6:] == IGNORE).all()


def test_numbers_that_geotiff_cannot_hold_are_refused(tmp_path: Path) -> None:
    cube = scene((8, 8), dtype="float32")
    with pytest.raises(InputError, match="numbers of type float16"):
        chips.cut(cube.astype("float16"), label_map((8, 8)), tmp_path / "a", size=8, legend=LEGEND)


def test_groups_by_majority_leave_out_pixels_without_one(tmp_path: Path) -> None:
    raster = np.full((16, 48), IGNORE, np.int16)
    raster[:3, :16] = 5
    raster[:2, 16:32] = 7
    raster[2:4, 16:32] = 5
    groups = on_grid(raster, utm_box((16, 48)), legend={5: "Asia", 7: "Africa"})
    made = chip_set(tmp_path / "chips", (16, 48), groups=groups)
    assert made.index["group"].tolist() == ["Asia", "Asia", ""]
    groups.attrs["legend"] = Legend.from_names({5: "Asia", 7: "Africa"}).to_json()
    assert chip_set(tmp_path / "chips", (16, 48), groups=groups).index["group"].tolist() == ["Asia", "Asia", ""]
    del groups.attrs["legend"]
    assert chip_set(tmp_path / "chips", (16, 48), groups=groups).index["group"].tolist() == ["5", "5", ""]


def test_groups_can_be_given_per_chip(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "chips", (16, 32), groups={"r00000_c00016": "east"})
    assert made.index["group"].tolist() == ["", "east"]


def test_labels_on_another_grid_are_sampled_at_the_nearest_pixel(tmp_path: Path) -> None:
    fine, coarse = utm_box((16, 16)), utm_box((4, 4)) * Affine.identity()
    coarse = GeoBox((4, 4), fine.affine @ Affine.scale(4), fine.crs)
    labels = label_map((4, 4))
    made = chips.cut(scene((16, 16)), on_grid(labels, coarse), tmp_path / "chips", size=16, legend=LEGEND)
    assert np.array_equal(made.load(made.ids).labels[0], labels.repeat(4, axis=0).repeat(4, axis=1))


def test_labels_in_another_crs_and_longitudes_to_360_find_their_place(tmp_path: Path) -> None:
    box = globe(18)
    labels = label_map((18, 36))
    turned = GeoBox((18, 36), Affine(10.0, 0, 0.0, 0, -10.0, 90.0), "EPSG:4326")
    rolled = on_grid(np.roll(labels, -18, axis=1), turned)
    made = chips.cut(scene((18, 36), box=box), rolled, tmp_path / "chips", size=18, legend=LEGEND)
    assert np.array_equal(np.concatenate(list(made.load(made.ids).labels), axis=1), labels)


def test_labels_that_cover_a_part_leave_the_rest_unlabelled(tmp_path: Path) -> None:
    box = utm_box((8, 8))
    part = GeoBox((8, 8), box.affine @ Affine.translation(4, 0), box.crs)
    made = chips.cut(scene((8, 8)), on_grid(label_map((8, 8)), part), tmp_path / "chips", size=8, legend=LEGEND)
    labels = made.load(made.ids).labels[0]
    assert (labels[:, :4] == IGNORE).all()
    assert np.array_equal(labels[:, 4:], label_map((8, 8))[:, :4])


def test_labels_elsewhere_are_refused_with_both_extents(tmp_path: Path) -> None:
    far = GeoBox((8, 8), Affine(10.0, 0, 900_000.0, 0, -10.0, 5_000_000.0), "EPSG:32633")
    with pytest.raises(InputError) as raised:
        chips.cut(
            scene((8, 8)), on_grid(label_map((8, 8)), far, source="labels.tif"), tmp_path / "a", size=8, legend=LEGEND
        )
    for part in ("scene.tif", "labels.tif", "do not overlap", "500000", "500080", "900000", "900080"):
        assert part in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_label_values_outside_the_legend_are_refused_with_file_value_and_count(tmp_path: Path) -> None:
    labels = label_map((32, 32))
    labels[0, :7] = 9
    labels[31, 31] = -1
    with pytest.raises(
        InputError, match=r"'labels.tif' holds label values outside the legend: -1 \(1 pixels\), 9 \(7 pix"
    ):
        chips.cut(
            scene((32, 32)),
            on_grid(labels, utm_box((32, 32)), source="labels.tif"),
            tmp_path / "a",
            size=8,
            legend=LEGEND,
        )
    assert list(tmp_path.iterdir()) == []


def test_labels_of_another_shape_or_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="8 x 9 pixels and no coordinates"):
        chips.cut(scene((8, 8)), label_map((8, 9)), tmp_path / "a", size=8, legend=LEGEND)
    with pytest.raises(InputError, match="float64"):
        chips.cut(scene((8, 8)), label_map((8, 8)).astype(float), tmp_path / "a", size=8, legend=LEGEND)


def test_an_all_masked_scene_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    cube = scene((32, 32), valid=np.zeros((1, 32, 32), bool))
    with pytest.raises(InputError, match=r"scene.tif' has no valid pixel in any of the 4 windows"):
        chips.cut(cube, label_map((32, 32)), tmp_path / "a", size=16, legend=LEGEND)
    assert list(tmp_path.iterdir()) == []


def test_when_nothing_is_kept_the_error_counts_the_windows_of_each_rule(tmp_path: Path) -> None:
    valid = np.ones((1, 16, 48), bool)
    valid[:, 1:, :16] = False
    labels = np.full((16, 48), IGNORE, np.int16)
    with pytest.raises(
        InputError, match=r"None of the 3 windows .* 1 have less than 0.5 valid, 2 of the rest less than 0.01"
    ):
        chips.cut(scene((16, 48), valid=valid), labels, tmp_path / "a", size=16, legend=LEGEND)
    assert list(tmp_path.iterdir()) == []


def test_a_scene_smaller_than_a_chip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No window of 16 x 16 pixels fits the scene 'scene.tif' \(8 x 8\)"):
        chips.cut(scene((8, 8)), label_map((8, 8)), tmp_path / "a", size=16, legend=LEGEND)


def test_windows_outside_the_scene_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 windows lie outside .* row 40, column 0"):
        chip_set(tmp_path / "a", (32, 32), windows=np.array([[0, 0], [40, 0]]))


def test_shares_outside_zero_to_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_valid = 50"):
        DropRules(min_valid=50)


@pytest.mark.parametrize(
    "legend", [Legend(()), Legend.from_names({IGNORE: "none"}), Legend.from_names({70_000: "big"})]
)
def test_a_legend_that_labels_cannot_hold_is_refused(tmp_path: Path, legend: Legend) -> None:
    labels = np.full((8, 8), IGNORE, np.int16)
    with pytest.raises(InputError, match="The legend has the values"):
        chips.cut(scene((8, 8)), labels, tmp_path / "a", size=8, legend=legend)


def test_a_dataset_that_is_no_cube_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="not a cube"):
        chips.cut(scene((8, 8)).drop_vars("valid"), label_map((8, 8)), tmp_path / "a", size=8, legend=LEGEND)


def test_a_scene_without_a_date_is_refused(tmp_path: Path) -> None:
    cube = scene((8, 8)).assign_coords(time=[np.datetime64("NaT", "ns")])
    with pytest.raises(InputError, match="1 dates, 1 of them unknown"):
        chips.cut(cube, label_map((8, 8)), tmp_path / "a", size=8, legend=LEGEND)


def test_a_chip_set_is_replaced_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    chip_set(tmp_path / "chips", (32, 32))
    assert len(chip_set(tmp_path / "chips", (16, 16))) == 1
    assert len(list((tmp_path / "chips" / "images").iterdir())) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="exists and is no chip set"):
        chip_set(tmp_path / "mine", (16, 16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chips", "mine"]


def test_a_failure_half_way_leaves_the_old_chip_set(tmp_path: Path) -> None:
    before = chip_set(tmp_path / "chips", (32, 32)).fingerprint
    with (
        patch("swath.chips.job.footprints", side_effect=OSError("disk full")),
        pytest.raises(OSError, match="disk full"),
    ):
        chip_set(tmp_path / "chips", (48, 48))
    assert [path.name for path in tmp_path.iterdir()] == ["chips"]
    assert chips.open(tmp_path / "chips").fingerprint == before


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 48), (48, 0), (48, 48)])
def test_footprints_of_a_global_grid_reach_poles_and_antimeridian(tmp_path: Path, row: int, column: int) -> None:
    made = chip_set(tmp_path / "chips", (64, 128), box=globe(64))
    bounds = made.index.set_index("id").loc[f"r{row:05d}_c{column:05d}"].geometry.bounds
    step = 180.0 / 64
    west, north = -180 + column * step, 90 - row * step
    assert np.allclose(bounds, (west, north - 16 * step, west + 16 * step, north))
