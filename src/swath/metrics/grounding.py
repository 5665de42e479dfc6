"""Accuracy of grounding: one box is asked for, one box is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from swath.errors import ConfigError, InputError
from swath.metrics.arrays import as_numpy, check_finite, check_ids, same_shape, usable
from swath.metrics.outcome import Outcome, quotient
from swath.metrics.overlap import box_iou, rotated_iou

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers


class GroundingAccuracy:
    """``acc@t``: the share of samples whose box overlaps the true one with an IoU of at least t. Parts add up.

    Boxes are upright ``(N, 4)`` or turned ``(N, 5)`` (Kazemzadeh et al. 2014, EMNLP, for the threshold 0.5).

    Args:
        thresholds: values of t, each above 0 and at most 1.

    Raises:
        ConfigError: a threshold out of range.
    """

    def __init__(self, thresholds: Sequence[float] = (0.5, 0.7)) -> None:
        self.thresholds = tuple(float(value) for value in thresholds)
        if not all(0 < value <= 1 for value in self.thresholds):
            raise ConfigError(
                f"The thresholds are {self.thresholds}", expected="numbers above 0 and up to 1", remedy="write 0.5"
            )
        self.count = 0
        self.hits = np.zeros(len(self.thresholds), np.int64)

    def update(
        self, truth: Numbers, prediction: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            truth: boxes ``(N, 4)`` x0, y0, x1, y1 or ``(N, 5)`` centre x, centre y, width, height, angle [degrees].
            prediction: boxes of the same form.
            valid: bool ``(N,)``; samples without a true box are left out.
            ids: names of the samples for errors.

        Raises:
            InputError: shapes differ, or a used box is NaN or ends before it begins.
        """
        real, guess = as_numpy(truth), as_numpy(prediction)
        same_shape(real, guess, ("truth", "prediction"))
        if real.ndim != 2 or real.shape[1] not in (4, 5):
            raise InputError(
                f"The boxes have shape {real.shape}", expected="(N, 4) or (N, 5)", remedy="one box per sample"
            )
        check_ids(ids, len(real))
        mask = usable(valid, real.shape[:1], "truth")
        for name, boxes in (("truth", real), ("prediction", guess)):
            check_finite(name, boxes, np.broadcast_to(mask[:, None], boxes.shape), ids)
        overlap = box_iou if real.shape[1] == 4 else rotated_iou
        # Pair by pair: the matrix of all against all would be N^2.
        pairs = zip(real[mask], guess[mask], strict=True)
        shares = np.array([overlap(one[None], two[None])[0, 0] for one, two in pairs])
        self.hits = self.hits + (shares.reshape(-1, 1) >= np.array(self.thresholds)).sum(axis=0)
        self.count += int(mask.sum())

    def __add__(self, other: GroundingAccuracy) -> GroundingAccuracy:
        if self.thresholds != other.thresholds:
            raise InputError(
                f"The thresholds are {self.thresholds} and {other.thresholds}",
                expected="the same thresholds",
                remedy="score both parts alike",
            )
        merged = GroundingAccuracy(self.thresholds)
        merged.count, merged.hits = self.count + other.count, self.hits + other.hits
        return merged

    def compute(self) -> dict[str, Outcome]:
        """``acc@0.5``, ``acc@0.7``."""
        why = "there are no valid samples"
        return {
            f"acc@{threshold:g}": quotient(int(number), self.count, self.count, why)
            for threshold, number in zip(self.thresholds, self.hits, strict=True)
        }
