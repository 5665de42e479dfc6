"""Fifty clients ask one server for tiles at once: are the pixels right, and how long does a client wait?

Run ``python bench/tiles.py``. A made-up map of classes on the grid of web tiles is served by the real server in a
process of its own. Every client keeps one connection and asks for tiles in an order of its own. Each answer is
compared with the numbers that were written, coloured here without the code of the server.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.transform import Affine

from swath import cubes

ZOOM, FIRST, SIDE = 10, (540, 350), 256  # the zoom at which pixels of map and tile agree; its first tile (x, y)
HALF_WORLD = 20037508.342789244
COLOURS = {1: (17, 119, 51), 2: (221, 204, 119), 3: (51, 34, 136), 4: (204, 102, 119)}


@dataclass(frozen=True)
class Result:
    """Waiting time of every answer [s], and what went wrong."""

    seconds: NDArray[np.float64]
    wall: float
    errors: tuple[str, ...]


def write_map(folder: Path, tiles: int) -> NDArray[np.uint8]:
    """Write a map of classes as wide and high as some tiles; returns its numbers (y, x), 0 = no data."""
    size = tiles * SIDE
    coarse = np.random.default_rng(11).integers(0, 5, (size // 16, size // 16), dtype=np.uint8)
    noise = np.random.default_rng(12).random((size, size)) < 0.1
    numbers = np.where(noise, 1, np.kron(coarse, np.ones((16, 16), np.uint8))).astype(np.uint8)
    step = 2 * HALF_WORLD / 2**ZOOM / SIDE
    west, north = FIRST[0] * SIDE * step - HALF_WORLD, HALF_WORLD - FIRST[1] * SIDE * step
    box = GeoBox((size, size), Affine(step, 0, west, 0, -step, north), "EPSG:3857")
    entries = [
        cubes.LegendEntry(value, f"class {value}", "#{:02x}{:02x}{:02x}".format(*rgb)) for value, rgb in COLOURS.items()
    ]
    legend = cubes.Legend(tuple(entries))
    cubes.write_cog(folder / "map.tif", numbers[None], box, names=["class"], nodata=0, legend=legend)
    return numbers


def expected(numbers: NDArray[np.uint8], zoom: int, column: int, row: int) -> NDArray[np.uint8]:
    """A tile (y, x, 4) at the zoom of the map or deeper, coloured without the server."""
    factor = 2 ** (zoom - ZOOM)
    at = np.arange(SIDE)
    rows = (row * SIDE + at) // factor - FIRST[1] * SIDE
    columns = (column * SIDE + at) // factor - FIRST[0] * SIDE
    table = np.zeros((256, 4), np.uint8)
    for value, rgb in COLOURS.items():
        table[value] = (*rgb, 255)
    return table[numbers[np.ix_(rows, columns)]]


def ask(port: int, numbers: NDArray[np.uint8], client: int, count: int) -> tuple[list[float], list[str]]:
    """One client: ``count`` tiles over one connection, each compared with what was written."""
    order, tiles = np.random.default_rng(client), len(numbers) // SIDE
    waits: list[float] = []
    errors: list[str] = []
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for _ in range(count):
        zoom = ZOOM + int(order.integers(0, 3))
        span = 2 ** (zoom - ZOOM)
        column, row = (first * span + int(order.integers(0, tiles * span)) for first in FIRST)
        begin = time.perf_counter()
        try:
            line.request("GET", f"/tiles/map/{zoom}/{column}/{row}.png")
            answer = line.getresponse()
            content = answer.read()
        except OSError as error:
            errors.append(f"{type(error).__name__}: {error}")
            line.close()
            continue
        waits.append(time.perf_counter() - begin)
        if answer.status != 200:
            errors.append(f"{zoom}/{column}/{row}: status {answer.status}")
        elif not (np.asarray(Image.open(io.BytesIO(content))) == expected(numbers, zoom, column, row)).all():
            errors.append(f"{zoom}/{column}/{row}: wrong pixels")
    line.close()
    return waits, errors


def race(port: int, numbers: NDArray[np.uint8], clients: int, count: int) -> Result:
    """All clients at once."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        parts = list(pool.map(lambda client: ask(port, numbers, client, count), range(clients)))
    wall = time.perf_counter() - begin
    return Result(
        np.array([wait for waits, _ in parts for wait in waits]),
        wall,
        tuple(text for _, errors in parts for text in errors),
    )


def main() -> int:
    """Serve, ask, print; returns 1 if any answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--tiles", type=int, default=40, help="tiles per client")
    parser.add_argument("--side", type=int, default=32, help="width of the map in tiles of 256 pixels")
    arguments = parser.parse_args()
    script = "import sys; from swath.serve import run; run(sys.argv[1], port=0)"
    with tempfile.TemporaryDirectory() as folder:
        numbers = write_map(Path(folder), arguments.side)
        with subprocess.Popen([sys.executable, "-c", script, folder], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
                port = int(address.rsplit(":", 1)[1])
                results = [race(port, numbers, arguments.clients, arguments.tiles) for _ in range(2)]
            finally:
                server.terminate()
    print(f"{arguments.clients} clients, {arguments.tiles} tiles each, {os.cpu_count()} cores shared with the clients")
    for name, result in zip(("first", "again"), results, strict=True):
        middle, late = np.percentile(result.seconds, [50, 95]) * 1000 if result.seconds.size else (np.nan, np.nan)
        print(
            f"{name}: p50 {middle:.0f} ms, p95 {late:.0f} ms, {result.seconds.size / result.wall:.0f} tiles/s, "
            f"{len(result.errors)} errors"
        )
        for text in result.errors[:5]:
            print(f"  {text}")
    return int(any(result.errors for result in results))


if __name__ == "__main__":
    sys.exit(main())
