"""A made-up archive on loopback: scenes of one place and several dates, a STAC API over them, and their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath import cubes, sensors
from swath.cubes import catalogue

CORNER = (500_000.0, 5_000_000.0)
DAYS = (("2024-05-06", 12.5), ("2024-05-16", 80.0), ("2024-06-05", 3.0), ("2024-06-15", 40.0), ("2024-07-05", 0.5))
NAMES = {"blue": "B02", "red": "B04", "swir": "B11", "mask": "SCL"}


def node(bands: tuple[str, ...], gsd: float, size: int, day: str, seed: int) -> xr.Dataset:
    numbers = np.random.default_rng(seed).integers(1, 9000, (1, len(bands), size, size)).astype(np.uint16)
    attrs = {"sensor": "sentinel2_l2a", "level": "L2A", "baseline": "05.09", "source": "made", "time_known": 1}
    return cubes.make_cube(
        numbers,
        np.ones((1, size, size), bool),
        GeoBox((size, size), Affine(gsd, 0, CORNER[0], 0, -gsd, CORNER[1]), "EPSG:32633"),
        sensors.load("sentinel2_l2a").bands.select(bands),
        time=np.array([np.datetime64(day, "ns")]),
        scale=[1e-4] * len(bands),
        offset=[-0.1] * len(bands),
        stored=True,
        attrs=attrs,
    )


def write_catalogue(folder: Path, days: tuple[tuple[str, float], ...] = DAYS, size: int = 64) -> Path:
    """A catalogue of scenes with two bands of 10 m, one of 20 m and a scene classification."""
    items = []
    for number, (day, cloud) in enumerate(days):
        fine = node(("B02", "B04"), 10.0, size, day, number)
        coarse = node(("B11",), 20.0, size // 2, day, number + 100)
        quality = np.full((1, size // 2, size // 2), 4, np.uint8)
        quality[0, 3:6, 2:9] = 9
        coarse = coarse.assign(quality=(("time", "y", "x"), quality, {"scheme": "SCL"}))
        attrs = dict(fine.attrs) | {"cloud_cover": cloud}
        scene = xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "grid_10m": fine, "grid_20m": coarse})
        items.append(catalogue.write_item(folder, "s2", f"S{number}", scene))
    catalogue.write_catalogue(folder, items, name="made", title="made up for a test")
    return folder


def api_items(folder: Path, files: str) -> list[dict[str, Any]]:
    """Items as an archive tells them: names of its own, addresses of its files, nothing that swath alone writes."""
    found = []
    for path in sorted(folder.glob("s2/*/S*.json")):
        record = json.loads(path.read_text())
        record["properties"] = {key: value for key, value in record["properties"].items() if "swath:" not in key}
        record["properties"]["s2:processing_baseline"] = "05.09"
        assets = {}
        for name, band in NAMES.items():
            asset = record["assets"][band]
            assets[name] = {"href": f"{files}/s2/{record['id']}/{band}.tif", "type": asset["type"], "roles": ["data"]}
        assets["thumbnail"] = {"href": f"{files}/s2/thumb.jpg", "roles": ["thumbnail"]}
        record["assets"], record["links"] = assets, []
        found.append(record)
    return found


def preset(path: Path, address: str, files: str, auth: str = "open", **more: str) -> Path:
    """A file of archives with one that is called ``made``."""
    host = files.removeprefix("http://")
    lines = [f'address = "{address}"', f'auth = "{auth}"', f'hosts = ["{host}"]']
    lines += [f'{key} = "{value}"' for key, value in more.items()]
    bands = ", ".join(f'{name} = "{band}"' for name, band in NAMES.items() if band != "SCL")
    text = "\n".join(
        [
            "[archives.made]",
            *lines,
            "[archives.made.collections.s2]",
            'sensor = "sentinel2_l2a"',
            'level = "L2A"',
            f"bands = {{ {bands} }}",
            'quality = { mask = "SCL" }',
        ]
    )
    path.write_text(text + "\n")
    return path
