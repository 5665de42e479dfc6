from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import grids
from swath.errors import ContractError
from swath.grids import HealPix

NSIDES = [1, 2, 4, 16]


def unit_vectors(grid: HealPix) -> np.ndarray:
    lon, lat = (np.radians(part) for part in grids.lonlat(grid))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def test_the_twelve_cells_of_nside_one() -> None:
    lon, lat = grids.lonlat(HealPix(1))
    two_thirds = np.degrees(np.arcsin(2 / 3))
    assert lon.ravel().tolist() == [45, 135, -135, -45, 0, 90, -180, -90, 45, 135, -135, -45]
    np.testing.assert_allclose(lat.ravel(), [two_thirds] * 4 + [0.0] * 4 + [-two_thirds] * 4, atol=1e-12)


def test_corners_of_a_northern_face() -> None:
    lon, lat = grids.lonlat(HealPix(8))
    corners = {(0, 0): (45, 84.1497), (0, -1): (84.375, 41.8103), (-1, 0): (5.625, 41.8103), (-1, -1): (45, 4.7802)}
    for place, (expected_lon, expected_lat) in corners.items():
        assert lon[0][place] == pytest.approx(expected_lon)
        assert lat[0][place] == pytest.approx(expected_lat, abs=1e-4)


def test_the_first_nested_cells_go_south_east_west_north() -> None:
    grid = HealPix(2)
    lon, lat = (grid.to_flat(part)[:4] for part in grids.lonlat(grid))
    assert lon.tolist() == [45.0, 67.5, 22.5, 45.0]
    np.testing.assert_allclose(np.sin(np.radians(lat)), [1 / 3, 2 / 3, 2 / 3, 11 / 12], atol=1e-12)


@pytest.mark.parametrize("nside", NSIDES)
def test_known_rows_of_the_ring_scheme(nside: int) -> None:
    grid = HealPix(nside, order="ring")
    lon, lat = (grid.to_flat(part) for part in grids.lonlat(grid))
    # Published: the first row has four cells at 45, 135, ... degrees and z = 1 - 1 / (3 nside^2).
    assert (lon[:4] % 360).tolist() == [45.0, 135.0, 225.0, 315.0]
    np.testing.assert_allclose(np.sin(np.radians(lat[:4])), 1 - 1 / (3 * nside**2), atol=1e-12)
    # Cells are numbered from north to south, and eastward inside a row.
    assert (np.diff(lat) < 1e-9).all()
    same_row = np.abs(np.diff(lat)) < 1e-9
    assert (np.diff(lon % 360)[same_row] > 0).all()
    assert len(np.unique(lat.round(9))) == 4 * nside - 1


@pytest.mark.parametrize("nside", NSIDES)
@pytest.mark.parametrize("order", ["nested", "ring"])
def test_every_number_is_used_once_and_flat_arrays_come_back(nside: int, order: str) -> None:
    grid = HealPix(nside, order=order)  # type: ignore[arg-type]
    assert sorted(grid.cell_numbers().ravel()) == list(range(12 * nside**2))
    flat = np.random.default_rng(0).normal(size=(2, 3, grid.cells)).astype(np.float32)
    assert grid.to_faces(flat).shape == (2, 3, 12, nside, nside)
    np.testing.assert_array_equal(grid.to_flat(grid.to_faces(flat)), flat)
    assert grid.to_flat(grid.to_faces(flat)).dtype == np.float32


def test_four_nested_children_lie_around_their_parent() -> None:
    coarse, fine = HealPix(4), HealPix(8)
    children = fine.to_flat(np.moveaxis(unit_vectors(fine), -1, 0))
    parents = coarse.to_flat(np.moveaxis(unit_vectors(coarse), -1, 0))
    mean = children.reshape(3, -1, 4).mean(axis=2)
    cosine = (mean * parents).sum(axis=0) / np.linalg.norm(mean, axis=0)
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.25 * grids.gsd_m(coarse) / 111_194.9


@pytest.mark.parametrize("nside", NSIDES[1:])
def test_neighbours_in_a_face_are_neighbours_on_the_sphere(nside: int) -> None:
    grid = HealPix(nside)
    points = unit_vectors(grid)
    size = grids.gsd_m(grid) / 6_371_007.181
    for axis in (1, 2):
        step = np.linalg.norm(np.diff(points, axis=axis), axis=-1)
        assert 0.5 * size < step.min()
        assert step.max() < 1.5 * size


@pytest.mark.parametrize("nside", NSIDES)
def test_a_quarter_turn_permutes_the_faces(nside: int) -> None:
    lon, lat = grids.lonlat(HealPix(nside))
    turned = [1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8]
    np.testing.assert_allclose(lat[turned], lat, atol=1e-12)
    np.testing.assert_allclose((lon[turned] - lon) % 360, 90.0, atol=1e-9)


@pytest.mark.parametrize("nside", NSIDES)
def test_the_sphere_is_covered_evenly(nside: int) -> None:
    grid = HealPix(nside)
    areas = grids.cell_area_m2(grid)
    assert areas.shape == grids.shape(grid) == (12, nside, nside)
    assert np.ptp(areas) == 0
    assert areas.sum() == pytest.approx(4 * np.pi * 6_371_007.181**2)
    np.testing.assert_allclose(unit_vectors(grid).sum(axis=(0, 1, 2)), 0.0, atol=1e-9)
    assert grids.gsd_m(grid) ** 2 == pytest.approx(areas[0, 0, 0])


def test_small_cells_at_the_poles_keep_their_latitude() -> None:
    lat = grids.lonlat(HealPix(256))[1]
    expected = 90 - np.degrees(2 * np.arcsin(np.sqrt(1 / (6 * 256**2))))
    assert lat[0, 0, 0] == pytest.approx(expected, abs=1e-12)
    assert lat[8, -1, -1] == pytest.approx(-expected, abs=1e-12)
    assert np.abs(lat).max() < 90.0


def test_longitudes_stay_in_one_convention_and_answers_are_own_copies() -> None:
    lon, _ = grids.lonlat(HealPix(4))
    assert lon.min() >= -180
    assert lon.max() < 180
    lon[:] = 0
    assert grids.lonlat(HealPix(4))[0].any()


@pytest.mark.parametrize("nside", [0, -2, 3, 12, 2.0, True + 0.5])
def test_other_sizes_are_refused(nside: int) -> None:
    with pytest.raises(ContractError, match=f"nside {nside}"):
        HealPix(nside)


def test_another_order_and_other_shapes_are_refused() -> None:
    with pytest.raises(ContractError, match="order 'rings'"):
        HealPix(2, order="rings")  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="47 cells"):
        HealPix(2).to_faces(np.zeros(47))
    with pytest.raises(ContractError, match=r"\(12, 4\)"):
        HealPix(2).to_flat(np.zeros((12, 4)))


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([1, 2, 8, 32]), st.sampled_from(["nested", "ring"]))
def test_equal_grids_are_equal_keys(nside: int, order: str) -> None:
    one, other = HealPix(nside, order), HealPix(np.int64(nside), order)  # type: ignore[arg-type]
    assert one == other
    assert hash(one) == hash(other)
    assert grids.has_faces(one)
    assert grids.is_global(one)
    assert grids.describe(one) == f"HEALPix sphere of {12 * nside**2} cells (nside {nside}, {order})"
