"""A small STAC API (core, item search, query, paging by POST) over a list of items, beside files that it serves."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from shapely.geometry import box, shape

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
]


class StacServer:
    """Answers ``/`` and ``/search``; ``faults`` are statuses that are given first, with Retry-After 1.

    Args:
        items: GeoJSON features.
        page: most items of a page, whatever the client asks for.
        get: whether pages are to be asked for by GET.
    """

    def __init__(self, items: list[dict[str, Any]], page: int = 2, get: bool = False) -> None:
        self.items, self.page, self.get = items, page, get
        self.faults: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self.loop = False
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)  # who is faster than the server waits for it
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self._app(), log_level="critical", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def fail(request: Request, go_on: Any) -> Any:
            if self.faults:
                return JSONResponse({"description": "busy"}, self.faults.pop(0), {"Retry-After": "1"})
            return await go_on(request)

        @app.get("/")
        def root() -> dict[str, Any]:
            links = [
                {"rel": "search", "href": f"{self.address}/search", "method": method} for method in ("GET", "POST")
            ]
            return {"type": "Catalog", "stac_version": "1.0.0", "id": "x", "conformsTo": CONFORMS, "links": links}

        @app.post("/search")
        async def search(request: Request) -> dict[str, Any]:
            return self._page(json.loads(await request.body()))

        @app.get("/search")
        def search_by_get(request: Request) -> dict[str, Any]:
            return self._page(json.loads(request.query_params["q"]))

        return app

    def _page(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(wanted)
        found = [item for item in self.items if _fits(item, wanted)]
        start = int(wanted.get("token", 0))
        stop = start + min(self.page, int(wanted.get("limit", 10)))
        links: list[dict[str, Any]] = []
        if stop < len(found) or self.loop:
            token = 0 if self.loop else stop
            if self.get:
                links.append({"rel": "next", "href": f"/search?q={json.dumps(wanted | {'token': token})}"})
            else:
                links.append(
                    {
                        "rel": "next",
                        "href": f"{self.address}/search",
                        "method": "POST",
                        "merge": True,
                        "body": {"token": token},
                    }
                )
        return {"type": "FeatureCollection", "features": found[start:stop], "links": links}


def _fits(item: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if wanted.get("collections") and item["collection"] not in wanted["collections"]:
        return False
    if wanted.get("ids") and item["id"] not in wanted["ids"]:
        return False
    if wanted.get("bbox") and not shape(item["geometry"]).intersects(box(*wanted["bbox"])):
        return False
    if wanted.get("datetime"):
        start, end = wanted["datetime"].split("/")
        when = np.datetime64(item["properties"]["datetime"].rstrip("Z"))
        if start != ".." and when < np.datetime64(start.rstrip("Z")):
            return False
        if end != ".." and when > np.datetime64(end.rstrip("Z")):
            return False
    limit = wanted.get("query", {}).get("eo:cloud_cover", {}).get("lte")
    return limit is None or item["properties"]["eo:cloud_cover"] <= limit
