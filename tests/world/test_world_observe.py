"""Scenes of any truth: stored numbers, grids, tiling, noise, poles and bad input."""

from __future__ import annotations

import math
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from swath import cubes, sensors
from swath.errors import ConfigError, InputError, ResourceError
from swath.sources.world import packages
from swath.sources.world.render import Atmosphere, Conditions, cell, margin, masks, observe
from swath.sources.world.render.instrument import INSTRUMENTS
from swath.sources.world.render.plan import Plan
from swath.sources.world.truth import GRASS, WATER

pytestmark = pytest.mark.skipif(bool(packages.missing()), reason="run: swath data get world")

CLEAR = Conditions(noise=False, point_spread=False, aerosol_error=0.0)
NOON = "2023-06-21T10:20:00"


def grid(
    height: int = 24, width: int = 24, x: float = 600_000, y: float = 5_000_040, gsd: float = 10, crs: int = 32632
) -> GeoBox:
    return GeoBox((height, width), Affine(gsd, 0, x, 0, -gsd, y), f"EPSG:{crs}")


def flat(box: GeoBox, cover: int = GRASS) -> xr.Dataset:
    codes = np.full(box.shape, cover, np.uint8)
    return xr.Dataset({"cover": (("y", "x"), codes)}, coords=xr_coords(box, always_yx=True))


def varied(box: GeoBox, seed: int = 0) -> xr.Dataset:
    """A truth with hills and many classes."""
    rng = np.random.default_rng(seed)
    truth = flat(box)
    truth["cover"].values[:] = rng.integers(0, 11, box.shape)
    rows, columns = np.mgrid[: box.shape.y, : box.shape.x]
    hills = 300 + 120 * np.sin(rows / 9) * np.cos(columns / 7) + rng.random(box.shape)
    truth["elevation"] = (("y", "x"), hills.astype(np.float32))
    return truth


def even(values: dict[str, float]) -> object:
    """A surface of one reflectance per band."""

    def made(plan: Plan, sun: object, layers: xr.Dataset) -> np.ndarray:
        shape = (len(plan.names), layers.sizes["y"], layers.sizes["x"])
        level = np.array([values.get(name, 0.2) for name in plan.names], np.float32)
        return np.broadcast_to(level[:, None, None], shape).copy()

    return made


def same(one: xr.DataTree, other: xr.DataTree, cut: dict[str, tuple[slice, slice]] | None = None) -> None:
    assert set(one.children) == set(other.children)
    for name, node in one.children.items():
        for variable in node.data_vars:
            a, b = node[variable].values, other[name][variable].values
            assert np.array_equal(a, b if cut is None else b[..., *cut[name]]), (name, variable)


@pytest.mark.parametrize("sensor", INSTRUMENTS)
def test_a_scene_is_what_cubes_open_gives(sensor: str) -> None:
    for level in sensors.load(sensor).levels:
        scene = observe(varied(grid()), sensor, "1995-06-21" if sensor == "landsat5_tm" else "2023-06-21", level)
        sizes = {name: cubes.as_cube(node)["data"].shape[2:] for name, node in scene.children.items()}
        fine = {"grid_10m": (24, 24), "grid_20m": (12, 12), "grid_60m": (4, 4)}
        assert sizes == (fine if sensor.startswith("sentinel2") else {"grid_30m": (8, 8)})
        bands = [band for node in cubes.nodes_of(scene).values() for band in cubes.bands_of(node).names]
        every = sensors.load(sensor).level(level).bands
        assert set(bands) == {band.name for band in every if band.wavelength_nm < 2500 and "pan" not in band.aliases}
        assert scene.attrs["sensor"] == sensor and scene.attrs["level"] == level
        quality = [node["quality"] for node in scene.children.values() if "quality" in node]
        assert len(quality) == 1
        assert quality[0].dims == ("time", "y", "x")
        assert quality[0].dtype == (np.uint16 if quality[0].attrs["scheme"] == "QA_PIXEL" else np.uint8)
        for node in cubes.nodes_of(scene).values():
            assert node["valid"].values.any()
            if level != "L1":
                cubes.check_physical(cubes.to_physical(node))


