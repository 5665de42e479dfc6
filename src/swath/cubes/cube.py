"""What a cube is: one Dataset with stored numbers, validity, bands, time and place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from swath.errors import ContractError, InputError
from swath.sensors import Band, BandSet
from swath.sensors.bands import Kind

DN = "DN"
MIXED = "mixed"
DIMS = ("time", "band", "y", "x")
_BETWEEN = "|"
_SAME_PLACE = 1e-3  # pixels; coordinates that went through text or float32 still name the same grid


def make_cube(
    data: Any,
    valid: Any,
    geobox: GeoBox,
    bands: BandSet,
    *,
    time: NDArray[np.datetime64],
    scale: Sequence[float],
    offset: Sequence[float],
    stored: bool,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Assemble a cube.

    Args:
        data: array ``(time, band, y, x)``, numpy or dask.
        valid: boolean array ``(time, y, x)`` or ``(time, band, y, x)``.
        geobox: axis-aligned grid of (y, x).
        bands: the bands in order.
        time: dates ``(time,)``.
        scale: factor per band that makes stored numbers physical.
        offset: offset per band, added after the factor.
        stored: True for stored numbers (unit DN), False where the numbers are physical already.
        attrs: sensor, level, baseline, source and the like.
    """
    units = [band.unit for band in bands]
    coordinates: dict[Any, Any] = {
        "time": ("time", np.asarray(time, dtype="datetime64[ns]")),
        "band": ("band", np.array(bands.names, dtype=object)),
        "wavelength": ("band", _numbers(band.wavelength_nm for band in bands), {"units": "nm"}),
        "bandwidth": ("band", _numbers(band.width_nm for band in bands), {"units": "nm"}),
        "scale_factor": ("band", np.asarray(scale, dtype=np.float64)),
        "add_offset": ("band", np.asarray(offset, dtype=np.float64)),
        "band_unit": ("band", np.array(units, dtype=object)),
        "kind": ("band", np.array([band.kind for band in bands], dtype=object)),
        "aliases": ("band", np.array([_BETWEEN.join(band.aliases) for band in bands], dtype=object)),
        **xr_coords(geobox, always_yx=True),
    }
    unit = DN if stored else common_unit(units)
    valid_dims = DIMS if valid.ndim == 4 else ("time", "y", "x")
    return xr.Dataset(
        {"data": (DIMS, data, {"unit": unit}), "valid": (valid_dims, valid)},
        coords=coordinates,
        attrs={**attrs, "unit": unit},
    )


def common_unit(units: Sequence[str]) -> str:
    """The unit that all bands share, or ``mixed`` (``band_unit`` then tells each)."""
    return units[0] if len(set(units)) == 1 else MIXED


def as_cube(cube: xr.Dataset | xr.DataTree) -> xr.Dataset:
    """The cube of a node, checked.

    Raises:
        ContractError: it lacks data, valid, bands or a grid.
    """
    dataset = cube.to_dataset() if isinstance(cube, xr.DataTree) else cube
    if not {"data", "valid"} <= set(dataset.data_vars) or dataset["data"].dims != DIMS or "band" not in dataset.coords:
        shown = ", ".join(f"{name}{tuple(item.dims)}" for name, item in dataset.data_vars.items()) or "no variables"
        raise ContractError(
            f"The dataset is not a cube: it holds {shown}",
            expected="variables data (time, band, y, x) and valid, as cubes.open makes them",
            remedy="open the file with cubes.open and pass one node, or call cubes.to_cube on the scene",
        )
    return dataset


def nodes_of(scene: xr.DataTree | xr.Dataset) -> dict[str, xr.Dataset]:
    """The cubes of a scene by node name; a cube counts as a scene of one node.

    Raises:
        ContractError: the scene holds no cube.
    """
    if isinstance(scene, xr.Dataset):
        return {"cube": as_cube(scene)}
    found = {
        node.path.strip("/") or "cube": as_cube(node.to_dataset()) for node in scene.subtree if "data" in node.data_vars
    }
    if not found:
        raise ContractError(
            "The scene holds no cube",
            expected="a DataTree with one node per native grid",
            remedy="open the file with cubes.open",
        )
    return found


def lazy(array: xr.DataArray) -> da.Array:
    """The numbers of a variable as a dask array."""
    data = array.data
    return data if isinstance(data, da.Array) else da.from_array(data, chunks=-1)


