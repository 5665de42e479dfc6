"""Measured spectra of ground and of what people build, and how soil darkens when it is wet.

The spectra are those of the package earthlib: soils of the ICRAF-ISRIC library, and the urban library of Santa Barbara
with bark, litter and char of other campaigns. They are chosen by label and by look, never by hand. A material has
three members: the spectra of its label are ranked by brightness, and each member is the mean of a third of them, so
that dark, middling and bright roofs differ as measured ones do. Water vapour hides 1360 to 1450 and 1800 to 1950 nm,
where lines are drawn; no band of the sensors here looks there but the cirrus band.

Soils of the library were dried and sieved in a laboratory. In a field clods and furrows shade each other, which takes
about a fifth of the light (Cierniewski 1987, Soil Science 144, 287-298); ``FIELD`` does that.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.errors import InputError, nearest
from swath.sources.world import packages
from swath.sources.world.render.leaf import interface_transmittance
from swath.sources.world.render.responses import WAVELENGTHS
from swath.sources.world.render.water import REFRACTION, pure_absorption

Values = NDArray[np.float64]

MEMBERS = 3
FIELD = 0.8
"""Brightness of a soil in a field relative to the same soil sieved in a laboratory."""

MATERIALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "shingle": ("built", ("comp_shingle",)),
    "clay tile": ("built", ("tile",)),
    "concrete tile": ("built", ("concrete_tile",)),
    "wood shingle": ("built", ("wood_shingle",)),
    "metal": ("built", ("metal",)),
    "gravel roof": ("built", ("gravel",)),
    "tar": ("built", ("asphalt",)),
    "asphalt": ("built", ("road", "parking_lot")),
    "concrete": ("built", ("sidewalk", "bridge", "driveway")),
    "sand": ("bare", ("sand",)),
    "gravel": ("bare", ("gravel",)),
    "litter": ("npv", ("litter", "npv")),
    "bark": ("npv", ("bark",)),
    "char": ("burned", ("char",)),
}
"""Material to the labels of earthlib (``LEVEL_2``, ``LEVEL_3``)."""

SATURATION = 0.45
"""Water content [m3 m-3] at which the pores of the soil are full."""
_FILM_CM = 0.03
_COVERAGE = 3.5


@dataclass(frozen=True, eq=False)
class _Library:
    """All spectra ``(7261, L)`` on ``WAVELENGTHS``, and their labels."""

    values: NDArray[np.float32]
    group: NDArray[np.str_]
    label: NDArray[np.str_]
    origin: NDArray[np.str_]


@lru_cache(maxsize=32)
def material(name: str) -> Values:
    """Three spectra of a material, from dark to bright, ``(3, L)`` on ``WAVELENGTHS``.

    Raises:
        InputError: there is no such material.
        MissingError: the spectra have not been fetched.
    """
    if name not in MATERIALS:
        raise InputError(
            f"There are no spectra of '{name}'",
            expected=f"one of {', '.join(MATERIALS)}",
            remedy=f"the nearest are: {nearest(name, MATERIALS)}",
        )
    group, labels = MATERIALS[name]
    library = _library()
    return _thirds(library.values[(library.group == group) & np.isin(library.label, labels)])


@lru_cache(maxsize=1)
def soils() -> Values:
    """Dry soils in the field by code of ``truth.SOILS``, three of each from dark to bright: ``(5, 3, L)``.

    Kinds are told by brightness (mean of 450 to 860 nm) and by redness (660 over 550 nm) among the 4168 soils: dark
    ones are the darkest 15 %; red ones the reddest 15 % of middling brightness; brown ones the middle of both; pale
    ones the brightest 15 % that are less red than the median, sandy ones the others of these.
    """
    library = _library()
    values = library.values[library.origin == "icraf-isric-soil-database"]
    visible = values[:, (WAVELENGTHS >= 450) & (WAVELENGTHS <= 860)].mean(axis=1)
    redness = values[:, WAVELENGTHS == 660.0][:, 0] / values[:, WAVELENGTHS == 550.0][:, 0]
    low, quarter, three, high = np.quantile(visible, (0.15, 0.25, 0.75, 0.85))
    middle = (visible >= quarter) & (visible <= three)
    red_low, red_middle, red_high, reddest = np.quantile(redness, (0.25, 0.5, 0.75, 0.85))
    kinds = (
        visible < low,
        middle & (redness >= red_low) & (redness <= red_high),
        middle & (redness > reddest),
        (visible > high) & (redness < red_middle),
        (visible > high) & (redness >= red_middle),
    )
    spectra = np.stack([_thirds(values[kind]) for kind in kinds]) * FIELD
    spectra.setflags(write=False)
    return np.asarray(spectra)


def wetted(dry: ArrayLike, moisture: ArrayLike, wavelength: ArrayLike = WAVELENGTHS) -> Values:
    """Reflectance of ground that holds water: a film that light enters, is absorbed in, and hardly leaves again.

    A share of the surface is under a film of water. There, light from the ground is thrown back inside the film
    (Lekner and Dorf 1988, Applied Optics 27, 1278-1280) and water absorbs it on the way (Bach and Mauser 1994, in the
    form of Bablet et al. 2018, Remote Sensing of Environment 217, 1-17),

        R = (1 - e) R_dry + e t t' R_dry T^2 / (1 - r' R_dry T^2),    T = exp(-absorption thickness)

    with e and the thickness growing to 1 and 0.3 mm at saturation. What the film mirrors goes elsewhere.

    Args:
        dry: ``(..., L)``.
        moisture: volumetric water content [m3 m-3], ``(...)``.
        wavelength: nanometres ``(L,)``.
    """
    dry = np.asarray(dry, np.float64)
    fullness = np.clip(np.asarray(moisture, np.float64) / SATURATION, 0.0, 1.0)[..., None]
    covered = -np.expm1(-_COVERAGE * fullness) / -np.expm1(-_COVERAGE)
    entering = float(interface_transmittance(90.0, REFRACTION))
    leaving = entering / REFRACTION**2
    passed = np.exp(-2.0 * pure_absorption(wavelength) / 100.0 * _FILM_CM * fullness)
    film = entering * leaving * dry * passed / (1.0 - (1.0 - leaving) * dry * passed)
    return np.asarray((1.0 - covered) * dry + covered * film)


def _thirds(values: NDArray[np.float32]) -> Values:
    ranked = values[np.argsort(values.mean(axis=1), kind="stable")]
    thirds = np.stack([part.mean(axis=0, dtype=np.float64) for part in np.array_split(ranked, MEMBERS)])
    thirds.setflags(write=False)
    return thirds


@lru_cache(maxsize=1)
def _library() -> _Library:
    with packages.locate("spectra labels").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    header = packages.locate("spectra header").read_text(encoding="utf-8")
    place = header.index("wavelength = {") + len("wavelength = {")
    nodes = np.array([float(number) for number in header[place : header.index("}", place)].split(",")]) * 1000.0
    stored = np.fromfile(packages.locate("spectra"), "<f4").reshape(len(rows), nodes.size)
    # Linear interpolation of all spectra at once, constant beyond 2450 nm.
    right = np.clip(np.searchsorted(nodes, WAVELENGTHS), 1, nodes.size - 1)
    share = np.clip((WAVELENGTHS - nodes[right - 1]) / (nodes[right] - nodes[right - 1]), 0.0, 1.0).astype(np.float32)
    values = np.asarray(stored[:, right - 1] * (1 - share) + stored[:, right] * share, np.float32)
    columns = (np.array([row[name] for row in rows]) for name in ("LEVEL_2", "LEVEL_3", "SOURCE"))
    return _Library(values, *columns)
