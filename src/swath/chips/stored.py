"""Scenes as they lie in files: which stored block holds what, and stored numbers turned into samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader
from rasterio.windows import Window

from swath import grids
from swath.chips.blocks import Layout
from swath.chips.handles import Handles
from swath.chips.layout import class_numbers
from swath.cubes import Legend, is_physical, nodes_of, open, same_grid, to_physical
from swath.cubes.assemble import Options
from swath.cubes.nodata import can_be_invalid, valid_numbers
from swath.cubes.raster import RasterFile, probe, unreadable
from swath.cubes.scene import Layer, rasters_in, stored_layers
from swath.cubes.stores import is_store
from swath.errors import InputError, SwathError
from swath.sensors import BandSet
from swath.types import IGNORE

Array = NDArray[Any]
PathLike = str | Path
Places = slice | NDArray[np.int64]
"""Places of bands; a slice where they follow one another, which is faster."""
_LARGEST_STEP = 1024


@dataclass(frozen=True)
class Part:
    """What is read of one file: some of its bands, or the mask that they share.

    Args:
        file: the file.
        bands: bands in order (0-based); empty for the shared mask.
    """

    file: RasterFile
    bands: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        return self.file.dtype if self.bands else np.dtype(bool)

    @property
    def depth(self) -> int:
        """Layers of its arrays."""
        return max(1, len(self.bands))

    def read(self, dataset: DatasetReader, rows: tuple[int, int], columns: tuple[int, int], out: Array) -> None:
        """Stored numbers ``(band, y, x)``, or the mask as bool ``(1, y, x)``, into ``out``."""
        window = Window.from_slices(rows, columns)
        if not self.bands:
            np.not_equal(dataset.read_masks([1], window=window), 0, out=out)
        elif len(set(dataset.dtypes)) == 1:
            dataset.read([band + 1 for band in self.bands], window=window, out=out)
        else:
            out[...] = dataset.read([band + 1 for band in self.bands], window=window)


class Meaning(NamedTuple):
    """What the numbers of a part mean.

    Args:
        target: place of each band among the bands of the scene; for a mask those that it covers.
        scale: factor per band ``(band, 1, 1)``.
        offset: offset per band ``(band, 1, 1)``.
        invalid: numbers per band that mean no data.
        role: ``image``, ``mask`` (bands of ``target`` are valid where it is not 0) or ``labels``.
    """

    target: Places
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    invalid: tuple[tuple[float, ...], ...]
    role: str

    @property
    def trivial(self) -> bool:
        """Whether stored numbers are physical ones."""
        return bool((self.scale == 1).all() and (self.offset == 0).all())


@dataclass(frozen=True, eq=False)
class StoredScene:
    """A scene of raster files on one grid, with labels and a mask beside it where there are any.

    Made by ``stored_scene``. No pixel is ever resampled: what lies on another grid is refused.

    Args:
        name: for ids and messages.
        geobox: the grid.
        bands: the bands in order.
        time: acquisition time in seconds since 1970-01-01 UTC, 0 if unknown.
        parts: what is read of each file.
        meanings: what the numbers of each part mean.
    """

    name: str
    geobox: GeoBox
    bands: BandSet
    time: int
    parts: tuple[Part, ...]
    meanings: tuple[Meaning, ...]

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""
        return any(meaning.role == "labels" for meaning in self.meanings)

    @cached_property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel over all parts."""
        return sum(part.depth * part.dtype.itemsize for part in self.parts)

    def layout(self, size: int) -> Layout:
        """How to plan windows of ``size`` pixels: whole stored blocks of the files.

        Blocks of the file that holds most set the step, and those of other files where the two have a small common
        multiple; else blocks of a lighter file (labels in strips, say) are decoded more than once. Blocks thinner than
        half a window are taken together.
        """
        shape = (int(self.geobox.shape.y), int(self.geobox.shape.x))
        heavy = sorted(self.parts, key=lambda part: -part.depth * part.dtype.itemsize)
        steps = []
        for axis, extent in enumerate(shape):
            step = min(heavy[0].file.block[axis], extent)
            for part in heavy[1:]:
                block = min(part.file.block[axis], extent)
                common = math.lcm(step, block)
                step = common if common <= max(step, block, _LARGEST_STEP) else step
            steps.append(min(extent, step * max(1, math.ceil(size / 2 / step))))
        return Layout(shape, (steps[0], steps[1]), self.pixel_bytes)

    def window_grid(self, row: int, column: int, size: int) -> GeoBox:
        """Grid of a window."""
        return GeoBox((size, size), self.geobox.affine @ Affine.translation(column, row), self.geobox.crs)

    def arrays(self, memory: NDArray[np.uint8], height: int, width: int) -> tuple[Array, ...]:
        """One array ``(band, y, x)`` a part, laid out in ``memory``; the same arrays for the same memory."""
        made, start = [], 0
        for part in sorted(self.parts, key=lambda part: -part.dtype.itemsize):  # so that each lies aligned
            stop = start + part.depth * height * width * part.dtype.itemsize
            made.append((part, memory[start:stop].view(part.dtype).reshape(part.depth, height, width)))
            start = stop
        found = {id(part): array for part, array in made}
        return tuple(found[id(part)] for part in self.parts)

    def read(
        self, handles: Handles, rows: tuple[int, int], columns: tuple[int, int], arrays: tuple[Array, ...]
    ) -> None:
        """Stored numbers of a rectangle into one array ``(band, y, x)`` a part.

        Raises:
            InputError: a file cannot be read there.
        """
        for part, array in zip(self.parts, arrays, strict=True):
            try:
                with handles.borrow(part.file) as dataset:
                    part.read(dataset, rows, columns, array)
            except SwathError:
                raise
            except Exception as error:  # as cubes.raster.read_window: GDAL's classes are not all that can come
                raise unreadable(part.file.path, error) from error

    def convert(self, arrays: Sequence[Array], values: NDArray[np.float32], valid: NDArray[np.bool_]) -> Array | None:
        """Stored numbers of a window to physical ones, as ``cubes.to_physical`` gives them.

        Args:
            arrays: one array ``(band, y, x)`` a part.
            values: float32 ``(C, y, x)``, written; 0 where invalid.
            valid: bool ``(C, y, x)``, written.

        Returns:
            The stored labels ``(y, x)``, ``IGNORE`` where there are none, as int64; None without labels.
        """
        labels = None
        masks: list[tuple[Places, Array]] = []
        holes = False
        for part, meaning, numbers in zip(self.parts, self.meanings, arrays, strict=True):
            target = meaning.target
            if meaning.role == "image":
                if can_be_invalid(numbers.dtype, meaning.invalid):
                    valid[target] = valid_numbers(numbers, meaning.invalid)
                    holes = True
                else:
                    valid[target] = True
                if meaning.trivial:
                    values[target] = numbers
                else:  # in float64, so that training and prediction see the same numbers
                    values[target] = numbers * meaning.scale + meaning.offset
            elif meaning.role == "mask":
                masks.append((target, (numbers != 0) & valid_numbers(numbers, meaning.invalid)))
            else:
                labels = _labels(part, numbers, meaning)
        for target, mask in masks:
            valid[target] &= mask
        if (holes or masks) and not valid.all():
            np.copyto(values, np.float32(0), where=~valid)
        return labels


