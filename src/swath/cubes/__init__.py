"""Scenes in and out: open, align, scale, rasterise, write.

A scene is an ``xarray.DataTree`` with one cube per native grid; a cube is a Dataset with ``data`` (time, band, y, x)
and the boolean ``valid``; see docs/architecture.md.
"""

from __future__ import annotations

from swath.cubes.align import to_cube
from swath.cubes.cog import CogWriter, read_legend, write_cog
from swath.cubes.cube import as_cube, bands_of, geobox_of, make_cube, nodes_of, require_valid, same_grid
from swath.cubes.labels import read_labels
from swath.cubes.legend import Legend, LegendEntry, legend_from_colours
from swath.cubes.physical import check_physical, is_physical, to_physical
from swath.cubes.quicklook import quicklook
from swath.cubes.scene import open
from swath.cubes.store_write import write_store
from swath.cubes.summary import summary
from swath.cubes.vectors import rasterise, rasterise_ids, vector_classes

__all__ = [
    "CogWriter",
    "Legend",
    "LegendEntry",
    "as_cube",
    "bands_of",
    "check_physical",
    "geobox_of",
    "is_physical",
    "legend_from_colours",
    "make_cube",
    "nodes_of",
    "open",
    "quicklook",
    "rasterise",
    "rasterise_ids",
    "read_labels",
    "read_legend",
    "require_valid",
    "same_grid",
    "summary",
    "to_cube",
    "to_physical",
    "vector_classes",
    "write_cog",
    "write_store",
]
