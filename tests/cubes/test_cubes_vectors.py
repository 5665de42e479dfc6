"""Polygons to labels: classes, overlaps, reprojection, and the sentence for each bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine
from shapely.geometry import Point, Polygon, box

from swath import cubes
from swath.errors import ConfigError, InputError

Box = Callable[..., GeoBox]
UTM = "EPSG:32633"
GRID = GeoBox((10, 10), Affine(10, 0, 500_000, 0, -10, 5_000_000), UTM)
LEGEND = {"forest": 0, "water": 4}


def pixels(top: int, left: int, bottom: int, right: int) -> Polygon:
    """The rectangle of pixel rows top..bottom-1 and columns left..right-1."""
    return box(500_000 + 10 * left, 5_000_000 - 10 * bottom, 500_000 + 10 * right, 5_000_000 - 10 * top)


def table(*rows: tuple[object, object], crs: str | None = UTM) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"class": [value for value, _ in rows]}, geometry=[shape for _, shape in rows], crs=crs)


def test_each_pixel_takes_the_class_over_its_centre() -> None:
    labels = cubes.rasterise(
        table(("forest", pixels(0, 0, 2, 3)), ("water", pixels(5, 5, 6, 6))), GRID, column="class", legend=LEGEND
    )
    expected = np.full((10, 10), -100)
    expected[0:2, 0:3] = 0
    expected[5, 5] = 4
    assert labels.dtype == np.int16
    assert labels.dims == ("y", "x")
    np.testing.assert_array_equal(labels.values, expected)
    assert labels.odc.geobox == GRID
    assert labels.attrs["conflicts"] == 0


@given(st.data())
@settings(deadline=None, max_examples=25)
def test_labels_do_not_depend_on_the_order_of_polygons(data: st.DataObject) -> None:
    corner = st.integers(0, 8)
    rows = []
    for _ in range(data.draw(st.integers(1, 6))):
        top, left = data.draw(corner), data.draw(corner)
        height, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
        rows.append((data.draw(st.sampled_from(sorted(LEGEND))), pixels(top, left, top + height, left + width)))
    shuffled = data.draw(st.permutations(rows))
    first = cubes.rasterise(table(*rows), GRID, column="class", legend=LEGEND)
    second = cubes.rasterise(table(*shuffled), GRID, column="class", legend=LEGEND)
    np.testing.assert_array_equal(first.values, second.values)
    assert set(np.unique(first.values)) <= {-100, 0, 4}


def test_overlapping_classes_are_ignored_and_counted() -> None:
    labels = cubes.rasterise(
        table(("forest", pixels(0, 0, 4, 4)), ("water", pixels(2, 2, 6, 6))), GRID, column="class", legend=LEGEND
    )
    assert labels.attrs["conflicts"] == 4
    assert (labels.values[2:4, 2:4] == -100).all()
    assert (labels.values == 0).sum() == (labels.values == 4).sum() == 12


def test_polygons_are_reprojected_and_files_are_read(tmp_path: Path) -> None:
    there = table(("forest", pixels(0, 0, 5, 5))).to_crs("EPSG:4326")
    there.to_file(tmp_path / "p.geojson")
    there.to_parquet(tmp_path / "p.parquet")
    for name in ("p.geojson", "p.parquet"):
        labels = cubes.rasterise(tmp_path / name, GRID, column="class", legend=LEGEND)
        assert (labels.values == 0).sum() == 25
        assert labels.attrs["source"].endswith(name)


def test_ids_name_the_row_of_the_table() -> None:
    ids = cubes.rasterise_ids(table(("a", pixels(0, 0, 1, 1)), ("b", None), ("b", pixels(1, 1, 3, 3))), GRID)
    assert ids.dtype == np.int32
    assert ids.values[0, 0] == 0
    assert (ids.values[1:3, 1:3] == 2).all()
    assert (ids.values == -1).sum() == 95


def test_numbers_are_classes_too() -> None:
    labels = cubes.rasterise(table((3.0, pixels(0, 0, 1, 1))), GRID, column="class", legend={"3": 1})
    assert labels.values[0, 0] == 1


def test_classes_in_a_column_are_listed() -> None:
    assert cubes.vector_classes(table(("b", Point(0, 0)), ("a", Point(0, 0)), (None, Point(0, 0))), "class") == [
        "a",
        "b",
    ]


def test_one_pixel_grid() -> None:
    tiny = GeoBox((1, 1), Affine(10, 0, 500_000, 0, -10, 5_000_000), UTM)
    assert cubes.rasterise(table(("water", pixels(0, 0, 9, 9))), tiny, column="class", legend=LEGEND).values == [[4]]


def test_class_outside_of_the_legend_tells_value_and_count(tmp_path: Path) -> None:
    bad = table(("forest", pixels(0, 0, 1, 1)), ("swamp", pixels(1, 1, 2, 2)), ("swamp", pixels(2, 2, 3, 3)))
    bad.to_file(tmp_path / "bad.gpkg")
    with pytest.raises(InputError, match=r"'class' of '.*bad\.gpkg' holds 'swamp' \(2 times\).*only forest, water"):
        cubes.rasterise(tmp_path / "bad.gpkg", GRID, column="class", legend=LEGEND)


@pytest.mark.parametrize(("empty", "said"), [([None], "1 polygon has"), ([None, float("nan")], "2 polygons have")])
def test_polygons_without_a_class(empty: list[object], said: str) -> None:
    shapes = table(("forest", pixels(0, 0, 1, 1)), *((value, pixels(2, 2, 3, 3)) for value in empty))
    with pytest.raises(InputError, match=rf"{said} no class in column 'class'.*give them one or drop them"):
        cubes.rasterise(shapes, GRID, column="class", legend=LEGEND)


def test_points_are_no_labels() -> None:
    mixed = table(
        ("forest", pixels(0, 0, 1, 1)), ("water", Point(500_005, 4_999_995)), ("water", Point(500_015, 4_999_995))
    )
    for function in (
        lambda: cubes.rasterise(mixed, GRID, column="class", legend=LEGEND),
        lambda: cubes.rasterise_ids(mixed, GRID),
    ):
        with pytest.raises(InputError, match=r"holds Point \(2\), Polygon \(1\).*polygons only"):
            function()


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_no_overlap_prints_both_extents(crs: str) -> None:
    far = table(("forest", box(700_000, 4_000_000, 700_100, 4_000_100))).to_crs(crs)
    sentence = (
        r"do not overlap: the polygons cover x 7000\d\d to 7001\d\d, y 4e\+06 to .*, the grid x 500000 to 500100, y"
    )
    for function in (
        lambda: cubes.rasterise(far, GRID, column="class", legend=LEGEND),
        lambda: cubes.rasterise_ids(far, GRID),
    ):
        with pytest.raises(InputError, match=sentence):
            function()


def test_bad_tables(tmp_path: Path) -> None:
    good = table(("forest", pixels(0, 0, 1, 1)))
    with pytest.raises(InputError, match=r"has no column 'clas'.*class"):
        cubes.rasterise(good, GRID, column="clas", legend=LEGEND)
    with pytest.raises(InputError, match="declares no coordinate reference system"):
        cubes.rasterise(table(("forest", pixels(0, 0, 1, 1)), crs=None), GRID, column="class", legend=LEGEND)
    with pytest.raises(InputError, match="holds no polygons"):
        cubes.rasterise(good.iloc[:0], GRID, column="class", legend=LEGEND)
    with pytest.raises(ConfigError, match="'forest' has the label -100"):
        cubes.rasterise(good, GRID, column="class", legend={"forest": -100})
    (tmp_path / "p.geojson").write_text("no vectors")
    with pytest.raises(InputError, match=r"p\.geojson' cannot be read as polygons"):
        cubes.rasterise(tmp_path / "p.geojson", GRID, column="class", legend=LEGEND)
    with pytest.raises(InputError, match=r"There is no file '.*q\.geojson'.*p\.geojson"):
        cubes.vector_classes(tmp_path / "q.geojson", "class")
