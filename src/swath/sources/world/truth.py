"""What truth is: the layers that the renderer reads and the simulated planet knows, with unit and meaning.

Truth at one moment is an ``xarray.Dataset`` with the dims ``(y, x)``, a grid (``odc.geobox``) and variables from
``LAYERS``. Any source may give it: the simulated planet, the real globe, a user's own land cover and elevation. Class
layers hold codes of their legend; on pixels coarser than the truth they come as shares, in a variable
``NAME_fraction`` with the dims ``(NAME, y, x)`` that add up to one.

Quantities are rounded to ``step``, a power of two, so that their sums are exact in double precision: a mean over a
block is the same number in whatever order and tiling it is worked out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.cubes import Legend, legend_from_colours
from swath.errors import InputError, nearest

WORLD_VERSION = "world/v1"

COVER = legend_from_colours(
    {
        "tree cover": "#006400",
        "shrubland": "#ffbb22",
        "grassland": "#ffff4c",
        "cropland": "#f096ff",
        "built-up": "#fa0000",
        "bare or sparse vegetation": "#b4b4b4",
        "snow and ice": "#f0f0f0",
        "permanent water": "#0064c8",
        "herbaceous wetland": "#0096a0",
        "mangroves": "#00cf75",
        "moss and lichen": "#fae6a0",
    }
)
"""The eleven classes of ESA WorldCover in its order and colours, numbered from 0."""

TREE, SHRUB, GRASS, CROP, BUILT, BARE, ICE, WATER, WETLAND, MANGROVE, MOSS = range(11)

CROPS = legend_from_colours(
    {
        "none": "#dddddd",
        "winter cereal": "#e6ab02",
        "summer cereal": "#d95f02",
        "oilseed": "#ffff33",
        "root crop": "#7570b3",
        "rice": "#1f78b4",
        "pasture": "#66a61e",
        "fallow": "#a6761d",
    }
)
"""What grows on a field in a year."""

NO_CROP, WINTER_CEREAL, SUMMER_CEREAL, OILSEED, ROOT_CROP, RICE, PASTURE, FALLOW = range(8)

SOILS = legend_from_colours(
    {"dark": "#3b2f2f", "brown": "#7b5b3a", "red": "#a0522d", "pale": "#cdb891", "sandy": "#e8d9a0"}
)
"""Kinds of soil by their look."""

LayerKind = Literal["quantity", "class", "identity"]


@dataclass(frozen=True)
class LayerInfo:
    """A layer of truth.

    Args:
        name: of the variable.
        unit: of the values; ``1`` for shares and counts, ``class`` and ``identity`` for numbers without one.
        kind: quantities have means on coarser pixels, classes have shares; identities exist at 10 m alone.
        step: quantities are whole multiples of it.
        meaning: one line.
        moves: whether it changes with time.
    """

    name: str
    unit: str
    kind: LayerKind
    step: float
    meaning: str
    moves: bool


def _layer(name: str, unit: str, step: float, meaning: str, *, moves: bool = False) -> LayerInfo:
    return LayerInfo(name, unit, "quantity", step, meaning, moves)


_ALL = (
    _layer("elevation", "m", 2.0**-4, "height above sea level"),
    _layer("slope", "degree", 2.0**-6, "steepest slope of the ground"),
    _layer("height_above_drainage", "m", 2.0**-4, "height above the stream that the pixel drains into"),
    LayerInfo("cover", "class", "class", 1.0, "land cover (COVER)", True),
    LayerInfo("crop", "class", "class", 1.0, "crop of the year (CROPS)", True),
    LayerInfo("soil", "class", "class", 1.0, "kind of soil (SOILS)", False),
    LayerInfo("field", "identity", "identity", 1.0, "number of the field, 0 outside", False),
    _layer("open_water", "1", 2.0**-10, "share under open water, floods included", moves=True),
    _layer("water_sediment", "g m-3", 2.0**-6, "suspended sediment of the water", moves=True),
    _layer("water_chlorophyll", "mg m-3", 2.0**-6, "chlorophyll a of the water", moves=True),
    _layer("building_cover", "1", 2.0**-10, "share under roofs"),
    _layer("building_height", "m", 2.0**-4, "mean height of the buildings, 0 without"),
    _layer("road_cover", "1", 2.0**-10, "share under streets and other sealed ground"),
    _layer("wealth", "1", 2.0**-10, "wealth of the households around, 0 to 1"),
    _layer("leaf_area", "1", 2.0**-8, "one-sided leaf area per ground area, brown leaves included", moves=True),
    _layer("leaf_chlorophyll", "ug cm-2", 2.0**-4, "chlorophyll of green leaves", moves=True),
    _layer("brown_fraction", "1", 2.0**-10, "share of the leaf area that is dead", moves=True),
    _layer("biomass", "Mg ha-1", 2.0**-4, "woody biomass above ground, dry matter", moves=True),
    _layer("soil_moisture", "m3 m-3", 2.0**-12, "water content of the top five centimetres", moves=True),
    _layer("snow_cover", "1", 2.0**-10, "share under snow", moves=True),
    _layer("char_cover", "1", 2.0**-10, "share of the ground that is charred", moves=True),
    _layer("burn_severity", "1", 2.0**-10, "share of the vegetation that the last fire took, fading", moves=True),
    _layer("flood_depth", "m", 2.0**-6, "depth of flood water above the ground", moves=True),
)

LAYERS: dict[str, LayerInfo] = {layer.name: layer for layer in _ALL}
"""All layers by name."""

REQUIRED_OPTICAL = ("cover",)
REQUIRED_RADAR = ("cover", "elevation")


def quantised(name: str, values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values of a quantity rounded to whole multiples of its step, float32."""
    step = LAYERS[name].step
    return (np.rint(np.asarray(values, np.float64) / step) * step).astype(np.float32)


