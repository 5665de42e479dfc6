"""Bands, band sets and the matching of one band set to another.

Bands are matched by name, then alias, then wavelength, never by position.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload

from swath.errors import InputError, nearest

Kind = Literal[
    "reflectance",
    "brightness_temperature",
    "radiance",
    "backscatter",
    "colour",
    "elevation",
    "index",
    "coordinate",
    "quality",
    "temperature",
    "pressure",
    "speed",
    "humidity",
    "geopotential",
    "precipitation",
    "fraction",
    "variable",
]


_DEFAULT_REACH_NM = 15.0
_PANCHROMATIC = "pan"


@dataclass(frozen=True)
class Band:
    """One channel of a sensor, or one variable of a model.

    Args:
        name: the canonical name, as the data provider writes it (``B04``, ``VV``, ``t2m``).
        aliases: other names of the same channel (``red``).
        wavelength_nm: centre wavelength in nanometres, where there is one.
        width_nm: full width at half maximum in nanometres.
        gsd_m: native ground sampling distance in metres.
        kind: the physical kind; bands of different kinds never match (``variable`` says that it is unknown).
        unit: unit after scaling (``1`` for reflectance, ``dB``, ``K``, ``m``).
        description: one line for people.

    Raises:
        InputError: the name is empty, or a wavelength or width is not a positive number.
    """

    name: str
    aliases: tuple[str, ...] = ()
    wavelength_nm: float | None = None
    width_nm: float | None = None
    gsd_m: float | None = None
    kind: Kind = "variable"
    unit: str = "1"
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "aliases", tuple(self.aliases))
        if not self.name.strip():
            raise InputError("A band has no name", expected="a name such as B04", remedy="name the band")
        for what, value in (("wavelength", self.wavelength_nm), ("width", self.width_nm)):
            if value is not None and not 0.0 < value < math.inf:
                raise InputError(
                    f"The {what} of the band '{self.name}' is {value} nm",
                    expected="a positive number of nanometres, or nothing",
                    remedy="leave it out where there is none; wavelengths in micrometres are multiplied by 1000",
                )

    def called(self, name: str) -> bool:
        """Whether ``name`` is this band's name or alias, whatever the case."""
        lowered = name.lower()
        return lowered == self.name.lower() or lowered in (alias.lower() for alias in self.aliases)


How = Literal["name", "alias", "wavelength"]


