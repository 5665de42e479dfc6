"""Corruptions: swath against imagecorruptions, kornia and albumentations, where the operation is the same.

Made-up colour images, turn by turn, as many threads each. swath corrupts a float32 batch with its masks and checks,
kornia a float32 batch, the other two 8-bit images one after another, as each is used. Strengths are those of swath's
severity set; imagecorruptions has strengths of its own, so the severities nearest in effect are paired. The PSNR of
both against the clean images says how equal the effect was.

Prints one line of JSON a pair: milliseconds per megapixel by the wall and of processor time (medians of the rounds,
swath first), the ratios of both, and both PSNR; then the median of all ratios and per package. On a shared machine the
processor time says more than the wall.

    python bench/corruptions.py --side 512 --images 4 --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from peers.environments import interpreter
from scipy import ndimage

from swath.judge.corruptions import SEVERITY_SET, corrupt, strength
from swath.judge.corruptions.severities import BRIGHTNESS
from swath.sensors import BandSet
from swath.types import Batch, Modality

HERE = Path(__file__).parent
MOST_SECONDS = 15.0
"""A pair that takes longer gets fewer rounds."""


@dataclass(frozen=True)
class Pair:
    """One operation in swath and in a peer."""

    package: str
    corruption: str
    severity: int
    theirs: Any


def pairs() -> list[Pair]:
    """Of imagecorruptions the severity of equal strength, the others with the strength itself."""
    found = [
        Pair("imagecorruptions", "gaussian_noise", 4, 3),  # 0.18 both
        Pair("imagecorruptions", "salt_and_pepper_noise", 3, 2),  # 0.06 both; theirs band by band
        Pair("imagecorruptions", "motion_blur", 4, 3),  # theirs with Gaussian weights along the line
        Pair("imagecorruptions", "compression_artifacts", 5, 5),  # quality 7 both
    ]
    whole = ("motion_blur", "compression_artifacts")
    for package, names in (
        ("albumentations", ("gaussian_noise", "salt_and_pepper_noise", "gaussian_blur", "motion_blur",
                            "brightness_contrast", "compression_artifacts", "rotate", "scale", "translate")),
        ("kornia", ("gaussian_noise", "salt_and_pepper_noise", "gaussian_blur", "motion_blur",
                    "compression_artifacts", "rotate", "scale")),
    ):  # fmt: skip
        for name in names:
            value: Any = strength(name, 3)
            if name == "brightness_contrast":
                value = [value, BRIGHTNESS[2]]
            found.append(Pair(package, name, 3, int(value) if name in whole else value))
    return found


def pictures(count: int, side: int) -> np.ndarray:
    """uint8 ``(N, H, W, 3)``: patches, smooth shading and fine texture."""
    stream = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(stream.normal(size=(count, side, side, 3)), (0, 12, 12, 0))
    patches = np.kron(stream.random((count, -(-side // 32), -(-side // 32), 3)), np.ones((1, 32, 32, 1)))
    texture = ndimage.gaussian_filter(stream.normal(size=(count, side, side, 1)), (0, 1, 1, 0))
    mixed = 0.5 * patches[:, :side, :side] + 4 * smooth + 0.15 * texture + 0.25
    return (np.clip(mixed, 0, 1) * 255).round().astype(np.uint8)


def as_batch(images: np.ndarray) -> Batch:
    count, height, width, _ = images.shape
    values = torch.from_numpy(images).permute(0, 3, 1, 2)[:, None].float().contiguous() / 255
    grid = GeoBox((height, width), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32632")
    valid = torch.ones(count, 1, 1, height, width, dtype=torch.bool)
    bands = BandSet.of("red", "green", "blue", kind="colour")
    modality = Modality(values, valid, bands, torch.zeros(count, 1, dtype=torch.int64), (grid,) * count)
    return Batch({"image": modality}, ids=tuple(f"image{place}" for place in range(count)))


def ours(pair: Pair, batch: Batch) -> dict[str, float]:
    began, began_cpu = time.perf_counter(), time.process_time()
    found = corrupt(batch, pair.corruption, pair.severity, 0)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    error = (found.inputs["image"].values - batch.inputs["image"].values).square().mean(dim=(1, 2, 3, 4))
    return {"wall": wall, "cpu": cpu, "psnr": float((-10 * error.log10()).mean())}


def ask(peer: subprocess.Popen[str], pair: Pair) -> dict[str, float]:
    assert peer.stdin is not None
    assert peer.stdout is not None
    asked = {"package": pair.package, "corruption": pair.corruption, "strength": pair.theirs}
    peer.stdin.write(json.dumps(asked) + "\n")
    peer.stdin.flush()
    answer: dict[str, float] = json.loads(peer.stdout.readline())
    return answer


def race(pair: Pair, batch: Batch, peer: subprocess.Popen[str], rounds: int) -> dict[str, Any]:
    """Turn by turn, so that a busy minute hits both; the first turn is a warm-up."""
    mine, theirs = [ours(pair, batch)], [ask(peer, pair)]
    began = time.perf_counter()
    for _ in range(rounds):
        mine.append(ours(pair, batch))
        theirs.append(ask(peer, pair))
        if time.perf_counter() - began > MOST_SECONDS:
            break
    height, width = batch.inputs["image"].values.shape[3:]
    pixels = batch.batch_size * height * width / 1e6
    medians = {
        key: [float(np.median([each[key] for each in side[1:]])) for side in (mine, theirs)] for key in ("wall", "cpu")
    }
    return {
        "package": pair.package,
        "corruption": pair.corruption,
        "severity": pair.severity,
        "wall_ms_per_mpixel": [round(1000 * seconds / pixels, 1) for seconds in medians["wall"]],
        "cpu_ms_per_mpixel": [round(1000 * seconds / pixels, 1) for seconds in medians["cpu"]],
        "ratio": round(medians["wall"][1] / medians["wall"][0], 2),
        "ratio_cpu": round(medians["cpu"][1] / medians["cpu"][0], 2),
        "psnr": [round(mine[0]["psnr"], 2), round(theirs[0]["psnr"], 2)],
        "rounds": len(mine) - 1,
    }


def main() -> int:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of each side; 1 where others use the machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = pictures(options.images, options.side)
    batch = as_batch(images)
    python = interpreter("corruptions")
    lines = []
    with tempfile.TemporaryDirectory() as place:
        np.save(Path(place) / "images.npy", images)
        command = [
            str(python),
            str(HERE / "peers" / "corruptions_contender.py"),
            f"{place}/images.npy",
            str(options.threads),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
            assert peer.stdout is not None
            peer.stdout.readline()
            about = {
                "cores": os.cpu_count(),
                "threads": options.threads,
                "load": os.getloadavg(),
                "severity_set": SEVERITY_SET,
            }
            print(json.dumps(about), flush=True)
            for pair in pairs():
                lines.append(race(pair, batch, peer, options.rounds))
                print(json.dumps(lines[-1]), flush=True)
            assert peer.stdin is not None
            peer.stdin.close()
    for package in (None, "imagecorruptions", "albumentations", "kornia"):
        chosen = [line for line in lines if package in (None, line["package"])]
        print(
            json.dumps(
                {
                    "package": package or "all",
                    "pairs": len(chosen),
                    "median_ratio": round(float(np.median([line["ratio"] for line in chosen])), 2),
                    "median_ratio_cpu": round(float(np.median([line["ratio_cpu"] for line in chosen])), 2),
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
