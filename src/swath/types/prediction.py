"""What a model says about a batch, and the protocol of everything that can say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from swath.errors import ContractError
from swath.sensors import BandSet
from swath.types.batch import Batch
from swath.types.task import Task

if TYPE_CHECKING:
    from torch import Tensor

OUTPUTS: dict[Task, tuple[str, ...]] = {
    "classification": ("logits",),
    "multilabel": ("logits",),
    "segmentation": ("logits",),
    "change": ("logits",),
    "regression": ("mean", "log_variance"),
    "pixel_regression": ("mean", "log_variance"),
    "forecast": ("mean", "log_variance"),
    "detection": ("boxes", "scores", "labels"),
    "instance": ("boxes", "scores", "labels", "masks"),
    "caption": ("text",),
    "vqa": ("text",),
    "grounding": ("boxes", "scores"),
    "embedding": ("embedding",),
}
"""Output names a task may carry; the first is required. ``uncertainty``, and what the attribute ``extras`` of a
predictor announces, may be added to any of them."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Outputs of a predictor for a batch.

    Args:
        task: what was predicted.
        outputs: see ``OUTPUTS``. ``logits`` are ``(B, K)`` or ``(B, K, [F,] H, W)`` (log-probabilities are fine:
            softmax leaves them as they are), ``mean`` has the shape of the task's target.
        valid: bool, ``(B,)`` or ``(B, [F,] H, W)``: True where the input allowed a prediction.
        classes: class names in the order of K.
    """

    task: Task
    outputs: Mapping[str, Any]
    valid: Tensor
    classes: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def probability(self) -> Tensor:
        """Class probabilities, same shape as the logits (sigmoid for multi-label, softmax over K otherwise).

        Raises:
            ContractError: the task has no logits.
        """
        logits = self._logits()
        return logits.sigmoid() if self.task == "multilabel" else logits.softmax(dim=1)

    def label(self) -> Tensor:
        """The most probable class, int64, without the K axis.

        Raises:
            ContractError: the task has no logits.
        """
        return self._logits().argmax(dim=1)

    def check(self, batch: Batch, extras: Iterable[str] = ()) -> None:
        """Raise a plain sentence when the prediction does not fit the batch.

        Args:
            batch: what was predicted.
            extras: names of outputs that the predictor announces beyond those of its task.

        Raises:
            ContractError: required output missing, wrong sizes, NaN where valid (the samples are named).
        """
        import torch

        required = OUTPUTS[self.task][0]
        allowed = (*OUTPUTS[self.task], "uncertainty", *extras)
        unknown = [name for name in self.outputs if name not in allowed]
        if required not in self.outputs or unknown:
            raise ContractError(
                f"A prediction for '{self.task}' holds the outputs {sorted(self.outputs)}",
                expected=f"'{required}', and nothing beyond {', '.join(allowed)}",
                remedy="rename the outputs of predict()",
            )
        self._check_valid(batch)
        for name, value in self.outputs.items():
            if len(value) != batch.batch_size:
                raise ContractError(
                    f"The output '{name}' holds {len(value)} samples and the batch {batch.batch_size}",
                    expected="one prediction per sample",
                    remedy="keep the sample axis first in predict()",
                )
            if isinstance(value, torch.Tensor):
                self._check_finite(name, value, batch)
        if "logits" in self.outputs:
            self._check_classes(self.outputs["logits"])

    def _logits(self) -> Tensor:
        if "logits" not in self.outputs:
            raise ContractError(
                f"A prediction for '{self.task}' has no classes (its outputs are {sorted(self.outputs)})",
                expected="the output 'logits'",
                remedy="read 'mean' for quantities, and the lists of boxes or texts as they are",
            )
        logits: Tensor = self.outputs["logits"]
        return logits

    def _check_valid(self, batch: Batch) -> None:
        import torch

        if not isinstance(self.valid, torch.Tensor) or self.valid.dtype != torch.bool or self.valid.ndim == 0:
            raise ContractError(
                f"The validity of a prediction for '{self.task}' is not a bool tensor",
                expected="bool, one per sample or one per sample and pixel",
                remedy="hand on the validity of the input, reduced over time and band",
            )
        if len(self.valid) != batch.batch_size:
            raise ContractError(
                f"The validity holds {len(self.valid)} samples and the batch {batch.batch_size}",
                expected="one entry per sample",
                remedy="keep the sample axis first in predict()",
            )

    def _check_classes(self, logits: Tensor) -> None:
        """The K axis agrees with the class names, and dense logits with the validity."""
        if self.classes and (logits.ndim < 2 or logits.shape[1] != len(self.classes)):
            raise ContractError(
                f"The logits have the shape {tuple(logits.shape)} for {len(self.classes)} classes",
                expected="(sample, class) or (sample, class, y, x)",
                remedy="check the class list and the axis order",
            )
        if self.valid.ndim > 1 and tuple(logits.shape[2:]) != tuple(self.valid.shape[1:]):
            raise ContractError(
                f"The logits have the shape {tuple(logits.shape)} and the validity {tuple(self.valid.shape)}",
                expected="the same rows and columns in both",
                remedy="upsample the logits to the input in predict()",
            )

    def _check_finite(self, name: str, value: Tensor, batch: Batch) -> None:
        """No NaN or infinite number at a place that is valid; what lies under the mask does not matter."""
        import torch

        finite = torch.isfinite(value)
        space = self.valid.shape[1:]
        if value.ndim > 1 and space and value.shape[value.ndim - len(space) :] == space:
            while finite.ndim > self.valid.ndim:
                finite = finite.all(dim=1)
            broken = ~finite & self.valid
        else:
            valid = self.valid.flatten(1).any(dim=1) if self.valid.ndim > 1 else self.valid
            broken = ~(finite.flatten(1).all(dim=1) if finite.ndim > 1 else finite) & valid
        rows = broken.flatten(1).any(dim=1) if broken.ndim > 1 else broken
        if bool(rows.any()):
            names = [str(batch.ids[int(row)]) for row in torch.nonzero(rows).flatten()[:5]]
            raise ContractError(
                f"The output '{name}' holds NaN or infinite numbers for the samples {', '.join(names)}",
                expected="finite predictions wherever they are valid",
                remedy="check normalisation statistics and the learning rate",
            )


@runtime_checkable
class Predictor(Protocol):
    """Anything that predicts: a network, a forest, an ONNX session.

    Args:
        task: what it predicts.
        inputs: the bands it wants, per modality name.
        classes: class names, empty for regression.
    """

    task: Task
    inputs: Mapping[str, BandSet]
    classes: tuple[str, ...]

    def predict(self, batch: Batch) -> Prediction:
        """Predictions for every sample of the batch, in order."""
        ...
