"""Kinds of vegetation as the canopy model sees them: leaves, their angles, crowns and what lies between.

A stand with crowns is a share of crowns, with the leaf area inside them, and gaps that are partly in the shade of the
crowns (Huemmrich 2001, "The GeoSail model", Remote Sensing of Environment 75, 423-431). A crown is round, so the sensor
sees its lit and its dark side, and crowns of unequal height shade each other (Li and Strahler 1992, IEEE Transactions
on Geoscience and Remote Sensing 30, 276-292). In the shade there is the light of the sky and what leaves around pass
on, much of it where they absorb little. How far a single pixel is lit depends on whether its few crowns rise above
those around: ``sway`` says how much brighter one standard deviation of that makes it. Among the leaves there is wood,
which is bark that lets no light through; without leaves branches remain.

Woods come in four kinds between which trees vary: leaves that are soft or hard, needles of light or dark crowns. Their
leaves span the middle of what was measured: LOPEX and ANGERS (Feret et al. 2008) for water and structure, Poorter et
al. (2009, New Phytologist 182, 565-588) for dry matter, from 0.007 g cm-2 in leaves that are shed to 0.024 in needles.
Leaf angles are those of de Wit (1965) and Pisek et al. (2013). The area of branches is that which Breda (2003, Journal
of Experimental Botany 54, 2403-2417) gives for leafless woods. Clumping inside of crowns together with the gaps between
them makes effective over true leaf area 0.73 in broadleaved woods and 0.6 in needles, as mapped by Chen, Menges and
Leblanc (2005, Remote Sensing of Environment 97, 447-457). Widths of crowns are those usual in the collection of Jucker
et al. (2017, Global Change Biology 23, 177-190). Shares of wood lie within what Gower, Kucharik and Norman (1999,
Remote Sensing of Environment 70, 29-51) report; shares of litter are round numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from swath.sources.world.render.canopy import Canopy, Geometry, canopy_terms
from swath.sources.world.render.leaf import Leaf, leaf_optics
from swath.sources.world.truth import (
    BARE,
    BUILT,
    CROP,
    CROPS,
    FALLOW,
    GRASS,
    ICE,
    MANGROVE,
    MOSS,
    NO_CROP,
    OILSEED,
    PASTURE,
    RICE,
    ROOT_CROP,
    SHRUB,
    SUMMER_CEREAL,
    TREE,
    WATER,
    WETLAND,
    WINTER_CEREAL,
)

Values = NDArray[np.float64]

_IN_SHADE = 0.2
"""Light in a shadow relative to light in the sun: the sky, and what leaks through the crowns."""
_PASSED_ON = 0.45
"""What shaded leaves get from the leaves around, as a share of what those do not absorb: photons meet another leaf with
a probability of about 0.7 (Smolander and Stenberg 2005, Remote Sensing of Environment 94, 355-363), for two in three of
them a leaf of a lit crown."""
_UNEVEN = 0.5
"""Range of the heights of neighbouring crowns over the height of a crown: tops of closed stands differ by some metres
and crowns are about ten metres high; a round number."""
_MASKING = 0.5
"""Leaves hide branches behind them like a turbid medium with this extinction."""
_PIXEL = 10.0  # metres, in which crowns are counted


@dataclass(frozen=True)
class Stand:
    """One kind of vegetation.

    Args:
        angle: mean leaf angle from the horizontal [degrees].
        hot_spot: size of leaves relative to the height of the canopy.
        structure, water, dry_matter: of green leaves, as in ``Leaf``.
        dead: brown pigments of dead leaves; straw is pale (0.1), leaf litter dark (0.6).
        litter: share of the ground under litter.
        height: metres, as far as floods and snow are concerned.
        buried: share of the vegetation that a closed snow cover hides.
        crowns: how fast crowns close with leaf area; 0 = no crowns.
        slender: height of a crown over its width.
        wood: share of wood among the leaves.
        clumping: leaf area that meets light inside of crowns over leaf area, below 1 for needles on shoots.
        branches: area of wood that stands without leaves, per ground area.
        width: of crowns [m].
        trunk: share of the height below the lowest leaves.
    """

    angle: float
    hot_spot: float
    structure: float
    water: float
    dry_matter: float
    dead: float
    litter: float
    height: float
    buried: float
    crowns: float = 0.0
    slender: float = 1.0
    wood: float = 0.0
    clumping: float = 1.0
    branches: float = 0.0
    width: float = 1.0
    trunk: float = 0.0


STANDS: dict[str, Stand] = {
    "soft broadleaf": Stand(38.0, 0.05, 1.45, 0.009, 0.0055, 0.6, 0.9, 15.0, 0.1, 0.9, 1.2, 0.12, 0.80, 0.7, 7.0, 0.35),
    "hard broadleaf": Stand(
        42.0, 0.05, 1.75, 0.016, 0.0105, 0.6, 0.85, 15.0, 0.1, 0.9, 1.2, 0.12, 0.80, 0.7, 9.0, 0.35
    ),
    "light needleleaf": Stand(
        50.0, 0.02, 2.3, 0.022, 0.022, 0.7, 0.75, 12.0, 0.15, 0.55, 2.0, 0.20, 0.75, 0.8, 5.0, 0.35
    ),
    "dark needleleaf": Stand(
        50.0, 0.02, 2.5, 0.030, 0.024, 0.7, 0.9, 12.0, 0.15, 0.75, 3.0, 0.20, 0.70, 1.0, 4.0, 0.15
    ),
    "mangrove": Stand(50.0, 0.05, 1.8, 0.022, 0.014, 0.6, 0.2, 6.0, 0.1, 1.2, 0.8, 0.12, 0.85, 0.6, 5.0, 0.3),
    "shrub": Stand(52.0, 0.05, 1.8, 0.012, 0.013, 0.5, 0.3, 1.5, 0.6, 0.8, 0.7, 0.15, 0.85, 0.4, 2.0),
    "dwarf shrub": Stand(52.0, 0.05, 1.8, 0.012, 0.013, 0.5, 0.3, 1.5, 0.6, 0.8, 0.7, 0.15, 0.85),
    "grass": Stand(65.0, 0.05, 1.4, 0.010, 0.005, 0.20, 0.2, 0.4, 1.0),
    "cereal": Stand(65.0, 0.05, 1.4, 0.011, 0.005, 0.12, 0.05, 0.9, 1.0),
    "broadleaf crop": Stand(40.0, 0.10, 1.5, 0.014, 0.005, 0.3, 0.05, 0.7, 1.0),
    "wetland": Stand(68.0, 0.04, 1.6, 0.016, 0.006, 0.25, 0.3, 1.2, 0.8),
    "moss": Stand(35.0, 0.20, 1.8, 0.020, 0.010, 0.4, 0.1, 0.05, 1.0),
}
"""Kinds by name; their order is that of the tables, and of the woods that of their mixtures: see ``of_trees``."""

NAMES = tuple(STANDS)
_COVER = {
    TREE: "soft broadleaf",
    SHRUB: "shrub",
    GRASS: "grass",
    CROP: "grass",
    BUILT: "grass",
    BARE: "dwarf shrub",
    ICE: "grass",
    WATER: "wetland",
    WETLAND: "wetland",
    MANGROVE: "mangrove",
    MOSS: "moss",
}
_CROP = {
    NO_CROP: "grass",
    WINTER_CEREAL: "cereal",
    SUMMER_CEREAL: "cereal",
    OILSEED: "broadleaf crop",
    ROOT_CROP: "broadleaf crop",
    RICE: "cereal",
    PASTURE: "grass",
    FALLOW: "grass",
}
OF_COVER: NDArray[np.int32] = np.array([NAMES.index(_COVER[code]) for code in range(len(_COVER))], np.int32)
"""Stand by code of ``truth.COVER``."""
OF_CROP: NDArray[np.int32] = np.array([NAMES.index(_CROP[code]) for code in range(len(CROPS.entries))], np.int32)
"""Stand of cropland by code of ``truth.CROPS``."""

LITTER: NDArray[np.float32] = np.array([stand.litter for stand in STANDS.values()], np.float32)
HEIGHT: NDArray[np.float32] = np.array([stand.height for stand in STANDS.values()], np.float32)
BURIED: NDArray[np.float32] = np.array([stand.buried for stand in STANDS.values()], np.float32)
TRUNK: NDArray[np.float32] = np.array([stand.trunk for stand in STANDS.values()], np.float32)


def of_trees(needles: NDArray[np.float32], hard: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where trees lie among the four kinds, 0 to 3, by their share of needles and of hard leaves or dark needles."""
    return np.asarray(hard + 2.0 * needles, np.float32)


