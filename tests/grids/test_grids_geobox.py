from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from swath import grids
from swath.errors import ContractError, InputError


def box(
    crs: str | None,
    west: float,
    north: float,
    step: float,
    shape: tuple[int, int] = (30, 40),
    down: float | None = None,
) -> GeoBox:
    return GeoBox(shape, Affine(step, 0.0, west, 0.0, -step if down is None else down, north), crs)


UTM = box("EPSG:32633", 500_000.0, 5_000_300.0, 10.0)
GLOBE = box("EPSG:4326", -180.0, 90.0, 1.0, (180, 360))
NO_CRS = box(None, 0.0, 0.0, 1.0)


def test_pixel_centres_of_a_geographic_grid_are_its_coordinates() -> None:
    lon, lat = grids.lonlat(GLOBE)
    assert lon.shape == grids.shape(GLOBE) == (180, 360)
    assert (lon[0, 0], lon[0, -1], lat[0, 0], lat[-1, 0]) == (-179.5, 179.5, 89.5, -89.5)
    assert not grids.has_faces(GLOBE)


def test_pixel_centres_of_a_projected_grid() -> None:
    # 500 000 east is the central meridian of the zone, 15 degrees in zone 33; 0 north is the equator.
    lon, lat = grids.lonlat(box("EPSG:32633", 499_995.0, 5.0, 10.0, (1, 1)))
    assert lon[0, 0] == pytest.approx(15.0, abs=1e-9)
    assert lat[0, 0] == pytest.approx(0.0, abs=1e-9)


def test_rotated_grids_follow_their_affine() -> None:
    turned = GeoBox((2, 3), Affine(0.0, 1.0, 10.0, 1.0, 0.0, 20.0), "EPSG:4326")
    lon, lat = grids.lonlat(turned)
    assert lon.tolist() == [[10.5] * 3, [11.5] * 3]
    assert lat.tolist() == [[20.5, 21.5, 22.5]] * 2
    with pytest.raises(ContractError, match="rotated"):
        grids.cell_area_m2(turned)


def test_sizes_in_metres() -> None:
    assert grids.gsd_m(UTM) == 10.0
    assert grids.gsd_m(box("EPSG:3035", 4e6, 3e6, 25.0)) == 25.0
    # A degree of latitude is longer at the poles: 110.574 km at the equator, 111.694 km at the pole (WGS 84).
    assert grids.gsd_m(box("EPSG:4326", 0.0, 0.5, 1.0, (1, 1))) == pytest.approx(110_574.3, abs=0.2)
    assert grids.gsd_m(box("EPSG:4326", 0.0, 90.0, 1.0, (1, 1))) == pytest.approx(111_693.9, abs=0.2)
    assert grids.gsd_m(box("EPSG:2263", 1e6, 2e5, 3.280833333)) == pytest.approx(1.0, rel=1e-4)


def test_web_mercator_is_measured_on_the_ground() -> None:
    mercator = box("EPSG:3857", 0.0, 8_399_737.9 + 50.0, 10.0, (10, 10))  # 60 degrees north
    assert grids.gsd_m(mercator) == pytest.approx(5.0, rel=0.01)
    assert grids.cell_area_m2(mercator).mean() == pytest.approx(25.0, rel=0.01)


def test_cell_areas() -> None:
    assert np.unique(grids.cell_area_m2(UTM)).tolist() == [100.0]
    # Surface of the WGS 84 ellipsoid.
    assert grids.cell_area_m2(GLOBE).sum() == pytest.approx(510_065_621_724_088, rel=1e-9)
    over = box("EPSG:4326", -180.0, 90.5, 1.0, (181, 360))
    assert grids.cell_area_m2(over).sum() == pytest.approx(510_065_621_724_088, rel=1e-9)


@pytest.mark.parametrize("question", [grids.lonlat, grids.gsd_m, grids.cell_area_m2])
def test_without_a_crs_there_is_a_sentence(question: object) -> None:
    with pytest.raises(ContractError, match=r"30 x 40 pixels has no coordinate reference system"):
        question(NO_CRS)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (GLOBE, True),
        (box("EPSG:4326", 0.0, 90.0, 0.1, (1800, 3600)), True),
        (box("EPSG:4326", 0.0, 10.0, 0.1, (100, 3600), down=0.1), True),
        (box("EPSG:4326", 0.0, 90.0, 1.0, (180, 359)), False),
        (box("EPSG:4326", 0.0, 90.0, 1.0, (180, 361)), False),
        (box("EPSG:3857", -20037508.34, 20037508.34, 40075016.68 / 360, (360, 360)), False),
        (NO_CRS, False),
        (UTM, False),
    ],
)
def test_what_is_global(grid: GeoBox, expected: bool) -> None:
    assert grids.is_global(grid) is expected


def test_descriptions() -> None:
    assert grids.describe(UTM) == "30 x 40 pixels of 10 in EPSG:32633, x 500000 to 500400, y 5000000 to 5000300"
    assert grids.describe(NO_CRS).startswith("30 x 40 pixels of 1 in no CRS")


