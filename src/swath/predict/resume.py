"""What a finished strip depends on, as one hash: another model, scene or option must not take it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from dask.base import tokenize
from dask.tokenize import TokenizationError
from pydantic import BaseModel

import swath
from swath.types import Predictor

SOURCE_FILES = 10_000
"""A scene of more files than this is not stamped, and its prediction not resumed."""


class _UnknownError(Exception):
    """A part of a predictor cannot be hashed so that another process finds the same."""


def fingerprint(predictor: Predictor, cube: xr.Dataset, options: Mapping[str, Any]) -> str | None:
    """Hash of weights, scene and options; None where the same could not be recognised in another process.

    A scene is recognised by its files (time of change and size) together with dask's names of the arrays, which stand
    for everything that is computed from them. So a cube in memory, a scene at an address, and a model with parts that
    have no lasting description give None.
    """
    data, valid = cube["data"].data, cube["valid"].data
    stamps = _stamps(str(cube.attrs.get("source", "")))
    if stamps is None or not hasattr(data, "dask"):
        return None
    digest = hashlib.sha256()
    try:
        parts = (
            swath.__version__,
            stamps,
            data.name,
            valid.name if hasattr(valid, "dask") else np.asarray(valid),
            str(cube.odc.geobox),
            cube["time"].values,
            [str(name) for name in cube["band"].values],
            dict(options),
            predictor,
        )
        for part in parts:
            _feed(digest, part, 0)
    except _UnknownError:
        return None
    return digest.hexdigest()


def stamps_of(cube: xr.Dataset) -> list[tuple[str, int, int]] | None:
    """Name, time of change and size of the files of a scene; None where they are not known."""
    return _stamps(str(cube.attrs.get("source", "")))


def _stamps(source: str) -> list[tuple[str, int, int]] | None:
    path = Path(source)
    if not source or "\0" in source or not path.exists():
        return None
    files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    if len(files) > SOURCE_FILES:
        return None
    return [(str(file.resolve()), file.stat().st_mtime_ns, file.stat().st_size) for file in files]


def _feed(digest: Any, value: Any, depth: int) -> None:
    """Add a value and what it is made of."""
    if depth > 20:
        raise _UnknownError
    kind = type(value)
    digest.update(f"{kind.__module__}.{kind.__qualname__}:".encode())
    if isinstance(value, torch.nn.Module):
        digest.update(repr(value).encode())
        _feed(digest, dict(value.state_dict()), depth + 1)
        _feed(digest, _plain_attributes(value), depth + 1)
    elif isinstance(value, torch.Tensor):
        if value.numel():
            _feed(digest, value.detach().to("cpu").flatten().clone().view(torch.uint8).numpy(), depth + 1)
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
    elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for name in sorted(value, key=str):
            digest.update(f"{name!r}=".encode())
            _feed(digest, value[name], depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        digest.update(f"{len(value)}".encode())
        for item in value:
            _feed(digest, item, depth + 1)
    elif value is None or isinstance(value, str | bytes | int | float | Path | np.generic):
        digest.update(repr(value).encode())
    elif isinstance(value, BaseModel):
        _feed(digest, value.model_dump(), depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _feed(digest, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth + 1)
    else:
        _feed_other(digest, value, depth)


def _feed_other(digest: Any, value: Any, depth: int) -> None:
    """A predictor or wrapper by its attributes, anything else by dask's token."""
    if hasattr(value, "predict") and hasattr(value, "__dict__"):
        _feed(digest, vars(value), depth + 1)
        return
    try:
        digest.update(str(tokenize(value, ensure_deterministic=True)).encode())
    except (TokenizationError, TypeError, ValueError, AttributeError) as error:
        raise _UnknownError from error


def _plain_attributes(module: torch.nn.Module) -> dict[str, Any]:
    """What a module keeps beside weights and parts, such as classes and thresholds."""
    hidden = set(vars(torch.nn.Module()))
    return {name: value for name, value in vars(module).items() if name not in hidden and name != "training"}