@pytest.mark.parametrize(("time", "offset"), [("2021-06-21", 0), ("2023-06-21", 1000)])
def test_stored_numbers_follow_the_baseline_of_the_date(
    time: str, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A ground of 0.3, an atmosphere known exactly: L2A stores 3000 before processing baseline 04.00, 4000 after.
    monkeypatch.setattr(cell, "surface_of", even({"B04": 0.3, "B08": 0.3}))
    scene = observe(flat(grid()), "sentinel2_l2a", time, conditions=CLEAR)
    cube = scene["grid_10m"].to_dataset()
    assert np.abs(cube["data"].sel(band="B04").values.astype(int) - 3000 - offset).max() <= 2
    physical = cubes.to_physical(cube)["data"].sel(band="B08").values
    assert physical == pytest.approx(np.full((1, 24, 24), 0.3), abs=3e-4)


def test_surface_products_of_every_sensor_give_the_ground_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "surface_of", even({}))
    for sensor, tool in INSTRUMENTS.items():
        if not tool.surface:
            continue
        scene = observe(
            flat(grid()), sensor, "1995-06-21" if "5" in sensor else "2023-06-21", tool.surface[0], conditions=CLEAR
        )
        for node in cubes.nodes_of(scene).values():
            physical = cubes.to_physical(node)
            for name in physical["band"].values:
                # 8-bit sensors count steps of up to 0.006; the water vapour band hardly sees the ground.
                near = 0.012 if sensor in ("landsat5_tm", "landsat7_etm") else 0.02 if name == "B09" else 1e-3
                if name not in tool.above:
                    assert np.abs(physical["data"].sel(band=name).values - 0.2).max() < near, (sensor, name)


def test_thematic_mapper_radiance_follows_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    # L = rho E cos(z) / (pi d^2) with the irradiance of Chander et al. (2009), and their gains of 1992 and later.
    monkeypatch.setattr(cell, "surface_of", even({}))
    said = replace(CLEAR, sun=(40.0, 150.0))
    scene = observe(flat(grid()), "landsat5_tm", "1995-07-04T10:00:00", "L1", conditions=said)
    reflectance = observe(flat(grid()), "sentinel2_l1c", "1995-07-04T10:00:00", conditions=said)
    seen = cubes.to_physical(reflectance["grid_10m"].to_dataset())["data"].sel(band="B04").values.mean()
    radiance = seen * 1536.0 * math.cos(math.radians(40.0)) / (math.pi * 1.0167**2)
    assert scene["grid_30m"]["data"].sel(band="B3").values.mean() == pytest.approx(
        (radiance + 2.21398) / 1.044, abs=2.0
    )
    assert scene.attrs["baseline"] == "Landsat 5 from 1992"


