"""Clouds as fields of optical thickness: what they reflect, what they let through, where their shadows fall.

A sky has two layers, droplets below and ice above (cirrus), each at one height above the ground. The optical thickness
of a layer is a fractal field of hashed noise over a threshold that the wanted share of the area exceeds. It is a
function of absolute place, so a shadow needs no margin: the ground at p lies in the shadow of the cloud at
``p + h tan(zenith) (sin(azimuth), cos(azimuth))``, with the sun's angles, and sees the satellite through the cloud at
the same shift with the satellite's.

Reflectance and transmittance of a layer are those of the delta-Eddington approximation (Joseph, Wiscombe and Weinman
1976, Journal of the Atmospheric Sciences 33, 2452-2459) in the general two-stream form of Meador and Weaver (1980, same
journal 37, 630-643), over a black ground. Clouds have no sides, and light does not cross from column to column: bright
rims and the brightening of gaps are not in this version.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from swath.sources.world import noise

_NODES = 1024
_HALF = 8.0  # optical thickness in the middle of the table
_FULLEST = 0.999  # a threshold exists below that

_WATER_ASYMMETRY, _ICE_ASYMMETRY = 0.86, 0.78


@dataclass(frozen=True)
class Layer:
    """One layer of cloud.

    Args:
        key: of its field.
        share: of the area with any optical thickness.
        height: above the ground [m].
        thickness: optical thickness where the field is one standard deviation above its threshold.
        spacing: of the lattice of the largest cells [m].
        octaves: of the field.
        ice: whether it is made of crystals.
    """

    key: int
    share: float
    height: float
    thickness: float
    spacing: float
    octaves: int
    ice: bool

    def depth(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Optical thickness over the mesh of northings ``(H,)`` and eastings ``(W,)`` [m], float32 ``(H, W)``."""
        if self.share <= 0.0:
            return np.zeros((len(y), len(x)), np.float32)
        field = noise.fractal(self.key, y, x, self.spacing, self.octaves, 0.6)
        field -= float(ndtri(1.0 - min(self.share, _FULLEST)))
        np.maximum(field, 0.0, out=field)
        return (self.thickness * (field * np.sqrt(field))).astype(np.float32)


@dataclass(frozen=True)
class Ray:
    """A direction from the ground: zenith angle, and azimuth clockwise from the grid's north [degrees]."""

    zenith: float
    azimuth: float

    @property
    def cosine(self) -> float:
        """Of the zenith angle."""
        return math.cos(math.radians(self.zenith))

    def shift(self, height: float) -> tuple[float, float]:
        """(north, east) from a place on the ground to where the ray passes ``height`` [m]."""
        reach = height * math.tan(math.radians(self.zenith))
        return reach * math.cos(math.radians(self.azimuth)), reach * math.sin(math.radians(self.azimuth))


