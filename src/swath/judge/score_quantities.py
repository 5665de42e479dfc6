"""Score a predictor of quantities, one per sample or one per pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swath import metrics
from swath.errors import ContractError, InputError
from swath.judge.scored import Column, Predicted, Score, groups_of, predictions, rows_of, units_of
from swath.types import Batch, Predictor, ResultRow, Task

Sums = NDArray[np.float64]
TASKS: tuple[Task, ...] = ("regression", "pixel_regression")


def _rmse(sums: Sums) -> Sums:
    return np.sqrt(_quotient(sums[..., 3], sums[..., 0]))


def _mae(sums: Sums) -> Sums:
    return _quotient(sums[..., 2], sums[..., 0])


def _r2(sums: Sums) -> Sums:
    spread = sums[..., 5] - _quotient(sums[..., 4] ** 2, sums[..., 0])
    return 1.0 - _quotient(sums[..., 3], spread)


def _bias(sums: Sums) -> Sums:
    return _quotient(sums[..., 1], sums[..., 0])


SCORES: dict[str, Callable[[Sums], Sums]] = {"rmse": _rmse, "mae": _mae, "r2": _r2, "bias": _bias}
"""From sums ``(..., 6)`` to scores ``(...)``; see ``score_quantities``."""

BETTER: dict[str, bool | None] = {"rmse": False, "mae": False, "r2": True, "bias": None}


def score_quantities(
    predictor: Predictor,
    batches: Iterable[Batch],
    *,
    target: str,
    base: Callable[[int], ResultRow],
    groups: Mapping[str, str] | None,
    quantities: Mapping[str, str],
) -> Score:
    """RMSE, MAE, R2 and bias per quantity, pooled over all valid values, with bootstrap intervals.

    Definitions are those of ``metrics.Regression``. Per sample and quantity six sums are kept, which add up exactly
    over samples and so need no second pass: with e = prediction - observation and o the observation less the first one
    ever seen (which keeps the digits of kelvins and pascals), n, sum e, sum abs e, sum e^2, sum o, sum o^2.

    Args:
        predictor: predicts ``mean``.
        batches: batches with the target.
        target: name of the target.
        base: from the number of samples to what all rows say.
        groups: group of each sample id.
        quantities: name to unit, in the order of the target; numbered where empty.

    Raises:
        ContractError: a batch or prediction breaks its contract.
        InputError: there are no batches, or every value lacks a valid target.
    """
    ids: list[str] = []
    parts: list[Sums] = []
    labelled, origin = 0, np.full(0, np.nan)
    for part in predictions(predictor, batches, target):
        observed, seen = _flat(part)
        origin = _first_seen(origin, observed, seen)
        parts.append(_sums(_mean(part).reshape(observed.shape), observed, seen, origin))
        labelled += int(part.usable.sum())
        ids.extend(part.ids)
    if not labelled:
        raise InputError(
            f"All {len(ids)} samples lack a valid target",
            expected="at least one valid target",
            remedy="check the split, and the table or raster that the targets come from",
        )
    per_sample = np.concatenate(parts)
    chosen = groups_of(ids, groups)
    names = dict(quantities) or {f"quantity {number + 1}": "" for number in range(per_sample.shape[1])}
    if len(names) != per_sample.shape[1]:
        raise ContractError(
            f"The target holds {per_sample.shape[1]} quantities, and {len(names)} are named ({', '.join(names)})",
            expected="one name per quantity",
            remedy="name them in the order of the target",
        )
    units = units_of(per_sample, chosen)
    excluded = labelled - int(per_sample[..., 0].sum())
    columns = _columns(names)
    interval = metrics.bootstrap_interval(units, _everything)
    rows = rows_of(base(len(ids)), columns, interval, (labelled, excluded), "group" if chosen else "sample")
    return Score(None, tuple(ids), per_sample, chosen, labelled, excluded, rows, predictor.task)


def overall(metric: str) -> Callable[[Sums], Sums]:
    """An overall score of sums ``(R, K, 6)``: of the one quantity, or the mean over quantities."""
    return lambda sums: SCORES[metric](sums).mean(axis=-1)


def _everything(sums: Sums) -> Sums:
    """All numbers of ``_columns``, ``(R, columns)``."""
    every = [statistic(sums) for statistic in SCORES.values()]
    pooled = [part[..., 0] for part in every] if sums.shape[-2] == 1 else [_r2(sums).mean(axis=-1)]
    return np.concatenate([np.stack(pooled, axis=-1), *every], axis=-1)


def _columns(names: Mapping[str, str]) -> list[Column]:
    """Overall numbers first: all four of a single quantity, and of several only R2, which has no unit."""
    several = len(names) > 1
    only = next(iter(names.items()))
    columns = [Column("r2", None, True, f"mean over {len(names)} quantities")] if several else []
    if not several:
        columns = [Column(metric, None, BETTER[metric], _about(metric, *only)) for metric in SCORES]
    columns += [
        Column(metric, name, BETTER[metric], _about(metric, "", names[name])) for metric in SCORES for name in names
    ]
    return columns


def _about(metric: str, name: str, unit: str) -> str:
    said = f"in {unit}" if unit and metric != "r2" else ""
    return " ".join(part for part in (name, said) if part)


def _flat(part: Predicted) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Observations and where both they and the prediction are valid, ``(B, K, P)``."""
    usable = part.usable
    valid = part.prediction.valid
    wanted = (len(usable), *usable.shape[2:])
    if tuple(valid.shape) != wanted:
        raise ContractError(
            f"The prediction has valid of shape {tuple(valid.shape)} and the target {tuple(usable.shape)}",
            expected=f"valid {wanted}",
            remedy="return one bool per sample, and per pixel where the target has pixels",
        )
    shape = (*usable.shape[:2], -1) if usable.ndim > 2 else (*usable.shape, 1)
    seen = (usable & valid[:, None]).reshape(shape).numpy()
    return part.truth.double().reshape(shape).numpy(), seen


