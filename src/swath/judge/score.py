"""Score a predictor on batches, with intervals over what was drawn independently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swath import metrics
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.judge import score_quantities as quantity_room
from swath.judge.score_multilabel import score_multilabel
from swath.judge.scored import Column, Score, groups_of, predictions, rows_of, units_of
from swath.metrics import ConfusionMatrix, Interval
from swath.types import IGNORE, Batch, Prediction, Predictor, ResultRow

__all__ = ["OVERALL", "Score", "compare", "score", "score_map"]

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


def score(
    predictor: Predictor,
    batches: Iterable[Batch],
    *,
    system: str = "evaluate",
    dataset: str | None = None,
    split: str | None = None,
    facts: ResultRow | None = None,
    target: str | None = None,
    groups: Mapping[str, str] | None = None,
    quantities: Mapping[str, str] | None = None,
) -> Score:
    """Score a predictor and express every number as a result row.

    One class per value (classification, segmentation, change): accuracies, kappa, mIoU, F1, and per class. Several
    labels: see ``score_multilabel``. Quantities: see ``score_quantities``.

    A value counts when its label is valid and the prediction is. Where the input is invalid (clouds, no data) nobody
    can predict, so such values are left out of all scores; how many they are is the row ``excluded_share``, because a
    contender that declines hard pixels must not look better unnoticed. Contenders that share inputs share exclusions,
    and ``compare`` refuses those that do not.

    Means over classes leave out classes in neither truth nor prediction and say so in ``note``. Intervals are 95 %
    percentile bootstrap intervals over samples, or over groups, 1,000 resamples with a fixed seed; never over pixels.

    Args:
        predictor: anything that predicts labels or quantities.
        batches: batches with the target; ids must be unique over all of them.
        system: name of the system in the rows, unless ``facts`` says more.
        dataset: name of the data set in the rows.
        split: name of the split in the rows.
        facts: a row whose descriptive columns are copied to every row (data kind, seed, backbone, ...).
        target: name of the target in the batches; default: ``value`` for quantities, else ``label``.
        groups: group of each sample id; with it, groups are resampled.
        quantities: name to unit of each quantity, in the order of the target.

    Raises:
        ConfigError: the predictor predicts neither labels nor quantities, or does not name its classes.
        ContractError: a batch or prediction breaks its contract, or an id comes twice.
        InputError: no batches, a sample without a group, or labels outside the classes.
    """
    _check_predictor(predictor)
    start = facts if facts is not None else ResultRow(run_id=system, system=system)
    start = replace(start, dataset=dataset or start.dataset, split=split or start.split, variant="pooled")

    def base(samples: int) -> ResultRow:
        return replace(start, n_test=samples)

    if predictor.task in quantity_room.TASKS:
        return quantity_room.score_quantities(
            predictor, batches, target=target or "value", base=base, groups=groups, quantities=quantities or {}
        )
    if predictor.task == "multilabel":
        return score_multilabel(predictor, batches, target=target or "label", base=base, groups=groups)
    return _score_labels(predictor, batches, target or "label", base, groups)


def _score_labels(
    predictor: Predictor,
    batches: Iterable[Batch],
    target: str,
    base: Callable[[int], ResultRow],
    groups: Mapping[str, str] | None,
) -> Score:
    """The score of one class per value, from confusion matrices of single samples."""
    ids, parts, labelled = _predict_all(predictor, batches, target)
    per_sample = np.concatenate(parts)
    chosen = groups_of(ids, groups)
    pooled = ConfusionMatrix(predictor.classes, per_sample.sum(axis=0))
    excluded = labelled - pooled.total
    unit = "group" if chosen else "sample"
    rows = _rows(base(len(ids)), pooled, units_of(per_sample, chosen), (labelled, excluded), unit)
    return Score(pooled, tuple(ids), per_sample, chosen, labelled, excluded, rows, predictor.task)


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
    return Score(pooled, tuple(map(str, numbers.tolist())), per_unit, (), *counts, rows)


def compare(first: Score, second: Score, metric: str = "accuracy") -> Interval:
    """Difference first - second of an overall metric with a paired bootstrap interval over the same units.

    Raises:
        ConfigError: unknown metric, or the scores are of several labels per sample.
        InputError: the two were not scored on the same values of the same samples.
    """
    statistic = _overall(metric, first)
    alike = first.task == second.task and first.per_sample.shape[1:] == second.per_sample.shape[1:]
    same = first.pooled is None or second.pooled is None or first.pooled.classes == second.pooled.classes
    if not alike or not same or set(first.ids) != set(second.ids):
        raise InputError(
            f"The scores are of {len(first.ids)} and {len(second.ids)} samples "
            f"({len(set(first.ids) & set(second.ids))} in common)",
            expected="the same samples and classes",
            remedy="score both contenders on one split",
        )
    position = {name: index for index, name in enumerate(second.ids)}
    aligned = second.per_sample[[position[name] for name in first.ids]]
    judged = [part[..., 0] if first.pooled is None else part.sum(axis=2) for part in (first.per_sample, aligned)]
    differs = (judged[0] != judged[1]).any(axis=1)
    if differs.any():
        named = [first.ids[index] for index in np.flatnonzero(differs)[:3]]
        raise InputError(
            f"The contenders were judged on different pixels of {int(differs.sum())} samples ({', '.join(named)})",
            expected="predictions for the same valid pixels",
            remedy="give both the same inputs, or predict wherever the other does",
        )
    return metrics.paired_bootstrap(
        units_of(first.per_sample, first.groups), units_of(aligned, first.groups), statistic
    )


def _predict_all(
    predictor: Predictor, batches: Iterable[Batch], target: str
) -> tuple[list[str], list[NDArray[np.int64]], int]:
    """Ids, one array of confusion matrices per batch, and the number of labelled values."""
    ids: list[str] = []
    parts: list[NDArray[np.int64]] = []
    labelled = 0
    for part in predictions(predictor, batches, target):
        labels = _labels(part.prediction, part.truth.shape, predictor.classes)
        labelled += int(part.usable.sum())
        seen = part.usable & part.prediction.valid
        parts.append(metrics.confusion_per_unit(part.truth, labels, seen, predictor.classes))
        ids.extend(part.ids)
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


def _check_predictor(predictor: Predictor) -> None:
    """It predicts labels that have names, or quantities."""
    known = (*TASKS, "multilabel", *quantity_room.TASKS)
    if predictor.task not in known or (predictor.task not in quantity_room.TASKS and not predictor.classes):
        raise ConfigError(
            f"The predictor's task is '{predictor.task}' with {len(predictor.classes)} classes",
            expected=f"a predictor of labels ({', '.join(TASKS)}, multilabel) that names its classes, or of quantities",
            remedy="score other tasks with swath.metrics",
        )


def _overall(metric: str, scored: Score) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """The function of summed counts behind an overall metric."""
    if scored.task == "multilabel":
        raise ConfigError(
            "Two scores of several labels were to be compared",
            expected="scores of one class per value, or of quantities",
            remedy="compare the intervals of the rows; average precision does not add up over samples",
        )
    options: Mapping[str, Any] = OVERALL if scored.pooled is not None else quantity_room.SCORES
    if metric not in options:
        raise ConfigError(
            f"There is no overall metric '{metric}'",
            expected=f"one of {', '.join(options)}",
            remedy=f"the nearest is: {nearest(metric, options)}",
        )
    return OVERALL[metric] if scored.pooled is not None else quantity_room.overall(metric)


def _rows(
    base: ResultRow, pooled: ConfusionMatrix, units: NDArray[np.int64], counts: tuple[int, int], unit: str
) -> tuple[ResultRow, ...]:
    """All numbers of a score, in one bootstrap over all statistics."""

    def everything(sums: NDArray[Any]) -> NDArray[np.float64]:
        overall = [statistic(sums)[..., None] for statistic in OVERALL.values()]
        return np.concatenate(overall + [statistic(sums) for statistic in PER_CLASS.values()], axis=-1)

    about = f"mean over {pooled.present} of {len(pooled.classes)} classes (absent: skip)"
    columns = [Column(metric, None, True, about if metric in MACRO else "") for metric in OVERALL]
    columns += [Column(metric, name) for metric in PER_CLASS for name in pooled.classes]
    return rows_of(base, columns, metrics.bootstrap_interval(units, everything), counts, unit)
