"""One raster of a map: read a web tile or one value from it, and colour the tile.

Tiles are read on exactly their own grid (Web Mercator, EPSG:3857) from the overview that is just fine enough. Rasters
in longitude 0 to 360, or half a cell across the antimeridian, are read once per revolution and merged.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.warp import transform as transform_points
from rasterio.warp import transform_bounds
from rio_tiler.colormap import cmap
from rio_tiler.reader import read

from swath.errors import InputError
from swath.serve.handles import Handles, ReaderPool
from swath.serve.layers import Layer, raster_path
from swath.serve.png import encode
from swath.serve.suited import shown_bands

MERCATOR = "EPSG:3857"
HALF_WORLD = 20037508.342789244  # half the circumference of the equator in Web Mercator [m]
MERCATOR_LATITUDE = 85.0511287798066  # where Web Mercator ends [degrees]
MAX_ZOOM = 22

FAINTEST = 0.12  # share of the opacity that is left where a map is not sure at all
SURE = frozenset({"confidence", "probability", "applicability"})  # more means surer; of all other measures, less

Box = tuple[float, float, float, float]


class RasterLayer:
    """A registered layer with its open raster.

    Args:
        layer: how to show it.
        directory: the layers directory.
        handles: where open files wait, shared by the layers of a server.

    Raises:
        InputError: the raster is missing, is not one, has no CRS, or lacks a band.
    """

    def __init__(self, layer: Layer, directory: Path, handles: Handles | None = None) -> None:
        self.layer = layer
        self._directory = directory
        self._pool = ReaderPool(raster_path(directory, layer), handles, self._check)
        try:
            with self._pool.open() as source:
                self._inspect(source)
        except (RasterioError, OSError) as error:
            raise InputError(
                f"The layer '{layer.id}' shows '{layer.path}', which cannot be read as a raster ({error})",
                expected="a GeoTIFF, or a PNG, JPEG or JPEG 2000 picture that says where it lies",
                remedy="write the file again or take the layer off the list",
            ) from error

    def _inspect(self, source: DatasetReader) -> None:
        layer = self.layer
        self._indexes = shown_bands(layer, source)
        west, _, east, _ = source.bounds
        self._shifts = [0.0]
        if source.crs.is_geographic:
            self._shifts += [-360.0] * (east > 180.0) + [360.0] * (west < -180.0)
        self.bounds = _geographic_bounds(source)
        metres = 111_319.5 if source.crs.is_geographic else source.crs.linear_units_factor[1]
        self._cell_size = min(abs(size) for size in source.res) * metres
        self._overviews: list[int] = source.overviews(self._indexes[0])
        self._palette = _palette(layer)
        scales = [[part[index - 1] for index in self._indexes] for part in (source.scales, source.offsets)]
        self._scales = scales if _scaled(source, self._indexes) else None
        self._scale, self._offset = scales[0][0], scales[1][0]
        names = [source.descriptions[index - 1] or f"band {index}" for index in self._indexes]
        self._band_names = names

    def _check(self) -> None:
        """A file may have been replaced by a link that leads elsewhere since the server started."""
        try:
            raster_path(self._directory, self.layer)
        except InputError as error:
            raise OSError(str(error)) from None

    @property
    def path(self) -> Path:
        """The file, which lies inside the layers directory at this moment.

        Raises:
            OSError: it is gone or leads out of the directory.
        """
        self._check()
        return self._directory / self.layer.path

    @property
    def indexes(self) -> tuple[int, ...]:
        """Numbers (from 1) of the bands that the layer shows."""
        return tuple(self._indexes)

    @property
    def decimations(self) -> tuple[int, ...]:
        """How many pixels of the file lie along a side of a pixel of each overview."""
        return tuple(self._overviews)

    def physical(self, numbers: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers of the first band as stored, in the unit of the layer."""
        return numbers.astype(np.float64) * self._scale + self._offset

    def open(self, overview: int | None = None) -> AbstractContextManager[DatasetReader]:
        """The raster for reading by one thread, at full resolution or at one of its overviews."""
        return self._pool.open(overview)

    @property
    def version(self) -> str:
        """Changes when the raster or the way it is shown changes."""
        return hashlib.sha256((self._pool.stamp() + self.layer.model_dump_json()).encode()).hexdigest()[:16]

    @property
    def colours(self) -> list[str]:
        """Nine steps of the colour map of a continuous layer as ``#rrggbb``; else nothing."""
        if self.layer.kind != "continuous":
            return []
        return ["#{:02x}{:02x}{:02x}".format(*self._palette[round(step * 255 / 8)][:3]) for step in range(9)]

    @property
    def max_zoom(self) -> int:
        """The zoom at which tiles of 512 pixels are twice as fine as the raster; beyond it they are only magnified."""
        return min(MAX_ZOOM, max(0, 1 + math.ceil(math.log2(2 * HALF_WORLD / 512 / self._cell_size))))

    def tile(self, zoom: int, column: int, row: int, size: int = 256, certainty: RasterLayer | None = None) -> bytes:
        """One web tile of ``size`` x ``size`` pixels as PNG with an alpha channel; row 0 lies in the north.

        With another layer that tells how certain this one is, unsure pixels fade.
        """
        bounds = tile_bounds(zoom, column, row)
        if not self._touches(bounds):
            return empty_tile(size)
        values, valid = self._read(bounds, size)
        colours = self._colour(values, valid)
        if certainty is not None:
            share = FAINTEST + (1.0 - FAINTEST) * certainty.certainty(bounds, size)
            colours[3] = np.rint(colours[3] * share).astype(np.uint8)
        return encode(colours)

    def certainty(self, bounds: Box, size: int) -> NDArray[np.float64]:
        """From 0 (unsure, or nothing is known) to 1 (sure), (y, x) on the grid of a tile."""
        if not self._touches(bounds):
            return np.zeros((size, size))
        values, valid = self._read(bounds, size)
        if self.layer.minimum is None or self.layer.maximum is None:
            return np.where(valid, values[0] > 0, 0.0)
        low, high = self.layer.minimum, self.layer.maximum
        share = np.clip((np.where(valid, values[0], low).astype(np.float64) - low) / (high - low), 0.0, 1.0)
        return np.where(valid, share if self.layer.measure in SURE else 1.0 - share, 0.0)

    def value(self, longitude: float, latitude: float) -> dict[str, Any]:
        """What the raster holds at one place, ready for JSON; ``value`` is None where there is nothing."""
        layer = self.layer
        with self._pool.open() as source:
            numbers = self._sample(source, longitude, latitude)
        answer: dict[str, Any] = {"id": layer.id, "title": layer.title, "kind": layer.kind, "value": None}
        if numbers is None:
            return answer
        if layer.kind == "colour":
            answer["value"] = dict(zip(self._band_names, numbers, strict=True))
        elif layer.kind == "continuous":
            answer |= {"value": numbers[0], "unit": layer.unit}
        else:
            entry = next((entry for entry in layer.legend if entry.value == numbers[0]), None)
            answer |= {"value": numbers[0], "name": entry and entry.name, "colour": entry and entry.colour}
        return answer

    def close(self) -> None:
        """Close the files."""
        self._pool.close()

    def _touches(self, bounds: Box) -> bool:
        west, _, east, _ = self.bounds
        tile = transform_bounds(MERCATOR, "EPSG:4326", *bounds)
        # Nothing is skipped by longitude where the raster crosses the antimeridian.
        aside = west <= east and (tile[0] >= east or tile[2] <= west)
        return not aside and tile[1] < self.bounds[3] and tile[3] > self.bounds[1]

    def _read(self, bounds: Box, size: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (band, y, x) and valid (y, x) on the grid of a tile."""
        categorical = self.layer.kind == "categorical"
        with self._pool.open() as source:
            overview = self._overview(source, bounds, size)
        with self._pool.open(overview) as source:
            step = (bounds[2] - bounds[0]) / size
            grid = Affine(step, 0.0, bounds[0], 0.0, -step, bounds[3])
            options = {"transform": grid, "width": size, "height": size}
            merged: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
            for shift in self._shifts:
                moved = {"src_transform": _moved(source.transform, shift)} if shift else {}
                image = read(
                    source,
                    dst_crs=rasterio.CRS.from_string(MERCATOR),
                    indexes=self._indexes,
                    vrt_options={**options, **moved},
                    reproject_method="nearest" if categorical else "bilinear",
                    unscale=False,
                )
                values = image.array.data
                valid = ~np.ma.getmaskarray(image.array).any(axis=0) & np.isfinite(values).all(axis=0)
                if merged is None:
                    merged = values, valid
                else:
                    merged = np.where(merged[1], merged[0], values), merged[1] | valid
        assert merged is not None
        if categorical or self._scales is None:
            return merged
        # Overviews do not tell scale and offset, so those of the file itself count.
        factors, offsets = (np.array(part)[:, None, None] for part in self._scales)
        return merged[0] * factors + offsets, merged[1]

    def _overview(self, source: DatasetReader, bounds: Box, size: int) -> int | None:
        """Index of the coarsest overview that is still at least as fine as the tile; None is full resolution."""
        x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
        step = (bounds[2] - bounds[0]) / size
        xs, ys = transform_points(MERCATOR, source.crs, [x, x + step, x], [y, y, y + step])
        if not np.isfinite([xs, ys]).all():
            return None
        width, height = math.hypot(xs[1] - xs[0], ys[1] - ys[0]), math.hypot(xs[2] - xs[0], ys[2] - ys[0])
        # A step across the antimeridian looks like a revolution; the other direction still tells the scale.
        factor = min(width, height) / min(abs(size) for size in source.res)
        fine_enough = [index for index, decimation in enumerate(self._overviews) if decimation <= factor * 1.01]
        return fine_enough[-1] if fine_enough else None

    def _colour(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """RGBA of shape (4, y, x)."""
        layer = self.layer
        if layer.kind == "categorical":
            codes = np.array(sorted(self._palette), dtype=np.float64)
            table = np.array([self._palette[code] for code in sorted(self._palette)], dtype=np.uint8)
            place = np.minimum(np.searchsorted(codes, values[0]), len(codes) - 1)
            known = valid & (codes[place] == values[0])
            colours = table[place]
        else:
            low = 0.0 if layer.minimum is None else layer.minimum
            high = 255.0 if layer.maximum is None else layer.maximum
            numbers = np.where(valid, values.astype(np.float64), low)
            scaled = np.rint(np.clip((numbers - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
            known = valid
            if layer.kind == "continuous":
                colours = np.array([self._palette[code] for code in range(256)], dtype=np.uint8)[scaled[0]]
            else:
                colours = np.moveaxis(np.concatenate([scaled, np.full_like(scaled[:1], 255)]), 0, -1)
        return np.ascontiguousarray(np.moveaxis(np.where(known[..., None], colours, np.uint8(0)), -1, 0))

    def _sample(self, source: DatasetReader, longitude: float, latitude: float) -> list[float | int] | None:
        """Numbers of the bands in the cell at a place; None outside and where the raster has no data."""
        (x,), (y,) = transform_points("EPSG:4326", source.crs, [longitude], [latitude])
        for shift in self._shifts:
            column, row = _cell(source.transform, x - shift, y)
            # A place on the right or lower edge (longitude 180, the south pole) belongs to the last cell.
            if not (0 <= column <= source.width and 0 <= row <= source.height):
                continue
            window = rasterio.windows.Window(min(int(column), source.width - 1), min(int(row), source.height - 1), 1, 1)
            cell = source.read(self._indexes, window=window, masked=True)[:, 0, 0]
            if np.ma.getmaskarray(cell).any() or not np.isfinite(cell.data).all():
                continue
            if self.layer.kind == "categorical":
                return [_plain(cell.data[0])]
            scales, offsets = np.array(source.scales), np.array(source.offsets)
            chosen = np.array(self._indexes) - 1
            if not _scaled(source, self._indexes):
                return [_plain(number) for number in cell.data]
            return [_plain(number) for number in cell.data * scales[chosen] + offsets[chosen]]
        return None


def tile_bounds(zoom: int, column: int, row: int) -> Box:
    """West, south, east, north of a tile in Web Mercator [m]."""
    side = 2 * HALF_WORLD / 2**zoom
    # Each edge is computed alike from both sides, so that neighbours share it exactly.
    west, east = (edge * side - HALF_WORLD for edge in (column, column + 1))
    north, south = (HALF_WORLD - edge * side for edge in (row, row + 1))
    return west, south, east, north


def empty_tile(size: int) -> bytes:
    """A transparent PNG."""
    return encode(np.zeros((4, size, size), dtype=np.uint8))


def _geographic_bounds(source: DatasetReader) -> Box:
    """West, south, east, north [degrees] within Web Mercator; west > east across the antimeridian."""
    west, south, east, north = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    if not np.isfinite([west, south, east, north]).all() or (source.crs.is_geographic and east - west >= 360.0):
        west, east = -180.0, 180.0
    elif source.crs.is_geographic:
        # 0 to 360 and the like: bring both ends home, which may put west right of east.
        west, east = (((end + 180.0) % 360.0 - 180.0) if abs(end) > 180.0 else end for end in (west, east))
    south, north = (
        value if math.isfinite(value) else math.copysign(90.0, sign) for value, sign in ((south, -1), (north, 1))
    )
    limit = MERCATOR_LATITUDE
    return west, min(max(south, -limit), limit), east, min(max(north, -limit), limit)


def _moved(transform: Affine, shift: float) -> Affine:
    return Affine(transform.a, transform.b, transform.c + shift, transform.d, transform.e, transform.f)


def _cell(transform: Affine, x: float, y: float) -> tuple[float, float]:
    """Fractional column and row of a place."""
    back = ~transform
    return back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f


def _palette(layer: Layer) -> dict[int, tuple[int, int, int, int]]:
    if layer.kind == "continuous":
        steps = dict(cast(dict[int, tuple[int, int, int, int]], cmap.get(layer.colormap)))
        return {int(code): colour for code, colour in steps.items()}
    return {
        entry.value: (int(entry.colour[1:3], 16), int(entry.colour[3:5], 16), int(entry.colour[5:7], 16), 255)
        for entry in layer.legend
    }


def _scaled(source: DatasetReader, indexes: list[int]) -> bool:
    return any(source.scales[index - 1] != 1.0 or source.offsets[index - 1] != 0.0 for index in indexes)


def _plain(number: np.generic) -> float | int:
    return int(number) if float(number).is_integer() and not isinstance(number, np.floating) else float(f"{number:.7g}")
