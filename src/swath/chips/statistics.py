"""Exact statistics of the valid pixels of one split, with their origin."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.chips.store import ChipArrays, ChipSet
from swath.errors import InputError
from swath.files import write_text
from swath.reading import parse_json, read_text, reading
from swath.types import Split

LEVELS = (1.0, 2.0, 25.0, 50.0, 75.0, 98.0, 99.0)
BINS = 4096
SMALLEST_STD = 1e-3
_AT_ONCE = 64

Floats = NDArray[np.float64]


class Moments:
    """Count, mean, spread and range per band, merged exactly in any order.

    Merging follows Chan, Golub and LeVeque (1979): with d = mean_b - mean_a and n = n_a + n_b,
    mean = mean_a + d * n_b / n and M2 = M2_a + M2_b + d^2 * n_a * n_b / n, all in float64.

    Args:
        bands: number of bands.
    """

    def __init__(self, bands: int) -> None:
        self.count = np.zeros(bands, np.int64)
        self.mean = np.zeros(bands)
        self.squares = np.zeros(bands)
        self.minimum = np.full(bands, np.inf)
        self.maximum = np.full(bands, -np.inf)

    def update(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add values ``(N, T, C, H, W)`` where ``valid``; numbers under the mask never matter."""
        axes = (0, 1, 3, 4)
        kept = np.where(valid, values, 0).astype(np.float64)
        fresh = Moments(len(self.count))
        fresh.count = valid.sum(axis=axes, dtype=np.int64)
        fresh.mean = kept.sum(axis=axes) / np.maximum(fresh.count, 1)
        centred = np.where(valid, kept - fresh.mean[:, None, None], 0.0)
        fresh.squares = (centred**2).sum(axis=axes)
        fresh.minimum = np.where(valid, kept, np.inf).min(axis=axes, initial=np.inf)
        fresh.maximum = np.where(valid, kept, -np.inf).max(axis=axes, initial=-np.inf)
        self.merge(fresh)

    def merge(self, other: Moments) -> None:
        """Add what another accumulator saw."""
        total = self.count + other.count
        share = other.count / np.maximum(total, 1)
        step = other.mean - self.mean
        self.squares = self.squares + other.squares + step**2 * self.count * share
        self.mean = np.where(self.count == 0, other.mean, self.mean + step * share)
        self.count = total
        self.minimum = np.minimum(self.minimum, other.minimum)
        self.maximum = np.maximum(self.maximum, other.maximum)

    @property
    def std(self) -> Floats:
        """Population standard deviation per band."""
        deviation: Floats = np.sqrt(self.squares / np.maximum(self.count, 1))
        return deviation


@dataclass(frozen=True)
class Statistics:
    """Statistics per band over the valid pixels of one split, in physical units, and where they come from.

    Args:
        bands: names of the bands.
        mean: per band.
        std: per band, population standard deviation.
        minimum: per band.
        maximum: per band.
        count: valid numbers per band, over all dates.
        percentiles: per level in percent the values of all bands, from a histogram of 4096 equal bins between minimum
            and maximum; exact to one bin.
        class_counts: usable labelled pixels per class.
        source: fingerprint of the chip set.
        split_hash: hash of the split table.
        split: name of the split.
        chips: number of chips.
    """

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    count: tuple[int, ...]
    percentiles: Mapping[str, tuple[float, ...]]
    class_counts: Mapping[str, int]
    source: str
    split_hash: str
    split: str
    chips: int

    def problems(self) -> list[str]:
        """Sentences about what would make training fail or mislead."""
        found = [
            f"band {name} hardly varies in the {self.split} split (standard deviation {std:.3g})"
            for name, std in zip(self.bands, self.std, strict=True)
            if std < SMALLEST_STD
        ]
        missing = [name for name, count in self.class_counts.items() if count == 0]
        if missing:
            found.append(f"the {self.split} split has no pixel of {', '.join(missing)}")
        if len(self.class_counts) - len(missing) == 1:
            found.append(f"the {self.split} split has one class only; nothing can be learned from it")
        return found

    def to_json(self) -> str:
        """All fields as JSON; floats keep every digit."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        """Read what ``to_json`` wrote.

        Raises:
            InputError: the text is no JSON, or fields are missing or unknown.
        """
        expected = "JSON as swath writes it"
        record = parse_json(text, "The statistics", expected=expected, remedy="compute them again")
        names = {field.name for field in fields(cls)}
        if not isinstance(record, dict) or set(record) != names:
            raise InputError(
                f"The statistics hold {', '.join(record) if isinstance(record, dict) else type(record).__name__}",
                expected=", ".join(sorted(names)),
                remedy="compute them again",
            )
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
        with reading("The statistics", expected="values of the right types", remedy="compute them again"):
            plain["percentiles"] = {level: tuple(row) for level, row in record["percentiles"].items()}
            found = cls(**plain)
            _check_fields(found)
            return found

    def save(self, path: Path | str) -> None:
        """Write JSON."""
        write_text(Path(path), self.to_json() + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Statistics:
        """Read JSON.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = Path(path)
        if not path.exists():
            raise InputError(f"There is no file {path}", expected="chip set statistics", remedy="compute them first")
        return cls.from_json(read_text(path, expected="JSON as swath writes it", remedy="compute them again"))


