"""Archives, chip sets and minicubes of a procedural Earth: whole, resumable, readable by the ordinary commands."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from swath import chips, cubes
from swath.cli import app
from swath.cubes import catalogue
from swath.errors import ConfigError, InputError
from swath.sources.world import archive, samples
from swath.sources.world.archive import Wanted, box_of, is_dark
from swath.sources.world.packages import missing
from swath.sources.world.places import PLACES, place_of
from swath.sources.world.truth import COVER, LAYERS
from swath.sources.world.world import World

pytestmark = pytest.mark.skipif(bool(missing()), reason="needs the spectra of: swath data get world")

WANTED = Wanted("bavaria", ("sentinel2-l2a", "sentinel1_grd"), "2024-06-01/2024-06-12", size_m=480.0, every=12)


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=0, base="procedural")


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> archive.Archive:
    return archive.make(world, WANTED, tmp_path_factory.mktemp("archive"))


def test_every_overpass_becomes_an_item_with_its_truth(made: archive.Archive) -> None:
    assert made.made == 2
    assert not made.failures
    found = catalogue.search(made.catalogue.parent)
    assert {item.collection for item in found} == {"sentinel2_l2a", "sentinel1_grd", "truth"}
    optical = next(item for item in found if item.collection == "sentinel2_l2a")
    assert optical.cloud_cover is not None
    assert optical.properties["swath:data"] == "simulated"
    assert optical.properties["swath:world"] == "world/v1"
    assert len(optical.properties["swath:world_hash"]) == 64


def test_scenes_of_the_archive_open_with_their_scale_and_quality(made: archive.Archive) -> None:
    (item,) = catalogue.search(made.catalogue, collections=["sentinel2_l2a"])
    scene = catalogue.load(item)
    assert [node.to_dataset().sizes["x"] for node in scene.children.values()] == [48, 24, 8]
    assert "quality" in scene["grid_20m"]
    assert bool(scene["grid_60m"]["valid"].all())
    values = cubes.to_physical(scene["grid_10m"].to_dataset())["data"].values
    assert 0.0 < float(np.median(values)) < 1.0
    (radar,) = catalogue.search(made.catalogue, collections=["sentinel1_grd"])
    assert -40 < float(catalogue.load(radar)["grid_10m"]["data"].mean()) < 5


def test_truth_lies_beside_with_units_and_legends(made: archive.Archive, world: World) -> None:
    item = catalogue.search(made.catalogue, collections=["truth"])[0]
    truth = world.truth(box_of(world, WANTED), item.time)
    cover = item.assets["cover"]
    assert cubes.read_legend(cover.path) == COVER
    np.testing.assert_array_equal(cubes.read_labels(cover.path).values, truth["cover"].values)
    assert set(LAYERS) == set(item.assets)


def test_making_again_makes_nothing(made: archive.Archive, world: World) -> None:
    folder = made.catalogue.parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif")}
    again = archive.make(world, WANTED, folder)
    assert again.made == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif")} == before


def test_a_missing_or_foreign_item_is_made_again(made: archive.Archive, world: World) -> None:
    folder = made.catalogue.parent
    (item,) = catalogue.search(folder, collections=["sentinel1_grd"])
    first = item.assets["VV"].path.read_bytes()
    item.assets["VV"].path.unlink()
    record = json.loads(item.path.read_text())
    assert archive.make(world, WANTED, folder).made == 1
    assert item.assets["VV"].path.read_bytes() == first
    record["properties"]["swath:fingerprint"] = "another"
    item.path.write_text(json.dumps(record))
    assert archive.make(world, WANTED, folder).made == 1


def test_the_commands_read_what_was_made(made: archive.Archive, tmp_path: Path) -> None:
    folder, runner = made.catalogue.parent, CliRunner()
    listed = runner.invoke(app, ["scenes", "search", str(folder), "--json"])
    assert listed.exit_code == 0
    assert {row["collection"] for row in json.loads(listed.stdout)} == {"sentinel2_l2a", "sentinel1_grd", "truth"}
    both = runner.invoke(app, ["scenes", "load", str(folder)])
    assert isinstance(both.exception, ConfigError)
    store = tmp_path / "cube.zarr"
    loaded = runner.invoke(app, ["scenes", "load", str(folder), "--collection", "sentinel2_l2a", "-o", str(store)])
    assert loaded.exit_code == 0, loaded.output
    assert set(cubes.open(store).children) == {"grid_10m", "grid_20m", "grid_60m"}
    scene = next((folder / "sentinel2_l2a").glob("bavaria*"))
    labels = next((folder / "truth").glob("bavaria*")) / "cover.tif"
    cut = runner.invoke(
        app,
        [
            "chips",
            "cut",
            str(scene),
            "--labels",
            str(labels),
            "-o",
            str(tmp_path / "chips"),
            "--size",
            "8",
            "--min-valid",
            "0",
        ],
    )
    assert cut.exit_code == 0, cut.output
    assert chips.open(tmp_path / "chips").classes == COVER.names


def test_chips_with_truth_as_labels(world: World, tmp_path: Path) -> None:
    box = box_of(world, WANTED)
    made = samples.chip_set(world, box, "sentinel2_l2a", "2024-06-07", tmp_path / "set", size=8)
    assert made.classes == COVER.names
    assert made.bands.names[:2] == ("B02", "B03")
    with pytest.raises(ConfigError, match="no classes"):
        samples.chip_set(world, box, "sentinel2_l2a", "2024-06-07", tmp_path / "other", layer="elevation")


def test_minicubes_hold_images_truth_and_weather(world: World, tmp_path: Path) -> None:
    wanted = Wanted("bavaria", ("sentinel2_l2a",), "2024-06-05/2024-06-12", size_m=480.0)
    store = samples.minicube(
        world, box_of(world, wanted), wanted, tmp_path / "mini.zarr", layers=("cover", "leaf_area")
    )
    images = cubes.open(store)["grid_10m"].to_dataset()
    truth = xr.open_zarr(store, group="truth", consolidated=False)
    weather = xr.open_zarr(store, group="weather", consolidated=False)
    assert images.sizes["time"] == truth.sizes["time"] >= 1
    assert set(truth.data_vars) >= {"cover", "leaf_area"}
    assert {"temperature", "rain", "cloud"} <= set(weather.data_vars)
    with pytest.raises(ConfigError, match="no layer 'leaf'"):
        samples.minicube(world, box_of(world, wanted), wanted, tmp_path / "x.zarr", layers=("leaf",))
    with pytest.raises(ConfigError, match="2 sensors"):
        samples.minicube(world, box_of(world, WANTED), WANTED, tmp_path / "x.zarr")


def test_sky_and_weather_of_a_day(world: World) -> None:
    box = box_of(world, WANTED)
    sky, again = world.conditions(box, "2024-06-07"), world.conditions(box, "2024-06-07")
    assert sky == again
    series = world.weather(box, "2024-06-05", "2024-06-09")
    assert series.sizes["day"] == 5
    assert sky.cloud_fraction == pytest.approx(float(series["cloud"][2]), abs=1e-3)
    assert sky.wind_speed == pytest.approx(float(series["wind"][2]), abs=1e-2)
    assert sky.atmosphere is not None
    # A June day in the middle latitudes: 1 to 5 cm of water, 0.3 to 0.4 cm-atm of ozone (standard atmospheres).
    assert 0.5 < sky.atmosphere.water_vapour_g_cm2 < 6.0
    assert 0.30 < sky.atmosphere.ozone_cm_atm < 0.42


def test_overpasses_come_every_few_days_wherever_the_interval_begins() -> None:
    whole = list(Wanted("kenya", ("sentinel2_l2a",), "2024").days("sentinel2_l2a", 32737))
    assert {int((b - a).astype(int)) for a, b in itertools.pairwise(whole)} == {5}
    part = list(Wanted("kenya", ("sentinel2_l2a",), "2024-05-03/2024-06-20").days("sentinel2_l2a", 32737))
    assert part == [day for day in whole if np.datetime64("2024-05-03") <= day <= np.datetime64("2024-06-20")]
    assert len(whole) == 73


def test_polar_night_gives_radar_only(world: World) -> None:
    box = world.box(16.0, 78.4, 600.0)
    assert is_dark(box, np.datetime64("2024-12-21"), "sentinel2_l2a")
    assert not is_dark(box, np.datetime64("2024-06-21"), "sentinel2_l2a")
    assert not is_dark(box, np.datetime64("2024-12-21"), "sentinel1_grd")


def test_places() -> None:
    assert place_of("po_valley") is PLACES["po_valley"]
    free = place_of("-120.5,37.25")
    assert (free.lon, free.lat, free.name) == (-120.5, 37.25, "37p250N_120p500W")
    for wrong in ("po_vally", "200,10", "a,b", "1,2,3", ""):
        with pytest.raises(ConfigError, match="is unknown"):
            place_of(wrong)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"sensors": ("sentinel3",)}, ConfigError, "no|not observed"),
        ({"region": "atlantis"}, ConfigError, "unknown"),
        ({"size_m": 0.0}, ConfigError, "size"),
        ({"every": 0}, ConfigError, "every"),
        ({"time": "1979-05"}, InputError, "1980"),
        ({"time": "2101"}, InputError, "1980"),
        ({"time": "soon"}, InputError, "no time"),
    ],
)
def test_bad_wishes(change: dict, error: type[Exception], said: str) -> None:
    wish = {"region": "kenya", "sensors": ("sentinel2_l2a",), "time": "2024-05"} | change
    with pytest.raises(error, match=said):
        Wanted(**wish)


def test_no_overpass_by_day_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="enough sun"):
        archive.make(world, Wanted("svalbard", ("sentinel2_l2a",), "2024-12"), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["world"], "place, a sensor and a time"),
        (["world", "--resolution", "1"], "--resolution"),
        (["planet", "--region", "kenya"], "--region"),
        (["wolrd"], "no data set"),
        (["world", "--region", "kenya", "--sensor", "sentinel2-l2a", "--time", "2024-05-05", "--base", "moon"], "moon"),
    ],
)
def test_bad_commands(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "make", *arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code != 0
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_places_are_listed() -> None:
    result = CliRunner().invoke(app, ["data", "make", "world", "--regions"])
    assert result.exit_code == 0
    assert "po_valley" in result.stdout
