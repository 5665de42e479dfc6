"""Quality codes against the product guides."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from swath.cubes.quality import clear
from swath.sources.world.render.quality import REACH, Ground, Overhead, Unusable, ground_of, quality
from swath.sources.world.truth import BARE, GRASS, ICE, WATER


def sky(scheme: str, shape: tuple[int, int] = (1, 1), cloud: float = 0, cirrus: float = 0, passing: float = 1):
    reach = REACH[scheme]
    full = (shape[0] + 2 * reach, shape[1] + 2 * reach)
    return Overhead(*(np.full(full, value, np.float32) for value in (cloud, cirrus, passing)))


def code(
    scheme: str,
    *,
    water: float = 0,
    snow: float = 0,
    green: bool = False,
    lit: float = 1.0,
    absent: bool = False,
    full: bool = False,
    aerosol: float = 0.1,
    sees_cirrus: bool = True,
    **above: float,
) -> int:
    one = np.ones((1, 1), np.float32)
    ground = Ground(one * water, one * snow, np.array([[green]]))
    made = quality(
        scheme,
        ground,
        sky(scheme, **above),
        one * lit,
        Unusable(np.array([[absent]]), np.array([[full]])),
        aerosol=aerosol,
        sees_cirrus=sees_cirrus,
    )
    assert made.shape == (1, 1)
    return int(made[0, 0])


@pytest.mark.parametrize(
    ("expected", "state"),
    [
        (0, {"absent": True, "cloud": 50}),
        (1, {"full": True}),
        (2, {"lit": 0.0}),
        (3, {"passing": 0.3, "green": True}),
        (4, {"green": True}),
        (5, {}),
        (6, {"water": 1.0}),
        (7, {"cloud": 0.5}),
        (8, {"cloud": 2.0}),
        (9, {"cloud": 20.0, "passing": 0.2}),
        (10, {"cirrus": 0.3}),
        (11, {"snow": 0.9}),
    ],
)
def test_every_class_of_the_scene_classification(expected: int, state: dict) -> None:
    assert code("SCL", **state) == expected


# Words that USGS lists for Landsat 8-9 Collection 2 (LSDS-1619) and, without the bits of cirrus, for Landsat 4-7.
@pytest.mark.parametrize(
    ("expected", "state"),
    [
        (1, {"absent": True}),
        (21824, {}),
        (21952, {"water": 1.0}),
        (22280, {"cloud": 20.0}),
        (23888, {"passing": 0.2}),
        (30048, {"snow": 1.0}),
        (54596, {"cirrus": 0.5}),
        (5440, {"sees_cirrus": False}),
        (5896, {"sees_cirrus": False, "cloud": 20.0}),
        (13664, {"sees_cirrus": False, "snow": 1.0}),
    ],
)
def test_published_words_of_the_pixel_quality_band(expected: int, state: dict) -> None:
    assert code("QA_PIXEL", **state) == expected


@pytest.mark.parametrize(
    ("expected", "state"),
    [
        (255, {"absent": True}),
        (0b01_0_0_0_0_0_0, {}),
        (0b10_0_0_0_0_0_0, {"aerosol": 0.3}),
        (0b11_0_0_0_0_0_0, {"aerosol": 0.8}),
        (0b01_1_0_0_0_0_0, {"water": 1.0}),
        (0b01_0_1_0_0_0_0, {"snow": 1.0}),
        (0b01_0_0_1_0_0_0, {"passing": 0.2}),
        (0b01_0_0_0_0_1_0, {"cloud": 20.0, "passing": 0.2}),
    ],
)
def test_bits_of_the_hls_mask(expected: int, state: dict) -> None:
    assert code("Fmask", **state) == expected


def test_the_class_mask_of_level_1() -> None:
    states = [{}, {"cloud": 5}, {"cirrus": 1}, {"snow": 1}, {"cloud": 5, "cirrus": 1, "snow": 1}, {"absent": True}]
    assert [code("MSK_CLASSI", **state) for state in states] == [0, 1, 2, 4, 7, 255]


@pytest.mark.parametrize(("scheme", "bit", "reach"), [("Fmask", 2, 5), ("QA_PIXEL", 1, 3)])
def test_neighbours_of_a_cloud_are_marked_as_far_as_the_guide_says(scheme: str, bit: int, reach: int) -> None:
    above = sky(scheme, (15, 15))
    above.cloud[reach + 7, reach + 7] = 9.0
    zero = np.zeros((15, 15), np.float32)
    none = zero > 0
    made = quality(scheme, Ground(zero, zero, none), above, None, Unusable(none, none), aerosol=0.1, sees_cirrus=True)
    near = (made >> bit) & 1
    assert near.sum() == (2 * reach + 1) ** 2 - 1
    assert near[7, 7] == 0 and near[7, 7 - reach] == 1 and near[7 + reach, 7 + reach] == 1
    assert not clear(made, scheme)[near == 1].any()


def test_readers_of_quality_layers_agree_on_what_is_clear() -> None:
    for scheme in ("SCL", "Fmask", "QA_PIXEL"):
        good = [code(scheme, **state) for state in ({}, {"green": True}, {"water": 1.0}, {"snow": 1.0})]
        bad = [code(scheme, **state) for state in ({"cloud": 30}, {"passing": 0.1}, {"absent": True})]
        assert clear(np.array(good), scheme).all()
        assert not clear(np.array(bad), scheme).any()


def test_ground_comes_from_whatever_layers_there_are() -> None:
    cover = np.array([[WATER, WATER, GRASS, GRASS], [WATER, WATER, GRASS, BARE], [ICE] * 4, [ICE] * 4], np.uint8)
    truth = xr.Dataset({"cover": (("y", "x"), cover)})
    whole = slice(0, 4)
    made = ground_of(truth, whole, whole, 2)
    assert made.water.tolist() == [[1, 0], [0, 0]]
    assert made.snow.tolist() == [[0, 0], [1, 1]]
    assert made.green.tolist() == [[False, True], [False, False]]
    shares = np.stack([(cover == value).astype(np.float32) for value in range(11)])
    other = ground_of(xr.Dataset({"cover_fraction": (("cover", "y", "x"), shares)}), whole, whole, 2)
    assert np.array_equal(other.water, made.water) and np.array_equal(other.snow, made.snow)
    assert np.array_equal(other.green, made.green)
    truth["leaf_area"] = (("y", "x"), np.full((4, 4), 2.0, np.float32))
    truth["brown_fraction"] = (("y", "x"), np.tile(np.float32([0, 0, 1, 1]), (4, 1)))
    assert ground_of(truth, whole, whole, 2).green.tolist() == [[True, False], [True, False]]
