"""Copies of rasters for a map without a server program: in Web Mercator, on the grid of web tiles.

A browser then needs no map projections: every block of a copy is one web tile of 512 x 512 pixels at the zoom of the
copy, and every overview has the pixels of a coarser zoom. Numbers and classes are taken from the nearest cell, so that
each number in a copy stands in the raster as well; colour pictures are interpolated and stored as they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as transform_points
from rasterio.windows import Window

from swath.errors import InputError, ResourceError
from swath.reading import reason
from swath.serve.layers import Layer

HALF_WORLD = 20037508.342789244  # half the circumference of the equator in Web Mercator [m]
LATITUDE_LIMIT = 85.0511287798066  # where Web Mercator ends [degrees]
SIDE = 512  # pixels on a side of a tile
MAX_ZOOM = 20  # 7 cm at the equator
MAX_PIXELS = 2**33  # of one copy; twice as fine in both directions as a raster of 40,000 x 40,000 pixels is less
_POINTS = 21  # places along and across a raster at which its extent and cell size are measured

# What can say "nothing here" beside every number of the type, for rasters that declare no such number.
_WIDER: dict[str, tuple[str, float]] = {
    "uint8": ("int16", -32768.0),
    "int8": ("int16", -32768.0),
    "int16": ("int32", -2147483648.0),
    "uint16": ("int32", -2147483648.0),
}


@dataclass(frozen=True)
class Plan:
    """Where a copy lies on the grid of web tiles.

    Args:
        zoom: of the pixels of the copy, for tiles of 512 x 512 pixels.
        column, row: the tile in the upper left corner; 0 is at 180 degrees west and in the north.
        columns, rows: number of tiles; the copy of a raster across the antimeridian goes on east of it.
        bounds: west, south, east, north [degrees]; east is above 180 across the antimeridian.
        reduced: zooms that were given up to keep the number of pixels within ``MAX_PIXELS``.
    """

    zoom: int
    column: int
    row: int
    columns: int
    rows: int
    bounds: tuple[float, float, float, float]
    reduced: int = 0


@dataclass(frozen=True)
class Stored:
    """How the numbers of a copy are stored; ``nodata`` is None for pictures, whose fourth band is opacity."""

    dtype: str
    bands: int
    nodata: float | None


def plan_copy(source: DatasetReader, max_pixels: int = MAX_PIXELS) -> Plan | None:
    """The tiles that a raster covers, at the first zoom that is at least as fine as its cells.

    Returns:
        None where the raster has no place in Web Mercator, for example in a polar cap beyond 85.05 degrees.
    """
    bounds = _bounds(source)
    if bounds is None:
        return None
    finest = _zoom(source)
    for zoom in range(finest, -1, -1):
        column, row, columns, rows = _tiles(bounds, zoom)
        if columns * rows * SIDE * SIDE <= max_pixels or zoom == 0:
            return Plan(zoom, column, row, columns, rows, bounds, reduced=finest - zoom)
    raise AssertionError("zoom 0 always fits")


def stored_as(layer: Layer, source: DatasetReader, indexes: list[int]) -> Stored:
    """The type and the no-data value of the copy of a layer.

    Raises:
        InputError: the raster holds numbers that cannot be drawn.
    """
    if layer.kind == "colour":
        return Stored("uint8", 4, None)
    dtype = np.dtype(source.dtypes[indexes[0] - 1])
    if dtype.kind == "f":
        return Stored("float32", 1, math.nan)
    if dtype.kind not in "iu":
        raise InputError(
            f"The layer '{layer.id}' shows '{layer.path}', which holds {dtype} numbers",
            expected="integers or floating-point numbers",
            remedy="write the part to be shown, for example the amplitude, to a raster of its own",
        )
    nodata = source.nodatavals[indexes[0] - 1]
    only_nodata = MaskFlags.nodata in source.mask_flag_enums[indexes[0] - 1]
    if nodata is not None and only_nodata and dtype.itemsize <= 4 and float(nodata).is_integer():
        return Stored(dtype.name, 1, float(nodata))
    wider, missing = _WIDER.get(dtype.name, ("float64", math.nan))
    return Stored(wider, 1, missing)


def write_copy(layer: Layer, source: DatasetReader, indexes: list[int], plan: Plan, path: Path) -> Stored:
    """Write the copy of one layer as a cloud-optimised GeoTIFF, tile by tile in bounded memory.

    Args:
        layer: what is shown.
        source: its raster.
        indexes: numbers (from 1) of the bands that are shown.
        plan: from ``plan_copy``.
        path: the file; its folder is there and nothing has that name.

    Returns:
        how the numbers are stored.

    Raises:
        InputError: the raster cannot be read, or holds numbers that cannot be drawn.
        ResourceError: the copy cannot be written.
    """
    stored = stored_as(layer, source, indexes)
    part = path.with_name(f".{path.name}.part.tif")
    try:
        with rasterio.open(part, "w", **_profile(plan, stored)) as target:
            for (row, column), block in _blocks(layer, source, indexes, plan, stored):
                target.write(block, window=Window(column * SIDE, row * SIDE, SIDE, SIDE))
            _declare(target, layer)
        rasterio.shutil.copy(
            str(part),
            str(path),
            driver="COG",
            compress="DEFLATE",
            predictor="NO" if layer.kind == "categorical" else "YES",
            blocksize=SIDE,
            overview_resampling="NEAREST" if layer.kind == "categorical" else "AVERAGE",
            bigtiff="IF_SAFER",
        )
    except (RasterioError, OSError) as error:
        raise ResourceError(
            f"The copy of the layer '{layer.id}' cannot be written ({reason(error.__cause__ or error)})",
            expected="a folder that may be written to, with room left",
            remedy="check permissions and free space, or choose another folder",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return stored


def read_tile(
    source: DatasetReader, indexes: list[int], tile: tuple[int, int, int], *, smooth: bool = False
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The stored numbers of a raster on the grid of one web tile.

    Args:
        source: the raster.
        indexes: numbers (from 1) of the bands.
        tile: zoom, column, row.
        smooth: interpolate between cells; otherwise the nearest cell counts.

    Returns:
        values ``(band, 512, 512)`` and where they may be used ``(512, 512)``.
    """
    zoom, column, row = tile
    step = 2 * HALF_WORLD / 2**zoom / SIDE
    grid = Affine(step, 0.0, column * SIDE * step - HALF_WORLD, 0.0, -step, HALF_WORLD - row * SIDE * step)
    nodata = source.nodata
    if nodata is None and _only_nan(source):
        nodata = math.nan  # otherwise interpolation would spread what is missing
    options: dict[str, Any] = {"crs": "EPSG:3857", "transform": grid, "width": SIDE, "height": SIDE}
    options |= {"resampling": Resampling.bilinear if smooth else Resampling.nearest}
    options |= {"src_nodata": nodata, "nodata": nodata} if nodata is not None else {}
    has_alpha = ColorInterp.alpha in source.colorinterp
    options |= {"add_alpha": nodata is None and not has_alpha}
    values, valid = None, np.zeros((SIDE, SIDE), dtype=bool)
    for shift in _revolutions(source):
        a, b, c, d, e, f = source.transform[:6]
        moved = {"src_transform": Affine(a, b, c + shift, d, e, f)} if shift else {}
        with WarpedVRT(source, **options, **moved) as warped:
            numbers = warped.read(indexes)
            # GDAL takes no mask from opacity in signed numbers, and none from the no-data value of 64-bit ones.
            usable = np.isfinite(numbers).all(axis=0)
            if nodata is None:
                opacity = source.colorinterp.index(ColorInterp.alpha) + 1 if has_alpha else warped.count
                usable &= warped.read(opacity) > 0
            else:
                usable &= (warped.read_masks(indexes) > 0).all(axis=0) & (numbers != nodata).all(axis=0)
        values = numbers if values is None else np.where(valid, values, numbers)
        valid |= usable
    assert values is not None
    return values, valid


