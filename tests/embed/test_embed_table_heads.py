"""Heads on tables of embeddings: labels in the table or by id, held out by place, and other tables classified."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from embedded import DIMENSIONS, GRID, RECORD, SIDE, place, spread_points, write_map
from typer.testing import CliRunner

import swath
from swath import cubes
from swath.cli import app
from swath.embed import FewOptions, load_head, predict_table, train_head
from swath.embed.record import EmbeddingRecord
from swath.embed.table import open_table
from swath.embed.table_labels import places_m
from swath.errors import ConfigError, InputError


def write_table(path: Path, number: int = 60, *, version: str = "presto-1", source: str = "", seed: int = 0) -> Path:
    """Points all over the map; left ones around +1, right ones around -1; the first row is masked."""
    stream = np.random.default_rng(seed)
    cells = stream.integers(0, SIDE, (number, 2))
    left = cells[:, 1] < SIDE // 2
    values = stream.normal(0, 0.3, (number, DIMENSIONS)) + np.where(left, 1, -1)[:, None]
    share = np.ones(number)
    share[:1] = 0
    table = gpd.GeoDataFrame(
        {
            "id": [f"p{row}" for row in range(number)],
            "class": np.where(left, "left", "right"),
            "valid_share": share,
            "embedding": list(values.astype(np.float32)),
        },
        geometry=[place(*cell) for cell in cells.tolist()],
        crs="EPSG:32632",
    )
    table.to_parquet(path, index=False)
    EmbeddingRecord(**{**vars(RECORD), "version": version, "source": source, "storage": "float32"}).write(path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "emb.parquet")


@pytest.mark.parametrize("head", ["linear", "forest"])
def test_a_column_of_the_table_is_learned_and_scored_by_place(tmp_path: Path, table: Path, head: str) -> None:
    report = swath.fit_features(table, table, tmp_path / "run", options=FewOptions(head=head))  # type: ignore[arg-type]
    assert report.masked == 1 and report.objects == len(report.labels.cells) == 59
    assert report.unit == "m" and report.blocks is not None and report.blocks.side == pytest.approx(65, abs=5)
    assert report.score is not None and float(report.score.accuracy.estimate) > 0.95
    assert report.bands is None and report.note.startswith("no comparison")
    rows = swath.judge.ResultTable.load(tmp_path / "run" / "scores.parquet")
    assert {row.head for row in rows} == {head} and all(" m in " in str(row.protocol) for row in rows)
    other = write_table(tmp_path / "other.parquet", seed=5)
    made = predict_table(
        tmp_path / "run", other, tmp_path / "out.parquet", outputs=("class", "confidence", "probability")
    )
    found = gpd.read_parquet(made.path)
    assert (
        made.empty == 1
        and sum(made.counts.values()) == 59
        and found["predicted"].isna().tolist() == [True] + 59 * [False]
    )
    known = found.iloc[1:]
    assert (known["predicted"] == known["class"]).mean() > 0.95 and "embedding" not in found
    np.testing.assert_allclose(known["probability_left"] + known["probability_right"], 1)
    np.testing.assert_allclose(known["confidence"], known[["probability_left", "probability_right"]].max(axis=1))


def test_the_scene_of_the_points_is_compared_with(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(0, 1, (1, SIDE, SIDE)).astype(np.float32)
    cubes.write_cog(tmp_path / "scene.tif", noise, GRID, names=["B02"])
    table = write_table(tmp_path / "emb.parquet", source=str(tmp_path / "scene.tif"))
    report = swath.fit_features(table, table, tmp_path / "run")
    assert report.bands is not None and report.difference is not None and not report.note
    assert float(report.bands.accuracy.estimate) < 0.8 and float(report.difference.low) > 0


@pytest.mark.parametrize("ending", ["csv", "parquet", "gpkg"])
def test_labels_are_joined_by_id_whatever_their_order(tmp_path: Path, table: Path, ending: str) -> None:
    whole = gpd.read_parquet(table)
    some = whole[["id", "class", "geometry"]].iloc[::-1].iloc[:40].copy()
    some.loc[len(whole)] = ["elsewhere", "left", whole.geometry.iloc[0]]
    path = tmp_path / f"labels.{ending}"
    if ending == "gpkg":
        some.to_file(path, driver="GPKG")
    elif ending == "csv":
        pd.DataFrame(some[["id", "class"]]).to_csv(path, index=False)
    else:
        pd.DataFrame(some[["id", "class"]]).to_parquet(path)
    report = train_head(table, path, tmp_path / "run", FewOptions(column="class"))
    assert len(report.labels.cells) == 40 and report.labels.cells.outside == 1
    truth = whole["class"].to_numpy()[report.labels.cells.rows]
    assert (np.array(report.labels.classes)[report.labels.numbers] == truth).all()


def test_numbers_as_ids_and_empty_classes(tmp_path: Path, table: Path) -> None:
    whole = gpd.read_parquet(table).assign(id=np.arange(60))
    whole.to_parquet(table, index=False)
    names = [None if row % 3 == 0 else ("" if row % 3 == 1 else name) for row, name in enumerate(whole["class"])]
    pd.DataFrame({"id": np.arange(60), "label": names}).to_csv(tmp_path / "labels.csv", index=False)
    report = train_head(table, tmp_path / "labels.csv", tmp_path / "run")
    assert report.labels.cells.rows.tolist() == list(range(2, 60, 3))


def test_a_head_on_a_map_serves_a_table_and_the_other_way_round(tmp_path: Path, table: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    spread_points().to_file(tmp_path / "points.gpkg", driver="GPKG")
    train_head(features, tmp_path / "points.gpkg", tmp_path / "map_run")
    assert predict_table(load_head(tmp_path / "map_run"), table, tmp_path / "out.parquet").counts["left"] > 20
    train_head(table, table, tmp_path / "table_run")
    made = swath.predict(tmp_path / "table_run", features, tmp_path / "map.tif", overlap=0, progress=False)
    assert made.valid_share > 0.9


def test_places_are_metres_around_their_middle_also_over_the_antimeridian(tmp_path: Path, table: Path) -> None:
    whole = gpd.read_parquet(table).iloc[:2]
    near = gpd.GeoSeries.from_xy([179.995, -179.995], [0, 0], crs="EPSG:4326")
    whole.set_geometry(near.to_numpy(), crs="EPSG:4326").to_parquet(table, index=False)
    found = places_m(open_table(table))
    assert abs(found[0, 1] - found[1, 1]) == pytest.approx(1113, abs=2) and abs(found[0, 0] - found[1, 0]) <= 1


def test_too_few_labels_to_be_split_are_said(tmp_path: Path, table: Path) -> None:
    whole = gpd.read_parquet(table)
    left, right = (whole.index[whole["class"] == name].tolist() for name in ("left", "right"))
    for kept, note in (
        ([left[1], right[1]], "no score: without any block, labels of one class alone are left"),
        ([*left[1:], right[1]], "all labels of right are held out together"),
    ):
        few = whole.assign(**{"class": [name if row in kept else None for row, name in enumerate(whole["class"])]})
        few.to_parquet(table, index=False)
        report = train_head(table, table, tmp_path / "run")
        assert note in report.note and (report.score is None) == note.startswith("no score")
    whole.assign(**{"class": "left"}).to_parquet(table, index=False)
    with pytest.raises(InputError, match="are all of the class 'left'"):
        train_head(table, table, tmp_path / "none")


def test_labels_that_do_not_belong_are_sentences(tmp_path: Path, table: Path) -> None:
    def labels(**columns: list[str]) -> Path:
        pd.DataFrame(columns).to_csv(tmp_path / "labels.csv", index=False)
        return tmp_path / "labels.csv"

    for path, sentence in (
        (lambda: labels(id=["x", "y"], cover=["a", "b"]), "No id of .* is in .*: x, y there, p0, p1, p2 here"),
        (lambda: labels(id=["p1", "p1"], cover=["a", "b"]), "The id 'p1' has 2 classes"),
        (lambda: labels(name=["p1", "p2"], cover=["a", "b"]), "has no column 'id'; it has name, cover"),
        (lambda: labels(id=["p1", "p2"], cover=["", ""]), "No row of .* has a class"),
        (lambda: tmp_path / "none.csv", "There is no file"),
    ):
        with pytest.raises(InputError, match=sentence):
            train_head(table, path(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_without_geometry_crs_or_places_is_refused(tmp_path: Path, table: Path) -> None:
    whole = gpd.read_parquet(table)
    pd.DataFrame(whole.drop(columns="geometry")).to_parquet(table)
    with pytest.raises(InputError, match="has no geometry"):
        train_head(table, table, tmp_path / "run")
    whole.set_crs(None, allow_override=True).to_parquet(table)
    with pytest.raises(InputError, match="no coordinate reference system"):
        train_head(table, table, tmp_path / "run")
    whole.geometry = [None, *whole.geometry.iloc[1:]]
    whole.to_parquet(table)
    with pytest.raises(InputError, match="1 of 60 rows without geometry"):
        train_head(table, table, tmp_path / "run")


def test_other_embeddings_and_wrong_words_are_refused(tmp_path: Path, table: Path) -> None:
    train_head(table, table, tmp_path / "run")
    other = write_table(tmp_path / "other.parquet", version="presto-2")
    out = tmp_path / "out.parquet"
    with pytest.raises(InputError, match="version 'presto-2', and the head was trained on 'presto-1'"):
        predict_table(tmp_path / "run", other, out)
    with pytest.raises(ConfigError, match="'margin' is unknown for tables"):
        predict_table(tmp_path / "run", table, out, outputs=("margin",))
    with pytest.raises(ConfigError, match=r"another name that ends in .parquet"):
        predict_table(tmp_path / "run", table, table)
    predict_table(tmp_path / "run", table, out)
    gpd.read_parquet(table).assign(predicted="x").to_parquet(table, index=False)
    with pytest.raises(InputError, match="has a column 'predicted'"):
        predict_table(tmp_path / "run", table, tmp_path / "again.parquet")
    assert not (tmp_path / "again.parquet").exists()


def test_both_commands(tmp_path: Path, table: Path) -> None:
    def call(*words: object) -> tuple[int, str]:
        found = CliRunner().invoke(app, [str(word) for word in words])
        return found.exit_code, found.output + str(found.exception or "")

    code, out = call("train", "--features", table, table, "-o", tmp_path / "run", "--data", "simulated")
    assert code == 0 and "59 labelled rows of the table" in out and "1 rows without an embedding" in out
    code, out = call("predict", tmp_path / "run", table, "-o", tmp_path / "out.parquet")
    assert code == 0 and "1 rows have no embedding" in out and (tmp_path / "out.parquet").is_file()
    code, out = call("predict", tmp_path / "run", table, "-o", tmp_path / "b.parquet", "--sensor", "sentinel2_l2a")
    assert code != 0 and "--sensor was given with the table" in out
    code, out = call("predict", tmp_path, table, "-o", tmp_path / "b.parquet")
    assert code != 0 and "no model that was trained on embeddings" in out
    code, out = call("train", "--features", table, table, "-o", tmp_path / "run", "--map", tmp_path / "map.tif")
    assert code != 0 and "--map was given with the table" in out
    assert not (tmp_path / "b.parquet").exists() and not (tmp_path / "map.tif").exists()
