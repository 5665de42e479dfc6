"""Open a planet that was made."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import rasterio
import xarray as xr

from swath import cubes, sensors
from swath.cubes import geobox_of, make_cube
from swath.errors import InputError
from swath.sources.planet.agreement import agreement_table
from swath.sources.planet.build import read_manifest

SENSOR = "globe"
INPUTS = ("red", "green", "blue", "elevation", "absolute_latitude")


def open(path: Path | str) -> xr.DataTree:
    """The layers of a planet as a scene: one node a layer, named as its file, read lazily.

    Args:
        path: directory that ``make`` wrote.

    Raises:
        InputError: the directory is no planet, or a layer is missing or damaged.
    """
    manifest = read_manifest(path)
    nodes = {}
    for name, described in manifest["layers"].items():
        scene = cubes.open(_layer_file(path, described["file"]))
        nodes[name] = next(iter(scene.children.values())).to_dataset()
    attrs = {"source": str(path), "world": manifest["world"], "resolution": manifest["resolution"]}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def inputs(path: Path | str) -> xr.Dataset:
    """What a model may see of the planet, as a cube of the sensor ``globe`` in physical units.

    Bands: red, green, blue (display values, 0 to 1), elevation (m) and absolute latitude (degrees). Land cover, climate
    and the land mask are targets or groups and never inputs. A cell is valid where all five are known, which is
    everywhere but on land south of 85° S, where the source has no elevation. The imagery is a composite without a date
    (attr ``time_known`` is 0).

    Args:
        path: directory that ``make`` wrote.

    Returns:
        Cube with ``data`` ``(1, 5, y, x)`` float32 and ``valid`` ``(1, y, x)``, dask-backed.

    Raises:
        InputError: as ``open``.
    """
    scene = open(path)
    for name in ("true_colour", "elevation"):
        if name not in scene.children:
            _layer_file(path, f"{name}.tif")
    colour, relief = scene["true_colour"].to_dataset(), scene["elevation"].to_dataset()
    geobox = geobox_of(relief)
    valid = _one_mask(colour) & _one_mask(relief)
    metres = da.where(valid[:, None], relief["data"].data.astype(np.float32), np.float32(0))
    latitude = da.from_array(np.abs(relief["y"].values).astype(np.float32), chunks=(metres.chunks[2],))
    latitudes = da.broadcast_to(latitude[None, None, :, None], metres.shape, chunks=metres.chunks)
    scaled = [colour["data"].data.astype(np.float32) / np.float32(255), metres, latitudes]
    data = da.concatenate(scaled, axis=1).rechunk({1: len(INPUTS)})
    bands = sensors.load(SENSOR).bands.select(INPUTS)
    attrs = {"sensor": SENSOR, "level": "", "baseline": "", "source": str(path), "time_known": 0}
    return make_cube(
        data,
        valid,
        geobox,
        bands,
        time=relief["time"].values,
        scale=[1.0] * len(bands),
        offset=[0.0] * len(bands),
        stored=False,
        attrs=attrs,
    )


def labels(path: Path | str, layer: str = "land_cover") -> xr.DataArray:
    """One class layer of the planet: int16 ``(y, x)`` in memory, numbered as its legend.

    Raises:
        InputError: the planet has no such layer, or it is no class map.
    """
    described = read_manifest(path)["layers"]
    if layer not in described or layer in ("true_colour", "elevation", "turbidity"):
        raise InputError(
            f"The planet in {path} has no class layer '{layer}'",
            expected="land_cover, koppen, land or continent",
            remedy="choose one of these",
        )
    return cubes.read_labels(_layer_file(path, described[layer]["file"]))


def alignment(path: Path | str) -> pd.DataFrame:
    """How well the layers agree about water with the land cover, for shifts of up to two cells.

    Returns:
        Columns ``layer``, ``dx``, ``dy`` (cells that the land cover is shifted east and south) and ``agreement``.

    Raises:
        InputError: the directory is no planet, or a layer is missing or damaged.
    """
    names = ("true_colour", "elevation", "land_cover", "koppen", "land")
    arrays = {}
    for name in names:
        file = _layer_file(path, f"{name}.tif")
        try:
            with rasterio.open(file) as raster:
                array = raster.read()
        except rasterio.errors.RasterioError as error:
            raise InputError(
                f"The layer {file} cannot be read ({error})",
                expected="the file as it was written",
                remedy="make the planet again",
            ) from error
        arrays[name] = array if len(array) > 1 else array[0]
    return agreement_table(arrays)


def _layer_file(path: Path | str, file: str) -> Path:
    full = Path(path) / file
    if not full.is_file():
        raise InputError(
            f"The layer {full} is missing",
            expected="all the files that 'swath data make planet' wrote",
            remedy=f"make the planet again: swath data make planet --out {path}",
        )
    return full


def _one_mask(cube: xr.Dataset) -> da.Array:
    """Validity ``(time, y, x)``: True where all bands may be used."""
    valid = cube["valid"]
    together = valid.all("band") if "band" in valid.dims else valid
    mask: da.Array = together.data
    return mask