def geobox_of(cube: xr.Dataset) -> GeoBox:
    """The grid of a cube.

    Raises:
        ContractError: its coordinates do not form one.
    """
    box = cube.odc.geobox
    if not isinstance(box, GeoBox) or box.crs is None:
        raise ContractError(
            "The cube has no regular grid with a CRS",
            expected="coordinates y and x at equal steps, and spatial_ref",
            remedy="select rectangular windows only, and keep the coordinate spatial_ref",
        )
    return GeoBox(box.shape, box.affine, short_crs(str(box.crs)))


@lru_cache(maxsize=64)
def short_crs(text: str) -> CRS:
    """A CRS under its EPSG code where that says the same; files carry pages of WKT that nobody wants in a sentence."""
    long = CRS(text)
    if long.epsg is not None:
        short = CRS(f"EPSG:{long.epsg}")
        if short == long:
            return short
    return long


def same_grid(a: GeoBox, b: GeoBox) -> bool:
    """Whether two grids have the same pixels (to within a thousandth of a pixel)."""
    return a.shape == b.shape and shift_between(a, b) == (0, 0)


def shift_between(source: GeoBox, target: GeoBox) -> tuple[int, int] | None:
    """Whole (rows, columns) from the source's first pixel to the target's, or None where pixels do not coincide."""
    if source.crs != target.crs:
        return None
    height, width = target.shape.yx
    ends = np.array([[0.0, width], [0.0, height]])
    columns, rows = apply_affine(~source.affine, *apply_affine(target.affine, ends[0], ends[1]))
    row, column = round(float(rows[0])), round(float(columns[0]))
    wander = np.abs(np.concatenate([rows - row - ends[1], columns - column - ends[0]])).max()
    aligned = source.axis_aligned and target.axis_aligned and wander <= _SAME_PLACE
    return (row, column) if aligned else None


def apply_affine(
    affine: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move points by an affine transform."""
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def bands_of(cube: xr.Dataset | xr.DataTree) -> BandSet:
    """The bands of a cube with aliases, wavelength, kind and unit; descriptions come from the sensor if it is known."""
    dataset = as_cube(cube)
    known = _sensor_bands(str(dataset.attrs.get("sensor", "")))
    gsd = _native_gsd(dataset)
    return BandSet(tuple(_band(dataset, position, known, gsd) for position in range(dataset.sizes["band"])))


def require_valid(cube: xr.Dataset | xr.DataTree) -> None:
    """Stop where no pixel may be used, reading only until the first usable one.

    Raises:
        InputError: every pixel of the cube is masked.
    """
    dataset = as_cube(cube)
    mask = lazy(dataset["valid"])
    if any(bool(np.asarray(block).any()) for block in mask.blocks.ravel()):
        return
    raise InputError(
        f"No pixel of '{dataset.attrs.get('source', 'the scene')}' may be used: all {mask.size} are masked",
        expected="at least one valid pixel",
        remedy="check the no-data value (nodata=...) and that the scene is not fully outside the swath or clouded",
    )


def _band(cube: xr.Dataset, position: int, known: dict[str, Band], gsd: float | None) -> Band:
    def item(name: str) -> Any:
        return cube[name].values[position] if name in cube.coords else None

    def number(name: str) -> float | None:
        value = item(name)
        return None if value is None or not np.isfinite(value) else float(value)

    name = str(cube["band"].values[position])
    declared = known.get(name)
    return Band(
        name=name,
        aliases=tuple(alias for alias in str(item("aliases") or "").split(_BETWEEN) if alias),
        wavelength_nm=number("wavelength"),
        width_nm=number("bandwidth"),
        gsd_m=declared.gsd_m if declared else gsd,
        kind=cast(Kind, str(item("kind") or "variable")),
        unit=str(item("band_unit") or "1"),
        description=declared.description if declared else "",
    )


def _sensor_bands(name: str) -> dict[str, Band]:
    from swath import sensors

    if name not in sensors.names():
        return {}
    return {band.name: band for band in sensors.load(name).bands}


def _native_gsd(cube: xr.Dataset) -> float | None:
    from swath import grids

    box = cube.odc.geobox
    return grids.gsd_m(box) if isinstance(box, GeoBox) and box.crs is not None else None


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
