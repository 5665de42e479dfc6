"""The list of map layers that lies beside the rasters: ``layers.json``.

A layer says how one raster of the directory is shown: categorical with a legend, continuous with a colour map, or
colour (three bands as red, green, blue). Only rasters registered here are ever read by the server.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from swath.errors import ConfigError, InputError, nearest
from swath.files import write_json
from swath.reading import read_json, reading

FILE_NAME = "layers.json"

Colormap = Literal[
    "viridis", "cividis", "magma", "inferno", "plasma", "gray", "blues", "ylgnbu", "rdbu", "brbg", "puor"
]
"""Colour maps that stay readable for the colour-blind and in print."""

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class LegendEntry(BaseModel):
    """One class of a categorical layer: the number in the raster, its name, its colour as ``#rrggbb``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int
    name: str = Field(min_length=1)
    colour: Colour


class Layer(BaseModel):
    """How one raster is shown on the map.

    Args:
        id: short name used in addresses: small letters, digits, ``-`` and ``_``.
        title: what people read.
        path: the raster, relative to the layers directory, inside of it.
        kind: ``categorical`` (nearest neighbour, legend colours), ``continuous`` or ``colour`` (red, green, blue).
        role: ``basemap`` lies below every ``overlay``.
        legend: classes of a categorical layer; values that are not listed stay transparent.
        unit: unit of a continuous layer.
        minimum, maximum: stretch of a continuous layer, in its unit; optional for 8-bit colour (0 to 255).
        colormap: colour map of a continuous layer.
        bands: band names, or numbers from 1; one for categorical and continuous (default the first), three for colour
            (default the first three).
        attribution: who is to be thanked, as plain text.
        opacity: opacity at the start, 0 to 1.
        visible: whether an overlay is shown at the start; a basemap always is.
        data: whether the numbers come from real or simulated observations; ``unknown`` shows nothing about it.
        note: one sentence of explanation.
        of: id of the map whose uncertainty this layer tells; empty for all others.
        measure: what it tells then, as a prediction names its outputs: ``confidence``, ``entropy``, ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: str = Field(min_length=1)
    path: str
    kind: Literal["categorical", "continuous", "colour"]
    role: Literal["basemap", "overlay"] = "overlay"
    legend: tuple[LegendEntry, ...] = ()
    unit: str = ""
    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)
    colormap: Colormap = "viridis"
    bands: tuple[int | str, ...] = ()
    attribution: str = ""
    opacity: float = Field(default=1.0, ge=0.0, le=1.0)
    visible: bool = True
    data: Literal["real", "simulated", "unknown"] = "real"
    note: str = ""
    of: str = ""
    measure: str = ""

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or "\0" in path or "\\" in path or ":" in path or parts[0].startswith(("/", "~")) or ".." in parts:
            raise ValueError(f"the path '{path}' must be relative and stay inside the layers directory")
        return path

    @model_validator(mode="after")
    def _consistent(self) -> Layer:
        if self.kind == "categorical" and not self.legend:
            raise ValueError("a categorical layer needs a legend with at least one class")
        if self.kind != "categorical" and self.legend:
            raise ValueError(f"a {self.kind} layer has no legend; give minimum, maximum and colormap instead")
        repeated = [value for value, count in Counter(entry.value for entry in self.legend).items() if count > 1]
        if repeated:
            raise ValueError(f"the legend lists the value {repeated[0]} more than once")
        if self.kind == "continuous" and (self.minimum is None or self.maximum is None):
            raise ValueError("a continuous layer needs minimum and maximum")
        if (self.minimum is None) != (self.maximum is None):
            raise ValueError("minimum and maximum are given together or not at all")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} must be below maximum {self.maximum:g}")
        wanted = 3 if self.kind == "colour" else 1
        if len(self.bands) not in (0, wanted):
            raise ValueError(f"a {self.kind} layer shows {wanted} band(s), but {len(self.bands)} are listed")
        return self


class LayerSet(BaseModel):
    """All layers of a directory in drawing order of the panel (first on top), with the title of the map."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    title: str = "swath"
    layers: tuple[Layer, ...]

    @model_validator(mode="after")
    def _unique(self) -> LayerSet:
        repeated = [name for name, count in Counter(layer.id for layer in self.layers).items() if count > 1]
        if repeated:
            raise ValueError(f"the id '{repeated[0]}' belongs to more than one layer")
        return self