def stored_scene(
    path: PathLike | Sequence[PathLike],
    *,
    options: Options | None = None,
    wanted: BandSet | Sequence[str] | None = None,
    labels: PathLike | None = None,
    mask: PathLike | None = None,
) -> StoredScene:
    """Open a scene for reading windows straight from its files; reads no pixel of integer files.

    Args:
        path: GeoTIFF or COG, a folder of single-band files, or a list of files of one date.
        options: sensor, level, baseline, band names, no-data and time, as ``cubes.open`` takes them.
        wanted: bands to read, by name, alias or wavelength; default all. They have to lie on one grid.
        labels: raster of one band of class numbers on the grid of the scene.
        mask: raster of one band on the grid of the scene; a pixel may be used where it is neither 0 nor no-data.

    Raises:
        InputError: as ``cubes.open``; the scene is no raster file; a wanted band, the labels or the mask lie on another
            grid.
    """
    options = Options() if options is None else options
    if isinstance(path, str | Path) and is_store(path):
        raise InputError(
            f"'{path}' is a NetCDF or Zarr store",
            expected="raster files with stored blocks, such as COGs",
            remedy="write it with cubes.write_cog once, or cut chips from it with chips.cut",
        )
    if isinstance(path, str | Path):
        files = rasters_in(Path(path)) if Path(path).is_dir() else [str(path)]
    else:
        files = [str(item) for item in path]
    layers, when = stored_layers(files, options)
    _check_stored(path, layers, options)
    taken, bands = _wanted(layers, wanted)
    box = taken[0][0].geobox
    parts: list[tuple[Part, Meaning]] = []
    for layer, chosen, target in taken:
        if not same_grid(box, layer.geobox):
            raise other_grid(layer.path, layer.geobox, taken[0][0].path, box, "bilinear")
        parts.extend(_image_parts(layer, chosen, target))
    for extra, role in ((mask, "mask"), (labels, "labels")):
        if extra is not None:
            parts.extend(_beside(extra, role, box, taken[0][0].path))
    seconds = 0 if when is None else int(when.astype("datetime64[s]").astype(np.int64))
    name = (
        Path(files[0]).stem if isinstance(path, str | Path) and not Path(path).is_dir() else Path(files[0]).parent.name
    )
    return StoredScene(name, box, bands, seconds, tuple(p for p, _ in parts), tuple(m for _, m in parts))


def other_grid(path: PathLike, box: GeoBox, like: PathLike, wanted: GeoBox, method: str) -> InputError:
    """The sentence for a raster on another grid, with the command that warps it once."""
    name = Path(path)
    return InputError(
        f"'{path}' lies on another grid than '{like}': {grids.describe(box)} against {grids.describe(wanted)}",
        expected="the same grid; windows are read as they are stored and never resampled on the way",
        remedy=f"warp it once: rio warp {name} {name.with_name(name.stem + '_warped.tif')} --like {like} "
        f"--resampling {method} --co TILED=YES --co COMPRESS=DEFLATE",
    )


