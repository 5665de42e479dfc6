"""TerraTorch's or rslearn's turn at ``bench/first_map.py``, in its own environment: train on windows, map scenes.

Both learn from the same windows, standardised by the same statistics, for the same number of epochs with AdamW at one
learning rate that nobody tuned. TerraTorch trains the U-Net of its SMP factory (ResNet-18 encoder, fresh weights) with
its SemanticSegmentationTask and maps with ``tiled_inference``; rslearn trains a small convolutional encoder with its
UNetDecoder and SegmentationHead and maps with its crops and RasterMerger.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shim  # noqa: F401
import torch
from torch import Tensor, nn

TILE, OVERLAP, BATCH = 128, 32, 8
Infer = Callable[[Tensor], Tensor]


def terratorch(case: Path, epochs: int, seed: int) -> Infer:
    """Trains and returns what turns a standardised image (C, H, W) into logits (2, H, W)."""
    import lightning
    from terratorch.tasks import SemanticSegmentationTask
    from terratorch.tasks.tiled_inference import tiled_inference
    from torch.utils.data import DataLoader

    lightning.seed_everything(seed, verbose=False)
    images, labels = windows(case)
    task = SemanticSegmentationTask(
        model_factory="SMPModelFactory",
        model_args={
            "model": "Unet",
            "backbone": "resnet18",
            "bands": list(range(images.shape[1])),
            "in_channels": images.shape[1],
            "num_classes": 2,
            "pretrained": False,
        },
        loss="ce",
        lr=1e-3,
        optimizer="AdamW",
        ignore_index=255,
    )
    rows = [{"image": image, "mask": label} for image, label in zip(images, labels, strict=True)]
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(task, DataLoader(rows, BATCH, shuffle=True))
    network = task.model.eval()

    def infer(image: Tensor) -> Tensor:
        def forward(batch: Tensor) -> Tensor:
            return network(batch).output

        return tiled_inference(forward, image[None], crop=TILE, stride=TILE - OVERLAP, delta=8, batch_size=BATCH)[0]

    return infer


def rslearn(case: Path, epochs: int, seed: int) -> Infer:
    """As ``terratorch``, for rslearn."""
    from rslearn.models.singletask import SingleTaskModel
    from rslearn.models.unet import UNetDecoder
    from rslearn.train.tasks.segmentation import SegmentationHead

    torch.manual_seed(seed)
    images, labels = windows(case)
    decoder = [UNetDecoder([(1, 32), (2, 64), (4, 128)], 2), SegmentationHead()]
    model = SingleTaskModel([rslearn_encoder(images.shape[1])], decoder)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            loss = sum(model(rslearn_context(images[chosen]), rslearn_targets(labels[chosen])).loss_dict.values())
            loss.backward()
            optimiser.step()
    model.eval()
    return lambda image: rslearn_merged(model, image)


def rslearn_encoder(bands: int, widths: tuple[int, ...] = (32, 64, 128)) -> nn.Module:
    """A small convolutional encoder as rslearn wants one: maps at strides 1, 2 and 4."""
    from rslearn.models.component import FeatureExtractor, FeatureMaps

    def block(inputs: int, outputs: int) -> nn.Sequential:
        layers = (nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())
        return nn.Sequential(*layers, nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU())

    class Encoder(FeatureExtractor):
        """Convolutions at strides 1, 2 and 4."""

        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(block(a, b) for a, b in zip((bands, *widths[:-1]), widths, strict=True))

        def forward(self, context: Any) -> FeatureMaps:
            """Maps at strides 1, 2 and 4."""
            values = torch.stack([inputs["image"].image[:, 0] for inputs in context.inputs])
            maps = []
            for level, block in enumerate(self.blocks):
                values = block(values if level == 0 else nn.functional.max_pool2d(values, 2))
                maps.append(values)
            return FeatureMaps(maps)

    return Encoder()


def rslearn_context(batch: Tensor) -> Any:
    """Images (N, C, H, W) as rslearn hands them to its models; all of one date, which no part of the model reads."""
    from datetime import UTC, datetime

    from rslearn.train.model_context import ModelContext, RasterImage

    now = datetime.now(tz=UTC)
    inputs = [{"image": RasterImage(image[:, None], [(now, now)])} for image in batch]
    return ModelContext(inputs=inputs, metadatas=[])


def rslearn_targets(batch: Tensor) -> list[dict[str, Any]]:
    """Labels (N, H, W), 255 unknown, as rslearn's head wants them."""
    from rslearn.train.model_context import RasterImage

    known = (batch != 255).float()
    classes = torch.where(batch == 255, 0, batch)
    return [
        {"classes": RasterImage(label[None, None]), "valid": RasterImage(mask[None, None])}
        for label, mask in zip(classes, known, strict=True)
    ]


