"""Kinds of vegetation as the canopy model sees them: leaves, their angles, crowns and what lies between.

A stand with crowns is a share of crowns, with the leaf area inside them, and gaps that are partly in the shade of the
crowns (Huemmrich 2001, "The GeoSail model", Remote Sensing of Environment 75, 423-431). A crown is round, so the sensor
sees its lit and its dark side (Li and Strahler 1992, IEEE Transactions on Geoscience and Remote Sensing 30, 276-292);
among the leaves there is wood, which is bark that lets no light through.

Numbers of leaves are those of the LOPEX and ANGERS collections (Feret et al. 2008), leaf angles those of de Wit (1965)
and Pisek et al. (2013); shares of litter and wood are round numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
_DARK_SIDE = 0.35
"""Brightness of the dark side of a crown relative to its lit side."""


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
        clumping: leaf area that meets light over leaf area, below 1 for needles on shoots.
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


STANDS: dict[str, Stand] = {
    "broadleaf": Stand(45.0, 0.05, 1.6, 0.012, 0.009, 0.6, 0.6, 15.0, 0.1, 0.9, 1.2, 0.10, 0.85),
    "needleleaf": Stand(50.0, 0.02, 2.4, 0.025, 0.022, 0.7, 0.7, 12.0, 0.15, 0.6, 2.5, 0.20, 0.60),
    "mangrove": Stand(50.0, 0.05, 1.8, 0.022, 0.014, 0.6, 0.2, 6.0, 0.1, 1.2, 0.8, 0.12, 0.90),
    "shrub": Stand(52.0, 0.05, 1.8, 0.012, 0.013, 0.5, 0.3, 1.5, 0.6, 0.8, 0.7, 0.15, 0.85),
    "grass": Stand(65.0, 0.05, 1.4, 0.010, 0.005, 0.20, 0.2, 0.4, 1.0),
    "cereal": Stand(65.0, 0.05, 1.4, 0.011, 0.005, 0.12, 0.05, 0.9, 1.0),
    "broadleaf crop": Stand(40.0, 0.10, 1.5, 0.014, 0.005, 0.3, 0.05, 0.7, 1.0),
    "wetland": Stand(68.0, 0.04, 1.6, 0.016, 0.006, 0.25, 0.3, 1.2, 0.8),
    "moss": Stand(35.0, 0.20, 1.8, 0.020, 0.010, 0.4, 0.1, 0.05, 1.0),
}
"""Kinds by name; their order is that of the tables."""

NAMES = tuple(STANDS)
_COVER = {
    TREE: "broadleaf",
    SHRUB: "shrub",
    GRASS: "grass",
    CROP: "grass",
    BUILT: "grass",
    BARE: "shrub",
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


def stand_terms(
    stand: Stand,
    leaf_area: Values,
    chlorophyll: Values,
    brown: Values,
    bark: Values,
    wavelength: Values,
    geometry: Geometry,
) -> Canopy:
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
        Terms ``(A, B, C, L)``.
    """
    living = Leaf(stand.structure, chlorophyll, chlorophyll / 5.0 + 1.0, 0.0, 0.0, stand.water, stand.dry_matter)
    dead = Leaf(stand.structure + 0.3, 1.0, 2.0, 0.0, stand.dead, 0.001, stand.dry_matter)
    share = brown[:, None]
    optics = [
        (1.0 - share) * green[:, None, :] + share * gone
        for green, gone in zip(leaf_optics(living, wavelength), leaf_optics(dead, wavelength), strict=True)
    ]
    reflectance = (1.0 - stand.wood) * optics[0] + stand.wood * bark
    transmittance = (1.0 - stand.wood) * optics[1]
    area = leaf_area[:, None, None, None] * stand.clumping
    crowns = -np.expm1(-stand.crowns * area) if stand.crowns else np.ones_like(area)
    inside = np.where(crowns > 0, area / np.maximum(crowns, 1e-9), 1.0 / (stand.crowns or 1.0))
    terms = canopy_terms(reflectance, transmittance, inside, stand.angle, stand.hot_spot, geometry)
    if not stand.crowns:
        return terms
    lit = 0.5 * (1.0 + _phase_cosine(geometry))
    seen = crowns * (lit + (1.0 - lit) * _DARK_SIDE)
    # A shadow is this much larger than its crown; where crowns stand at random, so much of the gaps is left in the sun.
    reach = 4.0 / np.pi * stand.slender * np.tan(np.radians(geometry.sun_zenith))
    sunny = (1.0 - crowns) ** reach
    gaps = (1.0 - crowns) * (sunny + (1.0 - sunny) * _IN_SHADE)
    return Canopy(terms.own * seen, terms.direct * seen + gaps, terms.returned * seen, terms.bounce)


def _phase_cosine(geometry: Geometry) -> float:
    """Cosine of the angle between the directions to the sun and to the sensor."""
    sun, view = np.radians(geometry.sun_zenith), np.radians(geometry.view_zenith)
    azimuth = np.radians(geometry.relative_azimuth)
    return float(np.cos(sun) * np.cos(view) + np.sin(sun) * np.sin(view) * np.cos(azimuth))
