"""Sides of regions to polygons, in pixels of the map; neighbours share every corner of a common border."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.errors import MissingError
from swath.predict.regions import Integers, Regions

EAST, SOUTH, WEST, NORTH = 0, 1, 2, 3


def ordered(regions: Regions) -> Regions:
    """The regions by the place where they end, last corner first by row, then by column.

    That order does not depend on how many rows were read at a time.
    """
    if not len(regions):
        return regions
    last = np.zeros(len(regions), dtype=np.int64)
    np.maximum.at(last, regions.region[regions.sides.piece], regions.sides.start)
    order = np.argsort(last)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    sums = {name: values[order] for name, values in regions.sums.items()}
    return Regions(regions.code[order], sums, number[regions.region], regions.sides)


def polygons(regions: Regions, width: int) -> tuple[NDArray[Any], Integers]:
    """One shapely polygon per piece, in (column, row) of pixel corners, and the region of each; by region.

    Exteriors run clockwise as seen on a screen (rows downward), holes the other way. Pieces are connected through
    sides, so a polygon is always valid: at a corner where two of its pixels touch, the outline passes from one to the
    other, and what they enclose becomes a hole that touches the exterior in a point.

    Args:
        regions: finished regions.
        width: columns of the map.
    """
    if not len(regions):
        return np.empty(0, dtype=object), np.empty(0, dtype=np.int64)
    piece, corner, ring, hole, kept = _rings(regions, width)
    owner = regions.region[piece]
    first = np.full(len(regions.region), np.iinfo(np.int64).max)
    starts = np.flatnonzero(np.diff(ring, prepend=-1))
    np.minimum.at(first, piece, corner)
    # Rings by region, then by the first corner of the piece, exterior first.
    places = np.lexsort((corner[starts], hole[ring[starts]], first[piece[starts]], owner[starts]))
    sizes = np.diff(np.append(starts, len(ring)))
    index = _spans(starts[places], sizes[places])
    kept, corner = kept[index], corner[index]
    ring_of = np.repeat(np.arange(len(places)), sizes[places])
    corner, ring_of = corner[kept], ring_of[kept]
    counts = np.bincount(ring_of, minlength=len(places))
    closed, offsets = _closed(corner, counts)
    coordinates = np.stack([closed % (width + 1), closed // (width + 1)], axis=1).astype(np.float64)
    exterior = np.flatnonzero(~hole[ring[starts[places]]])
    made = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, coordinates, (offsets, np.append(exterior, len(places)))
    )
    return made, owner[starts[places[exterior]]]


def gathered(parts: NDArray[Any], region: Integers) -> NDArray[Any]:
    """One geometry per region: its only polygon, or a multipolygon. ``region`` counts up from 0 without gaps."""
    if len(parts) == 0 or region[-1] + 1 == len(parts):
        return parts
    counts = np.bincount(region)
    out = np.empty(len(counts), dtype=object)
    several = counts > 1
    out[~several] = parts[~several[region]]
    many = several[region]
    number = np.cumsum(several) - 1
    out[several] = shapely.multipolygons(parts[many], indices=number[region[many]])
    return out


def simplified(parts: NDArray[Any], size: tuple[float, float], tolerance: float) -> NDArray[Any]:
    """A complete coverage with simpler borders: neighbours keep sharing them, and the edge of the map stays.

    Visvalingam and Whyatt (1993), The Cartographic Journal 30, 46-51, as GEOS applies it to coverages: corners go in
    the order of the triangle that they make with their neighbours, until that has an area of ``tolerance`` squared;
    one whose removal would make borders cross stays.

    Args:
        parts: polygons in pixels that cover the map without gap or overlap.
        size: width and height of a pixel in metres.
        tolerance: in metres.

    Raises:
        MissingError: shapely is older than 2.1, or its GEOS older than 3.12.
    """
    if not hasattr(shapely, "coverage_simplify") or shapely.geos_version < (3, 12, 0):
        raise MissingError(
            f"shapely {shapely.__version__} with GEOS {shapely.geos_version_string} cannot simplify shared borders",
            expected="shapely 2.1 or later with GEOS 3.12 or later",
            remedy="run: pip install --upgrade shapely; or leave the borders as they are with simplify_m=0",
        )
    if not len(parts):
        return parts
    scale = np.array(size)
    metres = shapely.transform(parts, lambda pixels: pixels * scale)
    simple = shapely.coverage_simplify(metres, tolerance, simplify_boundary=False)
    # Back on whole corners, from which no corner was moved.
    pixels = shapely.transform(simple, lambda places: np.rint(places / scale))
    return shapely.orient_polygons(pixels)  # as ``polygons`` does: GEOS turns some rings around


def _rings(regions: Regions, width: int) -> tuple[Integers, Integers, Integers, NDArray[np.bool_], NDArray[np.bool_]]:
    """Sides in the order of their rings: piece, first corner and ring of each, and whether that corner is kept.

    Before the last item: whether each ring is a hole.
    """
    sides = regions.sides
    sides = sides.take(np.lexsort((_direction(sides.end - sides.start, width), sides.start, sides.piece)))
    direction = _direction(sides.end - sides.start, width)
    following = _following(sides.piece, sides.start, sides.end, direction)
    ring, order = _cycles(following)
    piece, start, end = sides.piece[order], sides.start[order], sides.end[order]
    direction, seam = direction[order], sides.seam[order]
    before = np.roll(np.arange(len(order)), 1)
    starts = np.flatnonzero(np.diff(ring, prepend=-1))
    before[starts] = np.append(starts[1:], len(ring)) - 1
    kept = ~((direction == SOUTH) & seam) & ~((direction == NORTH) & seam)[before]
    # The area on the right hand: sides along a row, times the row; downward is positive.
    step = (start % (width + 1) - end % (width + 1)) * (start // (width + 1))
    area = np.add.reduceat(np.where((direction == EAST) | (direction == WEST), step, 0), starts)
    return piece, start, ring, area < 0, kept


def _direction(step: Integers, width: int) -> Integers:
    return np.where(step > 0, np.where(step > width, SOUTH, EAST), np.where(step < -width, NORTH, WEST))


def _following(piece: Integers, start: Integers, end: Integers, direction: Integers) -> Integers:
    """The side that goes on where a side ends; sides are sorted by piece and start."""
    corners = int(max(start.max(), end.max())) + 1
    keys = piece * corners + start
    wanted = piece * corners + end
    found = np.searchsorted(keys, wanted)
    other = np.minimum(found + 1, len(keys) - 1)
    # Two sides of the same piece begin where two of its pixels touch in a corner: the outline crosses, to the left.
    fork = (keys[other] == wanted) & (other > found)
    left = direction[found] == (direction - 1) % 4
    following: Integers = np.where(fork & ~left, other, found)
    return following


def _cycles(following: Integers) -> tuple[Integers, Integers]:
    """Number of the ring of every place, and the sides in the order of their rings, each from its first side.

    Pointer jumping (Wyllie 1979): as many passes as the longest ring has binary digits.
    """
    count = len(following)
    leader, hop = np.arange(count), following.copy()
    while not (leader[following] == leader).all():
        leader = np.minimum(leader, leader[hop])
        hop = hop[hop]
    leads = leader == np.arange(count)
    distance, hop = np.where(leads, 0, 1), np.where(leads, np.arange(count), following)
    while not (hop == leader).all():
        distance += distance[hop]
        hop = hop[hop]
    ring = (np.cumsum(leads) - 1)[leader]
    sizes = np.bincount(ring)
    offsets = np.cumsum(sizes) - sizes
    order = np.empty(count, dtype=np.int64)
    order[offsets[ring] + (sizes[ring] - distance) % sizes[ring]] = np.arange(count)
    return ring[order], order


def _spans(starts: Integers, sizes: Integers) -> Integers:
    """The numbers start, start + 1, ... of several spans, one after the other."""
    offsets = np.cumsum(sizes) - sizes
    return np.repeat(starts - offsets, sizes) + np.arange(int(sizes.sum()))


def _closed(corner: Integers, counts: Integers) -> tuple[Integers, Integers]:
    """Rings with their first corner once more at the end, and where each begins."""
    offsets = np.concatenate([[0], np.cumsum(counts + 1)])
    out = np.empty(int(offsets[-1]), dtype=np.int64)
    ends = offsets[1:] - 1
    inside = np.ones(len(out), dtype=bool)
    inside[ends] = False
    out[inside] = corner
    out[ends] = out[offsets[:-1]]
    return out, offsets
