"""Damaged and malicious vectors and tables."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_seeds import Bench, chip_set, polygons, split_table, survive, vectors

from swath import chips, cubes, judge, limits
from swath.errors import InputError, SwathError
from swath.types import Split

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    chip_set(folder)
    return folder / "chips"


def test_damaged_tables(bench: Callable[[str], Bench]) -> None:
    counts = survive(bench("table"), 60)
    assert min(counts.values()) > 5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gml", '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'),
        ("a.kml", '<kml xmlns="http://www.opengis.net/kml/2.2"><NetworkLink/></kml>'),
        ("a.vrt", "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer>"),
        (
            "a.geojson",
            '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read http://localhost/x"}',
        ),
        ("a.geojson", '{"type": "FeatureCollection", "x": {"type": "gdal_streamed_alg"}, "features": []}'),
        ("a.geojson", '{"a": 1}'),
        ("a.geojson", '{"type": "FeatureCollection", "features": ' + "[" * 100_000),
        ("a.csv", "class,WKT\n1,POINT(1 1)\n"),
        ("a.gpkg", "SQLite format 3\0" + "x" * 200),
        ("a.zip", "PK\x03\x04" + "x" * 100),
        ("a.parquet", "PAR1PAR1"),
        ("a.shp", ""),
    ],
)
def test_other_formats_are_not_tried(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        cubes.vector_classes(tmp_path / name, "class")


@pytest.mark.parametrize(
    "name", ["labels.gpkg", "labels.geojson", "labels.shp", "labels.zip", "labels.fgb", "labels.parquet"]
)
def test_the_known_formats_open(tmp_path: Path, name: str) -> None:
    vectors(tmp_path, name)
    assert cubes.vector_classes(tmp_path / name, "class") == ["land", "water"]


def test_sqlite_computes_nothing(tmp_path: Path) -> None:
    vectors(tmp_path, "labels.gpkg")
    endless = "WITH RECURSIVE c(fid, geom, class) AS (SELECT 1, NULL, 'a' UNION ALL SELECT fid + 1, geom, class FROM c)"
    with sqlite3.connect(tmp_path / "labels.gpkg") as base:
        base.execute(f"CREATE VIEW endless AS {endless} SELECT * FROM c")
        base.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('endless', 'features', 'e')"
        )
    base.close()
    with pytest.raises(InputError, match="'endless', which SQLite would compute"):
        cubes.vector_classes(tmp_path / "labels.gpkg", "class")


def test_zip_bombs_and_strange_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors(tmp_path, "labels.zip")
    shutil.copy(tmp_path / "labels.zip", tmp_path / "bomb.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", bytes(120 * 2**20))
    with pytest.raises(InputError, match="times its stored size"):
        cubes.vector_classes(tmp_path / "bomb.zip", "class")
    monkeypatch.setenv("SWATH_MAX_ZIP_BYTES", str(2**20))
    with pytest.raises(InputError, match="bytes in a zip archive"):
        cubes.vector_classes(tmp_path / "bomb.zip", "class")
    for member in ("b.vrt", "b.shp"):
        shutil.copy(tmp_path / "labels.zip", tmp_path / "odd.zip")
        with zipfile.ZipFile(tmp_path / "odd.zip", "a") as archive:
            archive.writestr(member, "x")
        with pytest.raises(InputError, match="one Shapefile and its side files"):
            cubes.vector_classes(tmp_path / "odd.zip", "class")


def test_more_features_than_bytes(tmp_path: Path) -> None:
    vectors(tmp_path, "labels.shp")
    with (tmp_path / "labels.dbf").open("r+b") as file:
        file.seek(4)
        file.write((2**31 - 1).to_bytes(4, "little"))
    with (tmp_path / "labels.shx").open("r+b") as file:
        file.seek(24)
        file.write((2**31 - 1).to_bytes(4, "big"))
    with pytest.raises(SwathError, match=r"Expected: .*What to do:"):
        cubes.vector_classes(tmp_path / "labels.shp", "class")


def test_parquet_that_declares_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split_table(tmp_path)
    pq.write_table(pa.table({"id": pa.array([0] * 2_000_000)}), tmp_path / "many.parquet")
    monkeypatch.setenv(limits.ROWS.variable, "1000000")
    for use in (Split.load, judge.ResultTable.load):
        with pytest.raises(InputError, match="declares 2000000 rows"):
            use(tmp_path / "many.parquet")
    monkeypatch.setenv(limits.TABLE_BYTES.variable, "10")
    with pytest.raises(InputError, match="bytes in a table"):
        Split.load(tmp_path / "split.parquet")


def test_results_of_other_types(tmp_path: Path) -> None:
    row = judge.ResultTable().frame()
    content = {name: ["x"] for name in row.columns}
    pd.DataFrame(content).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="ArrowInvalid"):
        judge.ResultTable.load(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    "name", ["../../secret.tif", "/etc/passwd", "/vsicurl/http://localhost/a.tif", "images/../../a", ""]
)
@pytest.mark.parametrize("column", ["image", "label", "valid"])
def test_chips_name_no_file_outside_of_their_folder(made: Path, tmp_path: Path, name: str, column: str) -> None:
    if not (column == "valid" and name == ""):
        shutil.copytree(made, tmp_path / "chips")
        index = geopandas.read_parquet(tmp_path / "chips" / "index.parquet")
        index.loc[0, column] = name
        index.to_parquet(tmp_path / "chips" / "index.parquet")
        with pytest.raises(InputError, match=f"in the column '{column}'"):
            chips.open(tmp_path / "chips")


@pytest.mark.parametrize(
    "changes",
    [{"size": 10**9}, {"size": "8"}, {"size": True}, {"shape": [0, 1]}, {"times": []}, {"transform": [1e400] * 6},
     {"crs": "EPSG:0"}, {"crs": 5}, {"bands": [{}]}, {"bands": []}, {"legend": []}, {"times": [10**30]}, {"attrs": 1}],
)  # fmt: skip
def test_descriptions_of_chips_that_cannot_be(made: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    shutil.copytree(made, tmp_path / "chips")
    path = tmp_path / "chips" / "chips.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=r"chips\.json"):
        chips.open(tmp_path / "chips")


@pytest.mark.parametrize(
    "changes", [{"mean": [1.0]}, {"std": ["a", "b"]}, {"mean": [float("nan")] * 2}, {"percentiles": 3}, {"bands": 7}]
)
def test_statistics_that_cannot_be(made: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    shutil.copytree(made, tmp_path / "chips")
    path = tmp_path / "chips" / "statistics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match="statistics"):
        chips.Statistics.load(path)


def test_no_polygons_are_lost(tmp_path: Path) -> None:
    vectors(tmp_path, "labels.gpkg")
    assert cubes.vector_classes(polygons(), "class") == cubes.vector_classes(tmp_path / "labels.gpkg", "class")
