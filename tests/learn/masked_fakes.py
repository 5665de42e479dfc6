"""Smooth made-up images of four Sentinel-2 bands, and small networks that make hidden parts of them up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import rng, sensors
from swath.learn import seeded
from swath.learn.objectives import MaskedReconstruction, MaskingOptions
from swath.nn import Normalise
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedSpec
from swath.nn.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSpec
from swath.types import Batch, Modality

BANDS = sensors.load("sentinel2_l2a").bands.select(["B02", "B03", "B04", "B08"])
DAY = 86_400
FIRST = 1_717_200_000  # 1 June 2024


def smooth_batch(ids: list[int], size: int = 16, dates: int = 1, holes: float = 0.1) -> Batch:
    """Slopes whose direction differs by sample, the same in all bands up to a factor; some pixels miss."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    images, masks = [], []
    for sample in ids:
        stream = rng.generator(7, "smooth", sample)
        turn = float(stream.random()) * 6.28
        slope = rows * torch.cos(torch.tensor(turn)) + columns * torch.sin(torch.tensor(turn))
        factor = torch.tensor([1.0, 0.8, -0.5, 1.5])[:, None, None]
        grow = torch.linspace(1.0, 1.2, dates)[:, None, None, None]
        images.append(0.2 + 0.1 * grow * factor * slope)
        masks.append(torch.from_numpy(stream.random((dates, 1, size, size)) >= holes))
    values = torch.stack(images) if ids else torch.zeros(0, dates, 4, size, size)
    valid = torch.stack(masks) if ids else torch.zeros(0, dates, 1, size, size, dtype=torch.bool)
    boxes = tuple(GeoBox((size, size), Affine(10, 0, 5e5 + 1e4 * s, 0, -10, 5e6), "EPSG:32632") for s in ids)
    time = FIRST + DAY * 30 * torch.arange(dates).expand(len(ids), -1)
    modality = Modality(torch.where(valid, values, 0.0).float(), valid, BANDS, time.to(torch.int64), boxes)
    return Batch({"image": modality}, ids=tuple(f"chip-{sample:02d}" for sample in ids))


@dataclass
class SmoothLoader:
    """Like a chip loader: the order depends on the epoch alone."""

    samples: int = 8
    batch_size: int = 4
    size: int = 16
    dates: int = 1
    on_batch: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        order = rng.generator(5, "order", epoch).permutation(self.samples).tolist()
        for number in range(start, len(self)):
            if self.on_batch is not None:
                self.on_batch(epoch * len(self) + number)
            chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield smooth_batch(chosen, self.size, self.dates)


def standardise() -> Normalise:
    return Normalise([0.2] * 4, [0.06, 0.05, 0.03, 0.09], names=BANDS.names)


def grouped(doublings: int = 0, **masking: Any) -> MaskedReconstruction:
    """Two groups: B02, B04, B08 and B03."""
    with seeded(0, "test"):
        encoder = GroupedSpec(4, ((0, 2, 3), (1,)), patch=4, width=32, depth=2, heads=2)
        model = GroupedAutoencoder(encoder, GroupedDecoderSpec(16, 1, 2, doublings=doublings))
    return MaskedReconstruction(model, standardise(), BANDS, MaskingOptions(**masking))


def space_time(conditions: tuple[str, ...] = (), masking: dict[str, Any] | None = None, **spec: Any) -> Any:
    given = {"patch": (1, 4, 4), "width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_depth": 1}
    with seeded(0, "test"):
        model = MaskedAutoencoder(
            MaskedAutoencoderSpec(4, **{**given, "decoder_heads": 2, "conditions": conditions, **spec})
        )
    return MaskedReconstruction(model, standardise(), BANDS, MaskingOptions(**(masking or {})))
