"""Drawing a sample: allocation, exact inclusion, independence of reading order; reading it back and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import Point, box

from swath.cubes import Legend, write_cog
from swath.errors import ConfigError, InputError
from swath.grids import cell_area_m2
from swath.judge import area, frame, labelled, sample
from swath.judge.frame import Frame, survey

UTM = GeoBox((60, 50), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
GLOBE = GeoBox.from_bbox((-180, -90, 180, 90), crs="EPSG:4326", shape=(18, 36))
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(values: np.ndarray, geobox: GeoBox = UTM, name: str = "map.tif", legend: bool = True) -> Path:
        classes = Legend.of("water", "forest", "field") if legend else None
        path: Path = write_cog(
            tmp_path / name, values.astype(np.uint8)[None], geobox, names=["class"], nodata=255, legend=classes
        )
        return path

    return write


def strips(geobox: GeoBox = UTM) -> np.ndarray:
    """A tenth water, a third or so forest, the rest field; no data in one corner."""
    height, width = geobox.shape.yx
    values = np.full((height, width), 2)
    values[:, : width // 2] = 1
    values[:, : width // 10] = 0
    values[:3, -3:] = 255
    return values


def test_survey_counts_pixels_and_areas(write: Write) -> None:
    found = survey(write(strips()))
    assert found.classes.pixels == {0: 300, 1: 1200, 2: 1491}
    assert found.classes.km2[0] == pytest.approx(300 * 1e-4)
    assert found.stratum_names == {0: "water", 1: "forest", 2: "field"}
    globe = survey(write(np.zeros((18, 36)), GLOBE))
    assert globe.km2 == pytest.approx(510_065_622, rel=1e-6)


def test_survey_of_one_pixel_and_without_legend(write: Write) -> None:
    one = GeoBox((1, 1), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    found = survey(write(np.full((1, 1), 7), one, legend=False))
    assert found.class_names == {7: "7"} and found.km2 == pytest.approx(1e-4)
    table = sample.draw_sample(found, {"7": 5})
    assert table[["row", "column"]].to_numpy().tolist() == [[0, 0]]


def test_areas_follow_the_scale_of_the_projection(write: Write) -> None:
    mercator = GeoBox((4, 4), Affine(1000, 0, 0, 0, -1000, 8_399_737.9), "EPSG:3857")  # 60 degrees north
    assert survey(write(np.zeros((4, 4)), mercator)).km2 == pytest.approx(16 * 0.25, rel=0.01)


@pytest.mark.parametrize("width", [1000, 1100])
def test_areas_at_the_edge_of_the_earth(width: int) -> None:
    cell = 36_080_192 / width
    box = GeoBox((width // 2, width), Affine(cell, 0, -18_040_096, 0, -cell, 9_020_048), "ESRI:54009")
    areas = frame.PixelAreas(box).window((0, width // 2), (0, width))
    exact = cell_area_m2(box) / 1e6
    assert (exact > 0).sum() < exact.size
    assert np.abs(areas - exact).max() < 0.01 * exact.max()


def test_design_changes_with_pixels_names_and_place(write: Write) -> None:
    values = strips()
    designs = {survey(write(values)).design, survey(write(values, legend=False, name="b.tif")).design}
    values[30, 30] = 0
    designs.add(survey(write(values, name="c.tif")).design)
    moved = GeoBox((60, 50), Affine(10, 0, 500_010, 0, -10, 5_000_000), "EPSG:32633")
    designs.add(survey(write(strips(), moved, name="d.tif")).design)
    assert len(designs) == 4
    again = write(strips(), name="e.tif")
    assert survey(again).design in designs


@pytest.mark.parametrize("problem", ["float", "bands", "empty"])
def test_what_is_no_class_map(tmp_path: Path, write: Write, problem: str) -> None:
    path = tmp_path / "odd.tif"
    if problem == "empty":
        write(np.full((60, 50), 255), name="odd.tif")
    else:
        shape = (2 if problem == "bands" else 1, 60, 50)
        dtype = "float32" if problem == "float" else "uint8"
        write_cog(path, np.ones(shape, dtype), UTM, names=[str(number) for number in range(shape[0])])
    with pytest.raises(InputError, match=r"class|no data"):
        survey(path)


# allocation


def test_allocation_by_hand() -> None:
    areas = [2.0, 1.5, 32.0, 64.5]
    assert sample.allocate(640, areas, how="equal").tolist() == [160] * 4
    assert sample.allocate(200, areas, how="proportional").tolist() == [4, 3, 64, 129]
    # 75 for each rare class, the other 490 by area: 490 * 32 / 96.5 = 162.49 and 327.51
    assert sample.allocate(640, areas, minimum=75).tolist() == [75, 75, 162, 328]
    accuracy = [0.5, 0.9]  # S = 0.5 and 0.3
    assert sample.allocate(80, [1.0, 1.0], how="neyman", accuracy=accuracy).tolist() == [50, 30]


def test_sample_size_of_the_published_example() -> None:
    """Olofsson et al. (2014), section 5.1.1: conjectured accuracies, S(O) = 0.01, n = 641."""
    assert sample.sample_size([0.02, 0.015, 0.32, 0.645], [0.7, 0.6, 0.9, 0.95], 0.01) == pytest.approx(641, abs=1)


@given(
    areas=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8),
    extra=st.integers(0, 500),
    minimum=st.integers(2, 40),
    how=st.sampled_from(["good practice", "proportional", "equal", "neyman"]),
)
def test_allocation_adds_up_and_starves_nobody(areas: list[float], extra: int, minimum: int, how: str) -> None:
    number = minimum * len(areas) + extra
    counts = sample.allocate(number, areas, how=how, minimum=minimum)  # type: ignore[arg-type]
    assert counts.sum() == number
    assert counts.min() >= (minimum if how == "good practice" else 2)


def test_too_few_points_for_the_strata() -> None:
    with pytest.raises(ConfigError, match=r"100 points for 4 strata.*200: 50 for each"):
        sample.allocate(100, [1, 1, 1, 1])


# drawing


def test_the_draw_does_not_depend_on_the_order_of_blocks(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "BLOCK", 16)
    found = survey(write(strips()))
    counts = {"water": 20, "forest": 30, "field": 40}
    blocks = found.blocks()
    first = sample._draw(found, counts, 3, blocks)
    second = sample._draw(found, counts, 3, blocks[::-1])
    assert len(blocks) == 16
    for value in first:
        for one, other in zip(first[value], second[value], strict=True):
            np.testing.assert_array_equal(one, other)


def test_drawn_points_lie_in_their_strata_once(write: Write) -> None:
    found = survey(write(strips()))
    table = sample.draw_sample(found, {"water": 20, "forest": 30, "field": 40}, seed=0)
    assert table["stratum"].value_counts().to_dict() == {"field": 40, "forest": 30, "water": 20}
    assert not table.duplicated(["row", "column"]).any()
    values = strips()[table["row"], table["column"]]
    assert [found.class_names[value] for value in values] == table["map_class"].tolist()
    assert (table["reference"] == "").all() and set(table["design"]) == {found.design}
    assert table["stratum"].tolist() != sorted(table["stratum"])  # not class by class
    again = sample.draw_sample(found, {"water": 20, "forest": 30, "field": 40}, seed=0)
    other = sample.draw_sample(found, {"water": 20, "forest": 30, "field": 40}, seed=1)
    assert table.equals(again) and not table.equals(other)


def test_inclusion_is_proportional_to_area(write: Write) -> None:
    """Rows of a globe: a pixel at 5 degrees is eleven times that at 85; 100 draws of 60 of 648 pixels."""
    found = survey(write(np.zeros((18, 36)), GLOBE))
    counts = np.zeros(18)
    draws = 100
    for seed in range(draws):
        _, rows, _, _ = sample._draw(found, {"water": 60}, seed, found.blocks())[0]
        counts += np.bincount(rows, minlength=18)
    areas = frame.PixelAreas(GLOBE).window((0, 18), (0, 1))[:, 0]
    expected = draws * 60 * areas / areas.sum()
    # Without replacement a row varies less than a Poisson count.
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert counts.sum() == draws * 60
    assert np.abs(counts - draws * 60 / 18).max() > 8 * np.sqrt(draws * 60 / 18)  # not pixel by pixel alike


def test_equal_pixels_are_drawn_alike(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "BLOCK", 5)
    small = GeoBox((6, 6), UTM.affine, UTM.crs)
    found = survey(write(np.ones((6, 6)), small))
    hits = np.zeros((6, 6))
    for seed in range(200):
        _, rows, columns, _ = sample._draw(found, {"forest": 12}, seed, found.blocks())[1]
        hits[rows, columns] += 1
    # Each pixel: binomial(200, 1/3), standard deviation 6.7.
    assert np.abs(hits - 200 / 3).max() < 4.5 * 6.7


def test_a_stratum_smaller_than_its_share_is_taken_whole(write: Write) -> None:
    values = np.ones((60, 50))
    values[0, :3] = 0
    found = survey(write(values))
    table = sample.draw_sample(found, {"water": 50, "forest": 50})
    assert table["stratum"].value_counts().to_dict() == {"forest": 50, "water": 3}
    with pytest.raises(ConfigError, match="woter"):
        sample.draw_sample(found, {"woter": 5})


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(0, 54))
def test_every_count_is_met(tmp_path_factory: pytest.TempPathFactory, seed: int, count: int) -> None:
    path = tmp_path_factory.getbasetemp() / "counts.tif"
    if not path.exists():
        write_cog(path, strips(GLOBE).astype(np.uint8)[None], GLOBE, names=["class"], nodata=255)
    found = survey(path)
    table = sample.draw_sample(found, {"0": count, "1": 2}, seed=seed)
    # The largest of the 54 pixels is 1.57 times the mean: at most 34 can be drawn in proportion to area, or all.
    assert (table["stratum"] == "0").sum() == (count if count <= 34 else 34 if count < 44 else 54)
    assert not table.duplicated(["row", "column"]).any()


# reading back


def labelled_sample(found: Frame, seed: int = 0) -> geopandas.GeoDataFrame:
    table = sample.draw_sample(found, {"water": 20, "forest": 30, "field": 40}, seed=seed)
    table["reference"] = table["map_class"]
    return table


@pytest.mark.parametrize("suffix", labelled.SUFFIXES)
def test_round_trip_and_estimate(write: Write, tmp_path: Path, suffix: str) -> None:
    path = write(strips())
    found = survey(path)
    table = labelled_sample(found)
    table.loc[:4, "reference"] = ["field", "2", " field ", "", None]
    where = labelled.write_sample(table, tmp_path / f"sample{suffix}")
    back = labelled.read_sample(where)
    joined = labelled.join(found, back, reference="reference", name="sample")
    assert joined.unlabelled == 2 and len(joined.mapped) == 88
    assert [joined.classes[number] for number in joined.reference[:3]] == ["field"] * 3
    result = area.estimate_map(found, joined)
    assert result.method == area.OLOFSSON and result.counts.sum() == 88
    assert sum(each.value for each in result.area) == pytest.approx(found.km2)
    assert any("2 points have no label" in note for note in result.notes)


def refuse(write: Write, tmp_path: Path, change: Callable[[pd.DataFrame], object], match: str) -> None:
    found = survey(write(strips()))
    table = labelled_sample(found)
    changed = change(table)
    table = table if changed is None else changed
    where = tmp_path / "sample.gpkg"
    table.to_file(where)
    with pytest.raises(InputError, match=match):
        labelled.join(found, labelled.read_sample(where), reference="reference", name="sample.gpkg")


def _set(column: str, value: object) -> Callable[[pd.DataFrame], None]:
    def change(table: pd.DataFrame) -> None:
        table.loc[:2, column] = value

    return change


def _elsewhere(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    table.loc[0, "geometry"] = Point(0.0, 0.0)
    return table


def _nodata(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    corner = geopandas.GeoSeries([Point(500_000 + 49.5 * 10, 5_000_000 - 5)], crs="EPSG:32633").to_crs(4326)[0]
    table.loc[0, ["row", "column"]] = [0, 49]
    table.loc[0, "geometry"] = corner
    return table


def _nudged(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    place = table.geometry[0]
    table.loc[0, "geometry"] = Point(place.x, place.y + (0.0002 if place.y < 45.15 else -0.0002))
    return table


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_set("reference", "woods"), r"'woods' \(3\).*nearest"),
        (_set("design", "map-other"), "map-other.*is map-"),
        (lambda table: table.drop(columns="design"), "nobody knows how it was drawn"),
        (lambda table: table.drop(columns="reference"), "no column 'reference'"),
        (lambda table: table.assign(reference=""), "None of the 90 points"),
        (lambda table: pd.concat([table, table.iloc[:2]]), "2 pixels more than once"),
        (lambda table: table.assign(geometry=table.buffer(0.01)), "Polygon"),
        (lambda table: table.assign(geometry=[None, *table.geometry[1:]]), "nothing"),
        (_elsewhere, "outside the map"),
        (_nodata, "no data"),
        (_nudged, "another pixel"),
    ],
)
@pytest.mark.filterwarnings("ignore:Geometry is in a geographic CRS")
def test_samples_that_do_not_fit(write: Write, tmp_path: Path, change: Callable, match: str) -> None:  # type: ignore[type-arg]
    refuse(write, tmp_path, change, match)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("none.gpkg", None, "There is no file"),
        ("bad.gpkg", b"not a package", "cannot be read"),
        ("bad.csv", b"id,lon\n1,2\n", "no column 'lat'"),
        ("gap.csv", b"id,lon,lat\n1,2,\n", "gaps in 'lat'"),
        ("empty.csv", b"id,lon,lat\n", "empty"),
        ("bad.geojson", b"{", "cannot be read"),
        ("zero.csv", b"", "cannot be read"),
    ],
)
def test_files_that_are_no_sample(tmp_path: Path, name: str, content: bytes | None, match: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        labelled.read_sample(tmp_path / name)


def test_own_points_need_a_word_and_may_count_from_zero_to_360(write: Write, tmp_path: Path) -> None:
    east = GeoBox.from_bbox((0, -90, 360, 90), crs="EPSG:4326", shape=(18, 36))
    values = np.ones((18, 36))
    values[:, 18:] = 2
    found = survey(write(values, east))
    points = [Point(5.0, 5.0), Point(15.0, 5.0), Point(-5.0, 5.0), Point(-15.0, 5.0)]
    seen = {"seen": ["forest", "forest", "field", "forest"], "row": [1, 2, 3, 4], "column": ["a", "b", "c", "d"]}
    table = geopandas.GeoDataFrame(seen, geometry=points, crs=4326)
    table.to_file(tmp_path / "own.geojson")
    back = labelled.read_sample(tmp_path / "own.geojson")
    with pytest.raises(InputError, match="--drawn-elsewhere"):
        labelled.join(found, back, reference="seen", name="own")
    joined = labelled.join(found, back, reference="seen", name="own", drawn_elsewhere=True)
    assert [joined.classes[number] for number in joined.mapped] == ["forest", "forest", "field", "field"]


def test_strata_other_than_the_classes(write: Write, tmp_path: Path) -> None:
    path = write(strips())
    halves = np.zeros((60, 50))
    halves[30:] = 1
    strata = write(halves, name="strata.tif", legend=False)
    found = survey(path, strata)
    table = sample.draw_sample(found, {"0": 30, "1": 30})
    table["reference"] = table["map_class"]
    where = labelled.write_sample(table, tmp_path / "s.csv")
    back = labelled.read_sample(where)
    result = area.estimate_map(found, labelled.join(found, back, reference="reference", name="s"))
    assert result.method == area.STEHMAN and set(result.per_stratum) == {"0", "1"}
    with pytest.raises(InputError, match="--strata"):
        labelled.join(survey(path), back, reference="reference", name="s")
    with pytest.raises(InputError, match="different grids"):
        survey(path, write(np.zeros((18, 36)), GLOBE, name="globe.tif"))
    halves[5, 5] = 255
    with pytest.raises(InputError, match="row 5, column 5"):
        survey(path, write(halves, name="hole.tif"))


def test_a_class_that_only_references_know(write: Write) -> None:
    values = strips()
    values[values == 0] = 1
    found = survey(write(values))
    table = sample.draw_sample(found, {"forest": 30, "field": 30})
    table["reference"] = table["map_class"]
    table.loc[:5, "reference"] = "water"
    result = area.estimate_map(found, labelled.join(found, table, reference="reference", name="s"))
    water = result.classes.index("water")
    assert result.mapped_km2[water] == 0 and result.area[water].value > 0
    assert np.isnan(result.users[water].value) and result.producers[water].value == 0


def test_memory_of_the_draw_is_that_of_the_sample(tmp_path: Path) -> None:
    """Kept points never exceed the sample and one block, however many blocks there are."""
    path = tmp_path / "large.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=4096, width=4096, count=1, dtype="uint8", crs="EPSG:32633",
        transform=UTM.affine, tiled=True, blockxsize=512, blockysize=512, compress="deflate", sparse_ok=True,
    ) as raster:  # fmt: skip
        raster.write(np.ones((1, 512, 512), np.uint8), window=((0, 512), (0, 512)))
    import tracemalloc

    tracemalloc.start()
    found = survey(path)
    sample.draw_sample(found, {"0": 100, "1": 100})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20
    assert box(*rasterio.open(path).bounds).area == pytest.approx(found.km2 * 1e6)
