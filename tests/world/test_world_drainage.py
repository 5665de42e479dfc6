"""Water: flow over grids against hand-worked cases and a plain flood, and what rivers do to the ground."""

from __future__ import annotations

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_base import COAST, plain_earth
from scipy import ndimage
from scipy.ndimage import uniform_filter

from swath.sources.world import noise
from swath.sources.world.earth.drainage import DRAINAGE, LAKE, NO_WATER, RIVER_STEP, SEA, STREAM
from swath.sources.world.earth.hydrology import (
    Courses,
    Flow,
    courses,
    depressions_kept,
    flow,
    nearest,
    river_width,
    sill,
)
from swath.sources.world.earth.relief import slope
from swath.sources.world.frame import Window, Zone

Array = NDArray[np.float64]
ZONE = Zone(32632)


def rough(seed: int, height: int, width: int) -> Array:
    return 10.0 * noise.normal(seed, np.arange(height)[:, None], np.arange(width)[None, :])


def flooded(height: Array, land: NDArray[np.bool_]) -> Array:
    """Filled heights by flooding from the outlets with a queue (Barnes et al. 2014): another way to the same thing."""
    filled, rows, columns = height.copy(), *height.shape
    seen, queue = ~land, []
    for row, column in np.argwhere(land):
        around = [(row + a, column + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
        if any(not (0 <= r < rows and 0 <= c < columns) or not land[r, c] for r, c in around):
            heapq.heappush(queue, (height[row, column], int(row), int(column)))
            seen[row, column] = True
    while queue:
        level, row, column = heapq.heappop(queue)
        filled[row, column] = level
        for r in range(max(row - 1, 0), min(row + 2, rows)):
            for c in range(max(column - 1, 0), min(column + 2, columns)):
                if not seen[r, c]:
                    seen[r, c] = True
                    heapq.heappush(queue, (max(level, height[r, c]), r, c))
    return filled


grids = st.tuples(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14), st.booleans())


def a_flow(grid: tuple[int, int, int, bool]) -> tuple[Flow, NDArray[np.bool_]]:
    seed, rows, columns, wet = grid
    height = rough(seed, rows, columns)
    land = height > -8.0 if wet else np.ones(height.shape, bool)
    return flow(height, land), land


@settings(max_examples=40, deadline=None)
@given(grids)
def test_filling_agrees_with_a_flood(grid: tuple[int, int, int, bool]) -> None:
    over, land = a_flow(grid)
    np.testing.assert_array_equal(over.filled, flooded(over.height, land))


@settings(max_examples=40, deadline=None)
@given(grids)
def test_all_land_drains_to_outlets_and_areas_add_up(grid: tuple[int, int, int, bool]) -> None:
    over, land = a_flow(grid)
    assert ((over.down >= 0) == land.ravel()).all()
    assert over.cells[over.outlets].sum() == land.sum()
    row, column = np.divmod(np.arange(land.size), land.shape[1])
    away = np.where(over.down < 0, np.arange(land.size), over.down)
    step = np.maximum(np.abs(away // land.shape[1] - row), np.abs(away % land.shape[1] - column))
    assert step.max(initial=0) <= 1
    lower = over.filled.ravel()[away] <= over.filled.ravel()
    assert lower.all()


@settings(max_examples=30, deadline=None)
@given(grids)
def test_beds_never_rise_downstream_nor_lie_under_their_floor(grid: tuple[int, int, int, bool]) -> None:
    over, land = a_flow(grid)
    floor = np.where(rough(grid[0] + 1, *over.height.shape) > 8.0, over.filled, -np.inf)
    bed = over.bed(over.height - 1.0, floor)
    inner = np.flatnonzero(land.ravel())
    assert (bed.ravel()[over.down[inner]] <= bed.ravel()[inner] + 1e-9).all()
    assert (bed >= floor)[land].all() and (bed <= over.filled + 1e-9)[land].all()


@settings(max_examples=20, deadline=None)
@given(grids)
def test_the_drain_level_is_that_of_the_first_drain_on_the_way(grid: tuple[int, int, int, bool]) -> None:
    over, land = a_flow(grid)
    drains = rough(grid[0] + 2, *over.height.shape) > 9.0
    found = over.drain_level(over.height, drains).ravel()
    for start in np.flatnonzero(land.ravel()):
        at = start
        while not drains.ravel()[at] and over.down[at] != at:
            at = over.down[at]
        assert found[start] == over.height.ravel()[at]


def test_a_tilted_plane_drains_straight_down() -> None:
    height = np.arange(6.0)[::-1, None] + np.zeros((6, 5))
    over = flow(height, np.ones((6, 5), bool))
    inner = np.arange(30).reshape(6, 5)[1:5, 1:4]
    np.testing.assert_array_equal(over.down[inner], inner + 5)
    np.testing.assert_array_equal(over.cells[5, 1:4], [5, 5, 5])


def test_the_steepest_way_counts_the_longer_diagonal() -> None:
    height = np.full((5, 5), 20.0)
    height[2, 2], height[3, 2], height[3, 3] = 10.0, 8.0, 7.5
    height[4, 2:4] = 0.0
    over = flow(height, np.ones((5, 5), bool))
    assert over.down[2 * 5 + 2] == 3 * 5 + 2  # 2 m in one cell beat 2.5 m in 1.41
    height[3, 3] = 7.0
    assert flow(height, np.ones((5, 5), bool)).down[2 * 5 + 2] == 3 * 5 + 3


def test_a_depression_leaves_over_its_lowest_saddle_along_its_bottom() -> None:
    height = np.full((5, 9), 9.0)
    height[2] = [0, 4, 3, 2, 1, 2, 3, 8, 0]
    over = flow(height, np.ones((5, 9), bool))
    np.testing.assert_array_equal(over.filled[2], [0, 4, 4, 4, 4, 4, 4, 8, 0])
    np.testing.assert_array_equal(over.down[2 * 9 + np.arange(1, 7)], 2 * 9 + np.arange(0, 6))


def test_nothing_and_everything_is_land() -> None:
    over = flow(np.zeros((3, 4)), np.zeros((3, 4), bool))
    assert (over.down == -1).all() and over.cells.sum() == 0
    single = flow(np.ones((1, 1)), np.ones((1, 1), bool))
    assert single.down.tolist() == [0] and single.cells.tolist() == [[1.0]]


def test_lakes_are_kept_by_depth_size_and_chance() -> None:
    depth = np.zeros((20, 30))
    depth[2:6, 2:6], depth[10, 10], depth[12:15, 20:23] = 5.0, 9.0, 1.0
    window = Window(ZONE, 0, 0, 20, 30, 5)
    kept = depressions_kept(depth, 3, window, np.ones(depth.shape), deepest=2.0, cells=16)
    np.testing.assert_array_equal(kept, depth == 5.0)
    assert not depressions_kept(depth, 3, window, np.zeros(depth.shape), deepest=2.0, cells=1).any()
    assert not depressions_kept(
        np.zeros((3, 3)), 3, Window(ZONE, 0, 0, 3, 3), np.ones((3, 3)), deepest=0, cells=1
    ).any()


def test_width_follows_discharge() -> None:
    year = 365.25 * 86400
    np.testing.assert_allclose(river_width(np.array([year / 1e6]), np.array([1.0])), 7.2)
    np.testing.assert_allclose(river_width(np.array([400.0]), 0.4), 2 * river_width(np.array([100.0]), 0.4))
    assert river_width(np.array([0.0]), 0.4) == 0


def test_courses_touch_every_cell_of_a_stream_and_fall_along_it() -> None:
    window = Window(ZONE, 100, 200, 12, 9, 5)
    down = np.arange(108)
    down[4:103:9] += 9  # straight down column 4
    area, level = np.zeros((12, 9)), np.zeros((12, 9))
    area[:, 4] = 1.0 + np.arange(12)
    level[:, 4] = 50.0 - np.arange(12)
    line = courses(window, down, level, area, 7, 8.0)
    assert line.level.min() >= 39.0 and line.level.max() <= 50.0
    fine = window.finest()
    _, painted = line.painted(fine)
    rows = (painted > 0).any(axis=1)
    assert rows[5:55].all()  # no gap
    columns = np.flatnonzero((painted > 0).any(axis=0))
    assert columns.min() >= 18 and columns.max() <= 26 and np.ptp(columns) > 0
    np.testing.assert_allclose(np.corrcoef(line.y, line.level)[0, 1], 1.0, atol=0.02)


def test_the_largest_stream_of_a_pixel_counts_and_those_outside_do_not() -> None:
    line = Courses(*(np.array(part, float) for part in ([-5, -6, -99], [5, 4, 5], [1, 2, 3], [9, 4, 99])))
    level, area = line.painted(Window(ZONE, 0, 0, 2, 2))
    np.testing.assert_array_equal(level, [[1, 0], [0, 0]])
    np.testing.assert_array_equal(area, [[9, 0], [0, 0]])
    distance, _ = nearest(np.zeros((2, 2), bool))
    assert np.isinf(distance).all()


@pytest.fixture(scope="module")
def land() -> dict[str, NDArray[np.generic]]:
    """Two cells of 10 km side by side, inland and hilly; the window crosses their border and that of 100 km."""
    x, y = ZONE.metres(11.5, 48.6)
    window = Window(ZONE, int(-y // 10_000) * 1000, int(x // 100_000) * 10_000 - 1000, 1000, 2000)
    layers = plain_earth(3).read_all(DRAINAGE, window)
    return {**layers, "left": np.array(window.column)}


def test_rivers_lie_low_and_water_is_at_no_height(land: dict[str, NDArray[np.generic]]) -> None:
    above, share, kind = (land[name] for name in ("height_above_drainage", "open_water", "water_kind"))
    assert above.min() == 0 and above.max() < 500
    assert share.min() == 0 and share.max() == 1
    assert (above[share >= 0.5] == 0).all()
    assert ((share > 0) == (kind != NO_WATER)).all()
    stream = kind == STREAM
    assert 0.002 < stream.mean() < 0.15
    ground = np.asarray(land["elevation"], np.float64)
    beside = ground - uniform_filter(ground, 51, mode="nearest")  # than 500 m around
    assert beside[stream].mean() < -0.25 * beside.std()


def test_slopes_are_those_of_the_elevation_within_its_steps(land: dict[str, NDArray[np.generic]]) -> None:
    expected = slope(np.asarray(land["elevation"], np.float64))
    found = np.asarray(land["slope"], np.float64)[1:-1, 1:-1]
    difference = np.abs(found - expected)
    assert difference[:, :990].max() < 0.6  # steps of 2 ** -4 m over 20 m are 0.18 degrees
    assert np.median(difference) < 0.1


def test_borders_of_cells_hardly_show(land: dict[str, NDArray[np.generic]]) -> None:
    """Jumps of more than 5 m between neighbours, less than what the ground does anyway, at the border and elsewhere."""
    for name in ("elevation", "height_above_drainage"):
        values = np.asarray(land[name], np.float64)
        jump = np.abs(np.diff(values, axis=1))
        excess = jump[:, 1:-1] - 0.5 * (jump[:, :-2] + jump[:, 2:])
        border = 1000 - 2  # between columns 999 and 1000
        share, elsewhere = (excess[:, border] > 5.0).mean(), (np.delete(excess, border, axis=1) > 5.0).mean()
        assert share < elsewhere + 0.02, (name, share, elsewhere)


def test_the_coast_and_its_rivers() -> None:
    earth = plain_earth(1)
    x, y = ZONE.metres(COAST + 0.03, 47.2)
    cell = Window(ZONE, int(-y // 10_000) * 1000, int(x // 10_000) * 1000, 1000, 1000)
    layers = earth.read_all(DRAINAGE, cell)
    sea = layers["water_kind"] == SEA
    assert 0.02 < sea.mean() < 0.98
    assert (layers["elevation"][sea] == 0).all() and (layers["open_water"][sea] == 1).all()
    assert (layers["elevation"][~sea] >= 0).all()
    assert np.isin(layers["water_kind"], (NO_WATER, STREAM, LAKE, SEA)).all()
    coarse = Window(ZONE, cell.row // RIVER_STEP, cell.column // RIVER_STEP, 40, 40, RIVER_STEP)
    area, level = earth.read("river_area", coarse), earth.read("river_level", coarse)
    assert (area >= 0).all() and (level[area > 0] >= -1e-9).all() and area.max() > 1.0


def highest_on_the_way(height: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The lowest highest point of any way from a source, by a queue (Barnes et al. 2014)."""
    out = np.full(height.shape, np.inf)
    queue = [(float(height[row, column]), int(row), int(column)) for row, column in np.argwhere(sources)]
    heapq.heapify(queue)
    while queue:
        level, row, column = heapq.heappop(queue)
        if level >= out[row, column]:
            continue
        out[row, column] = level
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            there = row + down, column + right
            if 0 <= there[0] < height.shape[0] and 0 <= there[1] < height.shape[1]:
                heapq.heappush(queue, (max(level, float(height[there])), *there))
    return out


def test_sills_are_the_lowest_highest_points_of_the_ways_there() -> None:
    generator = np.random.default_rng(3)
    height = np.abs(ndimage.gaussian_filter(generator.standard_normal((40, 50)), 1.5)) * 20.0
    sources = generator.uniform(size=height.shape) < 0.005
    exact, found = highest_on_the_way(height, sources), sill(height, sources, 4.0, 0.25)
    reached = exact < 4.0
    assert reached.any() and (~reached).any() and np.isinf(found[exact >= 4.0]).all()
    assert (found[reached] <= exact[reached] + 1e-9).all() and (exact[reached] - found[reached] <= 0.25).all()
    assert (found[reached] >= height[reached] - 1e-9).all()
    assert np.isinf(sill(height, np.zeros(height.shape, bool), 4.0, 0.25)).all()
    assert sill(np.zeros((1, 1)), np.ones((1, 1), bool), 1.0, 0.25).tolist() == [[0.0]]
