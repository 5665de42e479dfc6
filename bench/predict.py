"""The prediction race: ``predict_scene`` against MONAI's sliding-window inferer and TerraTorch's tiled inference.

Two jobs on a six-band file: an identity model, whose time is all outside the model, and a U-Net of one million
parameters, where what lies outside should not matter. Every contender reads the same file, uses tiles of 256 with an
overlap of 64 and the same weights, and writes a COG of two classes, in a process and an environment of its own.
Then probes: the largest difference to one pass over the whole image, what a hole of 10 x 10 NaN does, small images.

Prints one line of JSON per run and a table of ratios. Roofs of the same minutes: ``copy_roof_s`` reads the file by
block and writes one band of classes (the least that any tool has to do), ``memory_copy_gb_s``, ``matmul_gflops``.

    python bench/predict.py --size 4096 --unet-size 1024
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import xarray as xr
from peers.environments import interpreter
from peers.network import network
from rasterio.windows import Window

from swath import cubes
from swath.predict import predict_scene
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

HERE = Path(__file__).parent
BANDS = tuple(f"band {number}" for number in range(1, 7))
STORED_BLOCK = 512
PEERS = ("monai", "terratorch")


class Model:
    """One of the networks of the race as a predictor of two classes, or of two quantities for the probes."""

    inputs = {"optical": BandSet.of(*BANDS)}  # noqa: RUF012

    def __init__(self, name: str, task: Task = "segmentation") -> None:
        self.task = task
        self.classes = ("first", "second")
        self.network = network(name)

    def predict(self, batch: Batch) -> Prediction:
        """The answer of the network for every pixel."""
        image = batch.inputs["optical"]
        logits = self.network(image.values[:, 0])
        valid = image.valid[:, 0].any(dim=1)
        outputs = {"logits": logits} if self.task == "segmentation" else {"mean": logits.softmax(dim=1)}
        return Prediction(self.task, outputs, valid, self.classes)


def make(path: Path, size: int) -> None:
    """A six-band int16 file of noisy waves, tiled and compressed like a delivered product, reflectance times 10,000."""
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
        dataset.scales = (1e-4,) * len(BANDS)
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


def opened(source: Path) -> xr.Dataset:
    """The file as a cube of physical values."""
    return cubes.to_physical(next(iter(cubes.nodes_of(cubes.open(source)).values())))


def copy_roof(source: Path, target: Path, size: int) -> float:
    """Seconds to read every block and to write one uint8 band."""
    began = time.perf_counter()
    with (
        rasterio.open(source) as dataset,
        cubes.CogWriter(target, cubes.geobox_of(opened(source)), names=("class",), dtype="uint8", nodata=255) as writer,
    ):
        for row, column, window in windows(size):
            block = dataset.read(window=window)
            writer.write((block[:1] < block[1:2]).astype(np.uint8), row, column)
    return time.perf_counter() - began


def memory_copy_gb_s() -> float:
    """Gigabytes per second of a copy in memory (bytes counted once), best of three."""
    source, target = np.ones(2**27, dtype=np.uint8), np.zeros(2**27, dtype=np.uint8)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - began)
    return source.nbytes / min(seconds) / 1e9


def matmul_gflops(size: int = 2048) -> float:
    """Billions of multiplications and additions per second of a float32 matrix product, best of three."""
    matrix = torch.ones(size, size)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        torch.matmul(matrix, matrix)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds) / 1e9


def peak_mb() -> float:
    """Peak resident memory of this process in MiB; not ``ru_maxrss``, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def scene(model: str, source: Path, folder: Path) -> dict[str, Any]:
    """Our own turn at a job."""
    predictor, before, began, busy = Model(model), peak_mb(), time.perf_counter(), time.process_time()
    report = predict_scene(predictor, opened(source), folder / "map.tif", progress=False)
    wall, busy = time.perf_counter() - began, time.process_time() - busy
    row = {
        "wall_s": wall,
        "cpu_s": busy,
        "model_s": report.model_s,
        "peak_rss_mb": peak_mb(),
        "over_imports_mb": peak_mb() - before,
    }
    return {**row, "tiles": report.tiles, "recompute": report.recompute, "block": report.block}