@pytest.mark.parametrize("band", ["B02", "B04", "B08"])
def test_the_noise_of_a_flat_field_has_the_required_ratio(band: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A ground chosen so that the radiance is the reference one of the requirement.
    channel = INSTRUMENTS["sentinel2_l1c"].channels[band]
    radiance, ratio = channel.points[0]
    said = Conditions(sun=(30.0, 150.0), atmosphere=Atmosphere(0.1, 2.0, 0.3))
    box, levels = grid(120, 120), np.linspace(0.05, 0.6, 8)
    gain = channel.irradiance * math.cos(math.radians(30.0)) / (math.pi * 1.0166**2)
    seen = []
    for level in levels:
        monkeypatch.setattr(cell, "surface_of", even({band: level}))
        scene = observe(flat(grid(6, 6)), "sentinel2_l1c", "2021-07-04T10:00:00", conditions=replace(said, noise=False))
        seen.append(float(cubes.to_physical(scene["grid_10m"].to_dataset())["data"].sel(band=band).mean()))
    wanted = np.interp(radiance / gain, seen, levels)
    monkeypatch.setattr(cell, "surface_of", even({band: float(wanted)}))
    values = cubes.to_physical(
        observe(flat(box), "sentinel2_l1c", "2021-07-04T10:00:00", conditions=said)["grid_10m"].to_dataset()
    )
    field = values["data"].sel(band=band).values
    assert field.mean() * gain == pytest.approx(radiance, rel=0.03)
    # The standard deviation of 14,400 numbers is known to 0.6 percent.
    assert field.mean() / field.std() == pytest.approx(ratio, rel=0.04)


def test_noise_is_white_and_differs_between_bands_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "surface_of", even({}))
    box = grid(120, 120)
    first, second = (
        observe(flat(box), "sentinel2_l2a", NOON, rng=seed)["grid_10m"]["data"].values[0].astype(float)
        for seed in (0, 1)
    )
    all_of_them = [band - band.mean() for band in (*first, *second)]
    matrix = np.corrcoef([band.ravel() for band in all_of_them])
    assert np.abs(matrix - np.eye(len(matrix))).max() < 0.04
    assert abs(np.corrcoef(all_of_them[0][:, 1:].ravel(), all_of_them[0][:, :-1].ravel())[0, 1]) < 0.04


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["sentinel2_l2a", "hls_l30", "landsat8_oli"]))
def test_a_window_with_its_margin_equals_the_whole_bit_for_bit(row: int, column: int, sensor: str) -> None:
    said = Conditions(cloud_fraction=0.6, terrain_reach=200.0, view_zenith=7.0)
    level = "L1" if sensor == "landsat8_oli" else None
    # The corner of four cells lies in the middle of the truth.
    truth = varied(grid(150, 150, x=600_000 - 750, y=4_998_000 + 720))
    whole = observe(truth, sensor, NOON, level, 5, conditions=said)
    wide = round(margin(sensor, said) / 10)
    inner = (slice(row + wide, row + wide + 25), slice(column + wide, column + wide + 21))
    part = truth.isel(y=slice(row, row + 25 + 2 * wide), x=slice(column, column + 21 + 2 * wide))
    seen = observe(part, sensor, NOON, level, 5, conditions=said)
    for name, node in seen.children.items():
        for variable in node.data_vars:
            own, other = node[variable], whole[name][variable]
            inside = [
                {"y": (ys > low_y) & (ys < high_y), "x": (xs > low_x) & (xs < high_x)}
                for ys, xs in ((own["y"].values, own["x"].values), (other["y"].values, other["x"].values))
                for low_y, high_y in [(truth["y"].values[inner[0]][-1] - 5, truth["y"].values[inner[0]][0] + 5)]
                for low_x, high_x in [(truth["x"].values[inner[1]][0] - 5, truth["x"].values[inner[1]][-1] + 5)]
            ]
            a, b = (item.isel(y=keep["y"], x=keep["x"]) for item, keep in zip((own, other), inside, strict=True))
            assert a.size and np.array_equal(a.values, b.values), (name, variable)


def test_lazy_truths_give_the_same_scene_lazily() -> None:
    truth = varied(grid(130, 140, x=599_500, y=4_998_600))
    said = Conditions(cloud_fraction=0.5, terrain_reach=100.0)
    eager = observe(truth, "sentinel2_l2a", NOON, conditions=said)
    lazy = observe(truth.chunk({"y": 50, "x": 60}), "sentinel2_l2a", NOON, conditions=said)
    assert all(node["data"].chunks is not None for node in lazy.children.values())
    assert lazy["grid_10m"]["data"].chunks[2] == (60, 70)
    same(lazy, eager)
    assert eager["grid_10m"]["data"].chunks is None


def test_a_scene_can_be_aligned_and_travel_to_another_process() -> None:
    truth = varied(grid())
    scene = observe(truth, "sentinel2_l2a", NOON, conditions=Conditions(cloud_fraction=0.5))
    cube = cubes.to_cube(scene, bands=["B02", "B11", "B09"])
    assert cube["data"].shape == (1, 3, 24, 24)
    lazy = observe(truth.chunk({"y": 12, "x": 12}), "sentinel2_l2a", NOON, conditions=Conditions(cloud_fraction=0.5))
    same(pickle.loads(pickle.dumps(lazy)), scene)


def test_pixels_that_the_truth_covers_in_part_hold_no_data() -> None:
    scene = observe(flat(grid(15, 15, x=600_010, y=5_000_030)), "sentinel2_l2a", NOON)
    for name, node in scene.children.items():
        data, valid = node["data"].values, node["valid"].values
        assert ((data == 0) == ~valid).all()
        assert valid.all() == (name == "grid_10m")
        assert valid[0, 0, 1:-1, 1:-1].all()
    assert (scene["grid_20m"]["quality"].values[~scene["grid_20m"]["valid"].values[:, 0]] == 0).all()


