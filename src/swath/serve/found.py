"""Layers of a place without ``layers.json``: what the rasters that lie there say about themselves."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from swath.cubes import Legend
from swath.cubes.cog import LEGEND_TAG, shown_ranges
from swath.errors import InputError
from swath.serve.handles import MAX_BLOCK_BYTES, block_bytes, open_raster
from swath.serve.layers import FILE_NAME, Colormap, Layer, LayerSet, LegendEntry, missing_place, read_layers

SUFFIXES = frozenset({".tif", ".tiff"})
OUTPUT_TAG = "output"  # what a prediction says it holds
SHARES = frozenset({"confidence", "entropy", "probability", "applicability", "set"})  # from 0 to 1
UNCERTAINTIES: dict[str, tuple[str, Colormap]] = {
    "confidence": ("confidence", "viridis"),
    "entropy": ("entropy", "magma"),
    "std": ("standard deviation", "magma"),
    "spread": ("spread of repeated predictions", "magma"),
    "disagreement": ("disagreement of repeated predictions", "magma"),
    "dissimilarity": ("dissimilarity to the training data", "magma"),
    "applicability": ("area of applicability", "cividis"),
    "set_size": ("classes that cannot be excluded", "magma"),
}
"""Outputs that tell how far to trust a map: what people read, and the colour map."""
FROM_ZERO = frozenset({"std", "spread", "disagreement", "dissimilarity"})  # 0 is the best that can be
TRUE_COLOUR = (("red", "green", "blue"), ("b04", "b03", "b02"))


@dataclass(frozen=True)
class _Raster:
    """What a file says about itself; ``ranges`` are the 2nd and 98th percentile of each band in its unit."""

    path: Path
    legend: Legend | None
    output: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    picture: bool


def layers_of(directory: str | os.PathLike[str]) -> tuple[Layer, ...]:
    """The layers of a directory: those of its ``layers.json``, else one or more for every GeoTIFF in it with a CRS.

    A file with the legend that ``swath.cubes`` stores is categorical. Shares such as confidence, entropy and
    probability are shown from 0 to 1, one layer per band; other predictions and files of one or two bands are
    continuous, three bands and more are a colour picture, both stretched from the 2nd to the 98th percentile. Layers
    that tell how far to trust a map name it in ``of``. Maps lie above pictures.

    Raises:
        InputError: the directory is missing, or its ``layers.json`` cannot be used.
    """
    root = Path(directory)
    if not root.is_dir() or (root / FILE_NAME).is_file():
        return read_layers(root).layers
    inside = root.resolve()
    files = [path for path in sorted(root.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    return _layers(path for path in files if path.name[0] != "." and path.resolve().is_relative_to(inside))


def collection_at(place: str | os.PathLike[str]) -> tuple[Path, LayerSet]:
    """The directory and the layers that a place stands for: a directory, or one GeoTIFF.

    Raises:
        InputError: there is nothing to show, or ``layers.json`` cannot be used.
    """
    path = Path(place)
    if path.is_file():
        # A link is followed, for only rasters inside the directory are ever read.
        raster = path.resolve()
        layers = _layers([raster])
        if not layers:
            raise InputError(
                f"'{path}' cannot be shown on a map",
                expected="a GeoTIFF that says where on the Earth it lies",
                remedy="give a map that `swath predict` wrote, or a folder with such maps",
            )
        return raster.parent, LayerSet(title=path.stem, layers=layers)
    if (path / FILE_NAME).is_file():
        return path, read_layers(path)
    layers = layers_of(path)
    if not layers:
        raise missing_place(path)
    return path, LayerSet(title=path.resolve().name or "swath", layers=layers)


def _layers(paths: Iterable[Path]) -> tuple[Layer, ...]:
    """Layers of some files, maps of classes first and pictures last; the first map and the first picture are on."""
    order = ("categorical", "continuous", "colour")
    rasters = [raster for path in paths if (raster := _read(path)) is not None]
    found: list[Layer] = []
    for raster in rasters:
        with contextlib.suppress(ValidationError):  # numbers that are no range, names that are no text
            found += _of(raster)
    found.sort(key=lambda layer: order.index(layer.kind))
    taken: set[str] = set()
    layers: list[Layer] = []
    for layer in found:
        others = [other.kind for other in layers]
        shown = not others or (layer.kind == "colour" and "colour" not in others)
        layers.append(layer.model_copy(update={"id": _unused(layer.id, taken), "visible": shown}))
    return tuple(_tied(layers))


def _tied(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layers, those of uncertainty with the id of the map they belong to: ``map_entropy.tif`` to ``map.tif``."""
    maps = {Path(layer.path).stem: layer.id for layer in reversed(layers) if not layer.measure}
    for layer in layers:
        stem = Path(layer.path).stem.removesuffix(f"_{layer.measure}")
        yield layer.model_copy(update={"of": maps[stem]}) if layer.measure and stem in maps else layer


