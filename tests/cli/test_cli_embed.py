"""``swath embed search`` and ``swath train --features`` on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import rasterio
import typer
from cli_scenes import Run

from swath import cli

sys.path.insert(0, str(Path(__file__).parents[1] / "embed"))
from embedded import place, spread_points, write_map


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return write_map(tmp_path / "emb.tif")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.geojson"
    spread_points(crs="EPSG:4326").to_file(path)
    return path


def test_few_labels_to_a_map_in_two_commands(swath: Run, features: Path, labels: Path, tmp_path: Path) -> None:
    run, map_ = tmp_path / "run", tmp_path / "map.tif"
    code, out, err = swath("train", "--features", features, labels, "-o", run, "--data", "simulated", "--map", map_)
    assert (code, err.count("error")) == (0, 0), err
    assert "linear head on presto" in out and "no comparison" in out and "spatial blocks" in out
    with rasterio.open(map_) as raster:
        first = raster.read(1)
    code, out, err = swath("predict", run, features, "-o", tmp_path / "again.tif", "--fresh")
    assert code == 0, err
    with rasterio.open(tmp_path / "again.tif") as raster:
        assert (raster.read(1) == first).all()


def test_search_prints_the_best_places(swath: Run, features: Path, tmp_path: Path) -> None:
    import geopandas as gpd

    point = gpd.GeoSeries([place(10, 30)], crs="EPSG:32632").to_crs("EPSG:4326").iloc[0]
    at = f"{point.x:.7f},{point.y:.7f}"
    code, out, err = swath("embed", "search", features, "--at", at, "--best", 3, "-o", tmp_path / "similar.tif")
    assert code == 0, err
    assert "1,575 embeddings compared" in out and (tmp_path / "similar_best.geojson").exists()
    code, _, err = swath("embed", "search", features, "--at", "north", "-o", tmp_path / "b.tif")
    assert code == 2 and "longitude and latitude" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "chips", "-o", "run", "--column", "cover"), "--column was given without --features"),
        (("train", "p.geojson", "--features", "emb.tif", "-o", "run", "--epochs", "2"), "--epochs was given with"),
        (("embed", "scene.tif", "-m", "presto", "--scene", "other.tif"), "is no points"),
    ],
)
def test_options_that_do_not_go_together_are_refused(swath: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = swath(*arguments)
    assert code == 2 and message in err


def test_labels_elsewhere_and_features_without_record_are_sentences(
    swath: Run, features: Path, labels: Path, tmp_path: Path
) -> None:
    import geopandas as gpd

    away = gpd.read_file(labels)
    away["geometry"] = away.translate(5, 0)
    away.to_file(tmp_path / "away.geojson")
    code, _, err = swath("train", "--features", features, tmp_path / "away.geojson", "-o", tmp_path / "run")
    assert code == 2 and "lies outside of the scene" in err
    (tmp_path / "emb.tif.embedding.json").unlink()
    code, _, err = swath("train", "--features", features, labels, "-o", tmp_path / "run")
    assert code == 2 and "record that swath embed writes" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["a.tif", "-m", "presto"], ["make", "a.tif", "-m", "presto"]),
        (["-m", "presto", "a.tif"], ["make", "-m", "presto", "a.tif"]),
        (["search", "emb.tif"], ["search", "emb.tif"]),
        (["--help"], []),
    ],
)
def test_embed_alone_means_make(words: list[str], wanted: list[str]) -> None:
    group = typer.main.get_command(cli.app).commands["embed"]  # type: ignore[attr-defined]
    context = group.context_class(group, info_name="embed", help_option_names=["-h", "--help"])
    assert group.make_parser(context).parse_args(list(words))[1] == wanted
