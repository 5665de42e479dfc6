"""What the injector mixes in: broadband spectra of flood water, char, scorched leaves and bare ground, and SAR echoes.

Each spectrum is a short table of reflectance over wavelength, read by linear interpolation at the centre of a band:
enough for bands that are tens of nanometres wide. The shapes follow published measurements:

* turbid and clear water: high in the green and red with the sediment, nearly black beyond 1200 nm (Doxaran, Froidefond,
  Lavender and Castaing 2002, Remote Sensing of Environment 81, 149-161);
* char: dark and slowly rising from the blue to the shortwave infrared, so that the normalised burn ratio is negative
  (Smith et al. 2005, Remote Sensing of Environment 97, 92-115; Lentile et al. 2006, International Journal of Wildland
  Fire 15, 319-345);
* scorched leaves and litter: no chlorophyll dip, less near infrared than green leaves and lignin absorption at 2100 nm
  (Elvidge 1990, International Journal of Remote Sensing 11, 1775-1795);
* dry bare soil: convex and rising (Stoner and Baumgardner 1981, Soil Science Society of America Journal 45, 1161-1165).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError
from swath.sensors import Band

WAVELENGTHS_NM = np.array(
    [400.0, 450.0, 490.0, 560.0, 665.0, 705.0, 740.0, 842.0, 950.0, 1240.0, 1610.0, 2200.0, 2500.0]
)

SPECTRA: dict[str, NDArray[np.float64]] = {
    "clear water": np.array(
        [0.030, 0.032, 0.034, 0.035, 0.020, 0.014, 0.011, 0.010, 0.006, 0.003, 0.002, 0.002, 0.002]
    ),
    "turbid water": np.array(
        [0.040, 0.055, 0.070, 0.105, 0.120, 0.110, 0.085, 0.070, 0.030, 0.015, 0.010, 0.007, 0.006]
    ),
    "char": np.array([0.030, 0.032, 0.034, 0.038, 0.045, 0.048, 0.051, 0.058, 0.064, 0.078, 0.092, 0.108, 0.112]),
    "scorched": np.array([0.030, 0.040, 0.050, 0.080, 0.120, 0.140, 0.160, 0.220, 0.250, 0.300, 0.290, 0.190, 0.150]),
    "bare soil": np.array([0.060, 0.080, 0.098, 0.138, 0.190, 0.205, 0.218, 0.250, 0.275, 0.325, 0.355, 0.320, 0.290]),
    "litter": np.array([0.040, 0.055, 0.070, 0.105, 0.155, 0.175, 0.200, 0.270, 0.300, 0.370, 0.360, 0.240, 0.190]),
}
"""Reflectance of each material at ``WAVELENGTHS_NM``."""

BACKSCATTER_DB: dict[str, dict[str, float]] = {
    "water": {"VV": -20.0, "HH": -19.0, "VH": -27.5, "HV": -27.5},
    "bare ground": {"VV": -11.5, "HH": -11.0, "VH": -19.5, "HV": -19.5},
}
"""Mean sigma nought at 5.4 GHz and 30 to 45 degrees [dB]: smooth water near the noise floor of the instrument, and
moderately rough, rather dry soil (Ulaby and Dobson 1989, Handbook of Radar Scattering Statistics for Terrain)."""


def reflectance_of(material: str, band: Band) -> float:
    """Reflectance of a material in a band.

    Raises:
        InputError: the band has no wavelength, or one outside of 350 to 2600 nm.
    """
    if band.wavelength_nm is None or not 350.0 <= band.wavelength_nm <= 2600.0:
        raise InputError(
            f"The band '{band.name}' of reflectance has the wavelength {band.wavelength_nm}",
            expected="a centre wavelength of 350 to 2600 nm, so that the spectrum of what is put in can be read off",
            remedy="open the scene with sensor=..., or set the coordinate 'wavelength' [nm]",
        )
    return float(np.interp(band.wavelength_nm, WAVELENGTHS_NM, SPECTRA[material]))


def backscatter_of(material: str, band: Band) -> float:
    """Mean linear backscatter of a material in a band, by its polarisation.

    Raises:
        InputError: the band names no polarisation.
    """
    for polarisation, decibels in BACKSCATTER_DB[material].items():
        if any(polarisation in name.upper() for name in (band.name, *band.aliases)):
            return float(10.0 ** (decibels / 10.0))
    raise InputError(
        f"The band '{band.name}' of backscatter names no polarisation",
        expected="VV, VH, HH or HV in its name or an alias",
        remedy="rename the band",
    )
