"""Fields: parcels of farmland with a number, and what grows on them from year to year.

Each district has parcels in its own direction: strips of nearly equal width, cut across at jittered places, as land
that was shared out or enclosed mostly is. Their size follows the wealth of the district and its climate, from less than
half a hectare to some tens (the classes of Lesiv et al. 2019, "Estimating the global distribution of field size using
crowdsourcing", run from below 0.64 to above 100 hectares). Whether a parcel is ploughed, grazed or left to nature is
drawn for the parcel as a whole, so that the share of cropland is that of the base.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from swath.errors import InputError
from swath.sources.world import noise
from swath.sources.world.earth.lattice import Array, Districts, districts, members
from swath.sources.world.earth.settlements import PERMANENT_WATER
from swath.sources.world.earth.shares import cover_shares
from swath.sources.world.frame import Window
from swath.sources.world.truth import (
    CROP,
    FALLOW,
    GRASS,
    NO_CROP,
    OILSEED,
    PASTURE,
    RICE,
    ROOT_CROP,
    SUMMER_CEREAL,
    WINTER_CEREAL,
)

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

ROTATIONS = (
    (NO_CROP,),
    (PASTURE,),
    (WINTER_CEREAL, OILSEED, WINTER_CEREAL, ROOT_CROP),
    (WINTER_CEREAL, SUMMER_CEREAL, OILSEED),
    (SUMMER_CEREAL, OILSEED),
    (WINTER_CEREAL, FALLOW),
    (SUMMER_CEREAL, SUMMER_CEREAL, FALLOW),
    (RICE,),
    (RICE, WINTER_CEREAL, RICE),
    (SUMMER_CEREAL, ROOT_CROP, FALLOW),
    (PASTURE, PASTURE, SUMMER_CEREAL, WINTER_CEREAL),
)
"""What follows what on a field; ``_CHOICES`` says where each is usual."""

# Weights of the rotations from the third on by Köppen group: tropical, arid, temperate, cold, polar.
_CHOICES = (
    (0.0, 0.1, 0.2, 0.0, 0.1, 0.3, 0.0, 0.3, 0.0),
    (0.0, 0.1, 0.1, 0.5, 0.2, 0.0, 0.05, 0.05, 0.0),
    (0.35, 0.2, 0.15, 0.05, 0.0, 0.03, 0.07, 0.0, 0.15),
    (0.15, 0.25, 0.25, 0.15, 0.1, 0.0, 0.0, 0.0, 0.1),
    (0.0, 0.0, 0.2, 0.0, 0.5, 0.0, 0.0, 0.0, 0.3),
)
_RICE = (7, 8)  # rotations with rice, which needs flat land
_FLAT = 40.0  # metres of roughness of the base at which a third of the rice is left

PHASES = 4  # years by which fields of one rotation may be apart
_STEEP = 15.0  # degrees above which no field lies
_VERGE, _HEDGE = 2.0, 5.0  # metres of grass along the edge of a parcel, or of a row of trees where there is one
_HEDGES = 400.0  # metres of the patches in which parcels have rows of trees around them
_LOST = 1.07  # parcels wanted over fields found: verges, villages and roads take the rest
_PASTURE = 0.35  # of the grass in farmland is fenced

LAND_USE = ("field", "rotation", "verge")

NO_VERGE, GRASSY, WOODED = range(3)
"""Codes of ``verge``: what grows along the edges of parcels."""


@dataclass(frozen=True)
class Parcels:
    """The parcels of a district.

    Args:
        size: along and across [m]; strips are ``size[1]`` wide.
        first: number of the first parcel along and of the first strip.
        edge: share of a parcel by which the edge before it is moved ``(strips, parcels)``; of the strips ``(strips,)``.
        use: rotation times ``PHASES`` plus phase, 0 for none ``(strips, parcels)``.
    """

    size: tuple[float, float]
    first: tuple[int, int]
    edge: tuple[Array, Array]
    use: NDArray[np.uint8]


def fields(earth: Earth, cell: Window) -> dict[str, NDArray[Any]]:
    """Maker of ``field``, the number of the parcel in the zone (0 outside), ``rotation`` (see ``crop_of``), ``verge``.

    Rows of trees stand along the edges of parcels in patches, more of them where parcels are small: enclosed land.
    """
    field, use = np.zeros(cell.shape, np.int64), np.zeros(cell.shape, np.uint8)
    verge = np.zeros(cell.shape, np.uint8)
    enclosed = noise.smooth(earth.key("field/hedges", cell.zone.epsg), cell.y, cell.x, _HEDGES)
    ground = earth.read_all(("slope", PERMANENT_WATER, "town_depth"), cell)
    free = (ground["slope"] < _STEEP) & (ground[PERMANENT_WATER] < 0.25) & (ground["town_depth"] <= 0.0)
    laid = districts(earth, cell)
    choice = Choice.of(earth, cell, laid)
    for number, pixels in members(laid.owner, free):
        if choice.crop[number] + choice.pasture[number] < 1e-3:
            continue
        row, column = np.divmod(pixels, cell.width)
        along, across = laid.turned(number, cell.y[row], cell.x[column])
        parcels = _parcels(earth, cell, laid, choice, number, (along, across))
        at, margin = _parcel_of(parcels, along, across)
        used = parcels.use[at[1] - parcels.first[1], at[0] - parcels.first[0]]
        hedged = enclosed[row, column] > 0.4 + 0.5 * math.log(max(float(choice.size[number]) / 1e4, 0.5))
        edge = np.where(hedged & (margin < _HEDGE), WOODED, np.where(margin < _VERGE, GRASSY, NO_VERGE))
        verge[row, column] = np.where(used > 0, edge, NO_VERGE)
        used = np.where(edge == NO_VERGE, used, 0)
        place = int(laid.places.row[number]), int(laid.places.column[number])
        use[row, column] = used
        field[row, column] = np.where(used > 0, _packed(place, at), 0)
    return {"field": field, "rotation": use, "verge": verge}


def crop_of(rotation: NDArray[np.uint8], year: int) -> NDArray[np.uint8]:
    """Codes of ``CROPS`` in a year, of the shape of ``rotation``.

    Raises:
        InputError: the year lies outside 1980 to 2100.
    """
    if not 1980 <= year <= 2100:
        raise InputError(
            f"The crops of the year {year} were asked for",
            expected="a year from 1980 to 2100",
            remedy="choose a year that the simulated Earth knows",
        )
    table = np.zeros(len(ROTATIONS) * PHASES, np.uint8)
    for code in range(len(table)):
        sequence = ROTATIONS[code // PHASES]
        table[code] = sequence[(year + code % PHASES) % len(sequence)]
    return table[rotation]


@dataclass(frozen=True)
class Choice:
    """What the base says about farmland in each district, arrays ``(n,)``.

    Args:
        crop: share of cropland.
        pasture: share of fenced grass.
        size: mean area of a parcel [square metres].
        climate: shares of the Köppen groups ``(5, n)``.
        flat: 1 on plains, towards 0 in mountains.
    """

    crop: Array
    pasture: Array
    size: Array
    climate: Array
    flat: Array

    @classmethod
    def of(cls, earth: Earth, cell: Window, laid: Districts) -> Choice:
        """Read the base in the middle of each district."""
        places, epsg = laid.places, cell.zone.epsg
        sample = earth.base.sample(*cell.zone.lonlat(places.x, places.y))
        shares = cover_shares(sample)
        crop = np.clip(shares[CROP] * _LOST, 0.0, 0.98)
        pasture = np.minimum(_PASTURE * shares[GRASS], 0.5 * crop)
        # The size of parcels differs tenfold between regions and doubles between neighbours. Dry and cold plains have
        # large ones, the wet tropics small ones.
        region = noise.smooth_at(earth.key("field/size", epsg), places.y, places.x, 60_000.0)
        own = noise.normal(earth.key("field/own size", epsg), places.row, places.column)
        usual = np.zeros(crop.shape)
        for share, hectares in zip(sample.climate, (1.0, 4.0, 3.0, 7.0, 2.0), strict=True):
            usual = usual + share * math.log(hectares)
        size = np.exp(np.clip(usual + 0.5 * region + 0.35 * own, math.log(0.3), math.log(60.0))) * 1e4
        return cls(crop, pasture, size, sample.climate, np.exp(-sample.roughness / _FLAT))


def _parcels(
    earth: Earth, cell: Window, laid: Districts, choice: Choice, number: int, places: tuple[Array, Array]
) -> Parcels:
    """The parcels of a district around places along and across."""
    epsg, district = cell.zone.epsg, (int(laid.places.row[number]), int(laid.places.column[number]))
    longer = 1.3 + 1.7 * float(noise.uniform(earth.key("field/shape", epsg), *district))
    size = math.sqrt(float(choice.size[number]) * longer), math.sqrt(float(choice.size[number]) / longer)
    low = [math.floor(float(place.min()) / step) - 1 for place, step in zip(places, size, strict=True)]
    high = [math.floor(float(place.max()) / step) + 1 for place, step in zip(places, size, strict=True)]
    strip = np.arange(low[1], high[1] + 2, dtype=np.int64)[:, None]
    parcel = np.arange(low[0], high[0] + 2, dtype=np.int64)[None, :]
    key = earth.key("field/parcel", epsg, *district)
    edge = 0.5 * noise.uniform(key, strip, parcel), 0.35 * noise.uniform(key + 1, strip[:, 0], 0)
    y, x = laid.straight(number, np.asarray((parcel + 0.75) * size[0]), np.asarray((strip + 0.7) * size[1]))
    # Farmland gathers in some parts of a landscape, with single parcels of other use between.
    drawn = 0.8 * noise.smooth_at(earth.key("field/use", epsg), y, x, 1_200.0) + 0.6 * noise.normal(
        key + 2, strip, parcel
    )
    rank = ndtr(drawn)
    weights = np.zeros(len(_CHOICES[0]))
    for share, usual in zip(choice.climate[:, number], _CHOICES, strict=True):
        weights = weights + share * np.array(usual)
    weights[[rotation - 2 for rotation in _RICE]] *= choice.flat[number]
    order = np.cumsum(weights)
    pick = noise.uniform(key + 3, strip, parcel) * order[-1]
    rotation = 2 + np.minimum(np.searchsorted(order, pick.ravel()).reshape(pick.shape), len(weights) - 1)
    phase = (noise.bits(key + 4, strip, parcel) % np.uint64(PHASES)).astype(np.int64)
    cropped = rank < choice.crop[number]
    grazed = ~cropped & (rank < choice.crop[number] + choice.pasture[number])
    use = np.where(cropped, rotation * PHASES + phase, np.where(grazed, PHASES + phase, 0))
    return Parcels(size, (low[0], low[1]), edge, use.astype(np.uint8))


def _parcel_of(parcels: Parcels, along: Array, across: Array) -> tuple[tuple[NDArray[Any], NDArray[Any]], Array]:
    """Numbers of the parcel along and of the strip of places, and how far they lie from its edge [m]."""
    scaled = across / parcels.size[1]
    strip = np.floor(scaled).astype(np.int64)
    part = scaled - strip
    first = parcels.edge[1][strip - parcels.first[1]]
    before = part < first
    strip = strip - before
    verge = np.abs(part - first) * parcels.size[1]
    scaled = along / parcels.size[0]
    parcel = np.floor(scaled).astype(np.int64)
    part = scaled - parcel
    first = parcels.edge[0][strip - parcels.first[1], parcel - parcels.first[0]]
    parcel = parcel - (part < first)
    verge = np.minimum(verge, np.abs(part - first) * parcels.size[0])
    return (parcel, strip), verge


def _packed(district: tuple[int, int], at: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[np.int64]:
    """One positive number for a parcel of a district: 14 bits for its row, 14 for its column, 12 for each of ``at``."""
    row, column = district
    along, across = (part.astype(np.int64) + 2048 for part in at)
    return np.asarray((((row + 8192) * 16384 + column + 8192) * 4096 + along) * 4096 + across + 1)
