"""Tile server and web map: a directory of rasters, described by ``layers.json`` or by themselves, becomes a page.

Importing this room is light; the web framework is loaded when a server is made.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from swath.errors import require
from swath.serve.layers import Layer, LayerSet, LegendEntry, read_layers, write_layers
from swath.serve.run import free_port, run

if TYPE_CHECKING:
    from fastapi import FastAPI

    from swath.serve.site import SiteReport

__all__ = [
    "Layer",
    "LayerSet",
    "LegendEntry",
    "create_app",
    "free_port",
    "layers_of",
    "read_layers",
    "run",
    "write_layers",
    "write_site",
]


def create_app(directory: str | os.PathLike[str], hosts: Collection[str] = ()) -> FastAPI:
    """The web application that shows the layers of a directory, or one GeoTIFF; for any ASGI server.

    Args:
        directory: what to show.
        hosts: names under which the server may be asked, besides those of this machine alone; ``*`` takes every name.

    Raises:
        InputError: the directory, its ``layers.json`` or a listed raster cannot be used.
        MissingError: the extra ``serve`` is not installed.
    """
    for module in ("fastapi", "rio_tiler"):
        require(module, "serve")
    from swath.serve.app import create_app as create
    from swath.serve.guard import LOOPBACK

    return create(directory, {*LOOPBACK, *hosts})


def layers_of(directory: str | os.PathLike[str]) -> tuple[Layer, ...]:
    """The layers of a directory: those of its ``layers.json``, else what the GeoTIFFs in it say about themselves.

    Raises:
        InputError: the directory is missing, or its ``layers.json`` cannot be used.
    """
    from swath.serve.found import layers_of as found

    return found(directory)


def write_site(place: str | os.PathLike[str], out: str | os.PathLike[str], *, title: str | None = None) -> SiteReport:
    """Write a map that needs no server program: a folder of plain files for any static host.

    Args:
        place: a folder of maps, or one GeoTIFF.
        out: folder of the site; it appears whole or not at all.
        title: title of the page.

    Raises:
        InputError: there is nothing to show.
        ConfigError: ``out`` holds something that is no site.
    """
    from swath.serve.site import write_site as write

    return write(place, out, title=title)
