"""Quality layers as products carry them, made from what is true instead of what an algorithm guesses.

They are therefore right where real masks err: thin cloud, bright ground, dark water. Codes that are produced:

- ``SCL`` (Sentinel-2 L2A, 20 m, uint8): all twelve. 0 no data, 1 saturated, 2 terrain shadow, 3 cloud shadow,
  4 vegetation, 5 bare or sealed ground, 6 water, 7 unclassified (cloud too thin to tell), 8 and 9 cloud of medium and
  high probability, 10 thin cirrus, 11 snow or ice.
- ``MSK_CLASSI`` (Sentinel-2 L1C, 60 m, uint8): the three bands of the product as bits: 0 opaque cloud, 1 cirrus, 2 snow
  or ice; 255 no data.
- ``Fmask`` (HLS, 30 m, uint8; HLS Product User Guide 2.0, table 9): bit 1 cloud, 2 within 150 m of cloud or shadow,
  3 cloud shadow, 4 snow or ice, 5 water, 6 and 7 aerosol level (1 low, 2 moderate, 3 high); bit 0 is not used by the
  product either; 255 no data.
- ``QA_PIXEL`` (Landsat Collection 2, 30 m, uint16; LSDS-1619, table 6-2): bit 0 fill, 1 dilated cloud (90 m), 2 cirrus
  (Landsat 8), 3 cloud, 4 cloud shadow, 5 snow, 6 clear, 7 water, 8 to 15 confidences of cloud, shadow, snow and cirrus.
  Confidence is 1 (low) or 3 (high), and 2 (medium) for thin cloud; 1 alone is 0 for cirrus on Landsat 5 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath.sources.world.render.instrument import Scheme
from swath.sources.world.render.resolution import block_mean
from swath.sources.world.truth import BUILT, CROP, GRASS, ICE, MANGROVE, MOSS, SHRUB, TREE, WATER, WETLAND

THIN, MEDIUM, THICK = 0.3, 1.0, 3.0
"""Optical thickness of low cloud from which on it is unclassified, probable and certain."""

CIRRUS = 0.1
"""Optical thickness of cirrus from which on it is flagged."""

SHADE = 0.7
"""Direct light passing the clouds below which the ground counts as shadow."""

LIT = 0.5
"""Share of the sun's disc below which the ground lies in the shadow of terrain."""

REACH = {"SCL": 0, "MSK_CLASSI": 0, "Fmask": 5, "QA_PIXEL": 3}
"""Pixels around a pixel that its flags depend on."""

_GREEN = 0.8  # green leaf area per ground area from which on the ground counts as vegetation (NDVI about 0.4)
_GREEN_COVER = (TREE, SHRUB, GRASS, CROP, WETLAND, MANGROVE, MOSS)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ground:
    """Shares of a pixel, float32 ``(H, W)``: under water, under snow or ice; and whether green leaves cover it."""

    water: NDArray[np.float32]
    snow: NDArray[np.float32]
    green: Mask


@dataclass(frozen=True, eq=False)
class Overhead:
    """What lies above a pixel, float32 ``(H + 2 r, W + 2 r)`` with the margin r of ``REACH``.

    Args:
        cloud: optical thickness of low cloud as seen from the satellite.
        cirrus: of cirrus.
        passing: share of the sunlight that passes the clouds.
    """

    cloud: NDArray[np.float32]
    cirrus: NDArray[np.float32]
    passing: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Unusable:
    """Where pixels are ``absent``, and where a band of theirs is saturated (``full``); ``(H, W)`` each."""

    absent: Mask
    full: Mask


def ground_of(truth: xr.Dataset, rows: slice, columns: slice, times: int) -> Ground:
    """What the ground of a window is, on pixels ``times`` as wide.

    Args:
        truth: layers ``(y, x)``, in memory.
        rows: of the window; whole blocks of ``times``.
        columns: of the window; the same.
        times: pixels of the truth along one of the result's.
    """

    def share(*classes: int) -> NDArray[np.float32]:
        if "cover_fraction" in truth:
            parts = truth["cover_fraction"].transpose("cover", "y", "x").values[:, rows, columns]
            total = parts[classes[0]].astype(np.float32)
            for code in classes[1:]:
                total = total + parts[code].astype(np.float32)
            return block_mean(total, times)
        cover = truth["cover"].values[rows, columns]
        table = np.zeros(256, np.float32)
        table[list(classes)] = 1.0
        return block_mean(table[cover.astype(np.uint8)], times)

    def layer(name: str) -> NDArray[np.float32]:
        return block_mean(truth[name].values[rows, columns].astype(np.float32), times)

    water = layer("open_water") if "open_water" in truth else share(WATER)
    snow = layer("snow_cover") if "snow_cover" in truth else np.zeros_like(water)
    snow = np.maximum(snow, share(ICE))
    if "leaf_area" in truth:
        leaves = layer("leaf_area")
        if "brown_fraction" in truth:
            leaves = leaves * (np.float32(1.0) - layer("brown_fraction"))
        green = leaves >= np.float32(_GREEN)
    else:
        green = share(*_GREEN_COVER) > np.maximum(np.float32(0.5), share(BUILT))
    return Ground(water, snow, green)


