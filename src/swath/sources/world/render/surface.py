"""Surface reflectance of any truth: every pixel a mixture of leaves over ground, water, snow, roofs, streets and char.

    R = w water + b roofs + s streets + (1 - w - b - s) land

with the shares from the layers of the truth. Land is a canopy over its ground; the ground is measured soil, darkened
by its moisture, under litter, char and snow. Vegetation of a drowned pixel stands out of the water as far as it is
taller than the flood is deep. Where a class comes as shares, land is the mixture of the classes with the state (leaf
area and so on) of the pixel. Layers that are missing or undefined are filled by ``defaults.py``.

All arithmetic is done pixel by pixel, so the result does not depend on tiles. Fine variation that no layer holds, such
as the brightness of soil, the materials of roofs and the age of streets, is noise hashed from absolute pixel numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from swath.sources.world.render.canopy import Geometry
from swath.sources.world.render.responses import BandWeights, Response, band_weights
from swath.sources.world.render.snow import OLD_MM
from swath.sources.world.render.tables import DEPTH, Tables, tables
from swath.sources.world.render.water import above_surface
from swath.sources.world.truth import CROP, ICE, REQUIRED_OPTICAL, TREE, WATER, legend_of, require_layers

Values = NDArray[np.float32]
Codes = NDArray[np.int64]

_BLOCK = 16_384
"""Pixels that are worked out at once, so that they stay in the cache of a processor."""
_LOWEST_SUN = 80.0
_SNOW_MM = 0.25
_QUANTITIES = (
    *("leaf_area", "leaf_chlorophyll", "brown_fraction", "soil_moisture", "open_water", "flood_depth"),
    *("water_sediment", "water_chlorophyll", "building_cover", "road_cover", "wealth", "snow_cover", "char_cover"),
)


@dataclass(frozen=True, eq=False)
class _Block:
    """Pixels in a row ``(N,)``: state by layer, shares of the classes, and the noise that varies them.

    ``soils``, ``covers`` and ``crops`` are pairs of codes ``(N,)`` and shares ``(N,)``; a class layer gives one pair.
    """

    state: dict[str, Values]
    covers: list[tuple[Codes, Values]]
    crops: list[tuple[Codes, Values]]
    soils: list[tuple[Codes, Values]]
    needles: Values
    patch: Values
    grain: Values
    roof: Values
    other_roof: Values


def surface_reflectance(
    truth: xr.Dataset,
    responses: Mapping[str, Response] | BandWeights,
    sun_zenith: float,
    view_zenith: float = 0.0,
    relative_azimuth: float = 0.0,
    *,
    day_of_year: float | None = None,
    seed: int = 0,
    texture: bool = True,
) -> Values:
    """Bidirectional reflectance of the ground of a truth, as the sun's direct light shows it.

    Args:
        truth: layers of ``truth.LAYERS`` with the dims (y, x), or ``NAME_fraction`` for classes; ``cover`` is needed.
        responses: band name to wavelength [nm] and response (``responses.responses``), or weights made from them.
        sun_zenith: degrees, one for the scene; beyond 80 it counts as 80.
        view_zenith: degrees, one for the scene.
        relative_azimuth: degrees; 0 = the sun is behind the sensor.
        day_of_year: for the defaults of absent layers; None = from the coordinate ``time`` of the truth, else 196.
        seed: of the fine variation.
        texture: whether there is fine variation within classes.

    Returns:
        float32 ``(band, y, x)``, 0 to about 1.3 (snow in the direction of the sun exceeds 1).

    Raises:
        InputError: no cover, no grid, codes that the legend does not know, a sun below the horizon.
        MissingError: the measured spectra have not been fetched.
    """
    require_layers(truth, REQUIRED_OPTICAL, "surface reflectance")
    if not (0.0 <= sun_zenith < 90.0 and 0.0 <= view_zenith < 80.0):
        raise InputError(
            f"The sun stands {sun_zenith:g} and the sensor {view_zenith:g} degrees from the zenith",
            expected="0 to below 90 and 0 to below 80 degrees",
            remedy="render a time of day; there is no reflectance by night",
        )
    weights = responses if isinstance(responses, BandWeights) else band_weights(responses)
    geometry = Geometry(min(float(sun_zenith), _LOWEST_SUN), float(view_zenith), float(relative_azimuth))
    ready = tables(weights, geometry)
    height, width = (truth.sizes[name] for name in ("y", "x"))
    result = np.empty((len(weights.names), height * width), np.float32)
    at = 0
    for block in _blocks(truth, _day(truth, day_of_year), seed, texture):
        values = _reflectance(ready, block)
        result[:, at : at + len(values)] = values.T
        at += len(values)
    return result.reshape(len(weights.names), height, width)


def _reflectance(ready: Tables, block: _Block) -> Values:
    """Reflectance ``(N, B)``."""
    state = block.state
    soil = _soil(ready, block)
    litter, char = np.split(ready.cover.at([state["soil_moisture"]]), 2, axis=-1)
    snow = _snow(ready, block, _SNOW_MM) if (state["snow_cover"] > 0).any() else None
    water_share = state["open_water"]
    built = state["building_cover"] + state["road_cover"]
    room = np.minimum(1.0, (1.0 - water_share) / np.maximum(built, 1e-6)).astype(np.float32)
    roofs, roads = state["building_cover"] * room, state["road_cover"] * room
    ground_char = char * (1.0 + 0.3 * block.grain)[:, None]

    land_share = (1.0 - water_share - roofs - roads)[:, None]
    result = np.zeros_like(soil)
    wet = np.flatnonzero(water_share > 0)
    for cover, stand, share in _parts(block):
        ground = _mixed(soil, litter, _of_stand(stands.LITTER, stand))
        ground = _mixed(ground, ground_char, state["char_cover"])
        land = _land(ready, block, stand, ground, snow)
        ice = np.flatnonzero(cover == ICE)
        if ice.size:
            firn = _snow(ready, block, OLD_MM)[ice]
            land[ice] = firn if snow is None else _mixed(firn, snow[ice], state["snow_cover"][ice])
        part = land * land_share
        if wet.size:
            part[wet] += water_share[wet, None] * _water(ready, block, wet, stand[wet], ground[wet])
        result += part * share[:, None]
    sealed = np.flatnonzero(built > 0)
    if sealed.size:
        result[sealed] += _built(ready, block, sealed, roofs[sealed], roads[sealed], snow)
    return result


def _parts(block: _Block) -> Iterator[tuple[Codes, Values, Values]]:
    """Cover, stand (a number between two kinds where they mix) and share of each kind of land; shares add up to one."""
    several = len(block.covers) > 1
    others = sum((share for code, share in block.covers if code[0] != WATER), np.float32(0)) if several else 0
    for cover, share in block.covers:
        if several:  # water has its own share of the pixel; here is what the rest is like
            wet_only = others <= 1e-6
            share = np.where(wet_only, share, 0 if cover[0] == WATER else share / np.maximum(others, 1e-6))
        stand = stands.OF_COVER[cover].astype(np.float32)
        stand = np.where(cover == TREE, stand + block.needles, stand).astype(np.float32)
        if not (cover == CROP).any():
            if share.any():
                yield cover, stand, share.astype(np.float32)
            continue
        for crop, part in block.crops:
            whole = np.where(cover == CROP, part, 1.0 / len(block.crops)) * share
            if whole.any():
                kind = np.where(cover == CROP, stands.OF_CROP[crop].astype(np.float32), stand)
                yield cover, kind, whole.astype(np.float32)


def _land(ready: Tables, block: _Block, stand: Values, ground: Values, snow: Values | None) -> Values:
    """A canopy over its ground, and snow below and above its leaves."""
    state = block.state
    above = np.zeros(1, np.float32)
    if snow is not None:
        hidden = _of_stand(stands.BURIED, stand)
        above = state["snow_cover"] * hidden
        below = state["snow_cover"] * (1.0 - hidden) / np.maximum(1.0 - above, 1e-6)
        ground = _mixed(ground, snow, below)
    leaves = [state[name] for name in ("leaf_area", "leaf_chlorophyll", "brown_fraction")]
    land = _over(ready.stands.at([stand, *leaves]), ground)
    return land if snow is None else _mixed(land, snow, above)


def _water(ready: Tables, block: _Block, wet: Codes, stand: Values, ground: Values) -> Values:
    """Open water over its bottom, with the vegetation that stands out of a flood, for the pixels ``wet``."""
    state = block.state
    flood = state["flood_depth"][wet]
    depth = np.where(flood > 0, flood, DEPTH[-1])
    own, seen = np.split(
        ready.water.at([state["water_sediment"][wet], state["water_chlorophyll"][wet], depth]), 2, axis=-1
    )
    water = above_surface(own + seen * ground)
    height = _of_stand(stands.HEIGHT, stand)
    leaves = state["leaf_area"][wet] * np.clip(1.0 - flood / height, 0.0, 1.0) * (flood > 0)
    standing = np.flatnonzero(leaves > 0)
    if standing.size:
        places = [leaves[standing], *(state[name][wet][standing] for name in ("leaf_chlorophyll", "brown_fraction"))]
        water[standing] = _over(ready.stands.at([stand[standing], *places]), water[standing])
    return np.asarray(water, np.float32)


def _soil(ready: Tables, block: _Block) -> Values:
    member = np.clip(1.0 + 0.6 * block.patch, 0.0, 2.0).astype(np.float32)
    moisture = block.state["soil_moisture"]
    total: Values | None = None
    for kind, share in block.soils:
        if share.any():
            part = ready.soil.at([kind.astype(np.float32), member, moisture]) * share[:, None]
            total = part if total is None else total + part
    assert total is not None  # shares were seen to add up to one
    return np.asarray(total * (1.0 + 0.12 * block.grain + 0.05 * block.patch)[:, None], np.float32)


def _snow(ready: Tables, block: _Block, radius_mm: float) -> Values:
    return ready.snow.at([np.float32(radius_mm) * np.exp2(0.6 * block.patch + 0.4 * block.grain)])


def _built(ready: Tables, block: _Block, at: Codes, roofs: Values, roads: Values, snow: Values | None) -> Values:
    """Light of roofs and streets times their shares, for the pixels ``at``."""
    wealth, patch = block.state["wealth"][at], block.patch[at]
    tops = 0.5 * (_roof(ready, block.roof[at], wealth) + _roof(ready, block.other_roof[at], wealth))
    kind = (patch > 0.9).astype(np.int64)
    member = np.clip(1.0 + patch, 0.0, 1.999).astype(np.float32)
    low = member.astype(np.int64)
    streets = _mixed(ready.roads[kind, low], ready.roads[kind, low + 1], member - low)
    streets = streets * (1.0 + 0.15 * block.grain[at])[:, None]
    if snow is not None:  # roofs shed it and streets are cleared
        white, share = snow[at], block.state["snow_cover"][at]
        tops, streets = _mixed(tops, white, 0.7 * share), _mixed(streets, white, 0.4 * share)
    return np.asarray(tops * roofs[:, None] + streets * roads[:, None], np.float32)


# How common each of ``tables.ROOFS`` is among the poorest and the richest.
_POOR_ROOFS = np.array([0.08, 0.10, 0.10, 0.05, 0.07, 0.05, 0.55])
_RICH_ROOFS = np.array([0.28, 0.17, 0.22, 0.12, 0.12, 0.04, 0.05])


def _roof(ready: Tables, draw: Values, wealth: Values) -> Values:
    """A roof for each pixel ``(N, B)``, from a number in 0 to 1 and the wealth of the people below."""
    poor, rich = np.cumsum(_POOR_ROOFS), np.cumsum(_RICH_ROOFS)
    kind = np.zeros(draw.shape, np.int64)
    for index in range(len(poor) - 1):
        kind += draw > poor[index] + (rich[index] - poor[index]) * wealth
    member = (draw * 7919.0 % 1.0 * 3.0).astype(np.int64)  # digits of the draw that the kind has not used
    return ready.roofs[kind, np.minimum(member, 2)]


def _over(terms: Values, ground: Values) -> Values:
    """The canopy whose four terms are the columns of ``terms``, over a ground ``(N, B)``."""
    own, direct, returned, bounce = np.split(terms, 4, axis=-1)
    return np.asarray(own + ground * (direct + returned / (1.0 - bounce * ground)), np.float32)


def _of_stand(values: Values, stand: Values) -> Values:
    """A property of stands, linear where two of them mix."""
    low = np.minimum(stand.astype(np.int64), values.size - 2)
    return np.asarray(values[low] + (values[low + 1] - values[low]) * (stand - low), np.float32)


def _mixed(under: Values, over: Values, share: Values) -> Values:
    return np.asarray(under + (over - under) * share[:, None], np.float32)


def _blocks(truth: xr.Dataset, day: float, seed: int, texture: bool) -> Iterator[_Block]:
    """The truth in blocks of whole rows, with every layer filled."""
    box = _grid(truth)
    rows, columns, fineness = _pixels(box)
    height, width = len(rows), len(columns)
    if 0 in (height, width):
        return
    step = max(1, _BLOCK // width)
    shares = {name: _shares(truth, name) for name in ("cover", "crop", "soil")}
    quantities = {name: np.asarray(truth[name].values, np.float32) for name in _QUANTITIES if name in truth}
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
        yield _Block(
            state,
            cover,
            _cut(shares["crop"], inside) or [(np.zeros(count, np.int64), one)],
            _cut(shares["soil"], inside) or _default_soil(cover, count),
            _needles(latitude.ravel(), hill, patch * np.float32(texture)),
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
    for name in _QUANTITIES:
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
