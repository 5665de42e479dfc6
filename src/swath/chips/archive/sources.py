"""What an archive is asked for: sensors that go together, their bands under common names, and their quality layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from swath import sensors
from swath.cubes.catalogue import Item
from swath.errors import ConfigError, InputError, nearest
from swath.sensors import Band, BandSet

SIX = ("blue", "green", "red", "nir_narrow", "swir_1", "swir_2")
"""The six bands that Landsat 8 and Sentinel-2 share, as foundation models of the land name them."""


@dataclass(frozen=True)
class Source:
    """Sensors whose scenes may stand in for one another in a chip.

    Args:
        name: what users call it.
        bands: common names, in order.
        of_sensor: for each sensor the band behind each common name.
        short: for each sensor the word that published file names use.
        scheme: quality scheme of its scenes, ``s2cloudless`` where masks are made from the bands, or None where there
            are no clouds.
        nodata: number that stands for "no data" in the published layout.
    """

    name: str
    bands: tuple[str, ...]
    of_sensor: Mapping[str, tuple[str, ...]]
    short: Mapping[str, str]
    scheme: str | None
    nodata: int


_S2 = ("B02", "B03", "B04", "B8A", "B11", "B12")
_L8 = ("B02", "B03", "B04", "B05", "B06", "B07")
SOURCES = {
    "hls": Source("hls", SIX, {"hls_l30": _L8, "hls_s30": _S2}, {"hls_l30": "L30", "hls_s30": "S30"}, "Fmask", 0),
    "s2": Source("s2", SIX, {"sentinel2_l2a": _S2}, {"sentinel2_l2a": "S2"}, "SCL", 0),
    "s2_l1c": Source("s2_l1c", SIX, {"sentinel2_l1c": _S2}, {"sentinel2_l1c": "S2"}, "s2cloudless", 0),
    "s1": Source("s1", ("vv", "vh"), {"sentinel1_grd": ("VV", "VH")}, {"sentinel1_grd": "S1"}, None, -1),
}


def source_of(name: str) -> Source:
    """The source of a name.

    Raises:
        ConfigError: it is unknown.
    """
    found = SOURCES.get(name.strip().lower())
    if found is None:
        raise ConfigError(
            f"The source '{name}' is unknown",
            expected=f"one of {', '.join(SOURCES)}",
            remedy=f"the nearest are: {nearest(name, SOURCES)}",
        )
    return found


def names_for(source: Source, wanted: Sequence[str], sensor: str) -> tuple[str, ...]:
    """The sensor's own names of the bands wanted, which are common names or names of the sensor.

    Raises:
        ConfigError: a band is unknown.
    """
    common = dict(zip(source.bands, source.of_sensor[sensor], strict=True))
    held = sensors.load(sensor).bands
    found = []
    for name in wanted:
        own = common.get(name.lower()) or next((band.name for band in held if band.called(name)), None)
        if own is None:
            raise ConfigError(
                f"The source '{source.name}' has no band '{name}' on {sensor}",
                expected=f"one of {', '.join((*source.bands, *held.names))}",
                remedy=f"the nearest are: {nearest(name, (*source.bands, *held.names))}",
            )
        found.append(own)
    return tuple(found)


def bands_for(source: Source, wanted: Sequence[str]) -> BandSet:
    """The bands of the chips: named as wanted, with what the first sensor of the source says of them."""
    first = next(iter(source.of_sensor))
    held = sensors.load(first).bands
    own = [held[held.position(name)] for name in names_for(source, wanted, first)]
    return BandSet(tuple(_named(band, name) for band, name in zip(own, wanted, strict=True)))


def _named(band: Band, name: str) -> Band:
    aliases = tuple(other for other in (band.name, *band.aliases) if other.lower() != name.lower())
    return replace(band, name=name, aliases=aliases)


def assets_for(item: Item, names: Sequence[str]) -> list[str]:
    """Names by which the item offers some bands of its sensor: the band's own, or one of its aliases.

    Raises:
        InputError: the item lacks a band.
    """
    held = sensors.load(str(item.sensor)).bands
    offered = {word.lower(): word for asset in item.data for word in (asset.name, *asset.bands)}
    found = []
    for name in names:
        band = held[held.position(name)]
        word = next((offered[each.lower()] for each in (name, *band.aliases) if each.lower() in offered), None)
        if word is None:
            raise InputError(
                f"The item '{item.id}' has no band '{name}'",
                expected=f"one of {', '.join(asset.name for asset in item.data) or 'none'}",
                remedy="leave the band out with bands= (--bands), or fetch the item again",
            )
        found.append(word)
    return found
