"""Test-time augmentation: ask a predictor about flipped and turned views, and average what it says.

A view moves pixels and nothing else: values, masks and the place of every pixel move together over all dates and
bands, and the answer is moved back before it is averaged. What has a direction inside a band, such as wind towards
the east or the aspect of a slope, is not turned with the view: do not use it with such bands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from odc.geo.geobox import GeoBox
from torch import Tensor

from swath.errors import ConfigError
from swath.predict.fields import (
    CLASS_TASKS,
    EMBEDDING,
    EMBEDDING_TASKS,
    MEAN,
    PROBABILITY,
    QUANTITY_TASKS,
    VARIANCE,
    groups_of,
    output_stride,
    values_of,
)
from swath.predict.symmetries import Symmetry, symmetries
from swath.sensors import BandSet
from swath.types import Batch, Modality, Prediction, Predictor, Task

SPREAD, DISAGREEMENT = "spread", "disagreement"


class TestTimeAugmentation:
    """A predictor that averages another one over views of its input.

    With V views and what the predictor p says of view v, moved back:

    * classes: probabilities ``p = Σ p_v / V``, given as ``log p``, so that softmax returns them;
    * quantities: ``mean = Σ m_v / V`` and, always announced, ``variance = Σ s²_v / V + Σ (m_v - mean)² / V``: what the
      predictor says of its error (0 where it says nothing) plus how far the views differ (law of total variance);
    * embeddings and announced extras: their means.

    Further outputs, all per pixel:

    * ``spread``: the standard deviation across views ``sqrt(Σ (p_v - p)² / V)``, averaged over classes or components;
      for quantities one band each, because their units differ;
    * ``disagreement`` (classes): ``(H(p) - Σ H(p_v) / V) / log K``, the mutual information of class and view, 0 where
      all views say the same, at most 1.

    A pixel is valid where it is so in every view. Memory does not grow with V; time does.

    Args:
        predictor: maps every pixel: tasks segmentation, change, pixel_regression, embedding.
        transforms: ``d4`` (all eight), ``rotations``, ``flips``, or single ones (``predict.symmetries``).

    Raises:
        ConfigError: a transform is unknown, the task gives no value per pixel, or the predictor announces an output
            that is computed here.
    """

    __test__ = False  # no test class, whatever its name looks like to pytest

    def __init__(self, predictor: Predictor, transforms: str | Sequence[str] = "d4") -> None:
        self.predictor = predictor
        self.views = symmetries(transforms)
        self.task: Task = predictor.task
        self.inputs: Mapping[str, BandSet] = predictor.inputs
        self.classes: tuple[str, ...] = predictor.classes
        self.colours: tuple[str, ...] = tuple(getattr(predictor, "colours", ()))
        self.output_stride = output_stride(predictor)
        inner: Mapping[str, tuple[str, ...]] = getattr(predictor, "extras", {})
        added = _added(self.task, self.classes)
        taken = [name for name in inner if name in added and name != VARIANCE]
        if taken:
            raise ConfigError(
                f"The predictor announces the outputs {', '.join(taken)} itself",
                expected="a predictor that was not augmented yet",
                remedy="augment it once, with all transforms",
            )
        self._groups = groups_of(predictor)
        self._means = tuple(name for name in inner if name != VARIANCE)
        self.extras: dict[str, tuple[str, ...]] = {**inner, **added}

    def predict(self, batch: Batch) -> Prediction:
        """The average over all views; targets of the batch are not shown to the predictor.

        Raises:
            ConfigError: a grid cannot be turned (only GeoBoxes can), or a quarter turn was asked for and the samples
                are not square.
        """
        self._check(batch)
        tallies: dict[str, _Tally] = {}
        valid: Tensor | None = None
        for view in self.views:
            answer = self.predictor.predict(_view_of(batch, view))
            for name, values in self._parts(answer).items():
                tallies.setdefault(name, _Tally()).add(view.undo(values.float()))
            here = view.undo(answer.valid) if answer.valid.ndim > 1 else answer.valid
            valid = here if valid is None else valid & here
        assert valid is not None  # there is at least one view
        return Prediction(self.task, self._outputs(tallies), valid, self.classes)

    def _parts(self, answer: Prediction) -> dict[str, Tensor]:
        """What is averaged of one view's answer."""
        parts = {name: values_of(answer, group) for name, group in self._groups.items()}
        if self.task in CLASS_TASKS:
            parts["entropy"] = torch.special.entr(parts[PROBABILITY].float()).sum(dim=1, keepdim=True)
        if "log_variance" in answer.outputs and VARIANCE not in parts:  # not announced, and worth having
            parts[VARIANCE] = answer.outputs["log_variance"].exp()
        return parts

    def _outputs(self, tallies: Mapping[str, _Tally]) -> dict[str, Tensor]:
        outputs = {name: tallies[name].mean for name in self._means}
        if self.task in CLASS_TASKS:
            tally = tallies[PROBABILITY]
            outputs["logits"] = tally.mean.clamp_min(torch.finfo(torch.float32).tiny).log()
            outputs[SPREAD] = tally.deviation().mean(dim=1, keepdim=True)
            shared = torch.special.entr(tally.mean).sum(dim=1, keepdim=True) - tallies["entropy"].mean
            outputs[DISAGREEMENT] = (shared / math.log(max(2, tally.mean.shape[1]))).clamp(0, 1)
        elif self.task in EMBEDDING_TASKS:
            outputs[EMBEDDING] = tallies[EMBEDDING].mean
            outputs[SPREAD] = tallies[EMBEDDING].deviation().mean(dim=1, keepdim=True)
        else:
            outputs[MEAN], outputs[SPREAD] = tallies[MEAN].mean, tallies[MEAN].deviation()
            between = tallies[MEAN].variance()
            outputs[VARIANCE] = between + tallies[VARIANCE].mean if VARIANCE in tallies else between
        return outputs

    def _check(self, batch: Batch) -> None:
        quarter = any(view.turns % 2 for view in self.views)
        for name, modality in batch.inputs.items():
            strange = sorted({type(grid).__name__ for grid in modality.grid if not isinstance(grid, GeoBox)})
            if strange or modality.has_faces:
                raise ConfigError(
                    f"The input '{name}' lies on a grid of the kind {', '.join(strange) or 'HEALPix'}",
                    expected="a rectangle of pixels (GeoBox), which can be flipped and turned",
                    remedy="predict without test-time augmentation, or warp the data to a map grid first",
                )
            height, width = modality.values.shape[-2:]
            if quarter and height != width:
                raise ConfigError(
                    f"The input '{name}' has {height} rows and {width} columns, and quarter turns were asked for",
                    expected="as many rows as columns",
                    remedy="use square tiles, or transforms='flips'",
                )


