"""The whole chain on a made-up scene, on the command line and in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from cli_scenes import CUT, MEANS, SENSOR, SIZE, Run

OPTIONS = {
    "network": {"width": 8, "depth": 1, "norm": "channel"},
    "batch_size": 8,
    "augment": {"brightness": 0.0},
    "fit": {"epochs": 12, "learning_rate": 0.01, "threads": 1},
}


def test_from_scene_to_map(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    code, out, err = swath("open", scene, *SENSOR, "--picture", tmp_path / "look.png")
    assert code == 0, err
    assert "B08" in out
    assert (tmp_path / "look.png").stat().st_size > 1_000

    code, out, err = swath("chips", "cut", scene, "-l", polygons, "-o", tmp_path / "chips", *CUT, *SENSOR)
    assert code == 0, err
    assert "chips of 16 x 16 pixels" in out
    assert (tmp_path / "chips" / "split.parquet").exists()

    code, _, err = swath("chips", "show", tmp_path / "chips", "-o", tmp_path / "sheet.png")
    assert code == 0, err
    assert (tmp_path / "sheet.png").stat().st_size > 1_000

    (tmp_path / "train.yaml").write_text(yaml.safe_dump(OPTIONS))
    code, _, err = swath("train", tmp_path / "chips", "-o", tmp_path / "run", "-c", tmp_path / "train.yaml")
    assert code == 0, err

    code, out, err = swath("evaluate", tmp_path / "run", tmp_path / "chips", "-o", tmp_path / "rows")
    assert code == 0, err
    assert "miou" in out
    assert (tmp_path / "rows.csv").exists()

    tiles = ("--tile", 64, "--overlap", 16)
    code, _, err = swath("predict", tmp_path / "run", scene, "-o", tmp_path / "map.tif", *SENSOR, *tiles)
    assert code == 0, err
    with rasterio.open(tmp_path / "map.tif") as raster:
        labels = raster.read(1)
        assert raster.nodata is not None
        assert np.all(labels[:10, :10] == raster.nodata)
        assert np.mean(labels == raster.nodata) == pytest.approx(100 / SIZE**2)
    assert (tmp_path / "map.qml").exists()
    middle = labels[20:, SIZE // 2]
    assert np.bincount(middle).argmax() == sorted(MEANS).index("forest")


def test_six_lines_of_python_do_the_same(scene: Path, polygons: Path, tmp_path: Path) -> None:
    import swath

    tree = swath.open(scene, sensor="sentinel2_l2a", baseline="05.09")
    chips = swath.chips(tree, polygons, tmp_path / "chips", column="cover", size=16, block=1)
    model = swath.fit(chips, tmp_path / "run", config=OPTIONS, progress=False)
    report = swath.predict(model, tree, tmp_path / "map.tif", tile=64, overlap=16, progress=False)
    score = swath.score(model, chips)
    assert report.files["class"] == tmp_path / "map.tif"
    assert score.value("accuracy") > 0.8  # three strips of clearly different colours
    again = swath.load(tmp_path / "run")
    assert again.classes == model.classes
