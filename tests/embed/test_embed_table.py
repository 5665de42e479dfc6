"""Points and chips as GeoParquet: equal to direct encoding, masked, recorded, windowed at borders."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import torch
from model_batches import S2, galileo, presto
from shapely.geometry import Point
from test_embed_scene import batch_of_cube, cube_of

import swath
from swath.embed import embed_points, open_table, read_record
from swath.errors import ConfigError, InputError
from swath.models import PatchOptions


def points_on(cells: list[tuple[int, int]], crs: str = "EPSG:32632") -> gpd.GeoDataFrame:
    shapes = [Point(500_000 + 10 * column + 5, 5_400_000 - 10 * row - 5) for row, column in cells]
    table = gpd.GeoDataFrame({"name": [f"p{k}" for k in range(len(cells))]}, geometry=shapes, crs="EPSG:32632")
    return table.to_crs(crs)


def test_points_get_the_embedding_of_their_pixel_and_masked_ones_none(tmp_path: Path) -> None:
    cube = cube_of(S2, 2, 12, 9)
    points = points_on([(11, 8), (0, 0), (0, 8), (50, 2)], "EPSG:4326")
    report = embed_points(presto(), cube, points, tmp_path / "emb.parquet")
    assert (report.rows, report.empty, report.outside) == (3, 1, 1)
    table = open_table(tmp_path / "emb.parquet")
    direct = presto().using(S2).encode(batch_of_cube(cube))
    assert table.places["name"].tolist() == ["p0", "p1", "p2"] and table.valid.tolist() == [True, False, True]
    for number, (row, column) in ((0, (11, 8)), (2, (0, 8))):
        assert np.allclose(table.values[number], direct.values[0, :, row, column].numpy(), atol=1e-5)
    assert not table.values[1].any() and table.places.crs.to_epsg() == 4326
    record = read_record(tmp_path / "emb.parquet")
    assert record == report.record and record.version == presto().using(S2).version and record.storage == "float32"
    assert record.dates == ("2021-01-15T00:00:00", "2021-02-15T00:00:00")


def test_a_window_is_the_mean_over_what_is_valid_in_it(tmp_path: Path) -> None:
    cube = cube_of(S2, 1, 12, 9)
    report = embed_points(presto(), cube, points_on([(6, 4), (11, 8)]), tmp_path / "emb.parquet", window=3)
    table = open_table(report.path)
    direct = presto().using(S2).encode(batch_of_cube(cube))
    inside = direct.valid[0, 5:8, 3:6]
    mean = direct.values[0, :, 5:8, 3:6][:, inside].mean(dim=1)
    assert np.allclose(table.values[0], mean.numpy(), atol=1e-5)
    assert table.places["valid_share"].tolist() == pytest.approx([float(inside.double().mean()), 4 / 9])


def test_galileo_embeds_a_patch_around_a_point(tmp_path: Path) -> None:
    encoder = galileo().with_options(PatchOptions(patch=4, place=False))
    cube = cube_of(S2, 1, 16, 16, hole=False)
    table = open_table(embed_points(encoder, cube, points_on([(6, 6)]), tmp_path / "emb.parquet").path)
    part = cube.isel(y=slice(4, 8), x=slice(4, 8))
    with torch.inference_mode():
        direct = encoder.using(S2).encode(batch_of_cube(part))
    assert np.allclose(table.values[0], direct.values[0, :, 0, 0].numpy(), atol=1e-5)
    with pytest.raises(ConfigError, match="a multiple of 4"):
        embed_points(encoder, cube, points_on([(6, 6)]), tmp_path / "emb.parquet", window=6)


def test_what_cannot_be_embedded_leaves_nothing(tmp_path: Path) -> None:
    cube = cube_of(S2, 1, 8, 8)
    with pytest.raises(InputError, match="lies outside of the scene"):
        embed_points(presto(), cube, points_on([(90, 90)]), tmp_path / "emb.parquet")
    with pytest.raises(InputError, match="None of 1 samples"):
        embed_points(presto(), cube, points_on([(0, 0)]), tmp_path / "emb.parquet")
    with pytest.raises(ConfigError, match=r"ends in .parquet"):
        embed_points(presto(), cube, points_on([(7, 7)]), tmp_path / "emb.tif")
    with pytest.raises(InputError, match="points only"):
        areas = points_on([(7, 7)])
        areas["geometry"] = areas.buffer(10)
        embed_points(presto(), cube, areas, tmp_path / "emb.parquet")
    with pytest.raises(InputError, match="has no date"):
        embed_points(presto(), cube_of(S2, 1, 8, 8, known=0), points_on([(7, 7)]), tmp_path / "emb.parquet")
    with pytest.raises(InputError, match="column 'embedding'"):
        embed_points(presto(), cube, points_on([(7, 7)]).assign(embedding=1), tmp_path / "emb.parquet")
    assert list(tmp_path.iterdir()) == []


def test_chips_get_the_mean_of_their_cells(tmp_path: Path) -> None:
    cube = cube_of(S2, 1, 16, 16)
    labels = cube["valid"].isel(time=0).astype(np.int16).copy(data=np.tile([0] * 7 + [1] * 9, (16, 1)).astype(np.int16))
    from swath import chips as room

    drop = room.DropRules(min_valid=0.0) if hasattr(room.DropRules(), "min_valid") else None
    room.cut(
        cube, labels, tmp_path / "chips", size=8, legend=swath.cubes.Legend.from_names({0: "a", 1: "b"}), drop=drop
    )
    chipset = room.open(tmp_path / "chips")
    report = swath.embed(tmp_path / "chips", tmp_path / "emb.parquet", model=presto())
    table = open_table(report.path)
    assert table.places["id"].tolist() == [str(name) for name in chipset.index["id"]]
    direct = presto().using(chipset.bands).encode(chipset.batch([str(name) for name in chipset.index["id"]]))
    assert np.allclose(table.values, direct.points().numpy(), atol=1e-5)
    assert table.places["valid_share"].tolist() == pytest.approx(direct.valid.flatten(1).double().mean(1).tolist())
    assert set(table.places["label"]) == {"a", "b"}
    learned = swath.fit_features(report.path, report.path, tmp_path / "run")
    assert learned.class_counts() == table.places["label"].value_counts().to_dict() and learned.bands is None
    with pytest.raises(ConfigError, match="chips alone"):
        swath.embed(tmp_path / "chips", tmp_path / "emb.parquet", model=presto(), window=3)


def test_a_table_and_a_record_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    report = embed_points(presto(), cube_of(S2, 1, 8, 8), points_on([(7, 7), (6, 6)]), tmp_path / "emb.parquet")
    record = {**vars(report.record), "dimensions": 3}
    type(report.record)(**record).write(report.path)
    with pytest.raises(InputError, match="2 rows with \\[128\\] numbers each"):
        open_table(report.path)
    (tmp_path / "emb.parquet.embedding.json").unlink()
    with pytest.raises(InputError, match=r"embedding\.json"):
        open_table(report.path)
    (tmp_path / "emb.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"emb\.parquet"):
        open_table(report.path)
