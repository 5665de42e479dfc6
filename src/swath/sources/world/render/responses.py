"""Measured band responses of the optical sensors, and band averages of spectra.

The responses are those of the makers (ESA, NASA, USGS), as the package pyrsr carries them. Thermal bands have none
here: the renderer of reflectance leaves them out, and asking for one by name is an error.

The reflectance of a band is weighted with the sun: ``sum(E R rho) / sum(E R)`` over wavelength, since a sensor counts
light and reflectance is defined by the light that comes. ``E`` is the spectrum of a black body of 5772 K (the sun's
effective temperature, IAU 2015 Resolution B3): its lines are missing, which matters below 0.001 for the smooth spectra
of surfaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath import sensors
from swath.errors import InputError, nearest
from swath.sources.world import packages

Spectrum = NDArray[np.float64]
Response = tuple[Spectrum, Spectrum]

WAVELENGTHS: Spectrum = np.arange(400.0, 2501.0, 5.0)
"""Nanometres: the spectra of the renderer are known here and linear in between."""

_SUN_KELVIN = 5772.0

SATELLITES: dict[str, tuple[str, ...]] = {
    "sentinel2_l1c": ("sentinel2a", "sentinel2b"),
    "sentinel2_l2a": ("sentinel2a", "sentinel2b"),
    "hls_s30": ("sentinel2a", "sentinel2b"),
    "hls_l30": ("landsat8",),
    "landsat5_tm": ("landsat5",),
    "landsat7_etm": ("landsat7",),
    "landsat8_oli": ("landsat8",),
}
"""Sensor to the satellites whose responses are known, first the one that is taken when none is named."""


@dataclass(frozen=True, eq=False)
class BandWeights:
    """What turns spectra into bands.

    Args:
        names: of the B bands.
        wavelength: nanometres ``(L,)``, those of ``WAVELENGTHS`` that any band sees.
        weights: float64 ``(B, L)``; each row adds up to one.
    """

    names: tuple[str, ...]
    wavelength: Spectrum
    weights: Spectrum

    def average(self, spectra: ArrayLike) -> NDArray[np.float64]:
        """Band averages ``(..., B)`` of spectra ``(..., L)`` on ``wavelength``."""
        return np.asarray(spectra, np.float64) @ self.weights.T


def responses(sensor: str, satellite: str | None = None, bands: Iterable[str] | None = None) -> dict[str, Response]:
    """Band responses of a sensor, by the names of its bands in ``swath.sensors``.

    Args:
        sensor: one of ``SATELLITES``.
        satellite: which one, such as ``sentinel2b``; None = the first of the sensor.
        bands: names or aliases of the bands wanted; None = all bands of reflected light, without thermal ones.

    Returns:
        Band name to wavelength [nm] and relative response, both float64 ``(N,)``, in the order of the sensor.

    Raises:
        InputError: unknown sensor, satellite or band, or a band without a measured response (thermal ones).
        MissingError: the files have not been fetched.
    """
    if sensor not in SATELLITES:
        raise InputError(
            f"No band responses are known for the sensor '{sensor}'",
            expected=f"one of {', '.join(SATELLITES)}",
            remedy=f"the nearest are: {nearest(sensor, SATELLITES)}",
        )
    satellite = satellite or SATELLITES[sensor][0]
    if satellite not in SATELLITES[sensor]:
        raise InputError(
            f"The sensor '{sensor}' is not known on '{satellite}'",
            expected=f"one of {', '.join(SATELLITES[sensor])}",
            remedy=f"the nearest are: {nearest(satellite, SATELLITES[sensor])}",
        )
    every = sensors.load(sensor).bands
    if bands is None:
        wanted = [band for band in every if band.kind == "reflectance"]
    else:
        wanted = [every[every.position(name)] for name in ([bands] if isinstance(bands, str) else bands)]
    thermal = [band.name for band in wanted if band.kind != "reflectance"]
    if thermal:
        raise InputError(
            f"The band {thermal[0]} of '{sensor}' does not measure reflected light",
            expected="bands of kind reflectance",
            remedy="leave it out: the renderer makes reflectance only",
        )
    return {band.name: _read(satellite, _number(band.name)) for band in wanted}


def band_weights(bands: Mapping[str, Response]) -> BandWeights:
    """Weights that average a spectrum, linear between the places of ``WAVELENGTHS``, over each band.

    Args:
        bands: band name to wavelength [nm] and response, as ``responses`` gives them, or any other sensor's.

    Raises:
        InputError: a band that is empty, or that reaches outside 400 to 2500 nm by more than a fifth of its light.
    """
    rows = (
        np.stack([_row(name, *response) for name, response in bands.items()])
        if bands
        else np.zeros((0, WAVELENGTHS.size))
    )
    seen = (rows > 0).any(axis=0)
    return BandWeights(tuple(bands), WAVELENGTHS[seen], rows[:, seen])


def sunlight(wavelength: ArrayLike) -> Spectrum:
    """Irradiance of the sun up to a factor: Planck's law at 5772 K, over wavelength [nm]."""
    metres = np.asarray(wavelength, np.float64) * 1e-9
    hc_over_k = 1.438776877e-2  # m K
    return np.asarray((metres * 1e9) ** -5.0 / np.expm1(hc_over_k / (metres * _SUN_KELVIN)))


def _row(name: str, wavelength: Spectrum, response: Spectrum) -> Spectrum:
    """Weights of one band on ``WAVELENGTHS``: its light, shared between the two neighbours of every nanometre."""
    wavelength, response = np.asarray(wavelength, np.float64), np.asarray(response, np.float64)
    fine = np.arange(np.ceil(wavelength[0]), np.floor(wavelength[-1]) + 1.0) if wavelength.size else wavelength
    light = np.clip(np.interp(fine, wavelength, response, 0.0, 0.0), 0.0, None) * sunlight(fine) if fine.size else fine
    total = light.sum()
    inside = (fine >= WAVELENGTHS[0]) & (fine <= WAVELENGTHS[-1])
    if total <= 0 or light[inside].sum() < 0.8 * total:
        raise InputError(
            f"The response of the band '{name}' has no light between 400 and 2500 nm, or little",
            expected="wavelengths in nanometres, rising, and a response above 0 in that range",
            remedy="check the unit of the wavelengths, and leave thermal bands out",
        )
    place = (fine[inside] - WAVELENGTHS[0]) / (WAVELENGTHS[1] - WAVELENGTHS[0])
    left = np.minimum(place.astype(np.int64), WAVELENGTHS.size - 2)
    row = np.bincount(left, light[inside] * (1.0 - (place - left)), WAVELENGTHS.size)
    row += np.bincount(left + 1, light[inside] * (place - left), WAVELENGTHS.size)
    return np.asarray(row / row.sum())


def _number(name: str) -> str:
    """``B01`` and ``B1`` are the band 1 of the files, ``B8A`` is 8A."""
    return name.removeprefix("B").lstrip("0")


@lru_cache(maxsize=64)
def _read(satellite: str, number: str) -> Response:
    path = packages.locate(f"response {satellite} {number}")
    wavelength, response = np.loadtxt(path, skiprows=1, unpack=True, dtype=np.float64)
    if wavelength.max() < 100.0:  # micrometres
        wavelength = wavelength * 1000.0
    keep = np.clip(response, 0.0, None)
    wavelength.setflags(write=False)
    keep.setflags(write=False)
    return wavelength, keep
