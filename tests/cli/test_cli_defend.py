"""``swath area`` and ``swath trust`` on the command line: the chain, and sentences for what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from cli_scenes import CUT, SENSOR, Run

from swath.cubes import Legend, write_cog

OPTIONS = {
    "network": {"width": 4, "depth": 1, "norm": "channel"},
    "batch_size": 8,
    "fit": {"epochs": 2, "learning_rate": 0.01, "threads": 1},
}


@pytest.fixture
def landcover(tmp_path: Path) -> Path:
    values = np.repeat(np.array([0, 1, 2, 2], np.uint8), 20)[None, None].repeat(80, axis=1)
    from affine import Affine
    from odc.geo.geobox import GeoBox

    box = GeoBox((80, 80), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    legend = Legend.of("water", "forest", "field")
    return write_cog(tmp_path / "map.tif", values, box, names=["class"], nodata=255, legend=legend)


def test_sample_label_estimate(swath: Run, landcover: Path, tmp_path: Path) -> None:
    points = tmp_path / "sample.csv"
    code, out, err = swath("area", "sample", landcover, "-n", 200, "-o", points)
    assert code == 0, err
    assert "200 points" in out and "field" in out
    table = pd.read_csv(points, dtype=str, keep_default_na=False)
    table["reference"] = table["map_class"]
    wrong = table.index[table["map_class"] == "forest"][:10]
    table.loc[wrong, "reference"] = "water"
    table.loc[table.index[-1], "reference"] = ""
    table.to_csv(points, index=False)
    code, out, err = swath("area", "estimate", landcover, points)
    assert code == 0, err
    assert "overall accuracy" in out and "1 points have no label" in out
    found = json.loads((tmp_path / "map.areas.json").read_text())
    water, forest = (next(row for row in found["classes"] if row["name"] == name) for name in ("water", "forest"))
    assert water["area_km2"] > water["mapped_km2"] and water["low_km2"] < water["area_km2"] < water["high_km2"]
    assert forest["users_accuracy"]["value"] == pytest.approx(0.8, abs=0.01)
    assert found["map"] == "map.tif" and found["samples"] == 199 and found["confidence"] == 0.95


def test_the_web_page_reads_the_estimates(swath: Run, landcover: Path, tmp_path: Path) -> None:
    from swath.serve.estimates import read_estimates

    points = tmp_path / "sample.csv"
    swath("area", "sample", landcover, "-n", 200, "-o", points)
    table = pd.read_csv(points, dtype=str)
    table.assign(reference=table["map_class"]).to_csv(points, index=False)
    assert swath("area", "estimate", landcover, points)[0] == 0
    shown = read_estimates(landcover)
    assert shown is not None and [row["name"] for row in shown["classes"]] == ["water", "forest", "field"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "Neither -n nor --standard-error"),
        (("-n", 200, "--standard-error", 0.01), "Both"),
        (("-n", 20), "at least 150: 50 for each"),
        (("-n", 200, "--expected", "woter=0.9"), "water"),
        (("-n", 200, "--expected", "7"), "from 0 to 1"),
        (("--standard-error", 2), "standard error"),
        (("-n", 200, "--strata", "none.tif"), "none.tif"),
    ],
)
def test_wrong_options_of_a_sample(
    swath: Run, landcover: Path, tmp_path: Path, options: tuple[object, ...], words: str
) -> None:
    code, _, err = swath("area", "sample", landcover, "-o", tmp_path / "s.gpkg", *options)
    assert code == 2 and words in err and "What to do" in err and "Traceback" not in err
    assert not (tmp_path / "s.gpkg").exists()


def test_wrong_names_of_files(swath: Run, landcover: Path, tmp_path: Path) -> None:
    code, _, err = swath("area", "sample", landcover, "-n", 200, "-o", tmp_path / "s.shp")
    assert code == 2 and ".gpkg" in err
    code, _, err = swath("area", "estimate", landcover, tmp_path / "none.csv")
    assert code == 2 and "There is no file" in err
    points = tmp_path / "s.csv"
    swath("area", "sample", landcover, "-n", 200, "-o", points)
    code, _, err = swath("area", "estimate", landcover, points)
    assert code == 2 and "None of the 200 points" in err
    code, _, err = swath("area", "estimate", landcover, points, "-o", tmp_path / "x.csv")
    assert code == 2 and ".json" in err
    code, _, err = swath("area", "estimate", landcover, points, "--confidence", "95")
    assert code == 2 and "0.95" in err


def test_standard_error_sets_the_size(swath: Run, landcover: Path, tmp_path: Path) -> None:
    points = tmp_path / "s.geojson"
    options = ("--standard-error", 0.02, "--expected", 0.8, "--allocation", "proportional")
    code, out, err = swath("area", "sample", landcover, "-o", points, *options)
    assert code == 0, err
    assert "400 points" in out  # (0.4 / 0.02) ^ 2
    assert len(json.loads(points.read_text())["features"]) == 400


def test_trust_of_a_run(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(OPTIONS))
    chips, run = tmp_path / "chips", tmp_path / "run"
    assert swath("chips", "cut", scene, "-l", polygons, "-o", chips, *CUT, *SENSOR)[0] == 0
    assert swath("train", chips, "-o", run, "-c", tmp_path / "train.yaml")[0] == 0
    code, out, err = swath("trust", run, chips, "--pixels", 200, "--alpha", 0.3)
    assert code == 0, err
    assert "area of applicability: dissimilarity up to" in out and "70% promised" in out
    assert (run / "trust.json").exists() and (run / "trust.safetensors").exists()
    code, _, err = swath("trust", run, chips, "--alpha", 3)
    assert code == 2 and "alpha" in err

    from swath import verbs
    from swath.judge.trust import Trust, trusted
    from swath.predict import predict_scene

    wrapped, layers = trusted(verbs.load(run), Trust.load(run))
    cube = verbs.as_cube(verbs.open(scene, sensor="sentinel2_l2a", baseline="05.09"))
    from swath.cubes import to_physical

    report = predict_scene(
        wrapped,
        to_physical(cube),
        tmp_path / "map.tif",
        tile=64,
        overlap=16,
        outputs=("class", "applicability", "set_size"),
        extra=layers,
        progress=False,
    )
    with rasterio.open(report.files["applicability"]) as raster:
        inside = raster.read(1)
    assert (inside[:10, :10] == 255).all() and (inside == 1).mean() > 0.5
