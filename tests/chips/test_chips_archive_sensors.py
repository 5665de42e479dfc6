"""Chips of Sentinel-2, whose bands lie on two grids, and of radar, which has neither clouds nor masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from archive_makers import at, link
from odc.geo.geobox import GeoBox

from swath import chips, cubes, sensors
from swath.chips.archive import Request, from_points
from swath.chips.archive.published import write_published
from swath.cubes import catalogue
from swath.cubes.catalogue import Item
from swath.sources.published import instageo

FINE = GeoBox((40, 40), Affine(10, 0, 600_000, 0, -10, 4_500_000), "EPSG:32633")
COARSE = GeoBox((20, 20), Affine(20, 0, 600_000, 0, -20, 4_500_000), "EPSG:32633")


def node(sensor: str, bands: tuple[str, ...], box: GeoBox, first: int, offset: float = 0.0) -> xr.Dataset:
    rows, columns = np.mgrid[: box.shape.y, : box.shape.x]
    radar = sensor == "sentinel1_grd"
    numbers = (first + rows * 50 + columns)[None, None] + 1000 * np.arange(len(bands))[None, :, None, None]
    data = -20.0 + numbers.astype(np.float32) / 1000 if radar else numbers.astype(np.uint16)
    return cubes.make_cube(
        data, np.ones((1, *box.shape.yx), bool), box, sensors.load(sensor).bands.select(bands),
        time=np.array([np.datetime64("2024-05-20T10:00", "ns")]), scale=[1.0 if radar else 1e-4] * len(bands),
        offset=[offset] * len(bands), stored=not radar,
        attrs={"sensor": sensor, "level": "dB" if radar else "L2A", "source": "made", "time_known": 1},
    )  # fmt: skip


def s2(folder: Path, name: str, offset: float = -0.1) -> Item:
    scl = np.full((1, 20, 20), 4, np.uint8)
    scl[0, 3, 4], scl[0, 7, 7], scl[0, 9, 9] = 8, 6, 10
    fine = node("sentinel2_l2a", ("B02", "B03", "B04"), FINE, 1000, offset)
    coarse = node("sentinel2_l2a", ("B8A", "B11", "B12"), COARSE, 5000, offset)
    coarse = coarse.assign(quality=(("time", "y", "x"), scl, {"scheme": "SCL"}))
    baseline = "05.10" if offset else "02.14"
    attrs = {"sensor": "sentinel2_l2a", "level": "L2A", "baseline": baseline, "cloud_cover": 1.0}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "grid_10m": fine, "grid_20m": coarse})
    return catalogue.write_item(folder, "s2", name, tree)


@pytest.mark.parametrize("bands", [None, ("swir_1", "red", "B8A"), ("blue",)])
def test_two_grids_become_one_and_the_mask_covers_its_pixels(tmp_path: Path, bands: tuple[str, ...] | None) -> None:
    link(tmp_path / "cat", [s2(tmp_path / "cat", "a")])
    request = Request(source="s2", size=32, time_series=False, tolerance_days=1.0, masks=("cloud",), bands=bands)
    from_points(tmp_path / "cat", at([(5, 5)], "2024-05-20", box=FINE), tmp_path / "out", request=request)
    held = chips.open(tmp_path / "out")
    arrays = held.load(held.ids)
    expected = np.ones((32, 32), bool)
    expected[6:8, 8:10] = False
    np.testing.assert_array_equal(arrays.valid[0, 0], np.broadcast_to(expected, arrays.valid[0, 0].shape))
    rows, columns = np.mgrid[:32, :32]
    told = {
        "blue": 1000 + rows * 50 + columns, "green": 2000 + rows * 50 + columns, "red": 3000 + rows * 50 + columns,
        "B8A": 5000 + rows // 2 * 50 + columns // 2, "swir_1": 6000 + rows // 2 * 50 + columns // 2,
        "swir_2": 7000 + rows // 2 * 50 + columns // 2,
    }  # fmt: skip
    told["nir_narrow"] = told["B8A"]
    for number, name in enumerate(held.bands.names):
        physical = told[name] * 1e-4 - 0.1
        np.testing.assert_allclose(arrays.values[0, 0, number][expected], physical[expected], atol=1e-6)


def test_scenes_stored_in_two_ways_go_together_as_physical_numbers_only(tmp_path: Path) -> None:
    folder = tmp_path / "cat"
    first = s2(folder, "a")
    other = s2(folder, "b", offset=0.0)
    text = other.path.read_text().replace("2024-05-20T10:00", "2021-05-20T10:00")
    other.path.write_text(text)
    link(folder, [first, catalogue.read_item(other.path)])
    points = pd.concat([at([(5, 5)], "2024-05-20", box=FINE), at([(5, 5)], "2021-05-20", box=FINE)], ignore_index=True)
    options = {"source": "s2", "size": 32, "time_series": False, "tolerance_days": 1.0}
    report = from_points(folder, points, tmp_path / "out", request=Request(**options))
    assert report.chips == 1
    assert "--physical" in report.failures.rows[0].retry
    both = from_points(folder, points, tmp_path / "both", request=Request(**options, physical=True))
    assert (both.chips, len(both.failures)) == (2, 0)
    held = chips.open(tmp_path / "both")
    values = held.load(held.ids).values
    np.testing.assert_allclose(values[0] - values[1], 0.1, atol=1e-5)  # the older scene has no offset


def test_radar_keeps_decibels_and_is_published_with_its_own_no_data(tmp_path: Path) -> None:
    tree = node("sentinel1_grd", ("VV", "VH"), FINE, 0)
    tree = tree.assign(valid=tree["valid"].copy(data=np.arange(1600).reshape(1, 40, 40) % 7 > 0))
    link(tmp_path / "cat", [catalogue.write_item(tmp_path / "cat", "s1", "r", tree)])
    request = Request(source="s1", size=32, time_series=False, tolerance_days=1.0)
    from_points(tmp_path / "cat", at([(5, 5)], "2024-05-20", box=FINE), tmp_path / "out", request=request)
    held = chips.open(tmp_path / "out")
    arrays = held.load(held.ids)
    assert held.bands.names == ("vv", "vh")
    assert not held.load(held.ids).valid[0, 0, 0, 0, 0]
    assert arrays.values[0, 0, 0, 1, 1] == pytest.approx(-20 + 0.051, abs=1e-4)
    write_published(tmp_path / "out", tmp_path / "ig")
    (chip,) = instageo.open(tmp_path / "ig")
    cube = chip.cube()
    np.testing.assert_array_equal(cube["valid"].values, arrays.valid[0])
    np.testing.assert_allclose(cube["data"].values[arrays.valid[0]], arrays.values[0][arrays.valid[0]], atol=1e-6)
