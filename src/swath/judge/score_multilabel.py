"""Score a predictor of several labels per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.errors import ContractError, InputError
from swath.judge.scored import Column, Predicted, Score, groups_of, predictions, rows_of
from swath.metrics import Interval
from swath.types import Batch, Predictor, ResultRow

THRESHOLD = 0.5
OVERALL = ("map", "f1_micro", "f1_macro", "f1_samples")
RESAMPLES = 1000
_CELLS = 4_000_000
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def score_multilabel(
    predictor: Predictor,
    batches: Iterable[Batch],
    *,
    target: str,
    base: Callable[[int], ResultRow],
    groups: Mapping[str, str] | None,
) -> Score:
    """Mean average precision and F1 at 0.5, overall and per label, with bootstrap intervals.

    ``map`` is the mean of the average precision (``metrics.average_precision``) over labels with positives; the three
    F1 are those of ``metrics.Multilabel``. Average precision does not add up over samples; so samples (or groups) are
    drawn as weights, and every resample is ranked anew with them.

    Args:
        predictor: predicts ``logits``.
        batches: batches with the target.
        target: name of the target.
        base: from the number of samples to what all rows say.
        groups: group of each sample id.

    Raises:
        ContractError: a batch or prediction breaks its contract.
        InputError: there are no batches, a target is neither 0 nor 1, or every target is missing.
    """
    ids: list[str] = []
    parts: list[tuple[NDArray[Any], Flags, Flags]] = []
    labelled = 0
    for part in predictions(predictor, batches, target):
        parts.append(_arrays(part, len(predictor.classes)))
        labelled += int(part.usable.sum())
        ids.extend(part.ids)
    if not labelled:
        raise InputError(
            f"All {len(ids)} samples lack a valid target",
            expected="at least one valid target",
            remedy="check the split, and the table that the targets come from",
        )
    shares, true, seen = (np.concatenate([part[place] for part in parts]) for place in range(3))
    chosen = groups_of(ids, groups)
    _, unit = np.unique(np.array(chosen or ids, str), return_inverse=True)
    if not chosen:
        unit = np.arange(len(ids))
    ranking = _Ranking(shares, true, seen)
    interval = _interval(ranking.scores, unit)
    excluded = labelled - int(seen.sum())
    unit_name = "group" if chosen else "sample"
    rows = rows_of(base(len(ids)), _columns(predictor.classes, true), interval, (labelled, excluded), unit_name)
    return Score(None, tuple(ids), ranking.counts, chosen, labelled, excluded, rows, predictor.task)


class _Ranking:
    """Scores of weighted samples.

    Args:
        shares: probabilities ``(N, K)``.
        true: which labels a sample has ``(N, K)``.
        seen: which of them are known and predicted ``(N, K)``.
    """

    def __init__(self, shares: NDArray[Any], true: Flags, seen: Flags) -> None:
        decided = seen & (shares >= THRESHOLD)
        self.counts = np.stack([true & decided, true, decided], axis=1).astype(np.int64)
        hits, positives, alarms = self.counts.sum(axis=2).T
        # A sample with neither true nor predicted labels scores 1, as in metrics.Multilabel.
        self._f1 = np.where(positives + alarms > 0, 2 * hits / np.maximum(positives + alarms, 1), 1.0)
        self._judged = seen.any(axis=1)
        # Per label the samples from the highest score down, and where each run of equal scores ends.
        self._orders = [
            np.flatnonzero(mask)[np.argsort(-column[mask], kind="stable")] for column, mask in _pairs(shares, seen)
        ]
        self._ends = [_run_ends(shares[order, label]) for label, order in enumerate(self._orders)]
        self._true = true

    def scores(self, weights: Floats) -> Floats:
        """All numbers of ``_columns`` for sample weights ``(R, N)``, ``(R, columns)``."""
        precisions = np.stack([self._average_precision(weights, label) for label in range(len(self._orders))], axis=-1)
        hits, positives, alarms = np.moveaxis(np.tensordot(weights, self.counts.astype(np.float64), axes=1), 1, 0)
        f1 = _quotient(2 * hits, positives + alarms)
        micro = _quotient(2 * hits.sum(axis=-1), (positives + alarms).sum(axis=-1))
        judged = weights * self._judged
        samples = _quotient(judged @ self._f1, judged.sum(axis=-1))
        overall = [_mean(precisions), micro, _mean(f1), samples]
        return np.concatenate([np.stack(overall, axis=-1), precisions, f1], axis=-1)

    def _average_precision(self, weights: Floats, label: int) -> Floats:
        """``sum (R_n - R_(n-1)) P_n`` over distinct scores; NaN without positives."""
        order, ends = self._orders[label], self._ends[label]
        if not len(order):
            return np.full(len(weights), np.nan)
        drawn = weights[:, order]
        chosen = np.cumsum(drawn, axis=1)[:, ends]
        hits = np.cumsum(drawn * self._true[order, label], axis=1)[:, ends]
        precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
        steps = np.diff(hits, axis=1, prepend=0.0)
        return _quotient((steps * precision).sum(axis=1), hits[:, -1])


def _arrays(part: Predicted, labels: int) -> tuple[NDArray[Any], Flags, Flags]:
    """Probabilities, true labels and where both are valid, ``(B, K)`` each."""
    logits, valid = part.prediction.outputs["logits"], part.prediction.valid
    if tuple(logits.shape) != tuple(part.truth.shape) or part.truth.shape[1] != labels or valid.ndim != 1:
        raise ContractError(
            f"The prediction has logits of shape {tuple(logits.shape)} and valid {tuple(valid.shape)}, "
            f"and the target {tuple(part.truth.shape)} for {labels} labels",
            expected="logits of the shape of the target, and one bool per sample in valid",
            remedy="return one logit per label",
        )
    truth, usable = part.truth.numpy(), part.usable.numpy()
    odd = usable & (truth != 0) & (truth != 1)
    if odd.any():
        raise InputError(
            f"{int(odd.sum())} targets are neither 0 nor 1, such as {float(truth[odd][0]):g} of '{_name(part, odd)}'",
            expected="1 where a sample has the label, 0 where it has not",
            remedy="correct the table of labels",
        )
    seen = usable & valid.numpy()[:, None]
    return part.prediction.probability().numpy(), seen & (truth == 1), seen


def _name(part: Predicted, odd: Flags) -> str:
    return part.ids[int(np.flatnonzero(odd.any(axis=1))[0])]


def _pairs(shares: NDArray[Any], seen: Flags) -> Iterable[tuple[NDArray[Any], Flags]]:
    return zip(shares.T, seen.T, strict=True)


def _run_ends(ordered: NDArray[Any]) -> NDArray[np.int64]:
    """Last position of every run of equal numbers."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.zeros(0, np.int64)


