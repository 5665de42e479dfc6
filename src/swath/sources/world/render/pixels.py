"""A truth as rows of pixels with every layer filled, and the noise that varies what no layer holds.

Everything here is a function of the pixel and its absolute number, so that tiles fit together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from swath import rng
from swath.errors import InputError
from swath.sources.world import noise
from swath.sources.world.frame import window_of
from swath.sources.world.render import defaults, stands
from swath.sources.world.truth import legend_of

Values = NDArray[np.float32]
Codes = NDArray[np.int64]

BLOCK = 16_384
"""Pixels that are worked out at once, so that they stay in the cache of a processor."""
QUANTITIES = (
    *("leaf_area", "leaf_chlorophyll", "brown_fraction", "soil_moisture", "open_water", "flood_depth"),
    *("water_sediment", "water_chlorophyll", "building_cover", "road_cover", "wealth", "snow_cover", "char_cover"),
)
"""Layers of numbers that surface reflectance follows."""


@dataclass(frozen=True, eq=False)
class Block:
    """Pixels in a row ``(N,)``: state by layer, shares of the classes, and the noise that varies them.

    ``trees`` is where trees lie among the kinds of woods (``stands.of_trees``), ``crowns`` how far the crowns of a
    pixel rise above those around, in standard deviations.

    ``soils``, ``covers`` and ``crops`` are pairs of codes ``(N,)`` and shares ``(N,)``; a class layer gives one pair.
    """

    state: dict[str, Values]
    covers: list[tuple[Codes, Values]]
    crops: list[tuple[Codes, Values]]
    soils: list[tuple[Codes, Values]]
    trees: Values
    crowns: Values
    patch: Values
    grain: Values
    roof: Values
    other_roof: Values


def blocks(truth: xr.Dataset, day_of_year: float | None, seed: int, texture: bool) -> Iterator[Block]:
    """The truth in blocks of whole rows, with every layer filled."""
    box, day = _grid(truth), _day(truth, day_of_year)
    rows, columns, fineness = _pixels(box)
    height, width = len(rows), len(columns)
    if 0 in (height, width):
        return
    step = max(1, BLOCK // width)
    shares = {name: _shares(truth, name) for name in ("cover", "crop", "soil")}
    quantities = {name: np.asarray(truth[name].values, np.float32) for name in QUANTITIES if name in truth}
    elevation = np.asarray(truth["elevation"].values, np.float32) if "elevation" in truth else None
    amount = np.float32(fineness if texture else 0.0)
    for top in range(0, height, step):
        inside = slice(top, min(top + step, height))
        pixels = rows[inside], columns
        latitude = _latitude(box, inside)
        cover = _cut(shares["cover"], inside) or []
        state = {name: values[inside].ravel() for name, values in quantities.items()}
        _fill(state, cover, defaults.summer_share(day, latitude).ravel(), seed, pixels, texture)
        count = (inside.stop - inside.start) * width
        one = np.ones(count, np.float32)
        patch = _smooth(rng.key(seed, "surface patches"), *pixels)
        hill = elevation[inside].ravel() if elevation is not None else np.zeros(count, np.float32)
        yield Block(
            state,
            cover,
            _cut(shares["crop"], inside) or [(np.zeros(count, np.int64), one)],
            _cut(shares["soil"], inside) or _default_soil(cover, count),
            stands.of_trees(
                _needles(latitude.ravel(), hill, patch * np.float32(texture)), _hardness(seed, pixels, texture)
            ),
            _crowns(rng.key(seed, "surface crowns"), pixels) * amount,
            patch * amount,
            _grain(rng.key(seed, "surface grain"), pixels) * amount,
            _uniform(rng.key(seed, "surface roofs"), pixels) if texture else np.full(count, 0.35, np.float32),
            _uniform(rng.key(seed, "surface other roofs"), pixels) if texture else np.full(count, 0.1, np.float32),
        )


def _fill(
    state: dict[str, Values],
    covers: list[tuple[Codes, Values]],
    summer: Values,
    seed: int,
    pixels: tuple[Codes, Codes],
    texture: bool,
) -> None:
    """Put defaults where a layer is missing or undefined, the mean over the classes of a pixel."""
    uneven: Values | float = 1.0
    for name in QUANTITIES:
        held = state.get(name)
        if held is not None and not np.isnan(held).any():
            continue
        if name == "leaf_area" and texture:
            uneven = defaults.leaf_unevenness(rng.key(seed, "surface leaves"), *pixels).ravel()
        likely = np.zeros(summer.shape, np.float32)
        for cover, share in covers:
            likely += defaults.default(name, cover, summer, uneven) * share
        state[name] = likely if held is None else np.where(np.isnan(held), likely, held)


def _default_soil(covers: list[tuple[Codes, Values]], count: int) -> list[tuple[Codes, Values]]:
    cover = covers[0][0] if len(covers) == 1 else np.zeros(count, np.int64)
    return [(defaults.default("soil", cover, 0.0).astype(np.int64), np.ones(count, np.float32))]


def _shares(truth: xr.Dataset, name: str) -> list[tuple[Codes, Values | None]] | None:
    """Codes ``(H, W)`` or a single one, and shares ``(H, W)``, of a class layer; None where the truth has none."""
    legend = legend_of(name)
    count = len(legend.entries) if legend is not None else 0
    if f"{name}_fraction" in truth:
        values = np.asarray(truth[f"{name}_fraction"].values, np.float32)
        if len(values) != count:
            raise InputError(
                f"{name}_fraction has {len(values)} classes",
                expected=f"{count}, one per class",
                remedy="add the others",
            )
        if name != "crop" and values.size and not np.allclose(values.sum(axis=0), 1.0, rtol=0, atol=0.01):
            raise InputError(
                f"The shares of {name}_fraction do not add up to 1 everywhere",
                expected="shares of all classes, for every pixel",
                remedy="divide them by their sum, and cut pixels without any class off",
            )
        if name == "crop":  # where something grows, what; 'none' stands for the rest of the pixel
            grown = values[1:].sum(axis=0)
            values = np.concatenate([(grown <= 1e-6)[None].astype(np.float32), values[1:] / np.maximum(grown, 1e-6)])
        return [(np.array(code), values[code]) for code in range(count) if values[code].any()]
    if name not in truth:
        return None
    codes = np.asarray(truth[name].values)
    if codes.size and not (codes.min() >= 0 and codes.max() < count and np.issubdtype(codes.dtype, np.integer)):
        raise InputError(
            f"The layer '{name}' holds {codes.dtype} from {codes.min()} to {codes.max()}",
            expected=f"whole numbers 0 to {count - 1}",
            remedy="map your classes to those of swath.sources.world.truth, without nodata values",
        )
    return [(codes.astype(np.int64), None)]


def _cut(shares: list[tuple[Codes, Values | None]] | None, inside: slice) -> list[tuple[Codes, Values]] | None:
    if shares is None:
        return None
    cut = []
    for codes, share in shares:
        if share is None:
            flat = codes[inside].ravel()
            cut.append((flat, np.ones(flat.size, np.float32)))
        else:
            flat_share = share[inside].ravel()
            cut.append((np.full(flat_share.size, int(codes)), flat_share))
    return cut


def _needles(latitude: Values, elevation: Values, patch: Values) -> Values:
    """Share of needles among trees: cold places, where 150 m uphill are like a degree towards the pole."""
    from_equator = np.abs(latitude)
    cold = from_equator + np.where(from_equator > 30.0, np.maximum(elevation, 0.0) / 150.0, 0.0)
    return np.clip((cold - 47.0) / 18.0 + 0.25 * patch * (cold > 42.0), 0.0, 1.0).astype(np.float32)


def _hardness(seed: int, pixels: tuple[Codes, Codes], texture: bool) -> Values:
    """Share of trees with hard leaves, or of dark crowns among needles, flat ``(H W,)``: stands of about 20 pixels."""
    field = noise.smooth(rng.key(seed, "surface species"), *(part.astype(np.float64) for part in pixels), 10.0)
    return np.clip(0.5 + 0.35 * field.ravel() * texture, 0.0, 1.0).astype(np.float32)


def _crowns(key: int, pixels: tuple[Codes, Codes]) -> Values:
    """How far crowns rise above those around, variance 1, flat ``(H W,)``.

    Half of it is single crowns, half groups of them some 30 m wide, as wide as many gaps in which woods renew
    themselves (Brokaw 1982, Biotropica 14, 158-160).
    """
    groups = noise.smooth(key, *(part.astype(np.float64) for part in pixels), 1.5)
    alone = np.sqrt(12.0) * (noise.uniform(key + 1, pixels[0][:, None], pixels[1][None, :]) - 0.5)
    return np.clip(np.sqrt(0.5) * (groups + alone), -2.5, 2.5).astype(np.float32).ravel()


def _smooth(key: int, rows: Codes, columns: Codes) -> Values:
    """Patches of about 60 pixels, variance 1, flat ``(H W,)``."""
    field = noise.smooth(key, rows.astype(np.float64), columns.astype(np.float64), 30.0)
    return np.clip(field, -2.5, 2.5).astype(np.float32).ravel()


def _uniform(key: int, pixels: tuple[Codes, Codes]) -> Values:
    rows, columns = pixels
    return noise.uniform(key, rows[:, None], columns[None, :]).astype(np.float32).ravel()


def _grain(key: int, pixels: tuple[Codes, Codes]) -> Values:
    """White noise from -1 to 1 with a triangular density, flat ``(H W,)``."""
    return _uniform(key, pixels) - _uniform(key + 1, pixels)


def _grid(truth: xr.Dataset) -> GeoBox:
    box = truth.odc.geobox if {"y", "x"} <= set(truth.dims) else None
    if not isinstance(box, GeoBox) or box.crs is None:
        raise InputError(
            f"The truth has no grid with a CRS (dims {dict(truth.sizes)})",
            expected="dims (y, x) with coordinates at equal steps and a spatial_ref",
            remedy="make its coordinates with odc.geo.xr.xr_coords(geobox), or open it with cubes.open",
        )
    return box


def _pixels(box: GeoBox) -> tuple[Codes, Codes, float]:
    """Absolute numbers of rows and columns, and how strong variation between single pixels is at this pixel size."""
    height, width = box.shape.yx
    affine = box.affine
    row, column = round(affine.f / affine.e), round(affine.c / affine.a)
    metres = abs(affine.a) * (1.0 if box.crs is None or box.crs.projected else 111_000.0)
    return row + np.arange(height), column + np.arange(width), min(1.0, 10.0 / metres)


def _latitude(box: GeoBox, inside: slice) -> Values:
    """Latitude of the pixels of some rows [degrees], ``(rows, W)``."""
    part = box[inside, :]
    try:
        return window_of(part).lonlat()[1].astype(np.float32)
    except InputError:  # a grid of the user's own
        height, width = part.shape.yx
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        x, y = part.affine * (columns, rows)
        to_lonlat = Transformer.from_crs(str(part.crs), 4326, always_xy=True)
        return np.asarray(to_lonlat.transform(x, y)[1], np.float32)


def _day(truth: xr.Dataset, day: float | None) -> float:
    if day is not None:
        return float(day)
    if "time" in truth.coords and truth["time"].ndim == 0:
        return float(truth["time"].dt.dayofyear)
    return 196.0
