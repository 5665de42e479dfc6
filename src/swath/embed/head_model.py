"""A trained head on embeddings: a Predictor for maps of embeddings of one version, kept as arrays and JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from swath.embed.heads import Head, HeadName, head_from
from swath.embed.record import EmbeddingRecord, read_record
from swath.errors import InputError
from swath.files import make_folder, replacing, sha256, write_json
from swath.reading import read_json, reason
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

SCHEMA_VERSION = 1
RECORD, WEIGHTS = "head.json", "head.safetensors"
FLOOR = 1e-6
"""Smallest share given to a class, so that logarithms stay finite."""
_EXPECTED = f"the {RECORD} of a head that 'swath train' wrote on features"
_REMEDY = "copy the run again, or train again"


@dataclass(frozen=True)
class Origin:
    """What the embeddings of training were.

    Args:
        encoder: its name.
        version: see ``swath.models.Encoder``.
        stride: pixels of the scene per embedding along each axis.
    """

    encoder: str
    version: str
    stride: int


class FeatureHead:
    """Classes from embeddings, cell by cell.

    Args:
        head: what was fitted.
        name: ``linear`` or ``forest``.
        classes: K class names.
        dimensions: components D of an embedding.
        origin: the embeddings of training.
    """

    task: Task = "segmentation"

    def __init__(self, head: Head, name: HeadName, classes: tuple[str, ...], dimensions: int, origin: Origin) -> None:
        self.head, self.name, self.classes, self.dimensions, self.origin = head, name, classes, dimensions, origin
        self.inputs: Mapping[str, BandSet] = {"image": BandSet.of(*(f"e{number}" for number in range(dimensions)))}

    def predict(self, batch: Batch) -> Prediction:
        """Log-probabilities ``(B, K, H, W)`` of the first date, valid where all components are."""
        image = batch.inputs["image"]
        values = image.values[:, 0]
        valid = image.valid[:, 0].all(dim=1).expand(len(values), *values.shape[2:])
        shares = torch.full((*valid.shape, len(self.classes)), 1 / len(self.classes))
        rows = values.movedim(1, -1)[valid].cpu().numpy()
        if len(rows):
            shares[valid.cpu()] = torch.from_numpy(self.head.probability(rows)).float()
        logits = shares.clamp_min(FLOOR).log().movedim(-1, 1)
        return Prediction(self.task, {"logits": logits}, valid, self.classes)

    def check_features(self, path: Path | str) -> EmbeddingRecord:
        """Refuse a map of embeddings that another encoder made; gives its record.

        Raises:
            InputError: there is no record beside it, or it tells of another version.
        """
        record = read_record(path)
        same_version(record, self.origin.version, path, "the head was trained on")
        return record

    def save(self, folder: Path | str, facts: Mapping[str, Any]) -> Path:
        """Write ``head.safetensors`` and ``head.json``; each file is complete or not there.

        Args:
            folder: made when absent.
            facts: seed, labels, versions and scores, as JSON values.
        """
        folder = make_folder(Path(folder))
        weights = save({name: np.ascontiguousarray(item) for name, item in self.head.tensors().items()})
        content = {
            "schema_version": SCHEMA_VERSION,
            "head": self.name,
            "classes": list(self.classes),
            "dimensions": self.dimensions,
            "embeddings": asdict(self.origin),
            "facts": dict(facts),
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        with replacing(folder / WEIGHTS) as temporary:
            temporary.write_bytes(weights)
        return write_json(folder / RECORD, content)


def is_head(folder: Path | str) -> bool:
    """Whether a folder holds a trained head."""
    return (Path(folder) / RECORD).is_file()


def load_head(folder: Path | str) -> FeatureHead:
    """The head in the folder of a run.

    Raises:
        InputError: a file is missing, damaged, newer than this version of swath, or the two do not belong together.
    """
    folder = Path(folder)
    content: Any = read_json(folder / RECORD, expected=_EXPECTED, remedy=_REMEDY)
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"'{folder / RECORD}' is no record of this version", expected=_EXPECTED, remedy="update swath")
    try:
        name, classes = content["head"], tuple(content["classes"])
        dimensions, stated = content["dimensions"], content["weights_sha256"]
        origin = Origin(**content["embeddings"])
        good = (
            name in ("linear", "forest")
            and all(isinstance(item, str) for item in (*classes, stated, origin.encoder, origin.version))
            and len(set(classes)) == len(classes) > 1
            and type(dimensions) is int
            and type(origin.stride) is int
            and 0 < dimensions <= 2**16
        )
    except (KeyError, TypeError) as error:
        raise _damaged(folder / RECORD, reason(error)) from error
    if not good:
        raise _damaged(folder / RECORD, "a value is of another kind than training writes")
    weights = folder / WEIGHTS
    if not weights.is_file() or sha256(weights) != stated:
        raise _damaged(weights, "it is missing, or is not the file that the record tells of")
    try:
        stored = load_file(weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(weights, reason(error)) from error
    return FeatureHead(
        head_from(name, stored, dimensions, len(classes), str(weights)), name, classes, dimensions, origin
    )


def same_version(record: EmbeddingRecord, version: str, path: Path | str, whose: str) -> None:
    """Refuse embeddings of another version.

    Args:
        record: of the file.
        version: the wanted one.
        path: the file, for the sentence.
        whose: what the wanted one belongs to, such as ``the head was trained on``.

    Raises:
        InputError: the versions differ.
    """
    if record.version != version:
        raise InputError(
            f"'{path}' holds embeddings of the version '{record.version}', and {whose} '{version}'",
            expected="embeddings of the same encoder, weights, bands and options",
            remedy="make the embeddings again with the same encoder from the same bands, or train on these",
        )


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"'{path}' cannot be used ({why})", expected=_EXPECTED, remedy=_REMEDY)
