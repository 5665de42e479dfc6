"""Write the planet: aligned cloud-optimised GeoTIFFs of the real Earth, and ``planet.json`` about them."""

from __future__ import annotations

import calendar
import hashlib
import json
import shutil
from collections.abc import Callable
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
from swath.errors import ConfigError, InputError, ResourceError
from swath.failures import Failure, Failures
from swath.files import remove_leftovers, replacing_folder, write_text
from swath.sources.planet import agreement, continents, layers, legends, packages
from swath.sources.planet.packages import Progress

MANIFEST = "planet.json"
SCHEMA = 1
FINEST, COARSEST = 0.05, 2.0
UNDER_WAY = "under_way.json"
"""The manifest of a planet that is being made: the layers that are finished."""
FAILURES = "failures.csv"
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

ORDER = ("true_colour", "land_cover", "koppen", "land", "turbidity", "elevation", "continent")
"""The order in which layers are made; some need others."""


def make(
    out: Path | str, *, resolution: float = 0.1, progress: Progress | None = None, failures: Failures | None = None
) -> Path:
    """Make the planet from the packages that carry its layers.

    Writes one COG a layer on a plate carrée grid (EPSG:4326, longitude -180 to 180, north up). Everything is made in
    a temporary directory beside ``out`` and renamed at the end; a planet that is already there with the same
    resolution, sources and pixels is left as it is, another one is replaced. Layers that a killed run had finished,
    or that an incomplete planet at ``out`` holds, are taken over where their pixels are as written.

    Args:
        out: directory to write.
        resolution: cell size in degrees, 0.05 to 2, a whole part of 180.
        progress: called with a line of text at each step.
        failures: layers that cannot be made are noted here and the others are made; ``failures.csv`` in ``out`` lists
            them, and the next call makes them alone. None = the first one ends the making.

    Returns:
        ``out`` as a path.

    Raises:
        ConfigError: the resolution is out of range or does not divide 180.
        InputError: ``out`` is a file, or a directory that holds something else.
        ResourceError: nothing can be written there.
        MissingError: layers are absent; the sentence says which and what brings them.
        SwathError: no layer can be made, or fewer than a planet at ``out`` holds, which then stays as it is.
    """
    out = Path(out)
    geobox = grid(resolution)
    _check_target(out)
    if _is_made(out, geobox):
        remove_leftovers(out.parent)
        if progress:
            progress(f"{out} holds this planet already")
        return out
    if failures is None:
        packages.require()
    with replacing_folder(out, resume=True) as build:
        _Making(build, out, geobox, progress).run(failures)
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


def build_layer(name: str, geobox: GeoBox, done: Callable[[str], NDArray[Any]]) -> NDArray[Any]:
    """One layer as a ``(y, x)`` or ``(band, y, x)`` array.

    Args:
        name: which.
        geobox: its grid.
        done: gives a layer that was made before as ``(y, x)``; some need ``land`` and ``land_cover``.
    """
    shape = (int(geobox.shape.y), int(geobox.shape.x))
    path = packages.locate(name)
    if name == "elevation":
        return layers.elevation(path, shape, done("land"))
    if name == "continent":
        return continents.continents(path, geobox, (done("land") == 1) | (done("land_cover") != 0))
    simple: dict[str, Callable[[Path, tuple[int, int]], NDArray[Any]]] = {
        "true_colour": layers.true_colour,
        "land_cover": layers.land_cover,
        "koppen": layers.koppen,
        "land": layers.land,
        "turbidity": layers.turbidity,
    }
    return simple[name](path, shape)