def _blocks(
    layer: Layer, source: DatasetReader, indexes: list[int], plan: Plan, stored: Stored
) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
    """The blocks of a copy that hold anything: row and column in tiles, array ``(band, 512, 512)``."""
    around = 2**plan.zoom
    for row in range(plan.rows):
        for column in range(plan.columns):
            tile = plan.zoom, (plan.column + column) % around, plan.row + row
            try:
                values, valid = read_tile(source, indexes, tile, smooth=layer.kind == "colour")
            except (RasterioError, OSError) as error:
                why = reason(error.__cause__ or error)
                raise InputError(
                    f"The layer '{layer.id}' shows '{layer.path}', which cannot be read ({why})",
                    expected="a whole raster",
                    remedy="write the file again or take the layer off the list",
                ) from error
            if valid.any():
                yield (row, column), _block(layer, source, indexes, values, valid, stored)


def _block(
    layer: Layer,
    source: DatasetReader,
    indexes: list[int],
    values: NDArray[Any],
    valid: NDArray[np.bool_],
    stored: Stored,
) -> NDArray[Any]:
    if layer.kind != "colour":
        assert stored.nodata is not None
        return np.where(valid, values, np.asarray(stored.nodata)).astype(stored.dtype)
    low = 0.0 if layer.minimum is None else layer.minimum
    high = 255.0 if layer.maximum is None else layer.maximum
    scale, offset = (
        np.array(numbers)[np.array(indexes) - 1, None, None] for numbers in (source.scales, source.offsets)
    )
    physical = np.where(valid, values, 0).astype(np.float64) * scale + offset
    shares = np.clip((physical - low) / (high - low), 0.0, 1.0)
    drawn = np.where(valid, np.rint(shares * 255.0), 0.0).astype(np.uint8)
    return np.concatenate([drawn, (valid * np.uint8(255))[None]])


