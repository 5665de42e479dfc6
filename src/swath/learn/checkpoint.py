"""Trained models on disk: weights as safetensors, everything else as readable JSON beside them.

``model.json`` holds the schema version, task, architecture, bands, classes with colours, statistics, the resolved
configuration, library versions and where the model came from. Nothing is ever unpickled. Loading needs no training
configuration, is strict about every weight, and brings old schemas forward one step at a time.
"""

from __future__ import annotations

import importlib
import json
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from swath.errors import InputError, nearest
from swath.files import replacing, write_json
from swath.learn.task import SegmentationTask, Trainable

SCHEMA_VERSION = 1
WEIGHTS, RECORD = "model.safetensors", "model.json"
TASKS = {
    "segmentation": "swath.learn.task:SegmentationTask",
}
"""Task name in a checkpoint -> ``module:class`` with ``from_record``."""
LIBRARIES = ("swath", "torch", "numpy", "safetensors")
SECTIONS = ("task", "architecture", "modality", "bands", "statistics", "classes", "colours", "valid_rule", "loss")


def save_checkpoint(
    directory: Path | str, task: Trainable, *, config: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Path:
    """Write ``model.safetensors`` and ``model.json``; each file is complete or not there.

    Args:
        directory: made when absent; an older checkpoint in it is replaced.
        task: a task that is also a ``torch.nn.Module``.
        config: the resolved configuration of the run, as JSON values.
        provenance: seed, epoch, scores, data fingerprint and the like, as JSON values.

    Returns:
        The directory.

    Raises:
        ContractError: the network is not a known architecture.
    """
    directory = Path(directory)
    content = {
        "schema_version": SCHEMA_VERSION,
        **task.record(),
        "config": dict(config),
        "provenance": dict(provenance),
        "versions": versions(),
    }
    with replacing(directory / WEIGHTS) as temporary:
        # Not save_file, whose files nobody but their owner may read.
        temporary.write_bytes(save(portable(task.state_dict() if isinstance(task, nn.Module) else {})))
    write_json(directory / RECORD, content)
    return directory


def load_checkpoint(path: Path | str) -> SegmentationTask:
    """The task of a checkpoint, on the processor and in evaluation mode.

    Args:
        path: the directory, or the ``model.json`` in it.

    Raises:
        InputError: a file is missing, truncated or of another kind; the schema is newer than this swath; or names or
            shapes of weights differ from what the architecture needs.
    """
    path = Path(path)
    directory = path.parent if path.name in (RECORD, WEIGHTS) else path
    record = read_record(directory)
    where = str(directory / RECORD)
    name = record["task"]
    if name not in TASKS:
        raise InputError(
            f"{where}: the task '{name}' is unknown",
            expected=f"one of {', '.join(TASKS)}",
            remedy=f"the nearest is {nearest(name, TASKS, 1)}; a newer swath may know '{name}'",
        )
    module, _, attribute = TASKS[name].partition(":")
    try:
        task: SegmentationTask = getattr(importlib.import_module(module), attribute).from_record(record, where)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where} is not as schema {SCHEMA_VERSION} has it ({type(error).__name__}: {error})",
            expected="the record as training wrote it",
            remedy="copy the checkpoint again; it may have been edited",
        ) from error
    _load_weights(task, directory / WEIGHTS)
    return task.eval()


def read_record(directory: Path | str) -> dict[str, Any]:
    """The content of ``model.json``, brought to the present schema.

    Raises:
        InputError: the file is missing, is no JSON object of swath, lacks a section or has a newer schema.
    """
    path = Path(directory) / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"There is no checkpoint in {path.parent}: {RECORD} is missing",
            expected=f"a directory with {RECORD} and {WEIGHTS}",
            remedy="name the directory that training wrote (best/ or last/ inside its output)",
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({error})",
            expected="the JSON record of a swath checkpoint",
            remedy="copy the checkpoint again; it may be truncated",
        ) from error
    if not isinstance(record, dict) or not ({"architecture", "network"} & set(record)):
        raise InputError(
            f"{path} is JSON, but not of a swath checkpoint",
            expected="the sections schema_version, " + ", ".join(SECTIONS),
            remedy="name the directory that training wrote",
        )
    record = migrate(record, str(path))
    missing = [section for section in SECTIONS if section not in record]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}",
            expected="the sections " + ", ".join(SECTIONS),
            remedy="copy the checkpoint again; sections were removed from it",
        )
    return record


def migrate(record: dict[str, Any], where: str) -> dict[str, Any]:
    """Bring a record to ``SCHEMA_VERSION``, one step at a time.

    Raises:
        InputError: the schema is newer than this version of swath or no whole number.
    """
    number = record.get("schema_version", 0)
    if not isinstance(number, int) or number < 0 or number > SCHEMA_VERSION:
        raise InputError(
            f"{where} has the schema version {number!r}",
            expected=f"a version from 0 to {SCHEMA_VERSION}, which this swath reads",
            remedy=f"update swath (the file was written by {record.get('versions', {}).get('swath', 'a newer one')})",
        )
    for step in range(number, SCHEMA_VERSION):
        record = MIGRATIONS[step](record) | {"schema_version": step + 1}
    return record


def _from_0(record: dict[str, Any]) -> dict[str, Any]:
    """Schema 0 kept bare band names, a legend of name -> colour, flat statistics and the network under 'network'."""
    network = dict(record["network"])
    return {
        "task": record.get("task", "segmentation"),
        "architecture": {"name": network.pop("kind"), "arguments": network},
        "modality": "image",
        "bands": [{"name": name} for name in record["bands"]],
        "statistics": {"mean": record["mean"], "std": record["std"]},
        "classes": list(record["legend"]),
        "colours": list(record["legend"].values()),
        "valid_rule": "any",
        "loss": {},
        "config": record.get("config", {}),
        "provenance": record.get("provenance", {}),
        "versions": record.get("versions", {}),
    }


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0}
"""Schema version -> what brings a record of it to the next version."""


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what a model computes."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed as a package"
    return found


def portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors wants them: on the processor, contiguous, not sharing memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _load_weights(task: nn.Module, path: Path) -> None:
    if not path.exists():
        raise InputError(
            f"The weights {path} are missing", expected=f"{WEIGHTS} beside {RECORD}", remedy="copy both files together"
        )
    try:
        stored = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as safetensors ({error})",
            expected="complete weights in the safetensors format; pickled weights are never read",
            remedy="copy the checkpoint again; the file is truncated or of another kind",
        ) from error
    wanted = task.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in stored]
    problems += [f"{name} is not in the architecture" for name in stored if name not in wanted]
    problems += [
        f"{name} has shape {tuple(stored[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in stored and stored[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise InputError(
            f"The weights {path} do not fit {RECORD}: {'; '.join(problems[:5])}{more}",
            expected=f"exactly the {len(wanted)} weights of the architecture",
            remedy="copy model.json and model.safetensors of the same checkpoint",
        )
    task.load_state_dict(stored)
