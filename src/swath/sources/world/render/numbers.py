"""From reflectance above the atmosphere to stored numbers: noise of the detector, saturation, rounding.

Every sensor measures radiance. With the irradiance E of the sun at one astronomical unit, its zenith angle z and
distance d, reflectance rho stands for the radiance ``L = rho E cos(z) / (pi d^2)``. Noise has the variance
``a + b L`` (``instrument.py``) and is hashed from the absolute place of a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from swath import sensors
from swath.rng import key as named_key
from swath.sensors import Scaling
from swath.sources.world import noise
from swath.sources.world.render.instrument import Instrument
from swath.sources.world.render.resolution import Rectangle


@dataclass(frozen=True)
class Exposure:
    """How one band turns reflectance into what its detector counts, for one sun.

    Args:
        gain: radiance per unit of reflectance [W m-2 sr-1 um-1].
        noise: the constants (a, b) of the variance of the radiance.
        largest: reflectance at which the detector saturates; infinite where only its counter does.
        factor: what level 1 stores per unit of reflectance (1, the cosine of the sun's zenith angle, or ``gain``).
        scale, offset: of the stored numbers of level 1.
        top: the largest of these numbers.
    """

    gain: float
    noise: tuple[float, float]
    largest: float
    factor: float
    scale: float
    offset: float
    top: float

    def variance(self, reflectance: float) -> float:
        """Of the noise, in units of reflectance squared."""
        return (self.noise[0] + self.noise[1] * reflectance * self.gain) / self.gain**2


def exposures(
    tool: Instrument, names: tuple[str, ...], raw: Scaling, sun_zenith: float, distance: float
) -> tuple[Exposure, ...]:
    """One exposure per band.

    Args:
        tool: the instrument.
        names: of the bands in the observed sensor's file.
        raw: scaling of the same bands at level 1, in the same order.
        sun_zenith: degrees.
        distance: to the sun [astronomical units].
    """
    cosine = math.cos(math.radians(sun_zenith))
    found = []
    for position, name in enumerate(names):
        channel = tool.channels[name]
        gain = channel.irradiance * cosine / (math.pi * distance**2)
        factor = gain if raw.bands[position].kind == "radiance" else cosine if tool.raw[0] == "landsat8_oli" else 1.0
        largest = math.inf if channel.saturation is None else channel.saturation / gain
        scale, offset = float(raw.scale[position]), float(raw.offset[position])
        top = 65534.0 if raw.saturated is None else raw.saturated - 1.0
        if math.isfinite(raw.high[position]):
            top = min(top, math.floor((float(raw.high[position]) - offset) / scale))
        found.append(Exposure(gain, channel.noise, largest, factor, scale, offset, top))
    return tuple(found)


def measure(
    reflectance: NDArray[np.float32], exposure: Exposure, normals: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Reflectance as read back from level 1: with noise, rounding and the limits of the counter.

    Args:
        reflectance: at the top of the atmosphere, float32 ``(H, W)``.
        exposure: of the band.
        normals: standard normal numbers ``(H, W)``, or None for a detector without noise.

    Returns:
        float32 ``(H, W)``, and where the detector or its counter saturates.
    """
    seen = reflectance
    if normals is not None:
        constant = np.float32(exposure.noise[0] / exposure.gain**2)
        slope = np.float32(exposure.noise[1] / exposure.gain)
        deviation = np.sqrt(constant + slope * np.maximum(reflectance, np.float32(0.0)))
        seen = reflectance + normals * deviation
    stored = np.rint((seen * np.float32(exposure.factor) - np.float32(exposure.offset)) / np.float32(exposure.scale))
    full = (stored > np.float32(exposure.top)) | (seen >= np.float32(exposure.largest))
    stored = np.clip(stored, np.float32(1.0), np.float32(exposure.top))
    back = stored * np.float32(exposure.scale / exposure.factor) + np.float32(exposure.offset / exposure.factor)
    return back, full


def normals_of(key: int, place: Rectangle, count: int) -> list[NDArray[np.float32]]:
    """Independent standard normal numbers for ``count`` bands, by the absolute place of pixels.

    Sixteen hashed bits a number: quantiles of 65,536 equal shares, at most 4.3 standard deviations.

    Args:
        key: of the noise.
        place: rows and columns.
        count: of bands.

    Returns:
        ``count`` arrays, float32 ``(H, W)``.
    """
    rows = place.row + np.arange(place.height, dtype=np.int64)[:, None]
    columns = place.column + np.arange(place.width, dtype=np.int64)[None, :]
    found: list[NDArray[np.float32]] = []
    for band in range(count):
        if band % 4 == 0:
            hashed = noise.bits(key + band // 4, rows, columns)
        found.append(_quantiles()[(hashed >> np.uint64(16 * (band % 4))).astype(np.uint16)])
    return found


@lru_cache(maxsize=1)
def _quantiles() -> NDArray[np.float32]:
    return ndtri((np.arange(65536) + 0.5) / 65536.0).astype(np.float32)


def noise_key(seed: int, sensor: str, time: np.datetime64, gsd: float) -> int:
    """The key of the noise of one scene on one native grid."""
    return named_key(seed, "detector noise", sensor, str(time.astype("datetime64[s]")), round(gsd))


def stored_type(scaling: Scaling) -> np.dtype[Any]:
    """The type of a product's numbers: what its no-data and saturated values need."""
    if scaling.nodata is not None and scaling.nodata < 0:
        return np.dtype(np.int16)
    return np.dtype(np.uint8 if scaling.saturated == 255 else np.uint16)


def encode(
    values: NDArray[np.float32],
    scaling: Scaling,
    band: int,
    absent: NDArray[np.bool_],
    full: NDArray[np.bool_],
) -> NDArray[Any]:
    """Stored numbers of one band.

    Args:
        values: in the unit of the product, float32 ``(H, W)``.
        scaling: of the product.
        band: position in it.
        absent: where there are no data.
        full: where the detector saturates.

    Returns:
        ``(H, W)`` of ``stored_type``: never the no-data value or the value of saturation by accident.
    """
    kind = stored_type(scaling)
    limits = np.iinfo(kind)
    low, high = float(limits.min), float(limits.max)
    if scaling.nodata is not None:
        low = scaling.nodata + 1.0
    if scaling.saturated is not None:
        high = scaling.saturated - 1.0
    scale, offset = float(scaling.scale[band]), float(scaling.offset[band])
    low = max(low, math.ceil((float(scaling.low[band]) - offset) / scale)) if math.isfinite(scaling.low[band]) else low
    high = (
        min(high, math.floor((float(scaling.high[band]) - offset) / scale))
        if math.isfinite(scaling.high[band])
        else high
    )
    numbers = np.rint((values - np.float32(offset)) * np.float32(1.0 / scale))
    stored = np.clip(numbers, np.float32(low), np.float32(high)).astype(kind)
    if scaling.saturated is not None:
        stored[full] = kind.type(int(scaling.saturated))
    stored[absent] = kind.type(int(scaling.nodata or 0))
    return stored


def raw_scaling(tool: Instrument, sensor: str, names: tuple[str, ...], baseline: str | None, time: Any) -> Scaling:
    """How level 1 stores the bands of a product, in their order.

    Args:
        tool: the instrument.
        sensor: of the product.
        names: its bands.
        baseline: of level 1, where the caller knows it.
        time: of acquisition.
    """
    name, level = tool.raw
    raw = sensors.load(name)
    wanted = tuple(_raw_name(band) if sensor == "hls_l30" else band for band in names)
    if name == "landsat5_tm" and baseline is None:
        late = np.datetime64(time, "Y") >= np.datetime64("1992", "Y")
        baseline = "Landsat 5 from 1992" if late else "Landsat 5 before 1992"
    if name == "landsat7_etm" and baseline is None:
        baseline = "low gain"
    return raw.scaling(level, baseline=baseline, time=time, bands=wanted)


def _raw_name(name: str) -> str:
    """``B04`` of HLS is ``B4`` of Landsat."""
    return f"B{int(name[1:])}"
