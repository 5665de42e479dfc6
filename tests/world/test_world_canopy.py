"""Leaves and canopies against the package prosail (other authors, other code) and against what physics demands."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.sources.world import packages
from swath.sources.world.render.canopy import Canopy, Geometry, canopy_terms, leaf_angles
from swath.sources.world.render.leaf import Leaf, interface_transmittance, leaf_optics

GOLDEN = Path(__file__).with_name("prosail_golden.csv")
LEAF = ("structure", "chlorophyll", "carotenoids", "anthocyanins", "brown", "water", "dry_matter")

fetched = pytest.mark.skipif(bool(packages.missing()), reason="run: swath data get world")


def golden() -> list[dict[str, float]]:
    with GOLDEN.open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


ROWS = golden()
WAVELENGTHS = [int(name.removeprefix("through_")) for name in ROWS[0] if name.startswith("through_")]


def column(row: dict[str, float], kind: str) -> np.ndarray:
    return np.array([row[f"{kind}_{wavelength}"] for wavelength in WAVELENGTHS])


@fetched
@pytest.mark.parametrize("number", range(len(ROWS)))
def test_leaf_and_canopy_are_those_of_prosail(number: int) -> None:
    row = ROWS[number]
    reflectance, transmittance = leaf_optics(Leaf(*(row[name] for name in LEAF)), WAVELENGTHS)
    np.testing.assert_allclose(reflectance, column(row, "leaf"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(transmittance, column(row, "through"), rtol=0, atol=1e-9)
    geometry = Geometry(row["sun_zenith"], row["view_zenith"], row["relative_azimuth"])
    canopy = canopy_terms(
        reflectance, transmittance, row["leaf_area"], row["mean_angle"], row["hot_spot"], geometry
    ).over(row["soil"])
    np.testing.assert_allclose(canopy, column(row, "canopy"), rtol=0, atol=1e-9)


def test_the_golden_values_cover_the_edges() -> None:
    assert len(ROWS) >= 50
    assert any(row["leaf_area"] == 0 for row in ROWS)
    assert any(row["sun_zenith"] == row["view_zenith"] > 0 and row["relative_azimuth"] == 0 for row in ROWS)
    assert {0.0, 75.0} <= {row["sun_zenith"] for row in ROWS}
    assert {0.0, 0.001} <= {row["hot_spot"] for row in ROWS}


@fetched
def test_many_leaves_at_once_are_the_same_as_one_by_one() -> None:
    greens, waters = np.array([[5.0], [60.0]]), np.array([0.005, 0.01, 0.03])
    reflectance, transmittance = leaf_optics(Leaf(chlorophyll=greens, water=waters), WAVELENGTHS)
    assert reflectance.shape == transmittance.shape == (2, 3, len(WAVELENGTHS))
    one = leaf_optics(Leaf(chlorophyll=60.0, water=0.005), WAVELENGTHS)
    np.testing.assert_array_equal(reflectance[1, 0], one[0])
    np.testing.assert_array_equal(transmittance[1, 0], one[1])
    assert leaf_optics(Leaf(), np.zeros(0))[0].shape == (0,)


@fetched
@settings(max_examples=40, deadline=None)
@given(
    leaf_area=st.floats(0, 10),
    angle=st.floats(10, 85),
    sun=st.floats(0, 75),
    view=st.floats(0, 30),
    azimuth=st.floats(-360, 360),
    ground=st.floats(0, 1),
)
def test_a_canopy_never_makes_light(
    leaf_area: float, angle: float, sun: float, view: float, azimuth: float, ground: float
) -> None:
    leaf = leaf_optics(Leaf(), [550.0, 670.0, 860.0, 1610.0])
    terms = canopy_terms(*leaf, leaf_area, angle, 0.1, Geometry(sun, view, azimuth))
    assert np.isfinite(terms.over(ground)).all()
    # Leaves upright along the line of sight may look brighter than white paper in the hot spot, but not by much.
    assert (terms.over(ground) >= 0).all() and (terms.over(ground) < 1.5).all()
    assert (terms.bounce >= 0).all() and (terms.bounce < 1).all()


@pytest.mark.parametrize("leaf_area", [0.0, 0.5, 3.0, 8.0])
def test_white_leaves_over_white_ground_lose_nothing(leaf_area: float) -> None:
    """Reflection into all directions adds up to what came in, where neither leaves nor ground absorb.

    Four streams do not hold this exactly: prosail, with the same numbers, gains up to 3 % as well.
    """
    nodes, weights = np.polynomial.legendre.leggauss(12)
    squares = (nodes + 1.0) / 2.0  # sin^2 of the view zenith: equal parts carry equal light
    azimuths = (np.arange(12) + 0.5) * 15.0
    total = 0.0
    for square, weight in zip(squares, weights / 2.0, strict=True):
        zenith = float(np.degrees(np.arcsin(np.sqrt(square))))
        for azimuth in azimuths:
            terms = canopy_terms(
                np.full(1, 0.49999), np.full(1, 0.49999), leaf_area, 57.0, 0.0, Geometry(35.0, zenith, azimuth)
            )
            total += weight / azimuths.size * float(terms.over(1.0)[0])
    assert total == pytest.approx(1.0, abs=0.0 if leaf_area == 0 else 0.03, rel=1e-9)


def test_a_canopy_without_leaves_is_its_ground() -> None:
    terms = canopy_terms(np.full(2, 0.4), np.full(2, 0.3), 0.0, 57.0, 0.1, Geometry(30.0, 5.0, 40.0))
    np.testing.assert_allclose(terms.over([0.1, 0.6]), [0.1, 0.6], atol=1e-12)


def test_known_numbers() -> None:
    # A smooth surface of index 1.5 sends back 0.092 of diffuse light (Walsh 1926; Duntley 1942).
    assert interface_transmittance(90.0, 1.5) == pytest.approx(1.0 - 0.092, abs=5e-4)
    assert interface_transmittance(0.01, 1.5) == pytest.approx(0.96, abs=1e-4)  # Fresnel at normal incidence
    # A spherical distribution has shares sin(angle), with the mean at one radian; Campbell's fit is good to 2 degrees.
    middle = np.arange(18) * 5 + 2.5
    assert leaf_angles(57.3) @ middle == pytest.approx(np.degrees(1.0), abs=2.0)
    for angle in (10.0, 45.0, 57.3, 80.0):
        assert leaf_angles(angle).sum() == pytest.approx(1.0)
    assert isinstance(canopy_terms(0.4, 0.3, 1.0, 57.0, 0.1, Geometry(30.0, 0.0, 0.0)), Canopy)
