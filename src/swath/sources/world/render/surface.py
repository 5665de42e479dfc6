"""Surface reflectance of any truth: every pixel a mixture of leaves over ground, water, snow, roofs, streets and char.

    R = w water + b roofs + s streets + (1 - w - b - s) land

with the shares from the layers of the truth. Land is a canopy over its ground; the ground is measured soil, darkened
by its moisture, under litter, char and snow. Vegetation of a drowned pixel stands out of the water as far as it is
taller than the flood is deep, and what is under water lies on the bottom, which shows through where it is shallow.
Where a class comes as shares, land is the mixture of the classes with the state (leaf area and so on) of the pixel.
Layers that are missing or undefined are filled by ``defaults.py``.

All arithmetic is done pixel by pixel, so the result does not depend on tiles. Fine variation that no layer holds, such
as the brightness of soil, the materials of roofs and the age of streets, is noise hashed from absolute pixel numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from swath.errors import InputError
from swath.sources.world.render import stands
from swath.sources.world.render.canopy import Geometry
from swath.sources.world.render.pixels import Block, Codes, Values, blocks
from swath.sources.world.render.responses import BandWeights, Response, band_weights
from swath.sources.world.render.snow import OLD_MM
from swath.sources.world.render.tables import DEPTH, Tables, tables
from swath.sources.world.render.water import above_surface
from swath.sources.world.truth import CROP, ICE, REQUIRED_OPTICAL, TREE, WATER, require_layers

_LOWEST_SUN = 80.0
_SNOW_MM = 0.25
_OUT_OF_SIGHT = 4.0  # metres of flood water through which plants on the bottom no longer show
_DARKEST = 0.3  # of the light of leaves, which crowns in the shade of others keep


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
    for block in blocks(truth, day_of_year, seed, texture):
        values = _reflectance(ready, block)
        result[:, at : at + len(values)] = values.T
        at += len(values)
    return result.reshape(len(weights.names), height, width)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """What N pixels may show: state ``(N,)`` by layer, reflectances ``(N, B)``; snow and ice where there are any.

    ``crowns`` is how far the crowns of a pixel rise above those around, in standard deviations ``(N,)``.
    """

    state: dict[str, Values]
    soil: Values
    litter: Values
    char: Values
    snow: Values | None
    firn: Values | None
    crowns: Values

    def only(self, at: Codes) -> _Pieces:
        """The pixels at some places."""
        if at.size == len(self.soil):
            return self
        state = {name: values[at] for name, values in self.state.items()}
        snow, firn = (None if part is None else part[at] for part in (self.snow, self.firn))
        return _Pieces(state, self.soil[at], self.litter[at], self.char[at], snow, firn, self.crowns[at])


def _reflectance(ready: Tables, block: Block) -> Values:
    """Reflectance ``(N, B)``."""
    state = block.state
    built = state["building_cover"] + state["road_cover"]
    room = np.minimum(1.0, (1.0 - state["open_water"]) / np.maximum(built, 1e-6)).astype(np.float32)
    roofs, roads = state["building_cover"] * room, state["road_cover"] * room
    land = np.maximum(1.0 - state["open_water"] - roofs - roads, 0.0)
    litter, char = np.split(ready.cover.at([state["soil_moisture"]]), 2, axis=-1)
    pieces = _Pieces(
        state | {"land": land},
        _soil(ready, block),
        litter,
        char * (1.0 + 0.3 * block.grain)[:, None],
        _snow(ready, block, _SNOW_MM) if (state["snow_cover"] > 0).any() else None,
        _snow(ready, block, OLD_MM) if any((code == ICE).any() for code, _ in block.covers) else None,
        block.crowns,
    )
    result = np.zeros_like(pieces.soil)
    for at, cover, stand, share in _parts(block):
        result[at] += _open(ready, pieces.only(at), cover, stand) * share[:, None]
    sealed = np.flatnonzero(built > 0)
    if sealed.size:
        result[sealed] += _built(ready, block, sealed, roofs[sealed], roads[sealed], pieces.snow)
    return result


def _parts(block: Block) -> Iterator[tuple[Codes, Codes, Values, Values]]:
    """Kinds of land: the pixels that have them, their cover, stand and share of the land; shares add up to one.

    A stand is the number of a kind, or lies between two kinds where they mix.
    """
    several = len(block.covers) > 1
    others = sum((share for code, share in block.covers if code[0] != WATER), np.float32(0)) if several else 0
    for cover, share in block.covers:
        if several:  # water has its own share of the pixel; here is what the rest is like
            rest = share / np.maximum(others, 1e-6) if cover[0] != WATER else np.zeros_like(share)
            share = np.where(others <= 1e-6, share, rest)
        stand = stands.OF_COVER[cover].astype(np.float32)
        stand = np.where(cover == TREE, stand + block.trees, stand).astype(np.float32)
        at = np.flatnonzero((share > 0) & ((cover != CROP) | (len(block.crops) == 1)))
        if len(block.crops) == 1:
            stand = np.where(cover == CROP, stands.OF_CROP[block.crops[0][0]], stand).astype(np.float32)
        if at.size:
            yield at, cover[at], stand[at], share[at]
        for crop, part in block.crops if len(block.crops) > 1 else ():
            at = np.flatnonzero((cover == CROP) & (share * part > 0))
            if at.size:
                yield at, cover[at], stands.OF_CROP[crop[at]].astype(np.float32), (share * part)[at]


def _open(ready: Tables, pieces: _Pieces, cover: Codes, stand: Values) -> Values:
    """Light of land and open water times their shares ``(N, B)``."""
    state = pieces.state
    ground = _mixed(pieces.soil, pieces.litter, _of_stand(stands.LITTER, stand))
    ground = _mixed(ground, pieces.char, state["char_cover"])
    light = _land(ready, pieces, stand, ground)
    if pieces.firn is not None:
        ice = np.flatnonzero(cover == ICE)
        firn = pieces.firn[ice]
        light[ice] = firn if pieces.snow is None else _mixed(firn, pieces.snow[ice], state["snow_cover"][ice])
    light *= state["land"][:, None]
    wet = np.flatnonzero(state["open_water"] > 0)
    if wet.size:
        light[wet] += state["open_water"][wet, None] * _water(ready, pieces.only(wet), stand[wet], ground[wet])
    return light


def _land(ready: Tables, pieces: _Pieces, stand: Values, ground: Values) -> Values:
    """A canopy over its ground, and snow below and above its leaves."""
    state, snow = pieces.state, pieces.snow
    above = np.zeros(1, np.float32)
    if snow is not None:
        hidden = _of_stand(stands.BURIED, stand)
        above = state["snow_cover"] * hidden
        below = state["snow_cover"] * (1.0 - hidden) / np.maximum(1.0 - above, 1e-6)
        ground = _mixed(ground, snow, below)
    leaves = [state[name] for name in ("leaf_area", "leaf_chlorophyll", "brown_fraction")]
    land = _over(ready.stands.at([stand, *leaves]), ground, pieces.crowns)
    return land if snow is None else _mixed(land, snow, above)


def _water(ready: Tables, pieces: _Pieces, stand: Values, ground: Values) -> Values:
    """Open water over its bottom, with the vegetation that stands out of a flood."""
    state = pieces.state
    flood = state["flood_depth"]
    depth = np.where(flood > 0, flood, DEPTH[-1])
    height, trunk = _of_stand(stands.HEIGHT, stand), _of_stand(stands.TRUNK, stand)
    # The share of the leaves that water hides grows from the lowest leaf to the top.
    hidden = np.clip((flood / height - trunk) / (1.0 - trunk), 0.0, 1.0)
    green = [state["leaf_chlorophyll"], state["brown_fraction"]]

    def vegetated(leaves: Values, under: Values) -> None:
        at = np.flatnonzero(leaves > 0)
        if at.size:
            terms = ready.stands.at([stand[at], leaves[at], *(part[at] for part in green)])
            under[at] = _over(terms, under[at], pieces.crowns[at])

    below = ready.water.at([state["water_sediment"], state["water_chlorophyll"], depth])
    own, seen = np.split(below, 2, axis=-1)
    bottom = ground.copy()
    vegetated(
        np.where((flood > 0) & (flood < _OUT_OF_SIGHT), state["leaf_area"] * hidden, 0.0).astype(np.float32), bottom
    )
    water = np.asarray(above_surface(own + seen * bottom), np.float32)
    vegetated(np.where(flood > 0, state["leaf_area"] * (1.0 - hidden), 0.0).astype(np.float32), water)
    return water


def _soil(ready: Tables, block: Block) -> Values:
    member = np.clip(1.0 + 0.6 * block.patch, 0.0, 2.0).astype(np.float32)
    moisture = block.state["soil_moisture"]
    total: Values | None = None
    for kind, share in block.soils:
        if share.any():
            part = ready.soil.at([kind.astype(np.float32), member, moisture]) * share[:, None]
            total = part if total is None else total + part
    assert total is not None  # shares were seen to add up to one
    return np.asarray(total * (1.0 + 0.12 * block.grain + 0.05 * block.patch)[:, None], np.float32)


def _snow(ready: Tables, block: Block, radius_mm: float) -> Values:
    return ready.snow.at([np.float32(radius_mm) * np.exp2(0.6 * block.patch + 0.4 * block.grain)])


def _built(ready: Tables, block: Block, at: Codes, roofs: Values, roads: Values, snow: Values | None) -> Values:
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


def _over(terms: Values, ground: Values, crowns: Values) -> Values:
    """The canopy whose five terms are the columns of ``terms``, over a ground ``(N, B)``; ``crowns`` as in pieces."""
    own, direct, returned, bounce, sway = np.split(terms, 5, axis=-1)
    leaves = np.maximum(own + sway * crowns[:, None], _DARKEST * own)
    return np.asarray(leaves + ground * (direct + returned / (1.0 - bounce * ground)), np.float32)


def _of_stand(values: Values, stand: Values) -> Values:
    """A property of stands, linear where two of them mix."""
    low = np.minimum(stand.astype(np.int64), values.size - 2)
    return np.asarray(values[low] + (values[low + 1] - values[low]) * (stand - low), np.float32)


def _mixed(under: Values, over: Values, share: Values) -> Values:
    return np.asarray(under + (over - under) * share[:, None], np.float32)
