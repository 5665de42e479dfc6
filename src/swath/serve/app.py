"""The web application: one page, tiles of registered layers, values at a place.

Everything the page needs comes from this server, and the browser is told to refuse the rest. Clients name layers by
their id; where the rasters lie is never said.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathPart
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BeforeValidator
from rasterio.errors import RasterioError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from swath.errors import nearest
from swath.serve.found import collection_at
from swath.serve.tiles import MAX_ZOOM, RasterLayer

STATIC = Path(__file__).parent / "static"
LOG = logging.getLogger("swath.serve")

# The browser is held to this origin. MapLibre draws decoded images through blob: and data: addresses.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
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
Cell = Annotated[int, PathPart(ge=0)]


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


class LayerShelf:
    """The layers of a directory or of one map, open for reading."""

    def __init__(self, place: str | os.PathLike[str]) -> None:
        directory, collection = collection_at(place)
        self.title = collection.title
        self._layers = {layer.id: RasterLayer(layer, directory) for layer in collection.layers}

    def __iter__(self) -> Iterator[RasterLayer]:
        return iter(self._layers.values())

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, name: str) -> RasterLayer:
        found = self._layers.get(name)
        if found is None:
            known = nearest(name, self._layers)
            raise HTTPException(404, f"There is no layer '{name}'." + (f" Known layers: {known}." if known else ""))
        return found

    def close(self) -> None:
        """Close all files."""
        for raster in self:
            raster.close()


def create_app(directory: str | os.PathLike[str]) -> FastAPI:
    """The application for the layers of one directory, or for one GeoTIFF.

    The number of layers is in ``app.state.layers``.

    Raises:
        InputError: the directory, its ``layers.json`` or a listed raster cannot be used.
    """
    shelf = LayerShelf(directory)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        shelf.close()

    # The framework's own pages load scripts from elsewhere, so they stay off.
    app = FastAPI(title=shelf.title, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.layers = len(shelf)
    _add_guards(app)
    _add_page(app)
    _add_descriptions(app, shelf)
    _add_readings(app, shelf)
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
        return {"title": shelf.title, "layers": [_describe(raster) for raster in shelf]}

    @app.get("/api/layers/{name}/tilejson")
    def tilejson(name: str, request: Request, size: TileSize = 512) -> dict[str, Any]:
        raster = shelf[name]
        west, south, east, north = raster.bounds
        return {
            "tilejson": "3.0.0",
            "name": raster.layer.title,
            "attribution": raster.layer.attribution,
            "scheme": "xyz",
            "tiles": [str(request.base_url).rstrip("/") + _tile_address(raster) + f"&size={size}"],
            "bounds": [west, south, east if east >= west else east + 360.0, north],
            "minzoom": 0,
            "maxzoom": raster.max_zoom,
        }


def _add_readings(app: FastAPI, shelf: LayerShelf) -> None:
    # Plain functions: the framework runs them in threads, so reading never blocks other requests.
    @app.get("/tiles/{name}/{z}/{x}/{y}.png")
    def tile(name: str, z: Zoom, x: Cell, y: Cell, request: Request, size: TileSize = 256, v: str = "") -> Response:
        raster = shelf[name]
        if x >= 2**z or y >= 2**z:
            raise HTTPException(404, f"There is no tile {z}/{x}/{y}: at zoom {z}, x and y end at {2**z - 1}.")
        current = _reading(raster, lambda: raster.version)
        tag = f'"{current}-{size}"'
        fresh = "private, max-age=31536000, immutable" if v == current else "no-cache"
        headers = {"etag": tag, "cache-control": fresh}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        image = _reading(raster, lambda: raster.tile(z, x, y, size))
        return Response(image, media_type="image/png", headers=headers)

    @app.get("/api/value")
    def value(
        lon: Annotated[float, Query(ge=-1e6, le=1e6, allow_inf_nan=False)],
        lat: Annotated[float, Query(ge=-90.0, le=90.0, allow_inf_nan=False)],
    ) -> dict[str, Any]:
        wrapped = lon if -180.0 <= lon <= 180.0 else (lon + 180.0) % 360.0 - 180.0
        readings = [_reading(raster, partial(raster.value, wrapped, lat)) for raster in shelf]
        return {"lon": wrapped, "lat": lat, "layers": readings}


def _reading(raster: RasterLayer, action: Callable[[], Any]) -> Any:
    """Do something with a raster; clients learn that it failed, the log learns why."""
    try:
        return action()
    except (RasterioError, OSError):
        LOG.exception("layer %s cannot be read", raster.layer.id)
        raise HTTPException(
            503, f"The layer '{raster.layer.id}' cannot be read at the moment; the log of the server says why."
        ) from None


def _describe(raster: RasterLayer) -> dict[str, Any]:
    fields = raster.layer.model_dump(mode="json", exclude={"path", "bands", "colormap"})
    return fields | {
        "bounds": raster.bounds,
        "max_zoom": raster.max_zoom,
        "colours": raster.colours,
        "tiles": _reading(raster, lambda: _tile_address(raster)),
    }


def _tile_address(raster: RasterLayer) -> str:
    return f"/tiles/{raster.layer.id}/{{z}}/{{x}}/{{y}}.png?v={raster.version}"


def _add_guards(app: FastAPI) -> None:
    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await proceed(request)
        for name, content in SECURITY.items():
            response.headers[name] = content
        response.headers.setdefault("cache-control", "no-store")
        return response

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        name = str(problem["loc"][-1])
        return JSONResponse({"error": f"The value of '{name}' cannot be used: {problem['msg']}."}, status_code=422)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "The server failed; its log says why."}, status_code=500)
