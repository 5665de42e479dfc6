"""What every published encoder offers: embeddings of a batch, with a version that tells them from others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from swath.errors import InputError
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task
from swath.weights import LoadReport, PublishedBand

if TYPE_CHECKING:
    from torch import Tensor, nn

PREPROCESSING = 1
"""Raised whenever the way from a batch to the input of a network changes: old embeddings then have another version."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of a batch, one per cell.

    Args:
        values: float32 ``(B, D, h, w)``, 0 where not valid.
        valid: bool ``(B, h, w)``, True where at least one observation was seen.
        stride: input pixels per cell along each axis.
        version: see ``Encoder``.
    """

    values: Tensor
    valid: Tensor
    stride: int
    version: str

    def points(self) -> Tensor:
        """``(B, D)``: the only cell of each sample, or the mean over its valid cells; 0 where there is none."""
        import torch

        number = self.valid.flatten(1).sum(dim=1).clamp(min=1)[:, None]
        kept = torch.where(self.valid[:, None], self.values, 0.0)
        return kept.flatten(2).sum(dim=2) / number


@runtime_checkable
class Encoder(Protocol):
    """A frozen published network with its preprocessing; also a ``Predictor`` for the task ``embedding``.

    Args:
        name: as in the list of weights.
        version: name and a hash over weights, scaling, bands that may be used, and options. Embeddings of different
            versions must not meet in one table or head.
        embedding_dim: components D.
        output_stride: input pixels per cell along each axis.
        inputs: bands that may be used, under one name of a modality.
        report: what was loaded.
    """

    name: str
    version: str
    embedding_dim: int
    output_stride: int
    task: Task
    inputs: Mapping[str, BandSet]
    classes: tuple[str, ...]
    report: LoadReport

    def encode(self, batch: Batch) -> Embeddings:
        """Embeddings of every cell of every sample."""
        ...

    def predict(self, batch: Batch) -> Prediction:
        """The same as a prediction, for maps."""
        ...

    def using(self, bands: BandSet) -> Encoder:
        """The encoder for scenes that offer these bands alone."""
        ...


def version_of(name: str, network: nn.Module, bands: Sequence[PublishedBand], options: Mapping[str, Any]) -> str:
    """``NAME-HASH``: sixteen digits of SHA-256 over all that decides what an embedding is.

    Args:
        name: of the encoder.
        network: its tensors count by shape and value, not by name, so that renaming a part of a network leaves
            embeddings usable.
        bands: those that may be used, with their scaling.
        options: JSON values, such as the size of a patch.
    """
    digest = hashlib.sha256()
    recipe = {
        "preprocessing": PREPROCESSING,
        "bands": [[band.name, band.published, band.band.unit, *band.scaling] for band in bands],
        "options": dict(options),
    }
    digest.update(json.dumps(recipe, sort_keys=True).encode())
    arrays = [np.ascontiguousarray(tensor.detach().cpu().numpy()) for tensor in network.state_dict().values()]
    for part in sorted(hashlib.sha256(str(array.shape).encode() + array.tobytes()).digest() for array in arrays):
        digest.update(part)
    return f"{name}-{digest.hexdigest()[:16]}"


def require_version(found: str, encoder: Encoder, where: str) -> None:
    """Refuse embeddings that another encoder made.

    Args:
        found: the version beside them.
        encoder: what they are to be used with.
        where: what they are, for the sentence.

    Raises:
        InputError: the versions differ.
    """
    if found != encoder.version:
        raise InputError(
            f"{where} holds embeddings of the version '{found}'",
            expected=f"'{encoder.version}'; other weights, bands or options give other numbers",
            remedy="make the embeddings again with this encoder, or load the one they were made with",
        )


def usable(bands: Sequence[PublishedBand], offered: BandSet, model: str) -> tuple[PublishedBand, ...]:
    """The published bands that some offered ones can serve.

    Raises:
        InputError: none.
    """
    match = offered.match(BandSet(tuple(band.band for band in bands)))
    found = tuple(band for band, index in zip(bands, match.indices, strict=True) if index is not None)
    if not found:
        raise InputError(
            f"No band of the scene fits {model}; it has {', '.join(offered.names) or 'none'}",
            expected=f"some of {', '.join(match.wanted.names)}, by name, alias or wavelength",
            remedy="name the sensor when opening the scene, so that its bands are known",
        )
    return found


def prediction(embeddings: Embeddings) -> Prediction:
    """Embeddings as a prediction of the task ``embedding``."""
    return Prediction("embedding", {"embedding": embeddings.values}, embeddings.valid)
