"""Mistakes that used to cost a file or pass in silence: checked before anything is read or written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from cli_scenes import BANDS, CUT, SENSOR, Run, write_polygons

from swath.files import sha256


def assert_fails(result: tuple[int, str, str], *parts: str) -> None:
    code, _, err = result
    text = " ".join(err.split())
    assert code == 2, text
    assert "What to do:" in text
    for part in parts:
        assert part in text, text


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An untrained model of reflectance."""
    from swath import sensors
    from swath.learn import SegmentationTask, save_checkpoint
    from swath.nn import Normalise, UNet

    bands = sensors.load("sentinel2_l2a").bands.select(BANDS)
    task = SegmentationTask(UNet(4, 2, width=4, depth=0), Normalise([0.1] * 4, [0.1] * 4), bands, ("a", "b"))
    save_checkpoint(tmp_path / "model", task, config={}, provenance={})
    return tmp_path / "model"


@pytest.fixture
def reflectance(scene: Path, tmp_path: Path) -> Path:
    """The scene as floating-point reflectance."""
    with rasterio.open(scene) as raster:
        profile = {**raster.profile, "dtype": "float32", "nodata": float("nan")}
        stored, names = raster.read(), raster.descriptions
    path = tmp_path / "reflectance.tif"
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(np.where(stored == 0, np.nan, (stored.astype("float32") - 1000) / 10_000).astype("float32"))
        raster.descriptions = names
    return path


@pytest.fixture
def raster_labels(scene: Path, tmp_path: Path) -> Path:
    with rasterio.open(scene) as raster:
        profile, shape = {**raster.profile, "count": 1, "dtype": "uint8", "nodata": 255}, raster.shape
    with rasterio.open(tmp_path / "labels.tif", "w", **profile) as raster:
        raster.write(np.arange(shape[0] * shape[1], dtype="uint32").reshape(shape).astype("uint8") % 2 + 1, 1)
    return tmp_path / "labels.tif"


def test_a_map_never_replaces_the_scene(swath: Run, scene: Path, model: Path, tmp_path: Path) -> None:
    before = sha256(scene)
    (tmp_path / "link.tif").symlink_to(scene)
    (tmp_path / "hard.tif").hardlink_to(scene)
    for out in (scene, tmp_path / "link.tif", tmp_path / "hard.tif", tmp_path / "model" / ".." / "scene.tif"):
        assert_fails(swath("predict", model, scene, "-o", out, *SENSOR), "would replace", "scene.tif")
        assert sha256(scene) == before
    sibling = scene.rename(tmp_path / "map_confidence.tif")
    assert_fails(
        swath("predict", model, sibling, "-o", tmp_path / "map.tif", *SENSOR), "map_confidence.tif", "would replace"
    )
    assert sha256(sibling) == before
    assert not (tmp_path / "map.tif").exists()


def test_a_map_never_joins_a_folder_of_bands(swath: Run, scene: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "bands").mkdir()
    inside = scene.rename(tmp_path / "bands" / "scene.tif")
    assert_fails(swath("predict", model, inside.parent, "-o", inside.parent / "map.tif", *SENSOR), "join the scene")


