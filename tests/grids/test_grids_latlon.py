from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import grids
from swath.errors import ContractError, InputError
from swath.grids import LatLon
from swath.grids.sphere import EARTH_RADIUS_M

SPHERE_M2 = 4 * np.pi * EARTH_RADIUS_M**2


@pytest.mark.parametrize("resolution", [0.25, 0.1, 1.5, 30.0, 90.0, 180.0])
@pytest.mark.parametrize("poles", [False, True])
@pytest.mark.parametrize("north_first", [False, True])
def test_regular_globes_cover_the_sphere_once(resolution: float, poles: bool, north_first: bool) -> None:
    grid = LatLon.regular(resolution, poles=poles, north_first=north_first)
    rows = round(180 / resolution)
    assert grid.shape == (rows + poles, 2 * rows)
    assert grid.cyclic
    assert grid.has_poles == poles
    assert grid.north_first == (north_first or grid.shape[0] == 1)
    assert grid.cell_areas().sum() == pytest.approx(SPHERE_M2, rel=1e-12)
    assert grid.cell_areas().min() > 0
    assert grid.area_weights().mean() == pytest.approx(1.0, abs=1e-12)


def test_regular_centres_are_exact() -> None:
    grid = LatLon.regular(0.1)
    assert (grid.lat[0], grid.lat[-1], grid.lon[0], grid.lon[-1]) == (89.95, -89.95, -179.95, 179.95)
    era = LatLon.regular(0.25, poles=True)
    assert (era.shape, era.lat[0], era.lat[-1], era.lon[0], era.lon[-1]) == ((721, 1440), 90.0, -90.0, -180.0, 179.75)


@pytest.mark.parametrize("resolution", [0.0, -1.0, 0.7, 400.0])
def test_a_resolution_that_does_not_divide_the_globe_is_refused(resolution: float) -> None:
    with pytest.raises(ContractError, match="does not divide the globe"):
        LatLon.regular(resolution)


def test_cell_area_by_hand() -> None:
    # One cell from the equator to 30 degrees north and 90 degrees wide: R^2 * pi/2 * sin 30.
    grid = LatLon((15.0, 45.0), (0.0, 90.0, 180.0, 270.0))
    assert grid.cell_areas()[0, 0] == pytest.approx(EARTH_RADIUS_M**2 * np.pi / 2 * 0.5)
    assert grids.cell_area_m2(grid)[1, 3] == pytest.approx(EARTH_RADIUS_M**2 * np.pi / 2 * (np.sqrt(3) / 2 - 0.5))


def test_pole_rows_are_half_cells_with_positive_weight() -> None:
    grid = LatLon.regular(1.0, poles=True)
    assert grid.lat_edges[:2].tolist() == [90.0, 89.5]
    assert 0 < grid.area_weights()[0, 0] < grid.area_weights()[1, 0]


def test_a_global_grid_without_its_last_row_reaches_the_pole() -> None:
    # Prithvi WxC drops the last of 361 rows.
    grid = LatLon(tuple(np.linspace(-90, 89.5, 360)), tuple(np.arange(576) * 0.625 - 180))
    assert grid.lat_edges[-1] == 90.0
    assert grid.cell_areas().sum() == pytest.approx(SPHERE_M2)


def test_a_regional_grid_does_not_reach_the_pole() -> None:
    grid = LatLon((88.0, 89.0), (10.0, 11.0))
    assert grid.lat_edges.tolist() == [87.5, 88.5, 89.5]
    assert not grid.cyclic


def test_gaussian_rows_sum_to_the_sphere() -> None:
    latitudes = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))[::-1]
    grid = LatLon(tuple(latitudes), tuple(np.arange(128) * 360 / 128))
    assert grid.cell_areas().sum() == pytest.approx(SPHERE_M2)


