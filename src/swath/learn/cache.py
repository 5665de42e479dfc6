"""Features of a frozen encoder, computed once, kept on disk and read while the rest learns.

A frozen encoder gives the same features for the same sample in every epoch. ``cached_loader`` computes them once and
gives a loader whose batches carry them; while ``fit`` takes the loss of such a batch, the encoder answers with them
instead of computing. Everything before the encoder (masks, standardising) and behind it (pyramid, head) runs as ever,
so that losses, labels and checkpoints are those of a run without the cache.

The folder holds one file of numbers per feature level, sample after sample, and ``features.json`` with its key: the
encoder (class, shape, SHA-256 of its weights), bands, statistics, the fingerprint of the data, the kind of number and
the number of views. It appears when it is complete, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError, ResourceError
from swath.files import replacing_folder, write_json
from swath.learn.features import CachedBatch, check_repeatable, frozen_encoder, observe, parts_of
from swath.learn.frozen import network_of
from swath.learn.task import Trainable
from swath.reading import read_json
from swath.types import Batch, Features

RECORD = "features.json"
Number = Literal["float16", "float32"]
GIB = 2**30
READ_BY_ENCODER = ("task", "modality", "inputs", "bands", "statistics", "modality_dropout")
"""Sections of a task's record that decide what its encoder is given."""


class Batches(Protocol):
    """A loader, as ``fit`` wants it."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on."""
        ...


def cached_loader(
    task: Trainable,
    loader: Batches,
    folder: Path | str,
    *,
    number: Number = "float16",
    views: int | None = None,
    fingerprint: str | None = None,
    most_gib: float = 20.0,
) -> CachedLoader:
    """A loader whose batches carry the features of the frozen encoder; computes them where ``folder`` lacks them.

    Args:
        task: its network has a frozen encoder, which sees the same for a sample whenever it sees it.
        loader: training batches; samples are told apart by their ids.
        folder: where the features are kept, for this run and later ones.
        number: how they are stored; float16 halves the size and rounds to three digits.
        views: for a loader with random changes: epoch e repeats the changes and the order of epoch e modulo ``views``,
            so that each sample is seen in so many forms. None for a loader without.
        fingerprint: what identifies the data; that of the chip set when None.
        most_gib: largest size of the folder.

    Raises:
        ContractError: the task has no frozen encoder, or one whose answers are no ``Features`` of the samples.
        ConfigError: the loader changes samples at random and ``views`` is None, there is no fingerprint, or the folder
            holds features of another encoder, other data, bands, statistics, numbers or views.
        ResourceError: the features would be larger than ``most_gib`` or the free space.
        InputError: a feature is not finite in ``number``, or the files of the folder do not belong together.
    """
    folder = Path(folder)
    if views is None and _changes(loader):
        raise ConfigError(
            "The loader changes its samples at random, and features are kept of samples as they are",
            expected="augmentation switched off, or a number of views",
            remedy="leave out augment, or give views=4 for four changed forms of every sample",
        )
    if views is not None and views < 1:
        raise ConfigError(f"views = {views}", expected="a whole number of at least 1", remedy="change views")
    data = fingerprint or getattr(getattr(loader, "chipset", None), "fingerprint", "")
    if not data:
        raise ConfigError(
            "The data of this loader have no fingerprint",
            expected="a text that changes whenever the data do",
            remedy="pass fingerprint=, such as the SHA-256 of the files",
        )
    key = _key(task, data, number, views)
    if not folder.exists():
        _compute(task, loader, folder, key, most_gib)
    _check_key(folder, key)
    return CachedLoader(loader, folder, views)


