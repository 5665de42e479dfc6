"""Write the planet: aligned cloud-optimised GeoTIFFs of the real Earth, and ``planet.json`` about them."""

from __future__ import annotations

import calendar
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import __version__
from swath.cubes import Legend, write_cog
from swath.errors import ConfigError, InputError
from swath.files import replacing_folder
from swath.sources.planet import agreement, continents, layers, legends, packages
from swath.sources.planet.packages import Progress

MANIFEST = "planet.json"
SCHEMA = 1
FINEST, COARSEST = 0.05, 2.0
_MONTHS = tuple(calendar.month_name[1:])


@dataclass(frozen=True)
class Layer:
    """How one layer is written.

    Args:
        names: band names.
        unit: unit of the values after scaling, None for classes.
        nodata: the number that means "unknown", where there is one.
        scale: factor and offset that turn stored numbers into the unit.
        legend: classes, where the layer is a class map.
    """

    names: tuple[str, ...]
    unit: str | None = None
    nodata: float | None = None
    scale: tuple[float, float] | None = None
    legend: Legend | None = None


LAYERS: dict[str, Layer] = {
    "true_colour": Layer(("red", "green", "blue")),
    "elevation": Layer(("elevation",), unit="m", nodata=layers.ELEVATION_NODATA),
    "land_cover": Layer(("land_cover",), legend=legends.IGBP),
    "koppen": Layer(("koppen",), legend=legends.KOPPEN),
    "land": Layer(("land",), legend=legends.LAND),
    "turbidity": Layer(_MONTHS, unit="1", scale=(layers.TURBIDITY_STEP, 0.0)),
    "continent": Layer(("continent",), legend=legends.CONTINENTS),
}


def make(out: Path | str, *, resolution: float = 0.1, progress: Progress | None = None) -> Path:
    """Make the planet from the packages that carry its layers.

    Writes one COG a layer on a plate carrée grid (EPSG:4326, longitude -180 to 180, north up). Everything is made in
    a temporary directory beside ``out`` and renamed at the end; a planet that is already there with the same
    resolution, sources and pixels is left as it is, another one is replaced.

    Args:
        out: directory to write.
        resolution: cell size in degrees, 0.05 to 2, a whole part of 180.
        progress: called with a line of text at each step.

    Returns:
        ``out`` as a path.

    Raises:
        ConfigError: the resolution is out of range or does not divide 180.
        InputError: ``out`` is a file, or a directory that holds something else.
        ResourceError: nothing can be written there.
        MissingError: layers are absent; the sentence says which and what brings them.
    """
    out = Path(out)
    geobox = grid(resolution)
    _check_target(out)
    if _is_made(out, geobox):
        if progress:
            progress(f"{out} holds this planet already")
        return out
    packages.require()
    with replacing_folder(out) as build:
        _write(build, geobox, progress)
    return out


def grid(resolution: float) -> GeoBox:
    """The plate carrée grid of the planet.

    Raises:
        ConfigError: the resolution is out of range or does not divide 180.
    """
    rows = round(180 / resolution) if resolution > 0 else 0
    if not FINEST <= resolution <= COARSEST or abs(rows * resolution - 180) > 1e-6:
        raise ConfigError(
            f"The resolution is {resolution} degrees",
            expected=f"{FINEST} to {COARSEST} degrees, dividing 180 without remainder",
            remedy="choose for example 0.05, 0.1, 0.25, 0.5 or 1",
        )
    step = 180 / rows
    return GeoBox((rows, 2 * rows), Affine(step, 0, -180, 0, -step, 90), "EPSG:4326")


