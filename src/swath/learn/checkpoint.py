"""Trained models on disk: weights as safetensors, everything else as readable JSON beside them.

``model.json`` holds the schema version, task, architecture, bands, classes with colours, statistics, the resolved
configuration, library versions and where the model came from. Nothing is ever unpickled. Loading needs no training
configuration, is strict about every weight, and brings old schemas forward one step at a time.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from swath.errors import InputError, SwathError, nearest
from swath.files import replacing, sha256, write_json
from swath.learn.goals import TASKS
from swath.learn.model_task import SECTIONS as MODEL_SECTIONS
from swath.learn.model_task import ModelTask
from swath.learn.record import build_network
from swath.learn.task import SegmentationTask, Trainable
from swath.learn.tensor_file import write_tensors
from swath.reading import read_json, reading, reason

SCHEMA_VERSION = 1
BEST_FIRST = ("best", "last")
"""Folders of a run in which a model is looked for, in this order."""
WEIGHTS, RECORD = "model.safetensors", "model.json"
Task = SegmentationTask | ModelTask
LIBRARIES = ("swath", "torch", "numpy", "safetensors")
SECTIONS = ("task", "architecture", "modality", "bands", "statistics", "classes", "colours", "valid_rule", "loss")
"""What the record of a ``SegmentationTask`` holds; one of a ``ModelTask`` has ``inputs`` instead, by name."""


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
        digest = write_tensors(temporary, task.state_dict() if isinstance(task, nn.Module) else {})
    write_json(directory / RECORD, {**content, "weights_sha256": digest})
    return directory


def load_checkpoint(path: Path | str) -> Task:
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
    name = str(record["task"])[:80]
    known = TASKS if "inputs" in record else ("segmentation",)
    if name not in known:
        raise InputError(
            f"{where}: the task '{name}' is unknown",
            expected=f"one of {', '.join(known)}",
            remedy=f"the nearest is {nearest(name, known, 1)}; a newer swath may know '{name}'",
        )
    # Built without memory first: a record of a few bytes can ask for a network of any size.
    weights = directory / WEIGHTS
    stored = _stored_shapes(weights)
    try:
        _check_size(record, where, stored, weights)
        build = ModelTask.from_record if "inputs" in record else SegmentationTask.from_record
        task: Task = build(record, where)
    except SwathError:
        raise
    except Exception as error:  # values of any type in any place: no list of classes would be complete
        raise InputError(
            f"{where} is not as schema {SCHEMA_VERSION} has it ({reason(error)})",
            expected="the record as training wrote it",
            remedy="copy the checkpoint again; it may have been edited",
        ) from error
    _load_weights(task, weights)
    _check_belongs(directory, record)
    return task.eval()


def read_record(directory: Path | str) -> dict[str, Any]:
    """The content of ``model.json``, brought to the present schema.

    Raises:
        InputError: the file is missing, is no JSON object of swath, lacks a section or has a newer schema.
    """
    path = Path(directory) / RECORD
    with reading(path, expected=f"a directory with {RECORD}", remedy="check the path"):
        there = path.exists()
    if not there:
        raise InputError(
            f"There is no checkpoint in {path.parent}: {RECORD} is missing",
            expected=f"a directory with {RECORD} and {WEIGHTS}",
            remedy="name the directory that training wrote (best/ or last/ inside its output)",
        )
    expected, remedy = "the JSON record of a swath checkpoint", "copy the checkpoint again; it may be truncated"
    record = read_json(path, expected=expected, remedy=remedy)
    if not isinstance(record, dict) or not ({"architecture", "network"} & set(record)):
        raise InputError(
            f"{path} is JSON, but not of a swath checkpoint",
            expected="the sections schema_version, " + ", ".join(SECTIONS),
            remedy="name the directory that training wrote",
        )
    with reading(path, expected=expected, remedy="copy the checkpoint again; it may have been edited"):
        record = migrate(record, str(path))
    wanted = MODEL_SECTIONS if "inputs" in record else SECTIONS
    missing = [section for section in wanted if section not in record]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}",
            expected="the sections " + ", ".join(wanted),
            remedy="copy the checkpoint again; sections were removed from it",
        )
    return record


def migrate(record: dict[str, Any], where: str) -> dict[str, Any]:
    """Bring a record to ``SCHEMA_VERSION``, one step at a time.

    Raises:
        InputError: the schema is newer than this version of swath or no whole number.
    """
    number = record.get("schema_version", 0)
    if type(number) is not int or number < 0 or number > SCHEMA_VERSION:
        versions = record.get("versions")
        writer = versions.get("swath", "a newer one") if isinstance(versions, dict) else "a newer one"
        raise InputError(
            f"{where} has the schema version {str(number)[:40]!r}",
            expected=f"a version from 0 to {SCHEMA_VERSION}, which this swath reads",
            remedy=f"update swath (the file was written by {str(writer)[:40]})",
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


def _stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape of the stored weights, from the header alone."""
    if not path.exists():
        raise InputError(
            f"The weights {path} are missing", expected=f"{WEIGHTS} beside {RECORD}", remedy="copy both files together"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise _no_weights(path, error) from error


def _no_weights(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} ({path.stat().st_size} bytes) cannot be read as safetensors ({reason(error)})",
        expected="complete weights in the safetensors format; pickled weights are never read",
        remedy="copy the checkpoint again; the file is truncated or of another kind",
    )


def _check_size(record: Mapping[str, Any], where: str, stored: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Refuse a record whose network is far larger than the weights beside it, before memory is taken for it."""
    with torch.device("meta"):
        network = build_network(record["architecture"], where)
    wanted = sum(parameter.numel() for parameter in network.parameters())
    there = sum(math.prod(shape) for shape in stored.values())
    if wanted > 10 * there + 10**6:
        raise InputError(
            f"{where} describes a network of {wanted} parameters, and {path.name} holds {there} numbers",
            expected=f"{RECORD} and {WEIGHTS} of the same checkpoint",
            remedy="copy both files of one checkpoint",
        )


def _check_belongs(directory: Path, record: Mapping[str, Any]) -> None:
    """Refuse new weights beside an old record, which a run leaves that is killed between writing the two."""
    written = record.get("weights_sha256")
    if written is not None and sha256(directory / WEIGHTS) != written:
        raise InputError(
            f"{directory / WEIGHTS} holds other weights than {RECORD} describes",
            expected="both files of one checkpoint",
            remedy="if training was stopped while it saved them, start the same training again and it goes on from "
            "there; otherwise copy both files again",
        )


def _load_weights(task: nn.Module, path: Path) -> None:
    try:
        stored = load_file(path)
    except (SafetensorError, OSError, ValueError, OverflowError, RuntimeError) as error:
        raise _no_weights(path, error) from error
    wanted = task.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in stored]
    problems += [f"{name} is not in the architecture" for name in stored if name not in wanted]
    problems += [
        f"{name} has shape {tuple(stored[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in stored and stored[name].shape != tensor.shape
    ]
    problems += [
        f"{name} holds {str(stored[name].dtype).removeprefix('torch.')} instead of "
        f"{str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in wanted.items()
        if name in stored and stored[name].dtype != tensor.dtype
    ]
    problems += [
        f"{name} holds numbers that are NaN or infinite"
        for name, tensor in stored.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all())
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise InputError(
            f"The weights {path} do not fit {RECORD}: {'; '.join(problems[:5])}{more}",
            expected=f"exactly the {len(wanted)} weights of the architecture",
            remedy="copy model.json and model.safetensors of the same checkpoint",
        )
    task.load_state_dict(stored)
