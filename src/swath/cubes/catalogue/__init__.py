"""Static STAC catalogues on disk: search them, load scenes from them, write them.

A catalogue is a tree of JSON files (SpatioTemporal Asset Catalog 1.0 and 1.1) beside the rasters that they describe.
"""

from __future__ import annotations

from swath.cubes.catalogue.items import Asset, Item, read_item, walk
from swath.cubes.catalogue.load import load, load_many
from swath.cubes.catalogue.search import search
from swath.cubes.catalogue.write import ItemFiles, write_catalogue, write_item

__all__ = [
    "Asset",
    "Item",
    "ItemFiles",
    "load",
    "load_many",
    "read_item",
    "search",
    "walk",
    "write_catalogue",
    "write_item",
]
