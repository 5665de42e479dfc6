"""Which scenes an observation gets: one for every date wanted, by a rule that leaves nothing to chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.chips.archive.request import Request
from swath.chips.archive.sun import is_day
from swath.cubes.catalogue import Item
from swath.cubes.catalogue.search import footprint

_DAY = np.timedelta64(1, "D")
_AT_ONCE = 2048
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Seekers:
    """Observations that look for scenes.

    Args:
        lon: degrees east ``(P,)``.
        lat: degrees north ``(P,)``.
        wanted: datetime64 ``(P, T)``, the latest first.
        timed: whether each has a time of day ``(P,)``; else any time of the day wanted is right.
        outlines: polygons in degrees ``(P,)`` that a scene has to cover; None: the point alone.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    wanted: NDArray[np.datetime64]
    timed: Bools
    outlines: NDArray[np.object_] | None = None

    def part(self, chosen: Any) -> Seekers:
        """Some of them."""
        outlines = None if self.outlines is None else self.outlines[chosen]
        return Seekers(self.lon[chosen], self.lat[chosen], self.wanted[chosen], self.timed[chosen], outlines)

    def __len__(self) -> int:
        return len(self.lon)


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        items: positions of items int64 ``(P, T)``, -1 where none fits.
        problems: for each observation what is missing, and what was nearest; empty where all is well.
    """

    items: NDArray[np.int64]
    problems: tuple[str, ...]


def in_order(items: Sequence[Item], request: Request) -> list[Item]:
    """Items of the sensors asked for, in the order that settles ties: time, collection, id."""
    known = [item for item in items if item.sensor in request.origin.of_sensor and item.data]
    return sorted(known, key=lambda item: (item.time, item.collection, item.id))


def choose(items: Sequence[Item], seekers: Seekers, request: Request, tile: str) -> Choice:
    """One item for every date that each observation wants.

    Args:
        items: as ``in_order`` gives them.
        seekers: observations of one tile.
        request: tolerance, cloud limit, rule.
        tile: name of the tile, for the sentences.
    """
    if len(seekers) == 0:
        return Choice(np.zeros((0, request.dates), np.int64), ())
    parts = [
        _choose(items, seekers.part(slice(start, start + _AT_ONCE)), request, tile)
        for start in range(0, len(seekers), _AT_ONCE)
    ]
    return Choice(
        np.concatenate([part.items for part in parts]), tuple(text for part in parts for text in part.problems)
    )


def _choose(items: Sequence[Item], seekers: Seekers, request: Request, tile: str) -> Choice:
    covers = _covers(items, seekers)
    cloud = np.array([100.0 if item.cloud_cover is None else item.cloud_cover for item in items], np.float64)
    clear = cloud <= request.max_cloud if request.cloud_counts else np.ones(len(items), bool)
    light = _light(items, seekers, request)
    chosen = np.full(seekers.wanted.shape, -1, np.int64)
    gaps = [_gap(items, seekers.wanted[:, step], seekers.timed) for step in range(request.dates)]
    for step, gap in enumerate(gaps):
        chosen[:, step] = _best(covers & light & clear & (gap <= request.tolerance), cloud, gap, request)
    facts = _Facts(items, covers, clear, light, cloud, gaps, request, tile)
    problems = [facts.problem(place, chosen[place], seekers) for place in range(len(seekers))]
    return Choice(chosen, tuple(problems))


def _covers(items: Sequence[Item], seekers: Seekers) -> Bools:
    """Whether each footprint holds each place ``(P, I)``."""
    held = np.zeros((len(seekers), len(items)), bool)
    for number, item in enumerate(items):
        shape = footprint(item)
        shapely.prepare(shape)
        if seekers.outlines is None:
            held[:, number] = shapely.intersects_xy(shape, seekers.lon, seekers.lat)
        else:
            held[:, number] = shapely.covers(shape, seekers.outlines)
    return held


def _light(items: Sequence[Item], seekers: Seekers, request: Request) -> Bools:
    if not request.daytime or not items:
        return np.ones((len(seekers), len(items)), bool)
    times = np.array([item.time for item in items], "datetime64[ns]")
    return is_day(times[None], seekers.lon[:, None], seekers.lat[:, None])


def _gap(items: Sequence[Item], wanted: NDArray[np.datetime64], timed: Bools) -> NDArray[np.timedelta64]:
    """Time between each date wanted and each item ``(P, I)``; a date without time of day reaches over its whole day."""
    times = np.array([item.time for item in items], "datetime64[ns]")[None]
    first = np.where(timed, wanted, wanted.astype("datetime64[D]").astype("datetime64[ns]"))[:, None]
    last = np.where(timed[:, None], first, first + np.timedelta64(86_400_000_000_000 - 1, "ns"))
    zero = np.timedelta64(0, "ns")
    return np.maximum(np.maximum(first - times, times - last), zero)


def _best(fits: Bools, cloud: NDArray[np.float64], gap: NDArray[np.timedelta64], request: Request) -> NDArray[np.int64]:
    """Position of the best item of each row, -1 where none fits; the first in order on a tie."""
    if fits.shape[1] == 0:
        return np.full(len(fits), -1, np.int64)
    distance = gap.astype("timedelta64[ns]").astype(np.int64).astype(np.float64)
    over = np.broadcast_to(cloud if request.cloud_counts else np.zeros_like(cloud), fits.shape)
    costs = (over, distance) if request.rule == "least-cloudy" else (distance, over)
    left = fits
    for cost in costs:
        least = np.where(left, cost, np.inf).min(axis=1, keepdims=True)
        left = left & (cost == least)
    return np.where(fits.any(axis=1), left.argmax(axis=1), -1)


@dataclass(frozen=True)
class _Facts:
    """All that a sentence about a missing scene needs."""

    items: Sequence[Item]
    covers: Bools
    clear: Bools
    light: Bools
    cloud: NDArray[np.float64]
    gaps: list[NDArray[np.timedelta64]]
    request: Request
    tile: str

    def problem(self, place: int, chosen: NDArray[np.int64], seekers: Seekers) -> str:
        """What is missing for one observation; empty where nothing is."""
        missing = np.flatnonzero(chosen < 0)
        if missing.size:
            step = int(missing[0])
            day = str(seekers.wanted[place, step].astype("datetime64[D]"))
            found = len(chosen) - missing.size
            steps = f"{found} of {len(chosen)} dates have a scene; " if len(chosen) > 1 else ""
            return f"{steps}none for {day} (step {step}) {self._window()}: {self._nearest(place, step)}"
        names, counts = np.unique(chosen, return_counts=True)
        if (counts > 1).any():
            twice = self.items[int(names[counts > 1][0])]
            steps = ", ".join(str(step) for step in np.flatnonzero(chosen == names[counts > 1][0]))
            return (
                f"only {len(names)} of {len(chosen)} dates have a scene of their own: {twice.id} is the best for the "
                f"steps {steps} {self._window()}"
            )
        return ""

    def _window(self) -> str:
        limit = f", cloud up to {self.request.max_cloud:g} %" if self.request.cloud_counts else ""
        minutes = f" and {self.request.tolerance_minutes:g} minutes" if self.request.tolerance_minutes else ""
        return f"in tile {self.tile} within {self.request.tolerance_days:g} days{minutes}{limit}"

    def _nearest(self, place: int, step: int) -> str:
        held = np.flatnonzero(self.covers[place])
        if held.size == 0:
            return f"no scene of {self.request.source} covers the place" + (
                f" ({len(self.items)} scenes nearby)" if len(self.items) else ""
            )
        best = held[np.argmin(self.gaps[step][place][held])]
        item, days = self.items[best], float(self.gaps[step][place][best] / _DAY)
        cloud = f", cloud {item.cloud_cover:g} %" if item.cloud_cover is not None else ""
        dark = "" if self.light[place, best] else ", at night"
        return f"the nearest is {item.id} of {item.time.astype('datetime64[D]')} ({days:.1f} days off{cloud}{dark})"
