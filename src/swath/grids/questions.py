"""The questions that every grid answers."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.errors import ContractError
from swath.grids import geobox, healpix
from swath.grids.box import Box
from swath.grids.healpix import HealPix
from swath.grids.latlon import LatLon
from swath.grids.sphere import EARTH_RADIUS_M, METRES_PER_DEGREE

Grid: TypeAlias = GeoBox | LatLon | HealPix | Box


def shape(grid: Grid) -> tuple[int, ...]:
    """(H, W), or (12, nside, nside) for HEALPix."""
    if isinstance(grid, GeoBox):
        return int(grid.shape.y), int(grid.shape.x)
    if isinstance(grid, LatLon | HealPix | Box):
        return grid.shape
    raise _unknown(grid)


def has_faces(grid: Grid) -> bool:
    """Whether arrays on the grid carry a face axis (HEALPix alone does)."""
    if isinstance(grid, GeoBox | LatLon | HealPix | Box):
        return isinstance(grid, HealPix)
    raise _unknown(grid)


def lonlat(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of cell centres in degrees, each float64 of the grid's shape.

    Longitudes are as the grid has them for ``LatLon`` and geographic GeoBoxes, in [-180, 180) for HEALPix.

    Raises:
        ContractError: the grid lies nowhere on Earth (a periodic box, or a GeoBox without CRS).
    """
    if isinstance(grid, GeoBox):
        return geobox.lonlat(grid)
    if isinstance(grid, LatLon):
        lon, lat = np.meshgrid(np.asarray(grid.lon), np.asarray(grid.lat))
        return lon, lat
    if isinstance(grid, HealPix):
        lon, lat = healpix.centres(grid.nside)
        return lon.copy(), lat.copy()
    if not isinstance(grid, Box):
        raise _unknown(grid)
    raise ContractError(
        "A periodic box has no longitude and latitude",
        expected="a grid on Earth: GeoBox, LatLon or HealPix",
        remedy="use Box.coordinates() for positions inside the box",
    )


def gsd_m(grid: Grid) -> float:
    """Size of a cell in the y direction at the centre of the grid, in metres; 0 for a point, which has no extent.

    HEALPix gives the square root of the cell area.
    """
    if isinstance(grid, GeoBox):
        return geobox.gsd_m(grid)
    if isinstance(grid, LatLon):
        middle = grid.shape[0] // 2
        return float(abs(np.diff(grid.lat_edges))[middle] * METRES_PER_DEGREE)
    if isinstance(grid, HealPix):
        return EARTH_RADIUS_M * math.sqrt(4.0 * math.pi / grid.cells)
    if isinstance(grid, Box):
        return grid.spacing_m[0]
    raise _unknown(grid)


def cell_area_m2(grid: Grid) -> NDArray[np.float64]:
    """Area of each cell in square metres, float64 of the grid's shape; 0 for a point.

    GeoBox: see ``geobox.cell_area_m2``. LatLon and HEALPix: exact on the sphere of equal area.
    """
    if isinstance(grid, GeoBox):
        return geobox.cell_area_m2(grid)
    if isinstance(grid, LatLon):
        return grid.cell_areas()
    if isinstance(grid, HealPix):
        return np.full(grid.shape, 4.0 * math.pi * EARTH_RADIUS_M**2 / grid.cells)
    if isinstance(grid, Box):
        return np.full(grid.shape, math.prod(grid.spacing_m))
    raise _unknown(grid)


def is_global(grid: Grid) -> bool:
    """Whether going east along a row comes back to its start on Earth (a periodic box is not on Earth)."""
    if isinstance(grid, GeoBox):
        return geobox.is_global(grid)
    if isinstance(grid, LatLon):
        return grid.cyclic
    return has_faces(grid)


def describe(grid: Grid) -> str:
    """One line for people: kind, size, resolution and extent."""
    if isinstance(grid, GeoBox):
        return geobox.describe(grid)
    if isinstance(grid, LatLon):
        if grid.shape == (1, 1):
            return f"point at longitude {grid.lon[0]:g}, latitude {grid.lat[0]:g}"
        around = ", around the globe" if grid.cyclic else ""
        return (
            f"{grid.shape[0]} x {grid.shape[1]} latitude-longitude cells, "
            f"latitude {grid.lat[0]:g} to {grid.lat[-1]:g}, longitude {grid.lon[0]:g} to {grid.lon[-1]:g}{around}"
        )
    if isinstance(grid, HealPix):
        return f"HEALPix sphere of {grid.cells} cells (nside {grid.nside}, {grid.order})"
    if isinstance(grid, Box):
        return f"{grid.shape[0]} x {grid.shape[1]} periodic box of {grid.length_m[0]:g} x {grid.length_m[1]:g} m"
    raise _unknown(grid)


def _unknown(grid: object) -> ContractError:
    return ContractError(
        f"A grid was expected and a {type(grid).__name__} was given",
        expected="a GeoBox, LatLon, HealPix or Box",
        remedy="for rasters take cube.odc.geobox",
    )
