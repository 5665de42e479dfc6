"""What the readers of published data sets share: descriptions, fingerprints, checks and fake files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from swath import cubes, limits
from swath.cubes import geobox_of, make_cube
from swath.cubes.guard import open_raster
from swath.errors import InputError
from swath.files import sha256
from swath.reading import reason
from swath.sensors import BandSet
from swath.types import IGNORE

UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Description:
    """A data set as it lies on disk.

    Args:
        name: short name.
        title: one line for people.
        citation: what to cite.
        licence: licence of the data.
        records: number of scenes or chips.
        bands: band names per sensor.
        classes: class names in label order; empty without labels.
        labels: pixels per class name, and ``unlabelled``.
        missing: files that belong to the data set and are absent.
        fingerprint: sixteen hexadecimal digits that change with any byte of any file.
    """

    name: str
    title: str
    citation: str
    licence: str
    records: int
    bands: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    labels: Mapping[str, int]
    missing: tuple[str, ...]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Expected:
    """What a raster of a data set must look like.

    Args:
        count: number of bands.
        values: allowed values, where the raster holds labels.
    """

    count: int
    values: tuple[int, ...] | None = None


def folder_of(root: Path | str, name: str) -> Path:
    """``root`` as a path.

    Raises:
        InputError: it is no directory.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(
            f"There is no directory {folder}",
            expected=f"the directory of {name} as it was downloaded",
            remedy="check --root",
        )
    return folder


def nothing_in(folder: Path, name: str, pattern: str) -> InputError:
    """The error for a directory without a single record."""
    return InputError(
        f"{folder} holds no file {pattern}",
        expected=f"{name} as it was downloaded",
        remedy="check --root; the layout is in the documentation of the reader",
    )


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Sixteen hexadecimal digits over the names (relative to ``root``) and the contents of ``files``."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.relative_to(root).as_posix()}\t{sha256(file)}\n".encode())
    return total.hexdigest()[:16]


def histogram(labels: Iterable[NDArray[np.integer]], classes: Sequence[str]) -> dict[str, int]:
    """Pixels per class and without label, over many label arrays; every number outside the classes is unlabelled."""
    counts = np.zeros(len(classes) + 1, np.int64)
    for array in labels:
        inside = (array >= 0) & (array < len(classes))
        counts += np.bincount(np.where(inside, array, len(classes)).ravel(), minlength=len(classes) + 1)
    return dict(zip((*classes, UNLABELLED), (int(count) for count in counts), strict=True))


def raster_problems(path: Path, expected: Expected, like: Path | None = None) -> list[str]:
    """What is wrong with a raster: absent, unreadable, band count, label values, another grid than ``like``.

    Reads pixels only where ``expected.values`` are given.
    """
    if not path.is_file():
        return [f"{path.name}: the file is missing"]
    found = []
    try:
        with open_raster(path) as raster:
            if raster.count != expected.count:
                found.append(f"{path.name}: {raster.count} bands, expected {expected.count}")
            if raster.crs is None:
                found.append(f"{path.name}: no coordinate reference system (CRS)")
            if expected.values is not None:
                limits.LABEL_PIXELS.check(raster.width * raster.height, path)
                values, counts = np.unique(raster.read(1), return_counts=True)
                found += [
                    f"{path.name}: {count} pixels hold {value}, expected one of {', '.join(map(str, expected.values))}"
                    for value, count in zip(values.tolist(), counts.tolist(), strict=True)
                    if value not in expected.values
                ]
            if like is not None and like.is_file():
                found += _grid_problems(path, raster, like)
    except Exception as error:  # a damaged file defeats any accessor; the check goes on with the next file
        found.append(f"{path.name}: not a readable raster ({reason(error)})")
    return found


def _grid_problems(path: Path, raster: rasterio.DatasetReader, like: Path) -> list[str]:
    try:
        with open_raster(like) as other:
            if raster.shape != other.shape:
                return [f"{path.name}: {raster.shape} pixels, but {like.name} has {other.shape}"]
            step = abs(other.transform.a)
            same_place = raster.transform.almost_equals(other.transform, precision=step / 100)
            if raster.crs != other.crs or not same_place:
                return [f"{path.name}: another grid than {like.name} (CRS or corner)"]
    except (RasterioError, InputError):
        return []  # reported for that file itself
    return []


def one_cube(scene: xr.DataTree) -> xr.Dataset:
    """The only cube of a scene of one grid."""
    (node,) = scene.children.values()
    return node.to_dataset()


def with_bands(
    scene: xr.DataTree, bands: BandSet, scale: Sequence[float], offset: Sequence[float], **attrs: str
) -> xr.DataTree:
    """A scene of one grid whose stored numbers mean ``bands`` after ``stored * scale + offset``.

    For files whose numbers are stored in another way than the sensor's provider stores them.
    """
    cube = one_cube(scene)
    told = make_cube(
        cube["data"].data, cube["valid"].data, geobox_of(cube), bands, time=cube["time"].values,
        scale=scale, offset=offset, stored=True, attrs={**cube.attrs, **attrs},
    )  # fmt: skip
    (name,) = scene.children
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**scene.attrs, **attrs}), name: told})


def labels_of(path: Path, nodata: int, classes: int) -> xr.DataArray:
    """Labels of a raster as int16 ``(y, x)``: 0 .. ``classes`` - 1, ``IGNORE`` for ``nodata``.

    Raises:
        InputError: the file holds another value (file, value and count are named).
    """
    labels = cubes.read_labels(path, nodata=nodata)
    wrong = labels.values[((labels.values < 0) | (labels.values >= classes)) & (labels.values != IGNORE)]
    if wrong.size:
        values, counts = np.unique(wrong, return_counts=True)
        raise InputError(
            f"{path} holds the label {values[0]} in {counts[0]} pixels",
            expected=f"0 to {classes - 1}, or {nodata} for no data",
            remedy="correct the file, or download it again",
        )
    return labels


def write_raster(
    path: Path,
    array: NDArray[np.generic],
    transform: Affine,
    crs: str,
    *,
    nodata: float | None = None,
    names: Sequence[str] = (),
) -> None:
    """A plain GeoTIFF ``(band, y, x)``, as fake trees need it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, crs=crs,
        transform=transform, nodata=nodata,
    ) as raster:  # fmt: skip
        raster.write(array)
        for number, name in enumerate(names, start=1):
            raster.set_band_description(number, name)
