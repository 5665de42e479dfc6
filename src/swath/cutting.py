"""What chips are cut with: labels on the grid of the scene with their legend, and numbers that make sense."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import ConfigError, InputError
from swath.files import read_yaml

if TYPE_CHECKING:
    import xarray as xr

    from swath.chips import ChipSet
    from swath.cubes import Legend

PathLike = Path | str
RASTERS = frozenset({".tif", ".tiff", ".nc", ".zarr", ".vrt", ".jp2"})


def _stored_legend(path: Path) -> Legend | None:
    """The legend inside a GeoTIFF that swath wrote, or None."""
    from swath import cubes

    return cubes.read_legend(path) if path.suffix.lower() in (".tif", ".tiff") else None


def labels_on(
    cube: xr.Dataset, labels: PathLike | xr.DataArray, column: str | None, legend: PathLike | Mapping[int, str] | None
) -> tuple[xr.DataArray, Legend]:
    """Labels on the grid of the cube, and their legend."""
    import xarray as xr

    from swath import cubes

    if isinstance(labels, xr.DataArray) or Path(labels).suffix.lower() in RASTERS:
        stored = None if legend is not None or isinstance(labels, xr.DataArray) else _stored_legend(Path(labels))
        if legend is None and stored is None:
            raise ConfigError(
                "Labels were given as a raster without a legend",
                expected="a legend that names every label value",
                remedy="pass --legend FILE.yaml with lines such as '1: forest'",
            )
        if column is not None:
            raise ConfigError(
                f"The column '{column}' was named for labels that are a raster",
                expected="a column for polygons only",
                remedy="leave out --column, or give the polygons",
            )
        raster = labels if isinstance(labels, xr.DataArray) else cubes.read_labels(Path(labels))
        if legend is None:
            assert stored is not None
            return raster, stored
        names = legend if isinstance(legend, Mapping) else _read_legend(Path(legend))
        return raster, cubes.Legend.from_names(names)
    if column is None:
        raise ConfigError(
            f"No column was named for the polygons in {labels}",
            expected="the column that holds the class",
            remedy="pass --column NAME",
        )
    if legend is not None:
        raise ConfigError(
            f"A legend was given for the polygons in {labels}, whose classes are named by the column '{column}'",
            expected="a legend for label rasters only",
            remedy="leave out --legend, or give the label raster",
        )
    values = cubes.vector_classes(Path(labels), column)
    codes = {name: code for code, name in enumerate(values)}
    raster = cubes.rasterise(Path(labels), cube.odc.geobox, column=column, legend=codes)
    return raster, cubes.Legend.from_names({code: name for name, code in codes.items()})


def _read_legend(path: Path) -> dict[int, str]:
    """A YAML file of 'value: name'."""
    content = read_yaml(path, "a YAML file with lines such as '1: forest'")
    whole = isinstance(content, dict) and all(type(key) is int for key in content)  # True is no class number
    if not whole:
        raise InputError(
            f"The legend {path} is not a mapping of whole numbers to names",
            expected="lines such as '1: forest'",
            remedy="correct the file",
        )
    return {int(key): str(name) for key, name in content.items()}


def check_cutting(*, size: int, stride: int | None, block: int, buffer: float, seed: int) -> None:
    """Numbers that would be found wrong only after the cutting."""
    least = {"size": (size, 1), "stride": (size if stride is None else stride, 1), "block": (block, 1)}
    for name, (value, bound) in {**least, "buffer": (buffer, 0), "seed": (seed, 0)}.items():
        if not bound <= value < math.inf:
            raise ConfigError(f"{name} = {value}", expected=f"a number of at least {bound}", remedy=f"change {name}")


def check_asked(
    labels: object,
    values: object,
    of_labels: Mapping[str, object],
    of_values: Mapping[str, object],
    task: str | None,
) -> None:
    """Either labels or values, with their own options only, and a task that they can answer.

    Args:
        labels: labels, or None.
        values: quantities, or None.
        of_labels: options that only labels have; None where they were not given.
        of_values: options that only values have.
        task: what was asked for, or None.

    Raises:
        ConfigError: both or neither, an option of the other, or a task that they cannot answer.
    """
    if (labels is None) == (values is None):
        raise ConfigError(
            f"{'Neither' if labels is None else 'Both'} labels and values were given",
            expected="labels (a class per pixel) or values (quantities per pixel)",
            remedy="pass --labels FILE or --values FILE",
        )
    given, others = ("labels", of_values) if values is None else ("values", of_labels)
    stray = [name for name, option in others.items() if option is not None]
    known = ("segmentation", "change") if values is None else ("pixel_regression",)
    if stray or (task is not None and task not in known):
        raise ConfigError(
            f"{given} were given with {f'the option {stray[0]!r}' if stray else f'the task {task!r}'}",
            expected=f"options of {given}, and the task {' or '.join(known)}",
            remedy="leave it out; one answer per chip comes from 'swath chips label' afterwards",
        )


def split_and_measure(chipset: ChipSet, block: int, buffer: float, seed: int) -> None:
    """Write the split by blocks and the statistics of its training part into the folder of a chip set."""
    from swath import chips as room

    split = room.split_by_block(chipset, block_chips=block, buffer_chips=buffer, seed=seed)
    split.save(chipset.folder / "split.parquet")
    room.statistics(chipset, split).save(chipset.folder / "statistics.json")