def test_holes_of_the_truth_become_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def holed(plan: Plan, sun: object, layers: xr.Dataset) -> np.ndarray:
        made = even({})(plan, sun, layers)
        made[:, layers["y"].values.searchsorted(-1), 0] = made[:, 0, 0]
        place = (np.abs(layers["y"].values - 4_999_935) < 1)[:, None] & (np.abs(layers["x"].values - 600_105) < 1)
        made[0][place] = np.nan
        return made

    monkeypatch.setattr(cell, "surface_of", holed)
    scene = observe(flat(grid()), "sentinel2_l2a", NOON)
    valid = scene["grid_10m"]["valid"].values[0, 0]
    assert not valid[10, 10] and not valid[9, 11] and valid[0, 0] and 0 < (~valid).sum() < 60
    assert not scene["grid_60m"]["valid"].values[0, 0, 1, 1]


def test_slopes_towards_the_sun_are_brighter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "surface_of", even({}))
    truth = flat(grid(36, 36))
    ridge = 400.0 - 3.0 * np.abs(np.arange(36) - 17.5)
    truth["elevation"] = (("y", "x"), np.repeat(ridge[:, None], 36, axis=1).astype(np.float32))
    said = replace(CLEAR, sun=(50.0, 180.0))
    data = cubes.to_physical(observe(truth, "sentinel2_l2a", NOON, conditions=said)["grid_10m"].to_dataset())["data"]
    red = data.sel(band="B08").values[0]
    # Slope atan(0.3): cos i / cos z = (1 +- 0.3 tan z) / sqrt(1 + 0.09), of direct light,
    # and near infrared has little other.
    north, south = ((1 + side * 0.3 * math.tan(math.radians(50))) / math.sqrt(1.09) for side in (-1, 1))
    assert 0.2 * north < red[8].mean() < 0.2 * (north + 0.12)
    assert 0.2 * (south - 0.12) < red[27].mean() < 0.2 * south


def test_clouds_are_the_same_for_all_sensors_and_masks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Conditions(cloud_fraction=0.5, cirrus_fraction=0.5)
    truth = flat(grid(180, 180))
    fine = masks(truth, "sentinel2_l2a", NOON, 2, conditions=said)
    coarse = masks(truth, "hls_l30", NOON, 2, conditions=said)
    assert float(fine["cloud_optical_thickness"].max()) > 1
    means = [item["cloud_optical_thickness"].values.mean() for item in (fine, coarse)]
    assert means[0] == pytest.approx(means[1], rel=0.03)
    scene = observe(truth, "sentinel2_l2a", NOON, rng=2, conditions=said)
    codes = scene["grid_20m"]["quality"].values[0]
    assert np.array_equal(codes == 9, fine["cloud_optical_thickness"].values >= 3.0)
    blue = scene["grid_10m"]["data"].sel(band="B02").values[0].astype(float)
    depth = np.kron(fine["cloud_optical_thickness"].values, np.ones((2, 2)))
    assert (depth > 8).any() and (depth < 0.1).any()
    assert blue[depth > 8].mean() > 2 * blue[depth < 0.1].mean()


def test_the_ground_is_dark_in_the_shadow_of_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "surface_of", even({}))
    said = replace(CLEAR, cloud_fraction=0.5, cirrus_fraction=0.0, sun=(55.0, 150.0), cloud_thickness=(60.0, 60.0))
    truth = flat(grid(180, 180))
    sky = masks(truth, "sentinel2_l2a", NOON, 2, conditions=said)
    data = cubes.to_physical(observe(truth, "sentinel2_l2a", NOON, rng=2, conditions=said)["grid_20m"].to_dataset())
    red_edge = data["data"].sel(band="B8A").values[0]
    open_sky = sky["cloud_optical_thickness"].values == 0
    shadow = sky["shadow"].values
    assert (open_sky & (shadow > 0.5)).any() and (open_sky & (shadow == 0)).any()
    assert red_edge[open_sky & (shadow == 0)] == pytest.approx(0.2, abs=1e-3)
    # Near infrared is nearly all direct light, of which the cloud lets 1 - shadow through.
    dark = open_sky & (shadow > 0.5)
    assert np.abs(red_edge[dark] / 0.2 - (1 - shadow[dark])).max() < 0.2
    assert (red_edge[dark] < 0.13).all()


