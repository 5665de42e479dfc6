"""Tile server and web map: a directory of rasters, described by ``layers.json`` or by themselves, becomes a page.

Importing this room is light; the web framework is loaded when a server is made.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from swath.errors import require
from swath.serve.layers import Layer, LayerSet, LegendEntry, read_layers, write_layers
from swath.serve.run import free_port, run

if TYPE_CHECKING:
    from fastapi import FastAPI

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
]


def create_app(directory: str | os.PathLike[str]) -> FastAPI:
    """The web application that shows the layers of a directory, or one GeoTIFF; for any ASGI server.

    Raises:
        InputError: the directory, its ``layers.json`` or a listed raster cannot be used.
        MissingError: the extra ``serve`` is not installed.
    """
    for module in ("fastapi", "rio_tiler"):
        require(module, "serve")
    from swath.serve.app import create_app as create

    return create(directory)


def layers_of(directory: str | os.PathLike[str]) -> tuple[Layer, ...]:
    """The layers of a directory: those of its ``layers.json``, else what the GeoTIFFs in it say about themselves.

    Raises:
        InputError: the directory is missing, or its ``layers.json`` cannot be used.
    """
    from swath.serve.found import layers_of as found

    return found(directory)
