"""Find the items of a catalogue by place, time, cloud and collection."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from shapely.geometry import MultiPolygon, box
from shapely.geometry.base import BaseGeometry

from swath.cubes.catalogue.items import Item, walk
from swath.errors import InputError
from swath.failures import Failures

Bounds = tuple[float, float, float, float]


def search(
    place: Path | str,
    *,
    bbox: Bounds | None = None,
    time: str | None = None,
    collections: Iterable[str] | None = None,
    ids: Iterable[str] | None = None,
    max_cloud: float | None = None,
    failures: Failures | None = None,
) -> list[Item]:
    """Items of a static catalogue that fit, oldest first.

    Args:
        place: the catalogue: a folder, or its JSON file.
        bbox: west, south, east, north [degrees]; west above east crosses the antimeridian.
        time: a day, month or year (``2024-05``), an instant, or an interval ``START/END`` whose ends may be ``..``;
            both ends count whole.
        collections: ids of collections; all when left out.
        ids: ids of items; all when left out.
        max_cloud: most cloud cover in percent; items that do not tell theirs are left out then.
        failures: items that cannot be read are noted here and passed over; None = the first one ends the search.

    Raises:
        InputError: as ``walk``, or a filter cannot be understood.
    """
    area = None if bbox is None else area_of(bbox)
    first, last = interval(time)
    wanted = None if collections is None else {name.lower() for name in collections}
    named = None if ids is None else set(ids)
    found = [
        item
        for item in walk(place, failures)
        if (named is None or item.id in named)
        and (wanted is None or item.collection.lower() in wanted)
        and first <= item.time <= last
        and (max_cloud is None or (item.cloud_cover is not None and item.cloud_cover <= max_cloud))
        and (area is None or footprint(item).intersects(area))
    ]
    return sorted(found, key=lambda item: (item.time, item.collection, item.id))


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
    low, high = np.datetime64("1677-09-22", "ns"), np.datetime64("2262-04-10", "ns")
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
