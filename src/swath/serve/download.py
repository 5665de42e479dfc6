"""Take a part of a layer home: the drawn area as a COG, or its classes as polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.io import DatasetReader
from shapely.geometry import mapping, shape

from swath import cubes
from swath.errors import InputError
from swath.serve.burn import burnt, outlined
from swath.serve.places import Question, Refused, brought_home
from swath.serve.tiles import RasterLayer
from swath.serve.zones import Block, Zone, blocks, zone

MAX_CLIP_BYTES = 64 * 2**20  # of the numbers of a clipped area, before compression
MAX_SHAPE_PIXELS = 4 * 2**20
MAX_POLYGONS = 20_000
MAX_CORNERS = 1_000_000


def clip(raster: RasterLayer, question: Question, path: Path) -> Path:
    """Write the pixels of a layer inside an area as a COG at full resolution; outside of it there is no data.

    Args:
        raster: the layer; its own bands are written.
        question: the area.
        path: the file to write.

    Returns:
        the path.

    Raises:
        Refused: nothing lies in the area, or it is too large.
        RasterioError: the raster cannot be read.
    """
    with raster.open() as source:
        dtype = np.dtype(source.dtypes[raster.indexes[0] - 1])
        names = [source.descriptions[index - 1] or f"band {index}" for index in raster.indexes]
        units = [str(source.units[index - 1] or "") for index in raster.indexes]
        scale = _scale(source, raster.indexes)
        declared = source.nodatavals[raster.indexes[0] - 1]
    found = _here(raster, question, MAX_CLIP_BYTES // (dtype.itemsize * len(names)))
    parts = list(blocks(found))
    if not any((part.inside & part.valid).any() for part in parts):
        raise Refused(422, "The layer has no data in the area, so there is nothing to download.")
    nodata = _nodata(declared, dtype, parts, {entry.value for entry in raster.layer.legend})
    with cubes.CogWriter(
        path, found.grid, names=names, dtype=dtype, nodata=nodata, unit=units, scale=scale, legend=_legend(raster)
    ) as writer:
        for part in parts:
            row, column = int(part.window.row_off) - found.rows[0], int(part.window.col_off) - found.columns[0]
            writer.write(part.values, row, column, part.inside & part.valid)
    return path


def polygons(raster: RasterLayer, question: Question) -> dict[str, Any]:
    """Polygons of the classes inside an area as a GeoJSON FeatureCollection (RFC 7946).

    Edges follow the pixels. Each feature has the properties ``value``, ``name``, ``colour``, ``pixels`` and
    ``area_km2``; polygons that cross the antimeridian are cut there.

    Raises:
        Refused: the layer has no classes, nothing lies in the area, or there is too much of it.
        RasterioError: the raster cannot be read.
    """
    if raster.layer.kind != "categorical":
        raise Refused(422, f"The layer '{raster.layer.id}' has no classes, so it has no polygons of them.")
    found = _here(raster, question, MAX_SHAPE_PIXELS)
    height, width = found.grid.shape.yx
    values, wanted = np.zeros((height, width), np.float64), np.zeros((height, width), bool)
    areas = np.zeros((height, width))
    for part in blocks(found):
        row, column = int(part.window.row_off) - found.rows[0], int(part.window.col_off) - found.columns[0]
        there = np.s_[row : row + int(part.window.height), column : column + int(part.window.width)]
        values[there], wanted[there], areas[there] = part.values[0], part.inside & part.valid, part.areas
    if not wanted.any():
        raise Refused(422, "The layer has no data in the area, so there are no polygons.")
    with raster.open() as source:
        change = Transformer.from_crs(source.crs.to_wkt(), "EPSG:4326", always_xy=True)
        features = _features(raster, found, (values, wanted, areas), None if source.crs.is_geographic else change)
    return {"type": "FeatureCollection", "features": features}


def _features(
    raster: RasterLayer,
    found: Zone,
    pixels: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]],
    change: Transformer | None,
) -> list[dict[str, Any]]:
    values, wanted, areas = pixels
    # Pieces get numbers of their own from 1, so that pixels and areas can be added up per piece.
    codes = np.searchsorted(np.unique(values[wanted]), values).astype(np.int32)
    pieces = list(_bounded(codes, wanted))
    known = {entry.value: entry for entry in raster.layer.legend}
    labels = burnt([(piece, at) for at, (piece, _) in enumerate(pieces, 1)], wanted.shape, "int32")
    counts = np.bincount(labels[wanted], minlength=len(pieces) + 1)
    sums = np.bincount(labels[wanted], weights=areas[wanted], minlength=len(pieces) + 1)
    kinds = np.unique(values[wanted])
    features = []
    for number, (piece, code) in enumerate(pieces, start=1):
        value = int(kinds[code])
        entry = known.get(value)
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "value": value,
                    "name": entry.name if entry else None,
                    "colour": entry.colour if entry else None,
                    "pixels": int(counts[number]),
                    "area_km2": float(sums[number]) / 1e6,
                },
                "geometry": _geometry(piece, found, change),
            }
        )
    return features


def _bounded(codes: NDArray[np.int32], wanted: NDArray[np.bool_]) -> list[tuple[Any, int]]:
    """Polygons in pixels with their codes, as many as a page can hold."""
    pieces = outlined(codes, wanted, MAX_POLYGONS, MAX_CORNERS)
    if pieces is None:
        raise Refused(
            413,
            f"The area holds more than {MAX_POLYGONS:,} polygons or {MAX_CORNERS:,} corners; choose a smaller one.",
        )
    return [(shape(piece), code) for piece, code in pieces]


def _geometry(piece: Any, found: Zone, change: Transformer | None) -> dict[str, Any]:
    """A polygon in pixels as GeoJSON in longitude and latitude."""
    affine = found.grid.affine

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x = affine.a * points[:, 0] + affine.b * points[:, 1] + affine.c
        y = affine.d * points[:, 0] + affine.e * points[:, 1] + affine.f
        if change is not None:
            x, y = (np.asarray(part) for part in change.transform(x, y))
            # Across the antimeridian longitudes jump: count on from the first corner.
            x = x + 360.0 * np.round((x[0] - x) / 360.0)
        return np.asarray(np.round(np.stack([x, np.clip(y, -90.0, 90.0)], axis=1), 7), dtype=np.float64)

    home = brought_home(shapely.transform(piece, move))
    plain = home.geoms[0] if len(home.geoms) == 1 else home
    return dict(mapping(plain))


def _here(raster: RasterLayer, question: Question, limit: int) -> Zone:
    """The zone at full resolution."""
    found = zone(raster, question.area, limit, coarse=False)
    if found is None:
        raise Refused(422, "The area lies outside of this layer, so there is nothing to download.")
    return found


def _nodata(declared: float | None, dtype: np.dtype[Any], parts: list[Block], taken: set[int]) -> float | None:
    """A number that means no data: that of the file, else NaN, else one that no pixel of the area has."""
    if declared is not None or dtype.kind == "f":
        return declared
    ends = np.iinfo(dtype)
    for candidate in (int(ends.max), 0, int(ends.min)):
        if candidate not in taken and not any((part.values == candidate).any() for part in parts):
            return candidate
    raise Refused(422, "No number of this layer is left to mean no data outside of the area; download the whole layer.")


def _scale(source: DatasetReader, indexes: tuple[int, ...]) -> tuple[float, float] | None:
    """Scale and offset that all bands share."""
    pairs = {(source.scales[index - 1], source.offsets[index - 1]) for index in indexes}
    return pairs.pop() if len(pairs) == 1 else None


def _legend(raster: RasterLayer) -> cubes.Legend | None:
    entries = [cubes.LegendEntry(item.value, item.name, item.colour) for item in raster.layer.legend]
    try:
        return cubes.Legend(tuple(entries)) if entries else None
    except InputError:  # a list written by hand may use a name twice; the numbers are right all the same
        return None
