"""Polygons of class maps: they are the map, whatever is read at a time, in whatever format."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize, sieve
from scipy import ndimage
from typer.testing import CliRunner

from swath import cubes, grids, predict
from swath.cli import app
from swath.errors import ConfigError, InputError, MissingError
from swath.predict import class_rows, outlines
from swath.predict.class_rows import ClassRows
from swath.predict.ground import Ground, to_lonlat
from swath.predict.outlines import gathered, ordered, polygons, simplified
from swath.predict.regions import GAP, RegionStream, Rows

SETTINGS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
MAPS = hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(GAP, 2))
LEGEND = cubes.Legend.of("water", "forest", "town")
UTM = "EPSG:32633"
NODATA = 255


def utm(height: int, width: int, size: float = 10.0) -> GeoBox:
    return GeoBox((height, width), Affine(size, 0.0, 500_000.0, 0.0, -size, 5_000_000.0), UTM)


def write(path: Path, codes: np.ndarray, box: GeoBox | None = None, legend: cubes.Legend | None = LEGEND) -> Path:
    """A class map; negative codes are no-data."""
    stored = np.where(codes < 0, NODATA, codes).astype(np.uint8)
    names = ["class"]
    return cubes.write_cog(path, stored[None], box or utm(*codes.shape), names=names, nodata=NODATA, legend=legend)


def traced(codes: np.ndarray, step: int, **options: Any) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Codes, measures and polygons of all regions, ``step`` rows at a time."""
    height, width = codes.shape
    stream = RegionStream(width, **options)
    code, sums, shapes = [], [], []
    for first in range(0, height, step):
        part = codes[first : first + step]
        rows = Rows(first, part, np.ones((1, 1)), np.ones(len(part)), part.astype(float), first + step >= height)
        regions = ordered(stream.push(rows))
        code.append(regions.code)
        sums.append(regions.sums)
        shapes.append(gathered(*polygons(regions, width)))
    names = sums[0]
    return (
        np.concatenate(code),
        {name: np.concatenate([each[name] for each in sums]) for name in names},
        np.concatenate(shapes),
    )


def burnt(shapes: Any, values: Any, shape: tuple[int, int], transform: Affine | None = None) -> np.ndarray:
    pairs = [(geometry, int(value)) for geometry, value in zip(shapes, values, strict=True)]
    if not pairs:
        return np.full(shape, GAP)
    return rasterize(pairs, out_shape=shape, fill=GAP, dtype="int32", transform=transform or Affine.identity())