class CachedLoader:
    """Batches of another loader with the features that a folder keeps; see ``cached_loader``.

    Args:
        loader: the batches.
        folder: the features.
        views: see ``cached_loader``.
    """

    def __init__(self, loader: Batches, folder: Path, views: int | None) -> None:
        self.loader, self.folder, self.views = loader, folder, views
        record = _read(folder)
        self._levels: list[dict[str, Any]] = record["levels"]
        self._rows = [{name: row for row, name in view} for view in record["samples"]]
        self._arrays: list[NDArray[Any]] | None = None

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on.

        Raises:
            ContractError: a sample is not among those whose features are kept.
        """
        view = 0 if self.views is None else epoch % self.views
        for batch in self.loader.epoch(epoch if self.views is None else view, start):
            yield CachedBatch(**vars(batch), features=self.features(batch.ids, view))

    def features(self, ids: Sequence[str], view: int = 0) -> Features:
        """Features of some samples, float32."""
        absent = [name for name in ids if name not in self._rows[view]]
        if absent:
            raise ContractError(
                f"{self.folder} keeps no features of the sample '{absent[0]}'",
                expected=f"one of the {len(self._rows[view])} samples that the loader gave when they were computed",
                remedy="remove the folder, so that they are computed anew; for a loader that draws new samples every "
                "epoch or leaves some out, give views=",
            )
        if self._arrays is None:
            self._arrays = [_opened(self.folder, level) for level in self._levels]
        rows = [self._rows[view][name] for name in ids]
        parts: dict[str, list[Tensor]] = {"map": [], "tokens": [], "cls": []}
        for level, array in zip(self._levels, self._arrays, strict=True):
            values = torch.from_numpy(array[rows]).float()
            parts[level["part"]].append(values.movedim(-1, 1) if level["channels_last"] else values)
        strides = tuple(level["stride"] for level in self._levels if level["part"] == "map")
        tokens, cls = (parts[name][0] if parts[name] else None for name in ("tokens", "cls"))
        return Features(tuple(parts["map"]), strides, tokens, cls)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_arrays": None}  # another process opens the files itself


def _changes(loader: Batches) -> bool:
    """Whether a loader says that it changes its samples at random."""
    augment = getattr(loader, "augment", None)
    return augment is not None and any(vars(augment).values())


def _key(task: Trainable, data: str, number: Number, views: int | None) -> dict[str, Any]:
    """All on which the features depend, as JSON values."""
    if not isinstance(task, nn.Module):
        raise ContractError(f"The task is a {type(task).__name__}", expected="a torch module", remedy="derive it")
    encoder, record = frozen_encoder(task), task.record()
    digest = hashlib.sha256(f"{type(encoder).__qualname__} {getattr(encoder, 'spec', '')}".encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    key = {
        "encoder": digest.hexdigest(),
        "network": type(network_of(task)[1]).__qualname__,
        **{section: record[section] for section in READ_BY_ENCODER if section in record},
        "data": data,
        "number": number,
        "views": views,
    }
    plain: dict[str, Any] = json.loads(json.dumps(key))
    return plain


def _compute(task: Trainable, loader: Batches, folder: Path, key: dict[str, Any], most_gib: float) -> None:
    """Let the encoder see every sample once per view, and write what it answers."""
    views, samples, written = key["views"] or 1, [], 0
    with replacing_folder(folder) as new, ExitStack() as files:
        writer: _Writer | None = None
        for view in range(views):
            rows: list[tuple[int, str]] = []
            for batch in loader.epoch(view):
                features = observe(task, batch)
                if writer is None:
                    check_repeatable(task, batch)
                    writer = _Writer(new, features, key["number"], files)
                    _check_room(folder, writer.bytes_per_sample * batch.batch_size * len(loader) * views, most_gib)
                writer.write(features, batch.ids)
                rows.extend(enumerate(batch.ids, start=written))
                written += batch.batch_size
            samples.append(rows)
        if writer is None:
            raise InputError("The loader holds no batches", expected="at least one", remedy="check the split")
        write_json(new / RECORD, {"key": key, "levels": writer.levels, "number": written, "samples": samples})


class _Writer:
    """Files of features, one sample after the other; channels last where the encoder has them last."""

    def __init__(self, folder: Path, features: Features, number: str, files: ExitStack) -> None:
        self.number = np.dtype(number)
        self.levels: list[dict[str, Any]] = []
        strides = [*features.strides, None, None]
        for (name, tensor), stride in zip(parts_of(features).items(), strides, strict=False):
            last = tensor.ndim == 4 and not tensor.is_contiguous()
            shape = list((tensor.movedim(1, -1) if last else tensor).shape[1:])
            level = {"file": f"{name}.bin", "part": name.split("_")[0], "shape": shape, "number": number}
            self.levels.append(level | {"stride": stride if name.startswith("map") else None, "channels_last": last})
        self.bytes_per_sample = sum(math.prod(level["shape"]) for level in self.levels) * self.number.itemsize
        self._files = [files.enter_context((folder / level["file"]).open("wb")) for level in self.levels]

    def write(self, features: Features, ids: Sequence[str]) -> None:
        """Append the features of some samples.

        Raises:
            InputError: a number is not finite as it is stored, or the samples differ in size.
        """
        for level, file, tensor in zip(self.levels, self._files, parts_of(features).values(), strict=True):
            values = (tensor.movedim(1, -1) if level["channels_last"] else tensor).cpu().numpy()
            with np.errstate(over="ignore"):
                stored = np.ascontiguousarray(values, dtype=self.number)
            if list(stored.shape[1:]) != level["shape"] or not np.isfinite(stored).all():
                wrong = (
                    "not finite" if list(stored.shape[1:]) == level["shape"] else "of another size than those before"
                )
                raise InputError(
                    f"Features of the samples {', '.join(ids[:3])} are {wrong} as {level['number']}",
                    expected="finite features of one size for all samples",
                    remedy="store them as float32, cut samples of one size, or train without the cache",
                )
            file.write(stored.tobytes())


def _check_room(folder: Path, size: float, most_gib: float) -> None:
    free = shutil.disk_usage(folder.parent).free
    if size > most_gib * GIB or size > free:
        limit = f"at most {most_gib:g} GiB" if size > most_gib * GIB else f"the {free / GIB:.2g} GiB that are free"
        raise ResourceError(
            f"The features in '{folder}' would take about {size / GIB:.2g} GiB",
            expected=limit,
            remedy="store them as float16, take fewer views or samples, raise most_gib, or train without the cache",
        )


def _read(folder: Path) -> dict[str, Any]:
    record = read_json(
        folder / RECORD, expected="a folder of features that swath wrote", remedy="name another folder, or remove it"
    )
    if not isinstance(record, dict) or not {"key", "levels", "number", "samples"} <= set(record):
        raise InputError(
            f"{folder / RECORD} is not of a folder of features",
            expected="the record as swath wrote it",
            remedy="name another folder, or remove this one",
        )
    for level in record["levels"]:
        level["samples"] = record["number"]
    return record


def _check_key(folder: Path, key: dict[str, Any]) -> None:
    stored = _read(folder)["key"]
    different = [name for name in key if stored.get(name) != key[name]]
    if different:
        shown = "; ".join(f"{name} was {_short(stored.get(name))} and is now {_short(key[name])}" for name in different)
        raise ConfigError(
            f"'{folder}' keeps features that do not belong to this run: {shown}",
            expected="features of the same encoder, data, bands, statistics, number and views",
            remedy="name another folder, or remove this one, so that they are computed anew",
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:40]}..."


def _opened(folder: Path, level: dict[str, Any]) -> NDArray[Any]:
    path, shape = folder / level["file"], (level["samples"], *level["shape"])
    try:
        return np.memmap(path, dtype=level["number"], mode="r", shape=shape)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error})",
            expected=f"numbers of the shape {shape}, as {RECORD} says",
            remedy="remove the folder, so that they are computed anew",
        ) from error