def read_manifest(path: Path | str) -> dict[str, Any]:
    """What ``planet.json`` says.

    Raises:
        InputError: there is none, or it was written by another version of the format.
    """
    file = Path(path) / MANIFEST
    if not file.is_file():
        raise InputError(
            f"There is no {MANIFEST} in {path}",
            expected="a directory that 'swath data make planet' wrote",
            remedy=f"run: swath data make planet --out {path}",
        )
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise InputError(
            f"{file} is not JSON ({error})", expected="the file as it was written", remedy="make the planet again"
        ) from error
    if manifest.get("schema") != SCHEMA:
        raise InputError(
            f"{file} has the schema version {manifest.get('schema')}",
            expected=f"version {SCHEMA}",
            remedy=f"make the planet again: swath data make planet --out {path}",
        )
    return manifest


def pixel_hash(array: NDArray[np.generic]) -> str:
    """sha256 of the type, shape and values of ``(band, y, x)``; the same for any compression or tiling."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def build_layers(geobox: GeoBox) -> Iterator[tuple[str, NDArray[Any]]]:
    """The layers one by one as ``(y, x)`` or ``(band, y, x)`` arrays."""
    shape = (int(geobox.shape.y), int(geobox.shape.x))
    simple: dict[str, Callable[[Path, tuple[int, int]], NDArray[Any]]] = {
        "true_colour": layers.true_colour,
        "land_cover": layers.land_cover,
        "koppen": layers.koppen,
        "land": layers.land,
        "turbidity": layers.turbidity,
    }
    done: dict[str, NDArray[Any]] = {}
    for name, build in simple.items():
        array = build(packages.locate(name), shape)
        if name in ("land", "land_cover"):
            done[name] = array
        yield name, array
    yield "elevation", layers.elevation(packages.locate("elevation"), shape, done["land"])
    is_land = (done["land"] == 1) | (done["land_cover"] != 0)
    yield "continent", continents.continents(packages.locate("continent"), geobox, is_land)


def _write(folder: Path, geobox: GeoBox, progress: Progress | None) -> None:
    sources = packages.versions()
    described: dict[str, Any] = {}
    kept: dict[str, NDArray[Any]] = {}
    for count, (name, array) in enumerate(build_layers(geobox), start=1):
        layer = LAYERS[name]
        if progress:
            progress(f"Writing {name} ({count} of {len(LAYERS)})")
        stack = array if array.ndim == 3 else array[None]
        write_cog(
            folder / f"{name}.tif",
            stack,
            geobox,
            names=layer.names,
            nodata=layer.nodata,
            unit=layer.unit,
            scale=layer.scale,
            legend=layer.legend,
            tags={"source": f"{sources[name]['package']} {sources[name]['version']}"},
        )
        described[name] = {
            "file": f"{name}.tif",
            "bands": layer.names,
            "unit": layer.unit,
            "sha256": pixel_hash(stack),
            "source": sources[name],
        }
        if name != "turbidity":
            kept[name] = array
    manifest = {
        "schema": SCHEMA,
        "world": "real",
        "swath": __version__,
        "resolution": float(geobox.affine.a),
        "shape": [int(geobox.shape.y), int(geobox.shape.x)],
        "crs": "EPSG:4326",
        "layers": described,
        "alignment": agreement.summary(agreement.agreement_table(kept)),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _check_target(out: Path) -> None:
    if out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir())):
        return
    if out.exists():
        raise InputError(
            f"{out} is {'a directory that holds other things' if out.is_dir() else 'a file'}",
            expected="a new directory, an empty one, or one with a planet",
            remedy="choose another --out",
        )


def _is_made(out: Path, geobox: GeoBox) -> bool:
    """Whether ``out`` holds this planet with every pixel as written."""
    try:
        manifest = read_manifest(out)
        sources = packages.versions()
        if manifest["shape"] != [geobox.shape.y, geobox.shape.x] or set(manifest["layers"]) != set(LAYERS):
            return False
        for name, described in manifest["layers"].items():
            if described["source"] != sources[name]:
                return False
            with rasterio.open(out / described["file"]) as raster:
                if pixel_hash(raster.read()) != described["sha256"]:
                    return False
    except (InputError, KeyError, TypeError, rasterio.errors.RasterioError):
        return False
    return True
