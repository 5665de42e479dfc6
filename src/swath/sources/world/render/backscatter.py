"""What Sentinel-1 would see of a truth: VV and VH backscatter of the ground, with terrain, noise floor and speckle.

Ground-range products are calibrated to sigma nought on the ellipsoid. So local backscatter (``scattering.py``, at the
local incidence angle) is multiplied by the ground area that a pixel of the ellipsoid stands for, after Ulander (1996):
slopes that face the radar are bright, as in real products before terrain flattening. Layover and shadow are not
resolved: areas are limited to ten times the flat one, and ground that the radar cannot see falls to the noise floor.

Wet snow, wind direction, azimuth ambiguities and radio interference are not in this version.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath.errors import ConfigError
from swath.sources.world.render import scattering
from swath.sources.world.render.scattering import Backscatter
from swath.sources.world.truth import (
    BARE,
    BUILT,
    COVER,
    CROP,
    GRASS,
    ICE,
    MANGROVE,
    MOSS,
    REQUIRED_RADAR,
    SHRUB,
    TREE,
    WATER,
    WETLAND,
    require_layers,
)

NOISE_FLOOR_DB = -23.5
"""Noise-equivalent sigma nought; the specification of Sentinel-1 IW says -22 or lower."""

LOOK_AZIMUTH = {"ascending": 78.0, "descending": 282.0}
"""Degrees from north in which the right-looking antenna looks, for a near-polar orbit."""

_SMALLEST_AREA = 0.1  # cosine of the projection angle at which the area factor is cut off
_GRAZING = np.radians(85.0)
_TRUNK_BIOMASS = 100.0  # Mg ha-1 at which trunks reflect as much as they can
_WOOD = 8.0  # dielectric constant of moist trunks
_WALL = 12.0  # effective one of walls with windows, frames and metal
_CORNER_TRUNKS, _CORNER_WALLS = 6.0, 16.0
_CROWN_EXTINCTION = 0.12  # one-way, per leaf area, between trunks: less than over the whole crown
_STANDS = 20.0  # Mg ha-1 of wood from which on plants stand out of a flood
_USUAL_HEIGHT = 6.0  # m, of buildings whose height is not told


@dataclass(frozen=True)
class Look:
    """Geometry of a radar look.

    Args:
        incidence: angle from the vertical on the ellipsoid [degrees], 20 to 47 for Sentinel-1 IW.
        azimuth: direction in which the antenna looks [degrees from north, clockwise].

    Raises:
        ConfigError: the incidence angle is not between 15 and 60 degrees.
    """

    incidence: float = 38.0
    azimuth: float = LOOK_AZIMUTH["descending"]

    def __post_init__(self) -> None:
        if not 15.0 <= self.incidence <= 60.0:
            raise ConfigError(
                f"The incidence angle is {self.incidence:g} degrees",
                expected="15 to 60 degrees",
                remedy="Sentinel-1 IW looks at 29 to 46 degrees; 38 is the middle",
            )


# Per cover class: brightness of an endless layer (VV, VH), one-way extinction per unit of leaf and wood area,
# standard deviation of heights of the ground [m].
_SCATTERERS = {
    TREE: (0.23, 0.058, 0.25, 0.015),
    SHRUB: (0.15, 0.034, 0.22, 0.013),
    GRASS: (0.09, 0.015, 0.15, 0.008),
    CROP: (0.12, 0.024, 0.18, 0.011),
    BUILT: (0.12, 0.022, 0.20, 0.010),
    BARE: (0.06, 0.006, 0.15, 0.008),
    ICE: (0.12, 0.030, 0.15, 0.010),
    WATER: (0.09, 0.015, 0.15, 0.008),
    WETLAND: (0.12, 0.024, 0.16, 0.008),
    MANGROVE: (0.23, 0.055, 0.25, 0.015),
    MOSS: (0.07, 0.010, 0.15, 0.010),
}
_TABLE = np.array([_SCATTERERS[value] for value in range(len(COVER))], np.float32)


def backscatter(truth: xr.Dataset, look: Look, wind_speed: float = 4.0) -> NDArray[np.float32]:
    """Sigma nought on the ellipsoid without noise and speckle.

    Args:
        truth: complete truth at one moment: cover (or its shares), elevation, leaf_area, biomass, soil_moisture,
            open_water, building_cover and building_height, all ``(y, x)``.
        look: the geometry.
        wind_speed: at 10 m [m s-1].

    Returns:
        Power ratio, float32 ``(2, y, x)``: VV, VH.

    Raises:
        InputError: a layer is missing; the sentence names it.
    """
    needed = (*REQUIRED_RADAR, "leaf_area", "biomass", "soil_moisture", "open_water", "building_cover")
    require_layers(truth, needed, "the radar model")
    height, width = truth.sizes["y"], truth.sizes["x"]
    if 0 in (height, width):
        return np.zeros((2, height, width), np.float32)
    layers = {name: truth[name].values.astype(np.float32) for name in needed[2:]}
    if "building_height" in truth:
        layers["building_height"] = truth["building_height"].values.astype(np.float32)
    ground = _Ground(layers, local_geometry(truth["elevation"].values, _pixel_m(truth), look), look, wind_speed)
    if "cover" in truth:
        return ground.backscatter(_TABLE[truth["cover"].values])
    shares = truth["cover_fraction"].values
    total = np.zeros((2, height, width), np.float32)
    for value in np.flatnonzero(shares.any(axis=(1, 2))):
        total += shares[value] * ground.backscatter(_TABLE[value])
    return total


def local_geometry(
    elevation: NDArray[np.floating], pixel_m: float, look: Look
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Local incidence angle [radians], area factor and visibility of each pixel ``(y, x)``.

    The area factor is ``sin(theta) / cos(psi)`` (Ulander 1996), psi being the angle between the normal of the ground
    and the normal of the plane of slant range and flight. Facing slopes have factors above 1.

    Args:
        elevation: heights [m] ``(y, x)``, rows from north to south.
        pixel_m: size of a pixel [m].
        look: the geometry.
    """
    theta, azimuth = np.radians(look.incidence), np.radians(look.azimuth)
    north, east = _gradients(np.asarray(elevation, np.float32), pixel_m)
    length = np.sqrt(1.0 + north**2 + east**2)
    # Rise towards the sensor, which stands where the antenna looks from, lowers the incidence angle.
    rise = -(east * np.float32(-np.sin(azimuth)) + north * np.float32(-np.cos(azimuth)))
    cosine = (np.float32(np.sin(theta)) * rise + np.float32(np.cos(theta))) / length
    projected = (np.float32(np.sin(theta)) - np.float32(np.cos(theta)) * rise) / length
    area = np.float32(np.sin(theta)) / np.maximum(np.abs(projected), np.float32(_SMALLEST_AREA * np.sin(theta)))
    local = np.minimum(np.arccos(np.clip(cosine, -1.0, 1.0)), np.float32(_GRAZING))
    return local.astype(np.float32), area.astype(np.float32), cosine > 0


