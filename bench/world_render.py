"""How fast the simulated Earth is observed: Sentinel-2 scenes of an invented truth with hills, all layers and clouds.

Prints lines of JSON: the whole observation (ten bands of 10 and 20 m, and all of a product), each in a process of its
own with its peak memory, eagerly and through dask; then the share of every step, measured in one thread. Pixels times
bands are counted on the native grids: a 20 m band counts a quarter of a 10 m band.

    python bench/world_render.py --size 2400
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from swath.sources.world import noise
from swath.sources.world.render import Conditions, cell, observe
from swath.sources.world.render.instrument import INSTRUMENTS, Instrument
from swath.sources.world.truth import LAYERS, quantised

TIME, CLOUDS = "2023-06-21", Conditions(cloud_fraction=0.3)
STEPS = ("surface_of", "sky_over", "_atmospheres", "_light", "_tile", "_blurred", "_above", "_stored", "_quality")
MODES = ("eager", "lazy", "profile")


def truth(size: int) -> xr.Dataset:
    """Fields of noise: every layer present, cover in patches of some hundred metres."""
    box = GeoBox((size, size), Affine(10, 0, 600_000, 0, -10, 5_000_040), "EPSG:32632")
    y, x = -np.arange(size) * 10.0, np.arange(size) * 10.0
    fields = {name: noise.smooth(index, y, x, 700.0) for index, name in enumerate(("cover", "height", "leaf", "wet"))}
    cover = np.clip(np.rint(fields["cover"] * 2.0 + 3.0), 0, 10).astype(np.uint8)
    found: dict[str, Any] = {"cover": cover, "elevation": quantised("elevation", 600.0 + 250.0 * fields["height"])}
    found["leaf_area"] = quantised("leaf_area", np.clip(2.0 + 1.5 * fields["leaf"], 0.0, 7.0))
    found["soil_moisture"] = quantised("soil_moisture", np.clip(0.2 + 0.08 * fields["wet"], 0.02, 0.45))
    found["open_water"] = (cover == 7).astype(np.float32)
    found["crop"] = np.where(cover == 3, 1 + (np.arange(size) // 30 % 7)[None, :], 0).astype(np.uint8)
    return xr.Dataset(
        {name: (("y", "x"), values, {"units": LAYERS[name].unit}) for name, values in found.items()},
        coords=xr_coords(box, always_yx=True),
    )


def ten_bands() -> None:
    """Leave the bands of 60 m out, as most users do."""
    whole = INSTRUMENTS["sentinel2_l2a"]
    kept = {name: channel for name, channel in whole.channels.items() if channel.gsd_m < 60}
    INSTRUMENTS["sentinel2_l2a"] = Instrument(
        kept, whole.hour, whole.scheme, whole.quality_gsd_m, whole.pixel_m, whole.raw, whole.above, whole.surface
    )


def counted(scene: xr.DataTree) -> float:
    """Millions of native pixels times bands."""
    return sum(node["data"].size for node in scene.children.values()) / 1e6


def run(size: int, mode: str, bands: int) -> dict[str, Any]:
    if bands == 10:
        ten_bands()
    ground = truth(size)
    observe(ground.isel(y=slice(0, 60), x=slice(0, 60)), "sentinel2_l2a", TIME, conditions=CLOUDS)  # imports and tables
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    steps = timed() if mode == "profile" else {}
    began, processor = time.perf_counter(), time.process_time()
    if mode == "lazy":
        scene = observe(ground.chunk({"y": 600, "x": 600}), "sentinel2_l2a", TIME, conditions=CLOUDS)
        import dask

        # Blocks are made and thrown away, as a writer would: nothing holds the scene.
        sums = [node["data"].data.astype("float64").sum() for node in scene.children.values()]
        dask.compute(*sums)
    else:
        scene = observe(ground, "sentinel2_l2a", TIME, conditions=CLOUDS)
    wall, spent = time.perf_counter() - began, time.process_time() - processor
    pixels = counted(scene)
    row = {
        "mode": mode,
        "size": size,
        "bands": bands,
        "mpixel_band": round(pixels, 2),
        "wall_s": round(wall, 2),
        "processor_s": round(spent, 2),
        "mpixel_band_per_s": round(pixels / wall, 2),
        "mpixel_band_per_processor_s": round(pixels / spent, 2),
        "memory_before_mb": round(before),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    total = sum(steps.values())
    return row | ({"share": {name: round(value / total, 3) for name, value in steps.items()}} if steps else {})


def timed() -> dict[str, float]:
    """Count the processor seconds of every step of a cell."""
    spent: dict[str, float] = defaultdict(float)

    def watched(name: str) -> None:
        original = getattr(cell, name)

        def call(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return original(*arguments)
            finally:
                spent[name.strip("_")] += time.thread_time() - began

        setattr(cell, name, call)

    for name in STEPS:
        watched(name)
    return spent


def main() -> None:
    """Run all modes, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2400, help="rows and columns of the truth at 10 m")
    parser.add_argument("--bands", type=int, choices=(10, 12), default=10)
    parser.add_argument("--mode", choices=MODES, help="one mode only")
    options = parser.parse_args()
    if options.mode:
        print(json.dumps(run(options.size, options.mode, options.bands)))
        return
    for mode in MODES:
        subprocess.run(
            [sys.executable, __file__, f"--size={options.size}", f"--bands={options.bands}", f"--mode={mode}"],
            check=True,
        )


if __name__ == "__main__":
    main()
