"""Scores of building damage maps: is the building found, and is its damage right?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError
from swath.metrics import scores
from swath.metrics.outcome import Outcome, quotient, undefined

DAMAGE = ("background", "intact", "damaged", "destroyed")
"""The four classes of BRIGHT in label order, for a ``ConfusionMatrix``."""


def damage_scores(counts: NDArray[Any]) -> dict[str, Outcome]:
    """``f1_loc``, ``f1_damage``, ``f1_damage:CLASS``, ``oa`` and ``miou`` of a confusion matrix over ``DAMAGE``.

    ``f1_loc`` is the F1 of building (label above 0) against background over all pixels. The damage scores use true
    building pixels alone: per class 1 to 3, F1 = 2 TP / (2 TP + FP + FN), where a building pixel predicted as
    background is a miss and no false alarm; ``f1_damage`` is the harmonic mean of the three (Chen et al. 2025, Earth
    System Science Data, BRIGHT, after xView2). One class with F1 = 0 makes it 0. A class in neither truth nor
    prediction on buildings is left out and counted.

    Args:
        counts: int ``(4, 4)``, truth along the first axis; matrices of parts add up before.

    Raises:
        InputError: another shape.
    """
    numbers = np.asarray(counts)
    if numbers.shape != (4, 4):
        raise InputError(
            f"The counts have shape {numbers.shape}",
            expected="(4, 4): background, intact, damaged, destroyed",
            remedy="count with ConfusionMatrix(DAMAGE)",
        )
    total = int(numbers.sum())
    found = int(numbers[1:, 1:].sum())
    either = int(numbers[1:].sum() + numbers[:, 1:].sum())
    nothing = "there is no building in truth or prediction" if total else "there are no valid pixels"
    answers = {"f1_loc": quotient(2 * found, either, total, nothing)}
    buildings = numbers[1:]
    on_buildings = int(buildings.sum())
    hits = np.diagonal(buildings, offset=1)
    sums = buildings.sum(axis=1) + buildings[:, 1:].sum(axis=0)
    f1 = [2 * int(hit) / int(all_) if all_ else np.nan for hit, all_ in zip(hits, sums, strict=True)]
    known = [value for value in f1 if not np.isnan(value)]
    left = len(f1) - len(known)
    reason = f"{left} of 3 damage classes are in neither truth nor prediction on buildings" if left else ""
    if not known:
        answers["f1_damage"] = undefined("there are no true building pixels", skipped=left)
    else:
        harmonic = 0.0 if min(known) == 0 else len(known) / sum(1 / value for value in known)
        answers["f1_damage"] = Outcome(harmonic, len(known), left, reason)
    for name, value in zip(DAMAGE[1:], f1, strict=True):
        absent = "" if not np.isnan(value) else f"{name} is in neither truth nor prediction on buildings"
        answers[f"f1_damage:{name}"] = Outcome(value, on_buildings, 0, absent)
    whole = scores.summary(numbers)
    return {**answers, "oa": whole["oa"], "miou": whole["miou"]}
