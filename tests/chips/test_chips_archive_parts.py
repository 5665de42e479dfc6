"""Parts of chips from an archive: sun, tiles, masks, painting, lattice, options."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as some
from odc.geo.geobox import GeoBox

from swath import sensors
from swath.chips.archive import Request, masks
from swath.chips.archive.lattice import Lattice, cells
from swath.chips.archive.paint import as_classes, paint
from swath.chips.archive.sources import SOURCES, bands_for
from swath.chips.archive.sun import is_day, sun_elevation
from swath.chips.archive.tiles import tile_in, tile_of
from swath.errors import ConfigError, InputError
from swath.sources.world.render.sun import sun_position
from swath.types import IGNORE


def test_the_sun_stands_where_a_second_routine_says() -> None:
    times = np.datetime64("2000-01-01T00:00", "s") + np.arange(0, 40 * 365 * 24 * 3600, 3_333_333)
    lon, lat = np.linspace(-180, 180, len(times)), np.linspace(-89, 89, len(times))
    zenith, _ = sun_position(times, lon, lat)
    np.testing.assert_allclose(sun_elevation(times, lon, lat), 90.0 - zenith, atol=0.03)


def test_day_and_night_at_the_equator_on_an_equinox() -> None:
    hours = np.datetime64("2024-03-20T00:00", "m") + np.arange(0, 24) * np.timedelta64(60, "m")
    found = is_day(hours, 0.0, 0.0)
    assert found[[8, 12, 17]].all()
    assert not found[[0, 5, 19, 23]].any()
    assert not is_day(np.datetime64("2024-12-21T12:00"), 0.0, 80.0).any()  # polar night
    assert is_day(np.datetime64("2024-06-21T00:00"), 0.0, 80.0).all()  # midnight sun


@pytest.mark.parametrize(
    ("lon", "lat", "tile"),
    [
        (-107.0, 31.0, "13RCQ"),
        (13.4, 52.5, "33UUU"),  # Berlin
        (-77.035, 38.889, "18SUJ"),  # Washington
        (36.82, -1.29, "37MBU"),  # Nairobi
        (5.32, 60.39, "32VKN"),  # Bergen lies in the wider zone 32
        (15.6, 78.2, "33XWG"),  # Longyearbyen
        (151.2, -33.87, "56HLH"),  # Sydney
        (0.0, 88.0, "polar_N"),
        (0.0, -85.0, "polar_S"),
        (180.0, 0.5, "01NAA"),
    ],
)
def test_tiles_of_places(lon: float, lat: float, tile: str) -> None:
    assert tile_of([lon], [lat])[0] == tile


def test_tiles_in_names() -> None:
    assert tile_in("HLS.L30.T13SCS.2020001T173930.v2.0") == "13SCS"
    assert tile_in("S2B_MSIL2A_20240506T101559_N0510_R065_T33UUU_20240506T134407") == "33UUU"
    assert tile_in("berlin_20240506_hls_s30") is None
    assert tile_in("T33IOU.x") is None  # I and O are no letters of squares


@pytest.mark.parametrize("name", masks.TYPES)
def test_fmask_bits(name: str) -> None:
    bit = {"cloud": 1, "near_cloud_or_shadow": 2, "cloud_shadow": 3, "water": 5}[name]
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(masks.hidden(every, "Fmask", [name]), (every // 2**bit) % 2 == 1)


def test_scl_classes_and_what_cannot_be_masked() -> None:
    every = np.arange(12)
    assert np.flatnonzero(masks.hidden(every, "SCL", ["cloud"])).tolist() == [8, 9]
    assert np.flatnonzero(masks.hidden(every, "SCL", ["cloud", "water", "cloud_shadow"])).tolist() == [3, 6, 8, 9]
    with pytest.raises(ConfigError, match="told by SCL"):
        Request(source="s2", masks=("near_cloud_or_shadow",))
    with pytest.raises(ConfigError, match="no quality layer"):
        Request(source="s1", masks=("cloud",))
    with pytest.raises(ConfigError, match="cloud_shadow"):
        Request(masks=("cloud_shadows",))


def test_masks_of_each_and_of_any_date() -> None:
    bad = np.zeros((2, 3, 3), bool)
    bad[0, 0, 0] = bad[1, 2, 2] = True
    np.testing.assert_array_equal(masks.spread(bad, "each"), bad)
    assert masks.spread(bad, "any")[:, [0, 2], [0, 2]].all()
    assert masks.spread(bad, "any").sum() == 4
    valid = np.ones((2, 2, 1, 3), bool)
    valid[0, 1, 0, 0] = False
    valid[:, :, 0, 1] = False
    assert masks.usable(valid, "each").tolist() == [[True, False, True]]
    assert masks.usable(valid, "any").tolist() == [[False, False, True]]


def test_a_window_has_its_size_and_ends_at_the_edge() -> None:
    labels, clash = paint(np.array([5]), np.array([6]), np.array([3]), 12, 2, "nearest")
    assert np.isfinite(labels).sum() == 25
    assert np.isfinite(labels[3:8, 4:9]).all()
    corner, _ = paint(np.array([0]), np.array([11]), np.array([1]), 12, 2, "nearest")
    assert np.isfinite(corner).sum() == 9
    assert not clash.any()
    empty, _ = paint(np.zeros(0, int), np.zeros(0, int), np.zeros(0), 4, 3, "nearest")
    assert (as_classes(empty) == IGNORE).all()


def test_the_nearest_observation_wins_and_a_draw_is_unlabelled() -> None:
    rows, columns, values = np.array([4, 4]), np.array([2, 6]), np.array([0, 1])
    labels, clash = paint(rows, columns, values, 9, 3, "nearest")
    assert labels[4, 3] == 0
    assert labels[4, 5] == 1
    assert np.isnan(labels[4, 4])  # two pixels from either
    assert clash[:, 4].sum() == 7
    strict, _ = paint(rows, columns, values, 9, 3, "unlabelled")
    assert np.isnan(strict[4, 3])
    assert strict[4, 1] == 0 or np.isnan(strict[4, 1])
    alike, clash = paint(rows, columns, np.array([1, 1]), 9, 3, "unlabelled")
    assert not clash.any()
    assert np.nansum(alike) == np.isfinite(alike).sum()


@settings(max_examples=40, deadline=None)
@given(some.data())
def test_painting_is_that_of_a_plain_loop_and_does_not_know_order(data: some.DataObject) -> None:
    size, window = data.draw(some.integers(1, 9)), data.draw(some.integers(0, 3))
    count = data.draw(some.integers(1, 6))
    places = some.lists(some.integers(0, size - 1), min_size=count, max_size=count)
    rows, columns = np.array(data.draw(places)), np.array(data.draw(places))
    values = np.array(data.draw(some.lists(some.integers(0, 2), min_size=count, max_size=count)))
    rule = data.draw(some.sampled_from(["nearest", "unlabelled"]))
    labels, _ = paint(rows, columns, values, size, window, rule)
    order = np.array(data.draw(some.permutations(range(count))))
    np.testing.assert_array_equal(paint(rows[order], columns[order], values[order], size, window, rule)[0], labels)
    for y in range(size):
        for x in range(size):
            gap = np.maximum(abs(rows - y), abs(columns - x))
            reach = gap <= window
            if rule == "nearest" and reach.any():
                reach &= gap == gap.min()
            told = set(values[reach].tolist())
            assert (labels[y, x] == told.pop()) if len(told) == 1 else np.isnan(labels[y, x])


@settings(max_examples=60, deadline=None)
@given(
    some.integers(-5000, 5000), some.integers(-5000, 5000), some.sampled_from([10.0, 30.0, 0.00026949458523585647]),
    some.floats(0, 0.999), some.integers(1, 40), some.integers(1, 40),
)  # fmt: skip
def test_a_window_of_a_lattice_comes_back(
    row: int, column: int, step: float, part: float, high: int, wide: int
) -> None:
    lattice = Lattice("EPSG:32633" if step > 1 else "EPSG:4326", step, part * step, 0.0)
    box = lattice.box(row, column, high, wide)
    assert lattice.window(box) == (row, column, high, wide)
    again = Lattice.of(box, "made")
    assert again.window(box)[2:] == (high, wide)
    assert (again.box(*again.window(box)).affine.c - box.affine.c) / step == pytest.approx(0, abs=2e-3)


def test_partial_cells() -> None:
    down, right, whole = cells(np.array([0.0, 31.9, 32, 69]), np.array([0.0, 63.9, 64, 5]), (0, 0, 70, 70), 32)
    assert down.tolist() == [0, 0, 1, 2]
    assert right.tolist() == [0, 1, 2, 0]
    assert whole.tolist() == [True, True, False, False]
    assert not cells(np.array([-1.0]), np.array([3.0]), (0, 0, 70, 70), 32)[2][0]


def test_a_raster_off_the_lattice() -> None:
    lattice = Lattice("EPSG:32633", 10.0)
    near = GeoBox((8, 8), Affine(10, 0, 103, 0, -10, 498), "EPSG:32633")
    row, column, off = lattice.nearest(near)
    assert (row, column) == (-50, 10)
    assert off == pytest.approx(0.3)
    with pytest.raises(InputError, match="Its pixels are 12"):
        lattice.nearest(GeoBox((8, 8), Affine(12, 0, 103, 0, -12, 498), "EPSG:32633"))
    with pytest.raises(InputError, match="EPSG:32634"):
        lattice.nearest(GeoBox((8, 8), Affine(10, 0, 103, 0, -10, 498), "EPSG:32634"))
    with pytest.raises(InputError, match="square"):
        Lattice.of(GeoBox((8, 8), Affine(10, 0, 103, 0, -20, 498), "EPSG:32634"), "odd")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, "size = 0"), ({"steps": 1.5}, "steps = 1.5"), ({"max_cloud": 101.0}, "max_cloud"),
        ({"rule": "cloudless"}, "least-cloudy"), ({"strategy": "all"}, "each"), ({"source": "hsl"}, "hls"),
        ({"crs": "EPSG:4326"}, "Only one"), ({"crs": "EPSG:9999999", "resolution": 1.0}, "unknown"),
        ({"crs": "EPSG:4326", "resolution": -1.0}, "resolution"), ({"bands": ("bleu",)}, "blue"),
        ({"task": "segment"}, "segmentation"), ({"conflict": "last"}, "nearest"),
        ({"tolerance_days": -1.0}, "tolerance"),
        ({"resampling": "cubic"}, "bilinear"),
    ],
)  # fmt: skip
def test_odd_options_are_refused(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Request(**options)


def test_bands_go_by_common_or_own_names() -> None:
    landsat = sensors.load("hls_l30").bands
    waves = [landsat[landsat.position(name)].wavelength_nm for name in ("B04", "B07")]
    assert [band.wavelength_nm for band in bands_for(SOURCES["hls"], ("red", "swir_2"))] == waves
    assert bands_for(SOURCES["s2"], ("B8A", "red")).names == ("B8A", "red")
    assert Request(source="s1").band_names == ("vv", "vh")


def test_dates_wanted() -> None:
    when = np.array(["2024-06-20T10:00", "2024-03-01"], "datetime64[ns]")
    series = Request(steps=3, step_days=30).wanted(when).astype("datetime64[D]").astype(str).tolist()
    assert series[0] == ["2024-05-21", "2024-04-21", "2024-03-22"]
    assert Request(steps=3, time_series=False).wanted(when).shape == (2, 1)
    start = Request(steps=1, step_days=30, month_start=True).wanted(when).astype("datetime64[m]").astype(str)
    assert start.ravel().tolist() == ["2024-05-02T10:00", "2024-01-31T00:00"]  # the first of a month stays
