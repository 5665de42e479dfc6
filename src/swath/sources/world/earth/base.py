"""What lies under the procedural detail: the real globe above 5 km, or a procedural one, sampled at any place.

Both give the same ``BaseSample``. The real globe comes from a planet directory at 0.1 degree (``swath data make
planet``): relief, land mask, IGBP land cover and Köppen groups. Cells are joined by cubic B-splines: quantities are
smoothed over about two cells, and classes become smooth shares that add up to one. Nothing here depends on the window
that asks.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from swath.errors import InputError
from swath.sources.planet.build import MANIFEST, make, read_manifest
from swath.sources.planet.packages import cache_directory
from swath.sources.world import noise
from swath.sources.world.frame import Window

Array = NDArray[np.float64]

KNOT = 1280.0
"""Metres between the absolute places where a base is sampled for a window; splines join them."""

GROUPS = 5
"""Köppen main groups, tropical to polar."""
COVERS = 17
"""Classes of ``planet.IGBP``, 0 water to 16 barren."""

RESOLUTION = 0.1
_UNKNOWN, _ICE = -32768, 15
_POLE_HEIGHT = 2835.0  # metres, of the ice at the South Pole; the relief knows nothing south of 85° S
_QUANTISATION = 80.0  # square metres: what steps of 28 m alone add to the mean square difference of two cells
_ZONAL = 0.02  # weight of latitude alone among the climate groups, so that they are known on the open sea too


@dataclass(frozen=True)
class BaseSample:
    """The base at places of any shape ``(...)``, float64.

    Args:
        relief: mean height of the ground over about 10 km [m]; 0 at sea.
        roughness: root mean square difference of that mean between places 10 km apart [m].
        land: share that is no sea, 0 to 1; lakes are land.
        lake: share under lakes, 0 to 1.
        cover: shares of the IGBP classes ``(17, ...)``, adding up to one; the sea is water.
        climate: shares of the Köppen main groups A to E ``(5, ...)``, adding up to one; known at sea too.
    """

    relief: Array
    roughness: Array
    land: Array
    lake: Array
    cover: Array
    climate: Array


class Base(Protocol):
    """Anything that knows the globe above 5 km."""

    @property
    def name(self) -> str:
        """Short name, for attributes and hashes."""

    @property
    def digest(self) -> str:
        """A hash of the data it holds; empty where it holds none."""

    def sample(self, lon: Array, lat: Array) -> BaseSample:
        """The base at longitudes and latitudes [degrees], both ``(...)``; elementwise."""


@dataclass(frozen=True)
class Knots:
    """A base sampled on the absolute lattice of a zone around a window.

    Args:
        window: the window.
        sample: the base at the knots, ``(h, w)`` or ``(classes, h, w)``.
        lon: longitudes of the knots ``(h, w)`` [degrees].
        lat: latitudes ``(h, w)``.
    """

    window: Window
    sample: BaseSample
    lon: Array
    lat: Array

    @property
    def mesh(self) -> tuple[Array, Array]:
        """Northings and eastings of the knots [m] ``(h,)``, ``(w,)``."""
        rows, columns = _places(self.window)
        height, width = self.lon.shape
        y, x = -(rows[2] + np.arange(height)) * KNOT, (columns[2] + np.arange(width)) * KNOT
        return np.asarray(y, np.float64), np.asarray(x, np.float64)

    def spread(self, values: Array) -> Array:
        """Values at the knots ``(..., h, w)`` joined smoothly over the window ``(..., H, W)``, float64."""
        rows, columns = _places(self.window)
        mesh = (rows[0] - rows[2], rows[1]), (columns[0] - columns[2], columns[1])
        flat = np.asarray(values, np.float64).reshape((-1, *values.shape[-2:]))
        out = np.empty((len(flat), *self.window.shape))
        for number, part in enumerate(flat):
            out[number] = noise.spline(part, *mesh)
        return out.reshape(values.shape[:-2] + out.shape[-2:])


def knots(base: Base, window: Window) -> Knots:
    """Sample a base around a window, to be worked on at the knots and spread over its pixels.

    Args:
        base: the base.
        window: not empty, of any step.
    """
    rows, columns = _places(window)
    y = -np.arange(rows[2], int(rows[0][-1]) + 4) * KNOT
    x = np.arange(columns[2], int(columns[0][-1]) + 4) * KNOT
    lon, lat = window.zone.lonlat(*np.meshgrid(x, y))
    return Knots(window, base.sample(lon, lat), lon, lat)


def _places(window: Window) -> tuple[tuple[Any, Any, int], tuple[Any, Any, int]]:
    """For rows and columns: first of four knots, their weights, and the first knot of all."""
    first_row, weights_y = noise.spline_weights(-window.y, KNOT)
    first_column, weights_x = noise.spline_weights(window.x, KNOT)
    return (first_row, weights_y, int(first_row[0])), (first_column, weights_x, int(first_column[0]))


class BasePlanet:
    """The real globe from a planet directory.

    Args:
        path: what ``swath data make planet`` wrote, at any resolution (0.1 degree is meant); None takes the one in the
            user's cache, and makes it at first use (about a minute, with a notice).

    Raises:
        InputError: the directory is no planet or lacks a layer.
        MissingError: the planet has to be made and its packages are absent; the sentence says what brings them.
    """

    name = "planet"

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else _default_planet()
        land = _layer(self.path, "land")
        cover = _iced(_layer(self.path, "land_cover"), land)
        relief = _filled(_layer(self.path, "elevation"), land)
        self._cell = 180.0 / land.shape[0]
        self._quantities = {
            "relief": _around(relief),
            "roughness": _around(_roughness(relief)),
            "land": _around((land == 1).astype(np.float32)),
            "lake": _around(((land == 1) & (cover == 0)).astype(np.float32)),
        }
        self._cover = _around(cover)
        self._koppen = _around(_layer(self.path, "koppen"))

    @cached_property
    def digest(self) -> str:
        """sha256 of what the planet is made of, from the sums of its layers in its manifest."""
        layers = read_manifest(self.path)["layers"]
        used = {name: layers[name]["sha256"] for name in ("elevation", "koppen", "land", "land_cover")}
        return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()

    def __reduce__(self) -> tuple[type[BasePlanet], tuple[Path]]:
        return BasePlanet, (self.path,)

    def sample(self, lon: Array, lat: Array) -> BaseSample:
        """The globe at places; see ``Base``."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        columns = self._cover.shape[1] - 2 * _MARGIN
        first_row, weights_y = noise.spline_weights((90.0 - lat) / self._cell - 0.5, 1.0)
        first_column, weights_x = noise.spline_weights((lon + 180.0) / self._cell - 0.5, 1.0)
        row, column = first_row + _MARGIN, first_column % columns + _MARGIN
        quantities = {name: np.zeros(lon.shape) for name in self._quantities}
        cover, groups = np.zeros((COVERS, *lon.shape)), np.zeros((GROUPS, *lon.shape))
        for down in range(4):
            for right in range(4):
                place = row + down, column + right
                weight = weights_y[..., down] * weights_x[..., right]
                for name, grid in self._quantities.items():
                    quantities[name] += weight * grid[place]
                _count(cover, self._cover[place], weight)
                _count(groups, self._koppen[place].astype(np.int16) - 1, weight)
        groups += _ZONAL * zonal_climate(lat)
        return BaseSample(**quantities, cover=cover, climate=groups / groups.sum(axis=0))


