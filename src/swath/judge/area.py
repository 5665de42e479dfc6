"""Design-based areas and accuracies of a map, from a stratified random sample with reference labels.

Counting the pixels of a map gives the area of its mistakes too. Here the area of a class comes from the reference
labels; the map serves to choose where to look. Strata are the classes of the map (Olofsson et al. 2014, Remote Sensing
of Environment 148, 42-57) or anything else (Stehman 2014, International Journal of Remote Sensing 35, 4923-4939); the
second estimators contain the first.

With W_h the share of area of stratum h and y a number of each point, the mean of y over the map is sum_h W_h mean_h(y).
Every figure is a ratio R = sum_h W_h mean_h(y) / sum_h W_h mean_h(x) of 0-1 numbers:

* overall accuracy: y = (map = reference), x = 1 (Olofsson equations 1 and 5);
* user's accuracy of k: y = (map = reference = k), x = (map = k) (equations 2 and 6);
* producer's accuracy of k: y the same, x = (reference = k) (equations 3 and 7);
* share of area of k: y = (reference = k), x = 1 (equations 8 to 11).

Variance (Stehman's for a ratio): sum_h W_h^2 s_h^2(y - R x) / n_h / (sum_h W_h mean_h(x))^2, s^2 with n_h - 1. There is
no finite-population correction, as in Olofsson et al., except that a stratum that was labelled whole has no variance.
Intervals are estimate +- z SE with the normal quantile z (1.96 for 95 %), cut off at what is possible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from swath.errors import ConfigError, InputError
from swath.files import write_json
from swath.judge.frame import Frame
from swath.judge.labelled import Labelled

OLOFSSON = "stratified estimators of Olofsson et al. (2014), strata = map classes; normal intervals"
STEHMAN = "stratified estimators of Stehman (2014), strata differ from map classes; normal intervals"
FEW = 20
"""Points of a stratum below which a note warns of the normal interval."""
Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """An estimate with its standard error and interval; NaN where it is undefined."""

    value: float
    error: float
    low: float
    high: float

    def scaled(self, factor: float) -> Figure:
        """In another unit."""
        return Figure(self.value * factor, self.error * factor, self.low * factor, self.high * factor)

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "standard_error": self.error}


@dataclass(frozen=True, eq=False)
class Strata:
    """What is known of every stratum before sampling.

    Args:
        names: H names.
        km2: H areas.
        pixels: H numbers of pixels; a stratum with as many points has no sampling variance. 0 = endless.
    """

    names: tuple[str, ...]
    km2: Floats
    pixels: Places


@dataclass(frozen=True, eq=False)
class AreaEstimate:
    """Areas and accuracies of a map.

    Args:
        classes: K names.
        mapped_km2: K areas that the map shows.
        area: K estimated areas in km2.
        users: K user's accuracies: share of the mapped class that is right.
        producers: K producer's accuracies: share of the true class that is mapped as such.
        overall: overall accuracy.
        counts: (K, K) points, map class by reference class.
        proportions: (K, K) estimated shares of area.
        per_stratum: points of every stratum.
        confidence: nominal coverage of the intervals.
        method: which estimators.
        unlabelled: points left out because they have no label.
        notes: what to mind.
    """

    classes: tuple[str, ...]
    mapped_km2: tuple[float, ...]
    area: tuple[Figure, ...]
    users: tuple[Figure, ...]
    producers: tuple[Figure, ...]
    overall: Figure
    counts: Places
    proportions: Floats
    per_stratum: dict[str, int]
    confidence: float
    method: str
    unlabelled: int = 0
    notes: tuple[str, ...] = ()

    def as_dict(self, map_name: str) -> dict[str, Any]:
        """For JSON: what the web page shows, and the confusion matrix."""
        rows = zip(self.classes, self.mapped_km2, self.area, self.users, self.producers, strict=True)
        return {
            "map": map_name,
            "method": self.method,
            "confidence": self.confidence,
            "samples": int(self.counts.sum()),
            "unlabelled": self.unlabelled,
            "overall_accuracy": self.overall.as_dict(),
            "classes": [
                {
                    "name": name,
                    "mapped_km2": mapped,
                    "area_km2": area.value,
                    "low_km2": area.low,
                    "high_km2": area.high,
                    "standard_error_km2": area.error,
                    "users_accuracy": users.as_dict(),
                    "producers_accuracy": producers.as_dict(),
                }
                for name, mapped, area, users, producers in rows
            ],
            "samples_per_stratum": self.per_stratum,
            "confusion": {
                "rows": "map",
                "columns": "reference",
                "counts": self.counts.tolist(),
                "area_proportions": self.proportions.tolist(),
            },
            "notes": list(self.notes),
        }

    def save(self, path: Path | str, map_name: str) -> Path:
        """Write ``STEM.areas.json``."""
        return write_json(Path(path), self.as_dict(map_name))


def estimate(
    classes: tuple[str, ...],
    strata: Strata,
    points: tuple[Places, Places, Places],
    *,
    mapped_km2: Floats | None = None,
    weights: Floats | None = None,
    confidence: float = 0.95,
) -> AreaEstimate:
    """Areas and accuracies from labelled points; the mathematics stands at the top of the module.

    Args:
        classes: K names.
        strata: the H strata.
        points: number of the stratum, of the map class and of the reference class of each of n points.
        mapped_km2: K areas that the map shows; NaN where not given.
        weights: (n,) pixel areas; used within strata that were taken whole, where pixels were not drawn by area.
        confidence: nominal coverage.

    Raises:
        InputError: a stratum with an area has fewer than two points.
        ConfigError: confidence out of range.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence = {confidence}", expected="above 0 and below 1", remedy="use 0.95")
    stratum, mapped, reference = points
    number = np.bincount(stratum, minlength=len(strata.names))
    _check_strata(strata, number)
    design = _Design.of(strata, stratum, number, weights)
    z = float(stats.norm.ppf((1 + confidence) / 2))
    one, hit = np.ones(len(stratum)), (mapped == reference).astype(float)
    kinds = range(len(classes))

    def figure(y: Floats, x: Floats) -> Figure:
        value, error = design.ratio(y, x)
        # np.maximum keeps NaN, which max() would turn into a bound.
        return Figure(
            value, error, float(np.maximum(value - z * error, 0.0)), float(np.minimum(value + z * error, 1.0))
        )

    share = [figure((reference == kind).astype(float), one) for kind in kinds]
    cells = len(classes) * mapped + reference
    km2, square = float(strata.km2.sum()), (len(classes), len(classes))
    weight = design.point_shares()
    return AreaEstimate(
        classes,
        tuple(np.full(len(classes), np.nan) if mapped_km2 is None else np.asarray(mapped_km2).tolist()),
        tuple(each.scaled(km2) for each in share),
        tuple(figure(hit * (mapped == kind), (mapped == kind).astype(float)) for kind in kinds),
        tuple(figure(hit * (reference == kind), (reference == kind).astype(float)) for kind in kinds),
        figure(hit, one),
        np.bincount(cells, minlength=len(classes) ** 2).reshape(square),
        np.bincount(cells, weights=weight, minlength=len(classes) ** 2).reshape(square).astype(np.float64),
        dict(zip(strata.names, number.tolist(), strict=True)),
        confidence,
        STEHMAN,
        notes=_notes(strata, stratum, mapped, reference, number),
    )