class _Ground:
    """The layers of a truth under one look, scattered for one table of cover parameters after another."""

    def __init__(
        self,
        layers: dict[str, NDArray[np.float32]],
        geometry: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]],
        look: Look,
        wind_speed: float,
    ) -> None:
        self._layers = layers
        self._local, area, seen = geometry
        self._lit = (area * seen).astype(np.float32)
        self._level = np.asarray(np.radians(look.incidence), np.float32)
        sea = scattering.water(wind_speed, np.float64(self._level))
        self._sea = Backscatter(sea.vv.astype(np.float32), sea.vh.astype(np.float32))

    def backscatter(self, table: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sigma nought ``(2, y, x)``; ``table`` holds the four parameters of the cover on its last axis."""
        wet = self._layers["open_water"]
        dry = _together(self._land(table), self._walls())
        flooded = _together(self._standing_in_water(table), self._trunks())
        pairs = zip(dry, flooded, strict=True)
        return np.stack([(1 - wet) * land * self._lit + wet * water for land, water in pairs]).astype(np.float32)

    def _land(self, table: NDArray[np.float32]) -> Backscatter:
        vv, vh, extinction, roughness = (table[..., column] for column in range(4))
        soil = scattering.bare_soil(self._layers["soil_moisture"], roughness, self._local)
        return scattering.vegetated(soil, self._amount(), (vv, vh), extinction, self._local)

    def _standing_in_water(self, table: NDArray[np.float32]) -> Backscatter:
        """Crowns stay above water; plants without wood are taken to be under it."""
        vv, vh, extinction, _ = (table[..., column] for column in range(4))
        above = self._amount() * np.minimum(self._layers["biomass"] / np.float32(_STANDS), np.float32(1))
        return scattering.vegetated(self._sea, above, (vv, vh), extinction, self._level)

    def _amount(self) -> NDArray[np.float32]:
        return self._layers["leaf_area"] + self._layers["biomass"] / np.float32(150)

    def _trunks(self) -> Backscatter:
        """Double bounce between standing water and trunks, seen through the crowns: flooded forest is bright."""
        stems = np.minimum(self._layers["biomass"] / np.float32(_TRUNK_BIOMASS), np.float32(1))
        through = np.exp(np.float32(-2 * _CROWN_EXTINCTION) * self._layers["leaf_area"] / np.cos(self._level))
        return scattering.corner(80.0, _WOOD, np.float32(_CORNER_TRUNKS) * stems * through, self._level)

    def _walls(self) -> Backscatter:
        """Double bounce between streets and walls, stronger the more and the higher the buildings are."""
        height = self._layers.get("building_height", np.float32(_USUAL_HEIGHT))
        faces = self._layers["building_cover"] * np.minimum(height / np.float32(8), np.float32(3))
        return scattering.corner(6.0, _WALL, np.float32(_CORNER_WALLS) * faces, self._level)


def _together(one: Backscatter, other: Backscatter) -> Backscatter:
    return Backscatter(one.vv + other.vv, one.vh + other.vh)


def _gradients(elevation: NDArray[np.float32], pixel_m: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slopes towards north and east by central differences; one-sided at the rim, zero along axes of one pixel."""
    north = np.zeros_like(elevation) if elevation.shape[0] < 2 else -np.gradient(elevation, pixel_m, axis=0)
    east = np.zeros_like(elevation) if elevation.shape[1] < 2 else np.gradient(elevation, pixel_m, axis=1)
    return north.astype(np.float32), east.astype(np.float32)


def _pixel_m(truth: xr.Dataset) -> float:
    from swath import grids

    return grids.gsd_m(truth.odc.geobox)