def _check_fields(found: Statistics) -> None:
    """Types and lengths of what was read; raises ValueError or TypeError."""
    rows = {"mean": found.mean, "std": found.std, "minimum": found.minimum, "maximum": found.maximum}
    rows |= {f"the percentile {level}": row for level, row in found.percentiles.items()}
    for name, row in {**rows, "count": found.count}.items():
        if len(row) != len(found.bands) or not all(math.isfinite(float(number)) for number in row):
            raise ValueError(f"{name} has to be one finite number for each of the {len(found.bands)} bands")
        if any(isinstance(number, str | bool) for number in row):
            raise TypeError(f"{name} has to hold numbers")
    texts = (*found.bands, *found.class_counts, found.source, found.split_hash, found.split)
    if not isinstance(found.bands, tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError("bands, source, split_hash and split have to be texts")
    if not all(type(count) is int for count in (*found.class_counts.values(), found.chips)):
        raise TypeError("class_counts and chips have to be whole numbers")


def statistics(chipset: ChipSet, split: Split, *, name: str = "train", levels: Sequence[float] = LEVELS) -> Statistics:
    """Statistics of the valid pixels of one split: two passes, memory for a few chips.

    Args:
        chipset: the chips.
        split: which chip belongs where.
        name: the split to describe; anything but ``train`` is for looking, not for normalising.
        levels: percentiles in percent.

    Raises:
        InputError: the split has no chips, or a band has no valid pixel in it.
    """
    ids = split.ids(name)
    if not ids:
        raise InputError(
            f"The split '{name}' has no chips ({split.counts()})",
            expected="at least one chip",
            remedy="make another split",
        )
    moments = Moments(len(chipset.bands))
    for part in _parts(chipset, ids):
        moments.update(part.values, part.valid)
    if (moments.count == 0).any():
        empty = [band for band, count in zip(chipset.bands.names, moments.count, strict=True) if count == 0]
        raise InputError(
            f"The bands {', '.join(empty)} have no valid pixel in the {name} split",
            expected="valid pixels in every band",
            remedy="leave these bands out when cutting",
        )
    return Statistics(
        bands=chipset.bands.names,
        mean=_floats(moments.mean),
        std=_floats(moments.std),
        minimum=_floats(moments.minimum),
        maximum=_floats(moments.maximum),
        count=tuple(moments.count.tolist()),
        percentiles=_percentiles(chipset, ids, moments, levels),
        class_counts=chipset.class_counts(ids),
        source=chipset.fingerprint,
        split_hash=split.hash,
        split=name,
        chips=len(ids),
    )


def _parts(chipset: ChipSet, ids: list[str]) -> Iterator[ChipArrays]:
    return (chipset.load(ids[start : start + _AT_ONCE]) for start in range(0, len(ids), _AT_ONCE))


def _percentiles(
    chipset: ChipSet, ids: list[str], moments: Moments, levels: Sequence[float]
) -> dict[str, tuple[float, ...]]:
    """Centre of the bin in which each percentile falls, per level and band."""
    bands = len(chipset.bands)
    low, high = moments.minimum, moments.maximum
    width = np.where(high > low, (high - low) / BINS, 1.0)
    histogram = np.zeros((bands, BINS), np.int64)
    for part in _parts(chipset, ids):
        bins = ((part.values - low[:, None, None]) / width[:, None, None]).astype(np.int64).clip(0, BINS - 1)
        bins += np.arange(bands)[:, None, None] * BINS
        histogram += np.bincount(bins[part.valid], minlength=bands * BINS).reshape(bands, BINS)
    reached = np.cumsum(histogram, axis=1)
    table = {}
    for level in levels:
        wanted = np.maximum(1.0, np.ceil(level / 100.0 * reached[:, -1]))
        position = (reached < wanted[:, None]).sum(axis=1)
        table[f"{level:g}"] = _floats(np.minimum(low + (position + 0.5) * width, high))
    return table


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