def zonal_climate(lat: Array) -> Array:
    """Shares of the five climate groups by latitude alone ``(5, ...)``: the zonal mean of a wet planet."""
    distance = np.abs(np.asarray(lat, np.float64))
    tops = (0.0, 25.0, 38.0, 56.0, 75.0)  # degrees at which tropical, arid, temperate, cold and polar lie
    widths = (14.0, 7.0, 8.0, 9.0, 11.0)
    shares = np.stack([np.exp(-(((distance - top) / width) ** 2)) for top, width in zip(tops, widths, strict=True)])
    return np.asarray(shares / shares.sum(axis=0))


_MARGIN = 3  # cells beyond the edges of the grids, for splines; rows beyond a pole are those on its other side


def _around(grid: NDArray[Any]) -> NDArray[Any]:
    """A grid with a margin: columns go round the globe, rows over the poles."""
    half = grid.shape[1] // 2
    north = np.roll(grid[_MARGIN - 1 :: -1], half, axis=1)
    south = np.roll(grid[: -_MARGIN - 1 : -1], half, axis=1)
    tall = np.concatenate([north, grid, south])
    return np.concatenate([tall[:, -_MARGIN:], tall, tall[:, :_MARGIN]], axis=1)


def _count(shares: Array, classes: NDArray[Any], weight: Array) -> None:
    """Add ``weight`` to the share of the class of each place; classes that are none count for nothing."""
    for label in range(len(shares)):
        shares[label] += weight * (classes == label)