def components(codes: np.ndarray, connectivity: int) -> list[tuple[int, int]]:
    """Code and pixels of every region, by another implementation."""
    found = []
    for code in np.unique(codes[codes >= 0]):
        labels, count = ndimage.label(codes == code, ndimage.generate_binary_structure(2, connectivity // 4))
        found += [(int(code), int((labels == number).sum())) for number in range(1, count + 1)]
    return sorted(found)


@SETTINGS
@given(codes=MAPS, step=st.integers(1, 9), connectivity=st.sampled_from([4, 8]))
def test_polygons_are_the_map(codes: np.ndarray, step: int, connectivity: int) -> None:
    code, sums, shapes = traced(codes, step, connectivity=connectivity)
    assert shapely.is_valid(shapes).all()
    np.testing.assert_array_equal(shapely.area(shapes), sums["pixels"])
    np.testing.assert_array_equal(burnt(shapes, code, codes.shape), codes)
    assert sorted(zip(code.tolist(), sums["pixels"].astype(int).tolist(), strict=True)) == components(
        codes, connectivity
    )
    np.testing.assert_allclose(sums["confidence"], code * sums["pixels"])


@SETTINGS
@given(codes=MAPS, step=st.integers(1, 8), connectivity=st.sampled_from([4, 8]), wrap=st.booleans())
def test_the_rows_read_at_a_time_change_nothing(codes: np.ndarray, step: int, connectivity: int, wrap: bool) -> None:
    whole = traced(codes, 9, connectivity=connectivity, wrap=wrap)
    parts = traced(codes, step, connectivity=connectivity, wrap=wrap)
    np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_array_equal(shapely.to_wkb(parts[2]), shapely.to_wkb(whole[2]))
    for name, values in whole[1].items():
        np.testing.assert_array_equal(parts[1][name], values)


@SETTINGS
@given(codes=MAPS, step=st.integers(1, 9), tolerance=st.sampled_from([0.5, 1.5, 4.0]))
def test_simplified_borders_stay_shared(codes: np.ndarray, step: int, tolerance: float) -> None:
    _, _, shapes = traced(codes, step, gaps=True)
    assert shapely.coverage_is_valid(shapes)
    simple = simplified(shapes, (1.0, 1.0), tolerance)
    assert shapely.is_valid(simple).all() and shapely.coverage_is_valid(simple)
    assert shapely.area(simple).sum() == pytest.approx(codes.size)
    assert shapely.union_all(simple).equals(shapely.box(0, 0, codes.shape[1], codes.shape[0]))


def test_a_hole_that_touches_the_outline_in_a_corner() -> None:
    codes = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]])
    code, sums, shapes = traced(codes, 1)
    assert code.tolist() == [1, 0, 1] and sums["pixels"].tolist() == [1, 7, 1]
    assert len(shapes[1].interiors) == 1 and shapely.is_valid(shapes[1])
    code, _, shapes = traced(codes, 1, connectivity=8)
    assert code.tolist() == [0, 1] and shapes[1].geom_type == "MultiPolygon"


