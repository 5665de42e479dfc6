"""The TorchGeo and xbatcher contenders of the window race, each run in its own environment without swath.

python windows_contender.py torchgeo FOLDER COUNT SIZE BATCH
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def torchgeo_batches(folder: Path, count: int, size: int, batch: int) -> Iterator[int]:
    """Windows by RasterDataset and RandomGeoSampler through a DataLoader in this process; yields their numbers."""
    import shim  # noqa: F401
    import torch
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import RandomGeoSampler

    class Scenes(RasterDataset):
        filename_glob = "scene*.tif"
        filename_regex = r"scene\d+\.tif"
        is_image = True
        separate_files = False

    torch.manual_seed(0)
    dataset = Scenes(str(folder))
    sampler = RandomGeoSampler(dataset, size=size, length=count, generator=torch.Generator().manual_seed(0))
    for made in DataLoader(dataset, batch_size=batch, sampler=sampler, collate_fn=stack_samples):
        assert made["image"].dtype == torch.float32
        assert made["image"].shape[-2:] == (size, size)
        yield len(made["image"])


def xbatcher_batches(folder: Path, count: int, size: int, batch: int) -> Iterator[int]:
    """Patches of xbatcher's grid on lazily opened files, in random order, stacked to batches; yields their numbers.

    xbatcher has no random positions; its patches are aligned with the stored blocks, which is to its advantage.
    """
    import numpy as np
    import rioxarray
    import xbatcher

    arrays = [rioxarray.open_rasterio(path) for path in sorted(folder.glob("scene*.tif"))]
    generators = [xbatcher.BatchGenerator(array, {"x": size, "y": size}, preload_batch=False) for array in arrays]
    every = [(scene, index) for scene, generator in enumerate(generators) for index in range(len(generator))]
    chosen = random.Random(0).choices(every, k=count)
    for first in range(0, count, batch):
        patches = [generators[scene][index] for scene, index in chosen[first : first + batch]]
        values = np.stack([patch.values.astype(np.float32) for patch in patches])
        assert values.shape[-2:] == (size, size)
        yield len(values)


def main() -> None:
    """Run one contender and print one line of JSON."""
    name, folder, count, size, batch = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    run = {"torchgeo": torchgeo_batches, "xbatcher": xbatcher_batches}[name]
    batches = run(folder, count, size, batch)
    began = time.perf_counter()
    done = next(batches)  # imports and opening count on nobody's account
    began, first = time.perf_counter(), done
    for number in batches:
        done += number
    wall = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall_s": wall * count / max(1, done - first), "chips": done, "peak_rss_mb": round(peak)}))


if __name__ == "__main__":
    main()