def require_layers(truth: xr.Dataset, wanted: Iterable[str], what: str) -> None:
    """Stop where layers are missing; a class layer may come as shares.

    Raises:
        InputError: names every absent layer.
    """
    absent = [name for name in wanted if name not in truth and f"{name}_fraction" not in truth]
    if absent:
        held = ", ".join(str(name) for name in truth.data_vars) or "nothing"
        near = f"; '{absent[0]}' is like {nearest(absent[0], map(str, truth.data_vars))}" if len(truth) else ""
        raise InputError(
            f"The truth lacks {', '.join(absent)}, which {what} needs; it holds {held}",
            expected=f"the layers {', '.join(wanted)} with the dims (y, x)",
            remedy=f"add them, or rename yours{near}",
        )


def check_truth(truth: xr.Dataset) -> GeoBox:
    """Check dims, grid, codes and ranges of a truth; returns its grid.

    Raises:
        InputError: says which layer is wrong and how.
    """
    box = truth.odc.geobox if {"y", "x"} <= set(truth.dims) else None
    if not isinstance(box, GeoBox) or box.crs is None:
        raise InputError(
            f"The truth has no grid with a CRS (dims {dict(truth.sizes)})",
            expected="dims (y, x) with coordinates at equal steps and a spatial_ref",
            remedy="make its coordinates with odc.geo.xr.xr_coords(geobox), or open it with cubes.open",
        )
    for name, info in LAYERS.items():
        if name in truth:
            _check_layer(truth[name], info)
        if f"{name}_fraction" in truth and truth[f"{name}_fraction"].dims != (name, "y", "x"):
            raise InputError(
                f"{name}_fraction has the dims {truth[f'{name}_fraction'].dims}",
                expected=f"({name}, y, x), one share per class of the legend",
                remedy="transpose it",
            )
    return box


def legend_of(name: str) -> Legend | None:
    """The legend of a class layer, None for others."""
    return {"cover": COVER, "crop": CROPS, "soil": SOILS}.get(name)


def _check_layer(layer: xr.DataArray, info: LayerInfo) -> None:
    if layer.dims != ("y", "x"):
        raise InputError(
            f"The layer '{info.name}' has the dims {layer.dims}",
            expected="(y, x), the truth of one moment",
            remedy="select one time, and transpose",
        )
    legend = legend_of(info.name)
    if info.kind == "class" and legend is not None and layer.chunks is None:
        found = np.unique(layer.values)
        strange = [int(value) for value in found if not 0 <= value < len(legend.entries)]
        if strange or not np.issubdtype(layer.dtype, np.integer):
            raise InputError(
                f"The layer '{info.name}' holds {strange or layer.dtype}, which its legend does not know",
                expected=f"whole numbers 0 to {len(legend.entries) - 1}",
                remedy="map your classes to " + ", ".join(f"{entry.value} {entry.name}" for entry in legend),
            )