def _profile(plan: Plan, stored: Stored) -> dict[str, Any]:
    step = 2 * HALF_WORLD / 2**plan.zoom / SIDE
    west, north = plan.column * SIDE * step - HALF_WORLD, HALF_WORLD - plan.row * SIDE * step
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": plan.columns * SIDE,
        "height": plan.rows * SIDE,
        "count": stored.bands,
        "dtype": stored.dtype,
        "crs": "EPSG:3857",
        "transform": Affine(step, 0.0, west, 0.0, -step, north),
        "nodata": stored.nodata,
        "tiled": True,
        "blockxsize": SIDE,
        "blockysize": SIDE,
        "compress": "DEFLATE",
        "zlevel": 1,
        "sparse_ok": True,
        "bigtiff": "IF_SAFER",
    }
    return profile | (
        {"photometric": "RGB", "alpha": "YES"} if stored.nodata is None else {"photometric": "MINISBLACK"}
    )


def _declare(target: DatasetWriter, layer: Layer) -> None:
    target.update_tags(
        TITLE=layer.title,
        NOTE="A copy in web Mercator for drawing; use the original for measuring.",
    )


def _only_nan(source: DatasetReader) -> bool:
    """Whether NaN is all that can say "nothing here" in a raster."""
    floating = all(np.dtype(dtype).kind == "f" for dtype in source.dtypes)
    return floating and all(flags == [MaskFlags.all_valid] for flags in source.mask_flag_enums)


def _revolutions(source: DatasetReader) -> list[float]:
    """By how many degrees a raster is moved to be seen between 180 degrees west and east."""
    if not source.crs.is_geographic:
        return [0.0]
    xs, _ = _places(source)
    return [0.0] + [-360.0] * bool(xs.max() > 180.0) + [360.0] * bool(xs.min() < -180.0)


