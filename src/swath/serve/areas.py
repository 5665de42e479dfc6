"""Addresses for a drawn area and for downloads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

from swath.serve.analyse import analyse
from swath.serve.download import clip, polygons
from swath.serve.estimates import read_estimates
from swath.serve.guard import json_body
from swath.serve.places import Question, read_question
from swath.serve.shelf import LayerShelf, reading
from swath.serve.tiles import RasterLayer
from swath.serve.work import Desk

KINDS = {".tif": "image/tiff", ".tiff": "image/tiff", ".png": "image/png", ".jp2": "image/jp2", ".jpg": "image/jpeg"}


def add_areas(app: FastAPI, shelf: LayerShelf, desk: Desk) -> None:
    """``POST /analyse``, ``/clip`` and ``/polygons``: each takes ``{"layer": ID, "area": GEOJSON}``."""

    async def answer(request: Request, action: Callable[[RasterLayer, Question], Any]) -> tuple[RasterLayer, Any]:
        body = await json_body(request)

        def work() -> tuple[RasterLayer, Any]:
            question = read_question(body)
            raster = shelf[question.layer]
            return raster, reading(raster, lambda: action(raster, question))

        return await desk.large(work)

    @app.post("/analyse")
    async def analysed(request: Request) -> JSONResponse:
        _, found = await answer(request, analyse)
        return JSONResponse(found)

    @app.post("/polygons")
    async def outlined(request: Request) -> Response:
        raster, found = await answer(request, polygons)
        headers = {"content-disposition": f'attachment; filename="{raster.layer.id}_area.geojson"'}
        return JSONResponse(found, headers=headers, media_type="application/geo+json")

    @app.post("/clip")
    async def clipped(request: Request) -> FileResponse:
        raster, path = await answer(request, _clipped)
        gone = BackgroundTask(shutil.rmtree, path.parent, ignore_errors=True)
        return FileResponse(path, media_type="image/tiff", filename=f"{raster.layer.id}_area.tif", background=gone)


def add_downloads(app: FastAPI, shelf: LayerShelf) -> None:
    """``GET /layers/ID/download`` (the file itself) and ``/layers/ID/estimates`` (areas with intervals)."""

    @app.api_route("/layers/{name}/download", methods=["GET", "HEAD"])
    def whole(name: str) -> FileResponse:
        raster = shelf[name]
        path: Path = reading(raster, lambda: raster.path)
        suffix = path.suffix.lower()
        # The name of the file itself stays here; that of the layer is public.
        return FileResponse(
            path.resolve(),
            media_type=KINDS.get(suffix, "application/octet-stream"),
            filename=name + (suffix if suffix in KINDS else ""),
            headers={"cache-control": "no-cache"},
        )

    @app.get("/layers/{name}/estimates")
    def estimated(name: str) -> dict[str, Any]:
        raster = shelf[name]
        found: dict[str, Any] | None = reading(raster, lambda: read_estimates(raster.path))
        if found is None:
            raise HTTPException(404, f"There are no area estimates of the layer '{name}'.")
        return found


def _clipped(raster: RasterLayer, question: Question) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="swath-clip-"))
    try:
        return clip(raster, question, folder / "area.tif")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
