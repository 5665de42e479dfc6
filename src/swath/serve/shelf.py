"""The layers of a directory or of one map, open for reading."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import HTTPException
from rasterio.errors import RasterioError

from swath.errors import SwathError, nearest
from swath.serve.estimates import has_estimates
from swath.serve.found import collection_at
from swath.serve.handles import Handles
from swath.serve.places import Refused
from swath.serve.tiles import RasterLayer

LOG = logging.getLogger("swath.serve")

FADES_BY = ("confidence", "entropy", "std", "spread", "disagreement", "dissimilarity", "applicability", "set_size")
"""Which measure fades a map when it has several, best first."""


class LayerShelf:
    """Layers by id; a name that is not there is answered with a sentence.

    Args:
        place: a directory, or one GeoTIFF.

    Raises:
        InputError: the directory, its ``layers.json`` or a listed raster cannot be used.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        directory, collection = collection_at(place)
        self.title = collection.title
        handles = Handles()
        self._layers = {layer.id: RasterLayer(layer, directory, handles) for layer in collection.layers}

    def __iter__(self) -> Iterator[RasterLayer]:
        return iter(self._layers.values())

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, name: str) -> RasterLayer:
        found = self._layers.get(name)
        if found is None:
            known = nearest(name[:80], self._layers)
            shown = name if len(name) <= 80 else name[:80] + "..."
            raise HTTPException(404, f"There is no layer '{shown}'." + (f" Known layers: {known}." if known else ""))
        return found

    def certainty(self, raster: RasterLayer) -> RasterLayer | None:
        """The layer that tells best how certain another one is, if there is one."""
        told = {
            other.layer.measure: other for other in self if other.layer.of == raster.layer.id and other is not raster
        }
        return next((told[measure] for measure in FADES_BY if measure in told), None)

    def describe(self, raster: RasterLayer) -> dict[str, Any]:
        """What the page needs to know of a layer; where its raster lies is not part of it."""
        fields = raster.layer.model_dump(mode="json", exclude={"path", "bands", "colormap"})
        certainty = self.certainty(raster)
        return fields | {
            "bounds": raster.bounds,
            "max_zoom": raster.max_zoom,
            "colours": raster.colours,
            "tiles": reading(raster, lambda: tile_address(raster)),
            "fades_by": None if certainty is None else certainty.layer.id,
            "faded_tiles": None if certainty is None else reading(raster, lambda: tile_address(raster, certainty)),
            "estimates": reading(raster, lambda: has_estimates(raster.path)),
        }

    def close(self) -> None:
        """Close all files."""
        for raster in self:
            raster.close()


def tile_address(raster: RasterLayer, certainty: RasterLayer | None = None) -> str:
    """Where the tiles of a layer are, for clients to fill in; with another layer, faded where that is unsure."""
    fade = "" if certainty is None else "&fade=true"
    return f"/tiles/{raster.layer.id}/{{z}}/{{x}}/{{y}}.png?v={tile_version(raster, certainty)}{fade}"


def tile_version(raster: RasterLayer, certainty: RasterLayer | None = None) -> str:
    """Changes when the tiles do."""
    return raster.version if certainty is None else f"{raster.version}-{certainty.version}"


def reading(raster: RasterLayer, action: Callable[[], Any]) -> Any:
    """Do something with a raster; clients learn that it failed, the log learns why."""
    try:
        return action()
    except (HTTPException, Refused):
        raise
    except (RasterioError, OSError, SwathError, MemoryError):
        LOG.exception("layer %s cannot be read", raster.layer.id)
        raise HTTPException(
            503, f"The layer '{raster.layer.id}' cannot be read at the moment; the log of the server says why."
        ) from None
