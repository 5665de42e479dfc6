"""``swath weights`` and ``swath embed`` on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import typer
from typer.testing import CliRunner

from swath.cli import embed, weights
from swath.embed import read_record
from swath.errors import ConfigError, InputError, MissingError

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.add_typer(weights.app, name="weights")
    embed.add_to(made, "everyday")
    return made


@pytest.fixture
def real_data() -> Path:
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the real data sets")
    return Path(os.environ["SWATH_DATA"])


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Sentinel-2 numbers of processing baseline 05.09 with a strip of no data."""
    numbers = np.random.default_rng(0).integers(1200, 4000, (len(BANDS), 30, 20)).astype(np.uint16)
    numbers[:, :, :5] = 0
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_400_000), "nodata": 0}
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=20, height=30, count=len(BANDS), dtype="uint16", **place
    ) as dataset:
        dataset.write(numbers)
        dataset.descriptions = BANDS
    return path


def test_the_list_tells_what_there_is(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path))
    shown = CliRunner().invoke(app, ["weights", "--json"], catch_exceptions=False)
    rows = {row["name"]: row for row in json.loads(shown.output)}
    assert list(rows) == sorted(rows) and {"galileo_nano", "presto", "prithvi_eo_v2_300"} <= set(rows)
    assert rows["presto"]["numbers"] == 823_002 and rows["presto"]["here"].startswith("no")
    table = CliRunner().invoke(app, ["weights"], catch_exceptions=False)
    assert "presto" in table.output and "MIT" in table.output


def test_one_encoder_in_full(app: typer.Typer) -> None:
    shown = CliRunner().invoke(app, ["weights", "show", "presto"], catch_exceptions=False, env={"COLUMNS": "220"})
    for part in ("2304.14065", "559c9d76f525bdf2", "664.6 nm", "(x * 10000 + 0) / 10000", "m d-1", "S2_Red_Edge"):
        assert part in shown.output, part
    content = json.loads(CliRunner().invoke(app, ["weights", "show", "galileo_nano", "--json"]).output)
    assert content["weights"]["bytes"] == 4_189_406


def test_mistakes_are_sentences(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Path) -> None:
    run = CliRunner().invoke
    with pytest.raises(InputError, match="nearest are: presto"):
        run(app, ["weights", "show", "prest"], catch_exceptions=False)
    with pytest.raises(InputError, match="There is no file"):
        run(app, ["weights", "get", "presto", "--path", str(tmp_path / "none")], catch_exceptions=False)
    with pytest.raises(InputError, match="sha256"):
        run(app, ["weights", "get", "presto", "--path", str(scene)], catch_exceptions=False)


def test_get_prints_what_went_where(app: typer.Typer, real_data: Path) -> None:
    shown = CliRunner().invoke(app, ["weights", "get", "presto"], catch_exceptions=False, env={"COLUMNS": "200"})
    assert "checksum agrees" in shown.output and "version presto-" in shown.output
    assert "823002 of 823002 numbers" in shown.output


@pytest.mark.parametrize(("model", "stride"), [("presto", 1), ("galileo_nano", 8)])
def test_a_scene_becomes_a_map_of_embeddings(
    app: typer.Typer, real_data: Path, scene: Path, tmp_path: Path, model: str, stride: int
) -> None:
    out = tmp_path / "maps" / "emb.tif"
    options = ["--sensor", "sentinel2_l1c", "--baseline", "05.09", "--time", "2023-07-01", "--storage", "int8"]
    shown = CliRunner().invoke(
        app, ["embed", str(scene), "-m", model, "-o", str(out), *options], catch_exceptions=False
    )
    assert f"one cell for {stride} x {stride} pixels" in " ".join(shown.output.split())
    record = read_record(out)
    assert record.bands == BANDS and record.encoder == model and record.version in shown.output
    with rasterio.open(out) as raster:
        assert raster.shape == (-(-30 // stride), -(-20 // stride))
        stored = raster.read()
    assert (stored[:, :, 0] == -128).all() or stride == 8
    assert (stored[0, :-1, -1] != -128).all()  # of the last cell of the galileo map a quarter lies in the scene


def test_embedding_mistakes_are_sentences(app: typer.Typer, real_data: Path, scene: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    command = ["embed", str(scene), "-m", "presto", "-o", str(tmp_path / "emb.tif"), "--sensor", "sentinel2_l1c"]
    command += ["--baseline", "05.09"]
    with pytest.raises(InputError, match="no date"):
        run(app, command, catch_exceptions=False)
    with pytest.raises(ConfigError, match="--patch was given for 'presto'"):
        run(app, [*command, "--patch", "4"], catch_exceptions=False)
    assert not (tmp_path / "emb.tif").exists()


def test_weights_that_are_nowhere_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from swath import models

    monkeypatch.delenv("SWATH_DATA", raising=False)
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path))
    with pytest.raises(MissingError, match="swath weights get presto"):
        models.load("presto", fetch=False)