def stand_terms(
    stand: Stand,
    leaf_area: Values,
    chlorophyll: Values,
    brown: Values,
    bark: Values,
    wavelength: Values,
    geometry: Geometry,
) -> tuple[Canopy, Values]:
    """What a stand does with light, for all combinations of its state.

    Args:
        stand: the kind.
        leaf_area: per ground area, dead leaves included ``(A,)``.
        chlorophyll: of green leaves [ug cm-2] ``(B,)``.
        brown: share of the leaf area that is dead ``(C,)``.
        bark: reflectance ``(L,)``.
        wavelength: nanometres ``(L,)``.
        geometry: sun and sensor.

    Returns:
        terms ``(A, B, C, L)``, and what one standard deviation of how crowns rise above others adds to ``own``.
    """
    leaves = leaf_area[:, None, None, None]
    branches = stand.branches * np.exp(-_MASKING * leaves)
    wood = (stand.wood * leaves + branches) / np.maximum(leaves + branches, 1e-9)
    reflectance, transmittance = (part[None] for part in _leaf_mixture(stand, chlorophyll, brown, wavelength))
    if stand.crowns:
        reflectance = reflectance + wood * (bark - reflectance)
        transmittance = (1.0 - wood) * transmittance
    area = (leaves + branches) * stand.clumping
    crowns = -np.expm1(-stand.crowns * area) if stand.crowns else np.ones_like(area)
    inside = np.where(crowns > 0, area / np.maximum(crowns, 1e-9), 1.0 / (stand.crowns or 1.0))
    terms = canopy_terms(reflectance, transmittance, inside, stand.angle, stand.hot_spot, geometry)
    if not stand.crowns:
        return terms, np.zeros_like(terms.own)
    # A shadow is this much larger than its crown; where crowns stand at random, so much of the gaps is left in the sun.
    reach = 4.0 / np.pi * stand.slender * np.tan(np.radians(geometry.sun_zenith))
    sunny = (1.0 - crowns) ** reach
    gaps = (1.0 - crowns) * (sunny + (1.0 - sunny) * _IN_SHADE)
    above, spread = _sunlit(_UNEVEN * reach * stand.crowns * area)
    facing = 0.5 * (1.0 + _phase_cosine(geometry))
    sky = _skylight(wavelength, geometry)
    shade = sky + (1.0 - sky) * _PASSED_ON * (reflectance + transmittance)
    lit = facing * above
    seen = crowns * (lit + (1.0 - lit) * shade)
    # Of several crowns in a pixel some rise and some do not.
    spread = spread / np.sqrt(max(1.0, (_PIXEL / stand.width) ** 2))
    sway = terms.own * crowns * facing * spread * (1.0 - shade)
    return Canopy(terms.own * seen, terms.direct * seen + gaps, terms.returned * seen, terms.bounce), sway


