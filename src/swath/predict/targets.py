"""Names of the files that a prediction writes, and what may not have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from swath.cubes.guard import is_vrt, open_raster
from swath.errors import ConfigError
from swath.predict.layers import Layer

SUFFIXES = (".tif", ".tiff")
"""Endings that an output may have."""


def file_names(out: Path, wanted: Sequence[Layer]) -> dict[str, Path]:
    """The first output takes ``out``, others add their name to its stem.

    Raises:
        ConfigError: ``out`` is a folder or no GeoTIFF by its name.
    """
    _check_name(out)
    return {
        layer.name: out if position == 0 else out.with_name(f"{out.stem}_{layer.name}{out.suffix}")
        for position, layer in enumerate(wanted)
    }


def failure_table(out: Path) -> Path:
    """The table of what could not be read, beside the map."""
    return out.with_name(f"{out.name}.failures.csv")


def work_folder(out: Path) -> Path:
    """The hidden folder beside the map that holds finished strips."""
    return out.with_name(f".{out.name}.work")


def check_files(files: Mapping[str, Path], source: str) -> None:
    """Refuse names that are no GeoTIFF, lie where a folder is, or would replace what is being read.

    Raises:
        ConfigError: as said.
    """
    scene = Path(source).resolve() if source else None
    parts = _parts(scene)
    for path in files.values():
        _check_name(path)
        for written in (path, path.with_suffix(".qml"), failure_table(path)):
            place = written.resolve()
            taken = scene is not None and scene.exists() and (_same(place, scene) or scene in place.parents)
            if taken or place in parts:
                raise ConfigError(
                    f"The output '{written}' would replace or join the scene '{source}'",
                    expected="a file that is no part of the scene",
                    remedy="choose another name or folder for the map",
                )


def _check_name(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(
            f"The output '{path}' is a folder",
            expected=f"the name of a file, ending in {' or '.join(SUFFIXES)}",
            remedy="choose another name",
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"The map was to be written to '{path}', with the suffix '{path.suffix}'",
            expected=f"a GeoTIFF: {' or '.join(SUFFIXES)}",
            remedy=f"write to '{path.with_suffix('.tif')}'",
        )


def _parts(scene: Path | None) -> set[Path]:
    """The files that a virtual raster is made of."""
    if scene is None or not scene.is_file() or not is_vrt(scene):
        return set()
    with open_raster(scene) as dataset:
        return {Path(name).resolve() for name in dataset.files}


def _same(path: Path, scene: Path) -> bool:
    return path == scene or (path.exists() and path.samefile(scene))