def _interval(statistic: Callable[[Floats], Floats], unit: NDArray[np.int64]) -> Interval:
    """Percentile bootstrap over units, as ``metrics.bootstrap_interval``, for what does not add up over samples.

    Args:
        statistic: from sample weights ``(R, N)`` to scores ``(R, S)``.
        unit: number of the unit of each sample ``(N,)``.
    """
    units = int(unit.max()) + 1
    estimate = statistic(np.ones((1, len(unit))))[0]
    unknown = np.full(len(estimate), np.nan)
    if units < 2:
        return Interval(estimate, unknown, unknown.copy(), units, 0.95, np.zeros(len(estimate), np.int64))
    stream, step = rng.generator(0, "bootstrap"), max(1, _CELLS // len(unit))
    draws = []
    for start in range(0, RESAMPLES, step):
        drawn = stream.multinomial(units, np.full(units, 1 / units), size=min(step, RESAMPLES - start))
        draws.append(statistic(drawn[:, unit].astype(np.float64)))
    table = np.concatenate(draws)
    undefined = np.isnan(table).sum(axis=0)
    bounds = np.stack([unknown, unknown.copy()])
    some = undefined < RESAMPLES
    bounds[:, some] = np.nanquantile(table[:, some], [0.025, 0.975], axis=0)
    return Interval(estimate, bounds[0], bounds[1], units, 0.95, undefined.astype(np.int64))


def _columns(labels: tuple[str, ...], true: Flags) -> list[Column]:
    present = int(true.any(axis=0).sum())
    notes = {
        "map": f"mean over {present} of {len(labels)} labels with positives",
        "f1_macro": "mean over labels in truth or prediction",
    }
    at = f"at the threshold {THRESHOLD:g}"
    overall = [Column(name, None, True, notes.get(name, at if name.startswith("f1") else "")) for name in OVERALL]
    return overall + [Column(metric, name) for metric in ("ap", "f1") for name in labels]


def _mean(values: Floats) -> Floats:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    known = np.isfinite(values)
    return _quotient(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def _quotient(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)