def _iced(cover: NDArray[Any], land: NDArray[Any]) -> NDArray[Any]:
    """Land cover in which Antarctica is ice throughout: the source calls its unseen middle water."""
    antarctic = np.arange(cover.shape[0])[:, None] >= cover.shape[0] * 5 // 6
    return np.where(antarctic & (land == 1) & (cover == 0), np.uint8(_ICE), cover)


def _filled(elevation: NDArray[Any], land: NDArray[Any]) -> NDArray[np.float32]:
    """Relief without gaps: unknown land of the far south rises evenly from the last known row to the pole."""
    relief = elevation.astype(np.float32)
    unknown = (elevation == _UNKNOWN) & (land == 1)
    relief[elevation == _UNKNOWN] = 0.0
    if unknown.any():
        first = int(np.flatnonzero(unknown.any(axis=1))[0])
        count = relief.shape[0] - first
        share = ((np.arange(count) + 1.0) / count)[:, None]
        edge = np.maximum(uniform_filter(relief[max(first - 1, 0)], 31, mode="wrap"), 0.0)
        rising = (1.0 - share) * edge[None, :] + share * _POLE_HEIGHT
        relief[first:] = np.where(unknown[first:], rising, relief[first:])
    return relief


def _roughness(relief: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root mean square difference to cells 10 km away [m], averaged over 3 x 3 cells, less the steps of the source.

    Cells are narrower towards the poles; the differences along a row are scaled to 10 km as those of a fractal surface
    with the Hurst exponent 0.75.
    """
    rows = relief.shape[0]
    kilometres = 180.0 / rows * 111.2
    latitude = np.radians(90.0 - (np.arange(rows) + 0.5) * (180.0 / rows))
    down = np.diff(relief, axis=0) ** 2
    vertical = np.concatenate([down[:1], (down[1:] + down[:-1]) / 2.0, down[-1:]])
    right = (relief - np.roll(relief, -1, axis=1)) ** 2
    horizontal = (right + np.roll(right, 1, axis=1)) / 2.0
    scale = np.maximum(np.cos(latitude), 0.05)[:, None] ** -1.5
    square = (vertical + horizontal * scale) / 2.0 * (10.0 / kilometres) ** 1.5
    square = uniform_filter(square, 3, mode=("nearest", "wrap"))
    return np.sqrt(np.maximum(square - _QUANTISATION, 0.0)).astype(np.float32)


def _layer(path: Path, name: str) -> NDArray[Any]:
    file = path / f"{name}.tif"
    read_manifest(path)
    try:
        with rasterio.open(file) as raster:
            return np.asarray(raster.read(1))
    except rasterio.errors.RasterioError as error:
        raise InputError(
            f"The layer {file} of the planet cannot be read ({error})",
            expected="a planet with elevation, land_cover, koppen and land",
            remedy=f"make it again: swath data make planet --out {path}",
        ) from error


def _default_planet() -> Path:
    path = cache_directory().parent / f"planet-{RESOLUTION:g}"
    if not (path / MANIFEST).is_file():
        print(f"Making the planet in {path} (once, about a minute)", file=sys.stderr, flush=True)
        make(path, resolution=RESOLUTION)
    return path
