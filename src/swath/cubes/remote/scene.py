"""Open scenes whose files lie on web servers, lazily, and only where a box is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import xarray as xr

from swath.cubes import scene
from swath.cubes.assemble import Options
from swath.cubes.raster import RasterFile
from swath.cubes.remote.connection import Connection
from swath.cubes.remote.index import HeaderIndex
from swath.cubes.remote.many import probe_all
from swath.cubes.remote.part import Bounds, parts_in

if TYPE_CHECKING:
    from swath.cubes.catalogue import Item


def open_files(
    places: Sequence[str],
    options: Options,
    *,
    bbox: Bounds | None = None,
    beside: Sequence[str] = (),
    connection: Connection | None = None,
    index: HeaderIndex | None = None,
    cut: Callable[[RasterFile], RasterFile] | None = None,
) -> xr.DataTree:
    """Files of one date as a scene, from servers or from disk; no pixel is read yet.

    Args:
        places: addresses and paths.
        options: how they are to be read.
        bbox: west, south, east, north [degrees]: only the part of each file that covers it; None = all.
        beside: other files of the scene: the parts of all of them nest, whichever are opened.
        connection: how servers are asked; an open one when left out.
        index: where headers are kept; the user's when left out.
        cut: makes of each file what is to be read of it, such as a sheet of windows.

    Raises:
        InputError: as ``cubes.open``, or the box lies outside a file.
        MissingError: a server cannot be reached or refuses.
    """
    others = [place for place in beside if place not in places] if bbox is not None else []
    known = probe_all([*places, *others], connection, index)
    found = known[: len(places)]
    if bbox is not None:
        found = parts_in(found, bbox, known)
    if cut is not None:
        found = [cut(file) for file in found]
    return scene.scene_of(found, options, places[0] if len(places) == 1 else f"{len(places)} files")


def open_item(
    item: Item, bands: Sequence[str] | None = None, bbox: Bounds | None = None, *, only_clear: bool = False
) -> xr.DataTree:
    """The scene of an item that a search of an archive found: ``catalogue.load`` with the box first.

    Args:
        item: from ``catalogue.search``.
        bands: names or aliases of bands or assets; all data assets when left out.
        bbox: west, south, east, north [degrees]; None = the whole scene.
        only_clear: whether pixels that the quality asset calls cloud, shadow or fill become invalid.

    Raises:
        InputError: as ``catalogue.load``.
        MissingError: a server cannot be reached or refuses.
    """
    from swath.cubes import catalogue  # it opens its rasters with this module

    return catalogue.load(item, bands=bands, bbox=bbox, only_clear=only_clear)
