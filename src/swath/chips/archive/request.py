"""What chips from an archive are asked to be: size, dates, tolerance, clouds, masks, labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from swath.chips.archive.masks import Strategy, check_strategy, check_types
from swath.chips.archive.sources import Source, bands_for, source_of
from swath.cubes.warp import check_method
from swath.errors import ConfigError, InputError, nearest
from swath.sensors import BandSet

Rule = Literal["least-cloudy", "nearest-date"]
Conflict = Literal["nearest", "unlabelled"]
Kind = Literal["segmentation", "regression"]
_DAY = np.timedelta64(86_400_000_000_000, "ns")


@dataclass(frozen=True)
class Request:
    """How chips are made from an archive.

    Args:
        size: rows and columns of a chip.
        steps: dates of a chip; 1 without ``time_series``.
        step_days: days from one date back to the one before it.
        tolerance_days: most days between a date wanted and a scene.
        tolerance_minutes: minutes on top of them.
        source: ``hls``, ``s2``, ``s2_l1c`` or ``s1``.
        bands: names of bands; the common bands of the source when left out.
        collections: ids of collections to search; all when left out.
        max_cloud: most cloud cover of a scene in percent; scenes that do not tell theirs count as 100. Radar has none.
        rule: ``least-cloudy``: of the scenes within tolerance the one with least cloud, then the nearest in time;
            ``nearest-date``: the other way round. Ties: the earlier scene, then collection and id in order.
        daytime: only scenes taken with the sun above the horizon of the observation.
        masks: types of pixels to hide, see ``masks``.
        strategy: ``each`` or ``any``, see ``masks``.
        time_series: the first date wanted lies ``step_days`` before the observation; else the observation's own.
        month_start: observations count from the first of their month.
        min_count: tiles of 100 km with fewer observations are left out.
        window: an observation labels the (2 w + 1)^2 pixels around its own.
        conflict: where windows with different labels meet: ``nearest``, the nearest observation wins and a draw is
            left unlabelled; ``unlabelled``, every disagreement is.
        task: ``segmentation`` (classes) or ``regression`` (a quantity per pixel).
        crs: CRS of the chips; that of the scenes when left out.
        resolution: pixel size in units of the CRS; that of the scenes when left out.
        resampling: nearest (stored numbers pass unchanged), bilinear or average (float32).
        physical: store reflectance or dB as float32, so that scenes stored in different ways go together.

    Raises:
        ConfigError: a word is unknown, or a number out of range.
    """

    size: int = 256
    steps: int = 3
    step_days: int = 30
    tolerance_days: float = 5.0
    tolerance_minutes: float = 0.0
    source: str = "hls"
    bands: tuple[str, ...] | None = None
    collections: tuple[str, ...] | None = None
    max_cloud: float = 10.0
    rule: Rule = "least-cloudy"
    daytime: bool = False
    masks: tuple[str, ...] = ()
    strategy: Strategy = "each"
    time_series: bool = True
    month_start: bool = False
    min_count: int = 1
    window: int = 0
    conflict: Conflict = "nearest"
    task: Kind = "segmentation"
    crs: str | None = None
    resolution: float | None = None
    resampling: str = "nearest"
    physical: bool = False

    def __post_init__(self) -> None:
        source = source_of(self.source)
        for name, value in (("bands", self.bands), ("collections", self.collections), ("masks", self.masks)):
            object.__setattr__(self, name, None if value is None else tuple(value))
        for name, least in (("size", 1), ("steps", 1), ("step_days", 1), ("min_count", 1), ("window", 0)):
            _whole(name, getattr(self, name), least)
        for name, most in (("tolerance_days", 36_525.0), ("tolerance_minutes", 1e7), ("max_cloud", 100.0)):
            _between(name, getattr(self, name), most)
        for name, options in (("rule", Rule), ("conflict", Conflict), ("task", Kind)):
            _word(name, getattr(self, name), get_args(options))
        check_strategy(self.strategy)
        check_method(self.resampling)
        object.__setattr__(self, "masks", check_types(self.masks, source.scheme))
        bands_for(source, self.band_names)
        if (self.crs is None) != (self.resolution is None):
            raise ConfigError(
                "Only one of CRS and resolution is given",
                expected="both, or neither for the grid of the scenes",
                remedy="give both, such as crs='EPSG:4326' and resolution=0.00027 (--crs and --resolution)",
            )
        if self.resolution is not None and not 0 < self.resolution < math.inf:
            raise ConfigError(f"resolution = {self.resolution}", expected="a positive number", remedy="change it")
        if self.crs is not None:
            crs_code(self.crs)

    @property
    def origin(self) -> Source:
        """The source."""
        return source_of(self.source)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands of the chips."""
        return self.origin.bands if self.bands is None else self.bands

    @property
    def band_set(self) -> BandSet:
        """The bands of the chips."""
        return bands_for(self.origin, self.band_names)

    @property
    def dates(self) -> int:
        """Dates of a chip."""
        return self.steps if self.time_series else 1

    @property
    def tolerance(self) -> np.timedelta64:
        """Most time between a date wanted and a scene."""
        seconds = self.tolerance_days * 86_400 + self.tolerance_minutes * 60
        return np.timedelta64(round(seconds * 1e9), "ns")

    @property
    def cloud_counts(self) -> bool:
        """Whether scenes have a cloud cover to choose by."""
        return self.origin.scheme is not None

    def wanted(self, when: Any) -> Any:
        """Dates wanted of observations ``(N,)``: datetime64 ``(N, T)``, the latest first."""
        first = np.asarray(when, "datetime64[ns]")
        if self.month_start:
            time = first - first.astype("datetime64[D]").astype("datetime64[ns]")
            first = first.astype("datetime64[M]").astype("datetime64[ns]") + time
        if self.time_series:
            first = first - self.step_days * _DAY
        return first[:, None] - np.arange(self.dates) * self.step_days * _DAY


def crs_code(text: str) -> str:
    """A CRS as users write it, short where it has a code.

    Raises:
        ConfigError: it is unknown.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        found = CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(
            f"The CRS '{text[:80]}' is unknown",
            expected="a code such as EPSG:4326 or EPSG:32633, or WKT",
            remedy="look it up at the source of the coordinates; longitude and latitude are EPSG:4326",
        ) from error
    code = found.to_epsg()
    return f"EPSG:{code}" if code else found.to_wkt()


def nothing(what: str, remedy: str) -> InputError:
    """The error for a table or archive in which nothing is left to do."""
    return InputError(what, expected="at least one observation with all of its scenes", remedy=remedy)


def _whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} = {value}", expected=f"a whole number of at least {least}", remedy=f"change {name}")


def _between(name: str, value: float, most: float) -> None:
    if not 0.0 <= value <= most:
        raise ConfigError(f"{name} = {value}", expected=f"a number from 0 to {most:g}", remedy=f"change {name}")


def _word(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ConfigError(
            f"{name} = '{value}'",
            expected=f"one of {', '.join(options)}",
            remedy=f"the nearest are: {nearest(value, options)}",
        )
