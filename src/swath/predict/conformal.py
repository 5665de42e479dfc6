"""Split conformal prediction: sets of classes and intervals of quantities that hold the truth as often as promised.

Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; the sets are the least ambiguous ones of
Sadinle, Lei and Wasserman (2019), Journal of the American Statistical Association 114, 223-234; calibration in groups
is hierarchical conformal prediction, Lee, Barber and Willett (2023), arXiv:2306.06342.

What is promised, and what is not. If calibration chips and the chips of the map were drawn alike (exchangeable), and a
pixel is drawn at random within a chip, then the truth lies in its set with probability 1 - alpha or more, on average
over calibrations and maps, whatever the model. Pixels of one chip resemble each other, so a thousand of them do not
count as a thousand: ``groups`` says which belong together. Nothing is promised for one region, one date or one class
(unless calibrated by class), nor for a place unlike those of calibration: see ``swath.predict.applicability``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.predict.fields import MEAN, PROBABILITY, VARIANCE, Fields
from swath.predict.layers import Layer

SET_SIZE, SET = "set_size", "set"
LOWER, UPPER = "lower", "upper"
TOLERANCE = 1e-6
"""Slack on scores, so that a calibration pixel lies in its own set after float32 rounding and blending."""

Values = NDArray[Any]


def conformal_quantile(scores: Values, alpha: float, groups: Values | None = None) -> float:
    """The score below or at which a new one lies with probability 1 - alpha or more.

    Without groups, n exchangeable scores: the ceil((n + 1)(1 - alpha))-th smallest. With G groups, each group has the
    weight of one score, shared out evenly among its members (Lee, Barber and Willett 2023): the smallest score s with
    sum over groups of (share of the group's scores <= s) >= (1 - alpha)(G + 1). One member per group gives the first
    rule. Infinite where there are too few: the new score could be anything.

    Args:
        scores: (n,) nonconformity of calibration: larger is stranger.
        alpha: share of misses allowed, above 0 and below 1.
        groups: (n,) which scores belong together; None = each alone.

    Raises:
        ConfigError: alpha out of range.
    """
    check_alpha(alpha)
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        return math.inf
    if groups is None:
        count, weights = len(values), np.ones(len(values))
    else:
        _, inverse, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
        count, weights = len(sizes), 1.0 / sizes[inverse.ravel()]
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    # Sums of 1 / n miss whole numbers by rounding; a miss of 1e-9 of a group is none.
    place = int(np.searchsorted(reached, (1.0 - alpha) * (count + 1) - 1e-9))
    return float(values[order[place]]) if place < len(values) else math.inf


def check_alpha(alpha: float) -> None:
    """Raises ConfigError when the share of misses is not above 0 and below 1."""
    if not 0.0 < alpha < 1.0:
        raise ConfigError(
            f"alpha = {alpha}",
            expected="above 0 and below 1, such as 0.1 for sets that miss one pixel in ten",
            remedy="change it",
        )


@dataclass(frozen=True)
class ConformalSets:
    """Which classes belong to the set of a pixel: class k where 1 - p_k <= threshold_k.

    A set may be empty: then no class is as typical as the calibration pixels of that class were, which says something
    too. An infinite threshold (too little calibration) puts the class into every set.

    Args:
        classes: K class names.
        thresholds: K thresholds on 1 - p; equal unless calibrated by class.
        alpha: share of misses allowed.
        by_class: whether each class was calibrated on its own (Mondrian): the promise then holds for each class.
        units: chips (or pixels) behind each threshold.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    alpha: float
    by_class: bool
    units: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        probability: Values,
        labels: Values,
        classes: Sequence[str],
        alpha: float,
        *,
        groups: Values | None = None,
        by_class: bool = False,
    ) -> Self:
        """Calibrate.

        Args:
            probability: (n, K) of held-out pixels.
            labels: (n,) class numbers 0 to K - 1.
            classes: K class names.
            alpha: share of misses allowed.
            groups: (n,) the chip of each pixel.
            by_class: one threshold per class, from the pixels of that class.

        Raises:
            InputError: no pixels, or labels beyond the classes.
            ConfigError: alpha out of range.
        """
        check_alpha(alpha)
        shares, truth = np.asarray(probability), np.asarray(labels).astype(np.int64)
        _check_calibration(shares, truth, len(classes))
        names = np.arange(len(truth)) if groups is None else np.asarray(groups)
        scores = 1.0 - shares[np.arange(len(truth)), truth].astype(np.float64)
        if not by_class:
            one, units = conformal_quantile(scores, alpha, names), len(np.unique(names))
            return cls(tuple(classes), (one,) * len(classes), alpha, False, (units,) * len(classes))
        own = [truth == number for number in range(len(classes))]
        thresholds = tuple(conformal_quantile(scores[mask], alpha, names[mask]) for mask in own)
        return cls(tuple(classes), thresholds, alpha, True, tuple(len(np.unique(names[mask])) for mask in own))

    def members(self, probability: Values, axis: int = -1) -> NDArray[np.bool_]:
        """Which classes are in the set, shape of the probabilities, classes along ``axis``."""
        shape = [1] * probability.ndim
        shape[axis] = len(self.classes)
        members: NDArray[np.bool_] = 1.0 - probability <= np.array(self.thresholds).reshape(shape) + TOLERANCE
        return members

    def record(self) -> dict[str, Any]:
        """As JSON values; an infinite threshold is None."""
        thresholds = [value if math.isfinite(value) else None for value in self.thresholds]
        plain = {"classes": list(self.classes), "thresholds": thresholds, "alpha": self.alpha}
        return {**plain, "by_class": self.by_class, "units": list(self.units)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """From ``record()``.

        Raises:
            KeyError: an entry is missing.
            ValueError: numbers do not fit.
        """
        thresholds = tuple(math.inf if value is None else float(value) for value in record["thresholds"])
        classes, units = tuple(map(str, record["classes"])), tuple(map(int, record["units"]))
        if not len(thresholds) == len(classes) == len(units) or any(math.isnan(value) for value in thresholds):
            raise ValueError(f"{len(thresholds)} thresholds for {len(classes)} classes")
        return cls(classes, thresholds, float(record["alpha"]), bool(record["by_class"]), units)


@dataclass(frozen=True)
class ConformalInterval:
    """Intervals mean - radius to mean + radius; scaled ones are radius times the predicted standard deviation.

    Args:
        radius: quantile of abs(truth - mean), or of abs(truth - mean) / deviation.
        alpha: share of misses allowed.
        scaled: whether the radius is in predicted standard deviations.
        units: chips (or values) behind the radius.
    """

    radius: float
    alpha: float
    scaled: bool
    units: int

    @classmethod
    def fit(
        cls,
        mean: Values,
        truth: Values,
        alpha: float,
        *,
        deviation: Values | None = None,
        groups: Values | None = None,
    ) -> Self:
        """Calibrate on held-out values (n,); with ``deviation`` the intervals are scaled by it.

        Raises:
            InputError: no values, or a deviation that is not above 0.
            ConfigError: alpha out of range.
        """
        check_alpha(alpha)
        residual = np.abs(np.asarray(truth, dtype=np.float64) - np.asarray(mean, dtype=np.float64))
        if not residual.size or not np.isfinite(residual).all():
            raise _nothing("values", residual.size)
        if deviation is not None:
            spread = np.asarray(deviation, dtype=np.float64)
            if not (spread > 0).all():
                raise InputError(
                    f"{int((~(spread > 0)).sum())} of {spread.size} predicted standard deviations are not above 0",
                    expected="positive deviations",
                    remedy="leave the deviation out, or floor it",
                )
            residual = residual / spread
        units = residual.size if groups is None else len(np.unique(np.asarray(groups)))
        return cls(conformal_quantile(residual, alpha, groups), alpha, deviation is not None, units)

    def bounds(self, mean: Values, deviation: Values | None = None) -> tuple[Values, Values]:
        """Lower and upper end, shape of the mean.

        Raises:
            ConfigError: scaled intervals without deviations.
        """
        if self.scaled and deviation is None:
            raise ConfigError(
                "The intervals are scaled by the predicted deviation, and none was given",
                expected="a predictor that also gives its variance",
                remedy="calibrate without scaling",
            )
        # An endless radius stays endless where the predicted deviation is 0.
        tiny = np.finfo(np.float32).tiny
        half = self.radius * np.maximum(deviation, tiny) if self.scaled and deviation is not None else self.radius
        return mean - half, mean + half


def set_layers(sets: ConformalSets) -> dict[str, Layer]:
    """The layers ``set_size`` (number of classes that cannot be excluded) and ``set`` (0 or 1 per class)."""
    dtype, nodata = ("uint8", 255) if len(sets.classes) < 255 else ("uint16", 65535)

    def members(fields: Fields) -> Values:
        return sets.members(fields[PROBABILITY], axis=0)

    def size(fields: Fields) -> Values:
        return members(fields).sum(axis=0, keepdims=True)

    needs = (PROBABILITY,)
    return {
        SET_SIZE: Layer(SET_SIZE, (SET_SIZE,), dtype, nodata, None, 1.0, None, size, needs),
        SET: Layer(SET, sets.classes, "uint8", 255, None, 1.0, None, members, needs),
    }


def interval_layers(interval: ConformalInterval, quantities: Sequence[str] = (MEAN,)) -> dict[str, Layer]:
    """The layers ``lower`` and ``upper`` (float32) of a regression."""
    needs = (MEAN, VARIANCE) if interval.scaled else (MEAN,)

    def bound(position: int) -> Any:
        def values(fields: Fields) -> Values:
            deviation = np.sqrt(fields[VARIANCE]) if interval.scaled else None
            return interval.bounds(fields[MEAN], deviation)[position]

        return values

    names = tuple(quantities)
    return {
        name: Layer(name, names, "float32", math.nan, None, 1.0, None, bound(position), needs)
        for position, name in enumerate((LOWER, UPPER))
    }


def coverage(sets: ConformalSets, probability: Values, labels: Values) -> dict[str, dict[str, float]]:
    """How often the sets hold the truth, over all pixels and per class; NaN where a class has no pixel.

    Args:
        sets: calibrated on other pixels.
        probability: (n, K).
        labels: (n,) class numbers.

    Returns:
        ``all`` and every class -> ``pixels``, ``coverage``, ``size`` (mean number of classes in the set).
    """
    shares, truth = np.asarray(probability), np.asarray(labels).astype(np.int64)
    members = sets.members(shares)
    hit, size = members[np.arange(len(truth)), truth], members.sum(axis=1)

    def of(mask: NDArray[np.bool_]) -> dict[str, float]:
        count = int(mask.sum())
        means = (float(hit[mask].mean()), float(size[mask].mean())) if count else (math.nan, math.nan)
        return {"pixels": count, "coverage": means[0], "size": means[1]}

    rows = {"all": of(np.ones(len(truth), bool))}
    return rows | {name: of(truth == number) for number, name in enumerate(sets.classes)}


def _check_calibration(probability: Values, labels: Values, classes: int) -> None:
    if not len(labels):
        raise _nothing("pixels", 0)
    if probability.shape != (len(labels), classes) or int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise InputError(
            f"Probabilities {probability.shape} and labels from {labels.min()} to {labels.max()}",
            expected=f"(pixels, {classes}) probabilities and labels from 0 to {classes - 1}",
            remedy="check the classes of model and labels",
        )
    if not np.isfinite(probability).all():  # one NaN could become the threshold, and every set would be empty
        strange = int((~np.isfinite(probability)).any(axis=1).sum())
        raise InputError(
            f"{strange} of {len(labels)} calibration pixels have probabilities that are no finite numbers",
            expected="a probability for every class",
            remedy="check the model and its inputs for NaN",
        )


def _nothing(what: str, count: int) -> InputError:
    return InputError(
        f"There are {count} usable {what} to calibrate on",
        expected="finite predictions and labels of chips that the model has not learned from",
        remedy="check the validation split and its labels",
    )
