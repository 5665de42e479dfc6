"""``swath bench io`` on a small file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner

from swath.chips.measure import _limit
from swath.cli import app
from swath.errors import ConfigError, InputError

RUN = ["--count", "60", "--size", "16", "--memory", "4", "--seconds", "1"]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    array = np.random.default_rng(0).integers(1, 5_000, (4, 160, 130)).astype(np.uint16)
    profile = {"driver": "GTiff", "height": 160, "width": 130, "count": 4, "dtype": "uint16", "interleave": "pixel"}
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate", "predictor": 2}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(path, "w", **profile, **layout, **place) as dataset:
        dataset.write(array)
    return path


def test_it_prints_speeds_plan_and_limit(scene: Path) -> None:
    shown = CliRunner().invoke(app, ["bench", "io", str(scene), *RUN], catch_exceptions=False)
    assert shown.exit_code == 0
    for words in (
        "deflate, predictor 2",
        "uint16",
        "32 x 32",
        "chips/s",
        "blocks read for",
        "shuffle radius",
        "limit: ",
    ):
        assert words in shown.output.replace("\n", " "), words


def test_json_holds_the_same(scene: Path) -> None:
    shown = CliRunner().invoke(app, ["bench", "io", str(scene), str(scene), *RUN, "--json"], catch_exceptions=False)
    found = json.loads(shown.output)
    assert [each["blocks"] for each in found["codecs"]] == [25, 25]
    assert found["plan"]["windows"] == 60 and found["plan"]["blocks_read"] >= found["plan"]["blocks_needed"] > 0
    for key in ("random_chips_s", "planned_chips_s", "planned_mb_s", "assembly_chips_s", "decode_chips_s"):
        assert found[key] > 0, key


def test_bad_input_is_one_sentence(scene: Path, tmp_path: Path) -> None:
    for arguments, kind in (
        ([str(tmp_path / "none.tif")], InputError),
        ([str(scene), "--size", "500"], InputError),
        ([str(scene), "--size", "128", "--memory", "1", "--count", "5"], ConfigError),
    ):
        with pytest.raises(kind, match="What to do"):
            CliRunner().invoke(app, ["bench", "io", *arguments], catch_exceptions=False)


def test_the_limit_named_is_the_lower_roof() -> None:
    assert "80% of the roof of decoding (100 chips/s)" in _limit(80, 100, 900, 2)
    assert "90% of the roof of putting windows together" in _limit(180, 1000, 200, 2)
    assert "the rest goes to" in _limit(10, 100, 200, 2)
