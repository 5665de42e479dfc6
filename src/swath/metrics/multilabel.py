"""F1, precision and recall of several labels per sample: at a threshold, or for the K best labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.metrics.arrays import as_numpy, check_between, check_finite, check_ids, same_shape, usable
from swath.metrics.confusion import ConfusionMatrix
from swath.metrics.outcome import Outcome, mean_of, quotient, undefined
from swath.types import IGNORE

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

Tally = Counter[tuple[int, int, int]]
"""How many samples have so many hits, true labels and predicted labels: exact, small, and it adds up."""


class Multilabel:
    """Micro, macro and sample F1 of the labels with a probability of at least the threshold.

    With TP, FP, FN per class: ``f1_micro`` from the sums over classes, ``f1_macro`` the mean over classes that are in
    truth or prediction, ``f1_samples`` the mean over samples of TP / (TP + 0.5 (FP + FN)) within the sample. A sample
    with neither true nor predicted labels scores 1, one that only has predicted labels 0 (Sorower 2010, "A literature
    survey on algorithms for multi-label learning"). Parts add up, exactly.

    Args:
        classes: K class names.
        threshold: probability from which on a label is predicted.
    """

    def __init__(self, classes: Sequence[str], threshold: float = 0.5) -> None:
        self.classes = ConfusionMatrix(classes).classes
        self.threshold = threshold
        self.counts = np.zeros((3, len(self.classes)), np.int64)  # hits, true labels, predicted labels
        self.samples: Tally = Counter()

    def update(
        self, truth: Numbers, probabilities: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            truth: 0 and 1 per class ``(N, K)``; ``IGNORE`` (-100) where a label is unknown.
            probabilities: within [0, 1], ``(N, K)``.
            valid: bool, broadcastable to ``(N, K)``; a sample without a valid label is left out.
            ids: names of the samples for errors.

        Raises:
            InputError: shapes differ, a label is not 0 or 1, or a used probability is NaN or outside [0, 1].
        """
        true, values, mask = _checked(truth, probabilities, valid, len(self.classes), ids)
        check_between("probabilities", values, mask, (0.0, 1.0), ids)
        chosen = mask & (values >= self.threshold)
        self.counts = self.counts + np.stack([(true & chosen).sum(axis=0), true.sum(axis=0), chosen.sum(axis=0)])
        self.samples = self.samples + _tally(true, chosen, mask)

    def __add__(self, other: Multilabel) -> Multilabel:
        if (self.classes, self.threshold) != (other.classes, other.threshold):
            raise InputError(
                f"The parts have the thresholds {self.threshold} and {other.threshold} over "
                f"{len(self.classes)} and {len(other.classes)} classes",
                expected="the same classes and threshold",
                remedy="score both parts alike",
            )
        merged = Multilabel(self.classes, self.threshold)
        merged.counts, merged.samples = self.counts + other.counts, self.samples + other.samples
        return merged

    def compute(self) -> dict[str, Outcome]:
        """``f1_micro``, ``f1_macro``, ``f1_samples``."""
        hits, true, chosen = self.counts
        total = int((true + chosen).sum())
        number = self.samples.total()
        why = "there are no labels in truth or prediction" if number else "there are no valid values"
        per_class = [2 * h / (t + c) if t + c else np.nan for h, t, c in zip(hits, true, chosen, strict=True)]
        return {
            "f1_micro": quotient(2 * int(hits.sum()), total, number, why),
            "f1_macro": mean_of(per_class, "classes", "are in neither truth nor prediction"),
            "f1_samples": _sample_mean(self.samples, _f1),
        }


class TopK:
    """``f1_samples@K``, ``recall@K`` and ``precision@K``: the K labels with the highest scores are the prediction.

    Means over samples. Per sample: F1 = TP / (TP + 0.5 (FP + FN)), recall = TP / true labels, precision = TP / K.
    Nothing true and nothing predicted scores 1, nothing true but something predicted 0; recall@K is so defined for
    every sample. Of equal scores the first class wins. Parts add up, exactly.

    Args:
        classes: C class names.
        k: size of the set, 0 to C; None when every update brings a size per sample.

    Raises:
        ConfigError: k out of range.
    """

    def __init__(self, classes: Sequence[str], k: int | None) -> None:
        self.classes = ConfusionMatrix(classes).classes
        if k is not None and not 0 <= k <= len(self.classes):
            raise ConfigError(
                f"K is {k} for {len(self.classes)} classes",
                expected=f"a number from 0 to {len(self.classes)}",
                remedy="give a smaller K",
            )
        self.k = k
        self.samples: Tally = Counter()

    def update(
        self,
        truth: Numbers,
        scores: Numbers,
        valid: Numbers | None = None,
        ids: Sequence[str] | None = None,
        sizes: NDArray[Any] | None = None,
    ) -> None:
        """Add one batch.

        Args:
            truth: 0 and 1 per class ``(N, C)``; ``IGNORE`` where unknown.
            scores: any finite numbers ``(N, C)``.
            valid: bool, broadcastable to ``(N, C)``; a sample with fewer than K valid labels gets all of them.
            ids: names of the samples for errors.
            sizes: the size K_i of every sample, int ``(N,)``, when the metric was made with ``k=None``.

        Raises:
            InputError: shapes differ, a used score is NaN, or sizes are missing or out of range.
        """
        true, values, mask = _checked(truth, scores, valid, len(self.classes), ids)
        check_finite("scores", values, mask, ids)
        wanted = self._sizes(sizes, len(true))
        order = np.argsort(np.where(mask, -values.astype(np.float64), np.inf), axis=1, kind="stable")
        place = np.empty_like(order)
        np.put_along_axis(place, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
        self.samples = self.samples + _tally(true, mask & (place < wanted[:, None]), mask)

    def _sizes(self, sizes: NDArray[Any] | None, count: int) -> NDArray[np.int64]:
        if (sizes is None) == (self.k is None):
            raise InputError(
                "The size of the set is given twice" if self.k is not None else "The size of the set is missing",
                expected="k for all samples, or k=None and sizes per sample",
                remedy="give one of the two",
            )
        wanted = np.full(count, self.k) if sizes is None else np.asarray(sizes)
        bad = wanted.shape != (count,) or wanted.dtype.kind not in "iu"
        if bad or (count and (wanted.min() < 0 or wanted.max() > len(self.classes))):
            raise InputError(
                f"The sizes have shape {wanted.shape} and dtype {wanted.dtype}",
                expected=f"{count} integers from 0 to {len(self.classes)}",
                remedy="round and clip the predicted sizes first",
            )
        return wanted.astype(np.int64)

    def __add__(self, other: TopK) -> TopK:
        if (self.classes, self.k) != (other.classes, other.k):
            raise InputError(
                f"The parts have K = {self.k} and {other.k} over {len(self.classes)} and {len(other.classes)} classes",
                expected="the same classes and K",
                remedy="score both parts alike",
            )
        merged = TopK(self.classes, self.k)
        merged.samples = self.samples + other.samples
        return merged

    def compute(self) -> dict[str, Outcome]:
        """The three scores; with ``k=None`` the keys end in ``@K``."""
        suffix = "K" if self.k is None else str(self.k)
        scores = {"f1_samples": _f1, "recall": _recall, "precision": _precision}
        return {f"{key}@{suffix}": _sample_mean(self.samples, score) for key, score in scores.items()}


def _f1(hits: int, true: int, chosen: int) -> float:
    return 2 * hits / (true + chosen) if true + chosen else 1.0


def _recall(hits: int, true: int, chosen: int) -> float:
    return hits / true if true else float(not chosen)


def _precision(hits: int, true: int, chosen: int) -> float:
    return hits / chosen if chosen else float(not true)


def _sample_mean(samples: Tally, score: Callable[[int, int, int], float]) -> Outcome:
    total = samples.total()
    if not total:
        return undefined("there are no valid values")
    # Sorted, so that the sum has one order whatever the order of the updates.
    return Outcome(sum(number * score(*key) for key, number in sorted(samples.items())) / total, total)


def _tally(true: NDArray[np.bool_], chosen: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Tally:
    seen = mask.any(axis=1)
    triples = np.stack([(true & chosen).sum(axis=1), true.sum(axis=1), chosen.sum(axis=1)], axis=1)[seen]
    keys, numbers = np.unique(triples, axis=0, return_counts=True)
    return Counter({(int(a), int(b), int(c)): int(n) for (a, b, c), n in zip(keys, numbers, strict=True)})


def _checked(
    truth: Numbers, scores: Numbers, valid: Numbers | None, size: int, ids: Sequence[str] | None
) -> tuple[NDArray[np.bool_], NDArray[Any], NDArray[np.bool_]]:
    """True labels, scores and validity, each ``(N, K)``."""
    labels, values = as_numpy(truth), as_numpy(scores)
    same_shape(labels, values, ("truth", "scores"))
    if labels.ndim != 2 or labels.shape[1] != size:
        raise InputError(
            f"'truth' has shape {labels.shape}",
            expected=f"(samples, {size}), one column per class",
            remedy="put one sample in a row; reshape maps to (pixels, classes)",
        )
    check_ids(ids, len(labels))
    mask = usable(valid, labels.shape, "truth") & (labels != IGNORE)
    used = labels[mask]
    if used.size and (used.dtype.kind not in "iub" or not np.isin(used, (0, 1)).all()):
        raise InputError(
            f"'truth' holds {np.unique(used)[:5].tolist()}",
            expected=f"0 and 1 per class, {IGNORE} where unknown",
            remedy="turn class numbers into one column per class",
        )
    return mask & (labels == 1), values, mask
