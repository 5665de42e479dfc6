"""``swath predict`` and ``swath predict-many``: what their options do to a real, small model."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from cli_scenes import BANDS, MEANS, SENSOR, SIZE, Run, write_polygons, write_scene

from swath.cli import show
from swath.cubes import raster
from swath.failures import EXIT_WITH_FAILURES

HOLE = 100  # pixels without data in a scene
CLASSES = sorted(MEANS)
OPTIONS = {
    "network": {"width": 4, "depth": 1, "norm": "channel"},
    "batch_size": 8,
    "fit": {"epochs": 2, "learning_rate": 0.02, "threads": 1},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model with ``trust.json`` in its folder."""
    import swath
    from swath.judge.calibrate import TrustOptions, calibrate
    from swath.types import Split

    folder = tmp_path_factory.mktemp("model")
    scene, polygons = write_scene(folder / "scene.tif"), write_polygons(folder / "polygons.geojson")
    tree = swath.open(scene, sensor="sentinel2_l2a", baseline="05.09")
    chips = swath.chips(tree, polygons, folder / "chips", column="cover", size=16, block=1)
    trained = swath.fit(chips, folder / "run", config=OPTIONS, progress=False)
    split = Split.load(folder / "chips" / "split.parquet")
    calibrate(trained, chips, split, TrustOptions(pixels=200)).save(folder / "run")
    return folder / "run"


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        bands: np.ndarray = dataset.read()
        return bands


def compressed(path: Path, scene: Path) -> Path:
    """A copy of a scene whose blocks are compressed, so that damage is noticed."""
    with rasterio.open(scene) as source:
        profile, numbers = {**source.profile, "compress": "deflate"}, source.read()
    with rasterio.open(path, "w", **profile) as target:
        target.write(numbers)
        target.descriptions = BANDS
    return path


