"""Where a number is: rectangles on a map, latitude-longitude meshes, HEALPix spheres and periodic boxes.

``Grid = GeoBox | LatLon | HealPix | Box``; the functions below answer the same questions for each of them.
"""

from __future__ import annotations

from odc.geo.geobox import GeoBox

from swath.grids.box import Box
from swath.grids.healpix import HealPix
from swath.grids.latlon import AxisOrder, LatLon, normalise
from swath.grids.overlap import overlap
from swath.grids.questions import Grid, cell_area_m2, describe, gsd_m, has_faces, is_global, lonlat, shape

__all__ = [
    "AxisOrder",
    "Box",
    "GeoBox",
    "Grid",
    "HealPix",
    "LatLon",
    "cell_area_m2",
    "describe",
    "gsd_m",
    "has_faces",
    "is_global",
    "lonlat",
    "normalise",
    "overlap",
    "shape",
]