def estimate_map(frame: Frame, labelled: Labelled, *, confidence: float = 0.95) -> AreaEstimate:
    """Areas and accuracies of a map from the labelled points of a sample of it.

    Raises:
        InputError: a stratum has fewer than two labelled points.
    """
    values = sorted(frame.strata.pixels)
    strata = Strata(
        tuple(frame.stratum_names[value] for value in values),
        np.array([frame.strata.km2[value] for value in values]),
        np.array([frame.strata.pixels[value] for value in values]),
    )
    by_name = {name: value for value, name in frame.class_names.items()}
    mapped = np.array([frame.classes.km2.get(by_name[name], 0.0) for name in labelled.classes])
    points = np.searchsorted(values, labelled.strata), labelled.mapped, labelled.reference
    found = estimate(
        labelled.classes, strata, points, mapped_km2=mapped, weights=labelled.weights, confidence=confidence
    )
    notes = list(found.notes)
    if labelled.unlabelled:
        notes.append(
            f"{labelled.unlabelled} points have no label and were left out, as if they had been left out at random"
        )
    method = STEHMAN if frame.strata_path else OLOFSSON
    return replace(found, method=method, unlabelled=labelled.unlabelled, notes=tuple(notes))


@dataclass(frozen=True, eq=False)
class _Design:
    """The strata of some points, ready for weighted means and variances.

    Args:
        stratum: (n,) number of the stratum.
        share: (H,) share of area.
        points: (H,) number of points, at least 1.
        weight: (n,) weight of a point within its stratum; adds up to 1 there.
        divisor: (H,) n_h (n_h - 1), infinite where the stratum was labelled whole.
    """

    stratum: Places
    share: Floats
    points: Places
    weight: Floats
    divisor: Floats

    @classmethod
    def of(cls, strata: Strata, stratum: Places, number: Places, weights: Floats | None) -> _Design:
        whole = _whole(strata, number)
        own = np.ones(len(stratum)) if weights is None else np.where(whole[stratum], weights, 1.0)
        total = np.bincount(stratum, weights=own, minlength=len(number))
        points = np.maximum(number, 1)
        divisor = np.where(whole, np.inf, points * np.maximum(points - 1.0, 1.0))
        return cls(stratum, strata.km2 / strata.km2.sum(), points, own / total[stratum], divisor)

    def means(self, y: Floats) -> Floats:
        """Mean of each stratum (H,)."""
        means = np.bincount(self.stratum, weights=self.weight * y, minlength=len(self.share))
        return means.astype(np.float64, copy=False)

    def ratio(self, y: Floats, x: Floats) -> tuple[float, float]:
        """Ratio and its standard error; NaN where the denominator is 0."""
        below = float(self.share @ self.means(x))
        if below <= 0:
            return math.nan, math.nan
        ratio = float(self.share @ self.means(y)) / below
        rest = y - ratio * x
        rest = rest - self.means(rest)[self.stratum]
        squares = np.bincount(self.stratum, weights=rest**2, minlength=len(self.share))
        return ratio, math.sqrt(float(self.share**2 @ (squares / self.divisor))) / below

    def point_shares(self) -> Floats:
        """Share of the area that each point stands for (n,)."""
        return self.share[self.stratum] * self.weight