def test_aerosol_that_is_taken_too_high_makes_blue_ground_too_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "surface_of", even({"B02": 0.05}))
    air = replace(CLEAR, atmosphere=Atmosphere(0.2))
    blue = []
    for error in (-0.1, 0.0, 0.1):
        scene = observe(flat(grid()), "sentinel2_l2a", NOON, conditions=replace(air, aerosol_error=error))
        blue.append(float(cubes.to_physical(scene["grid_10m"].to_dataset())["data"].sel(band="B02").mean()))
    assert blue[0] > 0.053 and blue[1] == pytest.approx(0.05, abs=3e-4) and blue[2] < 0.047


def test_truths_of_other_pixels() -> None:
    for sensor, gsd in (("hls_s30", 30.0), ("hls_l30", 30.0), ("hls_l30", 15.0), ("sentinel2_l2a", 5.0)):
        scene = observe(varied(grid(24, 24, x=600_000, y=4_999_980, gsd=gsd)), sensor, NOON)
        assert all(node["valid"].values.all() for node in scene.children.values())
    fine = varied(grid(60, 60, x=600_060 - 30, y=4_999_980, gsd=1.0))
    assert observe(fine, "sentinel2_l2a", NOON)["grid_10m"]["data"].shape[2:] == (6, 6)


def test_undefined_elevation_is_the_level_of_the_sea() -> None:
    truth = varied(grid())
    truth["elevation"].values[:] = 0.0
    level = observe(truth, "sentinel2_l2a", NOON)
    truth["elevation"].values[3:9] = np.nan
    same(observe(truth, "sentinel2_l2a", NOON), level)


def test_radar_is_observed_too() -> None:
    scene = observe(varied(grid()), "sentinel1_grd", "2023-06-21", conditions=Conditions(orbit="ascending"))
    assert scene["grid_10m"]["data"].sizes["band"] == 2
    assert scene.attrs["sensor"] == "sentinel1_grd"


def test_cirrus_shows_in_its_band_alone_among_those_that_see_the_ground() -> None:
    truth = flat(grid(60, 60), WATER)
    clear = observe(truth, "sentinel2_l1c", NOON, conditions=Conditions(noise=False))["grid_60m"]
    said = Conditions(noise=False, cirrus_fraction=0.95, cirrus_thickness=(0.5, 0.5))
    veiled = observe(truth, "sentinel2_l1c", NOON, conditions=said)["grid_60m"]
    dark, bright = (cubes.to_physical(node.to_dataset())["data"].sel(band="B10").values for node in (clear, veiled))
    assert np.abs(dark).max() < 0.003 < 0.01 < bright.max()


@pytest.mark.parametrize(
    ("crs", "x", "y", "time"),
    [
        (32601, 166_020, 7_000_020, "2023-06-21"),  # beside the antimeridian
        (32661, 2_000_040, 2_000_040, "2023-06-21T12:00:00"),  # the north pole is inside
        (32761, 1_400_040, 2_600_040, "2023-12-21T12:00:00"),  # Antarctica
        (3857, 15_000_000, -3_000_060, "2023-12-21"),
    ],
)
def test_poles_and_the_antimeridian(crs: int, x: float, y: float, time: str) -> None:
    scene = observe(varied(grid(crs=crs, x=x, y=y)), "sentinel2_l2a", time)
    finest = next(iter(scene.children.values())).to_dataset()
    assert finest["valid"].values.any()
    assert 20 < scene.attrs["sun_zenith"] < 80
    assert str(cubes.geobox_of(finest).crs) == f"EPSG:{crs}"


def test_the_sun_turns_around_the_pole_in_the_grid() -> None:
    # At the north pole the direction to the sun is the meridian where it is noon: at 12 UTC that of Greenwich, which
    # EPSG:32661 draws downwards (south of the grid).
    scene = observe(flat(grid(crs=32661, x=2_000_040, y=2_000_040)), "sentinel2_l2a", "2023-06-21T12:00:00")
    assert scene.attrs["sun_azimuth"] == pytest.approx(180.0, abs=2.5)
    scene = observe(flat(grid(crs=32661, x=2_000_040, y=2_000_040)), "sentinel2_l2a", "2023-06-21T18:00:00")
    assert scene.attrs["sun_azimuth"] == pytest.approx(270.0, abs=2.5)


def test_a_date_means_the_overpass() -> None:
    # Zone 32, central meridian 9 degrees east: 10:30 of mean solar time is 9:54 UTC.
    scene = observe(flat(grid()), "sentinel2_l2a", "2023-06-21")
    assert scene["grid_10m"]["time"].values[0] == np.datetime64("2023-06-21T09:54:00")
    assert observe(flat(grid()), "sentinel2_l2a", np.datetime64("2023-06-21T11:00"))["grid_10m"]["time"].values[0] == (
        np.datetime64("2023-06-21T11:00:00")
    )


