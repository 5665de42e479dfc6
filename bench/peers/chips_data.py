"""What the race of chips reads: simulated HLS scenes as COGs with their items, and the windows that are cut."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath import cubes, sensors
from swath.cubes import catalogue

BANDS = ("B02", "B03", "B04", "B8A", "B11", "B12")
NODATA, GSD, CORNER, CRS = -32768, 30.0, (600_000.0, 4_500_000.0), "EPSG:32633"
DAYS = ("2024-05-06", "2024-05-16", "2024-05-26", "2024-06-05", "2024-06-15", "2024-06-25", "2024-07-05", "2024-07-15")


@dataclass(frozen=True)
class Sizes:
    """How large a race is.

    Args:
        size: rows and columns of a scene.
        block: rows and columns of a stored block.
        scenes: how many, each of another date.
        chips: windows of each scene.
        window: rows and columns of a window.
    """

    size: int = 3072
    block: int = 256
    scenes: int = 4
    chips: int = 12
    window: int = 256


Place = tuple[int, int, int]
"""Scene, first row, first column."""


def make(folder: Path, sizes: Sizes) -> None:
    """Write scenes, windows and label rasters, and a small scene to warm up with; nothing where they are there."""
    told = folder / "sizes.json"
    if told.is_file() and json.loads(told.read_text()) == sizes.__dict__:
        return
    warm = Sizes(2 * sizes.window, sizes.block, 1, 1, sizes.window)
    for kind, own in (("race", sizes), ("warm", warm)):
        items = [write_scene(folder / kind, number, own) for number in range(own.scenes)]
        catalogue.write_catalogue(folder / kind, items, name=kind, title="simulated scenes")
        places = windows_of(own)
        (folder / kind / "windows.json").write_text(json.dumps(places))
        write_labels(folder / kind / "labels", places, own.window)
    told.write_text(json.dumps(sizes.__dict__))


def numbers_of(number: int, size: int) -> NDArray[np.int16]:
    """Reflectance ``(band, y, x)`` x 10^4 of fields under light and noise, without data beyond a slanted edge."""
    stream = np.random.default_rng(number)
    rows, columns = np.mgrid[:size, :size]
    fields = np.kron(stream.integers(0, 12, (size // 32 + 1, size // 32 + 1)), np.ones((32, 32), int))[:size, :size]
    light = 60 * np.sin(columns / 97 + number) + 60 * np.cos(rows / 131)
    outside = columns + rows // 3 < size // 12
    out = np.empty((len(BANDS), size, size), np.int16)
    for band in range(len(BANDS)):
        level = stream.integers(300, 3500, 12)
        plane = level[fields] + light + stream.normal(0, 25, (size, size))
        out[band] = np.where(outside, NODATA, plane.clip(1, 10_000))
    return out


def write_scene(folder: Path, number: int, sizes: Sizes) -> catalogue.Item:
    """One scene with its item."""
    box = GeoBox((sizes.size, sizes.size), Affine(GSD, 0, CORNER[0], 0, -GSD, CORNER[1]), CRS)
    stored = numbers_of(number, sizes.size)
    cube = cubes.make_cube(
        stored[None], (stored != NODATA)[None], box, sensors.load("hls_s30").bands.select(BANDS),
        time=np.array([np.datetime64(DAYS[number], "ns")]), scale=[1e-4] * len(BANDS), offset=[0.0] * len(BANDS),
        stored=True, attrs={"sensor": "hls_s30", "level": "S30", "source": "made", "time_known": 1},
    )  # fmt: skip
    item = catalogue.write_item(folder, "hls_s30", f"T{number}", cube, properties={"swath:data": "simulated"})
    for asset in item.data:  # the same COG in blocks of the size that is asked for
        plain = asset.path.with_suffix(".whole.tif")
        asset.path.rename(plain)
        rasterio.shutil.copy(
            str(plain), str(asset.path), driver="COG", blocksize=sizes.block, compress="DEFLATE", predictor="YES",
            overview_resampling="AVERAGE",
        )  # fmt: skip
        plain.unlink()
    return item


def windows_of(sizes: Sizes) -> list[Place]:
    """Windows in clusters of four, as field campaigns leave them, at any pixel; in order of scene and cluster."""
    stream, most = np.random.default_rng(7), sizes.size - sizes.window
    places: list[Place] = []
    for scene in range(sizes.scenes):
        for number in range(sizes.chips):
            if number % 4 == 0:
                middle = stream.integers(0, most + 1, 2)
            row, column = np.clip(middle + stream.integers(-sizes.window, sizes.window + 1, 2), 0, most)
            places.append((scene, int(row), int(column)))
    return places


def write_labels(folder: Path, places: list[Place], window: int) -> None:
    """A label raster for each window, and the table of them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["label_filename,date"]
    for number, (scene, row, column) in enumerate(places):
        move = Affine(GSD, 0, CORNER[0] + column * GSD, 0, -GSD, CORNER[1] - row * GSD)
        profile: dict[str, Any] = {"driver": "GTiff", "height": window, "width": window, "count": 1, "dtype": "uint8"}
        with rasterio.open(folder / f"w{number:05d}.tif", "w", **profile, crs=CRS, transform=move) as dataset:
            dataset.write(np.full((1, window, window), number % 2, np.uint8))
        lines.append(f"w{number:05d}.tif,{DAYS[scene]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def addressed(folder: Path, address: str) -> None:
    """Copies of the catalogues, under ``far``, whose items name their files by address."""
    for kind in ("race", "warm"):
        for path in (folder / kind).rglob("*.json"):
            record = json.loads(path.read_text())
            if not isinstance(record, dict):
                continue
            below = path.parent.relative_to(folder).as_posix()
            for asset in record.get("assets", {}).values():
                asset["href"] = f"{address}/{below}/{Path(asset['href']).name}"
            place = folder / "far" / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(record))


def item_of(folder: str, scene: int) -> str:
    """The folder of a scene below one of the race."""
    return f"{folder}/hls_s30/T{scene}"
