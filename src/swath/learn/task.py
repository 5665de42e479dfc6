"""Tasks: a network with its bands, classes and loss, able to learn and to predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol, Self, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError
from swath.learn.config import parse
from swath.learn.record import architecture_of, bands_from_records, bands_to_records, build_network
from swath.nn import Loss, Normalise, losses
from swath.sensors import BandSet
from swath.types import Batch, Modality, Prediction, Task

TARGET = "label"


@runtime_checkable
class Trainable(Protocol):
    """What ``fit`` and the checkpoints need; every task is also a ``torch.nn.Module``."""

    def loss(self, batch: Batch, rng: torch.Generator) -> Mapping[str, Tensor]:
        """``loss_sum`` (differentiable) and ``count``: the loss is their quotient over all batches of a step."""
        ...

    def record(self) -> dict[str, Any]:
        """All that rebuilds the task except its weights, as JSON values."""
        ...


class Answer(NamedTuple):
    """What a network says about a batch while it learns, and what it should have said.

    Args:
        raw: float32 ``(B, R, ...)``.
        target: labels ``(B, ...)``, or labels and quantities ``(B, K, ...)``.
        usable: bool of the shape of ``target``: the target is known and its input can be seen.
    """

    raw: Tensor
    target: Tensor
    usable: Tensor


class SegmentationLoss(BaseModel):
    """A weighted sum of losses per valid pixel.

    Args:
        cross_entropy: weight of cross-entropy.
        focal: weight of the focal loss.
        dice: weight of the Dice loss.
        lovasz: weight of the Lovász-softmax loss.
        class_weights: weight of each class in cross-entropy and focal loss, or None for 1.
        weighting: denominator of the weighted cross-entropy, see ``nn.losses.cross_entropy``.
        label_smoothing: share of the uniform distribution in the target of the cross-entropy.
        focal_gamma: how strongly the focal loss plays down easy pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cross_entropy: float = Field(default=1.0, ge=0)
    focal: float = Field(default=0.0, ge=0)
    dice: float = Field(default=0.0, ge=0)
    lovasz: float = Field(default=0.0, ge=0)
    class_weights: tuple[float, ...] | None = None
    weighting: Literal["torch", "mean"] = "torch"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=2.0, ge=0)

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.cross_entropy + self.focal + self.dice + self.lovasz <= 0:
            raise ValueError("at least one of cross_entropy, focal, dice and lovasz has to be above 0")
        return self

    def __call__(self, logits: Tensor, target: Tensor, valid: Tensor, class_weights: Tensor | None) -> Loss:
        """Pooled loss of a batch; the count is that of the first loss in use, the others enter as means."""
        terms: list[tuple[float, Loss]] = []
        if self.cross_entropy:
            term = losses.cross_entropy(
                logits,
                target,
                valid,
                class_weights=class_weights,
                weighting=self.weighting,
                label_smoothing=self.label_smoothing,
            )
            terms.append((self.cross_entropy, term))
        if self.focal:
            term = losses.focal(logits, target, valid, gamma=self.focal_gamma, class_weights=class_weights)
            terms.append((self.focal, term))
        if self.dice:
            terms.append((self.dice, losses.dice(logits, target, valid)))
        if self.lovasz:
            terms.append((self.lovasz, losses.lovasz_softmax(logits, target, valid)))
        weight, first = terms[0]
        total = weight * first.total
        for weight, term in terms[1:]:
            total = total + weight * term.mean() * first.count
        return Loss(total, first.count)


