"""What has to lie beside a map so that it can be defended: where the model applies, and how sure it is.

A ``Trust`` is made by ``swath.judge.calibrate`` and lies in the folder of the run as ``trust.json`` and
``trust.safetensors``; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from swath.errors import InputError
from swath.files import replacing, write_json
from swath.predict.applicability import Applicability, WithApplicability, applicability_layers, feature_names
from swath.predict.conformal import ConformalSets, set_layers
from swath.predict.layers import Layer
from swath.types import Predictor

SCHEMA_VERSION = 1
RECORD, ARRAYS = "trust.json", "trust.safetensors"
OUTPUTS = ("applicability", "dissimilarity", "set_size")
"""The extra maps that belong beside a class map."""


@dataclass(frozen=True, eq=False)
class Trust:
    """What is known of a model beyond its weights.

    Args:
        applicability: from the training chips.
        sets: from the validation chips.
        coverage: of test chips: ``all`` and every class -> pixels, coverage, size; empty without test chips.
        outside: share of labelled pixels outside the area of applicability, per split.
        facts: alpha, seed, counts, data fingerprint, fingerprint of the model.
    """

    applicability: Applicability
    sets: ConformalSets
    coverage: Mapping[str, Mapping[str, float]]
    outside: Mapping[str, float]
    facts: Mapping[str, Any]

    def save(self, folder: Path | str) -> Path:
        """Write ``trust.json`` and ``trust.safetensors`` into a folder; the JSON names the arrays it belongs to."""
        folder = Path(folder)
        arrays = save_tensors({name: array.copy() for name, array in self.applicability.arrays().items()})
        with replacing(folder / ARRAYS) as temporary:
            temporary.write_bytes(arrays)
        content = {
            "schema_version": SCHEMA_VERSION,
            "applicability": self.applicability.record(),
            "conformal": self.sets.record(),
            "coverage": {name: dict(row) for name, row in self.coverage.items()},
            "outside": dict(self.outside),
            "facts": dict(self.facts),
            "arrays": hashlib.sha256(arrays).hexdigest(),
        }
        return write_json(folder / RECORD, content)

    @classmethod
    def load(cls, folder: Path | str) -> Trust:
        """Read what ``save`` wrote.

        Raises:
            InputError: a file is missing, damaged, of another pair or of a newer schema.
        """
        folder = Path(folder)
        if not (folder / RECORD).is_file():
            raise InputError(
                f"There is no {RECORD} in {folder}",
                expected="a run that was calibrated",
                remedy="run 'swath trust RUN CHIPS' first",
            )
        try:
            content, raw = json.loads((folder / RECORD).read_text(encoding="utf-8")), (folder / ARRAYS).read_bytes()
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"schema version {content['schema_version']}, not {SCHEMA_VERSION}")
            if content["arrays"] != hashlib.sha256(raw).hexdigest():
                raise ValueError(f"{ARRAYS} is not the one that {RECORD} was written with")
            applicability = Applicability.from_record(content["applicability"], load_tensors(raw))
            sets = ConformalSets.from_record(content["conformal"])
            return cls(applicability, sets, dict(content["coverage"]), dict(content["outside"]), dict(content["facts"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
            raise InputError(
                f"{folder / RECORD} cannot be used ({type(error).__name__}: {error})",
                expected=f"{RECORD} and {ARRAYS} as swath wrote them together",
                remedy="run 'swath trust RUN CHIPS' again",
            ) from error


def trusted(predictor: Predictor, trust: Trust, *, step: int = 1) -> tuple[WithApplicability, dict[str, Layer]]:
    """A predictor that also tells how unlike each pixel is, and the layers that ``predict_scene`` takes as ``extra``.

    Args:
        predictor: the model that was calibrated.
        trust: of this model.
        step: see ``WithApplicability``.

    Returns:
        The predictor; and layers ``dissimilarity``, ``applicability``, ``set_size``, ``set``.

    Raises:
        InputError: ``trust`` belongs to another model.
    """
    names = list(predictor.classes)
    bands = [name for bands in predictor.inputs.values() for name in bands.names]
    dates = len(trust.applicability.features) / max(len(bands), 1)
    fits = dates.is_integer() and feature_names(predictor.inputs, int(dates)) == trust.applicability.features
    made_for = trust.facts.get("model", "")
    if list(trust.sets.classes) != names or not fits or made_for not in ("", fingerprint(predictor)):
        differs = "classes" if list(trust.sets.classes) != names else "bands" if not fits else "weights"
        raise InputError(
            f"{RECORD} was made for a model with other {differs}",
            expected="the model that was calibrated, unchanged",
            remedy="run 'swath trust RUN CHIPS' again after training",
        )
    layers = {**applicability_layers(trust.applicability), **set_layers(trust.sets)}
    return WithApplicability(predictor, trust.applicability, step), layers


def fingerprint(predictor: object) -> str:
    """Twelve hexadecimal digits of the weights of a torch module; empty for anything else."""
    import torch

    if not isinstance(predictor, torch.nn.Module):
        return ""
    digest = hashlib.blake2b(digest_size=6)
    for name, tensor in sorted(predictor.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