def depth_along(
    layer: Layer, ray: Ray, northings: NDArray[np.float64], eastings: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Optical thickness (of the vertical) that a ray from each place of the mesh passes through."""
    north, east = ray.shift(layer.height)
    return layer.depth(northings + north, eastings + east)


def albedo(wavelength_nm: float, ice: bool) -> float:
    """Single-scattering albedo of cloud particles, rounded.

    Droplets of 10 um after Nakajima and King (1990, Journal of the Atmospheric Sciences 47, 1878-1893), crystals of
    30 um after Baum et al. (2005, Journal of Applied Meteorology 44, 1885-1895): one below 1.5 um.
    """
    if wavelength_nm < 1500.0:
        return 1.0
    if wavelength_nm < 1900.0:
        return 0.95 if ice else 0.9945
    return 0.94 if ice else 0.979


def two_stream(depth: NDArray[np.float64], cosine: float, omega: float, asymmetry: float) -> NDArray[np.float64]:
    """Reflectance and transmittance of a layer over black ground, delta-Eddington.

    Args:
        depth: optical thickness ``(N,)``, before scaling.
        cosine: of the zenith angle of the beam.
        omega: single-scattering albedo.
        asymmetry: of the phase function.

    Returns:
        float64 ``(2, N)``: reflectance, and transmittance of direct and scattered light together.
    """
    forward = asymmetry**2
    t = (1.0 - omega * forward) * np.asarray(depth, np.float64)
    w = (1.0 - forward) * omega / (1.0 - omega * forward)
    g = asymmetry / (1.0 + asymmetry)
    one, two = (7.0 - w * (4.0 + 3.0 * g)) / 4.0, -(1.0 - w * (4.0 - 3.0 * g)) / 4.0
    three = (2.0 - 3.0 * g * cosine) / 4.0
    beam = np.exp(-t / cosine)
    if omega >= 1.0:
        reflected = (one * t + (three - one * cosine) * (1.0 - beam)) / (1.0 + one * t)
        return np.stack([reflected, 1.0 - reflected])
    four = 1.0 - three
    k = math.sqrt(one**2 - two**2)
    if abs(k * cosine - 1.0) < 1e-6:  # the formula has a removable pole there
        cosine *= 1.0 + 1e-5
    a, b = one * four + two * three, one * three + two * four
    once, twice = np.exp(-k * t), np.exp(-2.0 * k * t)
    scale = w / ((1.0 - (k * cosine) ** 2) * ((k + one) + (k - one) * twice))
    up, down = 1.0 + k * cosine, 1.0 - k * cosine
    reflected = down * (b + k * three) - up * (b - k * three) * twice - 2.0 * k * (three - b * cosine) * once * beam
    passed = up * (a + k * four) * beam - down * (a - k * four) * twice * beam - 2.0 * k * (four + a * cosine) * once
    return np.stack([scale * reflected, beam - scale * passed])


@dataclass(frozen=True, eq=False)
class Optics:
    """Reflectance and transmittance over optical thickness, for one kind of particle, wavelength and beam.

    Args:
        reflectance, transmittance: float32 at nodes equally spaced in ``depth / (depth + 8)``.
    """

    reflectance: NDArray[np.float32]
    transmittance: NDArray[np.float32]

    def __call__(self, depth: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Reflectance and transmittance, float32 of the shape of ``depth``; exactly 0 and 1 where that is 0."""
        place = depth / (depth + np.float32(_HALF)) * np.float32(_NODES - 1)
        node = np.minimum(place.astype(np.int32), _NODES - 2)
        share = place - node
        return _between(self.reflectance, node, share), _between(self.transmittance, node, share)


@lru_cache(maxsize=4096)
def optics(cosine: float, omega: float, ice: bool) -> Optics:
    """The table of a kind of cloud for a beam."""
    nodes = np.arange(_NODES) / (_NODES - 1.0)
    depth = _HALF * nodes / np.maximum(1.0 - nodes, 1e-6)
    both = two_stream(depth, cosine, omega, _ICE_ASYMMETRY if ice else _WATER_ASYMMETRY)
    both[:, 0] = 0.0, 1.0
    return Optics(*np.clip(both, 0.0, 1.0).astype(np.float32))


def over(
    below: NDArray[np.float32],
    cloud: tuple[NDArray[np.float32], NDArray[np.float32]],
    above: tuple[float, float],
) -> NDArray[np.float32]:
    """Reflectance at the top of the atmosphere with a cloud in it.

    Args:
        below: the same without the cloud.
        cloud: reflectance of the cloud, and transmittance of both ways through it.
        above: (transmittance of both ways, path reflectance) of the air above the cloud.

    Returns:
        ``below`` seen through the cloud, with light going back and forth between them, plus what the cloud and the
        air above it reflect; exactly ``below`` where there is no cloud.
    """
    reflected, passed = cloud
    clear, path = np.float32(above[0]), np.float32(above[1])
    one = np.float32(1.0)
    return below * passed / (one - reflected * below) + clear * reflected + (one - passed) * path


def _between(table: NDArray[np.float32], node: NDArray[np.int32], share: NDArray[np.float32]) -> NDArray[np.float32]:
    low = table[node]
    return np.asarray(low + (table[node + 1] - low) * share)
