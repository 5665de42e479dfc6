"""Water in and on the ground: soil moisture, snow cover, what rivers and lakes carry.

Soil moisture fills the pores left between the water that never leaves and saturation. How far, follows from the rain of
past days, from the drought that came before, and from the place: the foot of a slope and the bank of a stream stay wet
(the idea of TOPMODEL, Beven and Kirkby 1979, with the height above the drainage for the depth of the water table).
Pores are those of soil textures in Rawls, Brakensiek and Saxton (1982, Transactions of the ASAE 25, 1316-1320).
Snow cover follows from the water in the snow by the depletion curve of the Noah land model (Koren et al. 1999, Journal
of Geophysical Research 104, 19569-19585).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POROSITY = (0.464, 0.463, 0.475, 0.501, 0.437)
"""Total pore space [m3 m-3] by code of ``SOILS``: clay loam, loam, clay, silt loam, sand."""
RESIDUAL = (0.075, 0.027, 0.090, 0.015, 0.020)
"""Water that never leaves [m3 m-3], in the same order."""
_FILLING = (
    26.0,
    24.0,
    28.0,
    22.0,
    34.0,
)  # mm of past rain that fill 63 % of the free pores
_WATER_TABLE = 1.2  # metres above the drainage over which the water table falls out of reach
_MOIST_BANK = 0.6  # share of the free pores that the water table fills at the stream

_COVERED, _SHAPE = 40.0, 2.6  # mm of water in the snow that hide all ground; parameter of the depletion curve


def soil_moisture(
    antecedent_rain: Array,
    drought: Array,
    soil: NDArray[np.integer[Any]],
    height_above_drainage: NDArray[np.floating[Any]],
    patch: Array,
) -> Array:
    """Water content of the top five centimetres [m3 m-3].

    Args:
        antecedent_rain: past rain, each day ago counting a tenth less [mm].
        drought: Keetch-Byram drought index, 0 to 1.
        soil: codes of ``SOILS``.
        height_above_drainage: [m]; not finite counts as far above.
        patch: standard normal noise of patches.

    Returns:
        of the shape of its arguments, between residual water and pore space.
    """
    kind = soil.astype(np.int64)
    porosity, residual, filling = (np.asarray(row)[kind] for row in (POROSITY, RESIDUAL, _FILLING))
    from_rain = (1.0 - np.exp(-np.maximum(antecedent_rain, 0.0) / filling)) * (1.0 - 0.35 * drought)
    from_rain = from_rain + 0.25 * (1.0 - drought) * (1.0 - from_rain)
    above = np.nan_to_num(np.asarray(height_above_drainage, np.float64), nan=1e3, posinf=1e3, neginf=0.0)
    from_below = _MOIST_BANK * np.exp(-np.maximum(above, 0.0) / _WATER_TABLE) * (1.0 - 0.5 * drought)
    filled = 1.0 - (1.0 - from_rain) * (1.0 - from_below)
    return np.asarray(residual + (porosity - residual) * np.clip(filled * np.exp(0.08 * patch), 0.0, 1.0))


def snow_cover(snow_water: Array, patch: Array) -> Array:
    """Share of the ground under snow, ``1 - exp(-s W) + W exp(-s)`` with the snow W as a share of what hides all.

    Args:
        snow_water: water in the snow [mm].
        patch: standard normal noise of patches, which the wind fills or sweeps.
    """
    share = np.clip(snow_water / (_COVERED * np.exp(0.25 * patch)), 0.0, 1.0)
    return np.asarray(np.clip(1.0 - (np.exp(-_SHAPE * share) - share * np.exp(-_SHAPE)), 0.0, 1.0))


def sediment(body: Array, antecedent_rain: Array, level: Array) -> Array:
    """Suspended sediment [g m-3]: lognormal over waters (median 6), more after rain and with every metre of a flood.

    Args:
        body: standard normal noise, wide as waters are.
        antecedent_rain: [mm].
        level: of rivers above the usual [m].
    """
    carried = 6.0 * np.exp(0.9 * body) * (1.0 + np.clip(antecedent_rain, 0.0, 100.0) / 40.0) * (1.0 + 2.0 * level)
    return np.asarray(np.clip(carried, 0.2, 800.0))


def flood_load(river: Array, productivity: Array, level: Array) -> Array:
    """Suspended sediment of rivers in flood [g m-3], lognormal over rivers.

    At full banks the median is 300 where nothing covers the ground and falls with what grows there, as yields of
    sediment do (Langbein and Schumm 1958, Transactions of the American Geophysical Union 39, 1076-1084); means of
    rivers span tens to thousands (Meybeck et al. 2003, Global and Planetary Change 39, 65-93). It rises with the flow
    to the power 1.2, within the exponents of rating curves of Asselman (2000, Journal of Hydrology 234, 228-248).

    Args:
        river: standard normal noise, as wide as catchments are.
        productivity: growth of the place, as in ``Season``.
        level: of rivers above their banks [m]; 2.5 m are twice the flow of full banks.
    """
    source = 300.0 * np.exp(-1.2 * np.clip(productivity, 0.0, 1.5)) * np.exp(0.8 * river)
    return np.asarray(np.clip(source * (1.0 + level / 2.5) ** 1.2, 20.0, 2500.0))


def kept_afloat(depth: Array, plume: Array) -> Array:
    """Share of the load of a river that its flood still carries where it is shallow, 0.05 to 1.

    Water moves with the power 2/3 of its depth (Manning), and silt settles where it is slow: what flows 2 m deep
    carries all of it, what stands over meadows clears (Asselman and Middelkoop 1995, Earth Surface Processes and
    Landforms 20, 481-499, measured how the deposit changes over some hundred metres).

    Args:
        depth: of the flood water [m].
        plume: standard normal noise of some hundred metres.
    """
    return np.asarray(np.clip((depth / 2.0) ** (2.0 / 3.0) * np.exp(0.5 * plume), 0.05, 1.0))


def chlorophyll(body: Array, summer: Array, level: Array) -> Array:
    """Chlorophyll a of the water [mg m-3]: lognormal over waters, median 4 over the year; floods wash it out.

    Args:
        body: standard normal noise, wide as waters are.
        summer: 0 in winter to 1 in summer.
        level: of rivers above the usual [m].
    """
    return np.asarray(np.clip(4.0 * np.exp(0.8 * body) * (0.5 + summer) / (1.0 + level), 0.05, 120.0))
