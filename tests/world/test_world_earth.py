"""The Earth: cells, their cache, any window cut from them, and what goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.errors import ConfigError, ContractError, InputError
from swath.sources.world import noise
from swath.sources.world.earth.cells import Cells, Needs
from swath.sources.world.earth.earth import MAKERS, Earth, Maker
from swath.sources.world.frame import Window, Zone
from swath.sources.world.truth import LAYERS

ZONE = Zone(32632)


def plain(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
    key = earth.key("plain", cell.zone.epsg)
    return {
        "elevation": 100.0 * noise.uniform(key, cell.rows[:, None], cell.columns[None, :]),
        "soil": (noise.bits(key, cell.rows[:, None], cell.columns[None, :]) % np.uint64(5)).astype(np.uint8),
    }


def around(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
    height = earth.read("elevation", cell.pad(1)).astype(np.float64)
    return {"slope": height[2:, 1:-1] - height[:-2, 1:-1]}


def coarse(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
    return {"coarse": cell.rows[:, None] * 1000 + cell.columns[None, :]}


TABLE = (
    Maker(plain, ("elevation", "soil"), 1),
    Maker(around, ("slope",), 1),
    Maker(coarse, ("coarse",), 10, 25),
)


def an_earth(seed: int = 1, makers: tuple[Maker, ...] = TABLE, **options: int) -> Earth:
    return Earth(seed, None, None, makers, **options)  # type: ignore[arg-type]


def window(row: int, column: int, height: int, width: int, step: int = 1) -> Window:
    return Window(ZONE, row, column, height, width, step)


def test_a_window_is_what_its_pixels_are() -> None:
    earth = an_earth()
    over = window(-103, 98, 7, 205)
    found = earth.read("elevation", over)
    expected = 100.0 * noise.uniform(earth.key("plain", 32632), over.rows[:, None], over.columns[None, :])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=LAYERS["elevation"].step / 2)
    np.testing.assert_array_equal(found * 16, np.rint(found * 16))


@settings(max_examples=12, deadline=None)
@given(st.integers(-205, 205), st.integers(-205, 205), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_windows_have_the_same_bits_however_they_are_cut(
    row: int, column: int, height: int, width: int, cut: int
) -> None:
    whole = an_earth().read("slope", window(row, column, height, width))
    cut = min(cut, height)
    earth = an_earth(cache_bytes=1)
    lower = earth.read("slope", window(row + cut, column, height - cut, width))
    upper = earth.read("slope", window(row, column, cut, width))
    assert whole.shape == (height, width)
    np.testing.assert_array_equal(whole, np.concatenate([upper, lower]))


def test_margins_reach_into_neighbours() -> None:
    earth = an_earth()
    height = earth.read("elevation", window(-1, 0, 3, 4)).astype(np.float64)
    np.testing.assert_array_equal(
        earth.read("slope", window(0, 0, 1, 4))[0], (height[2] - height[0]).astype(np.float32)
    )


def test_coarse_layers_are_read_in_their_own_pixels() -> None:
    found = an_earth().read("coarse", window(-41, 39, 2, 3, 25))
    np.testing.assert_array_equal(found, [[-40961, -40960, -40959], [-39961, -39960, -39959]])
    with pytest.raises(ContractError, match="pixels of 10 m"):
        an_earth().read("coarse", window(0, 0, 2, 2))
    with pytest.raises(ContractError, match="pixels of 250 m"):
        an_earth().read("soil", window(0, 0, 2, 2, 25))


def test_seeds_and_zones_differ_and_reading_again_gives_copies() -> None:
    over = window(5, 5, 8, 8)
    first = an_earth(1).read("elevation", over)
    assert (first != an_earth(2).read("elevation", over)).mean() > 0.9
    earth = an_earth(1)
    earth.read("elevation", over)[:] = 0
    np.testing.assert_array_equal(first, earth.read("elevation", over))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1)])
def test_small_windows(shape: tuple[int, int]) -> None:
    earth = an_earth()
    assert earth.read("elevation", window(0, 0, *shape)).shape == shape
    assert earth.read("soil", window(0, 0, *shape)).dtype == np.uint8


def test_the_cache_is_bounded_and_drops_the_least_recently_used() -> None:
    made: list[tuple[int, int]] = []

    def counted(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
        made.append((cell.row, cell.column))
        return {"wealth": np.zeros(cell.shape)}

    earth = an_earth(makers=(Maker(counted, ("wealth",), 1),), cache_bytes=2 * 40_000)
    for column in (0, 100, 0, 200, 0, 100):
        earth.read("wealth", window(0, column, 1, 1))
    assert made == [(0, 0), (0, 100), (0, 200), (0, 100)]
    assert earth._cells.nbytes == 2 * 40_000 and len(earth._cells) == 2


def test_threads_wait_for_a_cell_and_make_it_once() -> None:
    count = []

    def slow(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
        count.append(1)
        time.sleep(0.05)
        return {"wealth": np.ones(cell.shape)}

    earth = an_earth(makers=(Maker(slow, ("wealth",), 1),))
    results: list[float] = []
    threads = [
        threading.Thread(target=lambda: results.append(float(earth.read("wealth", window(0, 0, 2, 2)).sum())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [4.0] * 4 and len(count) == 1


def test_an_error_in_a_maker_is_met_again_and_locks_nothing() -> None:
    def broken(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
        raise ZeroDivisionError("a fault in a maker")

    earth = an_earth(makers=(Maker(broken, ("wealth",), 1),))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            earth.read("wealth", window(0, 0, 1, 1))
    assert len(Cells(10)) == 0


def test_circles_of_makers_are_named() -> None:
    def one(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
        return {"one": earth.read("two", cell.pad(1))}

    def two(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
        return {"two": earth.read("one", cell.pad(1))}

    def alone(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
        return {"alone": earth.read("alone", cell.pad(1))}

    earth = an_earth(makers=(Maker(one, ("one",), 1), Maker(two, ("two",), 10), Maker(alone, ("alone",), 1)))
    with pytest.raises(ContractError, match="in a circle"):
        earth.read("one", window(0, 0, 1, 1))
    with pytest.raises(ContractError, match="alone reads"):
        earth.read("alone", window(0, 0, 1, 1))


def test_circles_across_threads_are_found_before_anybody_waits() -> None:
    needs = Needs()
    with needs.of("one"), needs.of("two"):
        pass
    caught: list[ContractError] = []

    def other() -> None:
        try:
            with needs.of("two"), needs.of("one"):
                pass
        except ContractError as error:
            caught.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
    assert len(caught) == 1 and "two reads one reads two" in str(caught[0])


def test_unknown_layers_and_wrong_makers() -> None:
    with pytest.raises(InputError, match="elevation"):
        an_earth().read("elevatoin", window(0, 0, 1, 1))
    with pytest.raises(InputError, match="nothing makes it"):
        an_earth(makers=()).read("wealth", window(0, 0, 1, 1))
    with pytest.raises(ConfigError, match="two makers"):
        an_earth(makers=(TABLE[0], TABLE[0]))
    with pytest.raises(ConfigError, match="whole number of pixels"):
        an_earth(makers=(Maker(plain, ("elevation",), 1, 3),))

    def wrong(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
        return {"wealth": np.zeros((2, 3))}

    for name in ("wealth", "soil"):
        with pytest.raises(ContractError, match=f"'{name}'"):
            an_earth(makers=(Maker(wrong, (name,), 1),)).read(name, window(0, 0, 1, 1))


def test_the_table_of_makers_has_no_layer_twice() -> None:
    names = [name for maker in MAKERS for name in maker.layers]
    assert len(names) == len(set(names))
