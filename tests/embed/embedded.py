"""Made-up embeddings on disk: two halves of a map that a head can tell apart, with a record."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import Point, box

from swath import cubes
from swath.embed.record import EmbeddingRecord

SIDE, DIMENSIONS = 40, 6
GRID = GeoBox((SIDE, SIDE), Affine(10, 0, 500_000, 0, -10, 5_400_000), "EPSG:32632")
RECORD = EmbeddingRecord(
    "presto", "presto-1", DIMENSIONS, 1, ("B02",), ("2021-01-15T00:00:00",), "float16", 1.0, None, ""
)


def write_map(path: Path, *, hole: bool = True, version: str = "presto-1", source: str = "") -> Path:
    """Left half around +1, right half around -1 in every component; the upper left 5 x 5 cells are masked."""
    values = np.random.default_rng(0).normal(0, 0.3, (DIMENSIONS, SIDE, SIDE)).astype(np.float32)
    values += np.where(np.arange(SIDE) < SIDE // 2, 1, -1)
    valid = np.ones((SIDE, SIDE), bool)
    if hole:
        valid[:5, :5] = False
    cubes.write_cog(path, values, GRID, names=[f"e{k}" for k in range(DIMENSIONS)], valid=valid)
    record = {**vars(RECORD), "version": version, "source": source}
    EmbeddingRecord(**record).write(path)
    return path


def place(row: float, column: float) -> Point:
    """The centre of a cell."""
    return Point(500_000 + (column + 0.5) * 10, 5_400_000 - (row + 0.5) * 10)


def points(cells: list[tuple[int, int]], classes: list[object], crs: str | None = "EPSG:32632") -> gpd.GeoDataFrame:
    """Labelled points at cells of the map, in another CRS where wanted."""
    table = gpd.GeoDataFrame({"class": classes}, geometry=[place(*cell) for cell in cells], crs="EPSG:32632")
    return table if crs == "EPSG:32632" else table.to_crs(crs)


def spread_points(number: int = 40, crs: str = "EPSG:32632") -> gpd.GeoDataFrame:
    """Points all over the map, named after their half."""
    stream = np.random.default_rng(1)
    cells = [(int(stream.integers(5, SIDE)), int(stream.integers(0, SIDE))) for _ in range(number)]
    cells = list(dict.fromkeys(cells))
    return points(cells, ["left" if column < SIDE // 2 else "right" for _, column in cells], crs)


def square(row: int, column: int, side: int) -> object:
    """A polygon over ``side`` x ``side`` cells."""
    west, north = 500_000 + column * 10, 5_400_000 - row * 10
    return box(west, north - side * 10, west + side * 10, north)
