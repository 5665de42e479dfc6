"""A sensor: its bands, its processing levels, and the way from stored to physical numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError, nearest
from swath.sensors.bands import BandSet
from swath.units import dn_to_physical, possible_range

When: TypeAlias = str | date | datetime | np.datetime64


@dataclass(frozen=True, eq=False)
class Scaling:
    """How the numbers of some bands are stored: ``physical = stored * scale + offset``.

    Args:
        bands: C bands with the kind and unit they have after scaling.
        scale: float64 ``(C,)``.
        offset: float64 ``(C,)``.
        low: float64 ``(C,)``, smallest physically possible value, -inf where unknown.
        high: float64 ``(C,)``, largest physically possible value, inf where unknown.
        nodata: the stored number that means "no data", or None.
        saturated: the stored number that means "saturated", or None.
        baseline: name of the processing baseline.
    """

    bands: BandSet
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    nodata: float | None
    saturated: float | None
    baseline: str

    @property
    def unit(self) -> tuple[str, ...]:
        """Unit of each band after scaling."""
        return tuple(band.unit for band in self.bands)

    def select(self, names: Iterable[str]) -> Scaling:
        """The scaling of some bands, in the order of ``names``."""
        names = (names,) if isinstance(names, str) else tuple(names)
        chosen = [self.bands.position(name) for name in names]
        parts = {field: getattr(self, field)[chosen] for field in ("scale", "offset", "low", "high")}
        return replace(self, bands=self.bands.select(names), **parts)

    def same_as(self, other: Scaling) -> bool:
        """Whether both turn the same stored numbers of the same bands into the same physical ones."""
        return (
            self.bands == other.bands
            and bool(np.array_equal(self.scale, other.scale) and np.array_equal(self.offset, other.offset))
            and (self.nodata, self.saturated) == (other.nodata, other.saturated)
        )

    def valid(self, stored: NDArray[np.generic]) -> NDArray[np.bool_]:
        """True where a stored number is finite and neither no-data nor saturated; same shape."""
        usable: NDArray[np.bool_] = np.isfinite(stored)
        for number in (self.nodata, self.saturated):
            if number is not None:
                usable &= stored != number
        return usable

    def to_physical(self, stored: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Physical values and validity.

        Args:
            stored: ``(..., C, y, x)``, bands in the order of ``bands``.

        Returns:
            float32 values, 0 where invalid, and a bool array, both of the shape of ``stored``.

        Raises:
            InputError: the band axis does not fit.
        """
        if stored.ndim < 3 or stored.shape[-3] != len(self.bands):
            raise InputError(
                f"The array has the shape {stored.shape}",
                expected=f"(..., {len(self.bands)}, y, x) for the bands {', '.join(self.bands.names)}",
                remedy="keep axes of length 1, and name the bands that the array holds",
            )
        usable = self.valid(stored)
        safe = np.where(usable, stored, 0)
        values = dn_to_physical(safe, self.scale[:, None, None], self.offset[:, None, None])
        return np.where(usable, values, np.float32(0)), usable


@dataclass(frozen=True, eq=False)
class Baseline:
    """One processing baseline of a level.

    Args:
        name: what it is called in sentences and attributes.
        scaling: how its numbers are stored, for all bands of the level.
        version: first version it holds for (``(4, 0)`` for 04.00), or None.
        since: first acquisition date it holds for, or None for the beginning.
    """

    name: str
    scaling: Scaling
    version: tuple[int, int] | None = None
    since: date | None = None


@dataclass(frozen=True, eq=False)
class Level:
    """One processing level of a sensor.

    Args:
        name: as the provider writes it (``L2A``).
        title: one line for people.
        bands: the bands it holds, with the kind and unit they have after scaling.
        nodata: stored number without data, or None.
        saturated: stored number of saturated pixels, or None.
        baselines: processing baselines, oldest first.
    """

    name: str
    title: str
    bands: BandSet
    nodata: float | None
    saturated: float | None
    baselines: tuple[Baseline, ...]


