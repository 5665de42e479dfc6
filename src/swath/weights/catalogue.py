"""The list of published encoders: ``weights.toml`` and the records it is read into.

A fact stands once: wavelengths, kinds and units of satellite bands come from the sensor files, so the list only names
sensor and band.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swath import sensors
from swath.errors import InputError, nearest
from swath.sensors import Band, BandSet, Kind

Role = Literal["series", "weather", "map", "place", "category"]
"""How a band varies: ``series`` in time and space, ``weather`` in time (and space, if given so), ``map`` in space,
``place`` not at all; ``category`` is a series of class codes."""
SPREADS = 2.0
"""Standard deviations on each side of the mean that become 0 to 1."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PublishedBand(_Record):
    """One input of an encoder and its scaling, ``normalised = (value * factor + add) / divide``.

    Args:
        name: the name in swath: that of the sensor file where ``sensor`` names one.
        published: the name in the publication.
        sensor: sensor file that knows wavelength, kind and unit.
        aliases: other names, beside those of the sensor file.
        kind: physical kind, for bands without a sensor.
        unit: unit of the values, for bands without a sensor; ``stored`` is whatever the collection stores.
        group: group of bands that share a token.
        role: see ``Role``.
        factor: multiplies values before ``add`` (reflectance to the digital numbers of training).
        add: published shift; None where mean and std are given.
        divide: published divisor; None where mean and std are given.
        mean: published mean, in the unit of ``value * factor``.
        std: published standard deviation, likewise.
        range: what a value can be, where the kind of band does not tell already.
        middle: what the median over a batch can be.
    """

    name: str
    published: str
    group: str
    role: Role
    sensor: str | None = None
    aliases: tuple[str, ...] = ()
    kind: Kind = "variable"
    unit: str | None = None
    factor: float = 1.0
    add: float | None = None
    divide: float | None = Field(default=None, gt=0)
    mean: float | None = None
    std: float | None = Field(default=None, gt=0)
    range: tuple[float, float] | None = None
    middle: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _one_scaling(self) -> Self:
        given = [value is not None for value in (self.add, self.divide, self.mean, self.std)]
        if given not in ([True, True, False, False], [False, False, True, True]):
            raise ValueError(f"band '{self.name}' needs either add and divide, or mean and std")
        if (self.sensor is None) == (self.unit is None):
            raise ValueError(f"band '{self.name}' needs either a sensor or a unit")
        return self

    @property
    def scaling(self) -> tuple[float, float, float]:
        """``factor, add, divide``."""
        if self.add is not None and self.divide is not None:
            return self.factor, self.add, self.divide
        mean, std = self.mean or 0.0, self.std or 1.0
        return self.factor, SPREADS * std - mean, 2 * SPREADS * std

    @property
    def band(self) -> Band:
        """The band as swath matches it: name, aliases, wavelength, kind, unit."""
        if self.sensor is None:
            return Band(self.name, self.aliases, kind=self.kind, unit=self.unit or "1")
        bands = sensors.load(self.sensor).bands
        found = bands[bands.position(self.name)]
        return replace(found, aliases=(*found.aliases, *self.aliases))


class Weights(_Record):
    """The file that holds the weights.

    Args:
        file: its name.
        folder: folder below $SWATH_DATA where it may lie.
        address: where it is fetched, or None.
        sha256: of its bytes; None where nobody has checked them.
        bytes: its size, or None.
    """

    file: str = Field(pattern=r"^[\w.-]+$")
    folder: str = Field(pattern=r"^[\w.-]+$")
    address: str | None = Field(default=None, pattern=r"^https?://")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(default=None, gt=0)


class Statistics(_Record):
    """Where the scaling comes from."""

    source: str


class Entry(_Record):
    """All that is known about one published encoder.

    Args:
        name: the name by which users ask for it.
        title: one line for people.
        family: the module of ``swath.models`` that builds it.
        licence: of weights and code.
        citation: what to cite.
        repository: where it was published.
        revision: commit or tag there.
        embedding_dim: components of an embedding.
        numbers: numbers in the file of weights.
        most_steps: largest number of dates.
        level: processing level of the images it was trained on.
        marks: names of tensors that tell this family from others.
        notes: what users must know.
        bands: inputs in the order of training.
        weights: the file.
        statistics: where the scaling comes from.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    family: str
    licence: str
    citation: str
    repository: str
    revision: str
    embedding_dim: int = Field(gt=0)
    numbers: int | None = None
    most_steps: int = Field(gt=0)
    level: str
    marks: tuple[str, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    bands: tuple[PublishedBand, ...] = Field(min_length=1)
    weights: Weights
    statistics: Statistics

    @property
    def band_set(self) -> BandSet:
        """All inputs as swath matches them."""
        return BandSet(tuple(band.band for band in self.bands))


class _File(_Record):
    encoders: tuple[Entry, ...]


def names() -> list[str]:
    """Names of the encoders, sorted."""
    return sorted(_entries())


def is_name(name: object) -> bool:
    """Whether ``name`` is text that names an encoder (a path never does)."""
    return isinstance(name, str) and name in _entries()


def entry(name: str) -> Entry:
    """What is known about the encoder called ``name``.

    Raises:
        InputError: there is none.
    """
    known = _entries()
    if name not in known:
        raise InputError(
            f"There are no weights called '{name}'",
            expected=f"one of {', '.join(sorted(known))}",
            remedy=f"the nearest are: {nearest(name, known)}; 'swath weights' lists them",
        )
    return known[name]


def family_of(tensors: set[str]) -> str | None:
    """The encoder whose marks are all among some names of tensors, or None."""
    for found in _entries().values():
        if all(any(name.startswith(mark) for name in tensors) for mark in found.marks):
            return found.name
    return None


def parse(text: str, where: str) -> dict[str, Entry]:
    """Entries by name from the text of a TOML file.

    Raises:
        InputError: the text is no TOML, or a key is unknown, missing or out of range.
    """
    try:
        found = _File.model_validate(tomllib.loads(text)).encoders
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"The list of weights {where} has {error.error_count()} faults, the first at {place}: {first['msg']}",
            expected="the keys of swath's weights.toml",
            remedy="compare it with the packaged one",
        ) from error
    except ValueError as error:
        raise InputError(
            f"The list of weights {where} is not TOML: {error}", expected="TOML", remedy="correct the line"
        ) from error
    return {item.name: item for item in found}


@lru_cache(maxsize=1)
def _entries() -> dict[str, Entry]:
    text = (resources.files("swath.weights") / "weights.toml").read_text(encoding="utf-8")
    return parse(text, "weights.toml")
