"""One scene, one grid: choose bands across the nodes of a scene and bring them onto one GeoBox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from swath import grids
from swath.cubes.cube import DN, bands_of, geobox_of, lazy, make_cube, nodes_of, same_grid
from swath.cubes.warp import check_method, shifted, warped
from swath.errors import InputError
from swath.sensors import BandSet


def to_cube(
    scene: xr.DataTree | xr.Dataset,
    *,
    geobox: GeoBox | None = None,
    bands: BandSet | Sequence[str] | None = None,
    resampling: str = "bilinear",
) -> xr.Dataset:
    """Bring the wanted bands of a scene onto one grid, lazily.

    Where pixels coincide, numbers pass through bit by bit; else they are resampled with masked numbers left out (see
    ``cubes.warp``). Bands of kind ``quality`` always take the nearest pixel.

    Args:
        scene: a scene, or a cube to put on another grid.
        geobox: the grid; by default that of the finest node that holds a wanted band.
        bands: bands wanted, matched by name, alias and wavelength, in this order; by default all.
        resampling: nearest, bilinear or average.

    Returns:
        a cube whose ``data`` is lazy; band names stay those of the scene.

    Raises:
        InputError: a wanted band has no source, a name is in two nodes, nodes have different dates, or the grid lies
            outside of the scene.
        ConfigError: the resampling is unknown.
    """
    method = check_method(resampling)
    parts = _wanted(nodes_of(scene), bands)
    target = geobox or geobox_of(min((node for node, _ in parts), key=lambda node: grids.gsd_m(geobox_of(node))))
    first = parts[0][0]
    for node, _ in parts:
        _check_times(first, node)
        grids.overlap(geobox_of(node), target, names=(str(node.attrs.get("source", "scene")), "chosen grid"))
    if len(parts) == 1 and same_grid(geobox_of(first), target):
        whole = parts[0][1] == list(range(first.sizes["band"]))
        return first if whole else first.isel(band=parts[0][1])
    placed = [_place(node.isel(band=chosen), target, method) for node, chosen in parts]
    nodes = [item.node for item in placed]
    return make_cube(
        da.concatenate([item.data for item in placed], axis=1),
        _shared(placed),
        target,
        BandSet(tuple(band for node in nodes for band in bands_of(node))),
        time=first["time"].values,
        scale=[float(value) for node in nodes for value in node["scale_factor"].values],
        offset=[float(value) for node in nodes for value in node["add_offset"].values],
        stored=any(node["data"].attrs.get("unit") == DN for node in nodes),
        attrs=first.attrs | _files(node for node, _ in parts),
    )


def _files(nodes: Iterable[xr.Dataset]) -> dict[str, str]:
    """The attribute ``files`` of a cube from several nodes: each file once."""
    named = [name for node in nodes for name in str(node.attrs.get("files", "")).split(", ") if name]
    return {"files": ", ".join(dict.fromkeys(named))} if named else {}


def _wanted(nodes: dict[str, xr.Dataset], bands: BandSet | Sequence[str] | None) -> list[tuple[xr.Dataset, list[int]]]:
    """The nodes and band positions that serve the wanted bands; neighbours of one node and kind stay together."""
    owners = [(node, index, band) for node in nodes.values() for index, band in enumerate(bands_of(node))]
    available = BandSet(tuple(band for _, _, band in owners))
    chosen: Sequence[int] = range(len(available)) if bands is None else available.match(bands).require()
    if not chosen:
        raise InputError("No band was asked for", expected="at least one band", remedy="name the bands wanted")
    parts: list[tuple[xr.Dataset, list[int]]] = []
    classes: list[bool] = []
    for position in chosen:
        node, index, band = owners[position]
        quality = band.kind == "quality"
        if parts and parts[-1][0] is node and classes[-1] == quality:
            parts[-1][1].append(index)
        else:
            parts.append((node, [index]))
            classes.append(quality)
    return parts


@dataclass(frozen=True)
class _Placed:
    """Bands of one node on the target grid."""

    node: xr.Dataset
    data: da.Array
    valid: da.Array


def _place(node: xr.Dataset, target: GeoBox, method: Resampling) -> _Placed:
    """One node with bands of one kind on the target grid."""
    source = geobox_of(node)
    data, valid = lazy(node["data"]), lazy(node["valid"])
    moved = shifted(data, source, target, fill=0)
    mask = shifted(valid, source, target, fill=False)
    if moved is None or mask is None:
        quality = str(node["kind"].values[0]) == "quality"
        moved, mask = warped(data, valid, source, target, Resampling.nearest if quality else method)
    return _Placed(node, moved, mask)


def _shared(placed: list[_Placed]) -> da.Array:
    """One mask for all parts; it stays without a band axis if there is one part only."""
    if len(placed) == 1:
        return placed[0].valid
    masks = [item.valid if item.valid.ndim == 4 else item.valid[:, None] for item in placed]
    return da.concatenate(
        [da.broadcast_to(mask, item.data.shape) for mask, item in zip(masks, placed, strict=True)], axis=1
    )


def _check_times(first: xr.Dataset, other: xr.Dataset) -> None:
    if not np.array_equal(first["time"].values, other["time"].values):
        raise InputError(
            f"The nodes of the scene have different dates ({first.sizes['time']} and {other.sizes['time']}, the first "
            f"{first['time'].values[0]} and {other['time'].values[0]})",
            expected="the same dates in every node",
            remedy="open each date as a scene of its own",
        )
