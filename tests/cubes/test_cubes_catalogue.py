"""Static STAC catalogues: what is written can be searched and loaded, by swath and by pystac; bad ones get a
sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath import cubes, sensors
from swath.cubes import catalogue
from swath.cubes.catalogue.search import interval
from swath.cubes.catalogue.write import ItemFiles, footprint_of
from swath.errors import ConfigError, InputError
from swath.failures import Failures

CORNER = (500_000.0, 5_000_040.0)


def grid(gsd: float, size: int, epsg: int = 32633, corner: tuple[float, float] = CORNER) -> GeoBox:
    return GeoBox((size, size), Affine(gsd, 0, corner[0], 0, -gsd, corner[1]), f"EPSG:{epsg}")


def node(bands: tuple[str, ...], gsd: float, size: int, day: str, seed: int = 0) -> xr.Dataset:
    chosen = sensors.load("sentinel2_l2a").bands.select(bands)
    numbers = np.random.default_rng(seed).integers(1, 9000, (1, len(bands), size, size)).astype(np.uint16)
    valid = np.ones((1, size, size), bool)
    valid[0, 0, 0] = False
    attrs = {"sensor": "sentinel2_l2a", "level": "L2A", "baseline": "05.09", "source": "made", "time_known": 1}
    return cubes.make_cube(
        numbers,
        valid,
        grid(gsd, size),
        chosen,
        time=np.array([np.datetime64(day, "ns")]),
        scale=[1e-4] * len(bands),
        offset=[-0.1] * len(bands),
        stored=True,
        attrs=attrs,
    )


def scene(day: str = "2024-05-06T10:20:30", seed: int = 0, cloud: float = 12.5) -> xr.DataTree:
    fine, coarse = node(("B02", "B04"), 10.0, 12, day, seed), node(("B11",), 20.0, 6, day, seed + 1)
    quality = np.full((1, 6, 6), 4, np.uint8)
    quality[0, 1, 2], quality[0, 5, 5] = 9, 3  # a cloud and a shadow
    coarse = coarse.assign(quality=(("time", "y", "x"), quality, {"scheme": "SCL"}))
    attrs = {"sensor": "sentinel2_l2a", "level": "L2A", "baseline": "05.09", "cloud_cover": cloud}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "grid_10m": fine, "grid_20m": coarse})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    label = ItemFiles(np.full((12, 12), 3, np.uint8), grid(10.0, 12), role="label", title="cover")
    items = [
        catalogue.write_item(folder, "s2", "A", scene("2024-05-06T10:20:30", 0, 12.5), layers={"cover": label}),
        catalogue.write_item(folder, "s2", "B", scene("2024-07-06T10:20:30", 5, 70.0)),
        catalogue.write_item(folder, "truth", "T", None, time=np.datetime64("2024-05-06"), layers={"cover": label}),
    ]
    catalogue.write_catalogue(folder, items, name="made", title="made up for a test", collections={"s2": "scenes"})
    return folder


@pytest.mark.parametrize(("said", "kind"), [("simulated", "simulated"), ("", None), ("made up", None)])
def test_what_an_item_says_of_its_data_reaches_its_cubes(tmp_path: Path, said: str, kind: str | None) -> None:
    item = catalogue.write_item(tmp_path, "s2", "A", scene(), properties={"swath:data": said} if said else {})
    opened = cubes.open(item.path)
    assert opened.attrs.get("data_kind") == kind
    assert {node.attrs.get("data_kind") for node in opened.children.values()} == {kind}
    assert cubes.to_physical(cubes.to_cube(opened)).attrs.get("data_kind") == kind


def test_a_scene_comes_back_bit_for_bit(place: Path) -> None:
    (item,) = catalogue.search(place, ids=["A"])
    again, first = catalogue.load(item), scene()
    assert set(again.children) == {"grid_10m", "grid_20m"}
    for name in again.children:
        one, other = again[name].to_dataset(), first[name].to_dataset()
        valid = one["valid"].values
        assert not valid[0, ..., 0, 0].any()
        assert valid.sum() == valid.size - valid.shape[1] if valid.ndim == 4 else valid.sum() == valid.size - 1
        usable = other["valid"].values[:, None] & np.ones_like(other["data"].values, bool)
        np.testing.assert_array_equal(one["data"].values[usable], other["data"].values[usable])
        np.testing.assert_array_equal(one["scale_factor"], other["scale_factor"])
        np.testing.assert_array_equal(one["add_offset"], other["add_offset"])
        assert one["time"].values[0] == np.datetime64("2024-05-06T10:20:30")
        assert cubes.geobox_of(one) == cubes.geobox_of(other)
    quality = again["grid_20m"]["quality"]
    assert quality.attrs["scheme"] == "SCL"
    np.testing.assert_array_equal(quality.values, first["grid_20m"]["quality"].values)


def test_an_item_opens_like_any_scene(place: Path) -> None:
    for path in (place / "s2" / "A", place / "s2" / "A" / "A.json"):
        opened = cubes.open(path)
        assert set(opened.children) == {"grid_10m", "grid_20m"}
        assert opened["grid_10m"].attrs["baseline"] == "05.09"
    only = cubes.open(place / "s2" / "A", bands=["B04"])
    assert list(only["grid_10m"]["band"].values) == ["B04"]


def test_clouds_and_shadows_are_masked_on_every_grid(place: Path) -> None:
    (item,) = catalogue.search(place, ids=["A"])
    masked, plain = catalogue.load(item, only_clear=True), catalogue.load(item)
    fine = ~masked["grid_10m"]["valid"].values & plain["grid_10m"]["valid"].values
    hidden = np.zeros((12, 12), bool)
    hidden[2:4, 4:6] = hidden[10:12, 10:12] = True
    np.testing.assert_array_equal(fine[0, 0] if fine.ndim == 4 else fine[0], hidden)
    assert (~masked["grid_20m"]["valid"].values).sum() > (~plain["grid_20m"]["valid"].values).sum()


def test_dates_stack_in_order_and_survive_a_store(place: Path, tmp_path: Path) -> None:
    stack = catalogue.load_many(catalogue.search(place, collections=["s2"])[::-1], bands=["B04", "B02"])
    cube = stack["grid_10m"].to_dataset()
    assert list(cube["band"].values) == ["B04", "B02"]
    assert [str(day)[:10] for day in cube["time"].values] == ["2024-05-06", "2024-07-06"]
    store = cubes.write_store(stack, tmp_path / "stack.zarr", chunk=5)
    again = cubes.open(store)["grid_10m"].to_dataset()
    np.testing.assert_array_equal(again["data"].values, cube["data"].values)
    np.testing.assert_array_equal(again["valid"].values, cube["valid"].values)
    assert cubes.bands_of(again) == cubes.bands_of(cube)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "ATB"),
        ({"collections": ["s2"]}, "AB"),
        ({"time": "2024-05"}, "AT"),
        ({"time": "2024-06/.."}, "B"),
        ({"time": "2024-05-06T10:20:31Z/2024"}, "B"),
        ({"time": "2023"}, ""),
        ({"max_cloud": 50}, "A"),
        ({"bbox": (14.9, 45.0, 15.1, 45.2)}, "ATB"),
        ({"bbox": (179.0, -90.0, -179.0, 90.0)}, ""),
        ({"bbox": (10.0, 45.0, -170.0, 46.0)}, "ATB"),
    ],
)
def test_search(place: Path, filters: dict, found: str) -> None:
    names = [item.id for item in catalogue.search(place, **filters)]
    assert sorted(names) == sorted(found)


def test_pystac_reads_the_catalogue(place: Path) -> None:
    read = pystac.Catalog.from_file(str(place / "catalog.json"))
    items = {item.id: item for item in read.get_items(recursive=True)}
    assert set(items) == {"A", "B", "T"}
    item = items["A"]
    assert item.datetime is not None
    assert item.datetime.isoformat() == "2024-05-06T10:20:30+00:00"
    assert item.properties["proj:code"] == "EPSG:32633"  # pystac brings items to the newest extensions
    assert item.properties["eo:cloud_cover"] == 12.5
    band = item.assets["B04"].extra_fields
    assert band["eo:bands"] == [{"name": "B04", "center_wavelength": 0.6646, "full_width_half_max": 0.031}]
    assert band["raster:bands"][0]["scale"] == 1e-4
    assert Path(item.assets["B11"].get_absolute_href() or "").is_file()
    assert item.get_collection() is not None


def test_writing_again_replaces_the_item(tmp_path: Path) -> None:
    catalogue.write_item(tmp_path, "s2", "A", scene(seed=0))
    item = catalogue.write_item(tmp_path, "s2", "A", scene(seed=9))
    found = catalogue.load(item)["grid_10m"]["data"].values
    assert (found == scene(seed=9)["grid_10m"]["data"].values)[..., 1:, 1:].all()
    assert [path.name for path in (tmp_path / "s2").iterdir()] == ["A"]


@pytest.mark.parametrize(
    ("epsg", "corner", "bounds"),
    [
        (32601, (300_000.0, 100_000.0), "across"),
        (32661, (1_999_000.0, 2_001_000.0), "pole"),
        (32633, CORNER, "plain"),
    ],
)
def test_footprints_at_the_seams_of_the_globe(epsg: int, corner: tuple[float, float], bounds: str) -> None:
    box = (
        grid(1000.0, 2, epsg, corner)
        if bounds == "pole"
        else grid(1000.0, 200 if bounds == "across" else 10, epsg, corner)
    )
    if bounds == "across":
        box = grid(1000.0, 200, epsg, (100_000.0, 100_000.0))
    outline, (west, south, east, north) = footprint_of(box)
    assert outline.is_valid
    assert -90 <= south < north <= 90
    if bounds == "across":
        assert west > 170
        assert east < -170
        assert outline.geom_type == "MultiPolygon"
        assert all(-180 <= x <= 180 for part in outline.geoms for x, _ in part.exterior.coords)
    elif bounds == "pole":
        assert (west, east, north) == (-180.0, 180.0, 90.0)
    else:
        assert (west, east) == (outline.bounds[0], outline.bounds[2])


@pytest.mark.parametrize("text", ["soon", "2024-13", "2025/2024", "2024-01-01T99:00"])
def test_no_time(text: str) -> None:
    with pytest.raises(InputError, match=r"time|interval"):
        interval(text)


@pytest.mark.parametrize("bbox", [(0, 5, 1, 4), (0, 0, 400, 1), (float("nan"), 0, 1, 1), (0, -91, 1, 1)])
def test_no_box(place: Path, bbox: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="no place on Earth"):
        catalogue.search(place, bbox=bbox)


def test_a_folder_without_a_catalogue(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no catalogue"):
        catalogue.search(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "type is missing"),
        ('{"type": "FeatureCollection"}', "type is FeatureCollection"),
        ('{"type": "Catalog", "links": 5}', "no list"),
        ('{"type": "Catalog", "links": [{"rel": "item", "href": "https://example.org/a.json"}]}', "links to"),
        ('{"type": "Catalog", "links": [{"rel": "item", "href": ""}]}', "has the link"),
        ('{"type": "Catalog", "links": [{"rel": "item", "href": "a/../../../b.json"}]}', "has the link"),
        ('{"type": "Feature", "id": "A"}', "cannot be read"),
        ('{"type": "Feature", "id": "A", "properties": {}, "assets": {}}', "no time"),
        ('{"type": "Feature", "id": "A", "properties": {"datetime": "2024-01-01"}, "assets": {}}', "neither geometry"),
        ("{", "not JSON"),
    ],
)
def test_damaged_catalogues_end_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "catalog.json").write_text(text)
    with pytest.raises(InputError, match=said):
        catalogue.search(tmp_path)


def test_one_bad_item_is_listed_and_passed_over(place: Path, tmp_path: Path) -> None:
    good = catalogue.write_item(tmp_path, "s2", "A", scene())
    catalogue.write_catalogue(tmp_path, [good], name="x", title="x")
    record = json.loads((tmp_path / "s2" / "collection.json").read_text())
    record["links"].append({"rel": "item", "href": "./gone/gone.json"})
    (tmp_path / "s2" / "collection.json").write_text(json.dumps(record))
    failures = Failures()
    assert [item.id for item in catalogue.search(tmp_path, failures=failures)] == ["A"]
    assert [Path(row.item).name for row in failures] == ["gone.json"]
    with pytest.raises(InputError, match=r"gone\.json"):
        catalogue.search(tmp_path)


def test_a_ring_of_links_ends(tmp_path: Path) -> None:
    ring = {"type": "Catalog", "links": [{"rel": "child", "href": "./catalog.json"}]}
    (tmp_path / "catalog.json").write_text(json.dumps(ring))
    assert catalogue.search(tmp_path) == []


def test_missing_rasters_bands_and_quality(place: Path, tmp_path: Path) -> None:
    item = catalogue.write_item(tmp_path, "s2", "A", scene())
    with pytest.raises(InputError, match="no band 'B99'"):
        catalogue.load(item, bands=["B99"])
    item.assets["B02"].path.unlink()
    with pytest.raises(InputError, match="not there"):
        catalogue.load(item)
    item.assets["SCL"].path.unlink()
    with pytest.raises(InputError, match="no quality asset"):
        catalogue.load(item, bands=["B04"], only_clear=True)
    truth = catalogue.search(place, ids=["T"])[0]
    with pytest.raises(InputError, match="holds data"):
        catalogue.load(truth)
    with pytest.raises(InputError, match="No items"):
        catalogue.load_many([])


def test_scenes_that_cannot_be_stacked(tmp_path: Path) -> None:
    one = catalogue.write_item(tmp_path, "s2", "A", scene())
    other = catalogue.write_item(tmp_path, "s2", "B", scene()["grid_10m"].to_dataset().isel(y=slice(0, 5)))
    with pytest.raises(InputError, match="cannot be stacked"):
        catalogue.load_many([one, other])


def test_items_that_cannot_be_written(tmp_path: Path) -> None:
    for name in ("", "..", "a/b"):
        with pytest.raises(InputError, match="no name for a file"):
            catalogue.write_item(tmp_path, "s2", name, scene())
    with pytest.raises(InputError, match="no date"):
        catalogue.write_item(tmp_path, "s2", "A", None, layers={})
    with pytest.raises(InputError, match="is empty"):
        catalogue.write_item(tmp_path, "s2", "A", None, time=np.datetime64("2024-01-01"))
    two = xr.concat([scene()["grid_10m"].to_dataset()] * 2, "time")
    with pytest.raises(InputError, match="2 dates"):
        catalogue.write_item(tmp_path, "s2", "A", two)
    with pytest.raises(InputError, match="no items"):
        catalogue.write_catalogue(tmp_path, [], name="x", title="x")


def test_stores_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.zarr"):
        cubes.write_store(scene(), tmp_path / "a.nc")
    with pytest.raises(ConfigError, match="no grid 'grid_60m'"):
        cubes.write_store(scene(), tmp_path / "a.zarr", node="grid_60m")
