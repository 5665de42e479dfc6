"""How the networks of ``reobench`` learn from pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from swath.learn import FitConfig, fit
from swath.learn.task import evaluation
from swath.nn import Normalise
from swath.sensors import BandSet
from swath.systems.eo._pictures import PictureLoader, Pictures, colours
from swath.systems.eo._reobench_networks import Encoder, MaskedAutoencoder
from swath.types import Batch, Modality, Prediction, Task


class Classifier(nn.Module):
    """A network that learns and predicts one class per image.

    Args:
        network: standardised ``(B, C, H, W)`` to logits ``(B, K)``, with its ``options``.
        normalise: statistics of the colours.
        classes: K names.
        smoothing: share of the uniform distribution in the target.
    """

    def __init__(
        self, network: nn.Module, normalise: Normalise, classes: Sequence[str], *, smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.network, self.normalise, self.classes, self.smoothing = network, normalise, tuple(classes), smoothing
        self.task: Task = "classification"
        self.inputs: Mapping[str, BandSet] = {"image": colours()}

    def forward(self, image: Modality) -> torch.Tensor:
        """Logits ``(B, K)``; invalid pixels count as the mean colour."""
        logits: torch.Tensor = self.network(self.normalise(image.values, image.valid.expand_as(image.values))[:, 0])
        return logits

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Sum of the cross-entropy, and the number of images."""
        logits, labels = self(batch.inputs["image"]), batch.targets["label"]
        total = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.smoothing)
        return {"loss_sum": total, "count": torch.tensor(len(labels))}

    def predict(self, batch: Batch) -> Prediction:
        """Logits, valid where any pixel is."""
        image = batch.inputs["image"]
        with evaluation(self), torch.inference_mode():
            return Prediction(self.task, {"logits": self(image)}, image.valid.flatten(1).any(dim=1), self.classes)

    def record(self) -> dict[str, Any]:
        """What the classifier is, without its weights."""
        return {"task": self.task, **_described(self.network), "classes": list(self.classes)}


class Masked(nn.Module):
    """Masked pretraining of an encoder on images without their labels.

    Args:
        network: encoder and decoder.
        normalise: statistics of the colours.
    """

    def __init__(self, network: MaskedAutoencoder, normalise: Normalise) -> None:
        super().__init__()
        self.network, self.normalise = network, normalise

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Sum of the errors of the hidden patches, and their number."""
        image = batch.inputs["image"]
        total, count = self.network(self.normalise(image.values, image.valid.expand_as(image.values))[:, 0], rng)
        return {"loss_sum": total, "count": torch.tensor(count)}

    def record(self) -> dict[str, Any]:
        """What the network is, without its weights."""
        return {"task": "embedding", **_described(self.network)}


def _described(network: Any) -> dict[str, Any]:
    return {"architecture": {"name": type(network).__name__, "options": dict(network.options)}}


class Schedule(BaseModel):
    """How long and how fast to learn.

    Args:
        epochs: passes over the training pictures.
        rate: peak learning rate.
        batch_size: images per step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    rate: float = Field(gt=0)
    batch_size: int = Field(default=64, ge=1)


def train(task: Classifier | Masked, loader: PictureLoader, schedule: Schedule, out: Path, seed: int) -> None:
    """Train on one thread; a finished run in ``out`` is read."""
    options = FitConfig(
        epochs=schedule.epochs,
        learning_rate=schedule.rate,
        weight_decay=0.05,
        checkpoint_every_epochs=schedule.epochs,
        device="cpu",
        threads=1,
    )
    fit(task, loader, config=options, out=out, seed=seed, progress=False)


def pretrained(
    encoder: Encoder, normalise: Normalise, pictures: Pictures, schedule: Schedule, out: Path, seed: int
) -> Encoder:
    """The encoder after masked pretraining on pictures whose labels are not looked at."""
    task = Masked(MaskedAutoencoder(encoder), normalise)
    train(task, PictureLoader(pictures, batch_size=schedule.batch_size, seed=seed), schedule, out, seed)
    return encoder
