"""What lies under the detail: the real globe from a planet directory, a procedural one, and knots in between."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from swath.errors import InputError
from swath.sources.planet import missing
from swath.sources.world.earth import base
from swath.sources.world.earth.base import BasePlanet, BaseSample, knots, zonal_climate
from swath.sources.world.earth.procedural import ProceduralPlanet
from swath.sources.world.frame import Window, Zone, zone_at

ROWS = 90


def a_planet(path: Path, **changed: NDArray[Any]) -> Path:
    """A planet of 2 degrees: land on the eastern half, 100 m high, forest; ice in the south."""
    path.mkdir(parents=True, exist_ok=True)
    shape = (ROWS, 2 * ROWS)
    land = np.zeros(shape, np.uint8)
    land[:, ROWS:] = 1
    elevation = np.where(land == 1, 100, 0).astype(np.int16)
    elevation[-3:][land[-3:] == 1] = -32768
    cover = np.where(land == 1, 5, 0).astype(np.uint8)
    cover[-3:] = 0
    layers = {"land": land, "elevation": elevation, "land_cover": cover, "koppen": land * 3, **changed}
    for name, array in layers.items():
        step = 180 / ROWS
        with rasterio.open(
            path / f"{name}.tif", "w", driver="GTiff", height=ROWS, width=2 * ROWS, count=1, dtype=array.dtype,
            crs="EPSG:4326", transform=Affine(step, 0, -180, 0, -step, 90),
        ) as raster:  # fmt: skip
            raster.write(array, 1)
    manifest = {"schema": 1, "layers": {name: {"sha256": name} for name in layers}}
    (path / "planet.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture(scope="module")
def globe(tmp_path_factory: pytest.TempPathFactory) -> BasePlanet:
    return BasePlanet(a_planet(tmp_path_factory.mktemp("base") / "planet"))


def at(found: Any, lon: float, lat: float) -> BaseSample:
    sample: BaseSample = found.sample(np.array(lon), np.array(lat))
    return sample


def test_the_middle_of_land_and_sea(globe: BasePlanet) -> None:
    land, sea = at(globe, 90.0, 10.0), at(globe, -90.0, 10.0)
    assert float(land.relief) == pytest.approx(100) and float(land.land) == pytest.approx(1)
    assert float(land.cover[5]) == pytest.approx(1) and float(land.climate[2]) > 0.95
    assert float(sea.relief) == 0 and float(sea.land) == 0 and float(sea.cover[0]) == pytest.approx(1)
    np.testing.assert_allclose(sea.climate, zonal_climate(np.array(10.0)))


def test_the_coast_is_smooth_and_shares_add_up(globe: BasePlanet) -> None:
    lon = np.linspace(-5, 5, 201)
    sample = globe.sample(lon, np.zeros(201))
    assert float(sample.land[100]) == pytest.approx(0.5)
    assert (np.diff(sample.land) >= -1e-12).all() and np.abs(np.diff(sample.land)).max() < 0.02
    for shares in (sample.cover, sample.climate):
        np.testing.assert_allclose(shares.sum(axis=0), 1.0)
        assert shares.min() >= 0


def test_antimeridian_and_poles_have_no_seam(globe: BasePlanet) -> None:
    near, beyond = at(globe, 180.0 - 1e-9, 20.0), at(globe, -180.0 + 1e-9, 20.0)
    assert float(near.land) == pytest.approx(float(beyond.land), abs=1e-6)
    assert float(at(globe, 200.0, 20.0).land) == pytest.approx(float(at(globe, -160.0, 20.0).land))
    for lat in (90.0, -90.0):
        assert float(at(globe, 50.0, lat).relief) == pytest.approx(float(at(globe, -130.0, lat).relief))


def test_the_unknown_south_rises_to_the_pole_and_is_ice(globe: BasePlanet) -> None:
    south = at(globe, 90.0, -87.0)
    assert 500 < float(south.relief) < 2900
    assert float(south.cover[15]) == pytest.approx(1)
    assert float(south.lake) == 0


def test_roughness_follows_relief_and_ignores_the_steps_of_the_source(tmp_path: Path) -> None:
    rows = np.arange(ROWS)[:, None]
    rough = np.where(rows < 45, 1000 * (rows % 2), 28 * (rows % 2)) * np.ones((1, 2 * ROWS))
    globe = BasePlanet(a_planet(tmp_path, elevation=rough.astype(np.int16)))
    # Cells 222 km apart that differ by 1000 m along meridians alone: 1000 / sqrt(2), brought to 10 km.
    expected = 1000 / np.sqrt(2) * (10 / 222.4) ** 0.75
    assert float(at(globe, 0.0, 45.0).roughness) == pytest.approx(expected, rel=0.05)
    assert float(at(globe, 0.0, -45.0).roughness) == 0


def test_what_is_no_planet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"planet\.json"):
        BasePlanet(tmp_path)
    path = a_planet(tmp_path / "planet")
    (path / "koppen.tif").unlink()
    with pytest.raises(InputError, match="koppen"):
        BasePlanet(path)


def test_the_default_planet_is_made_once_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Path] = []

    def make(path: Path, resolution: float) -> None:
        assert resolution == 0.1
        made.append(a_planet(path))

    monkeypatch.setenv("SWATH_CACHE", str(tmp_path))
    monkeypatch.setattr(base, "make", make)
    assert BasePlanet().path == BasePlanet().path == tmp_path / "planet-0.1"
    assert len(made) == 1
    assert capsys.readouterr().err.count("Making the planet") == 1


def test_a_planet_travels_by_its_path(globe: BasePlanet) -> None:
    again = pickle.loads(pickle.dumps(globe))
    assert again.path == globe.path and again.digest == globe.digest and len(globe.digest) == 64


def test_knots_give_smooth_fields_that_do_not_depend_on_the_window(globe: BasePlanet) -> None:
    zone = Zone(32631)
    whole = knots(globe, Window(zone, -400, 17_000, 90, 300))
    part = knots(globe, Window(zone, -350, 17_150, 20, 100))
    field = whole.spread(whole.sample.land)
    np.testing.assert_array_equal(field[50:70, 150:250], part.spread(part.sample.land))
    assert whole.spread(whole.sample.cover).shape == (17, 90, 300)
    lon, lat = whole.window.lonlat()
    np.testing.assert_allclose(field, globe.sample(lon, lat).land, atol=1e-4)
    y, x = whole.mesh
    assert (len(y), len(x)) == whole.lon.shape


def test_a_procedural_globe_has_land_and_sea_everywhere_smooth() -> None:
    globe = ProceduralPlanet(1)
    lon, lat = np.meshgrid(np.linspace(-180, 180, 41), np.linspace(-90, 90, 21))
    sample = globe.sample(lon, lat)
    for shares in (sample.cover, sample.climate):
        np.testing.assert_allclose(shares.sum(axis=0), 1.0)
        assert shares.min() >= 0
    np.testing.assert_allclose(sample.relief[:, 0], sample.relief[:, -1], atol=1e-6)
    for row in (0, -1):
        np.testing.assert_allclose(sample.relief[row], sample.relief[row, 0], atol=1e-6)
    np.testing.assert_array_equal(globe.sample(lon[3:5, 7:9], lat[3:5, 7:9]).cover, sample.cover[:, 3:5, 7:9])
    assert (ProceduralPlanet(2).sample(lon, lat).land != sample.land).mean() > 0.5


def test_about_a_third_of_procedural_globes_is_land() -> None:
    lat = np.degrees(np.arcsin(np.linspace(-0.97, 0.97, 12)))
    lon, lat = np.meshgrid(np.linspace(-180, 165, 24), lat)
    share = np.mean([ProceduralPlanet(seed).sample(lon, lat).land.mean() for seed in range(8)])
    assert 0.2 < share < 0.45


@pytest.mark.skipif(bool(missing()), reason="the packages of the planet are absent")
def test_the_real_globe_knows_the_alps_and_the_sahara() -> None:
    path = base.cache_directory().parent / "planet-0.1"
    if not (path / "planet.json").is_file():
        pytest.skip("the planet was not made yet; a world makes it at first use")
    globe = BasePlanet()
    alps, sahara, ocean = at(globe, 10.5, 46.7), at(globe, 10.0, 25.0), at(globe, -30.0, 30.0)
    assert 1500 < float(alps.relief) < 2500 and float(alps.roughness) > 200
    assert float(sahara.climate[1]) > 0.95 and float(sahara.cover[16]) > 0.95
    assert float(ocean.land) == 0 and float(ocean.relief) == 0
    assert zone_at(10.5, 46.7).epsg == 32632