def classes_of(labels: NDArray[np.int64], legend: Legend, scene: StoredScene) -> NDArray[np.int64]:
    """Stored labels to class numbers 0 to K - 1; ``IGNORE`` stays.

    Raises:
        InputError: a label is not in the legend.
    """
    numbers, unknown = class_numbers(labels, legend)
    if unknown.any():
        path = next(p.file.path for p, m in zip(scene.parts, scene.meanings, strict=True) if m.role == "labels")
        raise InputError(
            f"The label raster '{path}' holds the value {int(labels[unknown][0])}",
            expected=f"a value of the legend ({', '.join(map(str, legend.values))}) or no-data",
            remedy="add it to the legend, or declare it as no-data: gdal_edit.py -a_nodata VALUE FILE",
        )
    return numbers


def _wanted(
    layers: Sequence[Layer], wanted: BandSet | Sequence[str] | None
) -> tuple[list[tuple[Layer, list[int], list[int]]], BandSet]:
    """For each layer the positions of the wanted bands in it and their places among all wanted; and the bands."""
    owners = [(layer, position) for layer in layers for position in range(len(layer.keep))]
    available = BandSet(tuple(band for layer in layers for band in layer.storage.bands))
    chosen: Sequence[int] = range(len(available)) if wanted is None else available.match(wanted).require()
    if not chosen:
        raise InputError("No band was asked for", expected="at least one band", remedy="name the bands wanted")
    bands = BandSet(tuple(available[index] for index in chosen))
    taken: dict[int, tuple[Layer, list[int], list[int]]] = {}
    for place, index in enumerate(chosen):
        layer, position = owners[index]
        _, positions, places = taken.setdefault(id(layer), (layer, [], []))
        positions.append(position)
        places.append(place)
    return list(taken.values()), bands


def _image_parts(layer: Layer, chosen: list[int], target: list[int]) -> list[tuple[Part, Meaning]]:
    storage, places = layer.storage, _places(target)
    scale, offset = (np.array(item)[chosen, None, None] for item in (storage.scale, storage.offset))
    image = Meaning(places, scale, offset, tuple(layer.invalid[i] for i in chosen), "image")
    parts = [(Part(layer.file, tuple(layer.keep[i] for i in chosen)), image)]
    if layer.masked:
        parts.append((Part(layer.file, ()), Meaning(places, *_TRIVIAL, ((),), "mask")))
    return parts


def _places(target: list[int]) -> Places:
    following = target == list(range(target[0], target[0] + len(target)))
    return slice(target[0], target[-1] + 1) if following else np.array(target, np.int64)


def _beside(path: PathLike, role: str, box: GeoBox, like: str) -> list[tuple[Part, Meaning]]:
    """Labels or a mask: a raster of one band on the grid of the scene."""
    file = probe(path)
    what = {"mask": "mask", "labels": "label raster"}[role]
    if file.count != 1:
        raise InputError(
            f"The {what} '{path}' has {file.count} bands",
            expected="one band",
            remedy="extract the right one, for example with 'gdal_translate -b 1'",
        )
    if not same_grid(box, file.geobox):
        raise other_grid(path, file.geobox, like, box, "nearest")
    missing = file.nodata[0]
    meaning = Meaning(slice(None), *_TRIVIAL, ((() if missing is None else (missing,)),), role)
    if role == "mask" or not file.shared_mask:
        return [(Part(file, (0,)), meaning)]
    raise InputError(
        f"The label raster '{path}' has a mask of its own",
        expected="a no-data value where there is no label",
        remedy="write the mask as a value, for example with 'gdal_translate -a_nodata 255 -mask none'",
    )


def _labels(part: Part, numbers: Array, meaning: Meaning) -> NDArray[np.int64]:
    known = valid_numbers(numbers, meaning.invalid)[0]
    stored = numbers[0]
    if stored.dtype.kind == "f" and bool(np.any(stored[known] != np.rint(stored[known]))):
        raise InputError(
            f"The label raster '{part.file.path}' holds fractions",
            expected="whole numbers",
            remedy="check that this is the label raster",
        )
    labels = np.full(stored.shape, IGNORE, np.int64)
    labels[known] = stored[known]
    return labels


def _check_stored(path: PathLike | Sequence[PathLike], layers: Sequence[Layer], options: Options) -> None:
    """Stop where reflectance in floating point would be scaled a second time (see ``cubes.to_physical``)."""
    if not any(layer.file.dtype.kind == "f" and layer.storage.stored for layer in layers):
        return
    scene = open(
        path,
        sensor=options.sensor,
        level=options.level,
        baseline=options.baseline,
        bands=options.bands,
        nodata=options.nodata,
        time=options.time,
    )
    for node in nodes_of(scene).values():
        if not is_physical(node):
            to_physical(node)


_TRIVIAL = (np.ones((1, 1, 1)), np.zeros((1, 1, 1)))