def damage(path: Path) -> None:
    """Make the stored block of rows and columns 64 to 127 unreadable."""
    with rasterio.open(path) as dataset:
        start, size = (int(dataset.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\0" * size)


def test_every_output_agrees_with_the_others(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    names = "class,probability,probability_float16,confidence,margin,entropy"
    code, out, err = swath("predict", model, scene, "-o", tmp_path / "m.tif", *SENSOR, "--tile", 64, "--outputs", names)
    assert code == 0, err
    assert all(f"{name}: " in out for name in names.split(","))
    shares, exact = pixels(tmp_path / "m_probability.tif"), pixels(tmp_path / "m_probability_float16.tif")
    label, best = pixels(tmp_path / "m.tif")[0], pixels(tmp_path / "m_confidence.tif")[0]
    valid = label != 255
    assert (~valid).sum() == HOLE and not valid[:10, :10].any()
    np.testing.assert_allclose(shares[:, valid] / 200, exact[:, valid], atol=0.0035)
    np.testing.assert_array_equal(best[valid], shares.max(axis=0)[valid])
    ordered = np.sort(exact[:, valid], axis=0)
    clear = ordered[-1] - ordered[-2] > 0.002  # half precision makes ties
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(exact[:, valid].argmax(axis=0)[clear], label[valid][clear])
    np.testing.assert_allclose(pixels(tmp_path / "m_margin.tif")[0][valid] / 200, ordered[-1] - ordered[-2], atol=0.005)
    assert (pixels(tmp_path / "m_entropy.tif")[0][~valid] == 255).all()
    assert best[valid].min() > 200 / 3 - 1


def test_options_from_a_file(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    options = (
        "sensor: sentinel2_l2a\nbaseline: 05.09\ntile: 64\noverlap: 25%\noutputs: [class, margin]\nlenient: true\n"
    )
    (tmp_path / "map.yaml").write_text(options)
    code, out, err = swath("predict", model, scene, "-o", tmp_path / "a.tif", "--config", tmp_path / "map.yaml")
    assert code == 0, err
    assert "margin: " in out and "confidence: " not in out
    assert f"{show.percent(1 - HOLE / SIZE**2)} of the pixels mapped" in out
    typed = ("--tile", 64, "--outputs", "class,margin", "--lenient")
    assert swath("predict", model, scene, "-o", tmp_path / "b.tif", *SENSOR, *typed)[0] == 0
    np.testing.assert_array_equal(pixels(tmp_path / "a_margin.tif"), pixels(tmp_path / "b_margin.tif"))
    code, out, _ = swath(
        "predict", model, scene, "-o", tmp_path / "c.tif", "-c", tmp_path / "map.yaml", "--outputs", "class"
    )
    assert code == 0 and "margin: " not in out


def test_outputs_that_do_not_exist(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    for outputs, sentence in (
        ("class,spread", "--augment d4"),
        ("class,confidense", "the nearest name is: confidence"),
        ("class,xyz", "choose among these"),
        ("class,class", "name one twice"),
    ):
        code, _, err = swath("predict", model, scene, "-o", tmp_path / "m.tif", *SENSOR, "--outputs", outputs)
        assert code == 2
        assert sentence in " ".join(err.split()), err
    assert not list(tmp_path.glob("*m*.tif"))


def test_turned_views(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    plain = ("predict", model, scene, *SENSOR, "--tile", 64)
    assert swath(*plain, "-o", tmp_path / "p.tif", "--outputs", "class,probability_float16")[0] == 0
    outputs = ("--outputs", "class,probability_float16,spread,disagreement")
    code, _, err = swath(*plain, "-o", tmp_path / "m.tif", "--augment", "d4", *outputs)
    assert code == 0, err
    spread = pixels(tmp_path / "m_spread.tif")[0]
    assert np.isnan(spread[:10, :10]).all() and np.isfinite(spread[10:]).all()
    assert np.nanmax(spread) > 0  # a network with padding does see the direction
    assert not np.array_equal(
        pixels(tmp_path / "m_probability_float16.tif"), pixels(tmp_path / "p_probability_float16.tif"), equal_nan=True
    )
    assert (tmp_path / "m.qml").read_text() == (tmp_path / "p.qml").read_text()  # the same values and colours
    code, _, err = swath(*plain, "-o", tmp_path / "t.tif", "--augment", "d4", "--trust")
    assert code == 2 and "drop --augment or --trust" in " ".join(err.split())


def test_trust_adds_its_maps_and_changes_no_class(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    plain = ("predict", model, scene, *SENSOR, "--tile", 64)
    assert swath(*plain, "-o", tmp_path / "p.tif")[0] == 0
    code, out, err = swath(*plain, "-o", tmp_path / "m.tif", "--trust")
    assert code == 0, err
    np.testing.assert_array_equal(pixels(tmp_path / "m.tif"), pixels(tmp_path / "p.tif"))
    valid = pixels(tmp_path / "m.tif")[0] != 255
    for name, values in {"applicability": {0, 1}, "set_size": {0, 1, 2, 3}}.items():
        assert f"{name}: " in out
        assert set(np.unique(pixels(tmp_path / f"m_{name}.tif")[0][valid])) <= values
    assert np.isfinite(pixels(tmp_path / "m_dissimilarity.tif")[0][valid]).all()
    bare = tmp_path / "bare"
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("trust.*"))
    code, _, err = swath("predict", bare, scene, "-o", tmp_path / "n.tif", *SENSOR, "--trust")
    assert code == 2 and "swath trust" in " ".join(err.split())


def test_polygons_hold_the_area_of_the_map(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    plain = ("predict", model, scene, *SENSOR, "--tile", 64, "-o", tmp_path / "m.tif")
    code, out, err = swath(*plain, "--vectorise", tmp_path / "m.geojson", "--outputs", "confidence,class")
    assert code == 0, err
    assert "polygons: " in out
    rows = [each["properties"] for each in json.loads((tmp_path / "m.geojson").read_text())["features"]]
    assert sum(row["pixels"] for row in rows) == SIZE**2 - HOLE
    assert sum(row["area_m2"] for row in rows) == pytest.approx(100 * (SIZE**2 - HOLE), rel=2e-3)
    assert {row["class"] for row in rows} <= set(CLASSES)
    for options, sentence in (
        (("--vectorise", tmp_path / "m.shp"), "write to"),
        (("--vectorise", tmp_path / "m.gpkg", "--outputs", "margin"), "'class' among the outputs"),
    ):
        code, _, err = swath(*plain, *options)
        assert code == 2 and sentence in " ".join(err.split()), err


def test_polygons_of_something_else_are_refused_before_the_work(model: Path, scene: Path, tmp_path: Path) -> None:
    import swath
    from swath.errors import ConfigError

    tree = swath.open(scene, sensor="sentinel2_l2a", baseline="05.09")
    with pytest.raises(ConfigError, match="outputs are confidence"):
        swath.predict(model, tree, tmp_path / "m.tif", outputs=("confidence",), vectorise=tmp_path / "m.gpkg")
    with pytest.raises(ConfigError, match="Polygons were to be written"):
        swath.predict(model, tree, tmp_path / "m.tif", vectorise=tmp_path / "m.shp")
    assert not list(tmp_path.glob("m*"))


@pytest.mark.parametrize(
    ("overlap", "sentence"), [("51%", "51 % of the tile"), ("100%", "100 %"), ("64", "never get on")]
)
def test_overlaps_beyond_half_a_tile(
    swath: Run, model: Path, scene: Path, tmp_path: Path, overlap: str, sentence: str
) -> None:
    for command in ("predict", "predict-many"):
        code, _, err = swath(command, model, scene, "-o", tmp_path / "m.tif", "--tile", 64, "--overlap", overlap)
        assert code == 2 and sentence in " ".join(err.split()), err


def test_an_unreadable_block_is_no_data_and_exit_status_6(
    swath: Run, model: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raster, "CHUNK_ELEMENTS", 64 * 64 * len(BANDS))  # a chunk for every stored block
    broken = compressed(tmp_path / "broken.tif", scene)
    whole = broken.read_bytes()
    damage(broken)
    command = ("predict", model, broken, "-o", tmp_path / "maps" / "m.tif", *SENSOR, "--tile", 32)
    code, out, _ = swath(*command)
    assert code == EXIT_WITH_FAILURES
    assert "1 part of the scene" in out
    label = pixels(tmp_path / "maps" / "m.tif")[0]
    assert (label[64:, 64:] == 255).all() and (label == 255).sum() == HOLE + 64 * 64
    (row,) = csv.DictReader((tmp_path / "maps" / "m.tif.failures.csv").read_text().splitlines())
    assert row["item"].startswith("rows 64 to 127, columns 64 to 127") and row["stage"] == "read"
    broken.write_bytes(whole)
    assert swath(*command)[0] == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        "m.qml",
        "m.tif",
        "m_confidence.qml",
        "m_confidence.tif",
    ]
    assert (pixels(tmp_path / "maps" / "m.tif") == 255).sum() == HOLE


def test_many_scenes_with_bad_ones_among_them(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    other, bad = compressed(tmp_path / "other.tif", scene), tmp_path / "bad.tif"
    bad.write_bytes(scene.read_bytes()[:3000])
    command = ("predict-many", model, scene, bad, other, "-o", tmp_path / "maps", *SENSOR, "--tile", 64)
    code, out, _ = swath(*command, "--workers", 0)
    assert code == EXIT_WITH_FAILURES
    assert "2 of 3 scenes mapped" in out and f"failed: {bad}" in " ".join(out.split())
    (row,) = csv.DictReader((tmp_path / "maps" / "failures.csv").read_text().splitlines())
    assert row["item"] == str(bad)
    np.testing.assert_array_equal(pixels(tmp_path / "maps" / "scene.tif"), pixels(tmp_path / "maps" / "other.tif"))
    assert swath("predict", model, scene, "-o", tmp_path / "one.tif", *SENSOR, "--tile", 64)[0] == 0
    np.testing.assert_array_equal(pixels(tmp_path / "maps" / "scene.tif"), pixels(tmp_path / "one.tif"))
    again = ("predict-many", model, scene, other, "-o", tmp_path / "maps", *SENSOR, "--tile", 64, "--workers", 0)
    code, out, _ = swath(*again)
    assert code == 0 and "2 were finished before" in out
    assert not (tmp_path / "maps" / "failures.csv").exists()


def test_a_map_of_shares_is_no_class_map(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    assert swath("predict", model, scene, "-o", tmp_path / "m.tif", *SENSOR, "--tile", 64)[0] == 0
    share = tmp_path / "m_confidence.tif"
    code, _, err = swath("vectorise", share, "-o", tmp_path / "m.gpkg")
    assert code == 2 and "holds a quantity in steps of 0.005" in " ".join(err.split())
    code, _, err = swath("area", "sample", share, "-n", 300, "-o", tmp_path / "sample.gpkg")
    assert code == 2 and "holds a quantity in steps of 0.005" in " ".join(err.split())
    code, _, err = swath("vectorise", tmp_path / "m.tif", "-o", tmp_path / "m.gpkg", "--classes", "")
    assert code == 2 and "No classes were named" in err
    assert not list(tmp_path.glob("*.gpkg"))


def test_a_device_is_named_or_refused(
    swath: Run, model: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "map.tif"
    assert swath("predict", model, scene, "-o", out, *SENSOR, "--device", "cpu")[0] == 0
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = swath("predict", model, scene, "-o", tmp_path / "no.tif", *SENSOR, "--device", "cuda")
    assert code != 0 and "no graphics card" in err and not (tmp_path / "no.tif").exists()
    code, _, err = swath("predict", model, scene, "-o", tmp_path / "no.tif", *SENSOR, "--device", "tpu")
    assert code != 0 and "'auto'" in err
    code, _, err = swath("predict", model, tmp_path / "t.parquet", "-o", tmp_path / "no.parquet", "--device", "cuda")
    assert code != 0 and "--device was given with the table" in err


def test_what_has_no_card_is_refused(model: Path) -> None:
    from swath.errors import ConfigError
    from swath.loading import load

    with pytest.raises(ConfigError, match="published encoders and heads use the processor"):
        load("presto", device="cuda")
    with pytest.raises(ConfigError, match=r"'model\.onnx' was to compute on a graphics card"):
        load("model.onnx", device="cuda")
    there = "cuda" if torch.cuda.is_available() else "cpu"
    assert {each.device.type for each in load(model, device="auto").parameters()} == {there}  # type: ignore[union-attr]


def test_a_cluster_makes_the_same_maps(swath: Run, model: Path, scene: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    asked = ("predict", model, scene, *SENSOR, "--tile", 32, "--trust", "--overlap", 8)
    for name, more in (("alone", ()), ("shared", ("--cluster", "local:2"))):
        (tmp_path / name).mkdir()
        code, _, err = swath(*asked, "-o", tmp_path / name / "m.tif", *more)
        assert code == 0, err
    files = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "shared").iterdir()} == files
    assert len(files) > 3
    code, _, err = swath(*asked, "-o", tmp_path / "no.tif", "--cluster", "somewhere")
    assert code != 0 and "somewhere" in err