def _places(source: DatasetReader, dx: float = 0.0, dy: float = 0.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Places over all of a raster as x and y in its CRS, borders included; moved by dx, dy cells."""
    columns, rows = np.meshgrid(np.linspace(0, source.width, _POINTS), np.linspace(0, source.height, _POINTS))
    columns, rows = columns.ravel() + dx, rows.ravel() + dy
    move = source.transform
    return move.a * columns + move.b * rows + move.c, move.d * columns + move.e * rows + move.f


def _degrees(source: DatasetReader, xs: NDArray[Any], ys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Longitude and latitude of places; not finite where there is none."""
    if source.crs.is_geographic:
        return xs, ys  # longitudes beyond 180 stay what they are
    found = transform_points(source.crs, "EPSG:4326", xs.tolist(), ys.tolist())
    return np.array(found[0], dtype=np.float64), np.array(found[1], dtype=np.float64)


def _bounds(source: DatasetReader) -> tuple[float, float, float, float] | None:
    """West, south, east, north within Web Mercator [degrees]; west in [-180, 180), east above 180 across it."""
    longitude, latitude = _degrees(source, *_places(source))
    usable = np.isfinite(longitude) & np.isfinite(latitude)
    if not usable.any():
        return None
    longitude, latitude = longitude[usable], latitude[usable]
    south, north = float(latitude.min()), float(latitude.max())
    if not source.crs.is_geographic:
        # Measured from one place, so that the antimeridian is like any other meridian.
        first = longitude[len(longitude) // 2]
        longitude = first + (longitude - first + 180.0) % 360.0 - 180.0
        poles = [pole for pole in (-90.0, 90.0) if _holds(source, pole)]
        south, north = min([south, *poles]), max([north, *poles])
        margin = (north - south) / (_POINTS - 1) if north - south > 60.0 else 0.0
        south, north = south - margin, north + margin
        if poles:
            longitude = np.array([-180.0, 180.0])
    west, east = float(longitude.min()), float(longitude.max())
    if east - west > (359.999 if source.crs.is_geographic else 300.0):
        west, east = -180.0, 180.0
    turns = math.floor((west + 180.0) / 360.0) * 360.0
    south, north = max(south, -LATITUDE_LIMIT), min(north, LATITUDE_LIMIT)
    return (west - turns, south, east - turns, north) if south < north else None


def _holds(source: DatasetReader, latitude: float) -> bool:
    """Whether a pole lies on a raster."""
    try:
        (x,), (y,) = transform_points("EPSG:4326", source.crs, [0.0], [latitude])
    except (RasterioError, ValueError):
        return False
    if not (math.isfinite(x) and math.isfinite(y)):
        return False
    back = ~source.transform
    column, row = back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f
    return 0 <= column <= source.width and 0 <= row <= source.height


def _zoom(source: DatasetReader) -> int:
    """The first zoom whose pixels are at least as fine as the cells of a raster, wherever they are finest."""
    here = _mercator(*_degrees(source, *_places(source)))
    sizes = []
    for dx, dy in ((1.0, 0.0), (0.0, 1.0)):
        there = _mercator(*_degrees(source, *_places(source, dx, dy)))
        east = (there[0] - here[0] + HALF_WORLD) % (2 * HALF_WORLD) - HALF_WORLD
        sizes.append(np.hypot(east, there[1] - here[1]))
    size = np.concatenate(sizes)
    size = size[np.isfinite(size) & (size > 0.0)]
    if not size.size:
        return 0
    # The tolerance keeps a raster that lies on a zoom already from being made twice as fine.
    return min(MAX_ZOOM, max(0, math.ceil(math.log2(2 * HALF_WORLD / SIDE / float(size.min())) - 0.01)))


def _mercator(longitude: NDArray[Any], latitude: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Web Mercator x and y [m]; not finite beyond its end."""
    inside = np.abs(latitude) <= LATITUDE_LIMIT
    angle = np.radians(np.where(inside, latitude, 0.0))
    y = np.where(inside, np.arctanh(np.sin(angle)) * HALF_WORLD / math.pi, np.nan)
    return longitude / 180.0 * HALF_WORLD, y


def _tiles(bounds: tuple[float, float, float, float], zoom: int) -> tuple[int, int, int, int]:
    """Column, row of the first tile and number of columns, rows that cover an area."""
    xs, ys = _mercator(np.array([bounds[0], bounds[2]]), np.array([bounds[1], bounds[3]]))
    count = 2**zoom
    # A hair inwards: an edge on the edge of a tile does not need the next tile.
    left = math.floor((xs[0] / HALF_WORLD + 1.0) / 2.0 * count + 1e-9)
    right = math.ceil((xs[1] / HALF_WORLD + 1.0) / 2.0 * count - 1e-9)
    top = max(0, math.floor((1.0 - ys[1] / HALF_WORLD) / 2.0 * count + 1e-9))
    bottom = min(count, math.ceil((1.0 - ys[0] / HALF_WORLD) / 2.0 * count - 1e-9))
    return left, top, min(count, max(1, right - left)), max(1, bottom - top)
