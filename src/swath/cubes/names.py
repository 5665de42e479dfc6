"""Which band is which: names from the user, the file, the sensor, or the file name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from swath.errors import InputError
from swath.sensors import Band, BandSet

_COMMON = re.compile(r"B\d{1,2}[A-C]?|VV|VH|HH|HV|SCL|Fmask|DEM", re.IGNORECASE)
_SEPARATORS = re.compile(r"[_\-.\s]+")


def bands_in_file(
    path: str, count: int, descriptions: Sequence[str | None], sensor: BandSet | None, names: Sequence[str] | None
) -> BandSet:
    """The bands of a file with several bands.

    Names come from the user, else from the file's band descriptions, else from the sensor where the counts agree, else
    they are ``band_1``, ``band_2``, ... With a sensor every name must be one of its bands.

    Raises:
        InputError: names and bands differ in number, a name appears twice, or the sensor has no such band.
    """
    if names is not None:
        _check_count(path, count, len(names), f"{len(names)} names were given ({', '.join(names)})")
        return sensor.select(names) if sensor is not None else BandSet.of(*names)
    described = _described(descriptions)
    if sensor is None:
        return BandSet.of(*(described or [f"band_{number}" for number in range(1, count + 1)]))
    if described and all(_has(sensor, name) for name in described):
        return sensor.select(described)
    _check_count(path, count, len(sensor), f"the sensor has {len(sensor)} ({', '.join(sensor.names)})")
    return sensor


def band_of_single(path: str, description: str | None, sensor: BandSet | None, name: str | None) -> Band:
    """The band of a file with one band: from the user, the description, or a part of the file name (``_B04.tif``).

    Raises:
        InputError: a sensor was named and none of its bands fits.
    """
    if name is not None:
        return sensor[sensor.position(name)] if sensor is not None else BandSet.of(name)[0]
    stem = Path(path).stem
    parts = [part for part in reversed(_SEPARATORS.split(stem)) if part]
    if sensor is None:
        described = (description or "").strip()
        return BandSet.of(described or next((part for part in parts if _COMMON.fullmatch(part)), stem))[0]
    for candidate in [description or "", *parts]:
        if candidate and _has(sensor, candidate):
            return sensor[sensor.position(candidate)]
    if len(sensor) == 1:
        return sensor[0]
    raise InputError(
        f"No part of the file name '{Path(path).name}' is a band of the sensor",
        expected=f"one of {', '.join(sensor.names)} between underscores, hyphens or dots, such as SCENE_B04.tif",
        remedy="rename the file, leave it out of the list, or give bands= (--bands) with one name per file",
    )


def is_alpha(
    alpha: int | None, descriptions: Sequence[str | None], names: Sequence[str] | None, sensor: BandSet | None
) -> bool:
    """Whether a band marked as alpha is a mask: yes, unless user or sensor has a name for it.

    Near infrared is often mislabelled: GDAL marks the fourth of four bands of 8 bits so. A sensor has a name for it
    where it has as many bands as the file, or one called as the file describes it.
    """
    count = len(descriptions)
    if alpha is None or count == 1:
        return False
    if names is not None:
        return len(names) == count - 1
    return sensor is None or not (len(sensor) == count or _has(sensor, (descriptions[alpha] or "").strip()))


def _described(descriptions: Sequence[str | None]) -> list[str] | None:
    names = [(text or "").strip() for text in descriptions]
    return names if all(names) else None


def _has(sensor: BandSet, name: str) -> bool:
    try:
        sensor.position(name)
    except InputError:
        return False
    return True


def _check_count(path: str, count: int, given: int, what: str) -> None:
    if count != given:
        raise InputError(
            f"The file '{path}' has {count} bands, but {what}",
            expected=f"{count} names, in the order of the file",
            remedy="give bands= (--bands) with one name per band in the file",
        )