def test_corners_are_turns_and_places_where_regions_meet() -> None:
    # Region 0 has a straight right side on which regions 1 and 2 meet: that corner is its own, too.
    _, _, shapes = traced(np.array([[0, 1], [0, 2]]), 1)
    left = next(shape for shape in shapes if shape.bounds == (0, 0, 1, 2))
    assert set(left.exterior.coords) == {(0, 0), (1, 0), (1, 1), (1, 2), (0, 2)}
    _, _, (whole,) = traced(np.zeros((5, 4), dtype=np.int64), 1)
    assert len(whole.exterior.coords) == 5


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three or so rows at a time."""
    monkeypatch.setattr(class_rows, "BAND_PIXELS", 20)


CODES = np.array([[0, 0, 1, -1], [0, 1, 1, 1], [2, 2, 0, 1], [2, 2, 0, 0]])


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
def test_every_format_holds_the_same(tmp_path: Path, few_rows: None, suffix: str) -> None:
    report = predict.vectorise(write(tmp_path / "map.tif", CODES), tmp_path / f"out{suffix}")
    path = report.file
    table = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path)
    assert table.crs.to_epsg() == (4326 if suffix == ".geojson" else 32633)
    assert report.polygons == len(table) == 4
    names = [name for name in table.columns if name != "geometry"]
    assert names == ["value", "class", "area_m2", "perimeter_m", "pixels"]
    rows = sorted(zip(table["class"], table["value"], table["pixels"], table["area_m2"], strict=True))
    assert rows == [("forest", 1, 5, 500.0), ("town", 2, 4, 400.0), ("water", 0, 3, 300.0), ("water", 0, 3, 300.0)]
    assert table["perimeter_m"].loc[table["value"] == 2].item() == pytest.approx(80.0)
    assert report.counts == {"water": 2, "forest": 1, "town": 1}
    assert report.area_m2 == {"water": 600.0, "forest": 500.0, "town": 400.0}
    back = table.to_crs(UTM)
    np.testing.assert_array_equal(burnt(back.geometry, back["value"], CODES.shape, utm(4, 4).affine), CODES)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    assert report.as_dict()["file"] == str(path)


@pytest.mark.parametrize("tolerance", [0, 1])
def test_geojson_follows_its_standard(tmp_path: Path, tolerance: float) -> None:
    codes = np.zeros((5, 5), dtype=np.int64)
    codes[2, 2] = 1
    predict.vectorise(write(tmp_path / "map.tif", codes), tmp_path / "out.geojson", simplify_m=tolerance)
    content = json.loads((tmp_path / "out.geojson").read_text())
    assert content["type"] == "FeatureCollection" and "crs" not in content
    for feature in content["features"]:
        exterior, *holes = feature["geometry"]["coordinates"]
        assert shapely.LinearRing(exterior).is_ccw
        assert not any(shapely.LinearRing(hole).is_ccw for hole in holes)
        assert all(14 < lon < 16 and 44 < lat < 46 for lon, lat in exterior)


def test_areas_and_lengths_are_those_on_the_ground(tmp_path: Path) -> None:
    # One pixel of one degree at 60 degrees north: half as wide as at the equator.
    box = GeoBox((2, 2), Affine(1.0, 0.0, 10.0, 0.0, -1.0, 61.0), "EPSG:4326")
    codes = np.array([[0, 1], [2, 2]])
    predict.vectorise(write(tmp_path / "map.tif", codes, box), tmp_path / "out.gpkg")
    table = gpd.read_file(tmp_path / "out.gpkg").set_index("value")
    areas = grids.cell_area_m2(box)
    assert table["area_m2"][0] == pytest.approx(areas[0, 0])
    assert table["area_m2"][2] == pytest.approx(areas[1].sum())
    # Two meridian arcs and two parallels on WGS 84 (Snyder 1987: one degree of latitude at 60.5 degrees is 111,422 m,
    # one degree of longitude 55,802 m at 60 and 54,110 m at 61 degrees).
    assert table["perimeter_m"][0] == pytest.approx(2 * 111_422 + 55_802 + 54_110, rel=1e-4)
    ground = Ground(box)
    assert ground.sides(0, 2).sum() == pytest.approx(ground.metres(np.array([[10.0, 61.0]]), np.array([[10.0, 59.0]])))


def test_web_mercator_is_measured_on_the_ground(tmp_path: Path) -> None:
    box = GeoBox((1, 1), Affine(100.0, 0.0, 1_000_000.0, 0.0, -100.0, 8_399_737.9), "EPSG:3857")  # 60 degrees north
    predict.vectorise(write(tmp_path / "map.tif", np.zeros((1, 1)), box), tmp_path / "out.gpkg")
    row = gpd.read_file(tmp_path / "out.gpkg").iloc[0]
    assert row["area_m2"] == pytest.approx(50**2, rel=0.01)
    assert row["perimeter_m"] == pytest.approx(4 * 50, rel=0.01)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_a_region_across_the_antimeridian_is_one(tmp_path: Path, globe: Any, suffix: str) -> None:
    codes = np.zeros((4, 8), dtype=np.int64)
    codes[1:3, [0, 7]] = 1
    path = write(tmp_path / "map.tif", codes, globe(4, 8))
    report = predict.vectorise(path, tmp_path / f"out{suffix}", classes=["forest"])
    row = gpd.read_file(report.file).iloc[0]
    assert report.polygons == 1 and row["pixels"] == 4
    assert sorted(part.bounds[::2] for part in row.geometry.geoms) == [(-180.0, -135.0), (135.0, 180.0)]
    # 90 degrees of longitude at 45 degrees north and south, and the meridian from there to there, twice.
    ground = Ground(globe(4, 8))
    parallel = ground.metres(np.array([[0.0, 45.0]]), np.array([[90.0, 45.0]])).item()
    meridian = ground.metres(np.array([[0.0, 45.0]]), np.array([[0.0, -45.0]])).item()
    assert row["perimeter_m"] == pytest.approx(2 * parallel + 2 * meridian)


def cut_at_180(box: GeoBox) -> np.ndarray:
    ground = Ground(box)
    shape = np.array([shapely.box(0, 0, *box.shape.wh)])
    return to_lonlat(ground.place(shape), ground)


def test_geojson_is_cut_at_the_antimeridian() -> None:
    (shape,) = cut_at_180(GeoBox((10, 20), Affine(1.0, 0.0, 170.0, 0.0, -1.0, 5.0), "EPSG:4326"))
    assert sorted(part.bounds for part in shape.geoms) == [(-180, -5, -170, 5), (170, -5, 180, 5)]
    (shape,) = cut_at_180(GeoBox((10, 10), Affine(1.0, 0.0, 190.0, 0.0, -1.0, 5.0), "EPSG:4326"))
    assert shape.bounds == (-170, -5, -160, 5)
    # UTM zone 1 begins at the antimeridian; 200 km west of its first meridian's pixel lies the other side.
    (shape,) = cut_at_180(GeoBox((2, 2), Affine(100_000.0, 0.0, 66_021.0, 0.0, -100_000.0, 1e5), "EPSG:32601"))
    west, east = sorted(shape.geoms, key=lambda part: part.bounds[0])
    assert west.bounds[0] == -180 and east.bounds[2] == 180
    assert 0 < west.bounds[2] + 180 < 2 and -2 < east.bounds[0] - 180 < 0


def test_a_region_around_a_pole_is_refused_in_geojson(tmp_path: Path) -> None:
    box = GeoBox((3, 3), Affine(1e6, 0.0, -1.5e6, 0.0, -1e6, 1.5e6), "EPSG:3413")
    path = write(tmp_path / "map.tif", np.zeros((3, 3)), box)
    with pytest.raises(ConfigError, match="around a pole"):
        predict.vectorise(path, tmp_path / "out.geojson")
    assert not (tmp_path / "out.geojson").exists()
    assert predict.vectorise(path, tmp_path / "out.gpkg").polygons == 1


def test_small_regions_are_dropped_or_merged(tmp_path: Path, few_rows: None) -> None:
    codes = np.zeros((6, 6), dtype=np.int64)
    codes[1, 1], codes[3:5, 3:5], codes[0, 5] = 1, 2, -1
    path = write(tmp_path / "map.tif", codes)
    report = predict.vectorise(path, tmp_path / "a.gpkg", minimum_area_m2=200)
    assert (report.polygons, report.dropped) == (2, 1)
    assert report.area_m2 == {"water": 3000.0, "town": 400.0}
    merged = predict.vectorise(path, tmp_path / "b.gpkg", minimum_area_m2=200, small="merge")
    assert (merged.polygons, merged.dropped) == (2, 0)
    assert merged.area_m2 == {"water": 3100.0, "town": 400.0}
    table = gpd.read_file(tmp_path / "b.gpkg")
    expected = np.where(codes < 0, -1, sieve(codes.astype(np.int16), 2, mask=codes >= 0))
    np.testing.assert_array_equal(burnt(table.geometry, table["value"], codes.shape, utm(6, 6).affine), expected)
    assert predict.vectorise(path, tmp_path / "c.gpkg", minimum_area_m2=400).polygons == 2  # the limit itself stays


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
def test_nothing_gives_an_empty_file(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "map.tif", np.full((2, 3), -1))
    report = predict.vectorise(path, tmp_path / f"out{suffix}")
    assert report.polygons == report.corners == 0 and report.area_m2 == {}
    table = gpd.read_parquet(report.file) if suffix == ".parquet" else gpd.read_file(report.file)
    assert len(table) == 0
    assert predict.vectorise(path, tmp_path / f"out{suffix}", simplify_m=20).polygons == 0


@settings(SETTINGS, max_examples=15)
@given(codes=MAPS, seed=st.integers(0, 3))
def test_simplified_maps_cover_what_the_map_covers(codes: np.ndarray, seed: int, tmp_path: Path) -> None:
    codes = codes.clip(min=0)
    path = write(tmp_path / f"map{seed}.tif", codes)
    report = predict.vectorise(path, tmp_path / "out.parquet", simplify_m=25)
    table = gpd.read_parquet(report.file)
    assert table.geometry.is_valid.all()
    assert table.geometry.area.sum() == pytest.approx(codes.size * 100.0)
    assert sum(report.area_m2.values()) == pytest.approx(codes.size * 100.0)


def test_simplifying_takes_corners_away(tmp_path: Path) -> None:
    codes = (np.arange(40)[:, None] * 0.37 > np.arange(40)).astype(np.int64)
    path = write(tmp_path / "map.tif", codes)
    plain = predict.vectorise(path, tmp_path / "a.gpkg")
    simple = predict.vectorise(path, tmp_path / "a.gpkg", simplify_m=20)
    assert simple.corners <= plain.corners / 3
    assert simple.area_m2 == plain.area_m2
    table = gpd.read_file(tmp_path / "a.gpkg")
    assert table["perimeter_m"].to_numpy() == pytest.approx(table.geometry.length.to_numpy())


def test_confidence_is_averaged(tmp_path: Path, few_rows: None) -> None:
    path = write(tmp_path / "map.tif", CODES)
    sure = np.full((1, 4, 4), 100, dtype=np.uint8)
    sure[0, 2, 0], sure[0, 3, 0], sure[0, 0, :2], sure[0, 1, 0] = 200, 255, 255, 255
    cubes.write_cog(tmp_path / "sure.tif", sure, utm(4, 4), names=["confidence"], nodata=255, scale=0.005)
    predict.vectorise(path, tmp_path / "out.gpkg", confidence=tmp_path / "sure.tif")
    table = gpd.read_file(tmp_path / "out.gpkg")
    mean = dict(zip(table["value"] * 10 + (table["pixels"] == 3), table["mean_confidence"], strict=True))
    assert mean[20] == pytest.approx((1.0 + 0.5 + 0.5) / 3)  # town: the fourth pixel is unknown
    assert sorted(table["mean_confidence"][table["value"] == 0].fillna(-1)) == [-1.0, 0.5]
    predict.vectorise(path, tmp_path / "out.geojson", confidence=tmp_path / "sure.tif")
    features = json.loads((tmp_path / "out.geojson").read_text())["features"]
    assert None in [each["properties"]["mean_confidence"] for each in features]
    cubes.write_cog(tmp_path / "other.tif", sure[:, :3], utm(3, 4), names=["confidence"], nodata=255)
    with pytest.raises(InputError, match="lies on another grid"):
        predict.vectorise(path, tmp_path / "out.gpkg", confidence=tmp_path / "other.tif")


@pytest.mark.parametrize(
    ("wanted", "values"), [(["water"], {0}), (["town", 1], {1, 2}), (["2"], {2}), (None, {0, 1, 2})]
)
def test_classes_by_name_or_value(tmp_path: Path, wanted: Any, values: set[int]) -> None:
    predict.vectorise(write(tmp_path / "map.tif", CODES), tmp_path / "out.gpkg", classes=wanted)
    assert set(gpd.read_file(tmp_path / "out.gpkg")["value"]) == values


def test_maps_without_legend_many_classes_and_odd_numbers(tmp_path: Path) -> None:
    codes = np.arange(600, dtype=np.int32).reshape(1, 20, 30) - 5
    cubes.write_cog(tmp_path / "map.tif", codes, utm(20, 30), names=["class"], nodata=-5)
    report = predict.vectorise(tmp_path / "map.tif", tmp_path / "out.parquet")
    table = gpd.read_parquet(report.file)
    assert sorted(table["value"]) == list(range(-4, 595)) and table["class"].iloc[0] == str(table["value"].iloc[0])
    whole = np.array([[[1.0, np.nan, 2.0]]], dtype=np.float32)
    cubes.write_cog(tmp_path / "whole.tif", whole, utm(1, 3), names=["class"])
    assert predict.vectorise(tmp_path / "whole.tif", tmp_path / "out.gpkg").polygons == 2
    cubes.write_cog(tmp_path / "bad.tif", whole + np.float32(0.5), utm(1, 3), names=["class"])
    with pytest.raises(InputError, match=r"no class, such as 1\.5"):
        predict.vectorise(tmp_path / "bad.tif", tmp_path / "out.gpkg")


def test_sentences(tmp_path: Path) -> None:
    path = write(tmp_path / "map.tif", CODES)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("'minimum_area_m2' is -1", {"minimum_area_m2": -1.0}),
        ("'simplify_m' is nan", {"simplify_m": math.nan}),
        ("'connectivity' is 6", {"connectivity": 6}),
        ("'small' is 'keep'", {"small": "keep"}),
        ("'most' is 0", {"most": 0}),
        ("The band 2", {"band": 2}),
        ("has no class 'forrest'.*nearest names are: forest", {"classes": ["forrest"]}),
        ("has no class '7'", {"classes": [7]}),
        ("more than 3 regions", {"most": 3}),
        ("more than 3 regions", {"most": 3, "simplify_m": 5.0}),
    ]
    for match, options in cases:
        with pytest.raises(ConfigError, match=match):
            predict.vectorise(path, tmp_path / "out.gpkg", **options)
        assert {each.name for each in tmp_path.iterdir()} == {"map.tif", "map.qml"}
    for name in ("out.shp", "out", "."):
        with pytest.raises(ConfigError, match=r"ends in \.geojson, \.gpkg"):
            predict.vectorise(path, tmp_path / name)
    with pytest.raises(InputError, match="There is no file"):
        predict.vectorise(tmp_path / "none.tif", tmp_path / "out.gpkg")
    (tmp_path / "same.gpkg").symlink_to(path)
    with pytest.raises(ConfigError, match="is the raster"):
        predict.vectorise(path, tmp_path / "same.gpkg")


def test_what_old_versions_lack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines.shapely, "geos_version", (3, 11, 0))
    with pytest.raises(MissingError, match=r"shapely 2\.1 or later"):
        simplified(np.array([shapely.box(0, 0, 1, 1)]), (1, 1), 1)


def test_merging_refuses_maps_beyond_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_rows, "SIEVE_PIXELS", 15)
    source = ClassRows(write(tmp_path / "map.tif", CODES), 1, None, None)
    with pytest.raises(ConfigError, match="needs the whole map in memory"):
        source.sieve(100.0, 4)


def test_an_existing_file_survives_a_failure(tmp_path: Path) -> None:
    path, out = write(tmp_path / "map.tif", CODES), tmp_path / "out.gpkg"
    predict.vectorise(path, out)
    before = out.read_bytes()
    with pytest.raises(ConfigError, match="more than 2"):
        predict.vectorise(path, out, most=2)
    assert out.read_bytes() == before


def test_the_command(tmp_path: Path) -> None:
    path = write(tmp_path / "map.tif", CODES)
    out = tmp_path / "out.geojson"
    done = CliRunner().invoke(
        app,
        ["vectorise", str(path), "-o", str(out), "--minimum-area", "350", "--simplify", "10", "--classes", "town,1"],
    )
    assert done.exit_code == 0, done.output
    assert "2 polygons" in done.stdout and "forest" in done.stdout
    assert len(json.loads(out.read_text())["features"]) == 2


def test_python_and_command_have_the_same_options() -> None:
    import inspect

    from swath.cli.vectorise import vectorise as command

    given: Callable[..., Any] = predict.vectorise
    names = {name.removesuffix("_m2").removesuffix("_m") for name in inspect.signature(given).parameters}
    assert names == set(inspect.signature(command).parameters) - {"config"}  # options from a file


def test_rows_are_read_in_bands(tmp_path: Path, few_rows: None) -> None:
    source = ClassRows(write(tmp_path / "map.tif", np.zeros((13, 6))), 1, None, None)
    bands = list(source.read(Ground(source.geobox)))
    assert [len(rows.codes) for rows in bands] == [3, 3, 3, 3, 1]
    assert [rows.last for rows in bands] == [False] * 4 + [True]
    with rasterio.open(source.path) as dataset:
        assert dataset.shape == (13, 6)
