"""The pixels of a raster inside an area: found by their centres, read block by block, each with its area on Earth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import CRS as ProjectedCRS
from pyproj import Transformer
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from shapely.geometry import MultiPolygon, Polygon

from swath.errors import ContractError
from swath.grids import cell_area_m2, gsd_m
from swath.serve.burn import burnt
from swath.serve.places import Refused
from swath.serve.tiles import RasterLayer

READ_PIXELS = 2**20  # of one read
TOLERANCE = 0.05  # of a pixel, by which an edge that is straight in degrees may be missed
MAX_CORNERS = 50_000  # of an area once its edges are made to follow the projection
WORLD = 300.0  # degrees of longitude beyond which a raster is taken to go around the Earth
HAIR = 1e-9  # degrees, a tenth of a millimetre
AREA_STEP = 8  # pixels between the places where the areal scale of a projection is worked out


@dataclass(frozen=True)
class Zone:
    """The part of a raster that an area covers.

    Args:
        raster: the layer.
        shape: the area in the CRS of the raster.
        overview: the overview that is read; None is full resolution.
        decimation: pixels of the file along a side of a pixel that is read; 1 is full resolution.
        box: grid of what is read, of the whole raster.
        rows, columns: first and last + 1 that hold pixels of the area.
    """

    raster: RasterLayer
    shape: tuple[Polygon, ...]
    overview: int | None
    decimation: int
    box: GeoBox
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def exact(self) -> bool:
        """Whether every pixel of the file counts."""
        return self.overview is None

    @property
    def window(self) -> Window:
        """The window of the dataset that is read."""
        return Window(self.columns[0], self.rows[0], self.columns[1] - self.columns[0], self.rows[1] - self.rows[0])

    @property
    def grid(self) -> GeoBox:
        """The grid of the window."""
        return _part(self.box, self.window)

    @property
    def pixel_m(self) -> float:
        """Size of the pixels that are read [m]."""
        return gsd_m(self.grid)


@dataclass(frozen=True)
class Block:
    """Some pixels: numbers (band, y, x) as stored, and valid, inside (y, x); areas [m2] (y, x)."""

    window: Window
    values: NDArray[Any]
    valid: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    areas: NDArray[np.float64]


def zone(raster: RasterLayer, area: MultiPolygon, limit: int, *, coarse: bool = True) -> Zone | None:
    """Where an area lies in a raster, at the finest resolution whose window has at most ``limit`` pixels.

    Args:
        raster: the layer.
        area: in longitude and latitude [degrees].
        limit: the most pixels of the window around the area.
        coarse: whether overviews may be used.

    Returns:
        the zone; None where area and raster do not meet.

    Raises:
        Refused: no resolution is coarse enough.
    """
    with raster.open() as source:
        shape = _projected(area, source)
        if not shape:
            return None
        rows, columns = _extent(shape, source.transform, source.height, source.width)
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return None
    pixels = (rows[1] - rows[0]) * (columns[1] - columns[0])
    levels = [(None, 1), *(enumerate(raster.decimations) if coarse else ())]
    chosen = next((level for level in levels if pixels / level[1] ** 2 <= limit), None)
    if chosen is None:
        finer = "" if not coarse else ", and the raster has no overview that is coarse enough"
        raise Refused(
            413, f"The area spans {pixels:,} pixels; at most {limit:,} are read at once{finer}. Choose a smaller area."
        )
    overview, decimation = chosen
    with raster.open(overview) as source:
        box = GeoBox((source.height, source.width), source.transform, CRS(source.crs.to_wkt()))
        rows, columns = _extent(shape, source.transform, source.height, source.width)
    return Zone(raster, shape, overview, decimation, box, rows, columns)


def blocks(zone: Zone) -> Iterator[Block]:
    """The pixels of a zone; every stored block is read once, those without a pixel of the area not at all."""
    with zone.raster.open(zone.overview) as source:
        for window in _windows(source.block_shapes[0], zone):
            grid = _part(zone.box, window)
            inside = burnt([(polygon, 1) for polygon in zone.shape], grid.shape.yx, "uint8", grid.affine).astype(bool)
            if not inside.any():
                continue
            numbers = source.read(list(zone.raster.indexes), window=window, masked=True)
            valid = ~np.ma.getmaskarray(numbers).any(axis=0) & np.isfinite(numbers.data).all(axis=0)
            yield Block(window, numbers.data, valid, inside, cell_areas(grid))


def cell_areas(grid: GeoBox) -> NDArray[np.float64]:
    """Area of each pixel [m2] (y, x), as ``grids.cell_area_m2`` says.

    The areal scale of a projection is smooth: large grids take it at some places and interpolate linearly.

    Raises:
        Refused: a rotated grid in degrees.
    """
    height, width = grid.shape.yx
    crs = grid.crs
    try:
        if crs is None or crs.geographic or height * width <= 4096:
            return cell_area_m2(grid)
    except ContractError:
        raise Refused(422, "Areas of this layer are not known: its grid in degrees is rotated.") from None
    step, (tall, wide) = AREA_STEP, (math.ceil(height / AREA_STEP) + 2, math.ceil(width / AREA_STEP) + 2)
    # Coarse cells, one more on every side, so that each pixel centre lies between the centres of four of them.
    coarse = GeoBox((tall, wide), grid.affine * Affine.translation(-step, -step) * Affine.scale(step), crs)
    nodes = cell_area_m2(coarse) / step**2
    if not (np.isfinite(nodes) & (nodes > 0)).all():  # beyond the edge of the Earth, as in the corners of a world map
        return cell_area_m2(grid)
    (up, down, rows), (left, right, columns) = _between(height), _between(width)
    across = nodes[:, left] * (1.0 - columns) + nodes[:, right] * columns
    return np.asarray(across[up] * (1.0 - rows[:, None]) + across[down] * rows[:, None])


def _between(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Per pixel the coarse cells whose centres lie before and after its own, and the share of the latter."""
    place = (np.arange(size) + 0.5) / AREA_STEP + 0.5
    before = np.floor(place).astype(np.int64)
    return before, before + 1, place - before


