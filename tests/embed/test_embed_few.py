"""A model from a few labels: learned, scored by blocks beside the bands, mapped, and refused on other embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from embedded import GRID, SIDE, points, spread_points, square, write_map

import swath
from swath import cubes
from swath.embed import FewOptions, load_head, open_map, train_head
from swath.errors import ConfigError, InputError


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "points.gpkg"
    spread_points(crs="EPSG:4326").to_file(path, driver="GPKG")
    return path


def write_scene(path: Path) -> Path:
    """One band of noise: nothing to learn from it."""
    cubes.write_cog(
        path, np.random.default_rng(3).normal(0, 1, (1, SIDE, SIDE)).astype(np.float32), GRID, names=["B02"]
    )
    return path


@pytest.mark.parametrize("head", ["linear", "forest"])
def test_few_points_give_a_map_that_is_scored_beside_the_bands(tmp_path: Path, labels: Path, head: str) -> None:
    scene = write_scene(tmp_path / "scene.tif")
    features = write_map(tmp_path / "emb.tif", source=str(scene))
    options = FewOptions(head=head)  # type: ignore[arg-type]
    report = swath.fit_features(features, labels, tmp_path / "run", options=options, data_kind="simulated")
    assert report.score is not None and report.bands is not None and report.difference is not None
    assert float(report.score.accuracy.estimate) > 0.95
    assert float(report.bands.accuracy.estimate) < 0.8
    assert float(report.difference.low) > 0
    assert report.objects == len(report.labels.cells) == len(spread_points())
    made = swath.predict(swath.load(tmp_path / "run"), features, tmp_path / "map.tif", overlap=0, progress=False)
    with rasterio.open(made.files["class"]) as raster:
        found, nodata = raster.read(1), raster.nodata
    wanted = np.broadcast_to(np.arange(SIDE) >= SIDE // 2, found.shape)
    hole = np.zeros(found.shape, bool)
    hole[:5, :5] = True
    assert (found[hole] == nodata).all() and (found[~hole] == wanted[~hole]).mean() > 0.98
    table = swath.judge.ResultTable.load(tmp_path / "run" / "scores.parquet")
    assert {(row.backbone, row.head, row.metric) for row in table} == {
        (backbone, name, metric)
        for backbone, name in (("presto-1", head), ("bands", "forest"))
        for metric in ("accuracy", "mean_f1")
    }
    assert {row.data_kind for row in table} == {"simulated"}


def test_the_same_seed_gives_the_same_model_and_a_second_run_replaces_the_first(tmp_path: Path, labels: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    first = swath.fit_features(features, labels, tmp_path / "run")
    assert first.note.startswith("no comparison") and first.score is not None and first.bands is None
    one = (tmp_path / "run" / "head.safetensors").read_bytes()
    swath.fit_features(features, labels, tmp_path / "run")
    assert (tmp_path / "run" / "head.safetensors").read_bytes() == one
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"a folder that holds thesis.txt"):
        swath.fit_features(features, labels, tmp_path / "full")


def test_polygons_are_held_out_whole(tmp_path: Path) -> None:
    corners = [(row, column) for row in (6, 20, 34) for column in (0, 8, 22, 34)]
    table = points(corners, ["left" if column < 20 else "right" for _, column in corners])
    table["geometry"] = [square(row, column, 4) for row, column in corners]
    table.to_file(tmp_path / "polygons.geojson")
    report = train_head(write_map(tmp_path / "emb.tif"), tmp_path / "polygons.geojson", tmp_path / "run")
    assert report.objects == 12 and report.class_counts() == {"left": 96, "right": 96}
    assert report.blocks is not None
    for number in range(12):
        assert len(np.unique(report.blocks.block[report.labels.cells.objects == number])) == 1


def test_labels_of_one_place_give_a_model_but_no_score(tmp_path: Path) -> None:
    points([(10, 19), (10, 20)], ["left", "right"]).to_file(tmp_path / "two.gpkg", driver="GPKG")
    report = train_head(write_map(tmp_path / "emb.tif"), tmp_path / "two.gpkg", tmp_path / "run", FewOptions(block=100))
    assert report.score is None and report.note.startswith("no score")
    assert load_head(tmp_path / "run").classes == ("left", "right")


def test_masked_labels_are_left_out_and_a_class_without_any_is_refused(tmp_path: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    table = points([(1, 1), (10, 3), (10, 30), (30, 30)], ["left", "left", "right", "right"])
    table.to_file(tmp_path / "some.gpkg", driver="GPKG")
    report = train_head(features, tmp_path / "some.gpkg", tmp_path / "run")
    assert report.masked == 1 and report.class_counts() == {"left": 1, "right": 2}
    points([(1, 1), (10, 30)], ["left", "right"]).to_file(tmp_path / "lost.gpkg", driver="GPKG")
    with pytest.raises(InputError, match=r"labels of left, .* has no embeddings"):
        train_head(features, tmp_path / "lost.gpkg", tmp_path / "lost")
    assert not (tmp_path / "lost").exists()


def test_embeddings_of_another_version_or_without_record_are_refused(tmp_path: Path, labels: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    train_head(features, labels, tmp_path / "run")
    other = write_map(tmp_path / "other.tif", version="presto-2")
    with pytest.raises(InputError, match=r"version 'presto-2', and the head was trained on 'presto-1'"):
        swath.predict(tmp_path / "run", other, tmp_path / "map.tif", progress=False)
    (tmp_path / "other.tif.embedding.json").unlink()
    with pytest.raises(InputError, match=r"other.tif.embedding.json"):
        swath.predict(tmp_path / "run", other, tmp_path / "map.tif", progress=False)
    with pytest.raises(InputError, match=r"other.tif.embedding.json"):
        train_head(other, labels, tmp_path / "again")
    with pytest.raises(InputError, match="is a table of embeddings"):
        open_map(tmp_path / "emb.parquet")
    assert not (tmp_path / "map.tif").exists() and not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    "change",
    [{"classes": ["a"]}, {"dimensions": 7}, {"head": "deep"}, {"embeddings": {}}, {"schema_version": 9}],
)
def test_a_damaged_model_is_a_sentence(tmp_path: Path, labels: Path, change: dict[str, object]) -> None:
    train_head(write_map(tmp_path / "emb.tif"), labels, tmp_path / "run")
    path = tmp_path / "run" / "head.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"head\.(json|safetensors)"):
        load_head(tmp_path / "run")


def test_other_weights_than_the_record_tells_of_are_refused(tmp_path: Path, labels: Path) -> None:
    train_head(write_map(tmp_path / "emb.tif"), labels, tmp_path / "run")
    (tmp_path / "run" / "head.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"head.safetensors.*cannot be used"):
        swath.load(tmp_path / "run")


@pytest.mark.parametrize(
    "options",
    [FewOptions(head="deep"), FewOptions(block=-1), FewOptions(most=0)],  # type: ignore[arg-type]
)
def test_options_out_of_range_are_refused_before_a_file_is_read(tmp_path: Path, options: FewOptions) -> None:
    with pytest.raises(ConfigError):
        train_head(tmp_path / "none.tif", tmp_path / "none.gpkg", tmp_path / "run", options)
