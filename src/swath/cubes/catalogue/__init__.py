"""Scenes by STAC items: search catalogues, saved searches and archives; load scenes, copy them, write catalogues.

A catalogue is a tree of JSON files (SpatioTemporal Asset Catalog 1.0 and 1.1) beside the rasters that they describe.
Archives are servers with the same items (STAC API); their files are read by ranges (``cubes.remote``) or copied.
"""

from __future__ import annotations

from swath.cubes.catalogue.archives import archive, connect
from swath.cubes.catalogue.archives import names as archive_names
from swath.cubes.catalogue.fetch import Copied, fetch
from swath.cubes.catalogue.items import Asset, Item, read_item, walk
from swath.cubes.catalogue.load import load, load_many
from swath.cubes.catalogue.saved import save
from swath.cubes.catalogue.search import search, why_nothing
from swath.cubes.catalogue.write import ItemFiles, write_catalogue, write_item

__all__ = [
    "Asset",
    "Copied",
    "Item",
    "ItemFiles",
    "archive",
    "archive_names",
    "connect",
    "fetch",
    "load",
    "load_many",
    "read_item",
    "save",
    "search",
    "walk",
    "why_nothing",
    "write_catalogue",
    "write_item",
]
