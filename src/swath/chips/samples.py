"""What every set of samples offers to loaders, learners and judges, whatever its task and its modalities."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from swath.chips import store
from swath.chips.joined import JOINED, JoinedSet, open_joined
from swath.chips.statistics import Moments, Statistics, statistics
from swath.chips.store import ChipSet
from swath.errors import InputError, ResourceError
from swath.sensors import BandSet
from swath.types import Batch, DataKind, Split, Task

_AT_ONCE = 64


class Samples(Protocol):
    """A set of samples: ``ChipSet`` and ``JoinedSet`` are such."""

    @property
    def folder(self) -> Path:
        """Where the set lies, with its split and its statistics."""
        ...

    @property
    def ids(self) -> list[str]:
        """All ids, sorted."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that a batch may hold."""
        ...

    @property
    def data_kind(self) -> DataKind | None:
        """Real, hybrid, simulated or a fixture; None where nothing says it."""
        ...

    @property
    def task(self) -> Task:
        """What is asked."""
        ...

    @property
    def target(self) -> str:
        """Name of the target in a batch."""
        ...

    @property
    def inputs(self) -> Mapping[str, BandSet]:
        """Bands of each modality."""
        ...

    @property
    def dates(self) -> Mapping[str, int]:
        """Dates that every batch has, by modality."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes or labels; empty for quantities."""
        ...

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of quantities; empty for classes."""
        ...

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each quantity."""
        ...

    def class_counts(self, ids: Iterable[str] | None = None) -> dict[str, int]:
        """Pixels, samples or positives per class."""
        ...

    def require(self, ids: Iterable[str]) -> None:
        """Stop at an unknown id."""
        ...

    def batch(self, ids: Sequence[str]) -> Batch:
        """Some samples."""
        ...


def open_samples(folder: Path | str, *, cache_mb: float = 256.0) -> ChipSet | JoinedSet:
    """Open a chip set or several joined ones.

    Args:
        folder: what ``cut`` or ``join`` wrote.
        cache_mb: memory for chips already read, in MiB, per chip set.

    Raises:
        InputError: the folder is neither, or damaged.
    """
    folder = Path(folder)
    return (
        open_joined(folder, cache_mb=cache_mb) if (folder / JOINED).exists() else store.open(folder, cache_mb=cache_mb)
    )


def input_statistics(samples: ChipSet | JoinedSet, split: Split) -> dict[str, Statistics]:
    """Statistics of the valid pixels of the train split, per modality.

    What lies beside the chips (``statistics.json``, or ``statistics_MODALITY.json``) is taken when it was measured on
    these chips and this split; else they are measured, and kept there where nothing lay and the folder can be written.

    Args:
        samples: the set.
        split: which sample is for what; only the train split is looked at.

    Returns:
        One ``Statistics`` per modality.

    Raises:
        InputError: the train split is empty, or a modality or a band has no valid pixel in it.
    """
    found = {}
    for name in samples.inputs:
        path = samples.folder / ("statistics.json" if isinstance(samples, ChipSet) else f"statistics_{name}.json")
        stored = Statistics.load(path) if path.exists() else None
        if stored is not None and _fits(stored, samples, split):
            found[name] = stored
            continue
        found[name] = statistics(samples, split) if isinstance(samples, ChipSet) else samples.statistics(name, split)
        if stored is None:
            _keep(found[name], path)
    return found


def _fits(stored: Statistics, samples: ChipSet | JoinedSet, split: Split) -> bool:
    return (stored.source, stored.split_hash, stored.split) == (samples.fingerprint, split.hash, "train")


def _keep(measured: Statistics, path: Path) -> None:
    try:
        measured.save(path)
    except ResourceError:
        return  # a folder that may only be read is no reason not to learn from it


@dataclass(frozen=True)
class ValueStatistics:
    """Mean and spread of the quantities over the valid targets of one split.

    Args:
        quantities: names.
        units: unit of each.
        mean: per quantity.
        std: per quantity, population standard deviation.
        count: valid targets per quantity.
    """

    quantities: tuple[str, ...]
    units: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    count: tuple[int, ...]

    def to_json(self) -> str:
        """All fields as JSON."""
        return json.dumps(self.__dict__)


def value_statistics(samples: ChipSet | JoinedSet, split: Split, *, name: str = "train") -> ValueStatistics:
    """Mean and standard deviation of every quantity over the valid targets of a split.

    Args:
        samples: a set whose task is a regression.
        split: which sample is for what.
        name: the split to look at.

    Raises:
        InputError: the set has no quantities, or one of them has no valid target in the split.
    """
    if not samples.quantities:
        raise InputError(
            f"The chips of {samples.folder} ask for a {samples.task}",
            expected="quantities, as the tasks regression and pixel_regression have them",
            remedy="cut with --values, or label with --task regression",
        )
    ids = split.ids(name)
    moments = Moments(len(samples.quantities))
    for start in range(0, len(ids), _AT_ONCE):
        batch = samples.batch(ids[start : start + _AT_ONCE])
        values, valid = batch.targets[samples.target].numpy(), batch.target_valid[samples.target].numpy()
        shape = (len(values), 1, len(samples.quantities), *(values.shape[2:] or (1, 1)))
        moments.update(values.reshape(shape), np.broadcast_to(valid, values.shape).reshape(shape))
    if (moments.count == 0).any():
        empty = [what for what, count in zip(samples.quantities, moments.count, strict=True) if count == 0]
        raise InputError(
            f"All {len(ids)} samples of the {name} split of {samples.folder} lack {', '.join(empty)}",
            expected="at least one valid target of every quantity",
            remedy="check the table or the raster of targets and its no-data value, or make another split",
        )
    return ValueStatistics(
        samples.quantities,
        samples.units,
        tuple(moments.mean.tolist()),
        tuple(moments.std.tolist()),
        tuple(moments.count.tolist()),
    )
