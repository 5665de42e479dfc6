"""What a sensor file may say: the TOML records and their validation."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swath.sensors.bands import Kind


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BandRecord(_Record):
    """One ``[[bands]]`` table; the fields are those of ``Band``."""

    name: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    wavelength_nm: float | None = Field(default=None, gt=0)
    width_nm: float | None = Field(default=None, gt=0)
    gsd_m: float | None = Field(default=None, gt=0)
    kind: Kind
    unit: str
    description: str = ""


class SpectrumRecord(_Record):
    """A ``[spectrum]`` table: the many bands of an imaging spectrometer, named by prefix and number from 1.

    ``aliases`` gives some of them further names, by the name of the band. Widths are one number for all, or one each.
    """

    prefix: str = Field(pattern=r"^[A-Za-z_]+$")
    kind: Kind
    unit: str
    gsd_m: float | None = Field(default=None, gt=0)
    wavelength_nm: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    width_nm: Annotated[float, Field(gt=0)] | tuple[Annotated[float, Field(gt=0)], ...]
    aliases: dict[str, tuple[str, ...]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bands, with as many digits as the largest number has."""
        count = len(self.wavelength_nm)
        return tuple(f"{self.prefix}{number:0{len(str(count))}d}" for number in range(1, count + 1))

    @model_validator(mode="after")
    def _lengths_and_names_fit(self) -> Self:
        if isinstance(self.width_nm, tuple) and len(self.width_nm) != len(self.wavelength_nm):
            raise ValueError(f"{len(self.width_nm)} widths for {len(self.wavelength_nm)} wavelengths")
        unknown = set(self.aliases) - set(self.names)
        if unknown:
            raise ValueError(f"aliases for unknown bands: {', '.join(sorted(unknown))}")
        return self

    def bands(self) -> tuple[BandRecord, ...]:
        """The bands, one record each."""
        count = len(self.wavelength_nm)
        widths = self.width_nm if isinstance(self.width_nm, tuple) else (self.width_nm,) * count
        return tuple(
            BandRecord(
                name=name,
                aliases=self.aliases.get(name, ()),
                wavelength_nm=wavelength,
                width_nm=width,
                gsd_m=self.gsd_m,
                kind=self.kind,
                unit=self.unit,
            )
            for name, wavelength, width in zip(self.names, self.wavelength_nm, widths, strict=True)
        )


class ProfileRecord(_Record):
    """A ``[[profiles]]`` table: one quantity on several pressure levels, as bands ``NAME_HPA`` such as ``t_850``.

    ``t850``, where no other band is called so, and ``LONG_850`` are further names.
    """

    name: str = Field(pattern=r"^[a-z]+$")
    long: str = Field(pattern=r"^[a-z_]+$")
    kind: Kind
    unit: str
    gsd_m: float | None = Field(default=None, gt=0)
    pressures_hpa: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    description: str = ""

    def bands(self, taken: frozenset[str]) -> tuple[BandRecord, ...]:
        """The bands, one record for each level; ``taken`` are names of other bands, in small letters."""
        return tuple(
            BandRecord(
                name=f"{self.name}_{level}",
                aliases=tuple(
                    alias for alias in (f"{self.name}{level}", f"{self.long}_{level}") if alias.lower() not in taken
                ),
                gsd_m=self.gsd_m,
                kind=self.kind,
                unit=self.unit,
                description=f"{self.description or self.long.replace('_', ' ')} at {level} hPa",
            )
            for level in self.pressures_hpa
        )


class StatisticsRecord(_Record):
    """A ``[[statistics]]`` table: published statistics of some bands in physical units, and where they come from."""

    name: str = Field(min_length=1)
    source: str = Field(min_length=1)
    bands: tuple[str, ...] = Field(min_length=1)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    minimum: tuple[float, ...] | None = None
    maximum: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _one_number_a_band(self) -> Self:
        pairs = {"mean and std": (self.mean, self.std), "minimum and maximum": (self.minimum, self.maximum)}
        if all(first is None and second is None for first, second in pairs.values()):
            raise ValueError("mean and std, or minimum and maximum, have to be given")
        for what, (first, second) in pairs.items():
            if (first is None) != (second is None):
                raise ValueError(f"{what} have to be given together")
            if any(values is not None and len(values) != len(self.bands) for values in (first, second)):
                raise ValueError(f"{what}: one number for each of the {len(self.bands)} bands")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("a standard deviation has to be above 0")
        ranges = zip(self.minimum or (), self.maximum or (), strict=True)
        if any(low >= high for low, high in ranges):
            raise ValueError("each minimum has to be below its maximum")
        return self


