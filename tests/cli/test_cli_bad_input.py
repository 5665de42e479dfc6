"""Bad input ends in one sentence: what was given, what was expected, what to do. Nothing half-written stays."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
import rasterio
from cli_scenes import CUT, SENSOR, Run, write_polygons, write_scene


def assert_sentence(result: tuple[int, str, str], *parts: str, absent: Path | None = None) -> None:
    code, _, err = result
    assert code != 0
    text = " ".join(err.split())
    assert "Expected:" in text
    assert "What to do:" in text
    assert "Traceback" not in text
    for part in parts:
        assert part in text, text
    if absent is not None:
        assert not absent.exists()
        assert not [path for path in absent.parent.iterdir() if absent.name in path.name], "half-written"


def test_missing_file(swath: Run, tmp_path: Path) -> None:
    assert_sentence(swath("open", tmp_path / "nothing.tif"), "nothing.tif")


def test_truncated_file(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    content = scene.read_bytes()
    scene.write_bytes(content[: len(content) // 2])
    out = tmp_path / "chips"
    assert_sentence(swath("chips", "cut", scene, "-l", polygons, "-o", out, *CUT, *SENSOR), "scene.tif", absent=out)


def test_file_that_is_no_raster(swath: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.tif").write_text("not a raster")
    assert_sentence(swath("open", tmp_path / "notes.tif"), "notes.tif")


def test_unknown_crs(swath: Run, tmp_path: Path) -> None:
    path = write_scene(tmp_path / "nowhere.tif", crs=None)
    assert_sentence(swath("open", path), "nowhere.tif", "CRS")


def test_labels_that_do_not_overlap(swath: Run, scene: Path, tmp_path: Path) -> None:
    far = write_polygons(tmp_path / "far.geojson", east=700_000.0)
    out = tmp_path / "chips"
    result = swath("chips", "cut", scene, "-l", far, "-o", out, *CUT, *SENSOR)
    assert_sentence(result, "far.geojson", "500000", "700030", absent=out)


def test_label_value_outside_the_legend(swath: Run, scene: Path, tmp_path: Path) -> None:
    with rasterio.open(scene) as raster:
        profile = {**raster.profile, "count": 1, "dtype": "uint8", "nodata": 255}
        shape = raster.shape
    labels = np.ones(shape, np.uint8)
    labels[:3, :5] = 7
    with rasterio.open(tmp_path / "labels.tif", "w", **profile) as raster:
        raster.write(labels, 1)
    (tmp_path / "legend.yaml").write_text("1: forest\n2: field\n")
    out = tmp_path / "chips"
    arguments = ("-l", tmp_path / "labels.tif", "--legend", tmp_path / "legend.yaml", "-o", out, "--size", 16, *SENSOR)
    assert_sentence(swath("chips", "cut", scene, *arguments), "labels.tif", "7", "15", absent=out)


def test_band_missing_and_band_twice(tmp_path: Path, scene: Path) -> None:
    import swath as front
    from swath.errors import InputError

    with pytest.raises(InputError, match="twice"):
        front.open(scene, bands=("B02", "B02", "B04", "B08"))
    with pytest.raises(InputError, match=r"4|four"):
        front.open(scene, bands=("B02", "B03"))


def test_all_masked_scene(swath: Run, polygons: Path, tmp_path: Path) -> None:
    path = write_scene(tmp_path / "empty.tif", fill=0)
    out = tmp_path / "chips"
    assert_sentence(swath("chips", "cut", path, "-l", polygons, "-o", out, *CUT, *SENSOR), "valid", absent=out)


def test_nothing_to_cut(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    out = tmp_path / "chips"
    arguments = ("--column", "cover", "--size", 512, *SENSOR)
    assert_sentence(swath("chips", "cut", scene, "-l", polygons, "-o", out, *arguments), absent=out)


def test_one_class_only(swath: Run, scene: Path, tmp_path: Path) -> None:
    single = write_polygons(tmp_path / "single.geojson", only="forest")
    chips, run = tmp_path / "chips", tmp_path / "run"
    code, _, err = swath("chips", "cut", scene, "-l", single, "-o", chips, *CUT, *SENSOR)
    assert code == 0, err
    assert_sentence(swath("train", chips, "-o", run), "forest", "two classes", absent=run)


def test_unknown_and_impossible_options(swath: Run, tmp_path: Path, scene: Path, polygons: Path) -> None:
    chips, run = tmp_path / "chips", tmp_path / "run"
    assert swath("chips", "cut", scene, "-l", polygons, "-o", chips, *CUT, *SENSOR)[0] == 0
    config = tmp_path / "train.yaml"
    config.write_text("batchsize: 8\n")
    assert_sentence(swath("train", chips, "-o", run, "-c", config), "batchsize", "batch_size", absent=run)
    config.write_text("fit:\n  epoch: 8\n")
    assert_sentence(swath("train", chips, "-o", run, "-c", config), "fit.epoch", "epochs", absent=run)
    config.write_text("batch_size: many\n")
    assert_sentence(swath("train", chips, "-o", run, "-c", config), "many", "whole number", absent=run)


def test_stored_numbers_fed_as_reflectance(tmp_path: Path, scene: Path) -> None:
    import swath as front
    from swath import cubes, predict, sensors
    from swath.errors import InputError
    from swath.learn import SegmentationTask
    from swath.nn import Normalise, UNet

    bands = sensors.load("sentinel2_l2a").bands.select(("B02", "B03", "B04", "B08"))
    model = SegmentationTask(UNet(4, 2, width=4, depth=0), Normalise([0.1] * 4, [0.1] * 4), bands, ("a", "b"))
    cube = cubes.to_physical(cubes.to_cube(front.open(scene, sensor="sentinel2_l2a", baseline="05.09")))
    wrong = cube.assign(data=cube["data"] * 10_000)
    wrong.attrs = cube.attrs
    with pytest.raises(InputError, match=r"reflectance"):
        predict.predict_scene(model, wrong, tmp_path / "map.tif", tile=64, overlap=0, progress=False)
    assert not (tmp_path / "map.tif").exists()


def test_model_without_a_band_of_the_scene(swath: Run, tmp_path: Path, scene: Path, polygons: Path) -> None:
    chips, run, out = tmp_path / "chips", tmp_path / "run", tmp_path / "map.tif"
    assert swath("chips", "cut", scene, "-l", polygons, "-o", chips, *CUT, *SENSOR)[0] == 0
    code, _, err = swath("train", chips, "-o", run, "--epochs", 1)
    assert code == 0, err
    with rasterio.open(scene) as raster:
        profile, data = {**raster.profile, "count": 2}, raster.read([1, 2])
    with rasterio.open(tmp_path / "two.tif", "w", **profile) as raster:
        raster.write(data)
        raster.descriptions = ("B02", "B03")
    assert_sentence(swath("predict", run, tmp_path / "two.tif", "-o", out, *SENSOR), "B04", "B08", absent=out)


def test_missing_model(swath: Run, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    assert_sentence(swath("predict", tmp_path / "nothing", scene, "-o", out), "nothing", absent=out)


def test_unknown_system_and_sensor(swath: Run, scene: Path) -> None:
    assert_sentence(swath("run", "planet_land_covr"), "planet_land_cover")
    assert_sentence(swath("open", scene, "--sensor", "sentinel2"), "sentinel2_l2a")


def test_port_in_use(swath: Run, tmp_path: Path) -> None:
    from swath.serve import write_layers

    write_layers(tmp_path, (), "empty")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_sentence(swath("serve", tmp_path, "--port", port), str(port))


def test_packaged_data_absent(swath: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from swath.sources.planet import packages

    def absent(layer: str) -> Path:
        raise packages._missing([layer])

    monkeypatch.setattr(packages, "locate", absent)
    monkeypatch.setattr("swath.sources.planet.fetch", lambda progress=None, failures=None: [])
    out = tmp_path / "planet"
    assert_sentence(swath("data", "make", "planet", "--out", out), "swath data get planet", absent=out)