@dataclass(frozen=True)
class _Making:
    """A planet under way.

    Args:
        build: the folder that will be the planet; may hold what a killed run left.
        out: where it will lie; may hold an incomplete planet.
        geobox: its grid.
        progress: as for ``make``.
    """

    build: Path
    out: Path
    geobox: GeoBox
    progress: Progress | None

    def run(self, failures: Failures | None) -> None:
        """Make all layers and the manifest."""
        sources = packages.versions()
        described = self._taken_over(sources)
        first: Exception | None = None
        own = Failures()
        for count, name in enumerate(ORDER, start=1):
            if name in described:
                continue
            if self.progress:
                self.progress(f"Writing {name} ({count} of {len(LAYERS)})")
            try:
                described[name] = self._make(name, sources[name])
            except ResourceError:
                raise
            except Exception as error:
                if failures is None:
                    raise
                first = first or error
                own.add(Failure.of(f"layer {name}", "make", error))
                continue
            self._write_manifest(UNDER_WAY, described)
        if failures is not None:
            failures.rows.extend(own)
        if first and (not described or len(described) < len(_entries(self.out, MANIFEST))):
            raise first
        self._finish(described, own)

    def _make(self, name: str, source: dict[str, str]) -> dict[str, Any]:
        """Write one layer; what the manifest says about it."""
        array = build_layer(name, self.geobox, lambda other: _pixels(self.build / f"{other}.tif")[0])
        layer, stack = LAYERS[name], array if array.ndim == 3 else array[None]
        write_cog(
            self.build / f"{name}.tif",
            stack,
            self.geobox,
            names=layer.names,
            nodata=layer.nodata,
            unit=layer.unit,
            scale=layer.scale,
            legend=layer.legend,
            tags={"source": f"{source['package']} {source['version']}"},
        )
        return {
            "file": f"{name}.tif",
            "bands": list(layer.names),
            "unit": layer.unit,
            "sha256": pixel_hash(stack),
            "source": source,
        }

    def _taken_over(self, sources: dict[str, dict[str, str]]) -> dict[str, Any]:
        """Layers that a killed run had finished, or that ``out`` holds, of this grid and with every pixel as written.

        All else is removed from the folder.
        """
        found: dict[str, Any] = {}
        for folder, record in ((self.build, UNDER_WAY), (self.out, MANIFEST)):
            for name, described in _entries(folder, record, self.geobox).items():
                if name in found or not _is_as_written(folder, name, described, sources):
                    continue
                if folder == self.out:
                    for path in self.out.glob(f"{name}.*"):
                        shutil.copyfile(path, self.build / path.name)
                found[name] = described
        for path in [*self.build.iterdir()]:
            if path.stem not in found or path.name.startswith("."):
                path.unlink()
        return found

    def _finish(self, described: dict[str, Any], failures: Failures) -> None:
        arrays = {name: _pixels(self.build / f"{name}.tif") for name in described if name != "turbidity"}
        alignment = None
        if not failures:
            table = agreement.agreement_table(
                {name: each if len(each) > 1 else each[0] for name, each in arrays.items()}
            )
            alignment = agreement.summary(table)
        self._write_manifest(MANIFEST, described, alignment)
        failures.save(self.build / FAILURES)
        (self.build / UNDER_WAY).unlink(missing_ok=True)

    def _write_manifest(self, name: str, described: dict[str, Any], alignment: dict[str, Any] | None = None) -> None:
        content = {
            "schema": SCHEMA,
            "world": "real",
            "swath": __version__,
            "resolution": float(self.geobox.affine.a),
            "shape": [int(self.geobox.shape.y), int(self.geobox.shape.x)],
            "crs": "EPSG:4326",
            "layers": {each: described[each] for each in ORDER if each in described},
            **({} if alignment is None else {"alignment": alignment}),
        }
        write_text(self.build / name, json.dumps(content, indent=2) + "\n")


def _entries(folder: Path, record: str, geobox: GeoBox | None = None) -> dict[str, Any]:
    """The layers that a manifest lists, none where it is of another grid or cannot be used."""
    try:
        manifest = json.loads((folder / record).read_text(encoding="utf-8"))
        if geobox is not None and manifest["shape"] != [geobox.shape.y, geobox.shape.x]:
            return {}
        return dict(manifest["layers"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _is_as_written(folder: Path, name: str, described: Any, sources: dict[str, dict[str, str]]) -> bool:
    try:
        same = described["source"] == sources[name] and described["file"] == f"{name}.tif"
        return same and pixel_hash(_pixels(folder / f"{name}.tif")) == described["sha256"]
    except (KeyError, TypeError, InputError):
        return False


def _pixels(path: Path) -> NDArray[Any]:
    """All pixels of a layer, ``(band, y, x)``."""
    if not path.is_file():
        raise InputError(
            f"The layer {path.stem} is needed and could not be made", expected="it", remedy="mend that layer first"
        )
    try:
        with rasterio.open(path) as raster:
            array: NDArray[Any] = raster.read()
            return array
    except rasterio.errors.RasterioError as error:
        raise InputError(
            f"The layer {path} cannot be read ({error})", expected="the file as written", remedy="make it again"
        ) from error


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
    """Whether ``out`` holds this planet, complete, with every pixel as written."""
    try:
        read_manifest(out)
        sources = packages.versions()
    except InputError:
        return False
    entries = _entries(out, MANIFEST, geobox)
    return set(entries) == set(LAYERS) and all(
        _is_as_written(out, name, described, sources) for name, described in entries.items()
    )
