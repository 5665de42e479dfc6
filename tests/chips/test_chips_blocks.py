"""Planning by stored block: every window once, blocks about once, memory never beyond its bound."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import chips
from swath.chips.blocks import Layout, Plan, draw_windows, plan, touches
from swath.chips.shuffle import shuffle_radius
from swath.errors import ConfigError, ContractError, InputError

MIB = 2**20


def eight_scenes(blocks: int = 22, block: int = 512) -> list[Layout]:
    return [Layout((blocks * block - 284, blocks * block - 284), (block, block), 20)] * 8


layouts = st.lists(
    st.builds(
        Layout,
        st.tuples(st.integers(1, 60), st.integers(1, 60)),
        st.tuples(st.integers(1, 24), st.integers(1, 24)),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=3,
)


def blocks_of(layout: Layout, row: int, column: int, size: int) -> set[tuple[int, int]]:
    """The blocks of a window, pixel by pixel."""
    return {
        (y // layout.block[0], x // layout.block[1])
        for y in range(row, row + size)
        for x in range(column, column + size)
    }


def play(made: Plan, parts: list[Layout]) -> None:
    """Carry a plan out with sets, and check what it promises."""
    reads = made.reads.tolist()
    in_memory: set[int] = set()
    kept: dict[int, set[int]] = {}
    waiting: dict[int, set[int]] = {}
    for place in range(len(made.windows)):
        for pair in range(made.first[place], made.first[place + 1]):
            waiting.setdefault(int(made.read_of[pair]), set()).add(place)
    done = 0
    for place, (scene, row, column) in enumerate(made.windows.tolist()):
        assert made.before[place] >= done
        while done < made.before[place]:
            if made.whole[done]:
                kept[done] = set(waiting[done])
            else:
                in_memory |= waiting[done]
            done += 1
            assert len(in_memory) <= made.slots and len(kept) <= made.kept
        mine = [int(made.read_of[pair]) for pair in range(made.first[place], made.first[place + 1])]
        assert max(mine) < done
        assert {(reads[read][0], *reads[read][1:]) for read in mine} == {
            (scene, *block) for block in blocks_of(parts[scene], row, column, made.size)
        }
        assert len(mine) == len(blocks_of(parts[scene], row, column, made.size))
        in_memory.discard(place)
        for read in mine:
            if read in kept:
                kept[read].remove(place)
                if not kept[read]:
                    del kept[read]
    assert not in_memory and not kept


@settings(max_examples=120, deadline=None)
@given(layouts, st.integers(1, 20), st.integers(0, 40), st.integers(0, 3000), st.integers(0, 3), st.integers(1, 20))
def test_a_plan_gives_every_window_once_within_memory(
    parts: list[Layout], size: int, count: int, memory: int, seed: int, warm: int
) -> None:
    most = sum(rows * columns for rows, columns in (layout.positions(size) for layout in parts))
    windows = draw_windows(parts, size, min(count, most), seed, 0)
    try:
        made = plan(parts, windows, size, memory=memory, seed=seed, epoch=0, warm=warm)
    except ConfigError as error:
        assert "MiB" in str(error)
        return
    assert sorted(map(tuple, made.windows.tolist())) == sorted(map(tuple, windows.tolist()))
    needed = {
        (scene, *block)
        for scene, row, column in windows.tolist()
        for block in blocks_of(parts[scene], row, column, size)
    }
    assert made.needed == len(needed) == len(set(map(tuple, made.reads.tolist())))
    assert len(made.reads) >= made.needed
    assert made.peak_bytes <= memory or len(windows) == 0
    play(made, parts)


def test_order_depends_on_seed_and_epoch_only() -> None:
    parts = eight_scenes()

    def order(seed: int, epoch: int) -> list[list[int]]:
        windows = draw_windows(parts, 256, 300, 0, 0)
        return plan(parts, windows, 256, memory=256 * MIB, seed=seed, epoch=epoch).windows.tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) and order(0, 0) != order(1, 0)
    windows = draw_windows(parts, 256, 300, 0, 0)
    assert (windows == draw_windows(parts, 256, 300, 0, 0)).all()
    assert not np.array_equal(windows, draw_windows(parts, 256, 300, 0, 1))


@pytest.mark.parametrize("count", [200, 2_000, 20_000])
def test_each_block_is_decoded_about_once(count: int) -> None:
    parts = eight_scenes()
    windows = draw_windows(parts, 256, count, 0, 0)
    for memory in (128, 512, 1024):
        made = plan(parts, windows, 256, memory=memory * MIB, seed=0, epoch=0)
        assert made.ratio <= 1.1
        assert made.peak_bytes <= memory * MIB


def test_more_memory_shuffles_better_and_enough_shuffles_fully() -> None:
    parts = eight_scenes()
    windows = draw_windows(parts, 256, 2_000, 0, 0)
    made = [plan(parts, windows, 256, memory=memory * MIB, seed=0, epoch=0) for memory in (64, 256, 1024, 4096)]
    for less, more in pairwise(made):
        assert less.radius < more.radius and less.pool < more.pool
    assert made[0].radius < 0.1 and made[-1].radius > 0.9
    assert made[-1].ratio == 1


def test_planning_is_fast() -> None:
    parts = eight_scenes()
    windows = draw_windows(parts, 256, 20_000, 0, 0)
    began = time.process_time()
    plan(parts, windows, 256, memory=1024 * MIB, seed=0, epoch=0)
    assert time.process_time() - began < 5  # 0.2 s on an idle core; a plan in loops over pixels takes minutes


def test_little_memory_is_said_with_what_would_do() -> None:
    parts = eight_scenes()
    windows = draw_windows(parts, 256, 100, 0, 0)
    with pytest.raises(ConfigError, match=r"at least [\d.]+ MiB .*raise memory_mb"):
        plan(parts, windows, 256, memory=8 * MIB, seed=0, epoch=0)


def test_windows_in_one_block_and_windows_as_large_as_the_scene() -> None:
    single = [Layout((5, 7), (512, 512), 1)]
    made = plan(single, draw_windows(single, 1, 35, 0, 0), 1, memory=10 * MIB, seed=0, epoch=0)
    assert len(made.reads) == made.needed == 1 and made.whole.tolist() == [False]
    whole = [Layout((8, 8), (3, 3), 1)]
    made = plan(whole, np.array([[0, 0, 0]]), 8, memory=MIB, seed=0, epoch=0)
    assert len(made.reads) == 9
    none = plan(single, np.zeros((0, 3), np.int64), 4, memory=MIB, seed=0, epoch=0)
    assert len(none.windows) == 0 and none.ratio == 1 and none.radius == 1


def test_dense_windows_keep_whole_blocks() -> None:
    parts = [Layout((64, 64), (16, 16), 1)]
    made = plan(parts, draw_windows(parts, 8, 1000, 0, 0), 8, memory=60_000, seed=0, epoch=0)
    assert made.whole.all() and made.slots == 0 and made.ratio == 1


def test_touches_by_hand() -> None:
    parts = [Layout((10, 10), (4, 4), 2)]
    found = touches(parts, np.array([[0, 3, 3], [0, 0, 0]]), 4)
    assert found.cell.tolist() == [0, 1, 3, 4, 0]  # three blocks a row
    assert found.size.tolist() == [2 * 1, 2 * 3, 2 * 3, 2 * 9, 2 * 16]
    assert found.first.tolist() == [0, 4, 5]


def test_draws_are_uniform_over_all_positions_of_all_scenes() -> None:
    parts = [Layout((3, 3), (2, 2), 1), Layout((2, 2), (2, 2), 1), Layout((1, 9), (2, 2), 1)]
    everything = draw_windows(parts, 2, 5, 0, 0)
    assert everything.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]
    counts = np.zeros(5)
    for seed in range(400):
        scene, row, column = draw_windows(parts, 2, 1, seed, 0)[0]
        counts[4 if scene else 2 * row + column] += 1
    assert counts.min() > 50 and counts.max() < 115  # 80 each, 8 the standard deviation
    with pytest.raises(InputError, match="hold 5 windows of 2 x 2 pixels, not 6"):
        draw_windows(parts, 2, 6, 0, 0)
    assert draw_windows(parts, 2, 0, 0, 0).shape == (0, 3)


def test_windows_given_must_lie_inside() -> None:
    parts = [Layout((10, 10), (4, 4), 1)]
    for window in ([0, 7, 0], [0, 0, 7], [0, -1, 0], [1, 0, 0], [-1, 0, 0]):
        with pytest.raises(InputError, match="does not lie within"):
            plan(parts, np.array([window]), 4, memory=MIB, seed=0, epoch=0)
    for wrong in (np.zeros((2, 2), int), np.zeros((1, 3)), np.zeros(3, int)):
        with pytest.raises(ContractError, match="scene, row, column"):
            plan(parts, wrong, 4, memory=MIB, seed=0, epoch=0)
    with pytest.raises(ContractError, match="at least 1"):
        Layout((0, 4), (4, 4), 1)


def test_stacked_windows_carry_their_scene() -> None:
    grid = chips.grid_windows((8, 8), 4)
    stacked = chips.stack_windows([grid, grid[:0], grid[:1]])
    assert stacked.tolist() == [[0, 0, 0], [0, 0, 4], [0, 4, 0], [0, 4, 4], [2, 0, 0]]
    assert chips.stack_windows([]).shape == (0, 3)


def test_shuffle_radius_by_hand() -> None:
    # Three windows on a line: each has both others as neighbours; distances in the stream 1, 2, 1, 1, 2, 1.
    line = np.array([[0, 0, 0], [0, 0, 5], [0, 0, 10]])
    assert shuffle_radius(line) == pytest.approx((8 / 6) / (4 / 3))
    assert shuffle_radius(np.array([[0, 0, 0], [1, 0, 0]])) == 1  # no two windows in one scene
    assert shuffle_radius(line[:0]) == 1
    assert shuffle_radius(np.zeros((6, 3), np.int64)) == pytest.approx(1, abs=0.5)  # all at one place


def test_shuffle_radius_tells_a_full_shuffle_from_a_pass_in_rows() -> None:
    rows = chips.stack_windows([chips.grid_windows((400, 400), 10)])
    assert shuffle_radius(rows) < 3 / np.sqrt(len(rows))
    shuffled = np.random.default_rng(0).permutation(rows)
    assert shuffle_radius(shuffled) == pytest.approx(1, abs=0.05)
