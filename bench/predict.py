"""Time outside the model and memory of ``predict_scene``, with an identity model on a six-band file.

Prints one line of JSON. ``copy_roof_s`` is what this machine needs, in the same run, to read the file by block and
to write one band of classes: the least that any tool has to do. ``memory_copy_gb_s`` is the speed of a copy in memory.

    python bench/predict.py --size 4096
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

from swath import cubes
from swath.predict import predict_scene
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

BANDS = tuple(f"band {number}" for number in range(1, 7))
STORED_BLOCK = 512


class Identity:
    """Two bands as the logits of two classes."""

    task: Task = "segmentation"
    classes = ("first", "second")
    inputs = {"optical": BandSet.of(*BANDS, unit="DN")}  # noqa: RUF012

    def predict(self, batch: Batch) -> Prediction:
        """The values of the first two bands."""
        values = batch.inputs["optical"].values[:, 0, :2]
        return Prediction(
            "segmentation", {"logits": values}, values.new_ones(len(values), dtype=torch.bool), self.classes
        )


def make(path: Path, size: int) -> None:
    """A six-band int16 file of noisy waves, tiled and compressed like a delivered product."""
    generator = np.random.Generator(np.random.Philox(key=0))
    noise = generator.integers(0, 256, (len(BANDS), STORED_BLOCK, STORED_BLOCK), dtype=np.int16)
    profile = {"driver": "GTiff", "width": size, "height": size, "count": len(BANDS), "dtype": "int16", "nodata": -1}
    layout = {"tiled": True, "blockxsize": STORED_BLOCK, "blockysize": STORED_BLOCK, "compress": "deflate", "zlevel": 1}
    place = {
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000),
        "bigtiff": "if_safer",
    }
    with rasterio.open(path, "w", **profile, **layout, predictor=2, **place) as dataset:
        dataset.descriptions = BANDS
        for row, column, window in windows(size):
            wave = 1000 + 500 * np.sin(np.arange(column, column + STORED_BLOCK) / 300 + row / 500)
            block = noise + wave.astype(np.int16)
            dataset.write(block[:, : window.height, : window.width], window=window)


def windows(size: int) -> list[tuple[int, int, Window]]:
    """Stored blocks of the file."""
    starts = range(0, size, STORED_BLOCK)
    return [
        (row, column, Window(column, row, min(STORED_BLOCK, size - column), min(STORED_BLOCK, size - row)))
        for row in starts
        for column in starts
    ]


def copy_roof(source: Path, target: Path, size: int) -> float:
    """Seconds to read every block and to write one uint8 band."""
    began = time.perf_counter()
    node = next(iter(cubes.nodes_of(cubes.open(source)).values()))
    with (
        rasterio.open(source) as dataset,
        cubes.CogWriter(target, cubes.geobox_of(node), names=("class",), dtype="uint8", nodata=255) as writer,
    ):
        for row, column, window in windows(size):
            block = dataset.read(window=window)
            writer.write((block[:1] < block[1:2]).astype(np.uint8), row, column)
    return time.perf_counter() - began


def memory_copy_gb_s() -> float:
    """Gigabytes per second of a copy in memory (read and written bytes counted once), best of three."""
    source, target = np.ones(2**27, dtype=np.uint8), np.zeros(2**27, dtype=np.uint8)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - began)
    return source.nbytes / min(seconds) / 1e9


def peak_mb() -> float:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_980, help="rows and columns of the file")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.size)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "scene.tif"
        # In a process of its own, so that its memory does not count.
        subprocess.run([sys.executable, __file__, "--size", str(options.size), "--make", str(source)], check=True)
        before = peak_mb()
        began = time.perf_counter()
        node = next(iter(cubes.nodes_of(cubes.open(source)).values()))
        report = predict_scene(Identity(), node, Path(folder) / "map.tif", progress=False)
        wall, peak = time.perf_counter() - began, peak_mb()
        roof = copy_roof(source, Path(folder) / "copy.tif", options.size)
    row = {
        "bench": "predict",
        "model": "identity",
        "size": options.size,
        "bands": len(BANDS),
        "wall_s": round(wall, 2),
        "model_s": round(report.model_s, 2),
        "outside_s": round(wall - report.model_s, 2),
        "copy_roof_s": round(roof, 2),
        "outside_over_roof": round((wall - report.model_s) / roof, 2),
        "peak_rss_mb": round(peak),
        "over_imports_mb": round(peak - before),
        "memory_copy_gb_s": round(memory_copy_gb_s(), 1),
        "tiles": report.tiles,
        "recompute": round(report.recompute, 3),
        "block": report.block,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
