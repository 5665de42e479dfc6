"""Leaves through the year: leaf area, chlorophyll and the dead share, by vegetation and crop.

Green leaf area follows the double logistic of Beck et al. (2006, Remote Sensing of Environment 100, 321-334),

    g(t) = w + (m - w) (1 / (1 + exp((S - t) / a)) + 1 / (1 + exp((t - A) / b)) - 1)

in the form of Elmore et al. (2012, Global Change Biology 18, 656-674), with time scales ``a`` and ``b`` for rates.
``S`` and ``A`` come from the warmth of the year (``season.py``) and are moved by type of vegetation, stand and field.
How far the cold decides is the coldness of the place: evergreens and the wet tropics hardly change. Where drought
decides, as in savannas, leaves follow a logistic of the drought index, which rain refills within weeks and which
empties over months; so their season begins with the rains of that year. Largest leaf areas are near the means of Asner,
Scurlock and Hicke (2003, Global Ecology and Biogeography 12, 191-205).

Crops have a calendar in shares of the season: emergence, ripening, harvest, ploughing (Table ``CALENDAR``). Ripe leaves
turn brown before harvest, stubble stays brown until the plough. Winter crops stand as seedlings from autumn on. Where
no winter sets the date, each field has its own, twice a year.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from swath.sources.world import noise
from swath.sources.world.earth.season import Season
from swath.sources.world.truth import (
    CROP,
    FALLOW,
    MANGROVE,
    NO_CROP,
    OILSEED,
    PASTURE,
    TREE,
    WINTER_CEREAL,
)

Array = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]
Number = Array | float


@dataclass(frozen=True)
class Kind:
    """How a kind of vegetation grows.

    Args:
        most: green leaf area at its height, where growth is that of a good place.
        least: share of it that stays in the dead of the season.
        cold: how far the season of warmth rules it, 0 to 1.
        dry: how far drought rules it, 0 to 1.
        early: days before leaves of trees come out.
        rise, fall: time scales of the double logistic [days].
        standing: dead leaf area that stands outside of the season, as a share of ``most``.
        chlorophyll: of full-grown leaves [ug cm-2].
        tender: share of the green leaves that frosty winters kill; they stand on as dead ones.
    """

    most: float
    least: float
    cold: float
    dry: float
    early: float
    rise: float
    fall: float
    standing: float
    chlorophyll: float
    tender: float = 0.0


KINDS = (
    Kind(5.0, 0.02, 1.0, 0.55, 0.0, 7.0, 8.0, 0.04, 45.0),  # tree cover that sheds its leaves
    Kind(2.4, 0.25, 0.8, 0.55, 8.0, 10.0, 12.0, 0.10, 38.0, 0.4),  # shrubland
    Kind(2.8, 0.20, 0.8, 0.92, 20.0, 14.0, 18.0, 0.30, 36.0, 0.85),  # grassland
    Kind(2.8, 0.20, 0.8, 0.85, 20.0, 14.0, 18.0, 0.25, 40.0, 0.85),  # cropland of an unknown crop: as pasture
    Kind(1.6, 0.30, 0.7, 0.50, 12.0, 10.0, 14.0, 0.08, 38.0, 0.6),  # built-up: gardens and street trees
    Kind(0.30, 0.15, 0.8, 0.95, 5.0, 12.0, 15.0, 0.25, 32.0, 0.85),  # bare or sparse vegetation
    Kind(0.0, 0.0, 0.0, 0.0, 0.0, 10.0, 10.0, 0.0, 30.0),  # snow and ice
    Kind(0.0, 0.0, 0.0, 0.0, 0.0, 10.0, 10.0, 0.0, 30.0),  # permanent water
    Kind(4.5, 0.12, 0.9, 0.30, 5.0, 14.0, 16.0, 0.35, 40.0, 0.9),  # herbaceous wetland
    Kind(4.5, 0.85, 0.2, 0.10, 0.0, 10.0, 12.0, 0.02, 48.0),  # mangroves
    Kind(1.4, 0.30, 0.8, 0.30, 5.0, 10.0, 14.0, 0.25, 28.0),  # moss and lichen
)
"""By code of ``COVER``."""

EVERGREEN = Kind(4.6, 0.80, 0.5, 0.20, 0.0, 20.0, 25.0, 0.01, 50.0)
"""Trees that keep their leaves."""


@dataclass(frozen=True)
class Crop:
    """The calendar of a crop, in shares of the season of leaves (0 out, 1 fallen); time scales too.

    Args:
        most: green leaf area at its height.
        rise, rise_scale: when half of it has grown, and how quickly.
        ripe, ripe_scale: when half of it has turned, and how quickly.
        harvest: when it is cut.
        plough: when the stubble goes under.
        seedlings: green leaf area through the winter before.
        stubble: dead leaf area between harvest and plough.
        chlorophyll: of full-grown leaves [ug cm-2].
    """

    most: float
    rise: float
    rise_scale: float
    ripe: float
    ripe_scale: float
    harvest: float
    plough: float
    seedlings: float
    stubble: float
    chlorophyll: float


CALENDAR = (
    Crop(2.8, 0.00, 0.06, 0.95, 0.07, 2.00, 3.00, 0.0, 0.0, 40.0),  # none: not used
    Crop(5.0, 0.06, 0.045, 0.42, 0.025, 0.53, 0.72, 0.7, 0.6, 52.0),  # winter cereal
    Crop(4.5, 0.38, 0.045, 0.80, 0.030, 0.90, 1.05, 0.0, 0.6, 50.0),  # summer cereal
    Crop(4.5, 0.03, 0.045, 0.37, 0.025, 0.46, 0.62, 1.2, 0.4, 48.0),  # oilseed
    Crop(4.0, 0.32, 0.045, 0.86, 0.050, 0.93, 1.00, 0.0, 0.1, 46.0),  # root crop
    Crop(5.0, 0.38, 0.045, 0.76, 0.030, 0.86, 1.10, 0.0, 0.5, 44.0),  # rice
    Crop(2.8, 0.00, 0.06, 0.95, 0.07, 2.00, 3.00, 0.0, 0.0, 40.0),  # pasture: grows as grassland
    Crop(0.9, 0.12, 0.08, 0.85, 0.08, 1.50, 3.00, 0.2, 0.0, 34.0),  # fallow: weeds
)
"""By code of ``CROPS``."""

FLOODED = (0.22, 0.62)
"""Share of the season between which rice stands in water."""


@dataclass(frozen=True)
class Leaves:
    """Leaves at the pixels of a window, each ``(H, W)``.

    Args:
        leaf_area: one-sided, per ground area, dead leaves included.
        chlorophyll: of the green leaves [ug cm-2].
        brown: share of the leaf area that is dead.
    """

    leaf_area: Array
    chlorophyll: Array
    brown: Array


@dataclass(frozen=True)
class Ground:
    """What grows on the pixels of a window, each ``(H, W)``.

    Args:
        cover: codes of ``COVER``.
        crop: codes of ``CROPS``, of this year.
        next_crop: codes of ``CROPS``, of the year to come.
        field: number of the field, 0 outside.
        stand: standard normal noise of stands, a few hundred metres wide.
        patch: standard normal noise of patches, some ten metres wide.
    """

    cover: Codes
    crop: Codes
    next_crop: Codes
    field: Codes
    stand: Array
    patch: Array


def double_logistic(day: Number, start: Number, end: Number, rise: Number, fall: Number) -> Array:
    """Green-up and senescence between 0 and 1, ``1 / (1 + exp((S - t) / a)) + 1 / (1 + exp((t - A) / b)) - 1``.

    Args:
        day: time t.
        start: S, half of the leaves are out.
        end: A, half of them have fallen.
        rise: a, in the unit of time.
        fall: b.
    """
    up, down = expit((day - start) / rise), expit((end - day) / fall)
    return np.asarray(np.clip(up + down - 1.0, 0.0, 1.0))


def rooted(drought: Array, productivity: Array) -> Array:
    """What a drought of the upper soil means to plants: less where much grows, because roots go deep there."""
    return np.asarray(np.maximum(drought - 0.35 * np.clip((productivity - 1.0) / 0.5, 0.0, 1.0), 0.0))


def moist(drought: Array, productivity: Array) -> Array:
    """How far water lets leaves grow, 0 to 1: a logistic of the drought index.

    Args:
        drought: Keetch-Byram index as a share of its maximum.
        productivity: as in ``Season``.
    """
    return np.asarray(expit((0.55 - rooted(drought, productivity)) / 0.07))


def leaves(ground: Ground, season: Season, drought: Array, shift_key: int, day_number: int) -> Leaves:
    """Leaves of one day.

    Args:
        ground: what grows.
        season: of the day.
        drought: Keetch-Byram drought index, 0 to 1 ``(H, W)``.
        shift_key: key of the noise of sowing dates, of the year.
        day_number: of the day since 1970, for places without winter.
    """
    water = moist(drought, season.productivity)
    wild = _wild(ground, season, water)
    farmed = (ground.cover == CROP) & (ground.crop != NO_CROP) & (ground.crop != PASTURE)
    if farmed.any():
        sown = _sown(ground, season, water, shift_key, day_number)
        wild = Leaves(*(np.where(farmed, b, a) for a, b in zip(_parts(wild), _parts(sown), strict=True)))
    return Leaves(
        wild.leaf_area * np.exp(_unevenness(ground)),
        wild.chlorophyll * np.exp(0.05 * ground.patch - 0.04 * ground.stand),
        wild.brown,
    )


def _unevenness(ground: Ground) -> Array:
    """Logarithm of how much more leaf area a pixel has than usual.

    Stands and patches of meadows and fields differ by about 15 %. Woods differ by a quarter, as leaf areas measured
    within a forest do (Asner et al. 2003), and not evenly: crowns close to a limit, but gaps open them.
    """
    low = 0.10 * ground.stand + 0.08 * ground.patch
    woods = np.minimum(0.18 * ground.stand + 0.15 * ground.patch, 0.35)
    return np.where(np.isin(ground.cover, (TREE, MANGROVE)), woods, low)


def crop_time(ground: Ground, season: Season, shift_key: int) -> Array:
    """Share of the season of each field ``(H, W)``: 0 leaves of trees come out, 1 they fall; fields vary by a week."""
    shift = 6.0 * noise.normal(shift_key, ground.field, 0)
    return np.asarray((season.since_start - shift) / np.maximum(season.length, 60.0))


def _parts(leaves: Leaves) -> list[Array]:
    return [getattr(leaves, field.name) for field in fields(leaves)]


def _wild(ground: Ground, season: Season, water: Array) -> Leaves:
    """What nobody sows; trees are a stand-wise mixture of those that shed and those that keep their leaves."""
    shed = _of_kind(_table(KINDS, ground.cover), ground, season, water)
    trees = ground.cover == TREE
    if not trees.any():
        return shed
    keep = _of_kind({field.name: getattr(EVERGREEN, field.name) for field in fields(Kind)}, ground, season, water)
    # Mostly one or the other: a logistic of noise whose median is where the share of evergreens says.
    odds = np.log(np.maximum(season.evergreen, 0.02) / (1.0 - np.minimum(season.evergreen, 0.98)))
    share = np.where(trees, expit(3.0 * (ground.stand + 0.6 * odds)), 0.0)
    area = share * keep.leaf_area + (1.0 - share) * shed.leaf_area
    weight = share * keep.leaf_area / np.maximum(area, 1e-9)
    return Leaves(
        area,
        weight * keep.chlorophyll + (1.0 - weight) * shed.chlorophyll,
        weight * keep.brown + (1.0 - weight) * shed.brown,
    )


def _table(rows: tuple[Kind, ...] | tuple[Crop, ...], codes: Codes) -> dict[str, Array]:
    """The parameters of each pixel by its code."""
    return {
        field.name: np.array([getattr(row, field.name) for row in rows])[codes.astype(np.int64)]
        for field in fields(rows[0])
    }


def _of_kind(kind: dict[str, Array] | dict[str, float], ground: Ground, season: Season, water: Array) -> Leaves:
    """Leaves of a kind of vegetation, one for all pixels or one for each."""
    day = season.since_start + kind["early"] - 2.5 * ground.stand
    end = season.length + kind["early"]
    by_cold = double_logistic(day, 0.0, end, kind["rise"], kind["fall"])
    limits = (1.0 - kind["cold"] * season.cold * (1.0 - by_cold)) * (1.0 - kind["dry"] * (1.0 - water))
    # What the year allows at best sets the size: poor places have few leaves at the height of summer too.
    rich = np.clip(season.productivity, 0.02, 1.3) ** 0.6
    most = kind["most"] * rich
    green = most * (kind["least"] + (1.0 - kind["least"]) * limits)
    # Leaves turn before they fall, and dead ones stand where nothing carries them away.
    turning = season.cold * kind["cold"] * expit((day - end + 12.0) / 6.0) * by_cold
    dead = most * kind["standing"] * (1.0 - limits) + 0.5 * turning * green
    green = green * (1.0 - 0.5 * turning)
    # Frost leaves grass yellow until the next spring: most of what it kills stands through the winter.
    killed = green * kind["tender"] * season.frost * (1.0 - by_cold)
    green, dead = green - killed, dead + 0.7 * killed
    total = green + dead
    young = season.cold * kind["cold"] * 0.4 * expit(-(day - 12.0) / 6.0) * by_cold
    chlorophyll = kind["chlorophyll"] * (1.0 - young) * (1.0 - 0.6 * turning) * (0.75 + 0.25 * water)
    return Leaves(total, np.broadcast_to(chlorophyll, total.shape), dead / np.maximum(total, 1e-9))


def _sown(ground: Ground, season: Season, water: Array, shift_key: int, day_number: int) -> Leaves:
    """What grows on fields: by the calendar where there is a winter, by the field's own date where there is none."""
    crop = _table(CALENDAR, ground.crop)
    time = crop_time(ground, season, shift_key)
    green, cut = _calendar(crop, time)
    own = (day_number / 182.625 + noise.uniform(shift_key ^ 1, ground.field, 0)) % 1.0
    by_field, cut_field = _calendar(crop, crop["rise"] - 0.15 + own * (crop["plough"] - crop["rise"] + 0.15))
    green = season.cold * green + (1.0 - season.cold) * by_field
    cut = season.cold * cut + (1.0 - season.cold) * cut_field
    rich = np.clip(season.productivity, 0.05, 1.2) ** 0.5
    living = crop["most"] * rich * (0.35 + 0.65 * water) * green
    grown = expit((time - crop["rise"]) / crop["rise_scale"]) * season.cold + (1.0 - season.cold) * (by_field > 0.02)
    ripe = np.maximum(crop["most"] * rich * 0.8 * grown * cut - living, 0.0)
    stubble = crop["stubble"] * (1.0 - cut) * expit((crop["plough"] - time) / 0.01)
    living = living + season.cold * _seedlings(ground, crop, time)
    dead = ripe + stubble * season.cold
    total = living + dead
    turning = expit((time - crop["ripe"] + 0.03) / np.maximum(crop["ripe_scale"], 1e-3)) * season.cold
    chlorophyll = crop["chlorophyll"] * (1.0 - 0.5 * turning) * (0.8 + 0.2 * water)
    return Leaves(total, chlorophyll, dead / np.maximum(total, 1e-9))


def _calendar(crop: dict[str, Array], time: Array) -> tuple[Array, Array]:
    """Green share of the most leaf area, and 1 before to 0 after the harvest."""
    green = double_logistic(time, crop["rise"], crop["ripe"], crop["rise_scale"], crop["ripe_scale"])
    cut = expit((crop["harvest"] - time) / 0.006)
    return np.asarray(green * cut), np.asarray(cut)


def _seedlings(ground: Ground, crop: dict[str, Array], time: Array) -> Array:
    """Green leaf area of winter crops before spring, and of those of the year to come from autumn on."""
    spring = crop["seedlings"] * expit((crop["rise"] + 0.10 - time) / 0.03)
    sown = np.isin(ground.next_crop, (WINTER_CEREAL, OILSEED, FALLOW))
    coming = _table(CALENDAR, ground.next_crop)["seedlings"] * sown
    return np.asarray(spring + coming * expit((time - 0.93) / 0.03))
