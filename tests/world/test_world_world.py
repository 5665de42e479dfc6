"""The front door: boxes, days, layers, what it says about itself, and bad input."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from plain_base import COAST, plain_world

from swath.errors import ConfigError, InputError, ResourceError
from swath.sources.world import version as module
from swath.sources.world.frame import NORTH_POLE, Window, Zone, window_of, zone_at
from swath.sources.world.truth import LAYERS, WORLD_VERSION, check_truth
from swath.sources.world.version import version_hash
from swath.sources.world.world import World

DAY = "2023-07-15"
STILL = ["elevation", "slope", "height_above_drainage", "soil", "wealth"]


@pytest.fixture(scope="module")
def world() -> World:
    return plain_world(2)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (11.5, 48.1, 32632),
        (179.99, 10.0, 32660),
        (-179.99, 10.0, 32601),
        (10.0, 90.0, NORTH_POLE),
        (0.5, -0.001, 32731),
    ],
)
def test_boxes_lie_around_their_place(lon: float, lat: float, epsg: int) -> None:
    world = World(base="procedural")
    for size, gsd, shape in ((5120.0, 10, (512, 512)), ((3, 4), 30, (3, 4)), (1000.0, 250, (4, 4))):
        box = world.box(lon, lat, size, gsd)
        assert box.shape == shape and box.crs is not None and box.crs.epsg == epsg
        window = window_of(box)
        x, y = zone_at(lon, lat).metres(lon, lat)
        assert abs(window.x.mean() - x) <= gsd and abs(window.y.mean() - y) <= gsd


def test_the_truth_of_a_box(world: World) -> None:
    truth = world.truth(world.box(COAST + 1.5, 48.0, (40, 50)), "2023-07-15T10:30")
    assert check_truth(truth).shape == (40, 50)
    assert list(truth.data_vars) == list(LAYERS)
    assert truth["time"].values == np.datetime64("2023-07-15")
    for name, info in LAYERS.items():
        layer = truth[name]
        expected = {"quantity": np.float32, "class": np.uint8, "identity": np.int64}[info.kind]
        assert layer.dtype == expected and layer.attrs["units"] == info.unit, name
        if info.kind == "quantity":
            whole = layer.values.astype(np.float64) / info.step
            np.testing.assert_array_equal(whole, np.rint(whole))
    assert truth.attrs["world"] == WORLD_VERSION and truth.attrs["world_seed"] == 2
    assert truth.attrs["world_hash"] == version_hash() == world.version_hash()
    assert truth["leaf_area"].values.max() > 0.2


def test_summer_and_winter_differ_only_where_things_move(world: World) -> None:
    box = world.box(COAST + 1.5, 48.0, (30, 30))
    summer, winter = world.truth(box, DAY), world.truth(box, "2023-01-15")
    for name, info in LAYERS.items():
        if not info.moves:
            np.testing.assert_array_equal(summer[name].values, winter[name].values)
    assert summer["leaf_area"].mean() > winter["leaf_area"].mean()


def test_layers_by_name_and_coarse_pixels(world: World) -> None:
    box = world.box(COAST + 1.5, 48.0, (2, 3), 100)
    some = world.truth(box, DAY, ["cover", "elevation", "cover"])
    assert set(some.data_vars) | {"cover"} == {"cover", "elevation", "cover_fraction"}
    assert some["cover_fraction"].dims == ("cover", "y", "x") and some["cover_fraction"].shape == (11, 2, 3)
    np.testing.assert_allclose(some["cover_fraction"].sum("cover"), 1.0, rtol=1e-6)
    assert list(some["cover_class"].values)[:2] == ["tree cover", "shrubland"]
    check_truth(some)
    assert world.truth(box, DAY, "soil")["soil_fraction"].shape == (5, 2, 3)
    assert "field" not in world.truth(box, DAY)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 1)])
def test_small_and_empty_windows(world: World, shape: tuple[int, int]) -> None:
    window = window_of(world.box(COAST + 1.5, 48.0, (1, 1)))
    truth = world.truth(Window(window.zone, window.row, window.column, *shape), DAY)
    assert truth["elevation"].shape == shape and truth["cover"].dtype == np.uint8


def test_a_pole_and_the_antimeridian_have_truth(world: World) -> None:
    for lon, lat in ((30.0, 89.99), (179.9999, -16.0)):
        truth = world.truth(world.box(lon, lat, (8, 8)), DAY, STILL)
        assert np.isfinite(truth["elevation"].values).all()


def test_a_lazy_truth_tells_its_shape_before_anything_is_made() -> None:
    world = plain_world(2)
    box = world.box(COAST + 1.5, 48.0, (50_000, 50_000))
    lazy = world.truth(box, DAY, chunks=1000)
    assert lazy["elevation"].shape == (50_000, 50_000) and lazy["elevation"].chunks is not None
    assert len(world.earth._cells) == 0
    coarse = world.truth(world.box(COAST + 1.5, 48.0, (4, 5), 250), DAY, ["cover"], chunks=3)
    assert coarse["cover_fraction"].shape == (11, 4, 5) and coarse["cover"].dtype == np.uint8


@pytest.mark.parametrize("time", ["1979-12-31", "2101-01-01", "yesterday", None])
def test_days_that_are_not_of_this_world(world: World, time: str | None) -> None:
    with pytest.raises(InputError, match=r"1980|is no day"):
        world.truth(world.box(11.5, 48.0, (2, 2)), time)


def test_grids_that_are_not_of_this_world(world: World) -> None:
    no_crs = GeoBox((4, 4), Affine(10, 0, 500_000, 0, -10, 5_400_000), None)
    with pytest.raises(InputError, match="CRS"):
        world.truth(no_crs, DAY)
    fine = GeoBox((4, 4), Affine(1, 0, 500_000, 0, -1, 5_400_000), "EPSG:32632")
    with pytest.raises(InputError, match="nothing finer"):
        world.truth(fine, DAY)
    far = Window(Zone(32632), -9_000_000, 60_000_000, 4, 4)
    with pytest.raises(InputError, match="knows no place"):
        world.truth(far, DAY)


def test_unknown_layers_and_identities_on_coarse_pixels(world: World) -> None:
    box = world.box(11.5, 48.0, (2, 2), 30)
    with pytest.raises(InputError, match="elevation"):
        world.truth(box, DAY, ["elevatoin"])
    with pytest.raises(InputError, match="neither mean nor share"):
        world.truth(box, DAY, ["field"])


def test_more_than_fits_into_memory_says_how_to_chunk(world: World) -> None:
    with pytest.raises(ResourceError, match="chunks=1000"):
        world.truth(world.box(11.5, 48.0, (20_000, 20_000)), DAY)


def test_sizes_places_and_bases_that_cannot_be() -> None:
    world = World(base="procedural")
    for size, gsd in ((0.0, 10), ((0, 3), 10), (100.0, 7)):
        with pytest.raises(InputError, match="box of"):
            world.box(11.5, 48.0, size, gsd)
    with pytest.raises(InputError, match="no place"):
        world.box(48.0, 111.5, 100.0)
    with pytest.raises(ConfigError, match="planet"):
        World(base="planets")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="procedural"):
        World(base="procedural", planet=Path("somewhere"))


def test_a_world_travels_without_its_cells() -> None:
    world = World(seed=4, base="procedural")
    assert world.earth.seed == 4
    again = pickle.loads(pickle.dumps(world))
    assert again == world and "earth" not in again.__dict__
    assert len(pickle.dumps(world)) < 500


def test_a_procedural_world_has_truth_without_any_data() -> None:
    world = World(seed=1, base="procedural")
    truth = world.truth(world.box(20.0, 40.0, (10, 10)), DAY, STILL)
    assert np.isfinite(truth["elevation"].values).all()
    assert truth.attrs["world_base"] == "procedural" and "world_base_hash" not in truth.attrs


def test_the_hash_follows_sources_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed() -> str:
        version_hash.cache_clear()
        return version_hash()

    real = hashed()
    (tmp_path / "earth").mkdir()
    (tmp_path / "earth" / "one.py").write_bytes(b"A = 1\r\n")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "version.py"))
    first = hashed()
    assert first != real
    (tmp_path / "earth" / "one.py").write_bytes(b"A = 1\n")
    assert hashed() == first  # line ends do not count
    (tmp_path / "earth" / "one.py").write_bytes(b"A = 2\n")
    second = hashed()
    assert second != first
    (tmp_path / "render" / "data").mkdir(parents=True)
    (tmp_path / "render" / "data" / "table.npz").write_bytes(b"\x00")
    assert hashed() not in (first, second)
    monkeypatch.undo()
    assert hashed() == real
