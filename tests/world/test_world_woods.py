"""Woods and floods as a sensor sees them: crowns that shade each other, bare branches, bottoms, mud in the water."""

from __future__ import annotations

import numpy as np
import pytest
from surface_truth import GREEN, NEAR, RED, SHORT, TEN, index, truth_of

from swath.sources.world import packages
from swath.sources.world.render import stands
from swath.sources.world.render.canopy import Geometry
from swath.sources.world.render.responses import BandWeights, band_weights, responses
from swath.sources.world.render.surface import surface_reflectance
from swath.sources.world.truth import BARE, GRASS, TREE

pytestmark = pytest.mark.skipif(bool(packages.missing()), reason="run: swath data get world")


@pytest.fixture(scope="module")
def msi() -> BandWeights:
    return band_weights(responses("sentinel2_l2a", bands=TEN))


def test_crowns_in_the_sun_are_those_of_the_sum_over_ranks() -> None:
    """Mean and spread of exp(-x u u / 2) over even u, from draws."""
    u = (np.arange(200_000) + 0.5) / 200_000
    for x in (1e-9, 0.3, 1.5, 8.0):
        mean, spread = stands._sunlit(np.array([x]))
        assert mean[0] == pytest.approx(np.exp(-x * u * u / 2).mean(), abs=1e-5)
        assert spread[0] == pytest.approx(np.exp(-x * u * u / 2).std(), abs=1e-4)


def test_low_sun_and_slender_crowns_make_woods_darker() -> None:
    state = np.array([4.0]), np.array([40.0]), np.array([0.0]), np.full(2, 0.2), np.array([665.0, 842.0])
    by_sun = [
        stands.stand_terms(stands.STANDS["hard broadleaf"], *state, Geometry(sun, 0.0, 0.0))[0].own[0, 0, 0]
        for sun in (15.0, 35.0, 60.0)
    ]
    assert (np.diff(by_sun, axis=0) < 0).all()
    soft, hard, light, dark = (
        stands.stand_terms(stands.STANDS[name], *state, Geometry(35.0, 0.0, 0.0))[0].own[0, 0, 0, 1]
        for name in ("soft broadleaf", "hard broadleaf", "light needleleaf", "dark needleleaf")
    )
    # Woods in the near infrared: broadleaved 0.25 to 0.45, needles 0.10 to 0.28, as albedos of boreal woods have it.
    assert 0.25 < hard < soft < 0.45 and 0.10 < dark < light < 0.28


def test_woods_are_uneven_from_pixel_to_pixel_and_meadows_are_not(msi: BandWeights) -> None:
    layers = {"leaf_area": 4.0, "leaf_chlorophyll": 40.0, "brown_fraction": 0.0, "soil_moisture": 0.2}
    woods, meadow = (surface_reflectance(truth_of((64, 64), cover=code, **layers), msi, 35.0) for code in (TREE, GRASS))
    spread, even = (part.std(axis=(1, 2)) / part.mean(axis=(1, 2)) for part in (woods, meadow))
    assert (spread[[RED, NEAR, SHORT]] > 0.06).all() and (even[[NEAR, SHORT]] < 0.03).all()
    assert np.corrcoef(woods[RED].ravel(), woods[NEAR].ravel())[0, 1] > 0.5  # shade darkens all bands
    higher = surface_reflectance(truth_of((64, 64), cover=TREE, **layers), msi, 65.0)
    assert (higher.std(axis=(1, 2)) / higher.mean(axis=(1, 2)))[RED] > spread[RED]  # long shadows


def test_leafless_woods_show_bark_and_litter(msi: BandWeights) -> None:
    layers = {"leaf_chlorophyll": 40.0, "brown_fraction": 0.0, "soil_moisture": 0.2, "elevation": 200.0}
    areas = np.array([[0.05, 4.0]])
    out = surface_reflectance(truth_of((1, 2), cover=TREE, leaf_area=areas, **layers), msi, 60.0, texture=False)[:, 0]
    bare, leafy = out.T
    # Bark and dead leaves absorb a little more in the red than in the near infrared, and have no red edge.
    assert 0.15 < index(bare, NEAR, RED) < 0.5 and index(leafy, NEAR, RED) > 0.8
    assert bare[SHORT] > bare[GREEN] and bare[NEAR] < leafy[NEAR]


def test_shallow_floods_show_the_bottom_and_turbid_ones_hide_it(msi: BandWeights) -> None:
    layers = {"cover": BARE, "leaf_area": 0.0, "open_water": 1.0, "soil_moisture": 0.4, "soil": 3}
    depth = np.array([[0.03, 0.1, 0.3, 1.0, 3.0]])
    clear, turbid = (
        surface_reflectance(truth_of((1, 5), flood_depth=depth, water_sediment=load, **layers), msi, 40.0)
        for load in (3.0, 800.0)
    )
    assert (np.diff(clear[RED, 0]) < 0).all() and clear[RED, 0, 0] > 2.0 * clear[RED, 0, -1]
    assert turbid[RED, 0, -1] > 2.5 * clear[RED, 0, -1] and turbid[NEAR, 0, -1] > 0.08 > clear[NEAR, 0, -1]
    # Grass under a hand of clear water still looks like plants.
    drowned = truth_of((1, 1), flood_depth=0.45, water_sediment=3.0, **(layers | {"cover": GRASS, "leaf_area": 2.5}))
    seen = surface_reflectance(drowned, msi, 40.0, texture=False)[:, 0, 0]
    plain = truth_of((1, 1), flood_depth=0.45, water_sediment=3.0, **layers)
    assert seen[TEN.index("B05")] != surface_reflectance(plain, msi, 40.0, texture=False)[TEN.index("B05"), 0, 0]
