"""When and where an image was taken, as numbers that are added to its tokens.

Szwarcman et al., "Prithvi-EO-2.0", arXiv 2412.02732: ``x + a_t e(year, day) + a_p e(latitude, longitude)`` with fixed
sines and cosines e and learned factors a. Year and day count in whole units, latitude and longitude in degrees; the
years are not centred. Either may be unknown for a sample, in training on purpose and in use by necessity: then nothing
is added. Ours names the four numbers, so that they cannot be swapped without a word, and knows for every sample whether
they are there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError

START = 0.1
"""First value of the learned factors."""
_YEARS = (1900, 2200)


@dataclass(frozen=True, eq=False)
class TimePlace:
    """Dates and places of B samples of T dates.

    ``TimePlace.of`` is the way to make one.

    Args:
        year: float64 ``(B, T)``, calendar years.
        day: float64 ``(B, T)``, days of the year from 0: 1 January is 0, 31 December 364, or 365 in leap years.
        latitude: float64 ``(B,)``, degrees north.
        longitude: float64 ``(B,)``, degrees east.
        time_known: bool ``(B,)``; what stands under False counts nowhere.
        place_known: bool ``(B,)``.
    """

    year: Tensor
    day: Tensor
    latitude: Tensor
    longitude: Tensor
    time_known: Tensor
    place_known: Tensor

    @classmethod
    def of(
        cls,
        *,
        year: Tensor | None = None,
        day: Tensor | None = None,
        latitude: Tensor | None = None,
        longitude: Tensor | None = None,
    ) -> TimePlace:
        """Checked dates and places; a pair that is left out is unknown for all samples.

        Days that were counted from 1 are refused where they can be told: 31 December is then outside of its year. Other
        days look alike in both counts.

        Args:
            year: ``(B, T)``.
            day: ``(B, T)``, from 0.
            latitude: ``(B,)``.
            longitude: ``(B,)``.

        Raises:
            ConfigError: half of a pair is given, or nothing.
            ContractError: shapes disagree.
            InputError: a number is out of range: latitude and longitude swapped, days counted from 1, and the like.
        """
        if (
            (year is None) != (day is None)
            or (latitude is None) != (longitude is None)
            or (year is None and latitude is None)
        ):
            given = {"year": year, "day": day, "latitude": latitude, "longitude": longitude}
            raise ConfigError(
                f"Of time and place came: {', '.join(name for name, part in given.items() if part is not None) or '-'}",
                expected="year with day, latitude with longitude, or all four",
                remedy="give whole pairs; TimePlace.unknown(samples) says that nothing is known",
            )
        batch = len(year if year is not None else latitude)  # type: ignore[arg-type]
        nothing = TimePlace.unknown(batch)
        made = nothing
        if year is not None and day is not None:
            _check_shapes("year", year, "day", day, ("sample", "date"))
            known = torch.ones(batch, dtype=torch.bool, device=year.device)
            made = replace(made, year=year.double(), day=day.double(), time_known=known)
            _check_days(made.year, made.day)
        if latitude is not None and longitude is not None:
            _check_shapes("latitude", latitude, "longitude", longitude, ("sample",))
            known = torch.ones(batch, dtype=torch.bool, device=latitude.device)
            made = replace(made, latitude=latitude.double(), longitude=longitude.double(), place_known=known)
            _check_places(made.latitude, made.longitude)
        if len(made.year) != len(made.latitude):
            raise ContractError(
                f"Time is given for {len(made.year)} samples and place for {len(made.latitude)}",
                expected="one of each per sample",
                remedy="repeat what samples share",
            )
        return made

    @classmethod
    def unknown(cls, samples: int) -> TimePlace:
        """Neither time nor place is known."""
        empty, known = torch.zeros(samples, dtype=torch.float64), torch.zeros(samples, dtype=torch.bool)
        return cls(empty[:, None], empty[:, None], empty, empty, known, known)

    @property
    def samples(self) -> int:
        """Number of samples B."""
        return int(self.year.shape[0])

    def dropped(self, noise: Tensor, rate: float) -> TimePlace:
        """Time and place forgotten, each by itself and sample by sample, as in pretraining.

        Args:
            noise: ``(B, 2)`` uniform from 0 to 1, for time and place.
            rate: share that is forgotten; 0.1 as published.

        Raises:
            ConfigError: the rate is not from 0 to 1.
            ContractError: the noise has another shape.
        """
        if not 0 <= rate <= 1:
            raise ConfigError(f"The rate of dropping is {rate}", expected="0 to 1", remedy="0.1 as published")
        if tuple(noise.shape) != (self.samples, 2):
            raise ContractError(
                f"The noise has shape {tuple(noise.shape)}",
                expected=f"({self.samples}, 2): a number for time and one for place of each sample",
                remedy="draw it with masking.draw_noise",
            )
        kept = (noise >= rate).to(self.time_known.device)
        return replace(self, time_known=self.time_known & kept[:, 0], place_known=self.place_known & kept[:, 1])

    def rows(self, part: Tensor | slice) -> TimePlace:
        """Some of the samples."""
        return TimePlace(
            self.year[part],
            self.day[part],
            self.latitude[part],
            self.longitude[part],
            self.time_known[part],
            self.place_known[part],
        )

    def to(self, device: torch.device | str) -> TimePlace:
        """The same on another device."""
        return TimePlace(*(part.to(device) for part in vars(self).values()))


class TimeEncoding(nn.Module):
    """``a [e(year), e(day)]`` per date, with a learned factor a.

    Args:
        width: numbers D per token; half of them tell the year.

    Raises:
        ConfigError: 4 does not divide ``width``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = _halved(width)
        self.scale = nn.Parameter(torch.full((1,), START))

    def forward(self, about: TimePlace, dates: int) -> Tensor:
        """``(B, dates, D)``, 0 where the time is not known.

        Raises:
            ContractError: there are other numbers of dates.
        """
        known = about.time_known
        if not known.is_meta and not bool(known.any()):
            return self.scale * self.scale.new_zeros(about.samples, dates, self.width)
        if about.year.shape[1] != dates:
            raise ContractError(
                f"The images have {dates} dates and the times {about.year.shape[1]}",
                expected="one year and day per date of the images",
                remedy="give a time for every date, also for those without valid pixels",
            )
        return _pair(about.year, about.day, known[:, None, None], self.scale, self.width)


