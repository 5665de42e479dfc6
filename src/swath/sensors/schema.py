"""What a sensor file may say: the TOML records and their validation."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Self

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
    """A whole sensor file."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    sources: tuple[str, ...] = Field(min_length=1)
    bands: tuple[BandRecord, ...] = Field(min_length=1)
    levels: dict[str, LevelRecord] = Field(min_length=1)

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
        return self