class ScaleRecord(_Record):
    """``physical = stored * scale + offset`` for some bands of a level; later records overrule earlier ones.

    The record is for the ``bands`` named, else for all bands of the ``kind``, else for all. ``becomes`` and ``unit``
    say what the physical number is where that differs from the band's own (radiance instead of temperature).
    """

    bands: tuple[str, ...] = ()
    kind: Kind | None = None
    scale: float = Field(default=1.0, gt=0)
    offset: float = 0.0
    unit: str | None = None
    becomes: Kind | None = None
    range: tuple[float, float] | None = None


class BaselineRecord(_Record):
    """One processing baseline: ``version`` and ``since`` are the first version and acquisition date it holds for."""

    name: str = Field(min_length=1)
    version: str | None = Field(default=None, pattern=r"^\d\d\.\d\d$")
    since: date | None = None
    scaling: tuple[ScaleRecord, ...] = (ScaleRecord(),)


class LevelRecord(_Record):
    """One processing level: which bands it holds and how they are stored."""

    title: str
    bands: tuple[str, ...] | None = None
    nodata: float | None = None
    saturated: float | None = None
    baselines: tuple[BaselineRecord, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _baselines_in_order(self) -> Self:
        for name, count in Counter(baseline.name.lower() for baseline in self.baselines).items():
            if count > 1:
                raise ValueError(f"the baseline '{name}' appears {count} times")
        for field in ("version", "since"):
            given = [value for baseline in self.baselines if (value := getattr(baseline, field)) is not None]
            if given != sorted(set(given)):
                raise ValueError(f"baselines must be in the order of '{field}', oldest first, each once")
        return self


class SensorRecord(_Record):
    """A whole sensor file; its bands are those of ``[[bands]]``, then of ``[spectrum]``, then of ``[[profiles]]``."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    sources: tuple[str, ...] = Field(min_length=1)
    bands: tuple[BandRecord, ...] = ()
    spectrum: SpectrumRecord | None = None
    profiles: tuple[ProfileRecord, ...] = ()
    levels: dict[str, LevelRecord] = Field(min_length=1)
    statistics: tuple[StatisticsRecord, ...] = ()

    @model_validator(mode="after")
    def _expanded(self) -> Self:
        """Put the bands of tables behind those that are written out, once."""
        plain = (*self.bands, *(() if self.spectrum is None else self.spectrum.bands()))
        taken = frozenset(name.lower() for band in plain for name in (band.name, *band.aliases))
        bands = (*plain, *(band for profile in self.profiles for band in profile.bands(taken)))
        if not bands:
            raise ValueError("a sensor has at least one band")
        object.__setattr__(self, "bands", bands)
        return self

    @model_validator(mode="after")
    def _names_known_and_unique(self) -> Self:
        called = Counter(name.lower() for band in self.bands for name in {band.name, *band.aliases})
        twice = [name for name, count in called.items() if count > 1]
        if twice:
            raise ValueError(f"several bands are called {', '.join(twice)}")
        known = {band.name for band in self.bands}
        for key, level in self.levels.items():
            held = known if level.bands is None else set(level.bands)
            if held - known:
                raise ValueError(f"level {key} names unknown bands: {', '.join(sorted(held - known))}")
            for baseline in level.baselines:
                unknown = {name for record in baseline.scaling for name in record.bands} - held
                if unknown:
                    raise ValueError(f"level {key}, {baseline.name}: no band {', '.join(sorted(unknown))}")
        for each in self.statistics:
            if set(each.bands) - known or len(set(each.bands)) < len(each.bands):
                raise ValueError(f"statistics {each.name}: bands are unknown or named twice")
        return self
