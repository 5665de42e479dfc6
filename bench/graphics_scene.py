"""A scene mapped by a large network, on a graphics card and on the processor: Mpixel a second, and are the maps equal.

The network has the shape of a published Prithvi with a linear head and random weights; the scene is random numbers in
memory, six bands of one date. What is timed is ``predict_scene`` as ``swath predict`` calls it: tiles, network,
blending and the COG on disk. The processor maps a corner, for comparison.

    python bench/graphics_scene.py --network prithvi_eo_v2_300_tl --side 2048 --corner 448
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.cubes import make_cube
from swath.learn.goals import LabelGoal
from swath.learn.intake import Intake
from swath.learn.model_task import ModelTask
from swath.learn.transferred import TransferredNetwork
from swath.models import sizes
from swath.nn import Normalise
from swath.predict import predict_scene
from swath.sensors import BandSet

NAMES = BandSet.of(*(f"band {number}" for number in range(6)))


def model(name: str) -> ModelTask:
    """A network for maps of two classes."""
    torch.manual_seed(0)
    spec = replace(sizes.PRITHVI[name], dates=1)
    network = TransferredNetwork({"image": {"bands": 6, "dates": 1}}, 2, asdict(spec), head="linear", join="mean")
    intake = Intake({"image": NAMES}, {"image": Normalise([0.3] * 6, [0.2] * 6, names=NAMES.names)}, {"image": 1})
    return ModelTask(network, LabelGoal("segmentation", ("no", "yes")), intake)


def mapped(task: ModelTask, values: np.ndarray, out: Path, options: argparse.Namespace) -> dict[str, float]:
    """Map ``values`` ``(band, y, x)``; seconds in all and in the network."""
    box = GeoBox(values.shape[-2:], Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    cube = make_cube(
        values[None],
        np.ones((1, *values.shape[-2:]), bool),
        box,
        NAMES,
        time=np.array(["2024-06-01"], "datetime64[s]"),
        scale=[1.0] * 6,
        offset=[0.0] * 6,
        stored=False,
        attrs={},
    )
    began = time.perf_counter()
    report = predict_scene(
        task,
        cube,
        out,
        tile=224,
        overlap=56,
        batch_size=options.batch,
        outputs=("class", "probability"),
        progress=False,
    )
    seconds = time.perf_counter() - began
    pixels = values.shape[-2] * values.shape[-1] / 1e6
    return {"seconds": seconds, "network_s": report.model_s, "mpixel_per_s": pixels / seconds, "tiles": report.tiles}


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="prithvi_eo_v2_300_tl", choices=sizes.PRITHVI)
    parser.add_argument("--side", type=int, default=2048, help="rows and columns of the scene")
    parser.add_argument("--corner", type=int, default=448, help="rows and columns for the processor")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    options = parser.parse_args()
    task = model(options.network)
    side = options.side
    values = np.random.default_rng(0).random((6, side, side)).astype(np.float32)
    corner = np.ascontiguousarray(values[:, : options.corner, : options.corner])
    known = {"bench": "graphics_scene", "network": options.network, "tile": 224, "overlap": 56, "batch": options.batch}
    with tempfile.TemporaryDirectory() as folder:
        jobs = [("cpu", corner), (options.device, corner), (options.device, values), (options.device, values)]
        maps = []
        for number, (device, part) in enumerate(jobs):
            out = Path(folder) / f"{number}.tif"
            row = mapped(task.to(device), part, out, options)
            device_name = torch.cuda.get_device_name() if device == "cuda" else "processor"
            print(json.dumps({**known, "device": device_name, "pixels": part[0].size, **row}), flush=True)
            with rasterio.open(out.with_name(f"{number}_probability.tif")) as raster:
                maps.append(raster.read())
        off = np.abs(maps[0].astype(float) - maps[1].astype(float))
        print(f"probabilities of the corner differ by at most {off.max():g} of {maps[0].max()}, mean {off.mean():.2g}")


if __name__ == "__main__":
    main()