def rslearn_merged(model: nn.Module, image: Tensor) -> Tensor:
    """Outputs (2, H, W) of an image (C, H, W).

    rslearn writes merged crops of a dataset on disk; here its crop positions and its rule for merging (half of the
    overlap is cut off each side, later crops lie on top) are used in memory.
    """
    from rslearn.train.all_crops_dataset import get_window_crop_options

    height, width = image.shape[-2:]
    padded = nn.functional.pad(image, (0, TILE, 0, TILE))
    merged = torch.zeros(2, height, width)
    with torch.inference_mode():
        crops = sorted(get_window_crop_options((TILE, TILE), (OVERLAP, OVERLAP), (0, 0, width, height)))
        for first in range(0, len(crops), BATCH):
            part = crops[first : first + BATCH]
            batch = torch.stack([padded[:, top:bottom, left:right] for left, top, right, bottom in part])
            for (left, top, _, _), answer in zip(part, model(rslearn_context(batch)).outputs, strict=True):
                up, aside = (OVERLAP // 2 if top else 0), (OVERLAP // 2 if left else 0)
                there = merged[:, top + up : top + TILE, left + aside : left + TILE]
                there.copy_(answer[:, up : up + there.shape[1], aside : aside + there.shape[2]])
    return merged


def windows(case: Path) -> tuple[Tensor, Tensor]:
    """Standardised training windows and their labels (255 unknown)."""
    held = np.load(case)
    images = (held["images"] - held["mean"][:, None, None]) / held["std"][:, None, None]
    return torch.from_numpy(images), torch.from_numpy(held["labels"]).long()


def read(path: Path, case: Path) -> tuple[Tensor, dict[str, object]]:
    """A scene, standardised (C, H, W)."""
    held = np.load(case)
    with rasterio.open(path) as dataset:
        values = dataset.read(out_dtype="float32") * np.float32(1e-4)
        profile = {"crs": dataset.crs, "transform": dataset.transform}
    values = (values - held["mean"][:, None, None]) / held["std"][:, None, None]
    return torch.from_numpy(values), profile


def peak_mb() -> float:
    """Peak resident memory in MiB; not ``ru_maxrss``, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=("terratorch", "rslearn"))
    parser.add_argument("case", type=Path, help="training windows")
    parser.add_argument("scene", type=Path, help="scene whose map is scored")
    parser.add_argument("labels", type=Path, help="where the map goes (.npy)")
    parser.add_argument("--large", type=Path, help="a large scene to map against the clock")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(2)
    began = time.perf_counter()
    infer = {"terratorch": terratorch, "rslearn": rslearn}[options.contender](
        options.case, options.epochs, options.seed
    )
    row: dict[str, object] = {"train_s": time.perf_counter() - began}
    with torch.inference_mode():
        image, _ = read(options.scene, options.case)
        labels = infer(image).argmax(dim=0)
        np.save(options.labels, labels.to(torch.uint8).numpy())
        hole = image.clone()
        hole[:, 200:210, 200:210] = torch.nan
        spoilt = infer(hole)
        broken = ~torch.isfinite(spoilt).all(dim=0)
        row["nan_out"] = int(broken.sum())
        row["nan_classes"] = [int(each) for each in spoilt.argmax(dim=0)[broken].unique()]
        row["changed_outside"] = int((spoilt.argmax(dim=0) != labels)[~broken].sum())
        if options.large:
            began, busy = time.perf_counter(), time.process_time()
            image, profile = read(options.large, options.case)
            large = infer(image).argmax(dim=0).to(torch.uint8).numpy()
            size = {"height": large.shape[0], "width": large.shape[1], "count": 1, "dtype": "uint8", "nodata": 255}
            target = options.labels.with_suffix(".tif")
            with rasterio.open(target, "w", driver="COG", compress="deflate", **size, **profile) as dataset:
                dataset.write(large, 1)
            row |= {"scene_s": time.perf_counter() - began, "scene_cpu_s": time.process_time() - busy}
            row |= {"peak_rss_mb": peak_mb()}
    print(json.dumps({"contender": options.contender, "seed": options.seed, **row}))


if __name__ == "__main__":
    main()
