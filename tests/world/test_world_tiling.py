"""The promise of the world: same seed, same bits, on any tiling and pixel size."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_base import COAST, plain_world

from swath.sources.world.frame import GSD_LADDER, Window, Zone
from swath.sources.world.truth import LAYERS, legend_of
from swath.sources.world.world import World

ZONE = Zone(32632)
DAY = "2023-07-15"
SIZE = 200


def corner() -> tuple[int, int]:
    """Row and column of a corner of cells of 10 km, inland."""
    x, y = ZONE.metres(COAST + 1.2, 48.6)
    return int(-y // 10_000) * 1000, int(x // 10_000) * 1000


@pytest.fixture(scope="module")
def world() -> World:
    return plain_world(5)


@pytest.fixture(scope="module")
def whole(world: World) -> xr.Dataset:
    """200 x 200 pixels around a corner of four cells."""
    row, column = corner()
    return world.truth(Window(ZONE, row - SIZE // 2, column - SIZE // 2, SIZE, SIZE), DAY)


def test_a_window_that_is_made_in_other_pieces_in_another_world_is_the_same(whole: xr.Dataset) -> None:
    row, column = corner()
    other = plain_world(5)
    for top, left in ((0, 0), (-1, -1), (0, -1), (-1, 0)):  # from the last cell to the first
        height = width = SIZE // 2
        part = Window(ZONE, row + top * height, column + left * width, height, width)
        rows = slice((top + 1) * height, (top + 2) * height)
        columns = slice((left + 1) * width, (left + 2) * width)
        expected = whole.isel(y=rows, x=columns)
        found = other.truth(part, DAY)
        for name in whole:
            np.testing.assert_array_equal(found[name].values, expected[name].values, err_msg=str(name))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.integers(0, 60), st.integers(0, 60))
def test_any_cut_is_the_same(world: World, whole: xr.Dataset, top: int, left: int, height: int, width: int) -> None:
    row, column = corner()
    height, width = min(height, SIZE - top), min(width, SIZE - left)
    part = Window(ZONE, row - SIZE // 2 + top, column - SIZE // 2 + left, height, width)
    found = world.truth(part, DAY)
    for name in whole:
        expected = whole[name].values[top : top + height, left : left + width]
        np.testing.assert_array_equal(found[name].values, expected, err_msg=str(name))


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(GSD_LADDER[1:]), st.integers(-1, 0), st.integers(-1, 0), st.integers(1, 2), st.integers(1, 2))
def test_coarse_pixels_are_means_and_shares_of_fine_ones(
    world: World, gsd: int, row: int, column: int, height: int, width: int
) -> None:
    step = gsd // 10
    first_row, first_column = corner()
    coarse = Window(ZONE, first_row // step + row, first_column // step + column, height, width, step)
    fine, found = world.truth(coarse.finest(), DAY), world.truth(coarse, DAY)
    assert "field" not in found and "field" in fine
    for name, info in LAYERS.items():
        if info.kind == "identity":
            continue
        # Sums in another order than that of the world: columns first, from the last to the first.
        blocks = fine[name].values.astype(np.float64).reshape(height, step, width, step)[:, ::-1, :, ::-1]
        legend = legend_of(name)
        if legend is None:
            mean = (blocks.sum(axis=3).sum(axis=1) / step**2).astype(np.float32)
            np.testing.assert_array_equal(found[name].values, mean, err_msg=name)
            continue
        shares = np.stack([(blocks == label).mean(axis=(1, 3)) for label in range(len(legend))])
        np.testing.assert_array_equal(found[f"{name}_fraction"].values, shares.astype(np.float32), err_msg=name)
        np.testing.assert_array_equal(found[name].values, shares.argmax(axis=0), err_msg=name)


def test_the_named_ladder_agrees_with_itself(world: World) -> None:
    """10, 30, 250 and 1000 m over the same 3 km: what is coarser is the mean of what is finer."""
    row, column = corner()
    fine = Window(ZONE, row // 300 * 300, column // 300 * 300, 300, 300)
    truths = {
        gsd: world.truth(fine.coarsened(gsd // 10), DAY, ["elevation", "open_water", "cover"])
        for gsd in (10, 30, 250, 1000)
        if 300 % (gsd // 10) == 0
    }
    assert set(truths) == {10, 30, 250, 1000}
    for name in ("elevation", "open_water"):
        means = {gsd: float(truth[name].values.astype(np.float64).mean()) for gsd, truth in truths.items()}
        np.testing.assert_allclose(list(means.values()), means[10], rtol=1e-6)
    for gsd in (30, 250, 1000):
        shares = truths[gsd]["cover_fraction"].values.astype(np.float64).mean(axis=(1, 2))
        expected = np.bincount(truths[10]["cover"].values.ravel(), minlength=len(shares)) / 90_000
        np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_another_seed_is_another_world(whole: xr.Dataset) -> None:
    row, column = corner()
    other = plain_world(6).truth(Window(ZONE, row, column, SIZE // 2, SIZE // 2), DAY, ["elevation", "soil", "slope"])
    own = whole.isel(y=slice(SIZE // 2, None), x=slice(SIZE // 2, None))
    assert (other["elevation"].values != own["elevation"].values).mean() > 0.95
    assert (other["soil"].values != own["soil"].values).mean() > 0.1


@settings(max_examples=2, deadline=None)
@given(st.integers(70, 130), st.integers(70, 130))
def test_lazy_chunks_are_what_is_made_at_once(world: World, whole: xr.Dataset, high: int, wide: int) -> None:
    row, column = corner()
    window = Window(ZONE, row - SIZE // 2, column - SIZE // 2, SIZE, SIZE)
    lazy = world.truth(window, DAY, ["elevation", "field", "soil", "cover"], chunks=(high, wide))
    assert lazy["elevation"].chunks is not None
    made = lazy.compute(scheduler="threads")
    for name in made:
        np.testing.assert_array_equal(made[name].values, whole[name].values)
        assert made[name].dtype == lazy[name].dtype
