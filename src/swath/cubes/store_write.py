"""Write cubes as a Zarr store that ``cubes.open`` reads back: one group per grid, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from swath.cubes.cube import nodes_of
from swath.errors import ConfigError, nearest
from swath.files import replacing_folder

CHUNK = 512  # pixels along a side of a stored chunk


def write_store(
    scene: xr.DataTree | xr.Dataset,
    path: Path | str,
    *,
    node: str | None = None,
    chunk: int = CHUNK,
    groups: Mapping[str, xr.Dataset] | None = None,
) -> Path:
    """Write a scene as Zarr (format 2, as text has no settled form in 3).

    A store that lay there is replaced when the new one is complete.

    Args:
        scene: a scene or one cube; dask-backed cubes are written block by block.
        path: the store, ending in ``.zarr``.
        node: the only node to write; all when left out.
        chunk: pixels along a side of a stored chunk; dates and bands are chunks of one.
        groups: more datasets to write beside the cubes, by name of their group.

    Raises:
        ConfigError: the path does not end in ``.zarr``, or there is no such node.
        ContractError: the scene holds no cube.
        ResourceError: the disk or folder cannot take the store.
    """
    place = Path(path)
    if place.suffix != ".zarr":
        raise ConfigError(
            f"The store '{path}' does not end in .zarr", expected="a name such as cube.zarr", remedy="rename it"
        )
    nodes = nodes_of(scene)
    if node is not None and node not in nodes:
        raise ConfigError(
            f"The scene has no grid '{node}'",
            expected=f"one of {', '.join(nodes)}",
            remedy=f"the nearest is {nearest(node, nodes)}",
        )
    chosen = nodes if node is None else {node: nodes[node]}
    with replacing_folder(place) as folder:
        for name, cube in {**chosen, **(groups or {})}.items():
            _write_group(folder, name, cube, chunk)
    return place


def _write_group(folder: Path, name: str, dataset: xr.Dataset, chunk: int) -> None:
    dataset = _plain(dataset)
    encoding: dict[str, Any] = {}
    for key, variable in dataset.data_vars.items():
        shape = tuple(_chunk(str(dim), size, chunk) for dim, size in variable.sizes.items())
        encoding[str(key)] = {"chunks": shape}
        if variable.chunks is not None:
            # A stored chunk must not be written by two tasks at once.
            dataset[key] = variable.chunk(dict(zip(variable.dims, shape, strict=True)))
    dataset.to_zarr(folder, group=name, mode="a", consolidated=False, encoding=encoding, zarr_format=2)


def _chunk(dim: str, size: int, chunk: int) -> int:
    """Length of stored chunks: tiles on the ground, single dates and bands of images, whole series of the rest."""
    if dim in ("y", "x"):
        return max(1, min(chunk, size))
    return 1 if dim in ("time", "band") else max(1, size)


def _plain(cube: xr.Dataset) -> xr.Dataset:
    """Text as fixed-length strings, which every reader knows, and without encodings of the files it came from."""
    text = {
        key: (coordinate.dims, coordinate.values.astype(np.str_), coordinate.attrs)
        for key, coordinate in cube.coords.items()
        if coordinate.dtype == object
    }
    plain = cube.assign_coords(text).drop_encoding()
    return plain.assign_attrs({key: _attribute(value) for key, value in cube.attrs.items()})


def _attribute(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
