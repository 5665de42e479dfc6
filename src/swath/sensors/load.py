"""Find and read sensor files."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from swath import limits
from swath.errors import InputError, nearest
from swath.reading import read_text, reading
from swath.sensors.bands import Band, BandSet
from swath.sensors.schema import BandRecord, BaselineRecord, LevelRecord, ScaleRecord, SensorRecord
from swath.sensors.sensor import Baseline, Level, PublishedStatistics, Scaling, Sensor, physical_range

_DATA = resources.files("swath.sensors") / "data"
_ZERO = re.compile(r"([A-Za-z]+)(0?)([1-9])")


def names() -> list[str]:
    """Names of the sensors that swath knows, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _DATA.iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Sensor:
    """A sensor by name, or from a TOML file of one's own.

    Args:
        name: one of ``names()``, or the path of a file that ends in ``.toml``.

    Raises:
        InputError: no such sensor, or the file is not as ``schema.SensorRecord`` says.
    """
    if str(name).endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"There is no sensor file {path}", expected="a TOML file", remedy="check the path")
        expected, remedy = "a TOML file", "compare it with a packaged one such as sentinel2_l2a.toml"
        limits.YAML_BYTES.check(path.stat().st_size, path)
        with reading(path, expected=expected, remedy=remedy):
            return parse(read_text(path, expected=expected), str(path))
    known = names()
    if str(name) not in known:
        raise InputError(
            f"There is no sensor '{name}'",
            expected=f"one of {', '.join(known)}",
            remedy=f"the nearest are: {nearest(str(name), known)}; or give the path of a sensor file (.toml)",
        )
    return _packaged(str(name))


@lru_cache(maxsize=64)
def _packaged(name: str) -> Sensor:
    sensor = parse((_DATA / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
    if sensor.name != name:
        raise InputError(
            f"The sensor file {name}.toml calls its sensor '{sensor.name}'",
            expected=name,
            remedy="rename one of the two",
        )
    return sensor


def parse(text: str, where: str) -> Sensor:
    """A sensor from the text of a TOML file.

    Args:
        text: TOML.
        where: file name, for the sentence.

    Raises:
        InputError: the text is no TOML, or a key is unknown, missing or out of range.
    """
    try:
        record = SensorRecord.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"The sensor file {where} has {error.error_count()} faults, the first at {place}: {first['msg']}",
            expected="the keys of the packaged sensor files",
            remedy="compare it with a packaged one such as sentinel2_l2a.toml",
        ) from error
    except (ValueError, RecursionError) as error:  # no TOML, nested too deeply, or a number of too many digits
        raise InputError(
            f"The sensor file {where} is not TOML: {error}", expected="TOML", remedy="correct the line"
        ) from error
    bands = BandSet(tuple(_band(band, record) for band in record.bands))
    levels = {key: _level(key, level, bands) for key, level in record.levels.items()}
    statistics = tuple(PublishedStatistics(**each.model_dump()) for each in record.statistics)
    return Sensor(record.name, record.title, bands, levels, record.sources, statistics)


def _band(record: BandRecord, sensor: SensorRecord) -> Band:
    """The band, with ``B4`` as another name of ``B04`` and the other way round, where that is nobody else's name."""
    taken = {name.lower() for band in sensor.bands for name in (band.name, *band.aliases)}
    other = None
    match = _ZERO.fullmatch(record.name)
    if match is not None:
        letters, zero, digit = match.groups()
        other = f"{letters}{digit}" if zero else f"{letters}0{digit}"
    aliases = record.aliases if other is None or other.lower() in taken else (*record.aliases, other)
    return Band(**{**record.model_dump(), "aliases": aliases})


def _level(name: str, record: LevelRecord, bands: BandSet) -> Level:
    held = bands if record.bands is None else bands.select(record.bands)
    baselines = tuple(_baseline(baseline, record, held) for baseline in record.baselines)
    # Kind and unit after scaling are a matter of the level; the baselines differ in numbers only.
    return Level(name, record.title, baselines[0].scaling.bands, record.nodata, record.saturated, baselines)


def _baseline(record: BaselineRecord, level: LevelRecord, bands: BandSet) -> Baseline:
    rules = [_rule_for(band, record.scaling) for band in bands]
    after = [
        replace(band, unit=rule.unit or band.unit, kind=rule.becomes or band.kind)
        for band, rule in zip(bands, rules, strict=True)
    ]
    ranges = [rule.range or physical_range(band.kind, band.unit) for band, rule in zip(after, rules, strict=True)]
    scaling = Scaling(
        bands=BandSet(tuple(after)),
        scale=_column([rule.scale for rule in rules]),
        offset=_column([rule.offset for rule in rules]),
        low=_column([low for low, _ in ranges]),
        high=_column([high for _, high in ranges]),
        nodata=level.nodata,
        saturated=level.saturated,
        baseline=record.name,
    )
    version = None if record.version is None else (int(record.version[:2]), int(record.version[3:]))
    return Baseline(record.name, scaling, version, record.since)


def _rule_for(band: Band, rules: tuple[ScaleRecord, ...]) -> ScaleRecord:
    """The last rule that names the band, its kind, or everything; stored numbers are physical where no rule does."""
    fitting = [
        rule
        for rule in rules
        if (band.name in rule.bands if rule.bands else rule.kind is None or rule.kind == band.kind)
    ]
    return fitting[-1] if fitting else ScaleRecord()


def _column(values: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    column = np.array(values, dtype=np.float64)
    column.flags.writeable = False  # sensors are cached and shared
    return column
