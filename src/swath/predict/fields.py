"""What is blended: named groups of per-pixel float32 layers that a predictor gives for every tile.

A tile of a map is the weighted mean of what overlapping tiles say. Class probabilities (never votes), means, variances,
embeddings and distances are all blended the same way; map layers (``swath.predict.layers``) are computed from the
blended groups afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.errors import ContractError
from swath.predict.blend import Floats
from swath.types import Prediction, Predictor, Task

CLASS_TASKS: tuple[Task, ...] = ("segmentation", "change")
QUANTITY_TASKS: tuple[Task, ...] = ("pixel_regression",)
EMBEDDING_TASKS: tuple[Task, ...] = ("embedding",)

PROBABILITY, MEAN, VARIANCE, EMBEDDING = "probability", "mean", "variance", "embedding"


@dataclass(frozen=True)
class Group:
    """Layers that belong together.

    Args:
        name: ``probability`` | ``mean`` | ``variance`` | ``embedding``, or an extra output of the predictor.
        bands: names of its layers: classes, quantities, components.
    """

    name: str
    bands: tuple[str, ...]


def groups_of(predictor: Predictor) -> dict[str, Group]:
    """All groups that a predictor can give, by name; the first is that of its task.

    A predictor that gives more per pixel than its task asks for says so in an attribute ``extras``: output name to
    names of layers, for example ``{"spread": ("spread",)}``. Its predictions then hold tensors ``(B, layer, y, x)``
    under those names. A regression predictor that gives ``log_variance`` says so as ``{"variance": quantities}``.
    The attribute ``classes`` names the layers of the task: classes, quantities, or the components of an embedding.
    """
    task, classes = predictor.task, predictor.classes
    first = PROBABILITY if task in CLASS_TASKS else EMBEDDING if task in EMBEDDING_TASKS else MEAN
    groups = {first: Group(first, classes or (first,))}
    extras: Mapping[str, tuple[str, ...]] = getattr(predictor, "extras", {})
    return groups | {name: Group(name, tuple(bands)) for name, bands in extras.items()}


def output_stride(predictor: Predictor) -> int:
    """Input pixels per output pixel along each axis: 1 unless the predictor says otherwise (``output_stride``)."""
    return int(getattr(predictor, "output_stride", 1))


def stack(prediction: Prediction, groups: Iterable[Group]) -> Floats:
    """The groups of a prediction as one array (B, layer, y, x), float32 on the CPU.

    Raises:
        ContractError: an output that the predictor had announced is missing.
    """
    parts = [values_of(prediction, group).detach().to("cpu", torch.float32) for group in groups]
    array: Floats = (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).numpy()
    return array


def values_of(prediction: Prediction, group: Group) -> Tensor:
    """What a prediction holds of one group (B, layer, y, x), where it lies.

    Raises:
        ContractError: the output is missing.
    """
    if group.name == PROBABILITY:
        return prediction.probability()
    outputs = prediction.outputs
    if group.name == VARIANCE and "log_variance" in outputs:
        variance: Tensor = outputs["log_variance"].exp()
        return variance
    if group.name not in outputs:
        raise ContractError(
            f"The predictor gave the outputs {', '.join(sorted(outputs))}, but no '{group.name}'",
            expected="every output that its task and its attribute 'extras' announce",
            remedy="add the output to predict(), or remove it from 'extras'",
        )
    values: Tensor = outputs[group.name]
    return values


@dataclass(frozen=True, eq=False)
class Fields:
    """Blended groups of one finished window.

    Args:
        values: float32 (layer, y, x): the groups one after the other.
        groups: what lies in it, in that order.
    """

    values: Floats
    groups: tuple[Group, ...]

    def __getitem__(self, name: str) -> Floats:
        """The layers of one group (layer, y, x), without copying."""
        first = 0
        for group in self.groups:
            if group.name == name:
                return self.values[first : first + len(group.bands)]
            first += len(group.bands)
        raise KeyError(name)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Position of the most probable class (y, x)."""
        return most_probable(self[PROBABILITY])


def most_probable(fields: Floats) -> NDArray[np.int64]:
    """Position of the largest of K fields at every pixel, (K, y, x) -> (y, x); the first one of equals.

    One pass per field over contiguous pixels is many times faster than ``argmax`` along the first axis.
    """
    best, labels = fields[0].copy(), np.zeros(fields.shape[1:], dtype=np.int64)
    for position, field in enumerate(fields[1:], start=1):
        better = field > best
        np.copyto(best, field, where=better)
        labels[better] = position
    return labels