@dataclass(frozen=True)
class BandMatch:
    """Which source band serves each wanted band.

    Args:
        wanted: the bands asked for.
        available: the bands on offer.
        indices: for each wanted band the position in ``available``, or None.
        how: for each wanted band what made the match, or None.
    """

    wanted: BandSet
    available: BandSet
    indices: tuple[int | None, ...]
    how: tuple[How | None, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the wanted bands that no source band serves."""
        return tuple(band.name for band, index in zip(self.wanted, self.indices, strict=True) if index is None)

    def require(self) -> tuple[int, ...]:
        """The indices, if every wanted band is served.

        Raises:
            InputError: a wanted band has no source.
        """
        found = tuple(index for index in self.indices if index is not None)
        if self.missing:
            raise InputError(
                f"No source band serves {', '.join(self.missing)}; the source has {', '.join(self.available.names)}",
                expected=f"the bands {', '.join(self.wanted.names)} by name, alias or wavelength",
                remedy="choose a model for the bands that exist, or name the source's bands with --sensor or --bands",
            )
        return found

    def rows(self) -> list[tuple[str, str, str]]:
        """One row per wanted band for a printed table: wanted, source (or ``none``), how."""
        return [
            (band.name, "none" if index is None else self.available[index].name, how or "-")
            for band, index, how in zip(self.wanted, self.indices, self.how, strict=True)
        ]


@dataclass(frozen=True)
class BandSet(Sequence[Band]):
    """An ordered set of bands with unique names.

    Raises:
        InputError: two bands carry the same name.
    """

    bands: tuple[Band, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        index: dict[str, int] = {}
        for position, band in enumerate(self.bands):
            if band.name.lower() in index:
                raise InputError(
                    f"The band name '{band.name}' appears twice (positions {index[band.name.lower()]} and {position})",
                    expected="every band once",
                    remedy="drop or rename one of the two",
                )
            index[band.name.lower()] = position
        object.__setattr__(self, "_index", index)

    @classmethod
    def of(cls, *names: str, kind: Kind = "variable", unit: str = "1") -> BandSet:
        """A band set from bare names, for data without a known sensor."""
        return cls(tuple(Band(name, kind=kind, unit=unit) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names in order."""
        return tuple(band.name for band in self.bands)

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    @overload
    def __getitem__(self, item: int) -> Band: ...
    @overload
    def __getitem__(self, item: slice) -> BandSet: ...
    def __getitem__(self, item: int | slice) -> Band | BandSet:
        if isinstance(item, slice):
            return BandSet(self.bands[item])
        return self.bands[item]

    def __contains__(self, item: object) -> bool:
        """Whether a band, or a band called so, is in the set."""
        if isinstance(item, str):
            return any(band.called(item) for band in self.bands)
        return item in self.bands

    def position(self, name: str) -> int:
        """Position of the band called ``name`` (name first, then a unique alias).

        Raises:
            InputError: no band, or more than one by alias, is called so.
        """
        if name.lower() in self._index:
            return self._index[name.lower()]
        hits = [position for position, band in enumerate(self.bands) if band.called(name)]
        if len(hits) == 1:
            return hits[0]
        if hits:
            candidates = ", ".join(self.bands[hit].name for hit in hits)
            raise InputError(
                f"The band name '{name}' fits several bands: {candidates}",
                expected="a name that fits one band",
                remedy=f"write one of {candidates}",
            )
        known = list(itertools.chain.from_iterable((band.name, *band.aliases) for band in self.bands))
        raise InputError(
            f"There is no band '{name}'",
            expected=f"one of {', '.join(self.names)}",
            remedy=f"the nearest names are: {nearest(name, known)}",
        )

    def select(self, names: Iterable[str]) -> BandSet:
        """The bands called ``names``, in that order."""
        return BandSet(tuple(self.bands[self.position(name)] for name in _listed(names)))

    def match(self, wanted: BandSet | Iterable[str], tolerance_nm: float | None = None) -> BandMatch:
        """Find a source band in this set for each wanted band.

        Name beats alias beats wavelength, and a source band serves one wanted band only. Matching by wavelength needs
        the same kind on both sides and takes the nearest centre within ``tolerance_nm`` (default: half of the wider
        of the two bandwidths, 15 nm where no width is known). Ties in distance go to the narrower source band.
        Panchromatic bands match each other only. A name or alias counts only where kinds and wavelengths, if both
        sides know them, agree: the same kind, and centres as close as the default says.

        Args:
            wanted: the bands asked for; bare names match by name or alias only.
            tolerance_nm: largest distance of centre wavelengths in nanometres.
        """
        target = wanted if isinstance(wanted, BandSet) else BandSet.of(*_listed(wanted))
        indices: list[int | None] = [None] * len(target)
        how: list[How | None] = [None] * len(target)
        used: set[int] = set()
        for w, band in enumerate(target):
            position = self._index.get(band.name.lower())
            if position is not None and _same_channel(band, self.bands[position]):
                indices[w], how[w] = position, "name"
                used.add(position)
        for w, band in enumerate(target):
            if indices[w] is None:
                hits = [s for s, source in enumerate(self.bands) if s not in used and _alias_match(band, source)]
                if len(hits) == 1:
                    indices[w], how[w] = hits[0], "alias"
                    used.add(hits[0])
        for _, _, w, s in sorted(self._wavelength_pairs(target, tolerance_nm)):
            if indices[w] is None and s not in used:
                indices[w], how[w] = s, "wavelength"
                used.add(s)
        return BandMatch(target, self, tuple(indices), tuple(how))

    def _wavelength_pairs(self, target: BandSet, tolerance_nm: float | None) -> Iterator[tuple[float, float, int, int]]:
        """Candidate pairs as (distance, source width, wanted position, source position)."""
        for w, band in enumerate(target):
            for s, source in enumerate(self.bands):
                if band.wavelength_nm is None or source.wavelength_nm is None or band.kind != source.kind:
                    continue
                # A panchromatic band covers the channels of others without being any of them.
                if band.called(_PANCHROMATIC) != source.called(_PANCHROMATIC):
                    continue
                distance = abs(band.wavelength_nm - source.wavelength_nm)
                if distance <= (_reach(band, source) if tolerance_nm is None else tolerance_nm):
                    yield distance, source.width_nm or 0.0, w, s


def _listed(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple; one bare string is one name, not a list of letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _alias_match(wanted: Band, source: Band) -> bool:
    """Whether one of the wanted band's names is a name of the source band and the two may be the same channel."""
    return any(source.called(name) for name in (wanted.name, *wanted.aliases)) and _same_channel(wanted, source)


def _same_channel(wanted: Band, source: Band) -> bool:
    """Whether two bands of one name can be the same channel.

    Names of different sensors collide (B05 is near infrared in HLS L30 and red edge in HLS S30, B2 is blue on Landsat 8
    and green on Landsat 5, red is a display colour or a reflectance), so what both sides know has to agree.
    """
    if wanted.kind != source.kind and "variable" not in (wanted.kind, source.kind):
        return False
    if wanted.wavelength_nm is None or source.wavelength_nm is None:
        return True
    return abs(wanted.wavelength_nm - source.wavelength_nm) <= _reach(wanted, source)


def _reach(wanted: Band, source: Band) -> float:
    """How far apart in nanometres the centres of one channel may lie: half the wider of the two pass bands."""
    return max(wanted.width_nm or 0.0, source.width_nm or 0.0) / 2.0 or _DEFAULT_REACH_NM
