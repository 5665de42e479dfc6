"""rslearn data sets on disk: windows as scenes, and chip sets as windows.

Layout: ``config.json`` names layers and bands; ``windows/GROUP/NAME/metadata.json`` tells projection, bounds in pixels
and time; ``layers/LAYER[.NUMBER]/BANDS/geotiff.tif`` holds pixels, and ``completed`` beside them says that they are
whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import cubes
from swath.chips import ChipSet
from swath.errors import ConfigError, InputError, nearest
from swath.files import replacing_folder, write_json
from swath.reading import read_json, reading
from swath.types import IGNORE, Split

CONFIG, METADATA, RASTER, COMPLETED = "config.json", "metadata.json", "geotiff.tif", "completed"
UNKNOWN = 255
"""What a label raster written for rslearn holds where nothing is known."""

UNUSED = "unused"
"""The part of a split that lies between the others."""

_WHAT = "a data set as rslearn writes it"


@dataclass(frozen=True)
class RslearnWindow:
    """One window of a data set.

    Args:
        group: its group, often the split.
        name: its name.
        folder: where it lies.
        geobox: its grid.
        start: begin of its time range in UTC, or None.
        options: what the data set says about it besides.
        layers: band names of every finished layer.
    """

    group: str
    name: str
    folder: Path
    geobox: GeoBox
    start: datetime | None
    options: Mapping[str, Any]
    layers: Mapping[str, tuple[str, ...]]


def read_windows(root: Path | str) -> list[RslearnWindow]:
    """All windows of a data set, sorted by group and name; reads no pixel.

    Raises:
        InputError: there is no data set, or its files are damaged.
    """
    root = Path(root)
    layers = _raster_layers(root)
    found = []
    for path in sorted(root.glob(f"windows/*/*/{METADATA}")):
        record = read_json(path, expected=_WHAT)
        with reading(path, expected=_WHAT):
            found.append(_window(path.parent, record, layers))
    if not found:
        raise InputError(f"There is no window in '{root}'", expected=_WHAT, remedy="add and materialize windows first")
    return found


def open_window(
    window: RslearnWindow, layer: str, *, sensor: str | None = None, level: str | None = None
) -> xr.DataTree:
    """The pixels of one layer of a window as a scene.

    Args:
        window: from ``read_windows``.
        layer: name of a raster layer; ``NAME.1`` is its second group of items.
        sensor: as ``cubes.open``.
        level: as ``cubes.open``.

    Raises:
        InputError: the layer is absent or not finished, or ``cubes.open`` finds a fault.
    """
    if layer not in window.layers:
        raise InputError(
            f"The window {window.group}/{window.name} has no finished layer '{layer}'",
            expected=f"one of {', '.join(window.layers) or 'none'}",
            remedy=f"the nearest are: {nearest(layer, window.layers)}; or materialize it with rslearn",
        )
    bands = window.layers[layer]
    path = window.folder / "layers" / layer / directory_of(bands) / RASTER
    when = None if window.start is None else window.start.replace(tzinfo=None).isoformat()
    return cubes.open(path, bands=bands, sensor=sensor, level=level, time=when)


def write_windows(chipset: ChipSet, split: Split, out: Path | str) -> Path:
    """Write a chip set as an rslearn data set: one window a chip, groups are the parts of the split.

    Layers: ``image`` holds physical values in float32, NaN where invalid; ``label`` class numbers in uint8, 255 where
    unknown. Classes are named in ``config.json``. Only the first date is written.

    Args:
        chipset: the chips.
        split: chips that it does not place are left out.
        out: folder to write.

    Raises:
        ConfigError: more than 255 classes, or a grid that does not lie on whole multiples of its pixels, which rslearn
            demands.
        InputError: the split names unknown chips.
    """
    if len(chipset.classes) > UNKNOWN:
        raise ConfigError(
            f"The chips have {len(chipset.classes)} classes", expected=f"at most {UNKNOWN}", remedy="merge classes"
        )
    left, top = _whole_origin(chipset)
    with replacing_folder(Path(out)) as folder:
        write_json(folder / CONFIG, _config(chipset))
        for part in split.counts():
            if part == UNUSED:
                continue
            for name in split.ids(part):
                _write_window(chipset, name, (left, top), folder / "windows" / part / name, part)
    return Path(out)


def directory_of(bands: Sequence[str]) -> str:
    """Name of the folder of some bands: their names, or a hash where these are ambiguous or long."""
    if any("_" in band for band in bands):
        return hashlib.sha256(json.dumps(list(bands)).encode()).hexdigest()
    joined = "_".join(bands)
    return joined if len(joined) <= 64 else hashlib.sha256(joined.encode()).hexdigest()


def _raster_layers(root: Path) -> dict[str, list[tuple[str, ...]]]:
    """Band sets of every raster layer."""
    path = root / CONFIG
    if not path.is_file():
        raise InputError(f"There is no {path}", expected=_WHAT, remedy="give the folder that holds config.json")
    record = read_json(path, expected=_WHAT)
    with reading(path, expected=_WHAT):
        return {
            str(name): [tuple(str(band) for band in each["bands"]) for each in layer.get("band_sets", [])]
            for name, layer in record["layers"].items()
            if layer["type"] == "raster"
        }


def _window(folder: Path, record: Mapping[str, Any], known: Mapping[str, list[tuple[str, ...]]]) -> RslearnWindow:
    place = record["projection"]
    step = (float(place["x_resolution"]), float(place["y_resolution"]))
    left, top, right, bottom = (int(number) for number in record["bounds"])
    affine = Affine(step[0], 0, left * step[0], 0, step[1], top * step[1])
    span = record.get("time_range")
    start = datetime.fromisoformat(span[0]) if span else None
    return RslearnWindow(
        group=folder.parent.name,
        name=folder.name,
        folder=folder,
        geobox=GeoBox((bottom - top, right - left), affine, str(place["crs"])),
        start=None if start is None else start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC),
        options=dict(record.get("options") or {}),
        layers=_finished(folder, known),
    )


def _finished(folder: Path, known: Mapping[str, list[tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Bands of the layers that are whole; the first set of bands that lies there."""
    found: dict[str, tuple[str, ...]] = {}
    for mark in sorted(folder.glob(f"layers/*/{COMPLETED}")):
        sets = known.get(mark.parent.name.partition(".")[0], [])
        held = next((bands for bands in sets if (mark.parent / directory_of(bands) / RASTER).is_file()), None)
        if held is not None:
            found[mark.parent.name] = held
    return found


