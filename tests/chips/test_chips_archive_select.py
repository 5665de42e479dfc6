"""Which scene an observation gets, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from swath.chips.archive import Request
from swath.chips.archive.select import Seekers, choose, in_order
from swath.cubes.catalogue import Asset, Item


def item(
    name: str, time: str, cloud: float | None = 5.0, *, area: tuple = (10, 40, 11, 41), sensor: str = "hls_s30"
) -> Item:
    return Item(
        id=name, collection="made", path=Path("made.json"), time=np.datetime64(time, "ns"), bbox=area,
        footprint=box(*area), cloud_cover=cloud, sensor=sensor, level=None, baseline=None,
        assets={"B02": Asset("B02", Path("B02.tif"), ("data",))},
    )  # fmt: skip


def seekers(days: list[str], request: Request, timed: bool = False) -> Seekers:
    count = len(days)
    wanted = request.wanted(np.array(days, "datetime64[ns]"))
    return Seekers(np.full(count, 10.5), np.full(count, 40.5), wanted, np.full(count, timed))


def names(items: list[Item], days: list[str], request: Request, timed: bool = False) -> list[str]:
    ordered = in_order(items, request)
    choice = choose(ordered, seekers(days, request, timed), request, "33TXE")
    return [ordered[index].id if index >= 0 else "" for index in choice.items[:, 0]]


def test_least_cloudy_and_nearest_date_differ_only_where_they_should() -> None:
    scenes = [
        item("near", "2024-05-07T10:00", 9.0),
        item("clear", "2024-05-10T10:00", 1.0),
        item("grey", "2024-05-03", 1.0),
    ]
    cloudy, near = (Request(steps=1, time_series=False, rule=rule) for rule in ("least-cloudy", "nearest-date"))
    assert names(scenes, ["2024-05-06"], cloudy) == ["grey"]  # as clear as the other, and a day nearer
    assert names(scenes, ["2024-05-08"], cloudy) == ["clear"]
    assert names(scenes, ["2024-05-06"], near) == ["near"]


def test_ties_go_to_the_earlier_scene_then_by_collection_and_id() -> None:
    for rule in ("least-cloudy", "nearest-date"):
        request = Request(steps=1, time_series=False, rule=rule)
        pair = [item("b", "2024-05-05T00:00"), item("a", "2024-05-07T23:59:59.999999999")]
        assert names(pair, ["2024-05-06"], request) == ["b"]
        assert names(pair[::-1], ["2024-05-06"], request) == ["b"]
        same = [item("b", "2024-05-06"), item("a", "2024-05-06")]
        assert names(same, ["2024-05-06"], request) == ["a"]


def test_the_tolerance_is_exact_with_and_without_time_of_day() -> None:
    request = Request(steps=1, time_series=False, tolerance_days=2.0, tolerance_minutes=30.0)
    for time, fits in (("2024-05-09T00:29:59", True), ("2024-05-09T00:30:00", False), ("2024-05-03T23:30", True)):
        assert bool(names([item("s", time)], ["2024-05-06"], request)[0]) == fits
    for time, fits in (("2024-05-08T12:30", True), ("2024-05-08T12:31", False), ("2024-05-04T11:29", False)):
        assert bool(names([item("s", time)], ["2024-05-06T12:00"], request, timed=True)[0]) == fits


def test_unknown_cloud_counts_as_all_cloud_and_radar_has_none() -> None:
    unknown = [item("s", "2024-05-06", None)]
    assert names(unknown, ["2024-05-06"], Request(steps=1, time_series=False, max_cloud=99.0)) == [""]
    assert names(unknown, ["2024-05-06"], Request(steps=1, time_series=False, max_cloud=100.0)) == ["s"]
    radar = [item("r", "2024-05-06", None, sensor="sentinel1_grd")]
    assert names(radar, ["2024-05-06"], Request(source="s1", steps=1, time_series=False, max_cloud=0.0)) == ["r"]
    assert names(radar, ["2024-05-06"], Request(steps=1, time_series=False, max_cloud=100.0)) == [""]


def test_night_scenes_are_left_out_on_request() -> None:
    scenes = [item("night", "2024-05-06T22:00", 0.0), item("day", "2024-05-06T10:00", 4.0)]
    assert names(scenes, ["2024-05-06"], Request(steps=1, time_series=False)) == ["night"]
    assert names(scenes, ["2024-05-06"], Request(steps=1, time_series=False, daytime=True)) == ["day"]


def test_what_is_missing_and_what_was_nearest() -> None:
    request = Request(steps=2, step_days=30, tolerance_days=3.0, max_cloud=20.0)
    scenes = in_order(
        [item("may", "2024-05-07"), item("cloudy", "2024-04-08", 80.0), item("far", "2024-01-01")], request
    )
    found = choose(scenes, seekers(["2024-06-06", "2024-06-06"], request), request, "33TXE")
    (text,) = set(found.problems)
    for part in (
        "1 of 2 dates",
        "2024-04-07",
        "33TXE",
        "3 days",
        "20 %",
        "cloudy of 2024-04-08",
        "80 %",
        "0.0 days off",
    ):
        assert part in text
    away = choose(
        in_order([item("s", "2024-05-07", area=(0, 0, 1, 1))], request), seekers(["2024-06-06"], request), request, "T"
    )
    assert "no scene of hls covers the place (1 scenes nearby)" in away.problems[0]
    none = choose([], seekers(["2024-06-06"], request), request, "T")
    assert "covers the place" in none.problems[0]
    assert choose([], seekers([], request), request, "T").problems == ()


def test_one_scene_is_not_taken_for_two_dates() -> None:
    request = Request(steps=2, step_days=4, tolerance_days=5.0)
    scenes = in_order([item("only", "2024-05-30")], request)
    found = choose(scenes, seekers(["2024-06-06"], request), request, "T")
    assert "only 1 of 2 dates have a scene of their own: only is the best for the steps 0, 1" in found.problems[0]


@pytest.mark.parametrize("rule", ["least-cloudy", "nearest-date"])
def test_choice_is_that_of_a_plain_loop(rule: str) -> None:
    random = np.random.default_rng(3)
    request = Request(steps=2, step_days=10, tolerance_days=4.0, max_cloud=60.0, rule=rule)
    start = pd.Timestamp("2024-05-01")
    draws = zip(random.integers(0, 800, 40), random.integers(0, 9, 40), strict=True)
    scenes = in_order([
        item(f"s{number:02d}", str(start + pd.Timedelta(hours=int(hours))), float(cloud) * 10)
        for number, (hours, cloud) in enumerate(draws)
    ], request)  # fmt: skip
    days = [str((start + pd.Timedelta(days=int(day))).date()) for day in random.integers(0, 50, 30)]
    look = seekers(days, request)
    found = choose(scenes, look, request, "T")
    day = np.timedelta64(1, "D")
    for place in range(30):
        for step in range(2):
            wanted = look.wanted[place, step]
            best: tuple = ()
            for index, scene in enumerate(scenes):
                gap = max((wanted - scene.time) / day, (scene.time - wanted) / day - 1, 0.0)
                cost = (scene.cloud_cover, gap) if rule == "least-cloudy" else (gap, scene.cloud_cover)
                if gap <= 4.0 and scene.cloud_cover <= 60.0 and (not best or (*cost, index) < best):
                    best = (*cost, index)
            assert found.items[place, step] == (best[-1] if best else -1)
