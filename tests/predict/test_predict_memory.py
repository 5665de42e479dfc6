"""Memory of a prediction: bounded, and not by the scene."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from memory_job import BANDS
from rasterio.windows import Window

BOUND_MIB = 450
"""What a prediction may take beyond the imports: two windows, rows kept, a batch and a canvas (``predict.scene``).

About 320 for the sparse scene and 250 for the full one; the sparse one read as a whole takes 2,950.
"""

BLOCK = 256

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")


def write(path: Path, size: int, full: bool) -> Path:
    """Six float32 bands; not full: data in the blocks of the diagonal only, the others are not stored."""
    layout = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel", "sparse_ok": True}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000), "nodata": 0}
    shape = {"driver": "GTiff", "width": size, "height": size, "count": 6, "dtype": "float32"}
    block = np.random.default_rng(0).uniform(1, 2, (6, BLOCK, BLOCK)).astype(np.float32)
    steps = range(0, size, BLOCK)
    with rasterio.open(path, "w", **shape, **place, **layout) as dataset:
        for row in steps:
            for column in steps if full else [row]:
                height, width = min(BLOCK, size - row), min(BLOCK, size - column)
                dataset.write(block[:, :height, :width], window=Window(column, row, width, height))
        dataset.descriptions = BANDS
    return path


def grown(scene: Path, out: Path, *how: str) -> tuple[float, float, int, int]:
    """MiB beyond the imports, share of valid pixels, skipped and predicted tiles."""
    job = Path(__file__).with_name("memory_job.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(job), str(scene), str(out), *how], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    memory, share, skipped, predicted = done.stdout.split()[-4:]
    return float(memory), float(share), int(skipped), int(predicted)


def test_a_sparse_scene_of_a_gigabyte(tmp_path: Path) -> None:
    size = 6000  # 864 MB of values, and 216 MB of validity
    memory, share, skipped, predicted = grown(write(tmp_path / "s.tif", size, full=False), tmp_path / "m.tif")
    blocks = size // BLOCK
    assert share == pytest.approx((blocks * BLOCK**2 + (size % BLOCK) ** 2) / size**2)
    assert skipped > 4 * predicted > 0
    assert memory < BOUND_MIB


def test_a_full_scene(tmp_path: Path) -> None:
    """Every window holds data, so that all buffers are in use."""
    memory, share, _, _ = grown(write(tmp_path / "s.tif", 1500, full=True), tmp_path / "m.tif")
    assert share == 1
    assert memory < BOUND_MIB
