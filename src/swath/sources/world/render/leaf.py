"""PROSPECT-D: reflectance and transmittance of a leaf from what it is made of.

Feret, Gitelson, Noble and Jacquemoud (2017), "PROSPECT-D: towards modeling leaf optical properties through a complete
lifecycle", Remote Sensing of Environment 193, 204-215. A leaf is a pile of N plates with rough surfaces (Allen et al.
1969), where N may be any number from 1 (Stokes 1862); a plate absorbs by its pigments, water and dry matter. The
refractive index and the absorption constants are the published ones, read from the package prosail; the code is our
own, vectorised over leaves and wavelengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exp1

from swath.sources.world import packages

Spectrum = NDArray[np.float64]

_ENTRY_DEGREES = 40.0
"""Light meets the rough upper surface of a leaf within this angle (Jacquemoud and Baret 1990)."""

_CONTENTS = ("chlorophyll", "carotenoids", "anthocyanins", "brown", "water", "dry_matter")


@dataclass(frozen=True)
class Leaf:
    """What a leaf is made of; each a number, or an array of leaves of one shape.

    Args:
        structure: number N of plates, 1 (compact) to 3.
        chlorophyll: a and b [ug cm-2].
        carotenoids: [ug cm-2].
        anthocyanins: [ug cm-2].
        brown: brown pigments, 0 to 1, in arbitrary units.
        water: equivalent thickness [cm].
        dry_matter: mass per area [g cm-2].
    """

    structure: ArrayLike = 1.5
    chlorophyll: ArrayLike = 40.0
    carotenoids: ArrayLike = 8.0
    anthocyanins: ArrayLike = 0.0
    brown: ArrayLike = 0.0
    water: ArrayLike = 0.01
    dry_matter: ArrayLike = 0.009


def leaf_optics(leaf: Leaf, wavelength: ArrayLike) -> tuple[Spectrum, Spectrum]:
    """Reflectance and transmittance of leaves, hemispherical both.

    Args:
        leaf: its parts broadcast to the shape ``(...)``.
        wavelength: nanometres ``(L,)``, from 400 to 2500.

    Returns:
        float64 ``(..., L)`` each.

    Raises:
        MissingError: the absorption constants have not been fetched.
    """
    refraction, absorption = _constants(np.asarray(wavelength, np.float64))
    structure = np.asarray(leaf.structure, np.float64)[..., None]
    contents = (np.asarray(getattr(leaf, name), np.float64)[..., None] for name in _CONTENTS)
    depth = np.asarray(sum(content * row for content, row in zip(contents, absorption, strict=True))) / structure
    inside = _diffuse_passage(depth)
    top = _plate(inside, refraction, interface_transmittance(_ENTRY_DEGREES, refraction))
    plain = _plate(inside, refraction, interface_transmittance(90.0, refraction))
    below = _pile(*plain, structure - 1.0)
    between = 1.0 - below[0] * plain[0]
    return top[0] + top[1] * below[0] * plain[1] / between, top[1] * below[1] / between


def interface_transmittance(degrees: float, refraction: ArrayLike) -> Spectrum:
    """Share of isotropic light within a cone that passes from air into a medium.

    Stern (1964), Applied Optics 3, 111-113, in closed form.

    Args:
        degrees: half opening of the cone, above 0 to 90.
        refraction: refractive index of the medium, above 1.
    """
    n = np.asarray(refraction, np.float64)
    n2 = n * n
    plus, minus = n2 + 1.0, n2 - 1.0
    a = (n + 1.0) ** 2 / 2.0
    k = -(minus**2) / 4.0
    sine2 = np.sin(np.radians(degrees)) ** 2
    root = 0.0 if degrees == 90.0 else np.sqrt((sine2 - plus / 2.0) ** 2 + k)
    b = root - (sine2 - plus / 2.0)
    perpendicular = k**2 / (6.0 * b**3) + k / b - b / 2.0 - (k**2 / (6.0 * a**3) + k / a - a / 2.0)
    terms = (
        -2.0 * n2 * (b - a) / plus**2,
        -2.0 * n2 * plus * np.log(b / a) / minus**2,
        n2 * (1.0 / b - 1.0 / a) / 2.0,
        16.0 * n2**2 * (n2**2 + 1.0) * np.log((2.0 * plus * b - minus**2) / (2.0 * plus * a - minus**2))
        / (plus**3 * minus**2),
        16.0 * n2**3 * (1.0 / (2.0 * plus * b - minus**2) - 1.0 / (2.0 * plus * a - minus**2)) / plus**3,
    )  # fmt: skip
    return np.asarray((perpendicular + sum(terms)) / (2.0 * sine2))


def _diffuse_passage(depth: Spectrum) -> Spectrum:
    """Share of diffuse light that passes a layer of an optical depth: ``2 E3``, by the exponential integral E1."""
    safe = np.maximum(depth, 1e-300)
    return np.asarray((1.0 - safe) * np.exp(-safe) + safe**2 * exp1(safe))


def _plate(inside: Spectrum, n: Spectrum, entering: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Reflectance and transmittance of one plate that light enters with the share ``entering``."""
    leaving = interface_transmittance(90.0, n) / n**2  # from within, for diffuse light
    internal = 1.0 - leaving
    passed = entering * inside * leaving / (1.0 - (internal * inside) ** 2)
    return 1.0 - entering + internal * inside * passed, passed


def _pile(r: Spectrum, t: Spectrum, plates: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Reflectance and transmittance of any number of equal plates (Stokes 1862)."""
    lossless = r + t >= 1.0
    r_safe, t_safe = np.where(lossless, 0.3, r), np.where(lossless, 0.3, t)
    square = (1 + r_safe + t_safe) * (1 + r_safe - t_safe) * (1 - r_safe + t_safe) * (1 - r_safe - t_safe)
    delta = np.sqrt(square)
    a = (1.0 + r_safe**2 - t_safe**2 + delta) / (2.0 * r_safe)
    power = ((1.0 - r_safe**2 + t_safe**2 + delta) / (2.0 * t_safe)) ** plates
    below = a**2 * power**2 - 1.0
    through = t / (t + (1.0 - t) * plates)
    return (
        np.where(lossless, 1.0 - through, a * (power**2 - 1.0) / below),
        np.where(lossless, through, power * (a**2 - 1.0) / below),
    )


def _constants(wavelength: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Refractive index ``(L,)`` and absorption of each of the six contents ``(6, L)`` at the wavelengths."""
    table = _table()
    every = np.stack([np.interp(wavelength, table[0], row) for row in table[1:]])
    return every[0], every[1:]


@lru_cache(maxsize=1)
def _table() -> Spectrum:
    """Wavelength, refractive index and six absorptions, ``(8, 2101)``, in the order of ``_CONTENTS``."""
    with packages.locate("leaf absorption").open(encoding="utf-8") as file:
        lines = [line.split() for line in file if not line.startswith("#")]
    table = np.asarray([[float(number) for number in line] for line in lines if line], np.float64).T
    table.setflags(write=False)
    return table
