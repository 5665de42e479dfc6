"""Open a scene: one node per native grid, lazily, with validity beside the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from swath import grids
from swath.cubes.assemble import EPOCH, Options, Storage, When, parse_time, sensor_bands, storage_of, tree_of
from swath.cubes.cube import make_cube, same_grid
from swath.cubes.names import band_of_single, bands_in_file, is_alpha
from swath.cubes.nodata import NoData, can_be_invalid, lazy_valid, per_band
from swath.cubes.raster import RasterFile, lazy_bands, lazy_mask, probe
from swath.cubes.stores import is_store, open_store
from swath.errors import InputError
from swath.sensors import Band, BandSet

PathLike: TypeAlias = str | Path
RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".img"})


@dataclass(frozen=True)
class Layer:
    """Bands of one file on their grid, and what their numbers mean; arrays are lazy.

    Args:
        file: the file.
        keep: its bands in order (0-based), an alpha band left out.
        storage: names, scale and offset of these bands.
        invalid: the numbers of each band that mean no data.
        masked: whether the file's own mask counts.
    """

    file: RasterFile
    keep: tuple[int, ...]
    storage: Storage
    invalid: tuple[tuple[float, ...], ...]
    masked: bool

    @property
    def path(self) -> str:
        """The file, as given."""
        return self.file.path

    @property
    def geobox(self) -> GeoBox:
        """The grid of the file."""
        return self.file.geobox

    @cached_property
    def data(self) -> da.Array:
        """Stored numbers ``(band, y, x)``."""
        return lazy_bands(self.file, self.keep)

    @cached_property
    def valid(self) -> da.Array:
        """Validity: ``(y, x)`` where no number can mean "invalid", else ``(band, y, x)``."""
        mask = lazy_mask(self.file) if self.masked else None
        if can_be_invalid(self.data.dtype, self.invalid):
            valid = lazy_valid(self.data, self.invalid)
            return valid if mask is None else valid & mask
        data = self.data
        return da.ones(data.shape[1:], dtype=bool, chunks=data.chunks[1:]) if mask is None else mask


def open(
    path: PathLike | Sequence[PathLike],
    *,
    sensor: str | None = None,
    level: str | None = None,
    baseline: str | None = None,
    bands: Sequence[str] | None = None,
    nodata: NoData = None,
    time: When = None,
) -> xr.DataTree:
    """Open a scene without reading its pixels.

    Children are cubes ``(time, band, y, x)``, one per native grid, named ``grid_10m`` and so on. Where several files
    are stacked, the attribute ``files`` of the scene and of each cube names those that were taken.

    Args:
        path: GeoTIFF or COG, NetCDF, Zarr, a STAC item (its JSON file or folder), a folder of single-band files, or a
            list of files of one date.
        sensor: name of the sensor: names, wavelengths, scale, offset and no-data of its bands.
        level: processing level of the sensor.
        baseline: processing baseline, where the scale depends on it.
        bands: band names in file order (one per file for single-band files); for NetCDF and Zarr the variables wanted.
        nodata: value or values that mean no data, instead of what file and sensor declare; ``()`` means none.
            NaN and infinity are invalid always.
        time: acquisition time; else the file's TIFFTAG_DATETIME, else 1970-01-01 with attr ``time_known`` 0.

    Raises:
        InputError: a file is missing, truncated, no raster, has no known CRS or a rotated grid, or does not fit the
            bands that were named.
    """
    names = None if bands is None else tuple(bands)
    options = Options(sensor, level, baseline, names, nodata, parse_time(time))
    if not isinstance(path, str | Path):
        return _from_files([str(item) for item in path], options, source=f"{len(path)} files")
    if is_store(path):
        return open_store(path, options)
    if (item := item_file(Path(path))) is not None:
        return _from_item(item, options)
    if Path(path).is_dir():
        return _from_files(rasters_in(Path(path)), options, source=str(path))
    return _from_files([str(path)], options, source=str(path))


def item_file(path: Path) -> Path | None:
    """The STAC item that a path names: a JSON file, or a folder with a JSON file of its own name; None for others."""
    inner = path / f"{path.name}.json"
    if path.is_dir():
        return inner if path.name and inner.is_file() else None
    return path if path.suffix.lower() == ".json" and path.is_file() else None


def _from_item(path: Path, options: Options) -> xr.DataTree:
    """The scene of a STAC item, whose sensor, level and baseline count where the caller names none."""
    from swath.cubes import catalogue  # it opens its rasters with this module

    item = catalogue.read_item(path)
    return catalogue.load(
        item, bands=options.bands, sensor=options.sensor, level=options.level, baseline=options.baseline
    )


def _from_files(paths: Sequence[str], options: Options, source: str) -> xr.DataTree:
    return scene_of([probe(path) for path in paths], options, source)


def scene_of(files: Sequence[RasterFile], options: Options, source: str) -> xr.DataTree:
    """The scene of raster files of one date; ``source`` names it.

    Raises:
        InputError: as ``open``.
    """
    layers, when = layers_of(files, options)
    attrs: dict[str, Any] = {
        "sensor": options.sensor or "",
        "level": options.level or "",
        "baseline": options.baseline or "",
        "source": source,
        "time_known": int(when is not None),
    }
    moment = EPOCH if when is None else when
    # Which files were taken is no matter of course: a folder holds more than one thinks, and repeats are left out.
    groups = [(group, _files_of(group) if len(files) > 1 else {}) for group in _by_grid(layers)]
    taken = _files_of(layers) if len(files) > 1 else {}
    return tree_of([_stack(group, moment, attrs | own) for group, own in groups], attrs | taken)


def stored_layers(paths: Sequence[str], options: Options) -> tuple[list[Layer], np.datetime64 | None]:
    """What the raster files of one scene hold, file by file, and when it was taken (None if unknown); reads no pixel.

    Raises:
        InputError: as ``open``.
    """
    return layers_of([probe(path) for path in paths], options)


def layers_of(files: Sequence[RasterFile], options: Options) -> tuple[list[Layer], np.datetime64 | None]:
    """``stored_layers`` of files that were probed.

    Raises:
        InputError: as ``open``.
    """
    if not files:
        raise InputError("The list of files is empty", expected="at least one raster", remedy="pass the scene's files")
    when = options.time if options.time is not None else _declared_time(files)
    several = len(files) > 1 and all(file.count == 1 for file in files)
    if several and options.bands is not None and len(options.bands) != len(files):
        raise InputError(
            f"{len(options.bands)} band names were given for {len(files)} single-band files",
            expected="one name per file, in the order of the files",
            remedy=f"name {', '.join(Path(file.path).name for file in files[:6])}{' ...' if len(files) > 6 else ''}",
        )
    layers = [_layer(file, options, when, index if several else None) for index, file in enumerate(files)]
    layers = _native_only(layers) if options.sensor is not None else layers
    _check_unique(layers)
    return layers, when


def _files_of(layers: Sequence[Layer]) -> dict[str, str]:
    """The attribute that tells which files were taken."""
    return {"files": ", ".join(Path(layer.path).name for layer in layers)}


def _layer(file: RasterFile, options: Options, when: np.datetime64 | None, index: int | None) -> Layer:
    """Name, scale and mask the bands of one file; ``index`` is its place among single-band files."""
    known, names, keep = sensor_bands(options), options.bands, tuple(range(file.count))
    if index is not None or (file.count == 1 and names is None):
        name = None if names is None or index is None else names[index]
        bands = BandSet((band_of_single(file.path, file.descriptions[0], known, name),))
    else:
        if is_alpha(file.alpha, file.descriptions, names, known):
            keep = tuple(position for position in keep if position != file.alpha)
        bands = bands_in_file(file.path, len(keep), [file.descriptions[i] for i in keep], known, names)
    storage = storage_of(
        options,
        bands,
        when,
        scale=[file.scale[i] for i in keep],
        offset=[file.offset[i] for i in keep],
        units=[file.units[i] for i in keep],
    )
    numbers = per_band(options.nodata, [file.nodata[i] for i in keep], storage.invalid)
    # A band marked as alpha but used as a band is no mask.
    masked = file.shared_mask and not (file.alpha is not None and file.alpha in keep)
    return Layer(file, keep, storage, numbers, masked)


def _native_only(layers: list[Layer]) -> list[Layer]:
    """Of a band that lies in several resolutions (Sentinel-2 products repeat them), keep its native one."""
    if any(len(layer.storage.bands) != 1 for layer in layers):
        return layers
    best: dict[str, Layer] = {}
    for layer in layers:
        band = layer.storage.bands[0]
        current = best.get(band.name)
        if current is None or _distance(layer, band) < _distance(current, band):
            best[band.name] = layer
        elif same_grid(current.geobox, layer.geobox):
            return layers  # the same band twice on one grid: a mistake, told as such
    return [layer for layer in layers if best[layer.storage.bands[0].name] is layer]


def _distance(layer: Layer, band: Band) -> float:
    """How far the grid of a file is from the native resolution of its band, as a ratio."""
    gsd = grids.gsd_m(layer.geobox)
    return abs(np.log(gsd / band.gsd_m)) if band.gsd_m else float(np.log(gsd))


def _check_unique(layers: Sequence[Layer]) -> None:
    owners: dict[str, str] = {}
    for layer in layers:
        for band in layer.storage.bands:
            if band.name.lower() in owners:
                raise InputError(
                    f"The band '{band.name}' is in '{owners[band.name.lower()]}' and again in '{layer.path}'",
                    expected="every band of a scene once",
                    remedy="leave one of the files out, give bands= with distinct names, or open each date on its own",
                )
            owners[band.name.lower()] = layer.path


def _by_grid(layers: Sequence[Layer]) -> list[list[Layer]]:
    groups: list[list[Layer]] = []
    for layer in layers:
        group = next((group for group in groups if same_grid(group[0].geobox, layer.geobox)), None)
        if group is None:
            groups.append([layer])
        else:
            group.append(layer)
    return groups


def _stack(layers: Sequence[Layer], when: np.datetime64, attrs: dict[str, Any]) -> xr.Dataset:
    """Layers on one grid as a cube of one date."""
    storages = [layer.storage for layer in layers]
    data = da.concatenate([layer.data for layer in layers], axis=0)
    if len(layers) == 1:
        valid = layers[0].valid
    else:
        valid = da.concatenate([da.broadcast_to(layer.valid, layer.data.shape) for layer in layers], axis=0)
    return make_cube(
        data[None],
        valid[None],
        layers[0].geobox,
        BandSet(tuple(band for storage in storages for band in storage.bands)),
        time=np.array([when]),
        scale=[value for storage in storages for value in storage.scale],
        offset=[value for storage in storages for value in storage.offset],
        stored=any(storage.stored for storage in storages),
        attrs=attrs,
    )


def rasters_in(folder: Path) -> list[str]:
    """The raster files of a folder in order of their names.

    Raises:
        InputError: it holds none.
    """
    found = sorted(str(item) for item in folder.iterdir() if item.suffix.lower() in RASTER_SUFFIXES)
    if not found:
        raise InputError(
            f"The folder '{folder}' holds no raster",
            expected=f"files that end in {', '.join(sorted(RASTER_SUFFIXES))}, or a Zarr store",
            remedy="check the path, or pass the files as a list",
        )
    return found


def _declared_time(files: Sequence[RasterFile]) -> np.datetime64 | None:
    """The first TIFFTAG_DATETIME (``2021:07:05 10:30:00``) that is a date."""
    for file in files:
        text = file.tags.get("TIFFTAG_DATETIME", "")
        try:
            when = datetime.strptime(text.strip(), "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        return np.datetime64(when, "ns")
    return None
