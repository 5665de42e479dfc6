"""Regions of equal class, found while rows stream by: connected components, their sizes and their sides.

A map is read in bands of rows. Runs of equal pixels are the nodes of a graph, runs that touch its edges; its connected
components, joined with the regions that reach down from the band above, are the regions so far. A region that does not
reach the last row read is finished and leaves. So memory holds one band of rows and the outlines of regions that are
still open, whatever the size of the map.

Positions are corners of pixels, numbered ``row * (width + 1) + column``. Sides are kept as directed straight segments
with their region on the right hand. A segment ends where either neighbour changes, which is where the outline turns
or where three or four regions meet: neighbours therefore share the very same corners.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

GAP = -1
"""Code of pixels that become no polygon: no-data and unwanted classes."""

OUTSIDE = -2
"""Code beyond the edges of the map."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """A band of rows.

    Args:
        first: its first row.
        codes: int64 (row, column), from 0 upward, or ``GAP``.
        area: pixel areas in square metres, broadcastable to ``codes``.
        side: metres along a pixel's left or right side, per row; used around the globe only.
        confidence: float (row, column), NaN where unknown, or None.
        last: whether the map ends here.
    """

    first: int
    codes: Integers
    area: NDArray[np.float64]
    side: NDArray[np.float64]
    confidence: NDArray[np.float64] | None
    last: bool


@dataclass(eq=False)
class Sides:
    """Directed straight segments, each with the piece on its right hand."""

    piece: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    start: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    end: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    seam: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    """Vertical segments that only go on from the band above: their upper end is no corner of the outline."""

    def where(self, wanted: NDArray[np.bool_]) -> Sides:
        """Some of the segments."""
        return Sides(self.piece[wanted], self.start[wanted], self.end[wanted], self.seam[wanted])

    def take(self, order: Integers) -> Sides:
        """The segments in another order."""
        return Sides(self.piece[order], self.start[order], self.end[order], self.seam[order])

    @staticmethod
    def join(parts: list[Sides]) -> Sides:
        """All segments of several lots."""
        return Sides(
            np.concatenate([part.piece for part in parts]),
            np.concatenate([part.start for part in parts]),
            np.concatenate([part.end for part in parts]),
            np.concatenate([part.seam for part in parts]),
        )


MEASURES = ("pixels", "area", "cut", "confidence", "known")
"""Sums over a region: pixels, square metres, metres of its outline that only the edge of a global map makes, and the
sum and number of known confidences."""


@dataclass(eq=False)
class Regions:
    """Regions, the pieces they consist of (connected through sides within the map), and the sides of the pieces.

    Args:
        code: class code per region.
        sums: the ``MEASURES`` per region.
        region: number of the region per piece.
        sides: segments; ``piece`` counts the pieces here.
    """

    code: Integers
    sums: dict[str, NDArray[np.float64]]
    region: Integers
    sides: Sides

    def __len__(self) -> int:
        return len(self.code)

    def take(self, wanted: NDArray[np.bool_]) -> Regions:
        """Some of the regions, renumbered in the same order."""
        pieces = wanted[self.region]
        return Regions(
            self.code[wanted],
            {name: values[wanted] for name, values in self.sums.items()},
            _renumber(wanted)[self.region[pieces]],
            self._sides(pieces),
        )

    def _sides(self, pieces: NDArray[np.bool_]) -> Sides:
        sides = self.sides.where(pieces[self.sides.piece])
        sides.piece = _renumber(pieces)[sides.piece]
        return sides


class RegionStream:
    """Takes bands of rows from top to bottom, and gives regions as they are finished.

    Args:
        width: columns of the map.
        connectivity: 4 (sides) or 8 (sides and corners).
        wrap: whether the first column follows the last one.
        gaps: whether gaps are regions too, with the code ``GAP``.
    """

    def __init__(self, width: int, *, connectivity: int = 4, wrap: bool = False, gaps: bool = False) -> None:
        self.width = width
        self._diagonal = connectivity == 8
        self._wrap = wrap and width > 1
        self._least = GAP if gaps else 0
        none = np.empty(0, dtype=np.int64)
        self._open = Regions(none, {name: np.empty(0) for name in MEASURES}, none, Sides())
        self._codes = np.full(width, OUTSIDE, dtype=np.int64)  # the last row seen
        self._pieces = np.full(width, -1, dtype=np.int64)

    def push(self, rows: Rows) -> Regions:
        """The regions that ended with these rows."""
        codes = np.concatenate([self._codes[None], rows.codes])
        nodes, count = self._nodes(rows.codes)
        same = self._touching(codes, nodes, ((slice(1, None), slice(None)), (slice(-1), slice(None))))
        pieces, piece = _components(count, [same])
        place = np.where(nodes >= 0, piece[nodes], -1)  # piece of every pixel, the row above included
        regions, region = self._regions(codes, place, pieces, piece)
        total = self._sum(rows, place, region, regions, piece)
        here = np.full(regions, OUTSIDE, dtype=np.int64)
        here[region[piece[: len(self._open.region)]]] = self._open.code[self._open.region]
        here[region[place[1:]]] = rows.codes
        carried = self._open.sides
        carried.piece = piece[carried.piece]
        sides = Sides.join([carried, *self._horizontal(rows, codes, place), *self._vertical(rows, codes, place)])
        found = Regions(here, total, region, sides)
        return self._split(found, rows, place[-1])

    def _nodes(self, codes: Integers) -> tuple[Integers, int]:
        """Node of every pixel, the row above included (-1 for none), and their number: open pieces, then runs."""
        starts = np.ones(codes.shape, dtype=bool)
        starts[:, 1:] = codes[:, 1:] != codes[:, :-1]
        known = len(self._open.region)
        runs = known - 1 + np.cumsum(starts.ravel()).reshape(codes.shape)
        return np.concatenate([self._pieces[None], runs]), int(runs[-1, -1]) + 1

    def _touching(self, codes: Integers, nodes: Integers, shifts: tuple[Any, Any]) -> Integers:
        """Pairs (2, n) of the nodes of pixels that have the same code in two shifted windows; most repeats left out."""
        one, two = shifts
        first, second = nodes[one], nodes[two]
        same = (codes[one] == codes[two]) & (codes[one] >= self._least) & (second >= 0)
        again = same[:, 1:] & same[:, :-1] & (first[:, 1:] == first[:, :-1]) & (second[:, 1:] == second[:, :-1])
        same[:, 1:] &= ~again
        return np.stack([first[same], second[same]])

    def _regions(self, codes: Integers, place: Integers, pieces: int, piece: Integers) -> tuple[int, Integers]:
        """Number of regions, and the region of every piece."""
        if not (self._diagonal or self._wrap):
            return pieces, np.arange(pieces)
        known = self._open.region
        _, first = np.unique(known, return_index=True)
        pairs = [np.stack([piece[: len(known)], piece[first[known]]])]  # pieces of one open region stay together
        down, up, right, left = slice(1, None), slice(-1), slice(1, None), slice(-1)
        if self._diagonal:
            pairs.append(self._touching(codes, place, ((down, right), (up, left))))
            pairs.append(self._touching(codes, place, ((down, left), (up, right))))
        if self._wrap:
            east, west = slice(-1, None), slice(0, 1)
            pairs.append(self._touching(codes, place, ((down, east), (down, west))))
            if self._diagonal:
                pairs.append(self._touching(codes, place, ((down, east), (up, west))))
                pairs.append(self._touching(codes, place, ((down, west), (up, east))))
        return _components(pieces, pairs)

    def _sum(
        self, rows: Rows, place: Integers, region: Integers, regions: int, piece: Integers
    ) -> dict[str, NDArray[np.float64]]:
        """The measures of every region, what was known of open ones included."""
        where = region[place[1:]].ravel()
        area = np.broadcast_to(rows.area, rows.codes.shape).ravel()
        total = {"pixels": _sums(where, np.ones(len(where)), regions), "area": _sums(where, area, regions)}
        total["cut"] = total["confidence"] = total["known"] = np.zeros(regions)
        if self._wrap:
            cut = (rows.codes[:, 0] == rows.codes[:, -1]) & (rows.codes[:, 0] >= 0)
            total["cut"] = _sums(region[place[1:, 0][cut]], 2 * rows.side[cut], regions)
        if rows.confidence is not None:
            known = np.isfinite(rows.confidence).ravel()
            total["known"] = _sums(where, known.astype(np.float64), regions)
            total["confidence"] = _sums(where[known], rows.confidence.ravel()[known], regions)
        known_region, first = np.unique(self._open.region, return_index=True)
        now = region[piece[first]]
        for name in MEASURES:
            total[name] = total[name] + _sums(now, self._open.sums[name][known_region], regions)
        return total

    def _horizontal(self, rows: Rows, codes: Integers, place: Integers) -> list[Sides]:
        """Sides between rows: above every row of the band, and below the last one of the map."""
        if rows.last:
            codes = np.concatenate([codes, np.full((1, self.width), OUTSIDE, dtype=np.int64)])
            place = np.concatenate([place, np.full((1, self.width), -1, dtype=np.int64)])
        line, first, last = _runs(codes[:-1], codes[1:])
        start = (rows.first + line) * (self.width + 1) + first
        end = start + last + 1 - first
        above, below = place[line, first], place[line + 1, first]
        seam = np.zeros(len(start), dtype=bool)
        lower, upper = codes[line + 1, first] >= self._least, codes[line, first] >= self._least
        return [Sides(below, start, end, seam).where(lower), Sides(above, end, start, seam).where(upper)]

    def _vertical(self, rows: Rows, codes: Integers, place: Integers) -> list[Sides]:
        """Sides between columns, and at the left and right edge."""
        edges = np.pad(codes, ((0, 0), (1, 1)), constant_values=OUTSIDE)
        left, right = edges[:, :-1].T, edges[:, 1:].T
        line, first, last = _runs(left[:, 1:], right[:, 1:])
        start = (rows.first + first) * (self.width + 1) + line
        end = start + (last + 1 - first) * (self.width + 1)
        on = (left[:, 0] == left[:, 1]) & (right[:, 0] == right[:, 1])
        seam = (first == 0) & on[line]
        sides = []
        for column, here, there in ((line - 1, start, end), (line, end, start)):
            inside = (column >= 0) & (column < self.width)
            shown = inside & (codes[first + 1, np.where(inside, column, 0)] >= self._least)
            owner = place[first + 1, np.where(inside, column, 0)]
            sides.append(Sides(owner, here, there, seam).where(shown))
        return sides

    def _split(self, found: Regions, rows: Rows, bottom: Integers) -> Regions:
        """Keep the regions that reach the last row, and give the others."""
        wanted = found.code >= self._least
        reaches = np.zeros(len(found), dtype=bool)
        if not rows.last:
            reaches[found.region[bottom]] = True
        reaches &= wanted
        self._codes = rows.codes[-1]
        pieces = _renumber(reaches[found.region])
        self._pieces = np.where(reaches[found.region[bottom]], pieces[bottom], -1)
        self._open = found.take(reaches)
        return found.take(wanted & ~reaches)


def _runs(one: Integers, two: Integers) -> tuple[Integers, Integers, Integers]:
    """Line, first and last place of every stretch along the second axis where one differs from two, both constant."""
    differ = one != two
    change = np.ones((one.shape[0], one.shape[1] + 1), dtype=bool)
    change[:, 1:-1] = (one[:, 1:] != one[:, :-1]) | (two[:, 1:] != two[:, :-1])
    line, first = np.nonzero(differ & change[:, :-1])
    last = np.nonzero(differ & change[:, 1:])[1]
    return line, first, last


def _components(count: int, pairs: list[Integers]) -> tuple[int, Integers]:
    """Number of connected components, and the component of every node."""
    edges = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(edges.shape[1], dtype=bool), (edges[0], edges[1])), shape=(count, count))
    number, component = connected_components(graph, directed=False)
    return int(number), component.astype(np.int64)


def _sums(number: Integers, weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sum of the weights of every number below ``count``."""
    return np.bincount(number, weights=weights, minlength=count).astype(np.float64)


def _renumber(kept: NDArray[np.bool_]) -> Integers:
    """New number of each kept item."""
    return np.cumsum(kept) - 1