def _read(path: Path) -> _Raster | None:
    """What a file says about itself; None if it is no raster or does not say where it lies."""
    try:
        with open_raster(path) as source:
            if source.crs is None or block_bytes(source) > MAX_BLOCK_BYTES:
                return None
            tags, names = source.tags(), tuple(str(name or "") for name in source.descriptions)
            units = tuple(str(unit or "") for unit in source.units)
            physical = list(zip(source.scales, source.offsets, strict=True))
            picture = source.count >= 3 and source.dtypes[0] == "uint8" and source.colorinterp[0] == ColorInterp.red
        ranges = shown_ranges(path)
    except (RasterioError, OSError, InputError):
        return None
    ends = [
        sorted(end * scale + offset for end in pair) for pair, (scale, offset) in zip(ranges, physical, strict=True)
    ]
    try:
        legend = Legend.from_json(tags[LEGEND_TAG]) if LEGEND_TAG in tags else None
    except InputError:
        legend = None  # its numbers can still be shown
    return _Raster(path, legend, tags.get(OUTPUT_TAG, ""), names, units, tuple((a, b) for a, b in ends), picture)


def _of(raster: _Raster) -> Iterator[Layer]:
    """The layers of one file."""
    stem = raster.path.stem
    if raster.legend is not None and raster.legend.entries:
        entries = raster.legend.entries
        legend = tuple(
            LegendEntry(value=item.value, name=item.name or str(item.value), colour=item.colour) for item in entries
        )
        yield _layer(raster, stem, kind="categorical", legend=legend)
    elif len(raster.names) >= 3 and not raster.output:
        bands = _true_colour(raster.names)
        if raster.picture:
            yield _layer(raster, stem, kind="colour", bands=bands)
        else:
            chosen = [raster.ranges[band - 1] for band in bands]
            low, high = min(pair[0] for pair in chosen), max(pair[1] for pair in chosen)
            yield _layer(raster, stem, kind="colour", bands=bands, minimum=low, maximum=high)
    else:
        # Bands of a prediction are quantities of their own; of any other file, the first stands for it.
        for band in range(1, len(raster.names) + 1) if raster.output else (1,):
            yield _continuous(raster, band)


def _continuous(raster: _Raster, band: int) -> Layer:
    """One band as a layer; uncertainties with the range and the colours that fit them."""
    stem, alone = raster.path.stem, len(raster.names) == 1
    name = raster.names[band - 1] or f"band {band}"
    low, high = raster.ranges[band - 1]
    if raster.output in SHARES:
        low, high = 0.0, 1.0
    elif raster.output in FROM_ZERO:
        low, high = 0.0, high if high > 0.0 else 1.0
    elif raster.output == "set_size":
        low, high = 1.0, max(2.0, high)
    unit = raster.units[band - 1]
    plain = stem if alone else f"{stem}: {name}"
    told, colours = UNCERTAINTIES.get(raster.output, ("", "viridis"))
    title = f"{stem.removesuffix('_' + raster.output)}: {told}" if told else plain
    shown = _layer(
        raster,
        title if alone or not told else f"{title} ({name})",
        kind="continuous",
        bands=(band,),
        minimum=low,
        maximum=high,
        unit="" if unit == "1" else unit,
        colormap=colours,
    )
    return shown.model_copy(update={"id": _slug(plain)})


def _layer(raster: _Raster, title: str, **fields: Any) -> Layer:
    measure = raster.output if raster.output in UNCERTAINTIES else ""
    return Layer(id=_slug(title), title=title, path=raster.path.name, data="unknown", measure=measure, **fields)


def _true_colour(names: tuple[str, ...]) -> tuple[int, int, int]:
    """Numbers of red, green and blue where the names tell, else the first three bands."""
    lowered = [name.lower() for name in names]
    for red, green, blue in TRUE_COLOUR:
        if {red, green, blue} <= set(lowered):
            return lowered.index(red) + 1, lowered.index(green) + 1, lowered.index(blue) + 1
    return 1, 2, 3


def _slug(title: str) -> str:
    """A title as an id: small letters, digits, ``-`` and ``_``."""
    return re.sub(r"[^a-z0-9_-]+", "-", title.lower()).strip("-_")[:56].rstrip("-_") or "layer"


def _unused(name: str, taken: set[str]) -> str:
    """The name, with a number if another layer has it already."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free
