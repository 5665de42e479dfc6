"""The colour of water: a bio-optical model of what a depth of water sends back.

Absorption ``a`` and backscattering ``b`` [m-1] are sums over what is in the water:

* pure water: Pope and Fry (1997), Applied Optics 36, 8710-8723, to 700 nm, Segelstein (1981) beyond; backscattering
  Morel (1974), in the power law ``0.00096 (550 / nm)^4.32``;
* phytoplankton: Lee et al. (1998), Applied Optics 37, 6329-6338, with ``0.06 chlorophyll^0.65`` at 440 nm;
  backscattering Morel and Maritorena (2001), Journal of Geophysical Research 106, 7163-7180;
* mineral sediment: absorption Babin et al. (2003), Journal of Geophysical Research 108, 3211; backscattering 0.0075 m2
  per gram, the lower middle of what Neukermans et al. (2012), Limnology and Oceanography 57, 124-144, measured;
* coloured dissolved matter: ``exp(-0.015 (nm - 440))``; without another number it follows the phytoplankton (Morel and
  Maritorena) and the sediment.

With ``u = b / (a + b)`` the reflectance just below the surface is ``(0.0895 + 0.1247 u) u`` (Lee, Carder and Arnone
2002, Applied Optics 41, 5755-5772), above it ``0.52 r / (1 - 1.7 r)``. A bottom in sight is added as in Lee et al.
(1999), Applied Optics 38, 3831-3843. Sky and sun that the surface mirrors are not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

REFRACTION = 1.333

# Wavelength [nm] and absorption of pure water [m-1].
# fmt: off
_ABSORPTION = (
    (400, 0.00663), (410, 0.00473), (420, 0.00454), (430, 0.00495), (440, 0.00635), (450, 0.00922), (460, 0.00979),
    (470, 0.0106), (480, 0.0127), (490, 0.015), (500, 0.0204), (505, 0.0256), (510, 0.0325), (515, 0.0396),
    (520, 0.0409), (530, 0.0434), (540, 0.0474), (550, 0.0565), (560, 0.0619), (570, 0.0695), (575, 0.0772),
    (580, 0.0896), (585, 0.11), (590, 0.1351), (595, 0.1672), (600, 0.2224), (605, 0.2577), (610, 0.2644),
    (620, 0.2755), (630, 0.2916), (640, 0.3108), (650, 0.34), (660, 0.41), (670, 0.439), (680, 0.465), (690, 0.516),
    (700, 0.624), (709.6, 0.8851), (719.4, 1.274), (729.5, 1.982), (739.6, 2.477), (749.9, 2.612), (760.3, 2.612),
    (769.1, 2.494), (779.8, 2.27), (790.7, 2.037), (799.8, 1.963), (809.1, 2.065), (820.4, 2.483), (829.9, 3.09),
    (839.5, 3.681), (849.2, 4.335), (859, 4.898), (871, 5.408), (879, 5.794), (889.2, 6.223), (899.5, 6.792),
    (909.9, 7.87), (920.4, 11.34), (929, 18.51), (939.7, 29.01), (950.6, 38.76), (959.4, 43.98), (970.5, 45.34),
    (979.5, 43.85), (990.8, 41.26), (1000, 37.7), (1020.9, 28.95), (1039.9, 20.42), (1059.3, 15.41), (1078.9, 15.47),
    (1099, 19.53), (1119.4, 29.51), (1129.8, 43.03), (1140.2, 65.58), (1150.8, 101.6), (1158.8, 115.9),
    (1180.3, 123.5), (1199.5, 125.7), (1219, 121.5), (1238.8, 115.5), (1258.9, 107.7), (1279.4, 111.9),
    (1300.2, 135.3), (1321.3, 181.8), (1339.7, 267.2), (1349, 377), (1361.4, 415.8), (1370.9, 532), (1380.4, 710.2),
    (1390, 958.3), (1399.6, 1374), (1409.3, 2265), (1419.1, 2831), (1438.8, 3170), (1458.8, 3105), (1479.1, 2564),
    (1499.7, 1884), (1520.5, 1439), (1541.7, 1175), (1559.6, 998.8), (1581.2, 850.9), (1599.6, 734.3),
    (1621.8, 643.9), (1640.6, 605.3), (1659.6, 560.1), (1678.8, 561), (1698.2, 572.9), (1721.9, 613.8),
    (1741.8, 686.1), (1762, 749.7), (1778.3, 861.2), (1798.9, 949.5), (1819.7, 952.8), (1840.8, 1059),
    (1849.3, 1265), (1862.1, 2163), (1879.3, 4831), (1901.1, 7674), (1909.9, 1.104e+04), (1932, 1.25e+04),
    (1949.8, 1.191e+04), (1967.9, 9886), (1990.7, 7889), (2009.1, 6194), (2027.7, 4989), (2051.2, 4130),
    (2070.1, 3475), (2089.3, 2938), (2108.6, 2624), (2128.1, 2344), (2147.8, 2168), (2167.7, 2032), (2187.8, 1950),
    (2197.9, 1932), (2218.2, 1932), (2238.7, 2004), (2259.4, 2168), (2280.3, 2366), (2301.4, 2559), (2317.4, 2773),
    (2338.8, 3221), (2360.5, 3648), (2382.3, 4178), (2398.8, 4764), (2421, 5559), (2437.8, 6442), (2460.4, 7516),
    (2477.4, 8670), (2500.3, 9550),
)

# Wavelength [nm] and the two coefficients of Lee et al. (1998): a = (first + second ln(p)) p with p = a(440).
_PIGMENTS = (
    (400, 0.6843, 0.0205), (410, 0.7782, 0.0129), (420, 0.8637, 0.0060), (430, 0.9603, 0.0020), (440, 1.0000, 0.0000),
    (450, 0.9634, 0.0060), (460, 0.9311, 0.0109), (470, 0.8697, 0.0157), (480, 0.7890, 0.0152), (490, 0.7558, 0.0256),
    (500, 0.7333, 0.0559), (510, 0.6911, 0.0865), (520, 0.6327, 0.0981), (530, 0.5681, 0.0969), (540, 0.5046, 0.0900),
    (550, 0.4262, 0.0781), (560, 0.3433, 0.0659), (570, 0.2950, 0.0600), (580, 0.2784, 0.0581), (590, 0.2595, 0.0540),
    (600, 0.2389, 0.0495), (610, 0.2745, 0.0578), (620, 0.3197, 0.0674), (630, 0.3421, 0.0718), (640, 0.3331, 0.0685),
    (650, 0.3502, 0.0713), (660, 0.5610, 0.1128), (670, 0.8435, 0.1595), (680, 0.7485, 0.1388), (690, 0.3890, 0.0812),
    (700, 0.1360, 0.0317), (710, 0.0545, 0.0128), (720, 0.0250, 0.0050), (730, 0.0000, 0.0000),
)
# fmt: on


@dataclass(frozen=True)
class Water:
    """What is in the water; each a number or an array of one shape ``(...)``.

    Args:
        sediment: suspended mineral matter [g m-3].
        chlorophyll: a [mg m-3].
        dissolved: absorption of coloured dissolved matter at 440 nm [m-1]; None = as the rest makes it likely.
    """

    sediment: ArrayLike = 5.0
    chlorophyll: ArrayLike = 2.0
    dissolved: ArrayLike | None = None


def pure_absorption(wavelength: ArrayLike) -> Values:
    """Absorption of pure water [m-1] at wavelengths [nm] from 400 to 2500, interpolated in its logarithm."""
    nodes, values = np.asarray(_ABSORPTION, np.float64).T
    return np.exp(np.interp(np.asarray(wavelength, np.float64), nodes, np.log(values)))


def water_reflectance(water: Water, wavelength: ArrayLike) -> Values:
    """Reflectance of deep water, ``pi`` times the remote sensing reflectance, ``(..., L)``."""
    a, b = _optics(water, np.asarray(wavelength, np.float64))
    return np.asarray(above_surface(_deep(b / (a + b))))


def below_surface(
    water: Water, wavelength: ArrayLike, depth: ArrayLike, sun_zenith: float, view_zenith: float
) -> tuple[Values, Values]:
    """Remote sensing reflectance just below the surface of water of a depth, in two parts.

    With a bottom of reflectance r it is ``own + seen r``; ``above_surface`` makes reflectance of it.

    Args:
        water: what is in it ``(...)``.
        wavelength: nanometres ``(L,)``.
        depth: metres ``(...)``.
        sun_zenith: degrees above the surface; the ray is refracted.
        view_zenith: degrees above the surface.

    Returns:
        own and seen [sr-1], ``(..., L)`` each.
    """
    a, b = _optics(water, np.asarray(wavelength, np.float64))
    u, extinction = b / (a + b), (a + b) * np.asarray(depth, np.float64)[..., None]
    down, up = 1.0 / _cosine_below(sun_zenith), 1.0 / _cosine_below(view_zenith)
    lost = np.exp(-extinction * (down + 1.03 * np.sqrt(1.0 + 2.4 * u) * up))
    passed = np.exp(-extinction * (down + 1.04 * np.sqrt(1.0 + 5.4 * u) * up))
    return _deep(u) * (1.0 - lost), passed / np.pi


def above_surface(below: NDArray[np.floating]) -> NDArray[np.floating]:
    """Reflectance from the remote sensing reflectance just below the surface, of the same shape and type."""
    return np.asarray(below * (np.pi * 0.52) / (1.0 - 1.7 * below), below.dtype)


def _optics(water: Water, wavelength: Values) -> tuple[Values, Values]:
    """Absorption and backscattering [m-1], ``(..., L)``."""
    sediment = np.maximum(np.asarray(water.sediment, np.float64), 0.0)[..., None]
    chlorophyll = np.maximum(np.asarray(water.chlorophyll, np.float64), 1e-3)[..., None]
    at_440 = 0.06 * chlorophyll**0.65
    nodes, first, second = np.asarray(_PIGMENTS, np.float64).T
    shape = np.interp(wavelength, nodes, first) + np.interp(wavelength, nodes, second) * np.log(at_440)
    likely = 0.2 * (0.0064 + at_440) + 0.04 * np.sqrt(sediment)
    dissolved = likely if water.dissolved is None else np.asarray(water.dissolved, np.float64)[..., None]
    absorption = (
        pure_absorption(wavelength)
        + np.maximum(shape, 0.0) * at_440
        + dissolved * np.exp(-0.015 * (wavelength - 440.0))
        + 0.041 * sediment * np.exp(-0.0123 * (wavelength - 443.0))
    )
    logarithm = np.log10(chlorophyll)
    slope = np.where(chlorophyll < 2.0, 0.5 * (logarithm - 0.3), 0.0)
    ratio = 0.002 + 0.01 * np.clip(0.5 - 0.25 * logarithm, 0.0, 1.0) * (wavelength / 550.0) ** slope
    backscattering = (
        0.000965 * (550.0 / wavelength) ** 4.32
        + ratio * 0.416 * chlorophyll**0.766
        + 0.0075 * sediment * (650.0 / wavelength) ** 0.5
    )
    return np.asarray(absorption), np.asarray(backscattering)


def _deep(u: Values) -> Values:
    return (0.0895 + 0.1247 * u) * u


def _cosine_below(zenith: float) -> float:
    return float(np.sqrt(1.0 - (np.sin(np.radians(zenith)) / REFRACTION) ** 2))
