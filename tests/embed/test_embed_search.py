"""Similar places: cosine by hand, masks kept, the place itself not among the best, other versions refused."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from embedded import DIMENSIONS, GRID, SIDE, points, write_map

from swath.embed import search
from swath.embed.places import lonlat_of_cells
from swath.embed.record import EmbeddingRecord
from swath.embed.search import cosine
from swath.errors import ConfigError, InputError


def lonlat(row: int, column: int) -> tuple[float, float]:
    east, north = lonlat_of_cells(np.array([row]), np.array([column]), GRID)[0]
    return float(east), float(north)


def write_table(path: Path, values: list[list[float]], version: str = "presto-1") -> Path:
    table = points([(row, 3) for row in range(len(values))], ["x"] * len(values), "EPSG:4326")
    table["id"] = [f"p{row}" for row in range(len(values))]
    table["embedding"] = [np.array(row, np.float32) for row in values]
    table["valid_share"] = [float(any(row)) for row in values]
    table.to_parquet(path)
    record = EmbeddingRecord("presto", version, len(values[0]), 1, ("B02",), ("2021",), "float32", 1.0, 0.0, "")
    record.write(path)
    return path


def test_cosine_by_hand() -> None:
    rows = np.array([[2, 0], [0, 3], [-1, 0], [1, 1], [0, 0]], np.float32)
    assert np.allclose(cosine(rows, np.array([5, 0], np.float32)), [1, 0, -1, np.sqrt(0.5), 0])
    assert cosine(rows[:0], rows[0]).shape == (0,)


def test_a_map_of_similarity_and_the_best_places(tmp_path: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    found = search(features, [lonlat(10, 30)], tmp_path / "similar.tif", best=5)
    with rasterio.open(features) as raster:
        values = raster.read().astype(np.float64)
    query = values[:, 10, 30]
    wanted = np.tensordot(query, values, 1) / np.linalg.norm(query) / np.linalg.norm(values, axis=0)
    with rasterio.open(tmp_path / "similar.tif") as raster:
        similarity = raster.read(1)
    assert np.isnan(similarity[:5, :5]).all() and np.isnan(similarity).sum() == 25
    assert np.allclose(similarity[5:], wanted[5:], atol=1e-4)
    assert found.searched == SIDE * SIDE - 25
    ranked = np.sort(
        np.delete(wanted.ravel(), 10 * SIDE + 30)[~np.isnan(np.delete(similarity.ravel(), 10 * SIDE + 30))]
    )
    assert np.allclose(found.similarity, ranked[::-1][:5], atol=1e-4)
    assert np.all(np.diff(found.similarity) <= 0)
    best = gpd.read_file(tmp_path / "similar_best.geojson")
    assert best["rank"].tolist() == [1, 2, 3, 4, 5]
    assert np.allclose(np.stack([best.geometry.x, best.geometry.y], 1), found.lonlat, atol=1e-6)
    cells = [GRID.wld2pix(*pt.coords[0]) for pt in best.to_crs("EPSG:32632").geometry]
    assert (10, 30) not in [(int(row), int(column)) for column, row in cells]


def test_several_places_count_as_their_mean_direction(tmp_path: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    both = search(features, [lonlat(10, 30), lonlat(20, 5)], tmp_path / "a.tif")
    assert float(np.max(both.similarity)) < 0.95
    many = search(features, [lonlat(10, 30)], tmp_path / "b.tif", best=SIDE * SIDE)
    assert len(many.similarity) == many.searched - 1


def test_a_table_is_sorted_and_masked_rows_come_last(tmp_path: Path) -> None:
    table = write_table(tmp_path / "emb.parquet", [[1, 0], [0, 1], [0, 0], [1, 0.1]])
    found = search(table, [lonlat(0, 3)], tmp_path / "similar.parquet", best=2)
    assert found.names == ("p3", "p1") and found.searched == 3
    made = gpd.read_parquet(tmp_path / "similar.parquet")
    assert made["id"].tolist() == ["p0", "p3", "p1", "p2"]
    assert np.allclose(made["similarity"][:3], [1, 1 / np.sqrt(1.01), 0], atol=1e-6) and np.isnan(made["similarity"][3])
    assert "embedding" not in made


def test_places_may_lie_in_another_file_of_the_same_version_only(tmp_path: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    like = write_table(tmp_path / "like.parquet", [[1.0] * DIMENSIONS, [-1.0] * DIMENSIONS])
    found = search(features, [lonlat(1, 3)], tmp_path / "s.tif", like=like, best=1)
    with rasterio.open(tmp_path / "s.tif") as raster:
        similarity = raster.read(1)
    assert np.nanmean(similarity[:, SIDE // 2 :]) > 0.8 > -0.8 > np.nanmean(similarity[:, : SIDE // 2])
    assert found.similarity[0] == pytest.approx(np.nanmax(similarity), abs=1e-6)
    write_table(like, [[1.0] * DIMENSIONS], version="presto-2")
    with pytest.raises(InputError, match=r"emb.tif' holds embeddings of the version 'presto-1', and .*'presto-2'"):
        search(features, [lonlat(1, 3)], tmp_path / "t.tif", like=like)
    assert not (tmp_path / "t.tif").exists()


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    features = write_map(tmp_path / "emb.tif")
    with pytest.raises(InputError, match=r"no embedding at .* masked"):
        search(features, [lonlat(1, 1)], tmp_path / "s.tif")
    with pytest.raises(InputError, match="not on"):
        search(features, [(0.0, 0.0)], tmp_path / "s.tif")
    with pytest.raises(ConfigError, match=r"ends in .tif"):
        search(features, [lonlat(10, 10)], tmp_path / "s.parquet")
    with pytest.raises(ConfigError, match="the file that is searched"):
        search(features, [lonlat(10, 10)], features)
    with pytest.raises(ConfigError, match="at least one place"):
        search(features, [], tmp_path / "s.tif")
    (tmp_path / "emb.tif.embedding.json").unlink()
    with pytest.raises(InputError, match=r"embedding\.json"):
        search(features, [lonlat(10, 10)], tmp_path / "s.tif")
    assert not (tmp_path / "s.tif").exists()
