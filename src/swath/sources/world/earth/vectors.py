"""The static layers as vectors with tags as in OpenStreetMap: roads, streets, buildings, places, fields, water, woods.

Areas are outlines of the pixels of the layers, so they agree with them exactly. Roads, streets and buildings come from
the same geometry that the layers are painted from. Lines and areas are cut at the edge of the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely

from swath.sources.world import noise
from swath.sources.world.earth.fields import PHASES
from swath.sources.world.earth.lattice import Array, Districts, districts, members
from swath.sources.world.earth.outlines import Mask, Shapes, half_width, lines_along, outlines, thinned
from swath.sources.world.earth.settlements import (
    LONG,
    PERMANENT_WATER,
    block_of,
    plots,
    roads,
    towns,
)
from swath.sources.world.frame import Window
from swath.sources.world.truth import TREE, WETLAND

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

COLUMNS = (
    *("feature", "highway", "building", "landuse", "natural", "water", "waterway", "place", "name"),
    *("population", "width", "height", "field"),
)
"""Columns beside the geometry: what a feature is, tags (missing where none applies), and numbers (NaN; field 0)."""

_HIGHWAYS = ("trunk", "primary", "secondary", "tertiary", "unclassified", "track")
_PLACES = ((100_000, "city"), (10_000, "town"), (1_000, "village"), (0, "hamlet"))
_WATERS = {1: "river", 2: "lake", 3: "sea"}  # codes of the layer ``water_kind``
_MARGIN = 40  # pixels around a window from which lines of streams are drawn, so that they meet those of the next
_RIVER = 20.0  # metres from which a stream is a river
_WOOD = 50  # pixels below which trees are no wood

Part = tuple[Shapes, Mapping[str, Any]]


def vectors(earth: Earth, window: Window) -> gpd.GeoDataFrame:
    """All features of a window.

    Args:
        earth: gives the layers.
        window: of 10 m pixels; may be empty.

    Returns:
        a table in the zone's CRS with the geometry and ``COLUMNS``; ``feature`` is one of road, street, building,
        settlement, place, field, water, stream, wood, wetland.
    """
    parts: list[Part] = []
    if 0 not in window.shape:
        box = _box(window)
        for found, tags in (*_built(earth, window), *_grown(earth, window), *_waters(earth, window)):
            inside = shapely.intersection(found, box) if tags.get("clip", False) else found
            kept = ~shapely.is_empty(inside)
            picked = {name: value[kept] if isinstance(value, np.ndarray) else value for name, value in tags.items()}
            parts.append((inside[kept], picked))
    return _table(parts, window)


def _table(parts: list[Part], window: Window) -> gpd.GeoDataFrame:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    missing = {"population": np.nan, "width": np.nan, "height": np.nan, "field": 0}
    for found, tags in parts:
        for name in COLUMNS:
            value = tags.get(name, missing.get(name))
            columns[name].extend(list(value) if isinstance(value, np.ndarray) else [value] * len(found))
    data: dict[str, Any] = {
        name: np.array(values, float if name in missing and name != "field" else object)
        for name, values in columns.items()
    }
    data["field"] = np.array(columns["field"], np.int64)
    geometry = np.concatenate([found for found, _ in parts]) if parts else np.empty(0, object)
    return gpd.GeoDataFrame(data, geometry=list(geometry), crs=f"EPSG:{window.zone.epsg}")


def _box(window: Window) -> shapely.Polygon:
    half = window.gsd / 2.0
    return shapely.box(window.x[0] - half, window.y[-1] - half, window.x[-1] + half, window.y[0] + half)


def _built(earth: Earth, window: Window) -> Iterator[Part]:
    """Places, roads, settlements, streets and buildings."""
    around = towns(earth, window, margin=0.0)
    if len(around.x):
        kinds = [next(kind for least, kind in _PLACES if people >= least) for people in around.people]
        lattice = zip(around.level, around.row, around.column, strict=True)
        names = np.array([_name(earth, window, *place) for place in lattice], object)
        points = np.asarray(shapely.points(around.x, around.y), object)
        tags = {"place": np.array(kinds, object), "name": names, "population": around.people}
        yield points, {"feature": "place", "clip": True, **tags}
    for road in roads(earth, window):
        line = shapely.simplify(shapely.linestrings(np.stack([road.x, road.y], axis=1)), 0.5)
        width = {"highway": _HIGHWAYS[road.level], "width": road.width}
        yield np.array([line], object), {"feature": "road", "clip": True, **width}
    ground = earth.read_all(("town_depth", "building_cover", "road_cover", PERMANENT_WATER), window)
    settled = (ground["town_depth"] > 0.0) & (ground["building_cover"] + ground["road_cover"] > 0.0)
    areas, _ = outlines((ground["town_depth"] > 0.0) & (ground[PERMANENT_WATER] < 0.05), window)
    yield areas, {"feature": "settlement", "landuse": "residential"}
    if settled.any():
        laid = districts(earth, window)
        yield _streets(earth, window, laid, settled), {"feature": "street", "highway": "residential", "width": 8.0}
        found, height = _buildings(earth, window, laid, settled)
        yield found, {"feature": "building", "building": "yes", "height": height}


def _streets(earth: Earth, window: Window, laid: Districts, settled: Mask) -> Shapes:
    """Straight pieces of streets inside settled land ``(n,)``."""
    blocks = block_of(earth, window, laid)
    pieces = [np.empty((0, 2, 2))]
    for number, pixels in members(laid.owner, settled):
        along, across = laid.turned(number, window.y[pixels // window.width], window.x[pixels % window.width])
        short = float(blocks[number])
        for swap, spacing, own, other in ((False, short, across, along), (True, LONG * short, along, across)):
            lines = np.arange(np.floor(own.min() / spacing), np.ceil(own.max() / spacing) + 1) * spacing
            steps = np.arange(other.min() - 10.0, other.max() + 15.0, 5.0)
            line, step = (part.ravel() for part in np.meshgrid(lines, steps, indexing="ij"))
            y, x = laid.straight(number, *((line, step) if swap else (step, line)))
            hit = _at(settled & (laid.owner == number), window, y, x).reshape(len(lines), len(steps))
            edges = np.diff(np.pad(hit, ((0, 0), (1, 1))).astype(np.int8), axis=1)
            (row, start), (_, stop) = np.nonzero(edges == 1), np.nonzero(edges == -1)
            ends = []
            for end in (start, stop - 1):
                y, x = laid.straight(number, *((lines[row], steps[end]) if swap else (steps[end], lines[row])))
                ends.append(np.stack([x, y], axis=1))
            pieces.append(np.stack(ends, axis=1)[stop - start > 2])
    return np.asarray(shapely.linestrings(np.concatenate(pieces)), object)


def _at(mask: Mask, window: Window, y: Array, x: Array) -> Mask:
    """A mask at places, False outside the window."""
    row = np.floor(-y / window.gsd).astype(np.int64) - window.row
    column = np.floor(x / window.gsd).astype(np.int64) - window.column
    inside = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
    found = np.zeros(y.shape, bool)
    found[inside] = mask[row[inside], column[inside]]
    return found


def _buildings(earth: Earth, window: Window, laid: Districts, settled: Mask) -> tuple[Shapes, Array]:
    """One rectangle for each plot with roofs, of the area under them, and its height ``(n,)``."""
    ground = earth.read_all(("building_cover", "building_height"), window)
    shapes_, heights = [np.empty((0, 4, 2))], [np.empty(0)]
    for number, pixels in members(laid.owner, settled & (ground["building_cover"] > 0.0)):
        along, across = laid.turned(number, window.y[pixels // window.width], window.x[pixels % window.width])
        place, middle = plots(along, across)
        area = np.bincount(place, ground["building_cover"].ravel()[pixels].astype(np.float64)) * window.gsd**2
        count = np.bincount(place)
        height = np.bincount(place, ground["building_height"].ravel()[pixels].astype(np.float64)) / count
        half = np.sqrt(area) / 2.0
        corners = []
        for right, up in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            y, x = laid.straight(number, middle[0] + right * half, middle[1] + up * half)
            corners.append(np.stack([x, y], axis=1))
        shapes_.append(np.stack(corners, axis=1))
        heights.append(height)
    return np.asarray(shapely.polygons(np.concatenate(shapes_)), object), np.concatenate(heights)


def _grown(earth: Earth, window: Window) -> Iterator[Part]:
    """Fields, woods and wetlands."""
    layers = earth.read_all(("field", "rotation", "cover"), window)
    ploughed = layers["rotation"] >= 2 * PHASES
    for mask, landuse in ((ploughed, "farmland"), (~ploughed, "meadow")):
        areas, number = outlines(np.where(mask, layers["field"], 0), window)
        yield areas, {"feature": "field", "landuse": landuse, "field": number}
    for label, feature, tags in (
        (TREE, "wood", {"landuse": "forest"}),
        (WETLAND, "wetland", {"natural": "wetland"}),
    ):
        areas, _ = outlines(layers["cover"] == label, window)
        large = shapely.area(areas) >= _WOOD * window.gsd**2
        yield areas[large], {"feature": feature, **tags}


def _waters(earth: Earth, window: Window) -> Iterator[Part]:
    """Areas of open water, and lines along streams and rivers."""
    layers = earth.read_all((PERMANENT_WATER, "water_kind"), window)
    areas, kind = outlines(np.where(layers[PERMANENT_WATER] >= 0.5, layers["water_kind"], 0), window)
    names = np.array([_WATERS[int(code)] for code in kind], object)
    yield areas, {"feature": "water", "natural": "water", "water": names}
    wide = window.pad(_MARGIN)
    stream = earth.read("water_kind", wide) == 1
    middle = thinned(stream)
    width = 2.0 * half_width(stream) * window.gsd - window.gsd
    lines = lines_along(middle, wide)
    if len(lines):
        across = np.array([_along(line, width, wide) for line in lines])
        kinds = np.where(across >= _RIVER, "river", "stream").astype(object)
        yield lines, {"feature": "stream", "waterway": kinds, "width": across, "clip": True}


def _along(line: shapely.LineString, values: Array, window: Window) -> float:
    """Median of a layer along a line."""
    points = shapely.get_coordinates(line)
    row = np.floor(-points[:, 1] / window.gsd).astype(np.int64) - window.row
    column = np.floor(points[:, 0] / window.gsd).astype(np.int64) - window.column
    return float(np.median(values[row, column]))


_FIRST = ("bel", "car", "dor", "esk", "fal", "gar", "hol", "is", "kal", "lun", "mar", "nor", "or", "pel", "ros", "sol")
_SECOND = ("a", "an", "de", "e", "i", "in", "o", "on", "u", "va", "ri", "lo", "ma", "ne", "ta", "sa")
_LAST = ("bury", "dale", "field", "ford", "ham", "holm", "by", "mere", "mond", "port", "stad", "thal", "ton", "vik")


def _name(earth: Earth, window: Window, level: int, row: int, column: int) -> str:
    """A made-up name."""
    word = int(noise.bits(earth.key("name", window.zone.epsg, int(level)), int(row), int(column)))
    parts = _FIRST[word % 16], _SECOND[word // 16 % 16], _LAST[word // 256 % len(_LAST)]
    return "".join(parts).capitalize()