def _mean(part: Predicted) -> NDArray[np.float64]:
    mean = part.prediction.outputs["mean"]
    if tuple(mean.shape) != tuple(part.truth.shape):
        raise ContractError(
            f"The prediction has a mean of shape {tuple(mean.shape)} and the target {tuple(part.truth.shape)}",
            expected="the same shape",
            remedy="return one number per quantity at the size of the target",
        )
    found: NDArray[np.float64] = mean.to(torch.float64).numpy()
    return found


def _first_seen(origin: Sums, observed: NDArray[np.float64], seen: NDArray[np.bool_]) -> Sums:
    """The first observation of each quantity ``(K,)``, NaN until there is one."""
    origin = np.full(observed.shape[1], np.nan) if not len(origin) else origin
    lined = np.moveaxis(observed, 1, 0).reshape(len(origin), -1)
    there = np.moveaxis(seen, 1, 0).reshape(len(origin), -1)
    if not there.shape[1]:
        return origin
    first = lined[np.arange(len(origin)), there.argmax(axis=1)]
    return np.where(np.isnan(origin) & there.any(axis=1), first, origin)


def _sums(predicted: NDArray[np.float64], observed: NDArray[np.float64], seen: NDArray[np.bool_], origin: Sums) -> Sums:
    """The six sums per sample and quantity, ``(B, K, 6)``."""
    error = np.where(seen, predicted - np.where(seen, observed, 0.0), 0.0)
    shifted = np.where(seen, observed - origin[:, None], 0.0)
    parts: Sequence[NDArray[Any]] = (seen, error, np.abs(error), error**2, shifted, shifted**2)
    return np.stack([part.sum(axis=-1, dtype=np.float64) for part in parts], axis=-1)


def _quotient(top: Sums, bottom: Sums) -> Sums:
    """``top / bottom``, NaN where the denominator is 0."""
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)