def test_overlap_in_one_crs() -> None:
    shifted = box("EPSG:32633", 500_200.0, 5_000_300.0, 20.0)
    shared = grids.overlap(UTM, shifted)
    assert shared.area == pytest.approx(200.0 * 300.0)
    assert shared.crs == UTM.crs
    assert grids.overlap(UTM, UTM).area == pytest.approx(120_000.0)


def test_no_overlap_prints_both_extents_and_crs() -> None:
    far = box("EPSG:32719", 300_000.0, 9_000_000.0, 10.0)
    with pytest.raises(InputError) as caught:
        grids.overlap(UTM, far, names=("scene.tif", "labels.tif"))
    text = str(caught.value)
    for part in ("'scene.tif' and 'labels.tif' do not overlap", "x 500000 to 500400", "EPSG:32633", "EPSG:32719"):
        assert part in text
    assert "longitude 15.000 to 15.005" in text


@pytest.mark.parametrize(("named", "shown"), [("unknown", "a CRS without a name"), ("Own Lambert", "'Own Lambert'")])
def test_no_overlap_prints_a_crs_without_epsg_code_by_name(named: str, shown: str) -> None:
    text = CRS("+proj=laea +lat_0=10 +lon_0=20 +ellps=bessel +units=m").to_wkt()
    crs = CRS(text.replace('PROJCRS["unknown"', f'PROJCRS["{named}"', 1))
    with pytest.raises(InputError) as caught:
        grids.overlap(UTM, GeoBox((30, 40), Affine(10, 0, 0, 0, -10, 0), crs))
    text = str(caught.value)
    assert f"in {shown} (longitude" in text
    assert "PROJCRS" not in text and "ELLIPSOID" not in text


@pytest.mark.parametrize(("west", "told"), [(200.0, True), (-160.0, False), (20.0, False)])
def test_no_overlap_names_longitudes_from_0_to_360(west: float, told: bool) -> None:
    scene = box("EPSG:4326", west, 10.0, 0.1)
    with pytest.raises(InputError) as caught:
        grids.overlap(scene, UTM, names=("scene.nc", "labels.tif"))
    assert ("'scene.nc' counts longitudes from 0 to 360" in str(caught.value)) is told
    assert "'labels.tif' counts" not in str(caught.value)


def test_touching_edges_share_no_area() -> None:
    with pytest.raises(InputError, match="do not overlap"):
        grids.overlap(UTM, box("EPSG:32633", 500_400.0, 5_000_300.0, 10.0))


def test_overlap_without_a_crs_is_refused() -> None:
    with pytest.raises(ContractError, match=r"labels\.tif.*no coordinate reference system"):
        grids.overlap(UTM, NO_CRS, names=("scene.tif", "labels.tif"))


FIJI = box("EPSG:32701", 165_000.0, 8_100_000.0, 1000.0, (60, 60))  # zone 1 begins at the antimeridian
ARCTIC = box("EPSG:3995", -500_000.0, 500_000.0, 10_000.0, (100, 100))  # the north pole in its middle


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        (UTM, GLOBE, 1.0),
        (UTM, box("EPSG:4326", 0.0, 90.0, 1.0, (180, 360)), 1.0),
        (UTM, box("EPSG:3857", 1_669_792.0, 5_700_000.0, 1000.0, (300, 100)), 1.0),
        (FIJI, GLOBE, 1.0),
        (FIJI, box("EPSG:4326", 0.0, 0.0, 1.0, (90, 360)), 1.0),
        (ARCTIC, GLOBE, 1.0),
        (box("EPSG:4326", 170.0, 5.0, 1.0, (10, 10)), box("EPSG:4326", -185.0, 5.0, 1.0, (10, 10)), 0.5),
        (box("EPSG:4326", -10.0, 5.0, 1.0, (10, 10)), box("EPSG:4326", 0.0, 90.0, 1.0, (180, 360)), 1.0),
        (GLOBE, UTM, 120_000 / 510e12),
    ],
)
def test_overlap_across_crs_and_the_antimeridian(one: GeoBox, other: GeoBox, share: float) -> None:
    total = one.extent.area
    expected = share * total
    if one is GLOBE:  # in square degrees
        expected = (300 / 111_132) * (400 / (111_320 * np.cos(np.radians(45.15))))
    assert grids.overlap(one, other).area == pytest.approx(expected, rel=0.02)


def test_overlap_of_the_globe_with_a_polar_map_contains_the_pole() -> None:
    shared = grids.overlap(GLOBE, ARCTIC).boundingbox
    assert shared.top > 88
    assert shared.right - shared.left > 340


@settings(deadline=None, max_examples=30)
@given(st.integers(-50, 50), st.integers(-50, 50))
def test_overlap_is_symmetric_and_never_larger_than_either(dx: int, dy: int) -> None:
    moved = box("EPSG:32633", 500_000.0 + 10 * dx, 5_000_300.0 + 10 * dy, 10.0)
    expected = max(0, 40 - abs(dx)) * max(0, 30 - abs(dy)) * 100.0
    if expected == 0:
        with pytest.raises(InputError, match="do not overlap"):
            grids.overlap(UTM, moved)
    else:
        assert grids.overlap(UTM, moved).area == pytest.approx(expected)
        assert grids.overlap(moved, UTM).area == pytest.approx(expected)
