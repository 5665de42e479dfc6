"""Scenes from items of a catalogue: bands by asset, quality beside them, several dates stacked in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from swath.cubes import scene as scenes
from swath.cubes.assemble import PHYSICAL, Options
from swath.cubes.catalogue import archives
from swath.cubes.catalogue.items import Asset, Item
from swath.cubes.cube import geobox_of, nodes_of, same_grid
from swath.cubes.quality import clear
from swath.cubes.raster import RasterFile
from swath.cubes.remote.part import Bounds
from swath.cubes.remote.scene import open_files
from swath.cubes.stores import is_store
from swath.errors import InputError, nearest
from swath.types import DataKind

QUALITY = "quality"
Cut = Callable[[RasterFile], RasterFile]


def load(
    item: Item,
    *,
    bands: Sequence[str] | None = None,
    bbox: Bounds | None = None,
    sensor: str | None = None,
    level: str | None = None,
    baseline: str | None = None,
    only_clear: bool = False,
    cut: Cut | None = None,
) -> xr.DataTree:
    """Open the scene of an item without reading its pixels.

    Nodes on the grid of a quality asset carry it as the variable ``quality`` (time, y, x), attr ``scheme``. What the
    item says of its data (``swath:data``: real, simulated, ...) becomes the attribute ``data_kind``.

    Args:
        item: from ``search``.
        bands: names or aliases of bands or assets; all data assets when left out.
        bbox: west, south, east, north [degrees]: only this part of the scene; None = all of it.
        sensor: where the item does not tell it.
        level: processing level, where the item does not tell it.
        baseline: processing baseline, where the item does not tell it.
        only_clear: whether pixels that the quality asset calls cloud, shadow or fill become invalid, on every node.
        cut: makes of each raster file what is to be read of it, such as a sheet of windows.

    Raises:
        InputError: an asset is missing, does not fit the sensor, no band is left, or ``only_clear`` without a quality
            asset, or with one whose grid fits no node.
    """
    chosen = chosen_assets(item, bands)
    absent = [asset.path for asset in chosen if asset.address is None and not asset.path.exists()]
    if absent:
        raise InputError(
            f"The item '{item.id}' names {len(absent)} files that are not there, first {absent[0]}",
            expected="the rasters beside the catalogue",
            remedy="fetch or make the catalogue again",
        )
    names = [asset.bands[0] if len(asset.bands) == 1 else asset.name for asset in chosen]
    several = len(chosen) > 1
    options = Options(
        sensor or item.sensor,
        level or item.level,
        baseline or item.baseline,
        tuple(names) if several else (chosen[0].bands or None),
        None,
        item.time,
    )
    tree = _open([asset.place for asset in chosen], item, options, bbox, cut)
    nodes = nodes_of(tree)
    if item.quality is not None and (item.quality.address is not None or item.quality.path.exists()):
        nodes = _with_quality(item, nodes, only_clear, bbox, cut)
    elif only_clear:
        raise InputError(
            f"The item '{item.id}' has no quality asset",
            expected="an asset called SCL, Fmask or QA_PIXEL, to tell cloud from ground",
            remedy="load it without --clear, or mask it yourself",
        )
    return _told(item, tree.attrs, nodes)


def _told(item: Item, attrs: Mapping[Any, Any], nodes: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """The nodes as a scene that says where it comes from and whether its data are real."""
    kind = str(item.properties.get("swath:data", ""))
    said = {"data_kind": kind} if kind in get_args(DataKind) else {}
    known = {name: cube.assign_attrs(said) for name, cube in nodes.items()}
    own = dict(attrs) | {"source": item.id, "collection": item.collection} | said
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=own), **known})


def load_many(
    items: Sequence[Item],
    *,
    bands: Sequence[str] | None = None,
    bbox: Bounds | None = None,
    sensor: str | None = None,
    level: str | None = None,
    baseline: str | None = None,
    only_clear: bool = False,
) -> xr.DataTree:
    """Open several items of one place as one scene with a time axis.

    Args:
        items: on the same grids with the same bands, such as the dates of one tile.
        bands: as ``load``.
        bbox: as ``load``.
        sensor: as ``load``.
        level: as ``load``.
        baseline: as ``load``.
        only_clear: as ``load``.

    Raises:
        InputError: as ``load``; no items; or grids, bands or scales that differ.
    """
    if not items:
        raise InputError(
            "No items were found", expected="at least one scene", remedy="widen the search: place, time or cloud"
        )
    ordered = sorted(items, key=lambda item: item.time)
    loaded = []
    for item in ordered:
        one = load(item, bands=bands, bbox=bbox, sensor=sensor, level=level, baseline=baseline, only_clear=only_clear)
        loaded.append(nodes_of(one))
    first = loaded[0]
    for item, nodes in zip(ordered[1:], loaded[1:], strict=True):
        _check_alike(ordered[0], first, item, nodes)
    stacked = {
        name: xr.concat(
            [_with_mask_of_bands(nodes[name]) for nodes in loaded],
            dim="time",
            join="override",
            combine_attrs="override",
        )
        for name in first
    }
    attrs = {"source": f"{len(items)} items", "collection": ordered[0].collection, "sensor": ordered[0].sensor or ""}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **stacked})


def chosen_assets(item: Item, bands: Sequence[str] | None) -> list[Asset]:
    """The assets that bands name; all data assets for None.

    Raises:
        InputError: an asset is missing, or none holds data.
    """
    data = item.data
    if bands is None:
        if not data:
            raise InputError(
                f"No asset of the item '{item.id}' holds data",
                expected=f"assets with the role 'data'; it has {', '.join(item.assets) or 'none'}",
                remedy="name the assets with bands= (--bands)",
            )
        return list(data)
    chosen: list[Asset] = []
    for name in bands:
        found = next((asset for asset in data if name in (asset.name, *asset.bands)), None) or item.assets.get(name)
        if found is None:
            raise InputError(
                f"The item '{item.id}' has no band '{name}'",
                expected=f"one of {', '.join(asset.name for asset in data)}",
                remedy=f"the nearest are: {nearest(name, item.assets)}",
            )
        if found not in chosen:
            chosen.append(found)
    return chosen


def _open(places: list[str], item: Item, options: Options, bbox: Bounds | None, cut: Cut | None) -> xr.DataTree:
    """Files of an item as a scene: those on servers through the connection of its archive."""
    distant = any("://" in place for place in places)
    if bbox is None and not distant and (cut is None or any(map(is_store, places))):
        return scenes.open(
            places if len(places) > 1 else places[0],
            sensor=options.sensor,
            level=options.level,
            baseline=options.baseline,
            bands=options.bands,
            nodata=options.nodata,
            time=options.time,
        )
    archive = str(item.properties.get(archives.ARCHIVE) or "")
    connection = archives.connection(archive, item.collection) if distant and archive else None
    beside = [asset.place for asset in item.data] if bbox is not None else []
    beside += [item.quality.place] if bbox is not None and item.quality is not None else []
    return open_files(places, options, bbox=bbox, beside=beside, connection=connection, cut=cut)


def _with_quality(
    item: Item, nodes: dict[str, xr.Dataset], only_clear: bool, bbox: Bounds | None, cut: Cut | None
) -> dict[str, xr.Dataset]:
    asset = item.quality
    assert asset is not None
    assert asset.scheme is not None
    layer = _one_node(_open([asset.place], item, Options(level=PHYSICAL, nodata=()), bbox, cut))
    numbers, box = layer["data"].data[:, 0], geobox_of(layer)
    out = {}
    for name, cube in nodes.items():
        if same_grid(box, geobox_of(cube)):
            cube = cube.assign({QUALITY: (("time", "y", "x"), numbers, {"scheme": asset.scheme})})
        if only_clear:
            sky = _on_grid(clear(numbers, asset.scheme), box, geobox_of(cube))
            if sky is None:
                raise InputError(
                    f"The quality asset of '{item.id}' lies on another grid than {name}",
                    expected="the same corner, and pixels a whole number of times as wide or as narrow as the bands'",
                    remedy="choose other bands, or mask after aligning",
                )
            valid = cube["valid"] & xr.DataArray(sky, dims=("time", "y", "x"))
            cube = cube.assign(valid=valid.transpose(*cube["valid"].dims))
        out[name] = cube
    return out


def _one_node(tree: xr.DataTree) -> xr.Dataset:
    return next(iter(nodes_of(tree).values()))


def _on_grid(sky: da.Array, source: GeoBox, target: GeoBox) -> da.Array | None:
    """Where the sky is clear ``(time, y, x)`` on another grid: finer pixels repeat it, coarser ones must be all clear.

    None where the grids do not nest.
    """
    if same_grid(source, target):
        return sky
    ratio = abs(source.affine.a / target.affine.a)
    factor = round(max(ratio, 1 / ratio))
    same_corner = np.allclose(source.affine * (0, 0), target.affine * (0, 0), atol=1e-3 * abs(target.affine.a))
    if source.crs != target.crs or not same_corner or abs(max(ratio, 1 / ratio) - factor) > 1e-6:
        return None
    if ratio > 1:
        fine = da.repeat(da.repeat(sky, factor, axis=1), factor, axis=2)
    else:
        fine = da.coarsen(np.all, sky, {1: factor, 2: factor}, trim_excess=True)
    if fine.shape[1] < target.shape.y or fine.shape[2] < target.shape.x:
        return None
    return fine[:, : target.shape.y, : target.shape.x]


def _with_mask_of_bands(cube: xr.Dataset) -> xr.Dataset:
    """The cube with validity per band, as dates may differ in whether they need it."""
    if "band" in cube["valid"].dims:
        return cube
    wide = cube["valid"].expand_dims(band=cube.sizes["band"], axis=1)
    return cube.assign(valid=wide)


def _check_alike(one: Item, first: dict[str, xr.Dataset], item: Item, nodes: dict[str, xr.Dataset]) -> None:
    problem = ""
    if set(first) != set(nodes):
        problem = f"their grids are {', '.join(first)} and {', '.join(nodes)}"
    for name in set(first) & set(nodes):
        a, b = first[name], nodes[name]
        if not same_grid(geobox_of(a), geobox_of(b)):
            problem = f"their pixels of {name} do not coincide"
        elif list(a["band"].values) != list(b["band"].values):
            problem = f"their bands differ: {', '.join(a['band'].values)} and {', '.join(b['band'].values)}"
        elif not all(np.array_equal(a[key], b[key]) for key in ("scale_factor", "add_offset")):
            problem = "their scales or offsets differ (another processing baseline?)"
    if problem:
        raise InputError(
            f"The items '{one.id}' and '{item.id}' cannot be stacked: {problem}",
            expected="scenes on one grid with the same bands and scale",
            remedy="search for one tile and one collection, or load each and align them with cubes.to_cube",
        )
