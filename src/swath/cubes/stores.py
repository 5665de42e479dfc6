"""NetCDF and Zarr: cubes as swath writes them, and CF variables on a regular grid."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath import limits
from swath.cubes.assemble import EPOCH, Options, sensor_bands, storage_of, tree_of
from swath.cubes.cube import DIMS, lazy, make_cube
from swath.cubes.declared import check_netcdf, check_zarr
from swath.cubes.nodata import can_be_invalid, lazy_valid, per_band
from swath.errors import InputError, SwathError, nearest
from swath.reading import reading, reason
from swath.sensors import BandSet

_NETCDF = frozenset({".nc", ".nc4", ".netcdf", ".h5"})
_Y = ("y", "lat", "latitude")
_X = ("x", "lon", "longitude")
_STEP_TOLERANCE = 1e-3  # of one step; coordinates stored as float32 wander by less


def is_store(path: str | Path) -> bool:
    """Whether a path is to be read as NetCDF or Zarr."""
    place = Path(path)
    zarr = place.suffix.lower() == ".zarr" or any((place / name).exists() for name in ("zarr.json", ".zgroup"))
    return zarr or _is_netcdf(path)


def open_store(path: str | Path, options: Options) -> xr.DataTree:
    """Open NetCDF or Zarr as a scene, lazily; ``options.bands`` chooses variables by name.

    Raises:
        InputError: the store is missing or damaged, holds nothing on a regular grid, has no known CRS, or lacks a
            variable that was asked for.
    """
    # Damaged attributes and coordinates reach as far as the first code that uses them.
    with reading(path, expected=f"a complete {_format(path)}, with CF attributes of their right types"):
        return _scene_of(_open_tree(path), path, options)


def _scene_of(tree: xr.DataTree, path: str | Path, options: Options) -> xr.DataTree:
    cubes = []
    skipped: dict[str, tuple[Any, ...]] = {}
    for node in tree.subtree:
        dataset = _on_demand(node.to_dataset(), path, node.path)
        if {"data", "valid"} <= set(dataset.data_vars) and dataset["data"].dims == DIMS:
            cubes.append(_own(dataset, options, path))
        else:
            found, other = _from_cf(dataset, options, path)
            cubes += found
            skipped |= other
    if not cubes:
        shown = ", ".join(f"{name}{dims}" for name, dims in skipped.items()) or "no variables"
        raise InputError(
            f"'{path}' holds nothing on a map grid: {shown}",
            expected="variables with the dimensions (time,) y, x or (time,) latitude, longitude",
            remedy="select levels or members first (xarray isel), and save the result",
        )
    if options.bands is not None:
        cubes = _chosen(cubes, options.bands, path)
    attrs = {key: cubes[0].attrs[key] for key in ("sensor", "level", "baseline", "source", "time_known")}
    return tree_of(cubes, attrs)


def _open_tree(path: str | Path) -> xr.DataTree:
    if not Path(path).exists():
        beside = [entry.name for entry in Path(path).parent.iterdir()] if Path(path).parent.is_dir() else []
        raise InputError(
            f"There is no file '{path}'",
            expected="a NetCDF file or Zarr store that exists",
            remedy=f"check the path; names nearby: {nearest(Path(path).name, beside) or 'none'}",
        )
    # Zarr stores are read without consolidated metadata, which newer and older writers disagree about.
    engine: dict[str, Any] = (
        {"engine": "h5netcdf"} if _is_netcdf(path) else {"engine": "zarr", "consolidated": False}
    ) | {"chunks": None, "cache": False, "mask_and_scale": False, "decode_coords": "all"}
    try:
        opened = _checked(Path(path))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=xr.SerializationWarning)
            try:
                return xr.open_datatree(opened, **engine)
            except (ValueError, OverflowError):
                # Months and years have no fixed length: the numbers are fine, their times stay unknown.
                return xr.open_datatree(opened, **engine, decode_times=False)
    except SwathError:
        raise
    except Exception as error:  # HDF5, Zarr and codecs raise unrelated classes
        raise _unreadable(path, error) from error


def _checked(path: Path) -> Any:
    """What xarray is to open: the path, or a Zarr store that measures each chunk before it is decoded."""
    if _is_netcdf(path):
        check_netcdf(path)
        return path
    from swath.cubes.zarr_store import bounded

    return bounded(path, check_zarr(path))


def _unreadable(path: str | Path, error: Exception) -> InputError:
    return InputError(
        f"'{path}' cannot be read as {_format(path)} ({reason(error)})",
        expected="a complete file in that format",
        remedy="check that the download finished; 'ncdump -h FILE' should describe a NetCDF file",
    )


class _Stored:
    """A variable on disk that says which file is damaged when reading fails, in whatever thread that happens."""

    def __init__(self, variable: xr.Variable, path: str) -> None:
        self.variable, self.path = variable, path
        self.shape, self.dtype, self.ndim = variable.shape, variable.dtype, variable.ndim

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.variable[key].values)
        except SwathError:
            raise
        except Exception as error:  # codecs raise unrelated classes
            raise _unreadable(self.path, error) from error


def _on_demand(dataset: xr.Dataset, path: str | Path, group: str) -> xr.Dataset:
    """The variables of a group as dask arrays in stored chunks; coordinates of one dimension are read at once."""
    limits.BANDS.check(len(dataset.variables), path)
    limits.DATES.check(dataset.sizes.get("time", 0), path)
    changed: dict[Hashable, Any] = {}
    for name, variable in dataset.variables.items():
        if variable.ndim <= 1 and name in dataset.coords:
            changed[name] = variable.load()
            continue
        stored = variable.encoding.get("preferred_chunks", {})
        chunks = tuple(stored.get(dim, "auto" if not stored else -1) for dim in variable.dims)
        array = da.from_array(
            _Stored(variable, str(path)),
            chunks=chunks if variable.dtype.kind in "iufbmMc" else -1,
            name=f"store-{tokenize(str(path), Path(path).stat().st_mtime_ns, group, str(name))}",
            meta=np.empty((0,) * variable.ndim, dtype=variable.dtype),
        )
        changed[name] = xr.Variable(variable.dims, array, variable.attrs, variable.encoding)
    coords = {name: item for name, item in changed.items() if name in dataset.coords}
    return dataset.assign({name: item for name, item in changed.items() if name not in coords}).assign_coords(coords)


def _own(dataset: xr.Dataset, options: Options, path: str | Path) -> xr.Dataset:
    """A cube that swath wrote, with types that formats without booleans have lost."""
    defaults = {"sensor": options.sensor or "", "level": "", "baseline": "", "source": str(path), "time_known": 1}
    texts = [name for name in ("band", "band_unit", "kind", "aliases") if name in dataset.coords]
    labels = {name: (dataset[name].dims, dataset[name].values.astype(object)) for name in texts}
    result = dataset.assign(valid=dataset["valid"].astype(bool)).assign_coords(labels)
    if options.time is not None:
        result = result.assign_coords(time=("time", np.array([options.time])))
    return result.assign_attrs({**defaults, **dataset.attrs, "source": str(path)})


def _from_cf(
    dataset: xr.Dataset, options: Options, path: str | Path
) -> tuple[list[xr.Dataset], dict[str, tuple[Any, ...]]]:
    """The variables of one group as cubes (one at most), and those that are no maps."""
    names = _spatial(dataset)
    skipped = {str(name): tuple(item.dims) for name, item in dataset.data_vars.items()}
    y, x = names or ("y", "x")
    # Zarr groups list their members in no settled order.
    variables = dataset.data_vars.items() if _is_netcdf(path) else sorted(dataset.data_vars.items(), key=_name)
    wanted = {
        str(name): item
        for name, item in variables
        if {y, x} <= set(item.dims) <= {"time", y, x} and item.dtype.kind in "iufb"
    }
    if names is None or not wanted:
        return [], skipped
    known = sensor_bands(options)
    bands = known.select(wanted) if known is not None else BandSet.of(*wanted)
    when, times = _times(dataset, options)
    declared = [item.attrs for item in wanted.values()]
    storage = storage_of(
        options,
        bands,
        when,
        scale=[float(attrs.get("scale_factor", 1.0)) for attrs in declared],
        offset=[float(attrs.get("add_offset", 0.0)) for attrs in declared],
        units=[str(attrs.get("units", "")) for attrs in declared],
    )
    numbers = per_band(options.nodata, [None] * len(bands), storage.invalid)
    if options.nodata is None:
        numbers = tuple((*_fill(attrs), *band) for attrs, band in zip(declared, numbers, strict=True))
    stack = [_over_time(item, y, x, len(times)) for item in wanted.values()]
    cube = make_cube(
        da.stack(stack, axis=1),
        da.stack([_valid(array, values) for array, values in zip(stack, numbers, strict=True)], axis=1),
        _geobox(dataset, y, x, path),
        storage.bands,
        time=times,
        scale=storage.scale,
        offset=storage.offset,
        stored=storage.stored,
        attrs={
            "sensor": options.sensor or "",
            "level": options.level or "",
            "baseline": options.baseline or "",
            "source": str(path),
            "time_known": int(when is not None),
        },
    )
    return [cube], {name: dims for name, dims in skipped.items() if name not in wanted}


def _format(path: str | Path) -> str:
    return "NetCDF" if _is_netcdf(path) else "Zarr"


def _is_netcdf(path: str | Path) -> bool:
    return Path(path).suffix.lower() in _NETCDF


def _name(variable: tuple[Hashable, xr.DataArray]) -> str:
    return str(variable[0])


def _over_time(item: xr.DataArray, y: str, x: str, dates: int) -> da.Array:
    """A variable as ``(time, y, x)``; one without dates holds at every date."""
    if "time" in item.dims:
        return lazy(item.transpose("time", y, x))
    still = lazy(item.transpose(y, x))
    return da.broadcast_to(still[None], (dates, *still.shape))


def _valid(array: da.Array, values: Sequence[float]) -> da.Array:
    """Validity of one variable ``(time, y, x)``; the time axis stands where other readers have bands."""
    if not can_be_invalid(array.dtype, (values,)):
        return da.ones(array.shape, dtype=bool, chunks=array.chunks)
    return lazy_valid(array, (tuple(values),) * array.shape[0])


def _fill(attrs: dict[Any, Any]) -> tuple[float, ...]:
    """The numbers that CF attributes call missing."""
    found = [np.ravel(attrs[name]) for name in ("_FillValue", "missing_value") if name in attrs]
    return tuple(float(value) for value in np.concatenate(found)) if found else ()


def _spatial(dataset: xr.Dataset) -> tuple[str, str] | None:
    """Names of the y and x dimensions: by CF axis or standard name, else by their own name."""
    roles: dict[str, str] = {}
    for dim in dataset.dims:
        attrs = dataset[dim].attrs if dim in dataset.coords else {}
        standard = str(attrs.get("standard_name", ""))
        for role, names, axis in (("y", _Y, "Y"), ("x", _X, "X")):
            said = attrs.get("axis") == axis or standard in (f"projection_{role}_coordinate", names[2])
            if said or str(dim).lower() in names:
                roles.setdefault(role, str(dim))
    return (roles["y"], roles["x"]) if len(roles) == 2 else None


def _geobox(dataset: xr.Dataset, y: str, x: str, path: str | Path) -> GeoBox:
    crs = dataset.odc.crs
    if crs is None and y.lower() in _Y[1:] and x.lower() in _X[1:]:
        crs = CRS("EPSG:4326")  # CF: latitude and longitude without a grid mapping
    if crs is None:
        raise InputError(
            f"'{path}' declares no coordinate reference system (CRS)",
            expected="a CF grid mapping, or dimensions called latitude and longitude",
            remedy="assign one, for example with dataset.odc.assign_crs('EPSG:32633'), and save the result",
        )
    first_y, step_y = _regular(dataset, y, path)
    first_x, step_x = _regular(dataset, x, path)
    if dataset.sizes[y] == 1 or dataset.sizes[x] == 1:
        # One row or column has no step of its own; a square pixel is the only guess, unless the file says more.
        declared = dataset.odc.geobox
        if isinstance(declared, GeoBox):
            return GeoBox(declared.shape, declared.affine, crs)
        step_y = step_y or -abs(step_x or 1.0)
        step_x = step_x or abs(step_y)
    affine = Affine(step_x, 0.0, first_x - step_x / 2, 0.0, step_y, first_y - step_y / 2)
    return GeoBox((dataset.sizes[y], dataset.sizes[x]), affine, crs)


def _regular(dataset: xr.Dataset, dim: str, path: str | Path) -> tuple[float, float]:
    """First coordinate and step of a dimension (step 0 for one pixel)."""
    values = dataset[dim].values.astype(np.float64)
    if values.size == 1:
        return float(values[0]), 0.0
    step = float((values[-1] - values[0]) / (values.size - 1))
    wander = float(np.abs(np.diff(values) - step).max())
    if step == 0 or not wander <= _STEP_TOLERANCE * abs(step):
        raise InputError(
            f"The coordinate '{dim}' of '{path}' has unequal steps (they differ by up to {wander:g})",
            expected="equal steps, as in a map",
            remedy="regrid the data to an even grid first",
        )
    return float(values[0]), step


def _times(dataset: xr.Dataset, options: Options) -> tuple[np.datetime64 | None, Any]:
    """The first acquisition time if known, and all of them."""
    count = dataset.sizes.get("time", 1)
    if options.time is not None and count == 1:
        return options.time, np.array([options.time])
    if "time" in dataset.coords and dataset["time"].dtype.kind == "M":
        values = np.atleast_1d(dataset["time"].values).astype("datetime64[ns]")
        return values[0], values
    return None, np.full(count, EPOCH)


def _chosen(cubes: Sequence[xr.Dataset], names: Sequence[str], path: str | Path) -> list[xr.Dataset]:
    held = [str(name) for cube in cubes for name in cube["band"].values]
    for name in names:
        if name not in held:
            raise InputError(
                f"'{path}' has no variable '{name}'",
                expected=f"one of {', '.join(held)}",
                remedy=f"the nearest names are: {nearest(name, held)}",
            )
    picked = [cube.sel(band=[name for name in names if name in cube["band"].values]) for cube in cubes]
    return [cube for cube in picked if cube.sizes["band"]]
