"""What an optical instrument adds to a picture: noise, blur, saturation, and the hour it comes by. Tables with sources.

Radiances are in W m-2 sr-1 um-1. The noise of a band has the variance ``a + b * L``: where two points (radiance,
signal-to-noise ratio) are published both constants follow from them, where only one is, half of the variance at it is
taken to depend on the signal.

Sources:
- Sentinel-2: reference radiances and required signal-to-noise ratios of the ESA Sentinel-2 Mission Requirements
  Document (EOP-SM/1163/MR-dr) in the values that the Radiometric Uncertainty Tool uses (Gorrono et al. 2017, Remote
  Sensing 9, 178); saturation is the largest radiance of the same table; solar irradiance as in the metadata of
  Sentinel-2A products; modulation transfer at Nyquist 0.15 to 0.30 is required (0.45 at most at 60 m).
- Landsat 8: required ratios at typical and high radiance, Irons, Dwyer and Barsi (2012), Remote Sensing of Environment
  122, 11-21. The instrument is better than required; so are the others. Irradiance: Thuillier et al. (2003).
- Landsat 5 and 7: specified ratios of the Thematic Mapper at the lowest radiance and at the top of its range, Engel and
  Weinstein (1983), IEEE Transactions on Geoscience and Remote Sensing 21, 258-265, in-band radiance divided by the
  width of the band; the ETM+ is given the same. Irradiance: Chander, Markham and Helder (2009), Remote Sensing of
  Environment 113, 893-903.
- Hours of the overpass: mean local solar time at the descending node, 10:30 (Sentinel-2) and about 10:12 (Landsat 8;
  9:45 for Landsat 5, 10:00 for Landsat 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swath.errors import InputError, nearest

Scheme = Literal["SCL", "MSK_CLASSI", "Fmask", "QA_PIXEL"]


@dataclass(frozen=True)
class Channel:
    """One band as its detector sees it.

    Args:
        gsd_m: of the detector; products may deliver other pixels.
        irradiance: of the sun above the atmosphere at one astronomical unit [W m-2 um-1].
        points: (radiance, signal-to-noise ratio), one or two.
        saturation: radiance beyond which numbers say no more; None where the stored type is the limit.
        transfer: modulation transfer at the Nyquist frequency of ``gsd_m``, the detector's own width included.
    """

    gsd_m: float
    irradiance: float
    points: tuple[tuple[float, float], ...]
    saturation: float | None
    transfer: float

    @property
    def noise(self) -> tuple[float, float]:
        """The constants (a, b) of the variance ``a + b * L`` of the noise."""
        first = self.points[0]
        low = (first[0] / first[1]) ** 2
        if len(self.points) == 1:
            return 0.5 * low, 0.5 * low / first[0]
        second = self.points[1]
        slope = max(((second[0] / second[1]) ** 2 - low) / (second[0] - first[0]), 0.0)
        # A line through two points may fall below zero at no radiance: then all of the noise is the signal's.
        constant = low - slope * first[0]
        return (constant, slope) if constant >= 0.0 else (0.0, low / first[0])


@dataclass(frozen=True)
class Instrument:
    """What ``observe`` needs to know of a sensor beyond its TOML file.

    Args:
        channels: by name of the band in the sensor's file.
        hour: mean local solar time of the overpass.
        scheme: of the quality layer.
        quality_gsd_m: pixel of the quality layer.
        pixel_m: pixel that all bands are delivered at, or None: each at that of its detector.
        raw: sensor and level whose stored numbers the measurement goes through first.
        above: names of bands that stay as seen from above the atmosphere, whatever the level.
        surface: level names of reflectance at the ground.
    """

    channels: dict[str, Channel]
    hour: float
    scheme: Scheme
    quality_gsd_m: int
    pixel_m: int | None
    raw: tuple[str, str]
    above: tuple[str, ...] = ()
    surface: tuple[str, ...] = ()


def _msi(gsd: float, irradiance: float, radiance: float, ratio: float, largest: float) -> Channel:
    return Channel(gsd, irradiance, ((radiance, ratio),), largest, 0.30 if gsd == 60 else 0.25)


def _oli(irradiance: float, typical: tuple[float, float], high: tuple[float, float] | None) -> Channel:
    return Channel(30.0, irradiance, (typical,) if high is None else (typical, high), None, 0.28)


def _tm(irradiance: float, low: tuple[float, float], high: tuple[float, float]) -> Channel:
    return Channel(30.0, irradiance, (low, high), None, 0.30)


_MSI = {
    "B01": _msi(60, 1884.69, 129.11, 129, 588.0),
    "B02": _msi(10, 1959.66, 128.0, 154, 615.5),
    "B03": _msi(10, 1823.24, 128.0, 168, 559.0),
    "B04": _msi(10, 1512.06, 108.0, 142, 484.0),
    "B05": _msi(20, 1424.64, 74.6, 117, 449.5),
    "B06": _msi(20, 1287.61, 68.23, 89, 413.0),
    "B07": _msi(20, 1162.08, 66.7, 105, 387.0),
    "B08": _msi(10, 1041.63, 103.0, 174, 308.0),
    "B8A": _msi(20, 955.32, 52.39, 72, 308.0),
    "B09": _msi(60, 812.92, 8.77, 114, 233.0),
    "B10": _msi(60, 367.15, 6.0, 50, 45.0),
    "B11": _msi(20, 245.59, 4.0, 100, 70.0),
    "B12": _msi(20, 85.25, 1.7, 100, 24.5),
}

_OLI = {
    "B1": _oli(1895.33, (40.0, 130), (190.0, 290)),
    "B2": _oli(2004.57, (40.0, 130), (190.0, 360)),
    "B3": _oli(1820.75, (30.0, 100), (194.0, 390)),
    "B4": _oli(1549.49, (22.0, 90), (150.0, 340)),
    "B5": _oli(951.76, (14.0, 90), (150.0, 460)),
    "B6": _oli(247.55, (4.0, 100), (32.0, 540)),
    "B7": _oli(85.46, (1.7, 100), (11.0, 510)),
    "B9": _oli(366.97, (6.0, 50), None),
}

_LOW = {"B1": (42.0, 32), "B2": (30.0, 35), "B3": (19.4, 26), "B4": (13.6, 32), "B5": (3.7, 13), "B7": (1.8, 5)}
_HIGH = {"B1": (152, 85), "B2": (291, 170), "B3": (201, 143), "B4": (214, 240), "B5": (27.6, 75), "B7": (17.2, 45)}
_TM_SUN = {"B1": 1983.0, "B2": 1796.0, "B3": 1536.0, "B4": 1031.0, "B5": 220.0, "B7": 83.44}
_ETM_SUN = {"B1": 1997.0, "B2": 1812.0, "B3": 1533.0, "B4": 1039.0, "B5": 230.8, "B7": 84.90}

_L30 = {f"B0{name[1:]}": channel for name, channel in _OLI.items()}

INSTRUMENTS: dict[str, Instrument] = {
    "sentinel2_l1c": Instrument(_MSI, 10.5, "MSK_CLASSI", 60, None, ("sentinel2_l1c", "L1C")),
    "sentinel2_l2a": Instrument(
        {name: channel for name, channel in _MSI.items() if name != "B10"},
        10.5,
        "SCL",
        20,
        None,
        ("sentinel2_l1c", "L1C"),
        surface=("L2A",),
    ),
    "hls_s30": Instrument(
        _MSI, 10.5, "Fmask", 30, 30, ("sentinel2_l1c", "L1C"), above=("B09", "B10"), surface=("S30",)
    ),
    "hls_l30": Instrument(_L30, 10.2, "Fmask", 30, 30, ("landsat8_oli", "L1"), above=("B09",), surface=("L30",)),
    "landsat8_oli": Instrument(_OLI, 10.2, "QA_PIXEL", 30, 30, ("landsat8_oli", "L1"), surface=("L2",)),
    "landsat7_etm": Instrument(
        {name: _tm(sun, _LOW[name], _HIGH[name]) for name, sun in _ETM_SUN.items()},
        10.0,
        "QA_PIXEL",
        30,
        30,
        ("landsat7_etm", "L1"),
        surface=("L2",),
    ),
    "landsat5_tm": Instrument(
        {name: _tm(sun, _LOW[name], _HIGH[name]) for name, sun in _TM_SUN.items()},
        9.75,
        "QA_PIXEL",
        30,
        30,
        ("landsat5_tm", "L1"),
        surface=("L2",),
    ),
}
"""Optical sensors that can be simulated. Thermal and panchromatic bands are left out: a truth has no temperature."""

RADAR = "sentinel1_grd"


def instrument(sensor: str) -> Instrument:
    """The instrument of an optical sensor.

    Raises:
        InputError: there is none; names the nearest.
    """
    if sensor not in INSTRUMENTS:
        known = [*INSTRUMENTS, RADAR]
        raise InputError(
            f"The sensor '{sensor}' cannot be simulated",
            expected=f"one of {', '.join(known)}",
            remedy=f"the nearest are: {nearest(sensor, known)}",
        )
    return INSTRUMENTS[sensor]