def _projected(area: MultiPolygon, source: DatasetReader) -> tuple[Polygon, ...]:
    """The polygons of an area in the CRS of a raster, as far as they lie near it; copies for other revolutions."""
    geographic = source.crs.is_geographic
    west, south, east, north = _footprint(source)
    margin = 0.02 * max(east - west, north - south) + 1e-9
    seam = None if geographic else _seam(source, west, (south + north) / 2.0)
    if seam is not None and east - west > WORLD:
        # What lies across the seam is far apart on the raster: the area is cut there, and reaches no further.
        west, east, margin = seam - 360.0 + HAIR, seam - HAIR, 0.0
    elif seam is not None and west < seam < east:
        raise Refused(422, "Areas of this layer are not known: it lies across the seam of its own projection.")
    frame = shapely.box(west - margin, max(-90.0, south - margin), east + margin, min(90.0, north + margin))
    first = math.floor((west - margin - area.bounds[2]) / 360.0)
    last = math.ceil((east + margin - area.bounds[0]) / 360.0)
    copies = [
        shapely.intersection(
            shapely.transform(area, lambda points, turn=turn: points + np.array([360.0 * turn, 0.0])),  # type: ignore[misc]
            frame,
        )
        for turn in range(first, last + 1)
    ]
    parts = [part for copy in copies for part in shapely.get_parts(copy).tolist()]
    near = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
    change = Transformer.from_crs("EPSG:4326", source.crs.to_wkt(), always_xy=True)
    cell = min(abs(size) for size in source.res)
    return tuple(_moved(part if geographic else _fine(part, change, cell), change, geographic) for part in near)


def _footprint(source: DatasetReader) -> tuple[float, float, float, float]:
    """West, south, east, north of a raster in degrees; east may lie beyond 180."""
    if source.crs.is_geographic:
        return tuple(source.bounds)
    bounds = transform_bounds(source.crs, "EPSG:4326", *source.bounds, densify_pts=51)
    if not np.isfinite(bounds).all():
        return -180.0, -90.0, 180.0, 90.0
    west, south, east, north = bounds
    return west, south, east if east > west else east + 360.0, north


