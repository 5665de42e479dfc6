"""What a scene tells about all its chips, checked before anything is cut."""

from __future__ import annotations

import numpy as np
import xarray as xr
from odc.geo.crs import CRS as OdcCRS
from odc.geo.geobox import GeoBox
from rasterio.dtypes import check_dtype

from swath.chips.layout import ATTRS, KIND, Description
from swath.cubes import Legend, bands_of, is_physical
from swath.errors import InputError
from swath.grids.geobox import crs_of
from swath.types import IGNORE


def describe(cube: xr.Dataset, scene: GeoBox, legend: Legend, size: int) -> Description:
    """What all chips of a cube share.

    Args:
        cube: the scene.
        scene: its grid.
        legend: classes of the labels.
        size: rows and columns of a chip.

    Raises:
        InputError: no date, an unknown one, or numbers of a type that GeoTIFF cannot store.
    """
    times = cube["time"].values.astype("datetime64[s]")
    source = str(cube.attrs.get("source") or "scene")
    if np.isnat(times).any() or len(times) == 0:
        raise InputError(
            f"The scene '{source}' has {len(times)} dates, {int(np.isnat(times).sum())} of them unknown",
            expected="at least one date, all of them known",
            remedy="give the time when opening the scene",
        )
    if not check_dtype(cube["data"].dtype.name):
        raise InputError(
            f"The scene '{source}' holds numbers of type {cube['data'].dtype}",
            expected="a type that GeoTIFF can store",
            remedy="convert them, for example with cube['data'].astype('float32')",
        )
    bands = bands_of(cube)
    stored = not is_physical(cube)
    scale = tuple(cube["scale_factor"].values.tolist()) if stored else (1.0,) * len(bands)
    offset = tuple(cube["add_offset"].values.tolist()) if stored else (0.0,) * len(bands)
    return Description(
        bands=bands,
        scale=scale,
        offset=offset,
        unit=str(cube["data"].attrs.get("unit", "1")),
        times=tuple(int(time) for time in times.astype(np.int64)),
        legend=legend,
        size=size,
        crs=_crs_text(scene),
        transform=tuple(float(number) for number in scene.affine[:6]),
        shape=(int(scene.shape.y), int(scene.shape.x)),
        source=source,
        attrs={name: str(value) for name in ATTRS if (value := cube.attrs.get(name) or _told(cube, name))},
    )


def _told(cube: xr.Dataset, name: str) -> str:
    """What the source of a scene tells: those of the simulated Earth begin with that word."""
    return "simulated" if name == KIND and str(cube.attrs.get("source", "")).startswith("simulated (") else ""


def _crs_text(scene: GeoBox) -> str:
    """``EPSG:...`` where that says it all, else WKT."""
    crs = crs_of(scene)
    short = f"EPSG:{crs.epsg}"
    return short if crs.epsg is not None and OdcCRS(short) == crs else str(crs.to_wkt())


def check_legend(legend: Legend) -> None:
    """Refuse a legend without classes, or with numbers that the label rasters cannot hold.

    Raises:
        InputError: it is such a legend.
    """
    limits = np.iinfo(np.int16)
    if len(legend) == 0 or any(not limits.min <= value <= limits.max or value == IGNORE for value in legend.values):
        raise InputError(
            f"The legend has the values {', '.join(map(str, legend.values)) or 'none'}",
            expected=f"at least one class, each a number from {limits.min} to {limits.max} other than {IGNORE}",
            remedy="give the classes other numbers",
        )
