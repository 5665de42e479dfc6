import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from swath.errors import ConfigError, InputError
from swath.sources.world.render.backscatter import Look, backscatter, local_geometry
from swath.sources.world.truth import BARE, BUILT, COVER, CROP, TREE, WATER

EAST = Look(38.0, 90.0)  # the antenna looks east and stands in the west


def truth(shape: tuple[int, int] = (4, 5), **layers: float | np.ndarray) -> xr.Dataset:
    box = GeoBox(shape, Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32632")
    usual: dict[str, float | np.ndarray] = {
        "cover": np.full(shape, CROP, np.uint8),
        "elevation": 100.0,
        "leaf_area": 1.0,
        "biomass": 0.0,
        "soil_moisture": 0.2,
        "open_water": 0.0,
        "building_cover": 0.0,
        "building_height": 0.0,
    } | layers
    arrays = {
        name: (("y", "x"), value if isinstance(value, np.ndarray) else np.full(shape, value, np.float32))
        for name, value in usual.items()
    }
    return xr.Dataset(arrays, coords=xr_coords(box, always_yx=True))


def level(**layers: float | np.ndarray) -> np.ndarray:
    return 10 * np.log10(backscatter(truth(**layers), Look())[:, 1, 1])


def covered(value: int) -> np.ndarray:
    return np.full((4, 5), value, np.uint8)


def test_flat_ground_has_the_incidence_of_the_ellipsoid() -> None:
    local, area, seen = local_geometry(np.zeros((3, 3)), 10.0, EAST)
    np.testing.assert_allclose(np.degrees(local), 38.0, rtol=1e-5)
    np.testing.assert_allclose(area, 1.0, rtol=1e-5)
    assert seen.all()


@pytest.mark.parametrize("degrees", [-20.0, -5.0, 10.0, 25.0])
def test_slopes_in_the_plane_of_the_look_add_their_angle(degrees: float) -> None:
    # Ground that falls to the east by `degrees`, seen from the west: worked in the plane of incidence.
    fall = np.tan(np.radians(degrees)) * 10.0
    local, area, _ = local_geometry(np.tile(-np.arange(6) * fall, (3, 1)), 10.0, EAST)
    np.testing.assert_allclose(np.degrees(local[1, 2]), 38.0 + degrees, rtol=1e-4)
    expected = np.sin(np.radians(38)) / np.sin(np.radians(38 + degrees))
    np.testing.assert_allclose(area[1, 2], expected, rtol=1e-4)


def test_slopes_across_the_look_do_not_care_for_their_sign() -> None:
    north = np.tile(np.arange(6)[:, None] * 3.0, (1, 4))
    one, other = (local_geometry(heights, 10.0, EAST)[0][2, 2] for heights in (north, -north))
    assert one == pytest.approx(other, rel=1e-6)
    assert np.degrees(one) == pytest.approx(np.degrees(np.arccos(np.cos(np.radians(38)) / np.hypot(1, 0.3))), rel=1e-5)


def test_ground_behind_a_steep_ridge_is_not_seen() -> None:
    cliff = np.tile(-np.arange(6) * 20.0, (3, 1))  # 63 degrees down, away from the antenna
    assert not local_geometry(cliff, 10.0, EAST)[2].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (0, 3)])
def test_edge_sizes(shape: tuple[int, int]) -> None:
    found = backscatter(truth(shape, cover=np.full(shape, CROP, np.uint8)), Look())
    assert found.shape == (2, *shape)
    assert np.isfinite(found).all()


def test_levels_of_common_covers_are_those_of_the_handbooks() -> None:
    forest = level(cover=covered(TREE), leaf_area=5.0, biomass=150.0)
    field = level(leaf_area=0.5, soil_moisture=0.15)
    pond = level(cover=covered(WATER), open_water=1.0)
    town = level(cover=covered(BUILT), building_cover=0.5, building_height=10.0, leaf_area=0.3)
    assert -10 < forest[0] < -6
    assert -16 < forest[1] < -12
    assert -15 < field[0] < -8
    assert -26 < pond[0] < -18
    assert town[0] > -6
    assert (forest[0] - forest[1]) < (field[0] - field[1])  # crowns depolarise more than soil


def test_wet_soil_is_brighter_than_dry_under_sparse_plants_and_not_under_forest() -> None:
    bare = [level(cover=covered(BARE), leaf_area=0.0, soil_moisture=m)[0] for m in (0.05, 0.35)]
    wood = [level(cover=covered(TREE), leaf_area=5.0, biomass=150.0, soil_moisture=m)[0] for m in (0.05, 0.35)]
    assert bare[1] - bare[0] > 3.0
    assert abs(wood[1] - wood[0]) < 0.5


def test_flooded_fields_turn_dark_and_flooded_forest_bright() -> None:
    assert level(open_water=1.0, leaf_area=0.2)[0] < level(leaf_area=0.2)[0] - 5.0
    leafless = {"cover": covered(TREE), "leaf_area": 1.0, "biomass": 120.0}
    assert level(open_water=1.0, **leafless)[0] > level(**leafless)[0] + 1.0


def test_shares_give_the_mean_of_pure_pixels() -> None:
    shares = np.zeros((len(COVER), 4, 5), np.float32)
    shares[TREE], shares[CROP] = 0.25, 0.75
    mixed = truth(biomass=50.0).drop_vars("cover").assign(cover_fraction=(("cover", "y", "x"), shares))
    found = backscatter(mixed, Look())
    pure = [backscatter(truth(cover=covered(value), biomass=50.0), Look()) for value in (TREE, CROP)]
    np.testing.assert_allclose(found, 0.25 * pure[0] + 0.75 * pure[1], rtol=1e-5)


def test_a_missing_layer_is_named() -> None:
    with pytest.raises(InputError, match="lacks soil_moisture"):
        backscatter(truth().drop_vars("soil_moisture"), Look())


@pytest.mark.parametrize("incidence", [0.0, 14.9, 61.0, float("nan")])
def test_impossible_incidence(incidence: float) -> None:
    with pytest.raises(ConfigError, match="incidence angle"):
        Look(incidence)
