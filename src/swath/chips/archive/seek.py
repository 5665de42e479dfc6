"""Search an archive tile by tile for the scenes of observations, and tell what was not found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from swath.chips.archive.request import Request
from swath.chips.archive.select import Seekers, choose, in_order
from swath.cubes import catalogue
from swath.cubes.catalogue import Item
from swath.failures import Failure, Failures

_MARGIN = 1e-3  # degrees around the places of a tile
_YEAR = np.timedelta64(366, "D")
_RETRY = "widen the tolerance or the cloud limit, ask for fewer dates, or add scenes to the archive"


@dataclass(frozen=True)
class Found:
    """Scenes of observations.

    Args:
        scenes: one tuple for every observation, the latest date first; None where something is missing.
        problems: what is missing, by observation; empty where nothing is.
    """

    scenes: list[tuple[Item, ...] | None]
    problems: list[str]


def seek(
    place: Path | str, table: pd.DataFrame, request: Request, failures: Failures, outlines: Any | None = None
) -> Found:
    """Scenes of every observation.

    Args:
        place: the catalogue.
        table: observations with lon, lat, when, timed and tile.
        request: options.
        failures: damaged items are noted here, each once.
        outlines: polygons in degrees ``(N,)`` that scenes have to cover; None: the points.
    """
    scenes: list[tuple[Item, ...] | None] = [None] * len(table)
    problems = [""] * len(table)
    damaged: dict[str, Failure] = {}
    seekers = Seekers(
        table["lon"].to_numpy(np.float64), table["lat"].to_numpy(np.float64), request.wanted(table["when"].to_numpy()),
        table["timed"].to_numpy(bool), outlines,
    )  # fmt: skip
    tiles = table["tile"].to_numpy()
    for tile in sorted(set(tiles)):
        chosen = np.flatnonzero(tiles == tile)
        part = seekers.part(chosen)
        items = _search(place, part, request, damaged)
        choice = choose(items, part, request, str(tile))
        hint = "" if items else _beyond(place, part, request, damaged)
        for number, position in enumerate(chosen):
            problems[position] = choice.problems[number] + (hint if choice.problems[number] else "")
            if not problems[position]:
                scenes[position] = tuple(items[index] for index in choice.items[number])
    for failure in damaged.values():
        failures.add(failure)
    return Found(scenes, problems)


def note(table: pd.DataFrame, found: Found, failures: Failures, what: str = "observation in row") -> None:
    """Add a row for every observation that lacks a scene."""
    for position, problem in enumerate(found.problems):
        if problem:
            row = table.iloc[position]
            day = str(np.datetime64(row["when"], "D"))
            item = f"{what} {row['row']} ({row['lon']:.5f}, {row['lat']:.5f}, {day})"
            failures.add(Failure(item, "select", problem, _RETRY))


def exchanged(place: Path | str, table: pd.DataFrame, request: Request) -> str:
    """A hint where nothing was found, but would be if longitude and latitude were exchanged; else empty."""
    lon, lat = table["lat"].to_numpy(np.float64), table["lon"].to_numpy(np.float64)
    if (np.abs(lat) > 90).any():
        return ""
    wanted = request.wanted(table["when"].to_numpy())
    turned = Seekers(lon, lat, wanted, table["timed"].to_numpy(bool))
    items = _search(place, turned, request, {})
    held = sum(not problem for problem in choose(items, turned, request, "").problems)
    if not held:
        return ""
    which = f"{held} of {len(table)} observations have their scenes"
    return f"; with x and y exchanged {which}: check the order of the columns"


def _search(place: Path | str, seekers: Seekers, request: Request, damaged: dict[str, Failure]) -> list[Item]:
    """Items of the place and time of some observations, whatever their cloud."""
    first = seekers.wanted.min() - request.tolerance - np.timedelta64(1, "D")
    last = seekers.wanted.max() + request.tolerance + np.timedelta64(2, "D")
    return _within(place, seekers, request, damaged, (first, last))


def _beyond(place: Path | str, seekers: Seekers, request: Request, damaged: dict[str, Failure]) -> str:
    """What lies nearest in time where a window holds nothing, within a year."""
    first, last = seekers.wanted.min(), seekers.wanted.max()
    items = _within(place, seekers, request, damaged, (first - _YEAR, last + _YEAR))
    if not items:
        return ", nor within a year of it"
    times = np.array([item.time for item in items], "datetime64[ns]")
    zero = np.timedelta64(0, "ns")
    best = items[int(np.argmin(np.maximum(np.maximum(first - times, times - last), zero)))]
    return f"; the nearest of the tile within a year is {best.id} of {best.time.astype('datetime64[D]')}"


def _within(
    place: Path | str, seekers: Seekers, request: Request, damaged: dict[str, Failure], span: tuple[Any, Any]
) -> list[Item]:
    low, high = np.datetime64("1970-01-01", "s"), np.datetime64("2261-12-31", "s")
    first, last = (np.clip(moment.astype("datetime64[s]"), low, high) for moment in span)
    notes = Failures()
    found = catalogue.search(
        place, bbox=_bounds(seekers), time=f"{first}/{last}", collections=request.collections, failures=notes
    )
    for failure in notes:
        damaged.setdefault(failure.item, failure)
    return in_order(found, request)


def _bounds(seekers: Seekers) -> tuple[float, float, float, float]:
    import shapely

    west, south, east, north = seekers.lon.min(), seekers.lat.min(), seekers.lon.max(), seekers.lat.max()
    if seekers.outlines is not None:
        west, south, east, north = shapely.total_bounds(seekers.outlines)
    return (
        max(float(west) - _MARGIN, -180.0), max(float(south) - _MARGIN, -90.0),
        min(float(east) + _MARGIN, 180.0), min(float(north) + _MARGIN, 90.0),
    )  # fmt: skip


def items_of(scenes: Sequence[tuple[Item, ...] | None]) -> list[Item]:
    """All items of some observations, each once, in order of collection and id."""
    every = {(item.collection, item.id): item for chosen in scenes if chosen is not None for item in chosen}
    return [every[key] for key in sorted(every)]
