"""What scoring leaves behind, whatever the task; and what all ways of scoring share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from swath import metrics
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.metrics import ConfusionMatrix, Interval
from swath.types import Batch, Prediction, Predictor, ResultRow, Task


@dataclass(frozen=True, eq=False)
class Score:
    """What scoring leaves behind.

    Args:
        pooled: counts over all samples where one class per value is predicted, else None.
        ids: sample ids in the order of ``per_sample``.
        per_sample: what adds up over samples, ``(N, ...)``: confusion matrices int64 ``(N, K, K)``; hits, true and
            predicted labels int64 ``(N, 3, K)`` of several labels; sums float64 ``(N, K, 6)`` of quantities.
        groups: the group of each sample, or empty; intervals run over groups where there are some.
        labelled: values with a valid target.
        excluded: those of them without a valid prediction, left out of all scores.
        rows: every number as result rows.
        task: what was scored.
    """

    pooled: ConfusionMatrix | None
    ids: tuple[str, ...]
    per_sample: NDArray[Any]
    groups: tuple[str, ...]
    labelled: int
    excluded: int
    rows: tuple[ResultRow, ...]
    task: Task = "segmentation"

    @property
    def confusion(self) -> ConfusionMatrix:
        """Counts pooled over all samples.

        Raises:
            ConfigError: several labels or quantities were scored, which have no confusion matrix.
        """
        if self.pooled is None:
            raise ConfigError(
                f"A confusion matrix was asked of the score of a {self.task}",
                expected="a task with one class per value",
                remedy="read 'rows'",
            )
        return self.pooled

    @property
    def excluded_share(self) -> float:
        """Share of the labelled values without a valid prediction; NaN without labels."""
        return self.excluded / self.labelled if self.labelled else float("nan")

    @property
    def units(self) -> NDArray[Any]:
        """Counts of what is resampled: groups where given, else samples."""
        return units_of(self.per_sample, self.groups)

    def value(self, metric: str) -> float:
        """The pooled value of an overall metric such as ``accuracy``, ``miou``, ``map`` or ``rmse``.

        Raises:
            ConfigError: there is no such metric for this task.
        """
        known = {row.metric: row.value for row in self.rows if row.class_name is None}
        if metric not in known:
            raise ConfigError(
                f"There is no overall metric '{metric}'",
                expected=f"one of {', '.join(known)}",
                remedy=f"the nearest is: {nearest(metric, known)}",
            )
        return known[metric]


class Predicted(NamedTuple):
    """One batch and what a predictor says about it.

    Args:
        ids: sample ids.
        prediction: the prediction, checked.
        truth: the target.
        usable: where it is valid, of the same shape.
    """

    ids: tuple[str, ...]
    prediction: Prediction
    truth: torch.Tensor
    usable: torch.Tensor


def predictions(predictor: Predictor, batches: Iterable[Batch], target: str) -> Iterator[Predicted]:
    """Every batch with its checked prediction.

    Raises:
        ContractError: a batch or prediction breaks its contract, or an id comes twice.
        InputError: there are no batches.
    """
    seen: set[str] = set()
    with torch.inference_mode():
        for batch in batches:
            batch.check({target: predictor.task})
            twice = sorted(seen & set(batch.ids))
            if twice:
                raise ContractError(
                    f"Samples were given twice: {', '.join(twice[:5])}",
                    expected="every sample once",
                    remedy="turn sampling with replacement off when scoring",
                )
            seen |= set(batch.ids)
            prediction = predictor.predict(batch)
            prediction.check(batch)
            truth = batch.targets[target]
            yield Predicted(tuple(batch.ids), prediction, truth, batch.target_valid[target].expand_as(truth))
    if not seen:
        raise InputError("There are no batches to score", expected="at least one sample", remedy="check the split")


def groups_of(ids: Sequence[str], groups: Mapping[str, str] | None) -> tuple[str, ...]:
    """The group of each sample; empty without groups.

    Raises:
        InputError: a sample has none.
    """
    missing = [name for name in ids if groups is not None and name not in groups]
    if missing:
        raise InputError(
            f"{len(missing)} samples have no group, such as {', '.join(missing[:3])}",
            expected="a group for every scored sample",
            remedy="take the groups from the split table",
        )
    return () if groups is None else tuple(groups[name] for name in ids)


def units_of(per_sample: NDArray[Any], groups: tuple[str, ...]) -> NDArray[Any]:
    """Sums over groups where there are some, else over samples."""
    return metrics.sum_by_group(per_sample, groups)[0] if groups else per_sample


class Column(NamedTuple):
    """What one number of a score is called.

    Args:
        metric: name of the metric.
        class_name: class or quantity, None for an overall number.
        higher_is_better: None where neither is.
        note: what a reader has to know beside the interval.
    """

    metric: str
    class_name: str | None
    higher_is_better: bool | None = True
    note: str = ""


def rows_of(
    base: ResultRow, columns: Sequence[Column], interval: Interval, counts: tuple[int, int], unit: str
) -> tuple[ResultRow, ...]:
    """One row per number of an interval, and the share of what was left out.

    Args:
        base: what all rows say.
        columns: what the numbers of the interval are, in their order.
        interval: estimates and bounds ``(len(columns),)``.
        counts: values with a valid target, and those of them without a valid prediction.
        unit: what was resampled.
    """
    rows = []
    about = f"interval: 95 % percentile bootstrap over {interval.units} {unit}s"
    for index, column in enumerate(columns):
        parts = [base.note, "; ".join(part for part in (column.note, about) if part)]
        if interval.undefined[index]:
            parts.append(f"undefined in {int(interval.undefined[index])} resamples")
        rows.append(
            replace(
                base,
                metric=column.metric,
                class_name=column.class_name,
                value=float(interval.estimate[index]),
                higher_is_better=column.higher_is_better,
                ci_low=_known(interval.low[index]),
                ci_high=_known(interval.high[index]),
                note="; ".join(part for part in parts if part),
            )
        )
    labelled, excluded = counts
    share = excluded / labelled if labelled else float("nan")
    note = "; ".join(
        part for part in (base.note, f"{excluded} of {labelled} labelled values have no valid prediction") if part
    )
    rows.append(replace(base, metric="excluded_share", value=share, higher_is_better=False, note=note))
    return tuple(rows)


def _known(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
