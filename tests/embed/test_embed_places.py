"""Points and polygons on a grid: reprojected, kept apart where they contradict, refused where they lie elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from embedded import GRID, SIDE, place, points, square
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, Point

from swath.embed.places import cells_of, labelled, lonlat_of_cells, point_on, read_places, same_places
from swath.errors import InputError


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3035"])
def test_points_fall_on_their_cells_whatever_their_crs(crs: str) -> None:
    found = cells_of(points([(0, 0), (7, 30), (39, 39)], ["a", "b", "a"], crs), GRID, "p")
    assert list(zip(found.rows, found.columns, found.objects, strict=True)) == [(0, 0, 0), (7, 30, 1), (39, 39, 2)]
    assert found.outside == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1))
def test_a_cell_comes_back_from_its_longitude_and_latitude(row: int, column: int) -> None:
    lonlat = lonlat_of_cells(np.array([row]), np.array([column]), GRID)[0]
    assert point_on((lonlat[0], lonlat[1]), GRID, "map") == (row, column)


def test_what_lies_outside_is_left_out_and_counted_and_all_outside_is_refused() -> None:
    table = points([(3, 3), (-1, 3), (3, SIDE)], ["a", "b", "c"])
    found = cells_of(table, GRID, "p")
    assert (len(found), found.outside) == (1, 2)
    with pytest.raises(InputError, match=r"All of 'p' lies outside of the scene: it covers x .* the scene x"):
        cells_of(points([(-5, 3), (3, 90)], ["a", "b"]), GRID, "p")
    with pytest.raises(InputError, match=r"not on 'map'.*longitude 9\.\d+ to 9\.\d+.*longitude first"):
        point_on((48.7, 9.0), GRID, "map")


def test_polygons_cover_cell_centres_and_the_smallest_one_still_counts() -> None:
    shapes = [square(2, 2, 3), Point(500_203, 5_399_797).buffer(1)]
    table = gpd.GeoDataFrame({"class": ["a", "b"]}, geometry=shapes, crs="EPSG:32632")
    found = labelled(table, GRID, None, "p")
    cells = set(zip(found.cells.rows.tolist(), found.cells.columns.tolist(), found.numbers.tolist(), strict=True))
    assert cells == {(row, column, 0) for row in (2, 3, 4) for column in (2, 3, 4)} | {(20, 20, 1)}
    thinned = labelled(table, GRID, "class", "p", most=4)
    assert np.bincount(thinned.numbers).tolist() == [4, 1]


def test_cells_that_two_classes_claim_are_left_out() -> None:
    shapes = [square(0, 0, 4), square(2, 2, 4)]
    table = gpd.GeoDataFrame({"class": ["a", "b"]}, geometry=shapes, crs="EPSG:32632")
    found = labelled(table, GRID, "class", "p")
    assert np.bincount(found.numbers).tolist() == [12, 12]
    assert found.conflicts == 8
    same = labelled(points([(1, 1), (1, 1), (9, 9)], ["a", "a", "b"]), GRID, "class", "p")
    assert len(same.cells) == 2 and same.conflicts == 1


def test_classes_are_text_and_one_class_is_not_enough() -> None:
    assert labelled(points([(1, 1), (2, 2)], [1.0, 2.0]), GRID, "class", "p").classes == ("1", "2")
    with pytest.raises(InputError, match=r"all of the class 'a'.*at least two.*whole file has 2"):
        labelled(points([(1, 1), (2, 2), (90, 2)], ["a", "a", "b"]), GRID, "class", "p")
    with pytest.raises(InputError, match="1 of 2 objects in 'p' have no class"):
        labelled(points([(1, 1), (2, 2)], ["a", None]), GRID, "class", "p")
    table = points([(1, 1), (2, 2)], ["a", "b"]).rename(columns={"class": "x"}).assign(y=1)
    with pytest.raises(InputError, match=r"several columns.*x, y.*--column"):
        labelled(table, GRID, None, "p")
    with pytest.raises(InputError, match="no column 'z'"):
        labelled(table, GRID, "z", "p")


def test_files_without_crs_of_lines_or_of_nothing_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file.*points.geojson"):
        (tmp_path / "points.geojson").write_text("{}")
        read_places(tmp_path / "pionts.geojson")
    table = gpd.GeoDataFrame({"class": ["a"]}, geometry=[place(1, 1)])
    table.to_parquet(tmp_path / "free.parquet")
    with pytest.raises(InputError, match="no coordinate reference system"):
        read_places(tmp_path / "free.parquet")
    line = gpd.GeoDataFrame({"class": ["a"]}, geometry=[LineString([(0, 0), (1, 1)])], crs="EPSG:4326")
    line.to_file(tmp_path / "line.geojson")
    with pytest.raises(InputError, match="LineString"):
        read_places(tmp_path / "line.geojson")
    empty = {"type": "FeatureCollection", "features": []}
    (tmp_path / "empty.geojson").write_text(json.dumps(empty))
    with pytest.raises(InputError):
        read_places(tmp_path / "empty.geojson")


def test_cells_of_another_grid_are_found_by_place() -> None:
    coarse = GRID.zoom_out(4)
    cells = cells_of(points([(0, 0), (5, 9)], ["a", "b"]), GRID, "p")
    there = same_places(cells, GRID, coarse)
    assert there.rows.tolist() == [0, 1] and there.columns.tolist() == [0, 2]
    away = same_places(cells, GRID, coarse.translate_pix(100, 0))
    assert away.rows.tolist() == [-1, -1]
