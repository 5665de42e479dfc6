"""Memory of ``predict_scene`` over its imports, on files larger than memory is meant to be.

Three cases: 40,000 x 40,000 pixels in six bands of which only the diagonal and the corners hold data, two classes; and
8,000 x 8,000 full pixels with 2 and with 300 classes. Every case runs in a process of its own with a model that costs
next to nothing, and prints one line of JSON.

    python bench/predict_memory.py
    python bench/predict_memory.py --scale 0.1     # sides a tenth as long
"""

from __future__ import annotations

import argparse
import json
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
STORED = 512
CASES = {"sparse-2": (40_000, True, 2), "full-2": (8_000, False, 2), "full-300": (8_000, False, 300)}
LIMIT_MB = 500


class Cheap:
    """Logits that grow with the first band, as many as there are classes."""

    task: Task = "segmentation"
    inputs = {"optical": BandSet.of(*BANDS, unit="DN")}  # noqa: RUF012

    def __init__(self, classes: int) -> None:
        self.classes = tuple(f"class {number}" for number in range(classes))

    def predict(self, batch: Batch) -> Prediction:
        """One multiplication per class and pixel."""
        slopes = torch.linspace(-1, 1, len(self.classes)).reshape(1, -1, 1, 1)
        logits = batch.inputs["optical"].values[:, 0, :1] / 1000 * slopes
        valid = torch.ones(len(logits), dtype=torch.bool)
        return Prediction("segmentation", {"logits": logits}, valid, self.classes)


def make(path: Path, size: int, sparse: bool) -> None:
    """A six-band file; a sparse one holds data in the blocks of its diagonal and corners only."""
    noise = np.random.default_rng(0).integers(0, 2000, (len(BANDS), STORED, STORED), dtype=np.int16)
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000), "nodata": -1}
    layout = {"tiled": True, "blockxsize": STORED, "blockysize": STORED, "compress": "deflate", "sparse_ok": True}
    shape = {"driver": "GTiff", "width": size, "height": size, "count": len(BANDS), "dtype": "int16"}
    last = -(-size // STORED) - 1
    with rasterio.open(path, "w", **shape, **place, **layout, bigtiff="if_safer", zlevel=1) as dataset:
        dataset.descriptions = BANDS
        for y in range(last + 1):
            for x in range(last + 1):
                if sparse and x != y and not {x, y} <= {0, last}:
                    continue
                window = Window(x * STORED, y * STORED, min(STORED, size - x * STORED), min(STORED, size - y * STORED))
                dataset.write(noise[:, : window.height, : window.width], window=window)


def peak_mb() -> float:
    """Peak resident memory of this process in MiB; not ``ru_maxrss``, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(case: str, source: Path, out: Path) -> dict[str, object]:
    """One case in this process."""
    size, _, classes = CASES[case]
    before, began = peak_mb(), time.perf_counter()
    node = next(iter(cubes.nodes_of(cubes.open(source)).values()))
    report = predict_scene(Cheap(classes), node, out, progress=False)
    over = peak_mb() - before
    return {
        "bench": "predict_memory",
        "case": case,
        "size": report.shape[0],
        "of_size": size,
        "classes": classes,
        "over_imports_mb": round(over),
        "limit_mb": LIMIT_MB,
        "seconds": round(time.perf_counter() - began, 1),
        "model_s": round(report.model_s, 1),
        "predicted": report.predicted,
        "skipped": report.skipped,
        "recompute": round(report.recompute, 3),
        "block": report.block,
        "batch_size": report.batch_size,
        "chunks_read": report.chunks_read,
        "chunks_needed": report.chunks_needed,
    }


def main() -> None:
    """Make the files and run every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the sides")
    parser.add_argument("--case", choices=sorted(CASES), action="append", help="only these")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        kind, case, path = options.step
        size, sparse, _ = CASES[case]
        if kind == "make":
            make(Path(path), max(1, round(size * options.scale)), sparse)
        else:
            print(json.dumps(measure(case, Path(path), Path(path).with_name(f"{case}.tif"))), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        for case in options.case or CASES:
            source = Path(folder) / "scene.tif"
            for kind in ("make", "run"):  # in processes of their own, so that one's memory does not count as another's
                step = ["--scale", str(options.scale), "--step", kind, case, str(source)]
                subprocess.run([sys.executable, __file__, *step], check=True)


if __name__ == "__main__":
    main()