class PlaceEncoding(nn.Module):
    """``a [e(latitude), e(longitude)]`` per sample, with a learned factor a.

    Args:
        width: numbers D per token; half of them tell the latitude.

    Raises:
        ConfigError: 4 does not divide ``width``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = _halved(width)
        self.scale = nn.Parameter(torch.full((1,), START))

    def forward(self, about: TimePlace) -> Tensor:
        """``(B, 1, D)``, 0 where the place is not known."""
        return _pair(about.latitude, about.longitude, about.place_known[:, None], self.scale, self.width)[:, None]


def waves(numbers: Tensor, width: int) -> Tensor:
    """``[sin(p w_k)]_k, [cos(p w_k)]_k`` with ``w_k = 10000^(-2k/d)``, computed in the precision of the numbers.

    The published weights were trained with single precision all the way. For years around 2000 its angles are off by
    up to 1e-4, so that other arithmetic would give other tokens; ``positions.sine_cosine`` is the exact one.

    Args:
        numbers: p, any shape.
        width: d, even.

    Returns:
        ``(*numbers.shape, width)``.
    """
    rate = torch.arange(width // 2, dtype=numbers.dtype, device=numbers.device) / (width / 2)
    angle = numbers[..., None] * (1.0 / 10000**rate)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _pair(first: Tensor, second: Tensor, known: Tensor, scale: Tensor, width: int) -> Tensor:
    # Half precision cannot tell two years apart, so that single is the least.
    precision = torch.float64 if scale.dtype == torch.float64 else torch.float32
    parts = [waves(part.to(scale.device, precision), width // 2) for part in (first, second)]
    encoded = scale * torch.cat(parts, dim=-1).to(scale.dtype)
    return torch.where(known.to(scale.device), encoded, 0.0)


def _halved(width: int) -> int:
    if width < 4 or width % 4:
        raise ConfigError(
            f"The encoding of time or place has width {width}", expected="a multiple of 4", remedy="change the width"
        )
    return width


def _check_shapes(name: str, first: Tensor, other: str, second: Tensor, axes: tuple[str, ...]) -> None:
    if first.ndim != len(axes) or first.shape != second.shape:
        raise ContractError(
            f"'{name}' has shape {tuple(first.shape)} and '{other}' {tuple(second.shape)}",
            expected=f"both ({', '.join(axes)})",
            remedy="give both numbers for every sample" + (" and date" if len(axes) == 2 else ""),
        )


def _check_days(year: Tensor, day: Tensor) -> None:
    if year.is_meta:
        return
    if not bool(((year >= _YEARS[0]) & (year <= _YEARS[1])).all()):
        raise InputError(
            f"The years run from {year.min():g} to {year.max():g}",
            expected=f"calendar years from {_YEARS[0]} to {_YEARS[1]}",
            remedy="give year and day of the year under their names; they may be swapped",
        )
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    wrong = ~((day >= 0) & (day < 365 + leap))
    if bool(wrong.any()):
        raise InputError(
            f"The day of the year is {day[wrong][0]:g} in {year[wrong][0]:.0f}",
            expected="days counted from 0: 1 January is 0, 31 December 364 (365 in leap years)",
            remedy="take 1 from days that were counted from 1; Modality.year_doy() counts from 0",
        )


def _check_places(latitude: Tensor, longitude: Tensor) -> None:
    if latitude.is_meta:
        return
    wrong = ~(latitude.abs() <= 90)
    if bool(wrong.any()):
        raise InputError(
            f"The latitude is {latitude[wrong][0]:g} (and the longitude {longitude[wrong][0]:g})",
            expected="degrees from -90 to 90",
            remedy="latitude and longitude may be swapped; projected coordinates have to become degrees first",
        )
    wrong = ~((longitude >= -180) & (longitude <= 360))
    if bool(wrong.any()):
        raise InputError(
            f"The longitude is {longitude[wrong][0]:g}",
            expected="degrees from -180 to 180",
            remedy="convert projected coordinates to degrees first",
        )
