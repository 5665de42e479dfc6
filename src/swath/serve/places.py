"""The place that a client asks about: a polygon on the sphere as GeoJSON, checked before anything is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

MAX_VERTICES = 10_000
MAX_LONGITUDE, MAX_WIDTH = 540.0, 360.0  # a map drawn past its edge counts on: 190 is 170 W
_RADIUS, _FLATTENING = 6_378_137.0, 1 / 298.257223563  # of WGS 84 [m]


class Refused(Exception):
    """A request that gets no result: the status of the answer and its sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


class Question:
    """What a client asks about.

    Args:
        layer: id of the layer.
        area: polygons in longitude and latitude [degrees]; edges are straight in these, as RFC 7946 says.
    """

    def __init__(self, layer: str, area: MultiPolygon) -> None:
        self.layer = layer
        self.area = area

    @property
    def area_km2(self) -> float:
        """Area of the polygons themselves on the WGS 84 ellipsoid [km2], edges taken as straight in degrees."""
        # In a cylindrical equal-area projection straight edges are curved, which short pieces follow. Geodesics would
        # not do: that of 360 degrees along a parallel is a point.
        fine = shapely.segmentize(self.area, max(0.05, self.area.length / 20_000))
        return float(shapely.transform(fine, _equal_area).area) / 1e6


def read_question(body: bytes) -> Question:
    """The question in the body of a request: ``{"layer": ID, "area": GEOJSON}``.

    The area is a Polygon or MultiPolygon, or a Feature with one. Longitudes may run past 180 or -180: that is how a
    polygon crosses the antimeridian.

    Raises:
        Refused: anything else, or polygons that are empty, cross themselves, or have too many corners.
    """
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refused(422, "The body is not JSON; send an object with a layer and an area.") from None
    if not isinstance(content, dict) or "layer" not in content or "area" not in content:
        raise Refused(
            422, 'The body must be an object with two fields: "layer" (an id) and "area" (a GeoJSON polygon).'
        )
    unknown = sorted(set(content) - {"layer", "area"})
    if unknown:
        raise Refused(422, f"The field '{unknown[0][:40]}' is unknown; the body has the fields layer and area.")
    if not isinstance(content["layer"], str):
        raise Refused(422, "The field 'layer' must be the id of a layer, as text.")
    return Question(content["layer"], _polygons(content["area"]))


def _polygons(content: Any) -> MultiPolygon:
    """Checked polygons of a GeoJSON object."""
    geometry: Any = (
        content.get("geometry") if isinstance(content, Mapping) and content.get("type") == "Feature" else content
    )
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind not in ("Polygon", "MultiPolygon"):
        named = f"'{kind[:40]}'" if isinstance(kind, str) else "something else"
        raise Refused(422, f"The area must be a GeoJSON Polygon or MultiPolygon; {named} was given.")
    given = dict(geometry).get("coordinates")
    if not isinstance(given, list) or not given:
        raise Refused(422, "The area has no coordinates.")
    parts = [given] if kind == "Polygon" else given
    vertices = 0
    polygons = []
    for part in parts:
        if not isinstance(part, list) or not part or not all(isinstance(ring, list) for ring in part):
            raise Refused(422, "The area is empty: a polygon needs a ring of at least three corners.")
        vertices += sum(len(ring) for ring in part)
        if vertices > MAX_VERTICES:
            raise Refused(413, f"The area has more than {MAX_VERTICES:,} corners; simplify it or ask for a part of it.")
        polygons.append(Polygon(_ring(part[0]), [_ring(hole) for hole in part[1:]]))
    return _checked(MultiPolygon(polygons))


def _ring(corners: list[Any]) -> list[tuple[float, float]]:
    """Longitude and latitude of the corners of a ring."""
    ring = []
    for corner in corners:
        if not isinstance(corner, list) or not 2 <= len(corner) <= 3:
            raise Refused(422, "Every corner must be a list of longitude and latitude.")
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in corner):
            raise Refused(422, "Longitude and latitude of every corner must be numbers.")
        longitude, latitude = (_finite(number) for number in corner[:2])
        if abs(longitude) > MAX_LONGITUDE or abs(latitude) > 90.0:
            raise Refused(
                422,
                f"A corner lies at longitude {longitude:.6g}, latitude {latitude:.6g}; longitudes run from "
                f"-{MAX_LONGITUDE:g} to {MAX_LONGITUDE:g}, latitudes from -90 to 90.",
            )
        ring.append((longitude, latitude))
    if len(set(ring)) < 3:
        raise Refused(422, "The area is empty: a polygon needs a ring of at least three different corners.")
    return ring


def _checked(area: MultiPolygon) -> MultiPolygon:
    if not shapely.is_valid(area):
        reason = shapely.is_valid_reason(area).replace("[", " at longitude and latitude ").replace("]", "")
        raise Refused(422, f"The area is not a proper polygon ({reason}); draw it without crossing edges.")
    if area.area == 0.0:
        raise Refused(422, "The area is empty: all its corners lie on one line.")
    west, _, east, _ = area.bounds
    if east - west > MAX_WIDTH + 1e-9:
        raise Refused(422, f"The area is {east - west:.6g} degrees wide; the Earth has 360.")
    return area


def _equal_area(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitude and latitude [degrees] (n, 2) as x and y [m] of the cylindrical equal-area projection of WGS 84.

    Snyder (1987), Map Projections: A Working Manual, equations 3-12 and 10-14 with the equator as standard parallel.
    """
    square = _FLATTENING * (2.0 - _FLATTENING)
    first, sine = math.sqrt(square), np.sin(np.radians(points[:, 1]))
    q = (1.0 - square) * (sine / (1.0 - square * sine**2) + np.arctanh(first * sine) / first)
    return _RADIUS * np.stack([np.radians(points[:, 0]), q / 2.0], axis=1)


def _finite(number: int | float) -> float:
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Refused(422, "Longitude and latitude of every corner must be finite numbers.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def brought_home(area: MultiPolygon | Polygon) -> MultiPolygon:
    """The same area with all longitudes from -180 to 180, cut at the antimeridian (RFC 7946, section 3.1.9).

    Exterior rings run counter-clockwise.
    """
    west, _, east, _ = area.bounds
    first, last = math.floor((west + 180.0) / 360.0), math.ceil((east - 180.0) / 360.0)
    pieces: list[Polygon] = []
    for turn in range(first, max(first, last) + 1):
        moved = shapely.transform(area, lambda points, turn=turn: points - np.array([360.0 * turn, 0.0]))
        cut = moved if first == last else shapely.intersection(moved, shapely.box(-180.0, -90.0, 180.0, 90.0))
        pieces += [part for part in shapely.get_parts(cut).tolist() if part.geom_type == "Polygon" and part.area > 0]
    return shapely.orient_polygons(MultiPolygon(pieces))