def write_layers(directory: str | os.PathLike[str], layers: Sequence[Layer], title: str) -> Path:
    """Write ``layers.json`` beside the rasters, all at once or not at all.

    Raises:
        ConfigError: two layers share an id.
        InputError: a raster of the list is not in ``directory``.
    """
    root = Path(directory)
    try:
        collection = LayerSet(title=title, layers=tuple(layers))
    except ValidationError as error:
        raise ConfigError(_first_problem(error, {}), expected="ids that differ", remedy="rename a layer") from error
    for layer in collection.layers:
        raster_path(root, layer)
    return write_json(root / FILE_NAME, collection.model_dump(mode="json"))


def read_layers(directory: str | os.PathLike[str]) -> LayerSet:
    """Read and check ``layers.json`` of a directory.

    Raises:
        InputError: the directory or the file is missing, not JSON, or does not describe layers.
    """
    root = Path(directory)
    source = root / FILE_NAME
    if not source.is_file():
        raise missing_place(root)
    expected = "a file as swath.serve.write_layers writes it"
    content = read_json(source, expected=expected, remedy="write it again")
    with reading(source, expected=expected, remedy="correct the named field or write the file again"):
        try:
            return LayerSet.model_validate(content)
        except ValidationError as error:
            raise InputError(
                f"In '{source}', {_first_problem(error, content)}",
                expected=expected,
                remedy="correct the named field or write the file again",
            ) from error


def missing_place(root: Path) -> InputError:
    """The sentence for a directory that is not there or has nothing to show."""
    if not root.is_dir():
        return InputError(
            f"There is no directory '{root}'",
            expected=f"a directory with {FILE_NAME} and the rasters it lists, or with maps",
            remedy="give the output directory of `swath demo` or of a prediction",
        )
    return InputError(
        f"'{root}' holds no {FILE_NAME} and no map",
        expected=f"a directory with {FILE_NAME} and the rasters it lists, or with GeoTIFFs that have a CRS",
        remedy="give the output directory of `swath demo` or of a prediction",
    )


def raster_path(directory: Path, layer: Layer) -> Path:
    """Where the raster of a layer lies; refuses missing files and links that lead out of the directory.

    Raises:
        InputError: the raster is missing or outside of ``directory``.
    """
    path = directory / layer.path
    if not path.is_file():
        raise InputError(
            f"The layer '{layer.id}' shows '{layer.path}', which is not in '{directory}'",
            expected="every listed raster beside the list",
            remedy="put the file there or take the layer off the list",
        )
    if not path.resolve().is_relative_to(directory.resolve()):
        raise InputError(
            f"The layer '{layer.id}' shows '{layer.path}', a link that leads out of '{directory}'",
            expected="rasters inside the layers directory",
            remedy="copy the file into the directory",
        )
    return path


def _first_problem(error: ValidationError, content: Any) -> str:
    """One readable clause for the first of pydantic's findings."""
    problem = error.errors()[0]
    where = [str(part) for part in problem["loc"]]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not where:
        return message
    named = ".".join(where)
    if len(where) >= 2 and where[0] == "layers":
        entry = content["layers"][int(where[1])] if isinstance(content, dict) else None
        known = entry.get("id") if isinstance(entry, dict) else None
        named = f"layer {int(where[1]) + 1}" + (f" ('{known}')" if known else "")
        named += f", field '{'.'.join(where[2:])}'" if len(where) > 2 else ""
    if problem["type"] == "extra_forbidden":
        options = LegendEntry if "legend" in where else Layer if where[0] == "layers" else LayerSet
        return f"{named} is unknown; the nearest known field is {nearest(where[-1], options.model_fields, count=1)}"
    if problem["type"] == "missing":
        return f"{named} is missing"
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float) else ""
    return f"{named}: {message}{shown}"
