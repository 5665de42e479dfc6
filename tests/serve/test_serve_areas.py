"""Areas and statistics of a drawn area against a pixel-by-pixel count, and what can be downloaded of it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Geod
from rasterio.io import MemoryFile
from serve_maps import LEGEND, Writer
from shapely.geometry import MultiPolygon, Polygon, box, mapping

from swath.grids import cell_area_m2, lonlat
from swath.serve import Layer, create_app, write_layers
from swath.serve.analyse import Histogram, analyse
from swath.serve.places import MAX_VERTICES, Question, Refused, brought_home, read_question
from swath.serve.tiles import RasterLayer
from swath.serve.zones import cell_areas, zone

GRIDS = {
    "utm": ("EPSG:32633", 500_005.0, 5_000_003.0, 30.0),
    "degrees": ("EPSG:4326", 14.9, 45.3, 0.0011),
    "mercator": ("EPSG:3857", 1_650_000.0, 5_650_000.0, 45.0),
    "polar": ("EPSG:3995", -12_000.0, 14_000.0, 40.0),
}
DRAWN = Polygon(
    [(15.01, 45.10), (15.09, 45.12), (15.05, 45.16), (15.02, 45.14)],
    [[(15.04, 45.125), (15.06, 45.125), (15.05, 45.14)]],
)


def numbers(shape: tuple[int, int]) -> np.ndarray:
    """Classes 1 and 2, 9 that no legend lists, and 0 for no data, without order."""
    return np.random.default_rng(7).choice([0, 1, 2, 9], shape, p=[0.1, 0.5, 0.3, 0.1]).astype(np.uint8)


def classes(path: Path, **fields: Any) -> RasterLayer:
    layer = Layer(id="map", title="Map", path=path.name, kind="categorical", legend=LEGEND, **fields)
    return RasterLayer(layer, path.parent)


def heights(path: Path) -> RasterLayer:
    layer = Layer(id="heights", title="Heights", path=path.name, kind="continuous", minimum=0, maximum=1, unit="m")
    return RasterLayer(layer, path.parent)


def grid_of(path: Path) -> GeoBox:
    with rasterio.open(path) as source:
        return GeoBox((source.height, source.width), source.transform, CRS(source.crs.to_wkt()))


def question(*polygons: Polygon, layer: str = "map") -> Question:
    return Question(layer, MultiPolygon(polygons))


def ring(*corners: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[list(corner) for corner in corners]]}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("tiled", [False, True])
def test_class_areas_equal_a_count_of_pixel_centres(
    tmp_path: Path, write_raster: Writer, name: str, tiled: bool
) -> None:
    crs, west, north, cell = GRIDS[name]
    data = numbers((700, 600))
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64} if tiled else {}
    path = write_raster(tmp_path / "map.tif", data, west, north, cell, crs=crs, nodata=0, **blocks)
    grid = grid_of(path)
    longitude, latitude = lonlat(grid)
    middle = np.array([longitude[300, 300], latitude[300, 300]])
    reach = np.array([abs(np.diff(longitude[300, [200, 400]]))[0], abs(np.diff(latitude[[200, 400], 300]))[0]])
    corners = middle + reach * np.array([[-0.9, -0.8], [0.93, -0.4], [0.7, 0.85], [0.05, 0.21], [-0.6, 0.9]])
    if name == "polar":  # around the pole itself
        corners = np.array([[-170, 89.92], [-60, 89.96], [70, 89.93], [175, 89.91], [175, 90], [-170, 90]])
    drawn = Polygon(corners)
    inside = shapely.contains_xy(drawn, longitude, latitude)
    areas = cell_area_m2(grid)
    found = analyse(classes(path), question(drawn))
    assert inside.sum() > 5000
    # The edge of a polygon is followed to a twentieth of a pixel: the two counts may part on a few pixels of it.
    slack = (1e-4 if name == "degrees" else 2e-3) * inside.sum()
    assert abs(found["pixels"] - inside.sum()) <= slack
    assert abs(found["nodata_pixels"] - (inside & (data == 0)).sum()) <= slack
    for row, value in zip(found["classes"], (1, 2, 9), strict=True):
        here = inside & (data == value)
        assert abs(row["pixels"] - here.sum()) <= slack
        assert row["area_km2"] == pytest.approx(areas[here].sum() / 1e6, rel=1e-6 + slack / here.sum())
    assert [row["name"] for row in found["classes"]] == ["forest", "barren", "not in the legend"]
    assert sum(row["share"] for row in found["classes"]) == pytest.approx(1.0)
    assert found["area_km2"] == pytest.approx(found["polygon_km2"], rel=0.02)
    assert (found["exact"], found["note"]) == (True, "")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(14.8, 15.7), st.floats(44.4, 45.4)), min_size=3, max_size=9))
def test_any_polygon_counts_what_a_plain_test_of_centres_counts(
    tmp_path_factory: pytest.TempPathFactory, corners: list[tuple[float, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tif"
    data = numbers((60, 50))
    if not path.is_file():
        from serve_maps import write_map

        write_map(path, data, 14.9001, 45.3002, 0.011, nodata=0)
    drawn = shapely.convex_hull(shapely.MultiPoint(corners))
    if drawn.geom_type != "Polygon" or drawn.area < 1e-6:
        return
    inside = shapely.contains_xy(drawn, *lonlat(grid_of(path)))
    found = analyse(classes(path), question(drawn))
    assert found["pixels"] == inside.sum()
    assert found["classes"][0]["pixels"] == (inside & (data == 1)).sum()


def test_statistics_are_weighted_by_area(tmp_path: Path, write_raster: Writer) -> None:
    data = np.random.default_rng(3).gamma(2.0, 50.0, (300, 200)).astype(np.float32)
    data[10:40, 20:90] = np.nan
    path = write_raster(tmp_path / "h.tif", data, 10.0, 80.0, 0.1, scale=(0.5, 7.0))
    drawn = box(10.53, 51.02, 29.01, 79.52)
    grid = grid_of(path)
    inside = shapely.contains_xy(drawn, *lonlat(grid)) & np.isfinite(data)
    values, weights = data[inside].astype(np.float64) * 0.5 + 7.0, cell_area_m2(grid)[inside]
    found = analyse(heights(path), question(drawn))["statistics"]
    mean = np.average(values, weights=weights)
    assert found["mean"] == pytest.approx(mean)
    assert found["std"] == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    assert (found["minimum"], found["maximum"]) == pytest.approx((values.min(), values.max()))
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    for share, value in found["quantiles"].items():
        assert value == pytest.approx(
            values[order][np.searchsorted(shares, float(share))], abs=2 * found["quantile_error"]
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-1e12, 1e12), max_size=30), min_size=1, max_size=8))
def test_the_histogram_is_within_a_bin(parts: list[list[float]]) -> None:
    histogram = Histogram()
    for part in parts:
        histogram.add(np.array(part), np.ones(len(part)))
    everything = np.sort(np.concatenate([np.array(part) for part in parts]))
    if everything.size == 0:
        return
    assert histogram.weights.sum() == everything.size
    for share in (0.0, 0.3, 1.0):
        exact = everything[max(0, int(np.ceil(share * everything.size)) - 1)]
        assert abs(histogram.quantile(share) - exact) <= histogram.width * 1.0001 + 1e-6 * abs(exact)


def test_large_areas_are_estimated_from_an_overview(tmp_path: Path, write_raster: Writer) -> None:
    data = np.repeat(np.repeat(numbers((160, 160)), 8, axis=0), 8, axis=1)
    path = write_raster(
        tmp_path / "map.tif", data, 500_000, 5_000_000, 10, crs="EPSG:32633", nodata=0, overviews=(2, 4, 8)
    )
    drawn = box(15.01, 45.05, 15.14, 45.14)
    exact = analyse(classes(path), question(drawn))
    rough = analyse(classes(path), question(drawn), limit=exact["pixels"] // 10)
    assert (exact["exact"], rough["exact"], rough["pixel_m"]) == (True, False, 40.0)
    assert rough["note"].startswith("Estimated from pixels of 40 m")
    assert rough["pixels"] < exact["pixels"] / 10
    for one, other in zip(exact["classes"], rough["classes"], strict=True):
        assert other["area_km2"] == pytest.approx(one["area_km2"], rel=0.02)
    with pytest.raises(Refused, match="no overview that is coarse enough") as caught:
        analyse(classes(path), question(drawn), limit=1000)
    assert caught.value.status == 413


@pytest.mark.parametrize("west", [-180.0, 0.0])
@pytest.mark.parametrize("drawn", [box(170.2, -9.7, 195.3, 9.8), box(-189.8, -9.7, -164.7, 9.8)])
def test_areas_across_the_antimeridian(tmp_path: Path, write_raster: Writer, west: float, drawn: Polygon) -> None:
    longitude = (west + np.arange(360) + 0.5 + 180) % 360 - 180
    data = np.broadcast_to(np.where(longitude > 0, 1, 2), (180, 360)).astype(np.uint8)
    path = write_raster(tmp_path / "map.tif", data, west, 90, 1)
    found = analyse(classes(path), question(drawn))
    assert [row["pixels"] for row in found["classes"]] == [10 * 20, 15 * 20]
    cut = brought_home(MultiPolygon([drawn]))
    assert len(cut.geoms) == 2
    assert analyse(classes(path), Question("map", cut))["classes"] == found["classes"]
    assert Question("map", cut).area_km2 == pytest.approx(found["polygon_km2"], rel=1e-9)


WORLDS = {  # CRS, half width and half height [m] of maps that go around the Earth
    "EPSG:3857": (20_037_508.34, 20_037_508.34),
    "EPSG:3832": (20_037_508.34, 20_037_508.34),  # torn apart at 30 degrees west
    "EPSG:6933": (17_367_530.45, 7_314_540.83),
    "ESRI:54009": (18_040_096.0, 9_020_048.0),
    "EPSG:3413": (12_367_000.0, 12_367_000.0),  # closes around the pole
}


@pytest.mark.parametrize("crs", WORLDS)
@pytest.mark.parametrize(
    "drawn", [box(170, 50, 190, 60), box(-190, -20, -165, 10), box(-40, 0, -20, 40), box(-180, 60, 180, 90)]
)
def test_areas_on_maps_of_the_world(tmp_path: Path, write_raster: Writer, crs: str, drawn: Polygon) -> None:
    half, tall = WORLDS[crs]
    cell = half / 200
    rows = int(tall / cell) * 2
    path = write_raster(tmp_path / "map.tif", np.ones((rows, 400), np.uint8), -half, rows / 2 * cell, cell, crs=crs)
    with rasterio.open(path) as source:
        grid = GeoBox((rows, 400), source.transform, CRS(crs))
    longitude, latitude = lonlat(grid)
    west, south, east, north = drawn.bounds
    longitude = np.where(np.isfinite(longitude), longitude, 0.0)
    there = np.isfinite(latitude) & (latitude > south) & (latitude < north)
    there &= (longitude - west) % 360 < (east - west if east - west < 360 else 361)
    found = analyse(classes(path), question(drawn))
    assert found["pixels"] == pytest.approx(there.sum(), abs=2)  # edges are followed to 0.05 of a pixel
    assert found["area_km2"] == pytest.approx(cell_area_m2(grid)[there].sum() / 1e6, rel=0.01)


def test_a_map_across_the_seam_of_its_projection(tmp_path: Path, write_raster: Writer) -> None:
    path = write_raster(tmp_path / "map.tif", np.ones((30, 30), np.uint8), 19.5e6, -1.5e6, 5e4, crs="EPSG:3857")
    with pytest.raises(Refused, match="seam of its own projection"):
        analyse(classes(path), question(box(176, -20, 182, -14)))


def test_the_whole_earth(tmp_path: Path, write_raster: Writer) -> None:
    path = write_raster(tmp_path / "map.tif", np.ones((180, 360), np.uint8), -180, 90, 1)
    found = analyse(classes(path), question(box(-180, -90, 180, 90)))
    assert found["pixels"] == 180 * 360
    assert found["classes"][0]["area_km2"] == pytest.approx(510_065_622, rel=1e-6)  # WGS 84
    assert found["polygon_km2"] == pytest.approx(510_065_622, rel=1e-6)
    assert question(box(0, 0, 360, 90)).area_km2 == pytest.approx(510_065_622 / 2, rel=1e-6)


def test_polygons_have_their_area_on_the_ellipsoid() -> None:
    drawn = box(10, 50, 10.3, 50.2)
    exact = abs(Geod(ellps="WGS84").geometry_area_perimeter(drawn)[0]) / 1e6
    assert question(drawn).area_km2 == pytest.approx(exact, rel=1e-4)
    assert question(drawn, box(20, 50, 20.3, 50.2)).area_km2 == pytest.approx(2 * exact, rel=1e-4)


def test_smooth_scales_are_interpolated() -> None:
    from rasterio.transform import Affine

    for size in ((1, 5000), (300, 301), (64, 65)):
        grid = GeoBox(size, Affine(1000, 0, 1.5e6, 0, -1000, 9.0e6), CRS("EPSG:3857"))
        assert cell_areas(grid) == pytest.approx(cell_area_m2(grid), rel=3e-5)


def test_an_area_beside_or_between_the_pixels_says_so(tmp_path: Path, write_raster: Writer) -> None:
    path = write_raster(tmp_path / "map.tif", np.ones((10, 10), np.uint8), 0, 10, 1)
    assert "outside of this layer" in analyse(classes(path), question(box(50, 0, 51, 1)))["note"]
    between = analyse(classes(path), question(box(1.9, 1.9, 2.1, 2.1)))
    assert "No pixel centre" in between["note"]
    assert (between["pixels"], between["nodata_share"], between["classes"][0]["share"]) == (0, None, None)
    empty = write_raster(tmp_path / "empty.tif", np.zeros((10, 10), np.uint8), 0, 10, 1, nodata=0)
    nothing = analyse(classes(empty), question(box(1, 1, 9, 9)))
    assert (nothing["nodata_share"], nothing["note"]) == (1.0, "The layer has no data in the area.")
    blank = write_raster(tmp_path / "h.tif", np.full((10, 10), np.nan, np.float32), 0, 10, 1)
    assert analyse(heights(blank), question(box(1, 1, 9, 9)))["statistics"] is None
    single = write_raster(tmp_path / "one.tif", np.ones((1, 1), np.uint8), 0, 10, 1)
    assert analyse(classes(single), question(box(-5, 5, 5, 15)))["pixels"] == 1


def test_every_stored_block_is_read_once(tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"tiled": True, "blockxsize": 128, "blockysize": 128}
    path = write_raster(tmp_path / "map.tif", np.ones((2100, 1500), np.uint8), 10, 50, 0.001, **options)
    monkeypatch.setattr("swath.serve.zones.READ_PIXELS", 2**17)
    from swath.serve.zones import blocks

    found = zone(classes(path), MultiPolygon([box(10.0505, 48.5, 11.47, 49.95)]), 2**24)
    assert found is not None
    seen = [
        (row, column)
        for block in blocks(found)
        for row in range(block.window.row_off // 128, (block.window.row_off + block.window.height - 1) // 128 + 1)
        for column in range(block.window.col_off // 128, (block.window.col_off + block.window.width - 1) // 128 + 1)
    ]
    assert len(seen) == len(set(seen)) == 12 * 12


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, write_raster: Writer) -> Iterator[TestClient]:
    root = tmp_path_factory.mktemp("areas")
    data = numbers((400, 400))
    data[100:300, 100:300] = np.where(np.arange(200) < 100, 1, 2)
    write_raster(root / "secret_name.tif", data, 14.9, 45.3, 0.001, nodata=0)
    write_raster(root / "h.tif", np.arange(160_000, dtype=np.float32).reshape(400, 400), 14.9, 45.3, 0.001)
    picture = np.ones((3, 10, 10), np.uint8)
    write_raster(root / "picture.tif", picture, 14.9, 45.3, 0.04)
    layers = [
        Layer(id="map", title="Map", path="secret_name.tif", kind="categorical", legend=LEGEND),
        Layer(id="heights", title="Heights", path="h.tif", kind="continuous", minimum=0, maximum=1e5, unit="m"),
        Layer(id="picture", title="Picture", path="picture.tif", kind="colour"),
    ]
    write_layers(root, layers, "Areas")
    with TestClient(create_app(root), base_url="http://127.0.0.1") as client:
        yield client


def test_the_three_questions_over_http(client: TestClient) -> None:
    asked = {
        "layer": "map",
        "area": {"type": "Feature", "properties": None, "geometry": mapping(box(15.0001, 45.0001, 15.1999, 45.1999))},
    }
    found = client.post("/analyse", json=asked).json()
    assert [row["pixels"] for row in found["classes"]] == [20_000, 20_000]
    assert found["classes"][0]["colour"] == "#117733"
    clipped = client.post("/clip", json=asked)
    assert clipped.headers["content-disposition"] == 'attachment; filename="map_area.tif"'
    with MemoryFile(clipped.content) as memory, memory.open() as source:
        assert (source.shape, source.nodata, source.crs.to_epsg()) == ((200, 200), 0, 4326)
        assert [int((source.read(1) == value).sum()) for value in (1, 2)] == [20_000, 20_000]
        assert "forest" in source.tags()["SWATH_LEGEND"]
    outlines = client.post("/polygons", json=asked)
    assert outlines.headers["content-type"].startswith("application/geo+json")
    features = outlines.json()["features"]
    assert [(row["properties"]["name"], row["properties"]["pixels"]) for row in features] == [
        ("forest", 20_000),
        ("barren", 20_000),
    ]
    for feature, row in zip(features, found["classes"], strict=True):
        assert feature["properties"]["area_km2"] == pytest.approx(row["area_km2"])
        assert shapely.is_ccw(shapely.geometry.shape(feature["geometry"]).exterior)


def test_the_clip_of_a_polygon_has_no_data_outside_of_it(client: TestClient) -> None:
    drawn = Polygon([(15.0003, 45.0004), (15.1507, 45.0506), (15.0508, 45.1509)])
    answer = client.post("/clip", json={"layer": "heights", "area": mapping(drawn)})
    with MemoryFile(answer.content) as memory, memory.open() as source:
        data = source.read(1)
        grid = GeoBox(source.shape, source.transform, "EPSG:4326")
    assert (np.isfinite(data) == shapely.contains_xy(drawn, *lonlat(grid))).all()


def test_polygons_across_the_antimeridian_are_cut(tmp_path: Path, write_raster: Writer) -> None:
    from swath.serve.download import polygons

    path = write_raster(tmp_path / "map.tif", np.ones((20, 40), np.uint8), 160, 10, 1)
    (feature,) = polygons(classes(path), question(box(170.2, -5.2, 190.2, 5.2)))["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    parts = sorted(shapely.geometry.shape(feature["geometry"]).geoms, key=lambda part: part.bounds)
    assert [part.bounds for part in parts] == [(-180, -5, -170, 5), (170, -5, 180, 5)]


def test_polygons_of_any_projection_add_up_to_the_classes(tmp_path: Path, write_raster: Writer) -> None:
    from swath.serve.download import polygons

    path = write_raster(tmp_path / "map.tif", numbers((90, 80)), 500_000, 5_000_000, 100, crs="EPSG:32633", nodata=0)
    asked = question(DRAWN)
    features = polygons(classes(path), asked)["features"]
    for row in analyse(classes(path), asked)["classes"]:
        mine = [
            item["properties"]
            for item in features
            if item["properties"]["name"] == row["name"] or (row["value"] is None and item["properties"]["value"] == 9)
        ]
        assert sum(item["pixels"] for item in mine) == row["pixels"]
        assert sum(item["area_km2"] for item in mine) == pytest.approx(row["area_km2"])
    outlines = [shapely.geometry.shape(item["geometry"]) for item in features]
    measured = sum(abs(Geod(ellps="WGS84").geometry_area_perimeter(part)[0]) for part in outlines) / 1e6
    assert measured == pytest.approx(sum(item["properties"]["area_km2"] for item in features), rel=0.005)


@pytest.mark.parametrize(
    ("address", "layer", "area", "status", "sentence"),
    [
        ("/analyse", "picture", box(15, 45, 15.1, 45.1), 422, "colour picture"),
        ("/analyse", "maps", box(15, 45, 15.1, 45.1), 404, "There is no layer 'maps'. Known layers: map"),
        ("/polygons", "heights", box(15, 45, 15.1, 45.1), 422, "has no classes"),
        ("/polygons", "map", box(50, 45, 51, 46), 422, "outside of this layer"),
        ("/clip", "map", box(50, 45, 51, 46), 422, "outside of this layer"),
        ("/clip", "map", box(15.00061, 45.00061, 15.00069, 45.00069), 422, "no data in the area"),
    ],
)
def test_questions_without_an_answer(
    client: TestClient, address: str, layer: str, area: Polygon, status: int, sentence: str
) -> None:
    answer = client.post(address, json={"layer": layer, "area": mapping(area)})
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_downloads_that_are_too_large(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"layer": "map", "area": mapping(box(14, 45, 15.2, 45.2))}
    monkeypatch.setattr("swath.serve.download.MAX_CLIP_BYTES", 1000)
    monkeypatch.setattr("swath.serve.download.MAX_POLYGONS", 10)
    for address, words in (("/clip", "Choose a smaller area"), ("/polygons", "more than 10 polygons")):
        answer = client.post(address, json=asked)
        assert answer.status_code == 413
        assert words in answer.json()["error"]


def test_the_file_itself_by_parts(client: TestClient) -> None:
    whole = client.get("/layers/map/download")
    assert whole.headers["content-disposition"] == 'attachment; filename="map.tif"'
    assert (whole.headers["accept-ranges"], whole.headers["content-type"]) == ("bytes", "image/tiff")
    with rasterio.open(io.BytesIO(whole.content)) as source:
        assert source.shape == (400, 400)
    part = client.get("/layers/map/download", headers={"range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    assert client.get("/layers/map/download", headers={"range": f"bytes={len(whole.content)}-"}).status_code == 416
    head = client.head("/layers/map/download")
    assert (head.content, int(head.headers["content-length"])) == (b"", len(whole.content))
    assert client.get("/layers/no/download").status_code == 404


def asked(area: Any) -> bytes:
    return json.dumps({"layer": "map", "area": area}).encode()


def of(kind: str, coordinates: Any) -> bytes:
    return asked({"type": kind, "coordinates": coordinates})


SQUARE = [[[0, 0], [1, 0], [1, 1]]]
DIGITS = "1" + "0" * 400
BAD_QUESTIONS = [
    (b"", 422, "not JSON"),
    (b"\xff\xfe", 422, "not JSON"),
    (b"[" * 100_000, 422, "not JSON"),
    (b'{"layer": "map", "area": NaN}', 422, "not JSON"),
    (b"1" * 5000, 422, "not JSON"),
    (b"[]", 422, "two fields"),
    (b'{"layer": "map"}', 422, "two fields"),
    (b'{"layer": "map", "area": null, "url": "http://127.0.0.1/"}', 422, "'url' is unknown"),
    (b'{"layer": 3, "area": null}', 422, "as text"),
    (asked(None), 422, "Polygon or MultiPolygon"),
    (asked({"type": ["Polygon"]}), 422, "Polygon or MultiPolygon"),
    (asked({"type": "Feature"}), 422, "Polygon or MultiPolygon"),
    (of("Point", [0, 0]), 422, "'Point'"),
    (asked({"type": "Polygon"}), 422, "no coordinates"),
    (of("Polygon", []), 422, "no coordinates"),
    (of("Polygon", [[]]), 422, "empty"),
    (of("Polygon", "abc"), 422, "no coordinates"),
    (of("MultiPolygon", []), 422, "no coordinates"),
    (asked(ring((0, 0), (1, 1), (0, 0))), 422, "three different corners"),
    (asked(ring((0, 0), (1, 1), (2, 2))), 422, "not a proper polygon|on one line"),
    (asked(ring((0, 0), (1, 1), (1, 0), (0, 1))), 422, "Self-intersection"),
    (asked(ring((0, 0), (1, 91), (1, 0))), 422, "latitude 91"),
    (asked(ring((0, 0), (541, 1), (1, 0))), 422, "longitude 541"),
    (asked(ring((-200, 0), (200, 1), (1, 2))), 422, "degrees wide"),
    (of("Polygon", [[["a", 0], [1, 1], [1, 0]]]), 422, "must be numbers"),
    (of("Polygon", [[[True, 0], [1, 1], [1, 0]]]), 422, "must be numbers"),
    (asked(ring((0, 0), (1, 1), (1, 0))).replace(b"0, 0", b"1e999, 0"), 422, "finite"),
    (asked(ring((0, 0), (1, 1), (1, 0))).replace(b"0, 0", DIGITS.encode() + b", 0"), 422, "finite"),
    (of("Polygon", [[[0], [1, 1], [1, 0]]]), 422, "longitude and latitude"),
    (asked(ring(*[(n / 1e5, 0.0) for n in range(MAX_VERTICES + 1)])), 413, "corners"),
    (of("MultiPolygon", [SQUARE, SQUARE]), 422, "not a proper polygon"),
]
CONTENT = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "coordinates", "geometry"]),
            inner | st.sampled_from(["Polygon", "MultiPolygon", "Feature"]),
            max_size=3,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("body", "status", "sentence"), BAD_QUESTIONS)
def test_bad_questions_get_a_sentence(client: TestClient, body: bytes, status: int, sentence: str) -> None:
    import re

    for address in ("/analyse", "/clip", "/polygons"):
        answer = client.post(address, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == status, answer.text
        assert re.search(sentence, answer.json()["error"])


@settings(max_examples=150, deadline=None)
@given(CONTENT)
def test_any_content_is_a_question_or_refused(content: Any) -> None:
    try:
        body = json.dumps({"layer": "map", "area": content}).encode("utf-8", "replace")
    except ValueError:
        return
    try:
        assert read_question(body).area.area > 0
    except Refused as refusal:
        assert 400 <= refusal.status < 500
        assert str(refusal).endswith(".")


def test_estimates_beside_a_map(tmp_path: Path, map_directory: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(map_directory, root)
    fine = {
        "map": "classes.tif",
        "method": "stratified",
        "confidence": 0.95,
        "samples": 640,
        "overall_accuracy": {"value": 0.9, "low": 0.88, "high": 0.92},
        "classes": [
            {
                "name": "forest",
                "mapped_km2": 10.0,
                "area_km2": 11.0,
                "low_km2": 9.5,
                "high_km2": 12.5,
                "users_accuracy": {"value": 0.9, "low": 0.8, "high": 1.0},
                "producers_accuracy": None,
            }
        ],
    }
    (root / "classes.areas.json").write_text(json.dumps(fine))
    damaged = [
        b"",
        b"{",
        b"[]",
        b'{"classes": 3}',
        b'{"classes": [{"name": "a", "area_km2": NaN}]}',
        b"\xff",
        b" " * 2**21,
    ]
    with TestClient(create_app(root), base_url="http://127.0.0.1") as client:
        told = {layer["id"]: layer["estimates"] for layer in client.get("/api/layers").json()["layers"]}
        assert told == {"classes": True, "swapped": False, "score": False, "ocean": False}
        answer = client.get("/layers/classes/estimates")
        assert answer.json()["classes"][0]["area_km2"] == 11.0
        assert ".tif" not in answer.text
        assert client.get("/layers/swapped/estimates").status_code == 404
        for content in damaged:
            (root / "classes.areas.json").write_bytes(content)
            assert "damaged" in client.get("/layers/classes/estimates").json()["problem"]
        (tmp_path / "away.json").write_text(json.dumps(fine))
        (root / "swapped.areas.json").symlink_to(tmp_path / "away.json")
        assert client.get("/layers/swapped/estimates").status_code == 404