def _whole_origin(chipset: ChipSet) -> tuple[int, int]:
    """Column and row of the scene's corner, counted in pixels from the origin of its CRS."""
    affine = chipset.scene.affine
    exact = (affine.c / affine.a, affine.f / affine.e) if affine.b == affine.d == 0 else (0.5, 0.5)
    whole = round(exact[0]), round(exact[1])
    if max(abs(exact[0] - whole[0]), abs(exact[1] - whole[1])) > 1e-3:
        raise ConfigError(
            f"The grid of the chips begins {exact[0]:.3f} x {exact[1]:.3f} pixels from the origin of its CRS",
            expected="whole numbers of pixels, which rslearn's windows are placed by",
            remedy="align the scene first: cubes.to_cube(scene, geobox=...) on a grid that is a multiple of its pixels",
        )
    return whole


def _config(chipset: ChipSet) -> dict[str, Any]:
    image = {"dtype": "float32", "bands": list(chipset.bands.names)}
    label = {"dtype": "uint8", "bands": ["label"], "class_names": [list(chipset.classes)]}
    return {
        "layers": {
            "image": {"type": "raster", "band_sets": [image]},
            "label": {"type": "raster", "band_sets": [label], "resampling_method": "nearest"},
        }
    }


def _write_window(chipset: ChipSet, name: str, corner: tuple[int, int], folder: Path, part: str) -> None:
    row, column = (int(chipset.index.loc[chipset.index["id"] == name, axis].iloc[0]) for axis in ("row", "column"))
    left, top = corner[0] + column, corner[1] + row
    box, arrays = chipset.geobox(name), chipset.load([name])
    moment = datetime.fromtimestamp(chipset.description.times[0], UTC).isoformat()
    folder.mkdir(parents=True)
    write_json(
        folder / METADATA,
        {
            "group": part,
            "name": name,
            "projection": {
                "crs": chipset.description.crs,
                "x_resolution": box.affine.a,
                "y_resolution": box.affine.e,
            },
            "bounds": [left, top, left + chipset.size, top + chipset.size],
            "time_range": [moment, moment],
            "options": {"split": part},
        },
    )
    image = np.where(arrays.valid[0, 0], arrays.values[0, 0], np.nan).astype(np.float32)
    label = np.where(arrays.labels[0] == IGNORE, UNKNOWN, arrays.labels[0]).astype(np.uint8)[None]
    _write_layer(folder / "layers" / "image", chipset.bands.names, image, box, np.nan)
    _write_layer(folder / "layers" / "label", ("label",), label, box, UNKNOWN)


def _write_layer(folder: Path, bands: Sequence[str], values: np.ndarray[Any, Any], box: GeoBox, nodata: float) -> None:
    place = folder / directory_of(bands)
    place.mkdir(parents=True)
    count, height, width = values.shape
    shape = {"width": width, "height": height, "count": count, "dtype": values.dtype, "nodata": nodata}
    grid = {"crs": str(box.crs), "transform": box.affine}
    with rasterio.open(place / RASTER, "w", driver="GTiff", compress="deflate", **shape, **grid) as dataset:
        dataset.write(values)
        dataset.descriptions = tuple(bands)
    (folder / COMPLETED).touch()