def _added(task: Task, classes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The outputs that augmentation adds."""
    if task in CLASS_TASKS:
        return {SPREAD: (SPREAD,), DISAGREEMENT: (DISAGREEMENT,)}
    if task in EMBEDDING_TASKS:
        return {SPREAD: (SPREAD,)}
    if task in QUANTITY_TASKS:
        return {VARIANCE: classes or (VARIANCE,), SPREAD: classes or (SPREAD,)}
    raise ConfigError(
        f"A predictor for the task '{task}' gives no value per pixel that could be moved back",
        expected=f"one of the tasks {', '.join((*CLASS_TASKS, *QUANTITY_TASKS, *EMBEDDING_TASKS))}",
        remedy="average whole-sample predictions over views yourself",
    )


def _view_of(batch: Batch, view: Symmetry) -> Batch:
    inputs = {name: _turned(modality, view) for name, modality in batch.inputs.items()}
    return replace(batch, inputs=inputs, targets={}, target_valid={})


def _turned(modality: Modality, view: Symmetry) -> Modality:
    boxes: list[Any] = [view.grid(grid) if isinstance(grid, GeoBox) else grid for grid in modality.grid]
    valid = modality.valid if modality.valid.ndim > 1 else modality.valid.expand_as(modality.values)
    return replace(modality, values=view.apply(modality.values), valid=view.apply(valid), grid=tuple(boxes))


@dataclass
class _Tally:
    """Running mean and variance over views (Welford 1962, Technometrics 4, 419-420).

    Views that agree to the last bit have a variance of exactly 0 and a mean of exactly their value.
    """

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.empty(0))
    squares: Tensor = field(default_factory=lambda: torch.empty(0))

    def add(self, values: Tensor) -> None:
        """Count one view."""
        self.count += 1
        if self.count == 1:
            self.mean, self.squares = values.clone(), torch.zeros_like(values)
            return
        step = values - self.mean
        self.mean = self.mean + step / self.count
        self.squares = self.squares + step * (values - self.mean)

    def variance(self) -> Tensor:
        """Mean squared distance from the mean, never below 0."""
        return (self.squares / self.count).clamp_min(0)

    def deviation(self) -> Tensor:
        """Its root."""
        return self.variance().sqrt()
