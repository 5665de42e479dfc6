"""What a metric answers: a number, how much it rests on, and why it is missing if it is.

A mean that quietly steps over NaN looks better than it is. Here what cannot be computed is counted and named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """One number with its evidence.

    Args:
        value: the number; NaN only together with a reason.
        count: how many units (values, samples, classes, images) it rests on.
        skipped: units that were left out because their share of it is undefined.
        reason: why the value is NaN, why units were left out, or what else a reader of the number has to know.
    """

    value: float
    count: int
    skipped: int = 0
    reason: str = ""

    def __float__(self) -> float:
        return self.value


def undefined(reason: str, *, count: int = 0, skipped: int = 0) -> Outcome:
    """NaN with its reason."""
    return Outcome(math.nan, count, skipped, reason)


def quotient(top: float, bottom: float, count: int, reason: str) -> Outcome:
    """``top / bottom``, or NaN for this reason where the denominator is 0."""
    return Outcome(float(top) / float(bottom), count) if bottom else undefined(reason, count=count)


def mean_of(values: Iterable[float], unit: str, why: str) -> Outcome:
    """Mean over the units whose value is defined; the others are counted, never averaged as 0 and never hidden.

    The sum is rounded once (``math.fsum``), so the order in which units arrived has no effect, not even in the last
    digit.

    Args:
        values: one number per unit, NaN where undefined.
        unit: what a unit is called, in the plural ("images").
        why: what undefined means ("have no valid pixel").
    """
    every = [float(value) for value in values]
    known = [value for value in every if not math.isnan(value)]
    left = len(every) - len(known)
    reason = f"{left} of {len(every)} {unit} {why}" if left else ""
    if not known:
        return undefined(reason or f"there are no {unit}", skipped=left)
    return Outcome(math.fsum(known) / len(known), len(known), left, reason)
