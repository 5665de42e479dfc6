"""A map as plain files: a folder that any host of static files can show, without a program of ours behind it.

The page reads copies of the rasters in the browser, piece by piece where the host answers range requests. The copies
are in Web Mercator (see ``site_copies``); the originals lie beside them, to be downloaded and measured.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.io import DatasetReader

from swath.errors import ConfigError, InputError, MissingError
from swath.files import replacing_folder, sha256, write_json, write_text
from swath.reading import read_json, reading
from swath.serve.found import collection_at
from swath.serve.handles import open_raster
from swath.serve.layers import Layer, LayerSet, raster_path
from swath.serve.site_copies import SIDE, Plan, Stored, plan_copy, write_copy
from swath.serve.suited import shown_bands

DESCRIPTION = "site.json"
WRITTEN_BY = "swath map"
SCHEMA = 1

STATIC = Path(__file__).parent / "static"
PAGE = Path(__file__).parent / "static_site"

# Where each file of the page comes from. Module scripts end in .js here: hosts of static files know that type.
PAGE_FILES: dict[str, Path] = {
    "index.html": PAGE / "index.html",
    "app/map.js": PAGE / "map.js",
    "app/panel.js": PAGE / "panel.js",
    "app/copies.js": PAGE / "copies.js",
    "app/ranges.js": PAGE / "ranges.js",
    "app/style.css": STATIC / "style.css",
    "app/site.css": PAGE / "site.css",
    "app/icon.svg": STATIC / "icon.svg",
}
VENDOR_FILES: dict[str, Path] = {
    "vendor/maplibre-gl.js": STATIC / "vendor" / "maplibre-gl.mjs",
    "vendor/maplibre-gl-worker.js": STATIC / "vendor" / "maplibre-gl-worker.mjs",
    "vendor/maplibre-gl.css": STATIC / "vendor" / "maplibre-gl.css",
    "vendor/maplibre-gl-LICENSE.txt": STATIC / "vendor" / "LICENSE.txt",
    "vendor/geotiff.js": PAGE / "vendor" / "geotiff.js",
    "vendor/geotiff-LICENSE.txt": PAGE / "vendor" / "LICENSE",
}

_RASTER = "a GeoTIFF, or a PNG, JPEG or JPEG 2000 picture that says where it lies"
_REMEDY = "write the file again or take its layer off the list"

# The names of matplotlib's colour maps, which the ids of layers write in small letters.
_COLORMAPS = {"blues": "Blues", "ylgnbu": "YlGnBu", "rdbu": "RdBu", "brbg": "BrBG", "puor": "PuOr"}

_READ_ME = """{title}
{line}

This folder is a map. It was written by `swath map`; run the same command again to write it anew.

To look at it on this machine, start any web server in this folder, for example

    python -m http.server 8000

and open http://127.0.0.1:8000 in a browser. Opening index.html from the disk does not work: browsers let no page read
files there. Python's server sends whole files; the page says so and goes on.

To publish it, copy the folder as it is to any host of static files. Hosts that answer range requests (nginx, Apache
and object stores do) send only the parts of a raster that are looked at. Nothing is loaded from other hosts.

data/      copies in web Mercator, read by the page
download/  the originals; use these for measuring
vendor/    MapLibre GL JS and geotiff.js with their licences
"""


@dataclass(frozen=True)
class SiteLayer:
    """One layer of a written site.

    Args:
        id, title: as in the list of layers.
        zoom: zoom of the pixels of the copy, for tiles of 512 x 512 pixels.
        copy_bytes: size of the copy that browsers read.
        original_bytes: size of the raster that can be downloaded.
    """

    id: str
    title: str
    zoom: int
    copy_bytes: int
    original_bytes: int


@dataclass(frozen=True)
class SiteReport:
    """What ``write_site`` wrote.

    Args:
        folder: the site.
        title: title of the map.
        layers: its layers.
        files: number of files.
        bytes: size of all files.
        notes: sentences about what differs from the rasters, for example a copy that is coarser.
    """

    folder: Path
    title: str
    layers: tuple[SiteLayer, ...]
    files: int
    bytes: int
    notes: tuple[str, ...]


def write_site(place: str | os.PathLike[str], out: str | os.PathLike[str], *, title: str | None = None) -> SiteReport:
    """Write the map of a directory, or of one GeoTIFF, as a folder of plain files that needs no server program.

    The folder appears when it is complete, or not at all; one that an earlier call wrote is replaced.

    Args:
        place: a directory with ``layers.json`` or with GeoTIFFs, or one GeoTIFF.
        out: the folder to write; new, empty, or from an earlier call.
        title: title of the map; by default that of ``layers.json``, or the name of the place.

    Raises:
        InputError: there is nothing to show, or a raster cannot be read or has no place on the map.
        ConfigError: ``out`` holds files that no earlier call wrote.
        ResourceError: ``out`` cannot be written.
        MissingError: MapLibre GL or geotiff.js are not in this copy of swath.
    """
    directory, collection = collection_at(place)
    if not collection.layers:
        raise InputError(
            f"The list of layers in '{directory}' is empty",
            expected="at least one layer",
            remedy="give the output directory of `swath demo` or of a prediction",
        )
    target = Path(os.path.realpath(out))
    check_target(target)
    _check_vendor()
    shown = (title or "").strip() or collection.title
    with replacing_folder(target) as folder:
        layers, notes = _write_layers(folder, directory, collection)
        _write_page(folder, shown, layers)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in files)
    written = tuple(
        SiteLayer(
            entry["id"], entry["title"], entry["copy"]["zoom"], entry["copy"]["bytes"], entry["original"]["bytes"]
        )
        for entry in layers
    )
    return SiteReport(target, shown, written, len(files), size, tuple(notes))


def check_target(target: Path) -> None:
    """Refuse a folder that holds anything but a site.

    Raises:
        ConfigError: there are files that ``write_site`` did not write, or something that is not a folder.
    """
    if not target.is_dir():
        return  # a file of that name is refused where the folder is made
    found = {
        path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    foreign = sorted(found - _written_before(target))
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ConfigError(
            f"'{target}' holds what `swath map` did not write: {', '.join(foreign[:3])}{more}",
            expected="a new or empty folder, or a site of an earlier run, which is replaced as a whole",
            remedy="choose another folder",
        )


def palette(colormap: str) -> list[str]:
    """The 256 colours of a colour map of a layer as ``#rrggbb``, from low to high."""
    import matplotlib

    steps = matplotlib.colormaps[_COLORMAPS.get(colormap, colormap)](np.arange(256), bytes=True)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue, _ in steps.tolist()]


