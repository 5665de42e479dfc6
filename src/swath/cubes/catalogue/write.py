"""Write scenes as a static STAC catalogue: a COG per band, an item per scene, collections and a catalogue over them.

Layout: ``catalog.json``, ``COLLECTION/collection.json``, ``COLLECTION/ITEM/ITEM.json``, ``COLLECTION/ITEM/BAND.tif``.
Items follow STAC 1.0.0 with the extensions eo, projection, raster and processing. What only swath knows (sensor, level,
baseline) stands in properties that begin with ``swath:``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely import affinity, union_all
from shapely.geometry import Polygon, box, mapping
from shapely.geometry.base import BaseGeometry

from swath import grids
from swath.cubes.catalogue.items import Item, read_item
from swath.cubes.catalogue.load import QUALITY
from swath.cubes.cog import write_cog
from swath.cubes.cube import bands_of, geobox_of, nodes_of
from swath.cubes.legend import Legend
from swath.errors import InputError
from swath.files import replacing_folder, write_json
from swath.grids.geobox import to_lonlat
from swath.reading import inside
from swath.sensors import Band

VERSION = "1.0.0"
_SCHEMA = "https://stac-extensions.github.io"
_EXTENSIONS = (
    f"{_SCHEMA}/eo/v1.1.0/schema.json",
    f"{_SCHEMA}/projection/v1.1.0/schema.json",
    f"{_SCHEMA}/raster/v1.1.0/schema.json",
    f"{_SCHEMA}/processing/v1.1.0/schema.json",
)
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_EDGE = 16  # points along an edge of a footprint


@dataclass(frozen=True)
class ItemFiles:
    """A layer that is written beside the bands of an item.

    Args:
        array: ``(y, x)``.
        geobox: its grid.
        role: ``label``, ``metadata`` or ``data``.
        title: one line.
        unit: of its numbers.
        legend: of its classes.
        nodata: number that means no data.
    """

    array: NDArray[Any]
    geobox: GeoBox
    role: str = "metadata"
    title: str = ""
    unit: str | None = None
    legend: Legend | None = None
    nodata: float | None = None


def write_item(
    folder: Path | str,
    collection: str,
    name: str,
    scene: xr.DataTree | xr.Dataset | None,
    *,
    time: np.datetime64 | None = None,
    layers: Mapping[str, ItemFiles] | None = None,
    properties: Mapping[str, Any] | None = None,
) -> Item:
    """Write one scene of one date; an item of the same name is replaced when the new one is complete.

    Args:
        folder: the catalogue.
        collection: id of the collection.
        name: id of the item, and of its folder.
        scene: cubes of one date, or None where there are only layers.
        time: acquisition, where the scene does not know it.
        layers: more files by asset key.
        properties: more properties of the item.

    Raises:
        InputError: several dates, no date, nothing to write, or a name that is no file name.
        ResourceError: the disk or folder cannot take the files.
    """
    for word in (collection, name, *(layers or {})):
        if not inside(word) or "/" in word:
            raise InputError(f"'{word}' is no name for a file", expected="letters, digits, - and _", remedy="rename it")
    cubes = {} if scene is None else nodes_of(scene)
    when = _time_of(cubes, time, name)
    root = Path(folder) / collection / name
    with replacing_folder(root) as place:
        assets: dict[str, Any] = {}
        boxes = [geobox_of(cube) for cube in cubes.values()]
        for cube in cubes.values():
            assets |= _write_cube(place, cube)
        for key, layer in (layers or {}).items():
            assets[key] = _write_layer(place, key, layer)
            boxes.append(layer.geobox)
        if not boxes:
            raise InputError(f"The item '{name}' is empty", expected="bands or layers", remedy="give a scene")
        record = _item(name, collection, when, boxes, assets, _facts(scene, cubes) | dict(properties or {}))
        write_json(place / f"{name}.json", record)
    return read_item(root / f"{name}.json")


def write_catalogue(
    folder: Path | str, items: Iterable[Item], *, name: str, title: str, collections: Mapping[str, str] | None = None
) -> Path:
    """Write ``catalog.json`` and the collections over items that were written; nothing else in the folder is touched.

    Args:
        folder: the catalogue.
        items: all items that it shall link.
        name: id of the catalogue.
        title: one line about it.
        collections: one line about each collection.

    Returns:
        ``catalog.json``.

    Raises:
        InputError: there are no items.
    """
    root = Path(folder)
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.collection, []).append(item)
    if not groups:
        raise InputError("There are no items to link", expected="at least one", remedy="write items first")
    for key, members in groups.items():
        about = (collections or {}).get(key, key)
        write_json(root / key / "collection.json", _collection(key, about, sorted(members, key=lambda item: item.id)))
    links = [_link("child", f"./{key}/collection.json") for key in sorted(groups)]
    record = {
        "type": "Catalog",
        "stac_version": VERSION,
        "id": name,
        "description": title,
        "links": [_link("root", "./catalog.json"), *links],
    }
    return write_json(root / "catalog.json", record)


def _write_cube(place: Path, cube: xr.Dataset) -> dict[str, Any]:
    assets = {}
    grid, data = geobox_of(cube), cube["data"]
    scale, offset = cube["scale_factor"].values, cube["add_offset"].values
    for index, band in enumerate(bands_of(cube)):
        numbers = data.isel(time=0, band=[index]).data
        valid = cube["valid"].isel(time=0)
        mask = valid.isel(band=[index]).data if "band" in valid.dims else valid.data
        nodata = _nodata(data.dtype)
        factors = None if (scale[index], offset[index]) == (1.0, 0.0) else (float(scale[index]), float(offset[index]))
        write_cog(
            place / f"{band.name}.tif",
            numbers,
            grid,
            names=[band.name],
            nodata=nodata,
            unit=str(cube["band_unit"].values[index]) if data.attrs.get("unit") != "DN" else "DN",
            scale=factors,
            valid=mask,
        )
        assets[band.name] = _band_asset(band, grid, data.dtype, nodata, factors)
    if QUALITY in cube:
        scheme = str(cube[QUALITY].attrs.get("scheme", QUALITY))
        numbers = cube[QUALITY].isel(time=[0]).data
        write_cog(place / f"{scheme}.tif", numbers, grid, names=[scheme])
        assets[scheme] = _asset(f"{scheme}.tif", ["metadata"], f"quality ({scheme})", grid, numbers.dtype, None)
    return assets


def _write_layer(place: Path, key: str, layer: ItemFiles) -> dict[str, Any]:
    write_cog(
        place / f"{key}.tif",
        layer.array[None],
        layer.geobox,
        names=[key],
        nodata=layer.nodata,
        unit=layer.unit,
        legend=layer.legend,
    )
    asset = _asset(f"{key}.tif", [layer.role], layer.title or key, layer.geobox, layer.array.dtype, layer.nodata)
    if layer.unit:
        asset["raster:bands"][0]["unit"] = layer.unit
    if layer.legend is not None:
        asset["classification:classes"] = [
            {"value": entry.value, "name": entry.name.replace(" ", "_"), "description": entry.name}
            for entry in layer.legend
        ]
    return asset


def _band_asset(
    band: Band, grid: GeoBox, dtype: Any, nodata: float | None, factors: tuple[float, float] | None
) -> dict[str, Any]:
    asset = _asset(f"{band.name}.tif", ["data"], band.description or band.name, grid, dtype, nodata)
    described: dict[str, Any] = {"name": band.name}
    if band.wavelength_nm is not None:
        described["center_wavelength"] = round(band.wavelength_nm / 1000, 6)
    if band.width_nm is not None:
        described["full_width_half_max"] = round(band.width_nm / 1000, 6)
    asset["eo:bands"] = [described]
    if factors is not None:
        asset["raster:bands"][0] |= {"scale": factors[0], "offset": factors[1]}
    return asset


def _asset(
    href: str, roles: Sequence[str], title: str, grid: GeoBox, dtype: Any, nodata: float | None
) -> dict[str, Any]:
    affine = grid.affine
    band: dict[str, Any] = {"data_type": np.dtype(dtype).name, "spatial_resolution": grids.gsd_m(grid)}
    if nodata is not None:
        band["nodata"] = "nan" if nodata != nodata else nodata
    return {
        "href": f"./{href}",
        "type": _COG,
        "roles": list(roles),
        "title": title,
        "proj:shape": [int(grid.shape.y), int(grid.shape.x)],
        "proj:transform": [affine.a, affine.b, affine.c, affine.d, affine.e, affine.f],
        "raster:bands": [band],
    }


def _item(
    name: str,
    collection: str,
    when: np.datetime64,
    boxes: Sequence[GeoBox],
    assets: Mapping[str, Any],
    properties: Mapping[str, Any],
) -> dict[str, Any]:
    outline, bounds = footprint_of(boxes[0])
    crs = boxes[0].crs
    facts: dict[str, Any] = {"datetime": _text(when), "proj:epsg": None if crs is None else crs.epsg}
    if crs is not None and crs.epsg is None:
        facts["proj:wkt2"] = crs.to_wkt()
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": list(_EXTENSIONS),
        "id": name,
        "collection": collection,
        "geometry": mapping(outline),
        "bbox": list(bounds),
        "properties": facts | dict(properties),
        "links": [
            _link("root", "../../catalog.json"),
            _link("parent", "../collection.json"),
            _link("collection", "../collection.json"),
        ],
        "assets": dict(assets),
    }


def _collection(name: str, about: str, items: Sequence[Item]) -> dict[str, Any]:
    boxes = np.array([item.bbox for item in items])
    times = [item.time for item in items]
    across = bool((boxes[:, 0] > boxes[:, 2]).any())
    west, east = (-180.0, 180.0) if across else (float(boxes[:, 0].min()), float(boxes[:, 2].max()))
    return {
        "type": "Collection",
        "stac_version": VERSION,
        "id": name,
        "description": about,
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[west, float(boxes[:, 1].min()), east, float(boxes[:, 3].max())]]},
            "temporal": {"interval": [[_text(min(times)), _text(max(times))]]},
        },
        "links": [
            _link("root", "../catalog.json"),
            _link("parent", "../catalog.json"),
            *(_link("item", f"./{item.id}/{item.id}.json") for item in items),
        ],
    }


def footprint_of(grid: GeoBox) -> tuple[BaseGeometry, tuple[float, float, float, float]]:
    """Outline of a grid in longitude and latitude, and its bounding box, as GeoJSON (RFC 7946) wants them.

    Across the antimeridian the outline has two parts and west is above east; around a pole the box reaches it.
    """
    height, width = grid.shape.yx
    along = np.linspace(0.0, 1.0, _EDGE + 1)[:-1]
    columns = np.concatenate([along, np.ones(_EDGE), 1 - along, np.zeros(_EDGE)]) * width
    rows = np.concatenate([np.zeros(_EDGE), along, np.ones(_EDGE), 1 - along]) * height
    lon, lat = to_lonlat(grid, columns, rows)
    unrolled = np.degrees(np.unwrap(np.radians(lon)))
    turn = unrolled[-1] - unrolled[0] + (lon[0] - lon[-1] + 180.0) % 360.0 - 180.0
    if abs(turn) > 180.0:  # the outline runs around a pole
        low, high = (float(lat.min()), 90.0) if lat.mean() > 0 else (-90.0, float(lat.max()))
        ring = Polygon([(-180, low), (180, low), (180, high), (-180, high)])
        return ring, (-180.0, low, 180.0, high)
    west, east = float(unrolled.min()), float(unrolled.max())
    south, north = float(lat.min()), float(lat.max())
    if west >= -180.0 and east <= 180.0:
        return Polygon(np.column_stack([unrolled, lat])), (west, south, east, north)
    shift = 360.0 if west < -180.0 else 0.0
    moved = Polygon(np.column_stack([unrolled + shift, lat]))  # now from below 180 to above it
    near, far = moved.intersection(box(0, -90, 180, 90)), _back(moved.intersection(box(180, -90, 540, 90)))
    return union_all([near, far]), (west + shift, south, east + shift - 360.0, north)


def _back(part: BaseGeometry) -> BaseGeometry:
    """A part beyond 180 degrees, a turn to the west."""
    return affinity.translate(part, xoff=-360.0)


def _facts(scene: xr.DataTree | xr.Dataset | None, cubes: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    if scene is None:
        return {}
    attrs = dict(scene.attrs) or dict(next(iter(cubes.values())).attrs)
    facts: dict[str, Any] = {
        f"swath:{key}": str(attrs[key]) for key in ("sensor", "level", "baseline") if attrs.get(key)
    }
    if "cloud_cover" in attrs:
        facts["eo:cloud_cover"] = round(float(attrs["cloud_cover"]), 3)
    facts["gsd"] = min(grids.gsd_m(geobox_of(cube)) for cube in cubes.values())
    return facts


def _time_of(cubes: Mapping[str, xr.Dataset], time: np.datetime64 | None, name: str) -> np.datetime64:
    for cube in cubes.values():
        if cube.sizes["time"] != 1:
            raise InputError(
                f"The scene of the item '{name}' has {cube.sizes['time']} dates",
                expected="one date an item",
                remedy="write one item for each date: cube.isel(time=[i])",
            )
    known = [cube["time"].values[0] for cube in cubes.values() if cube.attrs.get("time_known", 1)]
    when = time if time is not None else (known[0] if known else None)
    if when is None:
        raise InputError(f"The item '{name}' has no date", expected="an acquisition time", remedy="give time=")
    return to_nanoseconds(when)


def _nodata(dtype: Any) -> float | None:
    """No data of stored bands: NaN for floating-point numbers, 0 for unsigned ones, else the smallest number."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return float("nan")
    return 0.0 if kind.kind == "u" else float(np.iinfo(kind).min)


def to_nanoseconds(when: np.datetime64) -> np.datetime64:
    """A time in the unit of all cubes."""
    converted: np.datetime64 = when.astype("datetime64[ns]")
    return converted


def _text(when: np.datetime64) -> str:
    stamp: datetime.datetime = when.astype("datetime64[us]").item()
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": "application/geo+json" if rel == "item" else "application/json"}