class SegmentationTask(nn.Module):
    """One class per pixel: source of the training loss and ``Predictor`` in one.

    Args:
        network: ``(B, C, H, W)`` standardised bands to ``(B, K, H, W)`` logits.
        normalise: statistics of the bands, in their order.
        bands: the C bands the network wants; a batch serves them by name, alias or wavelength, never by position.
        classes: the K class names, in the order of the labels.
        modality: which input of the batch to read.
        loss: what to minimise, class weights included.
        colours: one ``#rrggbb`` per class for maps, or empty.
        valid_rule: a pixel is predicted where ``any`` wanted band is valid (the others count as average), or only where
            ``all`` are.

    Raises:
        ConfigError: the numbers of bands, statistics, classes, weights or colours do not fit together.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        normalise: Normalise,
        bands: BandSet,
        classes: Sequence[str],
        *,
        modality: str = "image",
        loss: SegmentationLoss | None = None,
        colours: Sequence[str] = (),
        valid_rule: Literal["any", "all"] = "any",
    ) -> None:
        super().__init__()
        self.network = network
        self.normalise = normalise
        self.task: Task = "segmentation"
        self.bands = bands
        self.inputs: Mapping[str, BandSet] = {modality: bands}
        self.classes = tuple(classes)
        self.modality = modality
        self.loss_terms = loss or SegmentationLoss()
        self.colours = tuple(colours)
        self.valid_rule = valid_rule
        self._check_numbers()
        weights = self.loss_terms.class_weights
        self.register_buffer("class_weights", None if weights is None else torch.tensor(weights), persistent=False)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Logits ``(B, K, H, W)`` for ``(B, 1, C, H, W)`` values in physical units and their mask of the same shape."""
        logits: Tensor = self.network(self.normalise(values, valid)[:, 0])
        return logits

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """``loss_sum`` and ``count`` over the valid labels; nothing here is random, so ``rng`` is not used.

        A label counts where ``target_valid`` says so and the input can be predicted at all (see ``valid_rule``).

        Raises:
            ContractError: the batch has no target ``label``, or the modality has several dates.
            InputError: a wanted band is not among the bands of the batch.
        """
        loss = self.own_loss(self._answer(batch))
        return {"loss_sum": loss.total, "count": loss.count}

    def answer(self, batch: Batch, rng: torch.Generator) -> Answer:
        """What the network says, as in training, and what it should have said; raises as ``loss``."""
        return self._answer(batch)

    def own_loss(self, answer: Answer) -> Loss:
        """The loss of an answer against its labels."""
        return self.loss_terms(answer.raw, answer.target, answer.usable, self.class_weights)

    def outputs(self, raw: Tensor) -> dict[str, Tensor]:
        """``logits`` from raw numbers, which they are."""
        return {"logits": raw}

    def predict(self, batch: Batch) -> Prediction:
        """Logits per pixel, with the network in evaluation mode and without gradients.

        The batch may lie on another device than the network; the prediction comes back to where the batch is.

        Raises:
            ContractError: the modality is absent or has several dates.
            InputError: a wanted band is not among the bands of the batch.
        """
        with evaluation(self), torch.inference_mode():
            values, valid = self._select(batch)
            device = self.normalise.mean.device
            logits = self(values.to(device), valid.to(device)).float().to(values.device)
            return Prediction("segmentation", {"logits": logits}, self._predictable(valid), self.classes)

    def record(self) -> dict[str, Any]:
        """All that rebuilds the task except its weights; see ``learn.checkpoint`` and ``from_record``."""
        return {
            "task": self.task,
            "architecture": architecture_of(self.network),
            "modality": self.modality,
            "bands": bands_to_records(self.bands),
            "statistics": {"mean": self.normalise.mean.tolist(), "std": self.normalise.std.tolist()},
            "classes": list(self.classes),
            "colours": list(self.colours),
            "valid_rule": self.valid_rule,
            "loss": self.loss_terms.model_dump(mode="json"),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> SegmentationTask:
        """The task that ``record()`` describes, with fresh weights.

        Raises:
            InputError: the record does not fit this version of swath.
        """
        bands = bands_from_records(record["bands"], where)
        if not isinstance(record["modality"], str):
            raise InputError(
                f"{where} names the input {record['modality']!r}",
                expected="a name, such as 'image'",
                remedy="use the file as swath wrote it",
            )
        return cls(
            build_network(record["architecture"], where),
            Normalise(record["statistics"]["mean"], record["statistics"]["std"], names=bands.names),
            bands,
            record["classes"],
            modality=record["modality"],
            loss=parse(SegmentationLoss, record["loss"], where),
            colours=record["colours"],
            valid_rule=record["valid_rule"],
        )

    def _answer(self, batch: Batch) -> Answer:
        if TARGET not in batch.targets:
            raise ContractError(
                f"The batch has no target '{TARGET}' (it has {', '.join(sorted(batch.targets)) or 'none'})",
                expected="one class label per pixel",
                remedy=f"name the target '{TARGET}' in the loader",
            )
        values, valid = self._select(batch)
        target: Tensor = batch.targets[TARGET]
        usable = batch.target_valid[TARGET].expand_as(target) & self._predictable(valid)
        return Answer(self(values, valid).float(), target, usable)

    def _select(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Values and mask of the wanted bands in their order, both ``(B, 1, C, H, W)``."""
        modality = batch.inputs.get(self.modality)
        if modality is None:
            raise ContractError(
                f"The batch has no input '{self.modality}' (it has {', '.join(sorted(batch.inputs)) or 'none'})",
                expected=f"the modality '{self.modality}' with the bands {', '.join(self.bands.names)}",
                remedy="rename the input, or build the task with modality=NAME",
            )
        if modality.has_faces or modality.values.shape[1] != 1:
            raise ContractError(
                f"The input '{self.modality}' has shape {tuple(modality.values.shape)}",
                expected="(sample, time, band, y, x) with one date",
                remedy="choose one date or make a composite first",
            )
        return take_bands(modality, self.bands)

    def _predictable(self, valid: Tensor) -> Tensor:
        """Where a prediction is meaningful: ``(B, H, W)``."""
        return valid[:, 0].any(dim=1) if self.valid_rule == "any" else valid[:, 0].all(dim=1)

    def _check_numbers(self) -> None:
        wanted = {
            "means in the statistics": (len(self.normalise.mean), len(self.bands), "bands"),
            "class weights": (len(self.loss_terms.class_weights or self.classes), len(self.classes), "classes"),
            "colours": (len(self.colours or self.classes), len(self.classes), "classes"),
            "different names": (len(set(self.classes)), len(self.classes), "classes"),
        }
        spec = getattr(self.network, "spec", None)
        if spec is not None:
            wanted["input channels of the network"] = (spec.in_channels, len(self.bands), "bands")
            wanted["output channels of the network"] = (spec.out_channels, len(self.classes), "classes")
        for what, (given, expected, of) in wanted.items():
            if given != expected:
                raise ConfigError(
                    f"There are {given} {what} and {expected} {of}",
                    expected="the same number of both",
                    remedy="build the network, the statistics and the legend for the same bands and classes",
                )


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for the length of a block; every part gets its former mode back."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in training.items():
            part.training = mode


def check_classes(counts: Sequence[int] | Tensor, classes: Sequence[str]) -> None:
    """Refuse a training set from which no distinction can be learned.

    Args:
        counts: number of valid training pixels per class.
        classes: class names in the same order.

    Raises:
        InputError: fewer than two classes occur.
    """
    number = [int(count) for count in counts]
    if len(number) != len(classes):
        raise InputError(
            f"There are {len(number)} class counts for {len(classes)} classes",
            expected="one count per class",
            remedy="count the labels with the legend of the chip set",
        )
    present = [f"'{name}' ({count} pixels)" for name, count in zip(classes, number, strict=True) if count > 0]
    if len(present) < 2:
        given = f"only the class {present[0]}" if present else "no labelled pixel"
        raise InputError(
            f"The training set holds {given} out of {', '.join(classes) or 'no classes'}",
            expected="at least two classes with valid pixels",
            remedy="cut chips where other classes are, check the legend and the label file, or change the split",
        )


def take_bands(modality: Modality, wanted: BandSet) -> tuple[Tensor, Tensor]:
    """Values and mask of the wanted bands; a view where the bands already are in order."""
    indices = modality.bands.match(wanted).require()
    values, valid = modality.values, modality.valid.expand_as(modality.values)
    if indices == tuple(range(len(modality.bands))):
        return values, valid
    return values[:, :, list(indices)], valid[:, :, list(indices)]
