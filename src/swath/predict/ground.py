"""From pixels of a map to its coordinates, to longitude and latitude, and to metres."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from swath import grids
from swath.errors import ConfigError, InputError
from swath.predict.inputs import part_of

Floats = NDArray[np.float64]


class Ground:
    """Where the corners of pixels lie, and how long the lines between them are.

    Lengths: in units of a projection that keeps areas within 1 % at the corners and the centre of the map, as
    ``grids.cell_area_m2`` takes them; elsewhere ``sqrt((N cos φ Δλ)² + Δm²)`` with the prime vertical radius N at the
    middle latitude φ of the line and the meridian arcs m of its ends: exact along meridians and parallels.

    Args:
        box: grid of the map.
    """

    def __init__(self, box: GeoBox) -> None:
        self.box = box
        self.crs = grids.geobox.crs_of(box, "map")
        self.geographic = bool(self.crs.geographic)
        self._geod: Geod = self.crs.proj.get_geod() or Geod(ellps="WGS84")
        self._units = 1.0
        self._plane = not self.geographic and self._true_to_scale()

    def place(self, shapes: NDArray[Any]) -> NDArray[Any]:
        """Shapes in (column, row) of pixel corners to the coordinates of the map."""
        a, b, c, d, e, f = tuple(self.box.affine)[:6]

        def moved(pixels: Floats) -> Floats:
            x, y = pixels[:, 0], pixels[:, 1]
            return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)

        return shapely.transform(shapes, moved) if len(shapes) else shapes

    def perimeters(self, shapes: NDArray[Any]) -> Floats:
        """Metres around each polygon in the coordinates of the map, holes included."""
        parts, shape = shapely.get_parts(shapes, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        places, ring = shapely.get_coordinates(rings, return_index=True)
        on = ring[1:] == ring[:-1]
        lengths = self.metres(places[:-1][on], places[1:][on])
        return np.bincount(shape[part[ring[1:][on]]], weights=lengths, minlength=len(shapes)).astype(np.float64)

    def metres(self, one: Floats, two: Floats) -> Floats:
        """Length of straight lines between places (n, 2) in the coordinates of the map."""
        if self._plane:
            plane: Floats = np.hypot(*(two - one).T) * self._units
            return plane
        (lon, lat), (other_lon, other_lat) = self._degrees(one), self._degrees(two)
        middle = np.radians((lat + other_lat) / 2)
        turn = other_lon - lon
        turn = turn if self.geographic else (turn + 180) % 360 - 180
        radius = self._geod.a / np.sqrt(1 - self._geod.es * np.sin(middle) ** 2)
        along = radius * np.cos(middle) * np.radians(turn)
        length: Floats = np.hypot(along, self._arcs(other_lat) - self._arcs(lat))
        return length

    def sides(self, first: int, count: int) -> Floats:
        """Metres along the left side of the first pixel of some rows."""
        edges = np.arange(first, first + count + 1, dtype=np.float64)
        _, b, c, _, e, f = tuple(self.box.affine)[:6]
        places = np.stack([b * edges + c, e * edges + f], axis=1)
        return self.metres(places[:-1], places[1:])

    def pixel(self) -> tuple[float, float]:
        """Width and height in metres of the pixel in the middle of the map."""
        row, column = self.box.shape.y // 2, self.box.shape.x // 2
        corners = shapely.points([(column, row), (column + 1, row), (column, row + 1)])
        start, right, below = shapely.get_coordinates(self.place(corners))
        return float(self.metres(start[None], right[None])[0]), float(self.metres(start[None], below[None])[0])

    def lonlat(self, places: Floats) -> Floats:
        """Longitude and latitude (WGS 84) of places (n, 2) in the coordinates of the map.

        Raises:
            InputError: a place lies beyond what the projection can show.
        """
        if self.crs.epsg == 4326:
            return places
        transform = Transformer.from_crs(self.crs.proj, 4326, always_xy=True).transform
        out = np.stack(transform(places[:, 0], places[:, 1]), axis=1)
        if not np.isfinite(out).all():
            raise InputError(
                "A corner of the map has no longitude and latitude in its projection",
                expected="a map within the domain of its CRS",
                remedy="write a GeoPackage (.gpkg) in the CRS of the map, or cut the map",
            )
        return out

    def _degrees(self, places: Floats) -> tuple[Floats, Floats]:
        degrees = places if self.geographic else self.lonlat(places)
        return degrees[:, 0], np.clip(degrees[:, 1], -90.0, 90.0)

    def _arcs(self, latitudes: Floats) -> Floats:
        """Signed metres from the equator along a meridian."""
        unique, inverse = np.unique(latitudes, return_inverse=True)
        zero = np.zeros_like(unique)
        _, _, arc = self._geod.inv(zero, zero, zero, unique)
        return np.asarray(np.copysign(arc, unique)[inverse.reshape(latitudes.shape)], dtype=np.float64)

    def _true_to_scale(self) -> bool:
        """Whether pixels keep their nominal area at the corners and in the middle of the map."""
        info = self.crs.proj.axis_info
        self._units = float(info[0].unit_conversion_factor) if info else 1.0
        nominal = abs(self.box.affine.determinant) * self._units**2
        rows, columns = self.box.shape.y - 1, self.box.shape.x - 1
        places = {(0, 0), (0, columns), (rows, 0), (rows, columns), (rows // 2, columns // 2)}
        areas = [float(grids.cell_area_m2(part_of(self.box, place, (1, 1)))[0, 0]) for place in places]
        return all(abs(area - nominal) <= 1e-9 * nominal for area in areas)


def to_lonlat(shapes: NDArray[Any], ground: Ground) -> NDArray[Any]:
    """Polygons in the coordinates of a map to longitude and latitude from -180 to 180, cut at the antimeridian.

    Raises:
        InputError: the projection does not reach a corner.
        ConfigError: a polygon goes around a pole, which longitude and latitude cannot show.
    """
    if not len(shapes):
        return shapes
    places, owner = shapely.get_coordinates(shapes, return_index=True)
    degrees = ground.lonlat(places)
    out = shapely.set_coordinates(np.array(shapes, copy=True), degrees)
    beyond = np.abs(degrees[:, 0]) > 180 + 1e-9
    if not ground.geographic:
        beyond[1:] |= (np.abs(np.diff(degrees[:, 0])) > 180) & (owner[1:] == owner[:-1])
    for number in np.unique(owner[beyond]):
        out[number] = _cut(shapes[number], ground)
    return shapely.transform(out, lambda xy: np.clip(np.round(xy, 9), (-180, -90), (180, 90)))


def _cut(shape: Any, ground: Ground) -> Any:
    pieces = []
    for part in shapely.get_parts(shape):
        rings = [_unrolled(ring, ground) for ring in shapely.get_rings(part)]
        west, east = rings[0][:, 0].min(), rings[0][:, 0].max()
        for ring in rings[1:]:  # holes lie within the turn of their exterior
            ring[:, 0] += 360 * np.round(((west + east) / 2 - ring[:, 0].mean()) / 360)
        whole = shapely.Polygon(rings[0], rings[1:])
        for turn in range(int(np.floor((west + 180) / 360)), int(np.floor((east + 180) / 360)) + 1):
            band = shapely.box(-180 + 360 * turn, -91, 180 + 360 * turn, 91)
            cut = shapely.affinity.translate(shapely.intersection(whole, band), -360.0 * turn)
            pieces += [piece for piece in shapely.get_parts(cut) if piece.geom_type == "Polygon" and piece.area > 0]
    return pieces[0] if len(pieces) == 1 else shapely.multipolygons(pieces)


def _unrolled(ring: Any, ground: Ground) -> Floats:
    """Longitude and latitude of a ring, without jumps where it crosses the antimeridian."""
    places = shapely.get_coordinates(ring)
    degrees = ground.lonlat(places).copy()
    if ground.geographic:
        return degrees
    jump = np.diff(degrees[:, 0])
    middle = ground.lonlat((places[1:] + places[:-1]) / 2)[:, 0]
    # A line across a world map may be that long; one that crosses the antimeridian has its middle elsewhere.
    crossing = (np.abs(jump) > 180) & (np.abs(middle - (degrees[1:, 0] + degrees[:-1, 0]) / 2) > 90)
    degrees[1:, 0] -= np.cumsum(np.where(crossing, 360 * np.sign(jump), 0))
    if abs(degrees[-1, 0] - degrees[0, 0]) > 180:
        raise ConfigError(
            "A region of the map goes around a pole, which GeoJSON cannot show in longitude and latitude",
            expected="a format that keeps the projection of the map",
            remedy="write a GeoPackage (.gpkg) or GeoParquet (.parquet)",
        )
    return degrees
