"""Score a predictor of labels on batches, with intervals over what was drawn independently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swath import metrics
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.metrics import ConfusionMatrix, Interval
from swath.types import IGNORE, Batch, Prediction, Predictor, ResultRow

TASKS = ("classification", "segmentation", "change")
OVERALL: dict[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
    "accuracy": metrics.accuracy,
    "balanced_accuracy": metrics.balanced_accuracy,
    "kappa": metrics.kappa,
    "miou": metrics.miou,
    "f1": metrics.mean_f1,
}
PER_CLASS = {"iou": metrics.iou, "f1": metrics.f1, "precision": metrics.precision, "recall": metrics.recall}
MACRO = ("miou", "f1")


@dataclass(frozen=True, eq=False)
class Score:
    """What scoring leaves behind.

    Args:
        confusion: counts pooled over all samples.
        ids: sample ids in the order of ``per_sample``.
        per_sample: int64 ``(N, K, K)``, one confusion matrix per sample.
        groups: the group of each sample, or empty; intervals run over groups where there are some.
        labelled: values with a valid label.
        excluded: those of them without a valid prediction, left out of all scores.
        rows: every number as result rows.
    """

    confusion: ConfusionMatrix
    ids: tuple[str, ...]
    per_sample: NDArray[np.int64]
    groups: tuple[str, ...]
    labelled: int
    excluded: int
    rows: tuple[ResultRow, ...]

    @property
    def excluded_share(self) -> float:
        """Share of the labelled values without a valid prediction; NaN without labels."""
        return self.excluded / self.labelled if self.labelled else float("nan")

    @property
    def units(self) -> NDArray[np.int64]:
        """Counts of what is resampled: groups where given, else samples."""
        return _units(self.per_sample, self.groups)

    def value(self, metric: str) -> float:
        """The pooled value of an overall metric such as ``accuracy`` or ``miou``."""
        return float(_overall(metric)(self.confusion.counts))


def score(
    predictor: Predictor,
    batches: Iterable[Batch],
    *,
    system: str = "evaluate",
    dataset: str | None = None,
    split: str | None = None,
    facts: ResultRow | None = None,
    target: str = "label",
    groups: Mapping[str, str] | None = None,
) -> Score:
    """Score a predictor of labels and express every number as a result row.

    A value counts when its label is valid and the prediction is. Where the input is invalid (clouds, no data) nobody
    can predict, so such values are left out of all scores; how many they are is the row ``excluded_share``, because a
    contender that declines hard pixels must not look better unnoticed. Contenders that share inputs share exclusions,
    and ``compare`` refuses those that do not.

    Means over classes leave out classes in neither truth nor prediction and say so in ``note``. Intervals are 95 %
    percentile bootstrap intervals over samples, or over groups, 1,000 resamples with a fixed seed; never over pixels.

    Args:
        predictor: anything that predicts labels.
        batches: batches with the target; ids must be unique over all of them.
        system: name of the system in the rows, unless ``facts`` says more.
        dataset: name of the data set in the rows.
        split: name of the split in the rows.
        facts: a row whose descriptive columns are copied to every row (data kind, seed, backbone, ...).
        target: name of the target in the batches.
        groups: group of each sample id; with it, groups are resampled.

    Raises:
        ConfigError: the predictor does not predict labels.
        ContractError: a batch or prediction breaks its contract, or an id comes twice.
        InputError: no batches, a sample without a group, or labels outside the classes.
    """
    if predictor.task not in TASKS or not predictor.classes:
        raise ConfigError(
            f"The predictor's task is '{predictor.task}' with {len(predictor.classes)} classes",
            expected=f"a predictor of labels ({', '.join(TASKS)}) that names its classes",
            remedy="score quantities with swath.metrics.Regression",
        )
    ids, parts, labelled = _predict_all(predictor, batches, target)
    per_sample = np.concatenate(parts)
    chosen = _groups_of(ids, groups)
    pooled = ConfusionMatrix(predictor.classes, per_sample.sum(axis=0))
    base = facts if facts is not None else ResultRow(run_id=system, system=system)
    base = replace(base, dataset=dataset or base.dataset, split=split or base.split, n_test=len(ids), variant="pooled")
    excluded = labelled - pooled.total
    rows = _rows(base, pooled, _units(per_sample, chosen), (labelled, excluded), "group" if chosen else "sample")
    return Score(pooled, tuple(ids), per_sample, chosen, labelled, excluded, tuple(rows))


def score_map(
    predicted: NDArray[np.integer],
    truth: NDArray[np.integer],
    units: NDArray[np.integer],
    classes: Sequence[str],
    *,
    facts: ResultRow,
    unit: str = "unit",
) -> Score:
    """Score one finished map, with intervals over the polygons or blocks that the truth came in.

    Pixels of one polygon or block are alike, so these are what is resampled, never pixels.

    Args:
        predicted: class numbers ``(y, x)``, below 0 where the map has no prediction.
        truth: class numbers ``(y, x)``, ``IGNORE`` where unknown.
        units: the polygon or block of each pixel ``(y, x)``, below 0 where a pixel plays no part.
        classes: K class names in label order.
        facts: a row whose descriptive columns are copied to every row.
        unit: what a unit is called in the notes.

    Raises:
        InputError: shapes differ, labels are outside the classes, or no pixel has both truth and unit.
    """
    labelled = (truth != IGNORE) & (units >= 0)
    if not labelled.any():
        raise InputError(
            "No pixel of the map has a label to score",
            expected=f"at least one labelled {unit}",
            remedy="check that labels and map cover the same place",
        )
    numbers, per_unit = metrics.confusion_per_group(
        truth, predicted, np.where(labelled, units, -1), predicted >= 0, classes
    )
    pooled = ConfusionMatrix(classes, per_unit.sum(axis=0))
    counts = (int(labelled.sum()), int(labelled.sum()) - pooled.total)
    rows = _rows(replace(facts, n_test=len(numbers), variant="pooled"), pooled, per_unit, counts, unit)
    return Score(pooled, tuple(map(str, numbers.tolist())), per_unit, (), *counts, tuple(rows))


def compare(first: Score, second: Score, metric: str = "accuracy") -> Interval:
    """Difference first - second of an overall metric with a paired bootstrap interval over the same units.

    Raises:
        ConfigError: unknown metric.
        InputError: the two were not scored on the same values of the same samples.
    """
    statistic = _overall(metric)
    if first.confusion.classes != second.confusion.classes or set(first.ids) != set(second.ids):
        raise InputError(
            f"The scores are of {len(first.ids)} and {len(second.ids)} samples "
            f"({len(set(first.ids) & set(second.ids))} in common)",
            expected="the same samples and classes",
            remedy="score both contenders on one split",
        )
    position = {name: index for index, name in enumerate(second.ids)}
    aligned = second.per_sample[[position[name] for name in first.ids]]
    differs = (first.per_sample.sum(axis=2) != aligned.sum(axis=2)).any(axis=1)
    if differs.any():
        named = [first.ids[index] for index in np.flatnonzero(differs)[:3]]
        raise InputError(
            f"The contenders were judged on different pixels of {int(differs.sum())} samples ({', '.join(named)})",
            expected="predictions for the same valid pixels",
            remedy="give both the same inputs, or predict wherever the other does",
        )
    return metrics.paired_bootstrap(_units(first.per_sample, first.groups), _units(aligned, first.groups), statistic)


def _predict_all(
    predictor: Predictor, batches: Iterable[Batch], target: str
) -> tuple[list[str], list[NDArray[np.int64]], int]:
    """Ids, one array of confusion matrices per batch, and the number of labelled values."""
    ids: list[str] = []
    parts: list[NDArray[np.int64]] = []
    labelled = 0
    with torch.inference_mode():
        for batch in batches:
            batch.check({target: predictor.task})
            prediction = predictor.predict(batch)
            prediction.check(batch)
            truth = batch.targets[target]
            usable = batch.target_valid[target].expand_as(truth)
            labels = _labels(prediction, truth.shape, predictor.classes)
            labelled += int(usable.sum())
            seen = usable & prediction.valid
            parts.append(metrics.confusion_per_unit(truth, labels, seen, predictor.classes))
            ids.extend(batch.ids)
    if not ids:
        raise InputError("There are no batches to score", expected="at least one sample", remedy="check the split")
    twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise ContractError(
            f"Samples were given twice: {', '.join(twice[:5])}",
            expected="every sample once",
            remedy="turn sampling with replacement off when scoring",
        )
    return ids, parts, labelled


def _labels(prediction: Prediction, shape: torch.Size, classes: Sequence[str]) -> torch.Tensor:
    """Predicted labels, after a check that logits and validity fit the target and the classes."""
    logits = prediction.outputs["logits"]
    wanted = (shape[0], len(classes), *shape[1:])
    if tuple(logits.shape) != wanted or prediction.valid.shape != shape:
        raise ContractError(
            f"The prediction has logits of shape {tuple(logits.shape)} and valid {tuple(prediction.valid.shape)}",
            expected=f"logits {wanted} and valid {tuple(shape)} for {len(classes)} classes",
            remedy="return one logit per class at the size of the target",
        )
    return prediction.label()


def _groups_of(ids: Sequence[str], groups: Mapping[str, str] | None) -> tuple[str, ...]:
    missing = [name for name in ids if groups is not None and name not in groups]
    if missing:
        raise InputError(
            f"{len(missing)} samples have no group, such as {', '.join(missing[:3])}",
            expected="a group for every scored sample",
            remedy="take the groups from the split table",
        )
    return () if groups is None else tuple(groups[name] for name in ids)


def _units(per_sample: NDArray[np.int64], groups: tuple[str, ...]) -> NDArray[np.int64]:
    return metrics.sum_by_group(per_sample, groups)[0] if groups else per_sample


def _overall(metric: str) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    if metric not in OVERALL:
        raise ConfigError(
            f"There is no overall metric '{metric}'",
            expected=f"one of {', '.join(OVERALL)}",
            remedy=f"the nearest is: {nearest(metric, OVERALL)}",
        )
    return OVERALL[metric]


def _rows(
    base: ResultRow, pooled: ConfusionMatrix, units: NDArray[np.int64], counts: tuple[int, int], unit: str
) -> list[ResultRow]:
    """All numbers of a score, in one bootstrap over all statistics."""
    size = len(pooled.classes)

    def everything(sums: NDArray[Any]) -> NDArray[np.float64]:
        overall = [statistic(sums)[..., None] for statistic in OVERALL.values()]
        return np.concatenate(overall + [statistic(sums) for statistic in PER_CLASS.values()], axis=-1)

    names: list[tuple[str, str | None]] = [(metric, None) for metric in OVERALL]
    names += [(metric, name) for metric in PER_CLASS for name in pooled.classes]
    interval = metrics.bootstrap_interval(units, everything)
    about = f"interval: 95 % percentile bootstrap over {len(units)} {unit}s"
    rows = []
    for index, (metric, name) in enumerate(names):
        note = about
        if name is None and metric in MACRO:
            note = f"mean over {pooled.present} of {size} classes (absent: skip); {note}"
        if interval.undefined[index]:
            note += f"; undefined in {int(interval.undefined[index])} resamples"
        rows.append(
            replace(
                base,
                metric=metric,
                class_name=name,
                value=float(interval.estimate[index]),
                higher_is_better=True,
                ci_low=_known(interval.low[index]),
                ci_high=_known(interval.high[index]),
                note="; ".join(part for part in (base.note, note) if part),
            )
        )
    labelled, excluded = counts
    share = excluded / labelled if labelled else float("nan")
    note = "; ".join(
        part for part in (base.note, f"{excluded} of {labelled} labelled values have no valid prediction") if part
    )
    rows.append(replace(base, metric="excluded_share", value=share, higher_is_better=False, note=note))
    return rows


def _known(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
