"""4SAIL: reflectance of a canopy of leaves above any ground.

Verhoef, Jia, Xiao and Su (2007), "Unified optical-thermal four-stream radiative transfer theory for homogeneous
vegetation canopies", IEEE Transactions on Geoscience and Remote Sensing 45, 1808-1822. Leaf angles follow the
ellipsoidal distribution of Campbell (1990), Agricultural and Forest Meteorology 49, 173-176; the hot spot is that of
Kuusk (1991) as Verhoef (1998) has it.

What ground does to the result is kept apart: ``Canopy`` holds what the leaves alone do, and ``Canopy.over`` puts them
over a ground of any reflectance r,

    R(r) = own + direct r + returned r / (1 - bounce r),

which is the adding equation of the paper with its terms gathered. So one canopy serves every soil, snow and water.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

_ANGLES = 18
"""Classes of leaf inclination."""
_HOT_SPOT_STEPS = 20
_NOTHING = 1e-36


@dataclass(frozen=True)
class Geometry:
    """Where sun and sensor stand.

    Args:
        sun_zenith: degrees, 0 to below 90.
        view_zenith: degrees, 0 to below 90.
        relative_azimuth: degrees between sun and sensor, as seen from the ground; 0 = the sun behind the sensor.
    """

    sun_zenith: float
    view_zenith: float
    relative_azimuth: float


@dataclass(frozen=True)
class Canopy:
    """A canopy without its ground; each array ``(..., L)``.

    Args:
        own: bidirectional reflectance of the leaves over black ground.
        direct: how far the hot spot exceeds sunlight and sight that pass independently of each other.
        returned: light that reaches the ground times the share of its reflection that reaches the sensor.
        bounce: share of the light from the ground that the leaves send back to it.
    """

    own: Values
    direct: Values
    returned: Values
    bounce: Values

    def over(self, ground: ArrayLike) -> Values:
        """Bidirectional reflectance above a Lambertian ground of reflectance ``(..., L)``."""
        r = np.asarray(ground, np.float64)
        return self.own + self.direct * r + self.returned * r / (1.0 - self.bounce * r)


def canopy_terms(
    reflectance: ArrayLike,
    transmittance: ArrayLike,
    leaf_area: ArrayLike,
    mean_angle: float,
    hot_spot: float,
    geometry: Geometry,
) -> Canopy:
    """What a layer of leaves does with light.

    Args:
        reflectance: of a leaf ``(..., L)``.
        transmittance: of a leaf ``(..., L)``.
        leaf_area: one-sided, per ground area; 0 or more, broadcasts against the leaves.
        mean_angle: of the leaves from the horizontal [degrees]; 57 is about spherical.
        hot_spot: size of leaves relative to the height of the canopy, 0 or more.
        geometry: sun and sensor.
    """
    rho, tau = np.asarray(reflectance, np.float64), np.asarray(transmittance, np.float64)
    area = np.asarray(leaf_area, np.float64)
    ks, ko, flat, back, forth = _projections(mean_angle, geometry)
    # Scattering of diffuse light backwards and forwards, of the sun's beam, and into the line of sight.
    to_back = np.maximum(0.5 * ((1.0 + flat) * rho + (1.0 - flat) * tau), _NOTHING)
    to_front = np.maximum(0.5 * ((1.0 - flat) * rho + (1.0 + flat) * tau), _NOTHING)
    sb, sf = 0.5 * ((ks + flat) * rho + (ks - flat) * tau), 0.5 * ((ks - flat) * rho + (ks + flat) * tau)
    vb, vf = 0.5 * ((ko + flat) * rho + (ko - flat) * tau), 0.5 * ((ko - flat) * rho + (ko + flat) * tau)

    loss = 1.0 - to_front
    m = np.sqrt(loss**2 - to_back**2)
    deep = (loss - m) / to_back
    e1 = np.exp(-m * area)
    down_s, up_s = (sf + sb * deep) * _difference(ks, m, area), (sf * deep + sb) * _sum(ks, m, area)
    down_o, up_o = (vf + vb * deep) * _difference(ko, m, area), (vf * deep + vb) * _sum(ko, m, area)
    denominator = 1.0 - (deep * e1) ** 2
    rdd = deep * (1.0 - e1**2) / denominator
    tsd = (down_s - deep * e1 * up_s) / denominator
    tdo, rdo = (down_o - deep * e1 * up_o) / denominator, (up_o - deep * e1 * down_o) / denominator

    tss, too = np.exp(-ks * area), np.exp(-ko * area)
    both = _sum(ks, ko, area)
    first = (vf * deep + vb) * (both - _difference(ks, m, area) * too) / (ko + m) * (sf + sb * deep)
    second = (vf + vb * deep) * (both - _difference(ko, m, area) * tss) / (ks + m) * (sf * deep + sb)
    multiple = (first + second - (rdo * up_s + tdo * down_s) * deep) / (1.0 - deep**2)
    seen_and_lit, integral = _hot_spot(area, ks, ko, hot_spot, geometry)
    own = (back * rho + forth * tau) * area * integral + multiple
    return Canopy(*np.broadcast_arrays(own, seen_and_lit - tss * too, (tss + tsd) * (too + tdo), rdd))


def _difference(k: float, m: Values, area: Values) -> Values:
    """``(exp(-m L) - exp(-k L)) / (k - m)``, by a series where the two are alike."""
    span = (k - m) * area
    near = np.abs(span) <= 1e-3
    apart = np.where(near, 1.0, k - m)
    series = 0.5 * area * (np.exp(-k * area) + np.exp(-m * area)) * (1.0 - span**2 / 12.0)
    return np.where(near, series, (np.exp(-m * area) - np.exp(-k * area)) / apart)


def _sum(k: float, m: ArrayLike, area: Values) -> Values:
    rate = k + np.asarray(m, np.float64)
    return np.asarray(-np.expm1(-rate * area) / rate)


def _hot_spot(area: Values, ks: float, ko: float, size: float, geometry: Geometry) -> tuple[Values, Values]:
    """Probability that the ground is both lit and seen, and the mean of that probability over the layer.

    The integral is taken in 20 steps of equal loss of correlation, exactly for an exponential in each.
    """
    tangents = np.tan(np.radians(geometry.sun_zenith)), np.tan(np.radians(geometry.view_zenith))
    between = 2.0 * tangents[0] * tangents[1] * np.cos(np.radians(geometry.relative_azimuth))
    distance = np.sqrt(max(tangents[0] ** 2 + tangents[1] ** 2 - between, 0.0))
    if size == 0.0:  # leaves without size do not correlate
        return np.exp(-(ks + ko) * area), _mean_exponential(-(ks + ko) * area)
    sharpness = distance / size * 2.0 / (ks + ko)
    if sharpness == 0.0:
        seen = np.exp(-ks * area)
        return seen, _mean_exponential(-ks * area)
    step = -np.expm1(-sharpness) / _HOT_SPOT_STEPS
    places = np.append(-np.log1p(-np.arange(_HOT_SPOT_STEPS) * step) / sharpness, 1.0)
    overlap = np.sqrt(ko * ks) * -np.expm1(-sharpness * places) / sharpness
    exponents = [area * float(o - (ko + ks) * x) for x, o in zip(places, overlap, strict=True)]
    integral = np.zeros_like(area)
    for index in range(_HOT_SPOT_STEPS):
        width = float(places[index + 1] - places[index])
        low, high = exponents[index], exponents[index + 1]
        integral = integral + width * np.exp(low) * _mean_exponential(high - low)
    return np.exp(exponents[-1]), integral


def _mean_exponential(exponent: Values) -> Values:
    """``(exp(x) - 1) / x``, 1 at 0."""
    safe = np.where(exponent == 0.0, 1.0, exponent)
    return np.where(exponent == 0.0, 1.0, np.expm1(safe) / safe)


@lru_cache(maxsize=256)
def _projections(mean_angle: float, geometry: Geometry) -> tuple[float, float, float, float, float]:
    """Extinction towards sun and sensor, mean squared cosine, and the scattering of the beam into sight.

    Means over the leaf inclinations; the last two multiply the reflectance and the transmittance of a leaf.
    """
    inclination = np.radians((np.arange(_ANGLES) + 0.5) * 90.0 / _ANGLES)
    share = leaf_angles(mean_angle)
    sun, view = np.radians(geometry.sun_zenith), np.radians(geometry.view_zenith)
    azimuth = abs(np.radians(geometry.relative_azimuth)) % (2.0 * np.pi)
    azimuth = 2.0 * np.pi - azimuth if azimuth > np.pi else azimuth
    cs, ss = np.cos(inclination) * np.cos(sun), np.sin(inclination) * np.sin(sun)
    co, so = np.cos(inclination) * np.cos(view), np.sin(inclination) * np.sin(view)
    turn_s, level_s = _turning(cs, ss)
    turn_o, level_o = _turning(co, so)
    towards_s = 2.0 / np.pi * ((turn_s - np.pi / 2) * cs + np.sin(turn_s) * ss)
    towards_o = 2.0 / np.pi * ((turn_o - np.pi / 2) * co + np.sin(turn_o) * so)
    limits = np.abs(turn_s - turn_o), np.pi - np.abs(turn_s + turn_o - np.pi)
    low, middle, high = np.sort(np.stack([np.full_like(cs, azimuth), *limits]), axis=0)
    product = 2.0 * cs * co + ss * so * np.cos(azimuth)
    curved = np.sin(middle) * (2.0 * level_s * level_o + ss * so * np.cos(low) * np.cos(high))
    front = np.maximum((np.pi - middle) * product + curved, 0.0) / (2.0 * np.pi**2)
    through = np.maximum(-middle * product + curved, 0.0) / (2.0 * np.pi**2)
    cosines = np.cos(sun) * np.cos(view)
    return (
        float(share @ towards_s / np.cos(sun)),
        float(share @ towards_o / np.cos(view)),
        float(share @ np.cos(inclination) ** 2),
        float(share @ front * np.pi / cosines),
        float(share @ through * np.pi / cosines),
    )


def _turning(upright: Values, sideways: Values) -> tuple[Values, Values]:
    """Azimuth beyond which the light meets the other side of the leaf, and the amplitude that goes with it."""
    steep = (np.abs(sideways) > 1e-6) & (np.abs(upright) < np.abs(sideways))
    ratio = np.where(steep, -upright / np.where(steep, sideways, 1.0), 0.0)
    return np.where(steep, np.arccos(ratio), np.pi), np.where(steep, sideways, upright)


@lru_cache(maxsize=64)
def leaf_angles(mean_angle: float) -> Values:
    """Share of leaves in 18 classes of inclination from 0 to 90 degrees (Campbell 1990), ``(18,)``."""
    polynomial = 3.2491 - 0.1239 * mean_angle + 2.1145e-3 * mean_angle**2 - 1.6184e-5 * mean_angle**3
    chi = float(np.exp(polynomial))
    edges = np.radians(np.arange(_ANGLES + 1) * 90.0 / _ANGLES)
    x = chi / np.sqrt(1.0 + chi**2 * np.tan(edges) ** 2)
    if chi == 1.0:
        primitive = np.cos(edges)
    else:
        a = chi / np.sqrt(abs(1.0 - chi**2))
        root = np.sqrt(a**2 + x**2) if chi > 1.0 else np.sqrt(np.maximum(a**2 - x**2, 0.0))
        primitive = x * root + a**2 * (np.log(x + root) if chi > 1.0 else np.arcsin(np.minimum(x / a, 1.0)))
    weights = np.abs(np.diff(primitive))
    return np.asarray(weights / weights.sum())
