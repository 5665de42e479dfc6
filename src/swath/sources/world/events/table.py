"""The events of the planet as a table of polygons: what happened, from when to when, where, how severely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from swath.errors import InputError
from swath.sources.world.earth.weather import checked_day
from swath.sources.world.events import fire, flood
from swath.sources.world.events.clearing import WOODED, plots
from swath.sources.world.frame import PIXEL, Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

COLUMNS = ("kind", "number", "start", "end", "severity")
_FLOODED = 0.02  # share of a window that flood water of at least ``_DEEP`` metres must cover to be told
_DEEP = 0.2


def events(earth: Earth, window: Window, first: Any, last: Any) -> gpd.GeoDataFrame:
    """Events that touch a window and a span of days, cut to the window.

    Args:
        earth: the planet.
        window: finest pixels; every event whose pixels lie in it is told.
        first: first day, 1980 to 2100, anything that numpy takes for a day.
        last: last day, included.

    Returns:
        a GeoDataFrame in the CRS of the zone with the columns ``kind`` (fire, clearing, flood), ``number`` (identity;
        0 for floods), ``start`` and ``end`` (first and last day; of floods and running fires within the span),
        ``severity`` (fire: mean share of the vegetation taken; flood: greatest depth [m]; clearing: 1) and the
        ``geometry``. Floods are told where they cover 2 % of the window at 0.2 m or more; their outline is the widest.

    Raises:
        InputError: a day lies outside 1980 to 2100, or the last before the first.
    """
    start, end = checked_day(first), checked_day(last)
    if end < start:
        raise InputError(
            f"The events from {start} to {end} were asked for",
            expected="a last day that is not before the first",
            remedy="swap them",
        )
    rows: list[dict[str, Any]] = []
    if 0 not in window.shape:
        rows += _fires(earth, window, start, end)
        rows += _clearings(earth, window, start, end)
        rows += _floods(earth, window, start, end)
    rows.sort(key=lambda row: (row["start"], row["kind"], row["number"]))
    data: dict[str, Any] = {name: [row[name] for row in rows] for name in COLUMNS}
    for name in ("start", "end"):
        data[name] = np.array(data[name], "datetime64[ns]")
    geometry = [row["geometry"] for row in rows]
    return gpd.GeoDataFrame(data, geometry=geometry, crs=f"EPSG:{window.zone.epsg}")


def _fires(earth: Earth, window: Window, start: np.datetime64, end: np.datetime64) -> list[dict[str, Any]]:
    rows = []
    for one in fire.fires(earth, window, start - fire.LONGEST, end):
        burnt = one.perimeter(end)
        outline = _outline(burnt, one.window).intersection(_frame(window))
        last = min(one.end, end)
        if last >= start and outline.area > 0.0:
            severity = float(one.severity[burnt].mean(dtype=np.float64))
            rows.append(_row("fire", one.number, one.start, last, severity, outline))
    return rows


def _clearings(earth: Earth, window: Window, start: np.datetime64, end: np.datetime64) -> list[dict[str, Any]]:
    rows = []
    for plot in plots(earth, window, start - 40, end):
        last = plot.start + plot.days - 1
        if last < start:
            continue
        outline = shapely.Polygon(plot.corners()).intersection(_frame(window))
        inside = ~np.isnan(plot.progress(window))
        wooded = inside & np.isin(earth.read("cover", window), WOODED)
        if wooded.any():
            rows.append(_row("clearing", plot.number, plot.start, last, 1.0, outline))
    return rows


def _floods(earth: Earth, window: Window, start: np.datetime64, end: np.datetime64) -> list[dict[str, Any]]:
    """Spans of days on which the window is flooded, each with its widest outline."""
    level = flood.highest_levels(earth, window, start, end) * float(flood.size_of_rivers(earth, window).max())
    if not (level > 0.0).any():
        return []
    height, rest = earth.read("height_above_drainage", window), earth.read("open_water", window)
    low = float(np.quantile(np.where(rest < 1.0, height, np.inf), _FLOODED, method="lower"))
    rows: list[dict[str, Any]] = []
    days = start + np.flatnonzero(level - _DEEP >= low)
    for span in np.split(days, np.flatnonzero(np.diff(days).astype(int) > 1) + 1) if len(days) else ():
        peak = span[int(np.argmax(level[(span - start).astype(int)]))]
        _, depth = flood.standing(earth, window, flood.level(earth, window, peak) * flood.size_of_rivers(earth, window))
        wet = depth >= _DEEP
        if wet.mean() >= _FLOODED:
            rows.append(_row("flood", 0, span[0], span[-1], float(depth.max()), _outline(wet, window)))
    return rows


def _row(
    kind: str, number: int, start: np.datetime64, end: np.datetime64, severity: float, outline: BaseGeometry
) -> dict[str, Any]:
    values = (kind, number, start, end, severity)
    return {**dict(zip(COLUMNS, values, strict=True)), "geometry": outline}


def _outline(mask: NDArray[np.bool_], window: Window) -> BaseGeometry:
    """The polygons of a mask on a window."""
    gsd = float(PIXEL * window.step)
    transform = Affine(gsd, 0.0, window.column * gsd, 0.0, -gsd, -window.row * gsd)
    found = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, transform=transform)
    return shapely.union_all([shapely.geometry.shape(outline) for outline, _ in found])


def _frame(window: Window) -> BaseGeometry:
    size = PIXEL * window.step
    west, north = window.column * size, -window.row * size
    return shapely.box(west, north - window.height * size, west + window.width * size, north)