def test_the_request_is_checked_before_the_scene_is_opened(swath: Run, model: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent.tif"
    assert_fails(swath("predict", tmp_path / "no_model", absent, "-o", tmp_path / "m.tif"), "no_model")
    assert_fails(swath("predict", model, absent, "-o", tmp_path / "m.tif", "--tile", 8, "--overlap", 5), "overlap is 5")
    for text in ("-1", "100%", "much"):
        assert_fails(
            swath("predict", model, absent, "-o", tmp_path / "m.tif", "--overlap", text), "overlap is", "--overlap"
        )
    assert_fails(swath("predict", model, absent, "-o", tmp_path / "m.png"), "'.png'", "m.tif")
    assert_fails(swath("predict", model, absent, "-o", tmp_path / "m"), "suffix ''", "m.tif")
    for folder in (model, ".", ".."):
        assert_fails(swath("predict", model, absent, "-o", folder), "is a folder")
    (tmp_path / "folder.tif").mkdir()
    assert_fails(swath("predict", model, absent, "-o", tmp_path / "folder.tif"), "is a folder")
    assert_fails(swath("predict", model, absent, "-o", tmp_path / "m.tif"), "absent.tif")


def test_stored_numbers_without_a_sensor_are_not_reflectance(
    swath: Run, scene: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.tif"
    assert_fails(swath("predict", model, scene, "-o", out), "B02", "reflectance", "--sensor", "--level", "--baseline")
    assert not out.exists()
    assert swath("predict", model, scene, "-o", out, *SENSOR, "--tile", 64, "--overlap", 0)[0] == 0


def test_reflectance_is_not_scaled_again(
    swath: Run, reflectance: Path, polygons: Path, model: Path, tmp_path: Path
) -> None:
    chips, out = tmp_path / "chips", tmp_path / "m.tif"
    cut = ("chips", "cut", reflectance, "-l", polygons, "-o", chips, *CUT)
    predict = ("predict", model, reflectance, "-o", out, "--tile", 64, "--overlap", 0)
    for command in (cut, predict):
        assert_fails(swath(*command, *SENSOR), "holds reflectance already", "--level physical")
    assert not chips.exists() and not out.exists()
    physical = ("--sensor", "sentinel2_l2a", "--level", "physical")
    for command in (cut, predict):
        code, _, err = swath(*command, *physical)
        assert code == 0, err


@pytest.mark.parametrize(
    "option", [("size", 0), ("stride", 0), ("block", 0), ("buffer", -1.0), ("buffer", float("nan")), ("seed", -1)]
)
def test_numbers_of_the_cutting_are_checked_first(
    option: tuple[str, float], scene: Path, polygons: Path, tmp_path: Path
) -> None:
    import swath as front
    from swath.errors import ConfigError

    with pytest.raises(ConfigError, match=f"{option[0]} = "):
        front.chips(tmp_path / "absent.tif", polygons, tmp_path / "chips", column="cover", **{option[0]: option[1]})


def test_a_split_that_fails_leaves_the_old_chips(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    out = tmp_path / "chips"
    assert swath("chips", "cut", scene, "-l", polygons, "-o", out, *CUT, *SENSOR)[0] == 0
    before = {path.relative_to(out): sha256(path) for path in out.rglob("*") if path.is_file()}
    entries = sorted(path.name for path in tmp_path.iterdir())
    one_block = ("--column", "cover", "--size", 16, "--block", 100)
    assert_fails(swath("chips", "cut", scene, "-l", polygons, "-o", out, *one_block, *SENSOR), "blocks")
    assert {path.relative_to(out): sha256(path) for path in out.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == entries
    assert_fails(swath("chips", "cut", scene, "-l", polygons, "-o", tmp_path / "new", *one_block, *SENSOR), "blocks")
    assert sorted(path.name for path in tmp_path.iterdir()) == entries


def test_chips_without_a_split_are_described(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    assert swath("chips", "cut", scene, "-l", polygons, "-o", tmp_path / "chips", *CUT, *SENSOR)[0] == 0
    (tmp_path / "chips" / "split.parquet").unlink()
    code, out, _ = swath("chips", "describe", tmp_path / "chips")
    assert code == 0 and "no split" in out


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"1: forest\n\t2: field\n", "not YAML"),
        (b"\x89PNG\r\n\x00\xff", "not YAML"),
        (b"1: forest\n1: field\n", "'1' is given twice"),
        (b"1: forest\n0x1: field\n", "'1' is given twice"),
        (b"forest: 1\n", "whole numbers to names"),
        (b"yes: forest\n", "whole numbers to names"),
        (b"", "whole numbers to names"),
        (None, "is a folder"),
    ],
)
def test_legends(
    content: bytes | None, part: str, swath: Run, scene: Path, raster_labels: Path, tmp_path: Path
) -> None:
    legend = tmp_path / "legend.yaml"
    legend.mkdir() if content is None else legend.write_bytes(content)
    arguments = ("-l", raster_labels, "--legend", legend, "-o", tmp_path / "chips", "--size", 16, *SENSOR)
    assert_fails(swath("chips", "cut", scene, *arguments), "legend.yaml", part)
    assert not (tmp_path / "chips").exists()


def test_options_that_the_labels_do_not_use(
    swath: Run, scene: Path, polygons: Path, raster_labels: Path, tmp_path: Path
) -> None:
    legend = tmp_path / "legend.yaml"
    legend.write_text("1: forest\n2: field\n")
    out = ("-o", tmp_path / "chips", *SENSOR)
    both = ("--column", "cover", "--legend", legend)
    assert_fails(swath("chips", "cut", scene, "-l", polygons, *both, *out), "leave out --legend")
    assert_fails(swath("chips", "cut", scene, "-l", raster_labels, *both, *out), "leave out --column")


@pytest.mark.parametrize(
    "arguments",
    [
        ("chips", "cut", "s", "-l", "l", "-o", "o", "--block", 0),
        ("chips", "cut", "s", "-l", "l", "-o", "o", "--buffer", -1),
        ("chips", "cut", "s", "-l", "l", "-o", "o", "--seed", -1),
        ("chips", "cut", "s", "-l", "l", "-o", "o", "--size", 0),
        ("chips", "cut", "s", "-l", "l", "-o", "o", "--stride", 0),
        ("chips", "cut", "s", "-l", "l", "-o", "o", "--min-valid", 2),
        ("chips", "show", "c", "--count", 0),
        ("train", "c", "-o", "o", "--epochs", 0),
        ("train", "c", "-o", "o", "--batch-size", 0),
        ("train", "c", "-o", "o", "--seed", -1),
        ("predict", "m", "s", "-o", "o", "--tile", 0),
        ("run", "planet_land_cover", "--seed", -1),
    ],
)
def test_numbers_out_of_range_are_named(arguments: tuple[object, ...], swath: Run) -> None:
    code, _, err = swath(*arguments)
    assert code == 2
    plain = re.sub(r"\x1b\[[0-9;]*m", "", err)  # terminals may get colours
    assert str(arguments[-2]) in plain and "should be" in plain


def test_suffixes_say_what_is_written(swath: Run, scene: Path, model: Path, tmp_path: Path) -> None:
    assert_fails(swath("evaluate", model, tmp_path, "-o", tmp_path / "rows.csv"), "'.csv'", ".parquet or no suffix")
    assert_fails(swath("evaluate", model, tmp_path, "-o", "."), "output.parquet")
    assert_fails(swath("chips", "show", tmp_path, "-o", tmp_path / "sheet"), "sheet.png")
    assert_fails(swath("open", scene, "--picture", tmp_path / "look.tif"), "look.png")


def test_a_run_does_not_begin_among_other_things(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    chips = tmp_path / "chips"
    assert swath("chips", "cut", scene, "-l", polygons, "-o", chips, *CUT, *SENSOR)[0] == 0
    entries = sorted(path.name for path in chips.iterdir())
    assert_fails(swath("train", chips, "-o", chips, "--epochs", 1), "chips.json", "no run")
    assert_fails(swath("train", chips, "-o", scene, "--epochs", 1), "is a file")
    assert sorted(path.name for path in chips.iterdir()) == entries


def test_bands_and_time_can_be_named(swath: Run, scene: Path, polygons: Path, model: Path, tmp_path: Path) -> None:
    with rasterio.open(scene, "r+") as raster:
        raster.descriptions = (None,) * len(BANDS)
    named = ("--bands", "B02, B03,B04,B08", "--time", "2021-06-01T10:30:00")
    code, out, err = swath("open", scene, *SENSOR, *named)
    assert code == 0, err
    assert "B08" in out and "2021-06-01" in out
    chips = tmp_path / "chips"
    code, out, err = swath("chips", "cut", scene, "-l", polygons, "-o", chips, *CUT, *SENSOR, *named)
    assert code == 0, err
    assert "bands B02, B03, B04, B08" in out
    tiles = ("--tile", 64, "--overlap", 0)
    code, _, err = swath("predict", model, scene, "-o", tmp_path / "m.tif", *SENSOR, *named, *tiles)
    assert code == 0, err


def test_drop_rules_reach_the_cutting(swath: Run, scene: Path, tmp_path: Path) -> None:
    import swath as front

    polygons = write_polygons(tmp_path / "some.geojson")
    counts = []
    for share in ("0", "0.7"):
        out = tmp_path / f"chips{share}"
        code, _, err = swath(
            "chips", "cut", scene, "-l", polygons, "-o", out, *CUT, *SENSOR, "--min-labelled", share, "--min-valid", 0
        )
        assert code == 0, err
        counts.append(len(front.chips.open(out)))
    assert counts[0] == 64 > counts[1]