def probes(source: Path, folder: Path) -> dict[str, Any]:
    """Our own answers to the probes of ``peers/predict_contender.py``."""
    node = opened(source)
    size = min(1024, node.sizes["y"])
    node = node.isel(y=slice(size), x=slice(size)).load()

    def tiled(name: str, cube: xr.Dataset, *, strict: bool) -> np.ndarray[Any, Any]:
        target = folder / "probe.tif"
        predict_scene(Model(name, "pixel_regression"), cube, target, strict=strict, progress=False, outputs=("mean",))
        with rasterio.open(target) as dataset:
            return dataset.read()

    answer: dict[str, Any] = {}
    for name in ("mean", "unet"):
        with torch.inference_mode():
            image = torch.from_numpy(node["data"].values.astype(np.float32))
            whole = network(name)(image).softmax(dim=1)[0].numpy()
        inside = (..., slice(48, -48), slice(48, -48))
        answer[f"seam_{name}"] = float(np.abs(whole[inside] - tiled(name, node, strict=True)[inside]).max())
    hole = node.copy(deep=True)
    hole["data"][..., 500:510, 500:510] = np.nan
    answer["nan_pixels_out"] = int(np.isnan(tiled("mean", hole, strict=False)[0]).sum())
    for key, side in (("size_100", 100), ("size_1", 1)):
        part = node.isel(y=slice(side), x=slice(side))
        answer[key] = "x".join(str(size) for size in tiled("mean", part, strict=True).shape[-2:])
    return answer


def turn(contender: str, model: str, source: Path, folder: Path, peers: Path | None) -> dict[str, Any]:
    """One contender's turn in a process of its own."""
    if contender == "swath":
        command = [sys.executable, __file__, "--turn", model, "--source", str(source), "--folder", str(folder)]
    else:
        script = HERE / "peers" / "predict_contender.py"
        command = [str(interpreter(contender, peers)), "-W", "ignore", str(script), contender, model]
        command += [str(source), str(folder / "peer.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {"contender": contender, "model": model, "failed": said[-1] if said else f"exit {done.returncode}"}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def table(rows: list[Mapping[str, Any]]) -> None:
    """Every contender beside swath, as ratios (above 1: swath needs less)."""
    for job in ("identity", "unet"):
        race = {row["contender"]: row for row in rows if row["model"] == job and "wall_s" in row}
        if "swath" not in race:
            continue
        own = race["swath"]
        print(f"{job}: outside the model {own['wall_s'] - own['model_s']:.2f} s", end="")
        print(f" = {(own['wall_s'] - own['model_s']) / own['wall_s']:.1%} of {own['wall_s']:.1f} s")
        for name, row in race.items():
            outside = (row["wall_s"] - row["model_s"]) / (own["wall_s"] - own["model_s"])
            wall, memory = row["wall_s"] / own["wall_s"], row["over_imports_mb"] / own["over_imports_mb"]
            busy = row["cpu_s"] / own["cpu_s"]
            print(f"  {name:10s} wall x{wall:.2f}  processor x{busy:.2f}  outside x{outside:.2f}", end="")
            print(f"  memory over imports x{memory:.1f}")


def race(options: argparse.Namespace) -> None:
    """All jobs, all contenders."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, size in (("identity", options.size), ("unet", options.unet_size), ("probes", 1024)):
            source = folder / f"{model}.tif"
            subprocess.run([sys.executable, __file__, "--size", str(size), "--make", str(source)], check=True)
            roofs = {"memory_copy_gb_s": memory_copy_gb_s(), "matmul_gflops": matmul_gflops()}
            if model != "probes":
                roofs["copy_roof_s"] = copy_roof(source, folder / "copy.tif", size)
            for contender in ("swath", *options.contenders):
                row = turn(contender, model, source, folder, options.peers)
                rows.append({"bench": "predict", "size": size, **row, **roofs, "threads": torch.get_num_threads()})
                print(json.dumps(rows[-1]), flush=True)
            source.unlink()
    table(rows)


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_980, help="rows and columns for the identity model")
    parser.add_argument("--unet-size", type=int, default=4_096, help="rows and columns for the U-Net")
    parser.add_argument("--contenders", nargs="*", default=PEERS, choices=PEERS, help="beside swath")
    parser.add_argument("--peers", type=Path, help="folder of environments; default bench/peers/.env, made when absent")
    for hidden in ("--make", "--source", "--folder"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--turn", choices=("identity", "unet", "probes"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.size)
    elif options.turn:
        own = probes if options.turn == "probes" else lambda *places: scene(options.turn, *places)
        print(json.dumps({"contender": "swath", "model": options.turn, **own(options.source, options.folder)}))
    else:
        race(options)


if __name__ == "__main__":
    main()
