"""What a search asks for: place, time, cloud, collections and names, understood once and applied everywhere alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from shapely.geometry import MultiPolygon, box
from shapely.geometry.base import BaseGeometry

from swath.cubes.catalogue.items import Item
from swath.errors import InputError

Bounds = tuple[float, float, float, float]
EARLIEST, LATEST = np.datetime64("1677-09-22", "ns"), np.datetime64("2262-04-10", "ns")


@dataclass(frozen=True)
class Wanted:
    """The filters of a search, checked.

    Args:
        bbox: west, south, east, north [degrees]; west above east crosses the antimeridian; None = everywhere.
        first: first instant.
        last: last instant.
        collections: ids, lower case; None = all.
        ids: of items; None = all.
        max_cloud: percent; None = any, unknown ones too.
    """

    bbox: Bounds | None
    first: np.datetime64
    last: np.datetime64
    collections: tuple[str, ...] | None
    ids: frozenset[str] | None
    max_cloud: float | None

    @classmethod
    def of(
        cls,
        bbox: Bounds | None,
        time: str | None,
        collections: Iterable[str] | None,
        ids: Iterable[str] | None,
        max_cloud: float | None,
    ) -> Wanted:
        """Check the filters.

        Raises:
            InputError: one of them cannot be understood.
        """
        if bbox is not None:
            area_of(bbox)
        first, last = interval(time)
        names = None if collections is None else tuple(collections)
        return cls(bbox, first, last, names, None if ids is None else frozenset(ids), max_cloud)

    def fits(self, item: Item) -> bool:
        """Whether an item passes all filters."""
        cloud = item.cloud_cover
        return (
            (self.ids is None or item.id in self.ids)
            and (self.collections is None or item.collection.lower() in {name.lower() for name in self.collections})
            and bool(self.first <= item.time <= self.last)
            and (self.max_cloud is None or (cloud is not None and cloud <= self.max_cloud))
            and (self.bbox is None or footprint(item).intersects(area_of(self.bbox)))
        )

    def widened(self, days: int | None) -> Wanted:
        """Without limits on cloud and names, and with so many days more at each end; None = any time."""
        if days is None:
            return replace(self, first=EARLIEST, last=LATEST, ids=None, max_cloud=None)
        step = np.timedelta64(days, "D")
        first = self.first if self.first == EARLIEST else self.first - step
        return replace(
            self, first=first, last=self.last if self.last == LATEST else self.last + step, ids=None, max_cloud=None
        )

    def distance(self, item: Item) -> np.timedelta64:
        """How far an item lies outside the interval."""
        outside: np.timedelta64 = max(self.first - item.time, item.time - self.last, np.timedelta64(0, "ns"))
        return outside

    def words(self) -> str:
        """Place, time and cloud in one line."""
        place = "anywhere" if self.bbox is None else "in the box " + ", ".join(f"{value:g}" for value in self.bbox)
        start = "the beginning" if self.first == EARLIEST else str(self.first)[:10]
        end = "today" if self.last == LATEST else str(self.last)[:10]
        time = "at any time" if (self.first, self.last) == (EARLIEST, LATEST) else f"from {start} to {end}"
        cloud = "any cloud cover" if self.max_cloud is None else f"cloud cover up to {self.max_cloud:g} %"
        kinds = f", collections {', '.join(self.collections)}" if self.collections else ""
        return f"{place}, {time}, {cloud}{kinds}"


def area_of(bbox: Bounds) -> BaseGeometry:
    """A bounding box in degrees as an area; two parts where it crosses the antimeridian.

    Raises:
        InputError: the numbers are no box.
    """
    west, south, east, north = (float(value) for value in bbox)
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise InputError(
            f"The box {', '.join(f'{value:g}' for value in bbox)} is no place on Earth",
            expected="west, south, east, north in degrees; longitudes -180 to 180, south below north",
            remedy="check the order; where the box crosses the antimeridian, west is above east",
        )
    if west <= east:
        return box(west, south, east, north)
    return MultiPolygon([box(west, south, 180.0, north), box(-180.0, south, east, north)])


def footprint(item: Item) -> BaseGeometry:
    """Where an item lies; from its bbox where that crosses the antimeridian."""
    west, south, east, north = item.bbox
    return area_of((west, south, east, north)) if west > east else item.footprint


def interval(text: str | None) -> tuple[np.datetime64, np.datetime64]:
    """First and last instant of a day, month, year, instant or interval; UTC.

    Raises:
        InputError: it is none of them, or ends before it begins.
    """
    low, high = EARLIEST, LATEST
    if text is None:
        return low, high
    start, slash, end = (part.strip() for part in text.partition("/"))
    first = low if slash and start in ("", "..") else _span(start, text)[0]
    last = _span(start, text)[1] if not slash else high if end in ("", "..") else _span(end, text)[1]
    if first > last:
        raise InputError(
            f"The interval '{text}' ends before it begins", expected="START/END", remedy="exchange the two ends"
        )
    return first, last


def _span(text: str, whole: str) -> tuple[np.datetime64, np.datetime64]:
    """What a part of an interval covers: a month is all of its days."""
    try:
        if "T" in text or " " in text:
            stamp = pd.Timestamp(text)
            stamp = stamp if stamp.tz is None else stamp.tz_convert("UTC").tz_localize(None)
            instant: np.datetime64 = stamp.to_datetime64().astype("datetime64[ns]")
            return instant, instant
        period = pd.Period(text.rstrip("Z"))
        first, last = (stamp.to_datetime64().astype("datetime64[ns]") for stamp in (period.start_time, period.end_time))
        return first, last
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"'{whole}' is no time",
            expected="a day, month or year such as 2024-05, or START/END such as 2024-01/2024-12",
            remedy="write ISO dates; '..' leaves an end open",
        ) from error
