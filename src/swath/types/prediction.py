"""What a model says about a batch, and the protocol of everything that can say it."""

from __future__ import annotations

from collections.abc import Mapping
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
}
"""Output names a task may carry; the first is required. ``uncertainty`` may be added to any of them."""


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
        """Class probabilities, same shape as the logits (sigmoid for multi-label, softmax over K otherwise)."""
        logits: Tensor = self.outputs["logits"]
        return logits.sigmoid() if self.task == "multilabel" else logits.softmax(dim=1)

    def label(self) -> Tensor:
        """The most probable class, int64, without the K axis."""
        logits: Tensor = self.outputs["logits"]
        return logits.argmax(dim=1)

    def check(self, batch: Batch) -> None:
        """Raise a plain sentence when the prediction does not fit the batch.

        Raises:
            ContractError: required output missing, wrong batch size, NaN where valid (the samples are named).
        """
        import torch

        required = OUTPUTS[self.task][0]
        allowed = (*OUTPUTS[self.task], "uncertainty")
        unknown = [name for name in self.outputs if name not in allowed]
        if required not in self.outputs or unknown:
            raise ContractError(
                f"A prediction for '{self.task}' holds the outputs {sorted(self.outputs)}",
                expected=f"'{required}', and nothing beyond {', '.join(allowed)}",
                remedy="rename the outputs of predict()",
            )
        for name, value in self.outputs.items():
            if len(value) != batch.batch_size:
                raise ContractError(
                    f"The output '{name}' holds {len(value)} samples and the batch {batch.batch_size}",
                    expected="one prediction per sample",
                    remedy="keep the sample axis first in predict()",
                )
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                rows = value.reshape(len(value), -1)
                bad = ~torch.isfinite(rows).all(dim=1) & self.valid.reshape(len(value), -1).any(dim=1)
                if bool(bad.any()):
                    names = [batch.ids[int(i)] for i in torch.nonzero(bad).flatten()[:5]]
                    raise ContractError(
                        f"The output '{name}' holds NaN or infinite numbers for the samples {', '.join(names)}",
                        expected="finite predictions",
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
