"""How fast published sizes of InstaGeo map a scene: the whole network, and students of its first blocks, as files.

Weights are random: the speed of a network does not depend on them, and no accuracy is measured here. Everybody maps the
same six bands of noise, one date, in tiles of 224 pixels that overlap by a quarter, one after the other in every round,
so that a busy machine hits all alike. Files have the precision that their name says; ``torch`` is the network as it
learns. Prints learned numbers, megapixels a second (median over rounds), and the ratio to the teacher in torch with its
range over rounds.

    python bench/instageo_scene.py --rounds 3
    python bench/instageo_scene.py --quick
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from torch import Tensor, nn

from swath import cubes, sensors
from swath.models import instageo
from swath.predict import predict_scene
from swath.predict.export import OnnxPredictor, quantise, write_onnx
from swath.sensors import BandSet
from swath.types import Batch, Modality, Prediction, Task

BANDS = sensors.load("hls_l30").bands.select(("B02", "B03", "B04", "B05", "B06", "B07"))


class Mapper(nn.Module):
    """A network of one date as a predictor and as what can be exported."""

    task: Task = "segmentation"

    def __init__(self, network: instageo.InstaGeo) -> None:
        super().__init__()
        self.network = network
        self.inputs: Mapping[str, BandSet] = {"image": BANDS}
        self.classes = ("dry", "water")

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Logits ``(B, K, H, W)`` from values and mask ``(B, 1, 6, H, W)``."""
        found: Tensor = self.network(torch.where(valid, values, 0.0))
        return found

    def predict(self, batch: Batch) -> Prediction:
        """The same of a batch."""
        image = batch.inputs["image"]
        seen = image.valid.expand_as(image.values)
        with torch.inference_mode():
            logits = self(image.values, seen)
        return Prediction(self.task, {"logits": logits}, seen.flatten(1, 2).any(1), self.classes)


def specs(base: str, depths: list[int], narrow: int) -> dict[str, instageo.InstaGeoSpec]:
    """Networks by name, the teacher first; students also of another width, whose head is narrower for it."""
    spec = instageo.SPECS[base]
    found = {"teacher": spec}
    found |= {f"student of {depth}": instageo.student(spec, depth) for depth in depths}
    if narrow:
        thin = replace(spec, width=narrow, heads=max(1, spec.heads * narrow // spec.width))
        found |= {f"student of {depth}, width {narrow}": instageo.student(thin, depth) for depth in depths}
    return found


def contenders(
    networks: Mapping[str, instageo.InstaGeoSpec], tile: int, folder: Path
) -> tuple[dict[str, Any], dict[str, int]]:
    """Predictors by name, the teacher in torch first, and their learned numbers."""
    found: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    for place, (name, spec) in enumerate(networks.items()):
        torch.manual_seed(0)
        mapper = Mapper(instageo.InstaGeo(spec)).eval()
        own: dict[str, Any] = {f"{name}, torch": mapper}
        write_onnx(mapper, folder / f"{place}.onnx", side=tile)
        quantise(folder / f"{place}.onnx", folder / f"{place}_int8.onnx", [noise(tile)])
        own[f"{name}, float32"] = OnnxPredictor(folder / f"{place}.onnx")
        own[f"{name}, int8"] = OnnxPredictor(folder / f"{place}_int8.onnx")
        number = sum(each.numel() for each in mapper.parameters())
        found |= own
        sizes |= dict.fromkeys(own, number)
    return found, sizes


def noise(tile: int) -> Batch:
    """A batch that gives the ranges of the numbers."""
    values = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (2, 1, 6, tile, tile)).astype(np.float32))
    grid = GeoBox((tile, tile), Affine(30, 0, 600_000, 0, -30, 4_500_000), "EPSG:32633")
    image = Modality(values, torch.ones_like(values, dtype=torch.bool), BANDS, torch.zeros((2, 1)).long(), (grid,) * 2)
    return Batch({"image": image}, {}, {}, ("a", "b"))


def scene(side: int) -> Any:
    """A cube of noise."""
    grid = GeoBox((side, side), Affine(30, 0, 600_000, 0, -30, 4_500_000), "EPSG:32633")
    values = np.random.default_rng(0).random((1, 6, side, side), dtype=np.float32)
    cube = cubes.make_cube(
        values, np.ones((1, side, side), bool), grid, BANDS, time=np.array([np.datetime64("2024-06-01", "ns")]),
        scale=[1.0] * 6, offset=[0.0] * 6, stored=False, attrs={"sensor": "hls_l30", "level": "L30", "source": "noise"},
    )  # fmt: skip
    return cube


def main() -> int:
    """Race, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", default="instageo_v1_100_t1", choices=[name for name in instageo.NAMES if "depth" not in name]
    )
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--narrow", type=int, default=384, help="width of further students (0: none)")
    parser.add_argument("--side", type=int, default=896, help="pixels of the scene")
    parser.add_argument("--tile", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the tiny size on 64 pixels, once: does it run")
    options = parser.parse_args()
    if options.quick:
        options.size, options.depths, options.narrow = "instageo_tiny_t1", [1], 96
        options.side, options.tile, options.rounds = 64, 32, 1
    torch.set_num_threads(options.threads)
    cube, seconds = scene(options.side), {}
    with tempfile.TemporaryDirectory() as folder:
        networks = specs(options.size, options.depths, options.narrow)
        people, sizes = contenders(networks, options.tile, Path(folder))
        for _ in range(options.rounds):
            for name, predictor in people.items():
                start = time.perf_counter()
                predict_scene(
                    predictor, cube, Path(folder) / "map.tif", tile=options.tile, overlap=options.tile // 4,
                    batch_size=4, resume=False, progress=False,
                )  # fmt: skip
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    print(
        f"{options.size}, {options.side} x {options.side} pixels, {options.threads} thread(s), {options.rounds} rounds"
    )
    print("| network | parameters | Mpixel/s | times the teacher in torch |\n|---|---:|---:|---:|")
    first = np.array(seconds["teacher, torch"])
    for name, taken in seconds.items():
        ratio = first / np.array(taken)
        speed = options.side**2 / 1e6 / float(np.median(taken))
        spread = f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
        print(f"| {name} | {sizes[name]:,} | {speed:.3f} | {spread} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
