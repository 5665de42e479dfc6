"""The web application: one page, tiles of registered layers, values at a place.

Everything the page needs comes from this server, and the browser is told to refuse the rest. Clients name layers by
their id; where the rasters lie is never said.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathPart
from fastapi.responses import FileResponse
from pydantic import BeforeValidator
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from swath.serve.areas import add_areas, add_downloads
from swath.serve.guard import LOOPBACK, Guard, add_sentences, only_known_parameters
from swath.serve.shelf import LayerShelf, reading, tile_address, tile_version
from swath.serve.tiles import MAX_ZOOM
from swath.serve.work import Desk

STATIC = Path(__file__).parent / "static"

# Python's table of types depends on the machine; a module script is refused unless its type is right.
MEDIA_TYPES = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".txt": "text/plain",
}

Zoom = Annotated[int, PathPart(ge=0, le=MAX_ZOOM)]
TileSize = Annotated[Literal[256, 512], BeforeValidator(int)]  # addresses hold text, and a literal does not convert
Cell = Annotated[int, PathPart(ge=0, lt=2**MAX_ZOOM)]


class PageFiles(StaticFiles):
    """The files of the page with media types that do not depend on the machine."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """One file; browsers ask again whether it has changed."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        kind = MEDIA_TYPES.get(Path(full_path).suffix)
        if kind and "content-type" in response.headers:
            response.headers["content-type"] = f"{kind}; charset=utf-8"
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(directory: str | os.PathLike[str], hosts: Collection[str] = LOOPBACK) -> FastAPI:
    """The application for the layers of one directory, or for one GeoTIFF.

    The number of layers is in ``app.state.layers``.

    Args:
        directory: what to show.
        hosts: names under which the server may be asked; ``*`` takes every name.

    Raises:
        InputError: the directory, its ``layers.json`` or a listed raster cannot be used.
    """
    shelf = LayerShelf(directory)
    desk = Desk()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        shelf.close()

    # The framework's own pages load scripts from elsewhere, so they stay off.
    app = FastAPI(
        title=shelf.title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        dependencies=[Depends(only_known_parameters)],
    )
    app.state.layers = len(shelf)
    app.state.desk = desk
    app.add_middleware(Guard, hosts=frozenset(hosts))
    add_sentences(app)
    _add_page(app)
    _add_descriptions(app, shelf)
    _add_readings(app, shelf, desk)
    add_areas(app, shelf, desk)
    add_downloads(app, shelf)
    return app


def _add_page(app: FastAPI) -> None:
    app.mount("/static", PageFiles(directory=STATIC), name="static")

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html", headers={"cache-control": "no-cache"})

    @app.get("/api/health")
    def health() -> dict[str, str]:
        try:
            return {"status": "ok", "version": version("swath")}
        except PackageNotFoundError:
            return {"status": "ok", "version": "unknown"}


def _add_descriptions(app: FastAPI, shelf: LayerShelf) -> None:
    @app.get("/api/layers")
    def layers() -> dict[str, Any]:
        return {"title": shelf.title, "layers": [shelf.describe(raster) for raster in shelf]}

    @app.get("/api/layers/{name}/tilejson")
    def tilejson(name: str, request: Request, size: TileSize = 512) -> dict[str, Any]:
        raster = shelf[name]
        west, south, east, north = raster.bounds
        return {
            "tilejson": "3.0.0",
            "name": raster.layer.title,
            "attribution": raster.layer.attribution,
            "scheme": "xyz",
            "tiles": [str(request.base_url).rstrip("/") + tile_address(raster) + f"&size={size}"],
            "bounds": [west, south, east if east >= west else east + 360.0, north],
            "minzoom": 0,
            "maxzoom": raster.max_zoom,
        }


def _add_readings(app: FastAPI, shelf: LayerShelf, desk: Desk) -> None:
    # Reading happens in a few threads, so it never blocks other requests.
    @app.get("/tiles/{name}/{z}/{x}/{y}.png")
    async def tile(tile: Annotated[_Tile, Depends()], request: Request) -> Response:
        raster = shelf[tile.name]
        last = 2**tile.z - 1
        if tile.x > last or tile.y > last:
            sentence = f"There is no tile {tile.z}/{tile.x}/{tile.y}: at zoom {tile.z}, x and y end at {last}."
            raise HTTPException(404, sentence)
        certainty = shelf.certainty(raster) if tile.fade else None
        current = reading(raster, lambda: tile_version(raster, certainty))
        tag = f'"{current}-{tile.size}"'
        fresh = "private, max-age=31536000, immutable" if tile.v == current else "no-cache"
        headers = {"etag": tag, "cache-control": fresh}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        place = tile.z, tile.x, tile.y, tile.size
        drawn = partial(reading, raster, lambda: raster.tile(*place, certainty))
        image = await desk.tile((tile.name, current, *place), request, drawn)
        return Response(image, media_type="image/png", headers=headers)

    @app.get("/api/value")
    async def value(
        lon: Annotated[float, Query(ge=-1e6, le=1e6, allow_inf_nan=False)],
        lat: Annotated[float, Query(ge=-90.0, le=90.0, allow_inf_nan=False)],
    ) -> dict[str, Any]:
        wrapped = lon if -180.0 <= lon <= 180.0 else (lon + 180.0) % 360.0 - 180.0

        def read() -> list[dict[str, Any]]:
            return [reading(raster, partial(raster.value, wrapped, lat)) for raster in shelf]

        return {"lon": wrapped, "lat": lat, "layers": await desk.read(read)}


@dataclass(frozen=True)
class _Tile:
    """What the address of a tile says; ``fade`` draws unsure pixels fainter, ``v`` is the version that was seen."""

    name: str
    z: Zoom
    x: Cell
    y: Cell
    size: TileSize = 256
    v: str = ""
    fade: bool = False