def _check_strata(strata: Strata, number: Places) -> None:
    """Refuse strata without variance."""
    short = (strata.km2 > 0) & (number < 2) & ~_whole(strata, number)
    if not short.any():
        return
    listed = ", ".join(f"'{strata.names[place]}' ({number[place]})" for place in np.flatnonzero(short)[:8])
    raise InputError(
        f"{int(short.sum())} of {len(strata.names)} strata have fewer than two labelled points: {listed}",
        expected="at least two in every stratum: one point has no variance, and none leaves its area unknown",
        remedy="label more points there; or draw a new sample with those strata merged (--strata)",
    )


def _notes(strata: Strata, stratum: Places, mapped: Places, reference: Places, number: Places) -> tuple[str, ...]:
    """Where the intervals are known to be too narrow."""
    notes = []
    whole = _whole(strata, number)
    for place, name in enumerate(strata.names):
        if whole[place] or not number[place]:
            continue
        own = stratum == place
        if len(set(zip(mapped[own].tolist(), reference[own].tolist(), strict=True))) == 1:
            notes.append(
                f"all {int(number[place])} points of the stratum '{name}' agree, so its variance is estimated as 0 "
                "and intervals that rest on it are too narrow"
            )
        elif number[place] < FEW:
            notes.append(f"the stratum '{name}' has {int(number[place])} points; normal intervals want more")
    return tuple(notes)


def _whole(strata: Strata, number: Places) -> NDArray[np.bool_]:
    """Which strata were labelled pixel by pixel."""
    whole: NDArray[np.bool_] = (strata.pixels > 0) & (number >= strata.pixels)
    return whole
