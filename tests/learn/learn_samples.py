"""Made-up samples of every task: they tell facts and give batches as chip sets do, and lie on no disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import rng
from swath.learn.building import Measured
from swath.sensors import Band, BandSet
from swath.types import IGNORE, Batch, Modality, Task

OPTICAL = BandSet(
    (
        Band("B04", aliases=("red",), wavelength_nm=665.0, width_nm=30.0, kind="reflectance"),
        Band("B08", aliases=("nir",), wavelength_nm=833.0, width_nm=106.0, kind="reflectance"),
    )
)
RADAR = BandSet((Band("VV", kind="backscatter", unit="dB"),))
DAY = 86_400
FIRST = 1_700_000_000
NAMES: Mapping[Task, tuple[str, ...]] = {
    "segmentation": ("dark", "bright", "never"),
    "change": ("same", "changed"),
    "classification": ("dark", "bright", "never"),
    "multilabel": ("red", "nir"),
    "regression": ("height", "mass"),
    "pixel_regression": ("height", "mass"),
}


@dataclass(frozen=True)
class MadeUp:
    """Samples in memory; what is asked follows from the values of the first input.

    Args:
        task: what is asked.
        dates: dates of each input.
        size: rows and columns of the first input; the second has half as many where ``coarse``.
    """

    task: Task = "segmentation"
    dates: Mapping[str, int] = field(default_factory=lambda: {"image": 1})
    size: int = 8
    coarse: bool = False
    folder: Path = Path("nowhere")
    fingerprint: str = "made up"
    data_kind: None = None

    @property
    def ids(self) -> list[str]:
        return [f"chip-{number:02d}" for number in range(24)]

    @property
    def inputs(self) -> Mapping[str, BandSet]:
        return {name: OPTICAL if place == 0 else RADAR for place, name in enumerate(self.dates)}

    @property
    def target(self) -> str:
        return "value" if self.quantities else "label"

    @property
    def classes(self) -> tuple[str, ...]:
        return () if self.quantities else NAMES[self.task]

    @property
    def quantities(self) -> tuple[str, ...]:
        return NAMES[self.task] if self.task in ("regression", "pixel_regression") else ()

    @property
    def units(self) -> tuple[str, ...]:
        return ("m", "t") if self.quantities else ()

    def class_counts(self, ids: Iterable[str] | None = None) -> dict[str, int]:
        counts = (300, 100, 0) if len(self.classes) == 3 else (10, 6)
        return dict(zip(self.classes, counts, strict=True)) if self.classes else {}

    def require(self, ids: Iterable[str]) -> None:
        assert set(ids) <= set(self.ids)

    def measured(self) -> Measured:
        inputs = {name: (bands.names, [0.5] * len(bands), [0.3] * len(bands)) for name, bands in self.inputs.items()}
        values = ((100.0, 5.0), (50.0, 2.0)) if self.quantities else ((), ())
        return Measured(inputs, self.class_counts(), 16, values)

    def batch(self, ids: Sequence[str]) -> Batch:
        inputs = {name: self._modality(name, ids) for name in self.dates}
        image = next(iter(inputs.values()))
        target, valid = self._target(image.values, ids)
        return Batch(inputs, {self.target: target}, {self.target: valid}, tuple(ids))

    def _modality(self, name: str, ids: Sequence[str]) -> Modality:
        first = name == next(iter(self.dates))
        size = self.size if first or not self.coarse else self.size // 2
        bands, dates = self.inputs[name], self.dates[name]
        drawn = [rng.generator(3, name, chip) for chip in ids]
        level = np.stack([stream.random((dates, len(bands), 1, 1)) for stream in drawn])
        noise = np.stack([stream.normal(0, 0.02, (dates, len(bands), size, size)) for stream in drawn])
        mask = np.stack([stream.random((dates, 1, size, size)) > 0.1 for stream in drawn])
        values = torch.from_numpy(np.where(mask, level + noise, 0.0)).float()
        times = [[FIRST + (40 * date + number % 3) * DAY for date in range(dates)] for number, _ in enumerate(ids)]
        box = GeoBox((size, size), Affine(80 / size, 0, 500_000, 0, -80 / size, 5_000_000), "EPSG:32633")
        return Modality(
            values, torch.from_numpy(mask), bands, torch.tensor(times, dtype=torch.int64).reshape(len(ids), dates),
            (box,) * len(ids),
        )  # fmt: skip

    def _target(self, values: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        red, nir = values[:, :, 0].mean(1), values[:, :, 1].mean(1)
        some = torch.stack([torch.from_numpy(rng.generator(4, "seen", i).random(red.shape[1:]) > 0.2) for i in ids])
        mean = torch.stack([red.mean((1, 2)), nir.mean((1, 2))], dim=1)
        if self.task == "multilabel":
            return (mean > 0.5).float(), torch.ones_like(mean, dtype=torch.bool)
        if self.task == "classification":
            return (mean[:, 0] > 0.5).long(), torch.ones(len(ids), dtype=torch.bool)
        if self.task == "regression":
            return torch.stack([100 + 50 * mean[:, 0], 5 + 2 * mean[:, 1]], dim=1), torch.ones_like(mean) > 0
        if self.task == "pixel_regression":
            target = torch.stack([100 + 50 * red, 5 + 2 * nir], dim=1)
            known = some[:, None].expand_as(target)
            return torch.where(known, target, torch.nan), known
        label = red > 0.5
        if self.task == "change":
            label = (values[:, 0, 0] > 0.5) != (values[:, -1, 0] > 0.5)
        return torch.where(some, label.long(), IGNORE), some


@dataclass
class Loader:
    """Batches of samples in one order."""

    samples: MadeUp
    batch_size: int = 8

    def __len__(self) -> int:
        return -(-len(self.samples.ids) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterable[Batch]:
        for number in range(start, len(self)):
            yield self.samples.batch(self.samples.ids[number * self.batch_size : (number + 1) * self.batch_size])
