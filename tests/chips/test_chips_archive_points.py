"""Tables of observations: what is read, and what is said about bad ones."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest

from swath.chips.archive import Columns, read_boxes, read_points, read_records
from swath.chips.archive.points import class_labels, quantities
from swath.cubes import Legend
from swath.errors import ConfigError, InputError


def table(path: Path, **columns: list) -> Path:
    rows = {"x": [16.1, 16.2, 16.3], "y": [40.1, 40.2, 40.3], "date": ["2024-05-06"] * 3, "label": [0, 1, 1]} | columns
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_csv_parquet_and_vector_files_say_the_same(tmp_path: Path) -> None:
    first = read_points(table(tmp_path / "a.csv"))
    frame = pd.read_csv(tmp_path / "a.csv")
    frame.to_parquet(tmp_path / "a.parquet")
    places = geopandas.points_from_xy(frame["x"], frame["y"], crs=4326)
    vector = geopandas.GeoDataFrame(frame.drop(columns=["x", "y"]), geometry=places)
    vector.to_crs(32633).to_file(tmp_path / "a.gpkg")
    vector.to_parquet(tmp_path / "b.parquet")
    for name in ("a.parquet", "a.gpkg", "b.parquet"):
        pd.testing.assert_frame_equal(read_points(tmp_path / name), first, check_dtype=False, rtol=1e-9)
    assert first["lon"].tolist() == [16.1, 16.2, 16.3]
    assert not first["timed"].any()


def test_columns_times_crs_and_comparisons(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.csv", x=[600000, 600030, 600060], y=[4500000] * 3, seen=["10:20", "11:30:15", "00:00"],
        year=[2019, 2020, 2021], country=["KE", "SO", "ET"],
    )  # fmt: skip
    columns = Columns(label="country", time="seen")
    found = read_points(path, columns=columns, crs="EPSG:32633", where=["year >= 2020", "country in SO, ET"])
    assert found["row"].tolist() == [1, 2]
    assert found["label"].tolist() == ["SO", "ET"]
    assert str(found["when"].iloc[0]) == "2024-05-06 11:30:15"
    assert found["timed"].all()
    assert abs(found["lat"].iloc[0] - 40.6438) < 1e-3
    assert read_points(path, columns=columns, crs="EPSG:32633", where=["country not in SO"])["row"].tolist() == [0, 2]
    assert read_points(path, columns=columns, crs="EPSG:32633", where=["year != 2020", "year<2021"])[
        "row"
    ].tolist() == [0]


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({}, {"columns": Columns(label="lable")}, "no column 'lable'.*nearest are: label"),
        ({}, {"columns": Columns(date="day")}, "no column 'day'"),
        ({}, {"crs": "EPSG:99999999"}, "is unknown"),
        ({"date": ["2024-05-06", "soon", "2024-05-06"]}, {}, r"'soon' in row 1 of .*1 such rows"),
        ({"date": ["2024-05-06", "2024-13-40", "1066-10-14"]}, {}, r"row 1 of .*2 such rows"),
        ({"x": [16.0, 181.0, 16.0]}, {}, "row 1 of .*181"),
        ({"y": [40.0, None, 40.0]}, {}, "row 1 of"),
        ({"x": [40.0, 41.0, 42.0], "y": [116.0, 117.0, 80.0]}, {}, "look exchanged"),
        ({"label": [1, None, 0]}, {}, "row 1 of .* has no label"),
        ({}, {"where": ["label > 7"]}, "no observation that fits"),
        ({}, {"where": ["what > 7"]}, "no column 'what'"),
        ({}, {"where": ["label"]}, "cannot be understood"),
        ({}, {"where": ["label > high"]}, "does not fit"),
    ],
)  # fmt: skip
def test_bad_tables_get_a_sentence(tmp_path: Path, columns: dict, options: dict, said: str) -> None:
    with pytest.raises((InputError, ConfigError), match=said):
        read_points(table(tmp_path / "a.csv", **columns), **options)


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_points(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="EmptyDataError"):
        read_points(tmp_path / "empty.csv")
    (tmp_path / "head.csv").write_text("x,y,date,label\n")
    with pytest.raises(InputError, match="no observation"):
        read_points(tmp_path / "head.csv")
    (tmp_path / "odd.parquet").write_text("no parquet")
    with pytest.raises(InputError):
        read_points(tmp_path / "odd.parquet")
    boxes = geopandas.GeoDataFrame(
        {"date": ["2024"], "label": [1]},
        geometry=geopandas.GeoSeries.from_wkt(["POLYGON((0 0,1 0,1 1,0 0))"]),
        crs=4326,
    )
    boxes.to_file(tmp_path / "p.gpkg")
    with pytest.raises(InputError, match="points"):
        read_points(tmp_path / "p.gpkg")


def test_classes_by_number_by_name_and_none_of_them(tmp_path: Path) -> None:
    found = read_points(table(tmp_path / "a.csv"))
    values, legend = class_labels(found, None, "t")
    assert values.tolist() == [0, 1, 1]
    assert legend.names == ("class 0", "class 1")
    named, legend = class_labels(found.assign(label=["wet", "dry", "wet"]), None, "t")
    assert legend.names == ("dry", "wet")
    assert named.tolist() == [1, 0, 1]
    with pytest.raises(InputError, match="label '2' in row 1 of t is no class"):
        class_labels(found.assign(label=[0, 2, 1]), Legend.of("dry", "wet"), "t")
    with pytest.raises(InputError, match=r"0\.5 of t is no class"):
        class_labels(found.assign(label=[0, 0.5, 1]), None, "t")
    assert quantities(found.assign(label=[0, 0.5, -1]), "t").dtype == np.float32
    with pytest.raises(InputError, match="'much' in row 2"):
        quantities(found.assign(label=[0, 0.5, "much"]), "t")


def test_records_of_label_rasters(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_text("label_filename,date\na.tif,2024-05-06\nb.tif,2024-05-07\n")
    found = read_records(path, tmp_path / "labels")
    assert found["path"].tolist() == [str(tmp_path / "labels" / name) for name in ("a.tif", "b.tif")]
    for text, said in (("../a.tif,2024-05-06", "inside"), ("a.tif,2024-05-06\na.tif,2024-05-06", "twice")):
        path.write_text(f"label_filename,date\n{text}\n")
        with pytest.raises(InputError, match=said):
            read_records(path, tmp_path)
    path.write_text("file,date\na.tif,2024-05-06\n")
    with pytest.raises(InputError, match="nearest are: file"):
        read_records(path, tmp_path)


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", "[1, 2, 3]", "[[0, 0, 0, 1]]", "[[170, 0, -170, 1]]", "[[0, 0, 1, 91]]", "[[1, 2, 3, null]]", "x"],
)
def test_odd_boxes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_boxes(path)
    path.write_text("[1, 2, 3, 4]")
    assert read_boxes(path) == [(1.0, 2.0, 3.0, 4.0)]
