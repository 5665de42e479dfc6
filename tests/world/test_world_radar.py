import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from swath import cubes, rng
from swath.errors import ConfigError, InputError
from swath.sources.world.render.backscatter import NOISE_FLOOR_DB
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.radar import completed, observe_radar
from swath.sources.world.truth import COVER, CROP, GRASS, TREE, WATER

TIME = np.datetime64("2024-07-01T05:30:00")
CLEAN = Conditions(noise=False)


def truth(height: int, width: int, top: float = 5_000_000.0, gsd: float = 10.0, epsg: int = 32632) -> xr.Dataset:
    box = GeoBox((height, width), Affine(gsd, 0, 500_000, 0, -gsd, top), f"EPSG:{epsg}")
    generator = rng.generator(1, "radar test")
    rows, columns = np.mgrid[:height, :width]
    return xr.Dataset(
        {
            "cover": (("y", "x"), generator.choice([TREE, GRASS, CROP, WATER], (height, width)).astype(np.uint8)),
            "elevation": (("y", "x"), (30 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.float32)),
        },
        coords=xr_coords(box, always_yx=True),
    )


def numbers(scene: xr.DataTree) -> np.ndarray:
    return np.asarray(scene["grid_10m"]["data"].values)


def test_the_scene_is_a_product_of_the_sensor() -> None:
    scene = observe_radar(truth(40, 50), TIME, None, 3, Conditions())
    cube = scene["grid_10m"].to_dataset()
    assert cube["data"].dims == ("time", "band", "y", "x")
    assert list(cube["band"].values) == ["VV", "VH"]
    assert cube.attrs["sensor"] == "sentinel1_grd"
    assert cubes.is_physical(cube)
    cubes.check_physical(cube)
    assert bool(cube["valid"].all())
    assert cube["time"].values[0] == TIME


def test_linear_numbers_are_the_power_of_decibels() -> None:
    decibels, power = (
        numbers(observe_radar(truth(20, 20), TIME, level, 3, Conditions())) for level in ("dB", "linear")
    )
    np.testing.assert_allclose(10 * np.log10(power), decibels, rtol=1e-4)


def test_windows_equal_the_whole_away_from_its_rim() -> None:
    whole, place = numbers(observe_radar(truth(400, 350), TIME, "dB", 5, Conditions())), truth(400, 350)
    part = numbers(observe_radar(place.isel(y=slice(95, 220), x=slice(40, 300)), TIME, "dB", 5, Conditions()))
    np.testing.assert_array_equal(part[..., 1:-1, 1:-1], whole[..., 96:219, 41:299])


def test_lazy_truth_gives_the_same_lazily() -> None:
    eager = numbers(observe_radar(truth(330, 310), TIME, "dB", 5, Conditions()))
    scene = observe_radar(truth(330, 310).chunk({"y": 100, "x": 100}), TIME, "dB", 5, Conditions())
    assert scene["grid_10m"]["data"].chunks is not None
    np.testing.assert_array_equal(numbers(scene), eager)


def test_speckle_has_the_looks_of_the_product() -> None:
    flat = truth(300, 300)
    flat["cover"][:] = GRASS
    flat["elevation"][:] = 0.0
    power = numbers(observe_radar(flat, TIME, "linear", 7, Conditions()))[0]
    for band in power.astype(np.float64):
        assert band.mean() ** 2 / band.var() == pytest.approx(4.4, rel=0.05)
    clean = numbers(observe_radar(flat, TIME, "linear", 7, CLEAN))[0]
    assert power[0].mean() == pytest.approx(clean[0].mean() + 10 ** (NOISE_FLOOR_DB / 10), rel=0.02)


def test_dates_and_seeds_have_speckle_of_their_own() -> None:
    first, seed, date = (
        numbers(observe_radar(truth(60, 60), time, "dB", number, Conditions()))
        for time, number in ((TIME, 1), (TIME, 2), (TIME + np.timedelta64(12, "D"), 1))
    )
    assert (first != seed).mean() > 0.99
    assert (first != date).mean() > 0.99


def test_usual_values_fill_what_a_truth_lacks() -> None:
    bare = truth(6, 6)
    full = completed(bare, TIME)
    assert (full["open_water"].values[bare["cover"].values == WATER] == 1).all()
    assert (full["biomass"].values[bare["cover"].values == TREE] == 120).all()
    holes = bare.assign(leaf_area=(("y", "x"), np.full((6, 6), np.nan, np.float32)))
    np.testing.assert_array_equal(completed(holes, TIME)["leaf_area"], full["leaf_area"])
    own = bare.assign(leaf_area=(("y", "x"), np.full((6, 6), 3.25, np.float32)))
    assert (completed(own, TIME)["leaf_area"] == 3.25).all()


def test_shares_are_enough() -> None:
    pure = truth(5, 5)
    shares = np.stack([(pure["cover"].values == value).astype(np.float32) for value in range(len(COVER))])
    mixed = pure.drop_vars("cover").assign(cover_fraction=(("cover", "y", "x"), shares))
    a, b = (numbers(observe_radar(each, TIME, "linear", 0, CLEAN)) for each in (pure, mixed))
    np.testing.assert_allclose(a, b, rtol=1e-4)


def test_one_pixel_and_the_pole() -> None:
    assert numbers(observe_radar(truth(1, 1), TIME, None, 0, Conditions())).shape == (1, 2, 1, 1)
    pole = truth(8, 8, top=2_000_000.0, epsg=32661)
    assert np.isfinite(numbers(observe_radar(pole, TIME, None, 0, Conditions()))).all()


def test_bad_input() -> None:
    with pytest.raises(InputError, match="lacks elevation"):
        observe_radar(truth(4, 4).drop_vars("elevation"), TIME, None, 0, Conditions())
    with pytest.raises(InputError, match="finer than the truth"):
        observe_radar(truth(4, 4, gsd=30.0), TIME, None, 0, Conditions())
    with pytest.raises(InputError, match="no level 'sigma'"):
        observe_radar(truth(4, 4), TIME, "sigma", 0, Conditions())
    with pytest.raises(InputError, match="wind_speed"):
        observe_radar(truth(4, 4).assign_attrs(wind_speed="gale"), TIME, None, 0, Conditions())
    with pytest.raises(ConfigError, match="incidence angle"):
        observe_radar(truth(4, 4), TIME, None, 0, Conditions(radar_incidence=5.0))