def quality(
    scheme: Scheme,
    ground: Ground,
    overhead: Overhead,
    lit: NDArray[np.float32] | None,
    unusable: Unusable,
    *,
    aerosol: float,
    sees_cirrus: bool,
) -> NDArray[Any]:
    """The quality layer of a window.

    Args:
        scheme: which one.
        ground: of the window ``(H, W)``.
        overhead: of the window with its margin.
        lit: share of the sun's disc above the terrain ``(H, W)``; None without terrain.
        unusable: where there are no data, or a band is saturated.
        aerosol: optical depth at 550 nm.
        sees_cirrus: whether the instrument has a cirrus band.

    Returns:
        ``(H, W)``, uint8, or uint16 for QA_PIXEL.
    """
    absent = unusable.absent
    if scheme == "SCL":
        return _scene_classes(ground, overhead, lit, unusable)
    if scheme == "MSK_CLASSI":
        bits = (overhead.cloud >= MEDIUM) | (_cirrus(overhead).astype(np.uint8) << 1)
        flags = bits | ((ground.snow > 0.5).astype(np.uint8) << 2)
        return np.where(absent, np.uint8(255), flags.astype(np.uint8))
    if scheme == "Fmask":
        return _fmask(ground, overhead, absent, aerosol)
    return _landsat(ground, overhead, absent, sees_cirrus)


def _scene_classes(
    ground: Ground, overhead: Overhead, lit: NDArray[np.float32] | None, unusable: Unusable
) -> NDArray[np.uint8]:
    cloud = overhead.cloud
    dark = np.zeros(unusable.absent.shape, np.bool_) if lit is None else lit < np.float32(LIT)
    cases = [
        (unusable.absent, 0),
        (unusable.full, 1),
        (cloud >= THICK, 9),
        (cloud >= MEDIUM, 8),
        (_cirrus(overhead), 10),
        (cloud >= THIN, 7),
        (overhead.passing < np.float32(SHADE), 3),
        (ground.snow > 0.5, 11),
        (ground.water > 0.5, 6),
        (dark, 2),
        (ground.green, 4),
    ]
    return np.select([case for case, _ in cases], [np.uint8(code) for _, code in cases], np.uint8(5))


def _fmask(ground: Ground, overhead: Overhead, absent: Mask, aerosol: float) -> NDArray[np.uint8]:
    reach = REACH["Fmask"]
    cloud, shadow = _cloudy(overhead), overhead.passing < np.float32(SHADE)
    near = grown(cloud | shadow, reach)
    cloud, shadow = (_cropped(mask, reach) for mask in (cloud, shadow))
    level = 1 if aerosol < 0.15 else 2 if aerosol < 0.4 else 3
    flags = [
        (cloud, 1),
        (near & ~cloud & ~shadow, 2),
        (shadow & ~cloud, 3),
        (ground.snow > 0.5, 4),
        (ground.water > 0.5, 5),
    ]
    bits = np.full(absent.shape, level << 6, np.uint8)
    for mask, bit in flags:
        bits |= mask.astype(np.uint8) << np.uint8(bit)
    return np.where(absent, np.uint8(255), bits)


def _landsat(ground: Ground, overhead: Overhead, absent: Mask, sees_cirrus: bool) -> NDArray[np.uint16]:
    reach = REACH["QA_PIXEL"]
    certain = _cloudy(overhead)
    near = grown(certain, reach)
    cloud, thin = (_cropped(mask, reach) for mask in (certain, overhead.cloud >= np.float32(THIN)))
    shadow = _cropped(overhead.passing < np.float32(SHADE), reach) & ~cloud
    cirrus = _cropped(_cirrus(overhead), reach) if sees_cirrus else np.zeros_like(cloud)
    snow, water = (ground.snow > 0.5) & ~cloud, (ground.water > 0.5) & ~cloud
    dilated = near & ~cloud
    low, high, medium = np.uint16(1), np.uint16(3), np.uint16(2)
    one = np.uint16(1)
    words = [
        (dilated, 1),
        (cirrus, 2),
        (cloud, 3),
        (shadow, 4),
        (snow, 5),
        (~cloud & ~dilated, 6),
        (water, 7),
    ]
    bits = np.zeros(absent.shape, np.uint16)
    for mask, bit in words:
        bits |= mask.astype(np.uint16) << np.uint16(bit)
    bits |= np.where(cloud, high, np.where(thin, medium, low)) << np.uint16(8)
    bits |= np.where(shadow, high, low) << np.uint16(10)
    bits |= np.where(snow, high, low) << np.uint16(12)
    if sees_cirrus:
        bits |= np.where(cirrus, high, low) << np.uint16(14)
    return np.where(absent, one, bits)


def _cloudy(overhead: Overhead) -> Mask:
    return np.asarray(overhead.cloud >= np.float32(MEDIUM))


def _cirrus(overhead: Overhead) -> Mask:
    return np.asarray(overhead.cirrus >= np.float32(CIRRUS))


def _cropped(mask: Mask, margin: int) -> Mask:
    return mask[margin : mask.shape[0] - margin, margin : mask.shape[1] - margin]


def grown(mask: Mask, reach: int) -> Mask:
    """Whether any pixel of a square of ``reach`` around each is set; the margin goes."""
    height, width = mask.shape[0] - 2 * reach, mask.shape[1] - 2 * reach
    rows = np.zeros((height, mask.shape[1]), np.bool_)
    for step in range(2 * reach + 1):
        rows |= mask[step : step + height]
    out = np.zeros((height, width), np.bool_)
    for step in range(2 * reach + 1):
        out |= rows[:, step : step + width]
    return out
