"""Kinds of soil: what the climate makes of the rock, in patches of a few kilometres that follow the slopes.

Along a slope soils differ in a fixed order, the catena of Milne (1935): dark where water and humus gather, pale and
coarse on top. So the height above the drainage moves the border between two kinds.
Red soils are those of the wet tropics (ferralsols), pale and sandy ones those of deserts, dark ones those of cold
grassland and of wet ground, brown ones those of temperate forests (Driessen et al. 2001, "Lecture notes on the major
soils of the world").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from swath.sources.world.earth.lattice import Array, over, patches
from swath.sources.world.frame import Window
from swath.sources.world.truth import SOILS

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

# Per Köppen group, tropical to polar: shares of dark, brown, red, pale and sandy soil.
_SHARES = (
    (0.08, 0.22, 0.60, 0.07, 0.03),
    (0.02, 0.13, 0.15, 0.40, 0.30),
    (0.15, 0.55, 0.12, 0.13, 0.05),
    (0.40, 0.40, 0.02, 0.13, 0.05),
    (0.30, 0.35, 0.00, 0.25, 0.10),
)
_WET = 1.5  # metres above drainage below which the ground is dark
_STEP = 4  # finest pixels along a pixel of the patches
_RELIEF = 0.6  # weight of the place on the slope over that of chance
_CATENA = 1.7, 0.8  # middle and spread of the logarithm of one plus the height above drainage [m], as hills have it

SOIL = ("soil",)


def soil(earth: Earth, cell: Window) -> dict[str, NDArray[Any]]:
    """Maker of ``soil``, codes of ``SOILS``: patches whose borders follow the relief, dark soils lower on slopes."""
    coarse = cell.coarsened(_STEP)
    patchy = patches(earth.key("soil", cell.zone.epsg), coarse, 3_000.0, 150.0, 0.6)
    limits = over(coarse, 2_560.0, lambda y, x: _limits(earth, cell, y, x))
    top, left = cell.row - coarse.row * _STEP, cell.column - coarse.column * _STEP
    inner = slice(top, top + cell.height), slice(left, left + cell.width)
    above = earth.read("height_above_drainage", cell)
    upper = np.clip((np.log1p(above) - _CATENA[0]) / _CATENA[1], -2.0, 2.0)
    where = (_fine(patchy)[inner] + _RELIEF * upper) / np.hypot(1.0, _RELIEF)
    rank = ndtr(where)
    kind = np.zeros(cell.shape, np.uint8)
    for limit in limits:
        kind += rank > _fine(limit)[inner]
    return {"soil": np.where((above < _WET) & (kind <= 2), np.uint8(0), kind)}


def _fine(values: Array) -> Array:
    """Each pixel of the patches as finest pixels."""
    return np.asarray(values.repeat(_STEP, axis=0).repeat(_STEP, axis=1))


def _limits(earth: Earth, cell: Window, y: Array, x: Array) -> Array:
    """Ranks up to which each kind but the last goes ``(4, h, w)``."""
    climate = earth.base.sample(*cell.zone.lonlat(*np.meshgrid(x, y))).climate
    shares = np.zeros((len(SOILS), *climate.shape[1:]))
    for share, kinds in zip(climate, _SHARES, strict=True):
        for kind, part in enumerate(kinds):
            shares[kind] += part * share
    return np.asarray(np.cumsum(shares, axis=0)[:-1])