def _skylight(wavelength: Values, geometry: Geometry) -> Values:
    """Share of the light that comes from the clear sky ``(L,)``.

    Half of what air scatters comes down and 0.85 of what aerosol does (Bird and Riordan 1986, Journal of Climate and
    Applied Meteorology 25, 87-97), for the Rayleigh thickness of Bucholtz (1995) and an aerosol of 0.15 at 550 nm.
    """
    micrometres = wavelength / 1000.0
    scattered = 0.5 * 0.00877 * micrometres**-4.05 + 0.85 * 0.15 * (micrometres / 0.55) ** -1.3
    return np.asarray(-np.expm1(-scattered / np.cos(np.radians(geometry.sun_zenith))))


def _leaf_mixture(stand: Stand, chlorophyll: Values, brown: Values, wavelength: Values) -> tuple[Values, Values]:
    """Reflectance and transmittance of green and dead leaves together, ``(B, C, L)`` each."""
    living = Leaf(stand.structure, chlorophyll, chlorophyll / 5.0 + 1.0, 0.0, 0.0, stand.water, stand.dry_matter)
    dead = Leaf(stand.structure + 0.3, 1.0, 2.0, 0.0, stand.dead, 0.001, stand.dry_matter)
    share = brown[:, None]
    reflectance, transmittance = (
        (1.0 - share) * green[:, None, :] + share * gone
        for green, gone in zip(leaf_optics(living, wavelength), leaf_optics(dead, wavelength), strict=True)
    )
    return reflectance, transmittance


def _sunlit(cover: Values) -> tuple[Values, Values]:
    """Mean and standard deviation over crowns of the share of a crown that others leave in the sun.

    A crown whose rank among the heights is ``u`` from the top has a share ``u`` of the others above it, by ``u / 2`` of
    the range of heights in the mean. Where crowns stand at random, ``exp(-x u u / 2)`` of it is left in the sun; ``u``
    is even between 0 and 1.

    Args:
        cover: x, the shadows per ground area, one upon another, of crowns that rise by the whole range of heights.
    """
    half = np.maximum(cover, 1e-6) / 2.0
    mean, square = (np.sqrt(np.pi / k) / 2.0 * erf(np.sqrt(k)) for k in (half, 2.0 * half))
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _phase_cosine(geometry: Geometry) -> float:
    """Cosine of the angle between the directions to the sun and to the sensor."""
    sun, view = np.radians(geometry.sun_zenith), np.radians(geometry.view_zenith)
    azimuth = np.radians(geometry.relative_azimuth)
    return float(np.cos(sun) * np.cos(view) + np.sin(sun) * np.sin(view) * np.cos(azimuth))
