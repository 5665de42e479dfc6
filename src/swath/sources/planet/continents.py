"""Continents on a grid, from the Natural Earth country polygons that ship with pyogrio."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from scipy.spatial import cKDTree

from swath.errors import InputError
from swath.sources.planet.legends import CONTINENTS

_NUMBER = CONTINENTS.mapping()


def polygons(path: Path) -> geopandas.GeoDataFrame:
    """Country polygons, one part a row, with the number of their continent in ``value``.

    Two entries differ from the file. Greenland is its own. Parts of France west of 30° W are South America: the file
    counts French Guiana as Europe, which would put a piece of a held-out continent into training. As in the file, all
    of Russia is Europe. Parts that belong to no continent (islands of the southern ocean) are dropped; the nearest
    polygon names them later.

    Raises:
        InputError: the file lacks the columns ``name`` and ``continent``.
    """
    table = geopandas.read_file(path, engine="pyogrio")
    if absent := {"name", "continent"} - set(table.columns):
        raise InputError(
            f"{path} lacks the columns {', '.join(sorted(absent))}",
            expected="the country polygons of Natural Earth",
            remedy="reinstall pyogrio from its wheel",
        )
    parts = table.explode(ignore_index=True)
    west = parts.geometry.bounds["maxx"] < -30
    continent = parts["continent"].where(parts["name"] != "Greenland", "Greenland")
    continent = continent.where(~((parts["name"] == "France") & west), "South America")
    parts["value"] = continent.map(_NUMBER)
    return parts[parts["value"].notna()].astype({"value": int})


def continents(path: Path, geobox: GeoBox, is_land: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The continent of every land cell as ``(y, x)`` uint8; 0 where ``is_land`` is False.

    Land outside all polygons (small islands, coasts, ice shelves) takes the continent of the nearest cell inside one,
    by distance on the sphere, so also across the date line.
    """
    parts = polygons(path)
    labels: NDArray[np.uint8] = rasterize(
        zip(parts.geometry, parts["value"], strict=True),
        out_shape=geobox.shape,
        transform=geobox.affine,
        dtype="uint8",
    )
    return fill_nearest(labels, is_land)


def fill_nearest(labels: NDArray[np.uint8], is_land: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Labels on land only: own label where there is one, else that of the nearest labelled cell on the sphere.

    Args:
        labels: ``(y, x)`` on a global plate carrée grid, 0 for none.
        is_land: ``(y, x)``.
    """
    out = np.where(is_land, labels, 0).astype(np.uint8)
    rows, columns = np.nonzero(is_land & (labels == 0))
    rim_rows, rim_columns = np.nonzero(_rim(labels != 0))
    if len(rows) and len(rim_rows):
        tree = cKDTree(_unit_vectors(rim_rows, rim_columns, labels.shape))
        nearest = tree.query(_unit_vectors(rows, columns, labels.shape))[1]
        out[rows, columns] = labels[rim_rows[nearest], rim_columns[nearest]]
    return out


def _rim(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells inside with a neighbour outside; columns wrap around. All inside cells if there is no outside."""
    if inside.all():
        return inside
    padded = np.pad(inside, ((1, 1), (0, 0)), mode="edge")
    around = padded[:-2] & padded[2:] & np.roll(inside, 1, axis=1) & np.roll(inside, -1, axis=1)
    return inside & ~around


def _unit_vectors(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Cell centres as points on the unit sphere, ``(cells, 3)``."""
    latitude = np.pi / 2 - (rows + 0.5) * np.pi / shape[0]
    longitude = (columns + 0.5) * 2 * np.pi / shape[1] - np.pi
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
