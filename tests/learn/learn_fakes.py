"""A made-up training set, a network with dropout, and a run that kills its own process.

As a script: ``python learn_fakes.py OUT BATCH`` trains into OUT and kills itself (SIGKILL) when batch number BATCH of
the run is asked for.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from torch import Tensor, nn

from swath import rng
from swath.learn import FitConfig, FitResult, SegmentationLoss, SegmentationTask, fit, seeded
from swath.learn.record import ARCHITECTURES
from swath.nn import Normalise, UNet
from swath.sensors import Band, BandSet
from swath.types import IGNORE, Batch, Modality

BANDS = BandSet(
    (
        Band("B04", aliases=("red",), wavelength_nm=665.0, width_nm=30.0, kind="reflectance"),
        Band("B08", aliases=("nir",), wavelength_nm=833.0, width_nm=106.0, kind="reflectance"),
    )
)
CLASSES = ("water", "soil", "plants")


def make_batch(ids: list[int], size: int = 8, bands: BandSet = BANDS) -> Batch:
    """Samples by number: blocks of 4 x 4 pixels whose class follows from red and nir; some pixels and labels miss."""
    images, labels, valids = [], [], []
    for sample in ids:
        stream = rng.generator(11, "made-up chip", sample)
        blocks = torch.from_numpy(stream.random((2, -(-size // 4), -(-size // 4)))).float()
        image = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :size, :size]
        valid = torch.from_numpy(stream.random((1, size, size)) > 0.1)
        label = torch.where(image[0] + image[1] < 0.7, 0, torch.where(image[0] > image[1], 1, 2))
        labels.append(torch.where(torch.from_numpy(stream.random((size, size)) > 0.2), label, IGNORE))
        images.append(torch.where(valid, image, 0.0))
        valids.append(valid)
    target = torch.stack(labels) if ids else torch.zeros((0, size, size), dtype=torch.int64)
    boxes = tuple(GeoBox((size, size), Affine(10.0, 0.0, 0.0, 0.0, -10.0, 80.0), "EPSG:32633") for _ in ids)
    values = torch.stack(images)[:, None] if ids else torch.zeros((0, 1, 2, size, size))
    mask = torch.stack(valids)[:, None] if ids else torch.zeros((0, 1, 1, size, size), dtype=torch.bool)
    time = torch.zeros((len(ids), 1), dtype=torch.int64)
    return Batch(
        inputs={"image": Modality(values, mask, bands, time, boxes)},
        targets={"label": target},
        target_valid={"label": target != IGNORE},
        ids=tuple(f"chip-{sample:02d}" for sample in ids),
    )


@dataclass
class MadeUpLoader:
    """Like a chip loader: the order depends on the epoch alone."""

    samples: int = 10
    batch_size: int = 2
    on_batch: Callable[[int], None] | None = None
    change: Callable[[Batch], Batch] | None = None

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        order = rng.generator(5, "order", epoch).permutation(self.samples).tolist()
        for number in range(start, len(self)):
            if self.on_batch is not None:
                self.on_batch(epoch * len(self) + number)
            batch = make_batch(order[number * self.batch_size : (number + 1) * self.batch_size])
            yield self.change(batch) if self.change is not None else batch


@dataclass(frozen=True)
class DropoutSpec:
    in_channels: int
    out_channels: int
    share: float = 0.3


class DropoutNet(nn.Module):
    """Uses the global random stream in every forward pass, and keeps running statistics."""

    def __init__(self, in_channels: int, out_channels: int, share: float = 0.3) -> None:
        super().__init__()
        self.spec = DropoutSpec(in_channels, out_channels, share)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(share), nn.Conv2d(8, out_channels, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layers(image)
        return logits


ARCHITECTURES["dropout"] = f"{DropoutNet.__module__}:DropoutNet"


def make_task(seed: int = 0, *, dropout: bool = False, width: int = 4, **options: Any) -> SegmentationTask:
    with seeded(seed, "weights"):
        network: nn.Module = DropoutNet(2, 3) if dropout else UNet(2, 3, width=width, depth=1)
    options.setdefault("loss", SegmentationLoss(class_weights=(1.0, 0.5, 2.0)))
    return SegmentationTask(network, Normalise([0.5, 0.5], [0.3, 0.3]), BANDS, CLASSES, **options)


def score(task: SegmentationTask, epoch: int) -> dict[str, float]:
    """Accuracy on held-out samples."""
    batch = make_batch([100, 101, 102])
    valid = batch.target_valid["label"]
    right = task.predict(batch).label() == batch.targets["label"]
    return {"accuracy": float(right[valid].double().mean()), "epoch_number": float(epoch)}


CONFIG = FitConfig(
    epochs=3,
    learning_rate=0.02,
    accumulate=2,
    monitor="accuracy",
    checkpoint_every_steps=2,
    threads=1,
    ema_decay=0.9,
)


def train(out: Path, loader: MadeUpLoader, *, dropout: bool = True, config: FitConfig = CONFIG) -> FitResult:
    task = make_task(dropout=dropout)
    return fit(task, loader, config=config, out=out, seed=0, validate=score, progress=False)


def everything(out: Path) -> dict[str, Any]:
    """All that a run leaves, without the seconds it took."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for name in ("training_state", "best/model", "last/model"):
        for key, tensor in load_file(out / f"{name}.safetensors").items():
            found[f"{name}:{key}"] = tensor
    header, *lines = (out / "log.csv").read_text().splitlines()
    seconds = header.split(",").index("wall_s")
    found["log"] = [[cell for i, cell in enumerate(line.split(",")) if i != seconds] for line in (header, *lines)]
    return found


def spec_dict(task: SegmentationTask) -> dict[str, Any]:
    return asdict(task.network.spec)  # type: ignore[call-overload, no-any-return]


def _kill_at(number: int) -> Callable[[int], None]:
    def maybe(batch: int) -> None:
        if batch == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return maybe


if __name__ == "__main__":
    import learn_fakes  # so that the network's class has the same module name as in the tests

    learn_fakes.train(Path(sys.argv[1]), learn_fakes.MadeUpLoader(on_batch=learn_fakes._kill_at(int(sys.argv[2]))))