def test_a_point_has_a_place_and_no_extent() -> None:
    point = LatLon.point(lon=-180.0, lat=90.0)
    assert grids.shape(point) == (1, 1)
    lon, lat = grids.lonlat(point)
    assert (lon.tolist(), lat.tolist()) == ([[-180.0]], [[90.0]])
    assert grids.gsd_m(point) == 0.0
    assert point.area_weights().tolist() == [[1.0]]
    assert point.cell_areas().tolist() == [[0.0]]
    assert grids.describe(point) == "point at longitude -180, latitude 90"
    assert not grids.is_global(point)


def test_a_single_row_or_column_borrows_the_other_step() -> None:
    row, column = LatLon((50.0,), (0.0, 2.0, 4.0)), LatLon((50.0, 48.0), (0.0,))
    assert row.lat_edges.tolist() == [51.0, 49.0]
    assert column.lon_widths.tolist() == [2.0]
    assert grids.gsd_m(row) == pytest.approx(2 * 111_194.9, rel=1e-4)


def test_a_row_at_the_pole_stops_there() -> None:
    assert LatLon((90.0,), (0.0, 90.0, 180.0, 270.0)).lat_edges.tolist() == [90.0, 45.0]


def test_lonlat_repeats_the_axes_as_stored() -> None:
    lon, lat = grids.lonlat(LatLon((10.0, 20.0), (179.0, -179.0, -177.0)))
    assert lon.tolist() == [[179.0, -179.0, -177.0]] * 2
    assert lat.tolist() == [[10.0] * 3, [20.0] * 3]
    assert lon.dtype == lat.dtype == np.float64