def _seam(source: DatasetReader, west: float, latitude: float) -> float | None:
    """The first longitude east of ``west`` at which a projection is torn apart; None where it closes, as at a pole."""
    crs = ProjectedCRS.from_wkt(source.crs.to_wkt())
    operation = crs.coordinate_operation
    named = [] if operation is None else [part for part in operation.params if part.name.startswith("Longitude of ")]
    seam = (float(named[0].value) if named else 0.0) + 180.0
    change = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = change.transform([seam - HAIR, seam - 360.0 + HAIR], [latitude] * 2)
    closes = math.hypot(x[1] - x[0], y[1] - y[0]) < min(abs(size) for size in source.res)
    return None if closes else west + (seam - west) % 360.0


def _moved(polygon: Polygon, change: Transformer, geographic: bool) -> Polygon:
    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = change.transform(points[:, 0], points[:, 1])
        if geographic:  # the transformation brings longitudes home; the raster may lie elsewhere
            x = x + 360.0 * np.round((points[:, 0] - x) / 360.0)
        return np.stack([x, y], axis=1)

    moved = shapely.transform(polygon, move)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise Refused(422, "The area reaches beyond what the projection of this layer can show; choose a smaller one.")
    return moved


def _fine(polygon: Polygon, change: Transformer, cell: float) -> Polygon:
    """A polygon with corners so dense that its edges, straight in degrees, are straight in the projection too."""
    for _ in range(3):
        miss, longest = 0.0, 0.0
        for ring in (polygon.exterior, *polygon.interiors):
            points = shapely.get_coordinates(ring)
            middle = (points[1:] + points[:-1]) / 2.0
            ends = np.stack(change.transform(points[:, 0], points[:, 1]), axis=1)
            true = np.stack(change.transform(middle[:, 0], middle[:, 1]), axis=1)
            gap = np.hypot(*((ends[1:] + ends[:-1]) / 2.0 - true).T)
            miss = max(miss, float(np.nanmax(np.where(np.isfinite(gap), gap, np.nan), initial=0.0)))
            longest = max(longest, float(np.hypot(*np.diff(points, axis=0).T).max()))
        if miss <= TOLERANCE * cell:
            break
        # Halving an edge quarters its deviation.
        step = longest / math.ceil(math.sqrt(miss / (TOLERANCE * cell)))
        polygon = shapely.segmentize(polygon, max(step, polygon.length / MAX_CORNERS))
    return polygon


def _extent(
    shape: tuple[Polygon, ...], transform: Affine, height: int, width: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last + 1 row and column that polygons can touch."""
    points = np.concatenate([shapely.get_coordinates(polygon) for polygon in shape])
    back = ~transform
    columns = back.a * points[:, 0] + back.b * points[:, 1] + back.c
    rows = back.d * points[:, 0] + back.e * points[:, 1] + back.f
    (top, bottom), (left, right) = (
        (int(np.clip(np.floor(part.min()), 0, size)), int(np.clip(np.ceil(part.max()), 0, size)))
        for part, size in ((rows, height), (columns, width))
    )
    return (top, bottom), (left, right)


def _windows(stored: tuple[int, int], zone: Zone) -> Iterator[Window]:
    """Windows along the stored blocks, several blocks each where these are small."""
    tall, wide = stored
    across = wide * max(1, 1024 // wide)
    breadth = max(1, min(across, zone.columns[1] - zone.columns[0]))
    down = tall * max(1, READ_PIXELS // breadth // tall)
    for top in range(zone.rows[0] // down * down, zone.rows[1], down):
        for left in range(zone.columns[0] // across * across, zone.columns[1], across):
            row, column = max(top, zone.rows[0]), max(left, zone.columns[0])
            end, edge = min(top + down, zone.rows[1]), min(left + across, zone.columns[1])
            yield Window(column, row, edge - column, end - row)


def _part(box: GeoBox, window: Window) -> GeoBox:
    affine = box.affine * Affine.translation(int(window.col_off), int(window.row_off))
    return GeoBox((int(window.height), int(window.width)), affine, box.crs)