def test_the_truths_own_weather_is_used_where_nothing_is_said() -> None:
    truth = flat(grid())
    truth.attrs.update(cloud_fraction=0.8, aerosol=0.4, water_vapour=3.5)
    attrs = observe(truth, "sentinel2_l2a", NOON).attrs
    assert (attrs["cloud_fraction"], attrs["aerosol_optical_depth"], attrs["water_vapour"]) == (0.8, 0.4, 3.5)
    truth.attrs["cloud_fraction"] = 80
    with pytest.raises(InputError, match="cloud_fraction"):
        observe(truth, "sentinel2_l2a", NOON)


def test_a_generator_gives_a_seed_that_can_be_used_again() -> None:
    truth = flat(grid())
    scene = observe(truth, "sentinel2_l2a", NOON, rng=np.random.default_rng(4))
    same(observe(truth, "sentinel2_l2a", NOON, rng=scene.attrs["seed"]), scene)
    with pytest.raises(ConfigError, match="rng"):
        observe(truth, "sentinel2_l2a", NOON, rng=0.5)  # type: ignore[arg-type]


def test_margins_are_whole_pixels_of_every_grid() -> None:
    for sensor in INSTRUMENTS:
        assert margin(sensor) % 60 == 0
        assert margin(sensor, Conditions(terrain_reach=0.0)) < margin(sensor, Conditions(terrain_reach=3000.0))


@pytest.mark.parametrize(
    ("change", "arguments", "word"),
    [
        ({}, ("sentinel2_l3a", NOON), "sentinel2_l2a"),
        ({}, ("sentinel2_l2a", NOON, "L3"), "L2A"),
        ({}, ("landsat8_oli", NOON), "several"),
        ({}, ("sentinel2_l2a", "1975-06-21"), "1980"),
        ({}, ("sentinel2_l2a", "2101-01-01"), "1980"),
        ({}, ("sentinel2_l2a", "midsummer"), "no time"),
        ({}, ("sentinel2_l2a", "2023-06-21T23:30"), "below the horizon"),
        ({"y": 7_999_980}, ("sentinel2_l2a", "2023-12-21"), "polar night"),
        ({"gsd": 30.0}, ("sentinel2_l2a", NOON), "finer than the truth"),
        ({"gsd": 1000.0}, ("hls_l30", NOON), "finer than the truth"),
    ],
)
def test_bad_requests_say_what_is_wrong(change: dict, arguments: tuple, word: str) -> None:
    with pytest.raises(InputError, match=word):
        observe(flat(grid(**change)), *arguments)


def test_an_unknown_platform_is_told_before_anything_is_made() -> None:
    with pytest.raises(InputError, match="sentinel2b"):
        observe(flat(grid()), "sentinel2_l2a", NOON, conditions=Conditions(platform="sentinel9z"))


def test_bad_truths_say_what_is_wrong() -> None:
    truth = flat(grid())
    with pytest.raises(InputError, match="lacks cover"):
        observe(truth.rename(cover="landcover"), "sentinel2_l2a", NOON)
    bare = truth.drop_vars("spatial_ref").assign_coords(y=truth["y"].values, x=truth["x"].values)
    with pytest.raises(InputError, match="CRS"):
        observe(bare, "sentinel2_l2a", NOON)
    with pytest.raises(InputError, match=r"grid with a CRS"):
        observe(truth.isel(y=slice(0, 0)), "sentinel2_l2a", NOON)


def test_a_scene_that_does_not_fit_is_refused_before_it_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package's attribute of this name is the function.
    monkeypatch.setattr(sys.modules["swath.sources.world.render.observe"], "available_memory", lambda: 10_000)
    with pytest.raises(ResourceError, match=r"truth\.chunk"):
        observe(flat(grid()), "sentinel2_l2a", NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cloud_fraction": 30.0},
        {"cloud_height": (3000.0, 1000.0)},
        {"view_zenith": 60.0},
        {"sun": (95.0, 0.0)},
        {"terrain_reach": -1.0},
        {"wind_speed": -3.0},
        {"orbit": "polar"},
    ],
)
def test_conditions_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Conditions(**wrong)