def _written_before(target: Path) -> set[str]:
    """The files that the description of an earlier site lists; nothing where there is none."""
    try:
        content = read_json(target / DESCRIPTION, expected="the description of a site")
    except InputError:
        return set()
    if not isinstance(content, dict) or content.get("written_by") != WRITTEN_BY:
        return set()
    listed = content.get("files")
    return {str(name) for name in listed} if isinstance(listed, list) else set()


def _check_vendor() -> None:
    for source in VENDOR_FILES.values():
        if not source.is_file():
            raise MissingError(
                f"The file {source.name} of the page is not in this copy of swath",
                expected="the files that an installed wheel carries",
                remedy="run: python tools/fetch_maplibre.py (`make setup` does it)",
            )


def _write_layers(folder: Path, directory: Path, collection: LayerSet) -> tuple[list[dict[str, Any]], list[str]]:
    """Copies, originals and the description of each layer; notes for people."""
    for name in ("data", "download"):
        (folder / name).mkdir()
    paths = [raster_path(directory, layer).resolve() for layer in collection.layers]
    names = download_names(paths)
    layers, notes = [], []
    for layer, path in zip(collection.layers, paths, strict=True):
        with reading(layer.path, expected=_RASTER, remedy=_REMEDY), open_raster(path) as source:
            entry, note = _write_layer(folder, layer, source)
        original = folder / "download" / names[path]
        if not original.exists():
            shutil.copyfile(path, original)
        size = original.stat().st_size
        layers.append(entry | {"original": {"file": f"download/{names[path]}", "bytes": size}})
        notes += [note] if note else []
    return layers, notes


def _write_layer(folder: Path, layer: Layer, source: DatasetReader) -> tuple[dict[str, Any], str]:
    """Write the copy of one layer; its description, and a sentence where the copy is coarser than the raster."""
    indexes = shown_bands(layer, source)
    plan = _planned(layer, source)
    drawn = folder / "data" / f"{layer.id}.tif"
    stored = write_copy(layer, source, indexes, plan, drawn)
    # The content is part of the name: what a browser keeps of an older copy is never taken for this one.
    final = drawn.with_name(f"{layer.id}-{sha256(drawn)[:12]}.tif")
    drawn.rename(final)
    fields = layer.model_dump(mode="json", exclude={"path", "bands", "colormap"})
    fields |= {
        "bounds": plan.bounds,
        "colours": palette(layer.colormap) if layer.kind == "continuous" else [],
        "scale": source.scales[indexes[0] - 1] if layer.kind == "continuous" else 1.0,
        "offset": source.offsets[indexes[0] - 1] if layer.kind == "continuous" else 0.0,
        "copy": _copy_fields(final, plan, stored),
    }
    if not plan.reduced:
        return fields, ""
    times = 2**plan.reduced
    return fields, f"{layer.title}: drawn {times} times coarser than the raster, which is too large to draw in full"


def _planned(layer: Layer, source: DatasetReader) -> Plan:
    plan = plan_copy(source)
    if plan is None:
        raise InputError(
            f"The layer '{layer.id}' shows '{layer.path}', no part of which has a place in web Mercator",
            expected="a raster between 85 degrees south and 85 degrees north",
            remedy="check its CRS, or take the layer off the list",
        )
    return plan


def _copy_fields(path: Path, plan: Plan, stored: Stored) -> dict[str, Any]:
    nodata = None if stored.nodata is None or np.isnan(stored.nodata) else stored.nodata
    return {
        "file": f"data/{path.name}",
        "bytes": path.stat().st_size,
        "zoom": plan.zoom,
        "column": plan.column,
        "row": plan.row,
        "width": plan.columns * SIDE,
        "height": plan.rows * SIDE,
        "nodata": nodata,
    }


def _write_page(folder: Path, title: str, layers: list[dict[str, Any]]) -> None:
    for name, source in (PAGE_FILES | VENDOR_FILES).items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, folder / name)
    write_text(folder / "README.txt", _READ_ME.format(title=title, line="=" * len(title)))
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    description = {"written_by": WRITTEN_BY, "schema_version": SCHEMA, "title": title, "layers": layers}
    write_json(folder / DESCRIPTION, description | {"files": sorted([*files, DESCRIPTION])})


def download_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Names for files to be downloaded: plain letters, and no two that differ in case alone."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        if path in names:
            continue
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:80] or "raster"
        suffix = re.sub(r"[^A-Za-z0-9.]", "", path.suffix)[:8] or ".tif"
        number, name = 1, stem + suffix
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        taken.add(name.lower())
        names[path] = name
    return names