@pytest.mark.parametrize(
    ("lat", "lon", "words"),
    [
        ((), (0.0,), r"latitude axis has the shape \(0,\)"),
        ((0.0,), (), r"longitude axis has the shape \(0,\)"),
        ((91.0,), (0.0,), "1 of 1 latitude values lie outside the range, the first is 91"),
        ((0.0,), (361.0,), "longitude values lie outside"),
        ((float("nan"), 1.0), (0.0,), "1 of 2 latitude values"),
        ((0.0,), (0.0, float("inf")), "longitude values lie outside"),
        ((0.0, 1.0, 0.5), (0.0,), "do not run in one direction"),
        ((0.0, 0.0), (0.0,), "do not run in one direction"),
        ((0.0,), (0.0, 0.0), "followed by 0, the same place"),
        ((0.0,), (0.0, 360.0), "followed by 360, the same place"),
        ((0.0,), (-180.0, 0.0, 180.0), "first and the last longitude, -180 and 180, are the same place"),
        ((0.0,), (10.0, 5.0, 0.0), "10 to 0 do not run eastward"),
        ((0.0,), (10.0, 5.0), "do not run eastward"),
        ((0.0,), (0.0, 100.0, 50.0), "do not run eastward"),
    ],
)
def test_axes_that_are_out_of_order_are_told(lat: tuple[float, ...], lon: tuple[float, ...], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        LatLon(lat, lon)


@pytest.mark.parametrize("lon", [(179.0, -179.0), (350.0, 10.0), (0.0, 120.0, 240.0), (90.0, 180.0, -90.0, 0.0)])
def test_steps_over_the_antimeridian_and_greenwich_are_fine(lon: tuple[float, ...]) -> None:
    grid = LatLon((0.0, 1.0), lon)
    assert (grid.lon_widths > 0).all()
    assert grid.cyclic == (len(lon) > 2)


def test_normalising_sorts_a_global_grid_and_goes_back() -> None:
    lat, lon = [-45.0, 0.0, 45.0], [0.0, 90.0, 180.0, 270.0]
    values = np.arange(2 * 12).reshape(2, 3, 4)
    grid, order = grids.normalise(lat, lon)
    assert grid == LatLon((45.0, 0.0, -45.0), (-180.0, -90.0, 0.0, 90.0))
    assert order.apply(values)[0].tolist() == [[10, 11, 8, 9], [6, 7, 4, 5], [2, 3, 0, 1]]
    assert (order.undo(order.apply(values)) == values).all()
    assert (order.lat, order.lon) == (tuple(lat), tuple(lon))


@pytest.mark.parametrize("start", [-180, 0])
def test_a_regional_grid_stays_in_one_piece_over_the_antimeridian(start: int) -> None:
    grid, order = grids.normalise([1.0, 0.0], [-179.0, -178.0, 178.0, 179.0, 180.0], start=start)  # type: ignore[arg-type]
    steps = np.diff(grid.lon) % 360
    assert steps.tolist() == [1.0] * 4
    assert order.columns.tolist() == [2, 3, 4, 0, 1]
    assert all(start <= lon < start + 360 for lon in grid.lon)


@pytest.mark.parametrize(
    ("lon", "expected"), [([-180, 20], (20.0, -180.0)), ([0, 150], (0.0, 150.0)), ([90, -90], (-90.0, 90.0))]
)
def test_two_columns_run_the_shorter_way(lon: list[float], expected: tuple[float, float]) -> None:
    grid, _ = grids.normalise([0.0, 1.0], lon)
    assert grid.lon == expected
    assert grid.cyclic == (expected[0] == -90.0)


def test_one_column_and_westward_columns_can_be_normalised() -> None:
    assert grids.normalise([0.0], [200.0])[0].lon == (-160.0,)
    assert grids.normalise([0.0], [10.0, 5.0, 0.0])[0].lon == (0.0, 5.0, 10.0)
    assert grids.normalise([0.0], [-1e-20])[0].lon[0] == 0.0
    assert grids.normalise([0.0], [-1e-20], start=0)[0].lon[0] == 0.0


@pytest.mark.parametrize(
    ("lat", "lon", "words"),
    [
        ([0.0], [0.0, 180.0, 360.0], "longitude 0 appears 2 times among 3"),
        ([0.0], [-180.0, 0.0, 180.0], "longitude -180 appears 2 times"),
        ([5.0, 5.0], [0.0], "latitude 5 appears 2 times"),
    ],
)
def test_places_given_twice_are_told(lat: list[float], lon: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        grids.normalise(lat, lon)


def test_an_array_of_another_shape_is_refused() -> None:
    _, order = grids.normalise([1.0, 0.0], [0.0, 1.0])
    with pytest.raises(ContractError, match=r"shape \(2, 3\)"):
        order.apply(np.zeros((2, 3)))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(-90, 90), min_size=1, max_size=8, unique=True),
    st.lists(st.integers(-180, 179), min_size=1, max_size=12, unique=True),
    st.sampled_from([-180, 0]),
    st.booleans(),
)
def test_normalising_keeps_every_value_at_its_place(lat: list[int], lon: list[int], start: int, north: bool) -> None:
    grid, order = grids.normalise(lat, lon, start=start, north_first=north)  # type: ignore[arg-type]
    there = np.add.outer(np.array(lat) * 1000.0, np.array(lon) % 360)
    lons, lats = grids.lonlat(grid)
    np.testing.assert_array_equal(order.apply(there), lats * 1000.0 + lons % 360)
    np.testing.assert_array_equal(order.undo(order.apply(there)), there)
    assert order.apply(there).shape == grids.shape(grid)
    again, same = grids.normalise(grid.lat, grid.lon, start=start, north_first=north)  # type: ignore[arg-type]
    assert again == grid
    assert same.columns.tolist() == list(range(len(lon)))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(-80, 60), st.floats(-180, 300), st.floats(0.01, 0.5))
def test_weights_have_mean_one_and_areas_are_positive(h: int, w: int, south: float, west: float, step: float) -> None:
    grid = LatLon(tuple(south + step * np.arange(h)), tuple(west + step * np.arange(w)))
    assert grid.area_weights().shape == (h, w)
    assert grid.area_weights().mean() == pytest.approx(1.0)
    assert (grid.cell_areas() >= 0).all()
    assert (grid.cell_areas() > 0).all() or (h, w) == (1, 1)