@dataclass(frozen=True)
class PublishedStatistics:
    """Statistics of some bands in physical units, as somebody published them.

    Args:
        name: what they are called, such as the model that was trained with them.
        source: where they come from.
        bands: C names.
        mean: C numbers, or None.
        std: C numbers, or None.
        minimum: C numbers, or None.
        maximum: C numbers, or None.
    """

    name: str
    source: str
    bands: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    minimum: tuple[float, ...] | None = None
    maximum: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class Sensor:
    """A sensor as its TOML file describes it.

    Args:
        name: the name it is loaded by.
        title: one line for people.
        bands: all bands, of any level.
        levels: processing levels by name.
        sources: the documents the numbers come from.
        statistics: published statistics, each with its source.
    """

    name: str
    title: str
    bands: BandSet
    levels: Mapping[str, Level]
    sources: tuple[str, ...] = ()
    statistics: tuple[PublishedStatistics, ...] = ()

    def level(self, name: str | None = None) -> Level:
        """The level called ``name``, whatever the case; without a name the only one.

        Raises:
            InputError: there is no such level, or several and none was named.
        """
        if name is None and len(self.levels) == 1:
            return next(iter(self.levels.values()))
        found = {key.lower(): level for key, level in self.levels.items()}.get((name or "").lower())
        if found is not None:
            return found
        given = f"The sensor '{self.name}' has no level '{name}'"
        if name is None:
            given = f"No level was named for the sensor '{self.name}', which has several"
        raise InputError(
            given,
            expected=f"one of {', '.join(self.levels)}",
            remedy=f"the nearest are: {nearest(name, self.levels)}"
            if name
            else "name the level with level= or --level",
        )

    def scaling(
        self,
        level: str | None = None,
        *,
        baseline: str | None = None,
        time: When | None = None,
        bands: Iterable[str] | None = None,
    ) -> Scaling:
        """How numbers of a level are stored.

        Where a level has several processing baselines that differ for these bands, ``baseline`` chooses by name or
        version (``04.00``, ``0400``, ``N0509``), else ``time`` by date of acquisition. A version is the surer choice:
        archives are reprocessed, and an old date may come with a new version.

        Args:
            level: level name; may be left out where there is only one.
            baseline: name or version of the processing baseline.
            time: time of acquisition (UTC).
            bands: names of the bands wanted, in order; all bands of the level when left out.

        Raises:
            InputError: unknown level, baseline or band; or nothing tells which baseline it is.
        """
        chosen = self.level(level)
        names = chosen.bands.names if bands is None else (bands,) if isinstance(bands, str) else tuple(bands)
        if baseline is not None:
            return self._by_name(chosen, baseline).scaling.select(names)
        options = [option.scaling.select(names) for option in chosen.baselines]
        if all(option.same_as(options[0]) for option in options):
            return options[0]
        dated = any(option.since is not None for option in chosen.baselines)
        if time is None or not dated:
            either = [f"baseline= (one of {', '.join(repr(option.name) for option in chosen.baselines)})"]
            either += ["time= (date of acquisition)"] if dated else []
            raise InputError(
                f"Nothing tells which processing baseline of '{self.name}' level {chosen.name} the numbers come from",
                expected=" or ".join(either),
                remedy="look up the processing baseline in the metadata or the file name of the product",
            )
        when = _date(time)
        return [
            scaling
            for option, scaling in zip(chosen.baselines, options, strict=True)
            if option.since is None or option.since <= when
        ][-1]

    def to_physical(
        self,
        stored: NDArray[np.generic],
        level: str | None = None,
        *,
        baseline: str | None = None,
        time: When | None = None,
        bands: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Physical values and validity of stored numbers.

        Args:
            stored: ``(..., band, y, x)``.
            level: level name; may be left out where there is only one.
            baseline: name or version of the processing baseline.
            time: time of acquisition (UTC).
            bands: names of the bands on the band axis; all bands of the level when left out.

        Returns:
            float32 values, 0 where invalid, and a bool array, both of the shape of ``stored``.

        Raises:
            InputError: as ``scaling``, or the band axis does not fit.
        """
        return self.scaling(level, baseline=baseline, time=time, bands=bands).to_physical(stored)

    def rows(self) -> list[tuple[str, str, str, str, str, str, str]]:
        """One row per band for a printed table: name, aliases, wavelength, width, GSD, kind, unit."""
        return [
            (
                band.name,
                ", ".join(band.aliases),
                _number(band.wavelength_nm, "nm"),
                _number(band.width_nm, "nm"),
                _number(band.gsd_m, "m"),
                band.kind,
                band.unit,
            )
            for band in self.bands
        ]

    def _by_name(self, level: Level, baseline: str) -> Baseline:
        for option in level.baselines:
            if option.name.lower() == baseline.strip().lower():
                return option
        version = _version(baseline)
        versioned = [option for option in level.baselines if option.version is not None]
        if version is not None and versioned:
            reached = [option for option in versioned if option.version is not None and option.version <= version]
            if reached:
                return reached[-1]
            if level.baselines[0].version is None:
                return level.baselines[0]
        names = [option.name for option in level.baselines]
        versions = ", or a version such as 04.00" if versioned else ""
        raise InputError(
            f"The sensor '{self.name}' level {level.name} has no processing baseline '{baseline}'",
            expected=f"one of {', '.join(repr(name) for name in names)}{versions}",
            remedy=f"the nearest are: {nearest(baseline, names)}",
        )


def _version(text: str) -> tuple[int, int] | None:
    """``04.00``, ``4.0``, ``0400`` and ``N0400`` as (4, 0)."""
    match = re.fullmatch(r"[Nn]?(\d{1,2})\.(\d{1,2})|[Nn]?(\d\d)(\d\d)", text.strip())
    if match is None:
        return None
    major, minor = (part for part in match.groups() if part is not None)
    return int(major), int(minor)


def _date(time: When) -> date:
    """The UTC day of a time."""
    moment: object = time
    if isinstance(moment, np.datetime64):
        moment = None if np.isnat(moment) else moment.astype("datetime64[s]").item()
    elif isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            moment = None
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
    if isinstance(moment, date):
        return moment
    raise InputError(
        f"'{time}' is no time", expected="a date such as 2022-01-25", remedy="give the time of acquisition in UTC"
    )


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:g} {unit}"


def physical_range(kind: str, unit: str) -> tuple[float, float]:
    """The range of ``units.possible_range``, unbounded where there is none."""
    return possible_range(kind, unit) or (-np.inf, np.inf)
