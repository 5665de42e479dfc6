"""The window race: random training windows from eight scenes, ``WindowStream`` against what people use today.

Contenders, each in a process of its own: the stream with one and two threads; a rasterio loop with open files in fully
random order; the same loop in the order of the stream (equal shuffling); TorchGeo's RasterDataset with
RandomGeoSampler; xbatcher on rioxarray. All give float32 batches; the first three the same windows with their validity.
The same minutes give the decode roof: blocks read one after the other with one and two threads.

Prints one line of JSON a contender: chips/s, MB/s of stored blocks decoded, ratios to the two loops, peak memory,
reads over needed blocks, shuffle radius; and whether the pixels of the stream equal those of rasterio.

    python bench/windows.py --size 5490 --chips 2000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from peers.environments import interpreter
from rasterio.windows import Window

from swath.chips import WindowStream, stored_scene

HERE = Path(__file__).parent
BLOCK, SCENES, BANDS, BATCH = 512, 8, 10, 16
OWN = ("loop_random", "loop_same_order", "swath_1", "swath_2", "roof_1", "roof_2", "check")
PEERS = ("torchgeo", "xbatcher")


def make(path: Path, number: int, options: argparse.Namespace) -> None:
    """Ten bands of waves and noise as a delivered product has them, tiled, compressed, 0 where there are no data."""
    size, generator = options.size, np.random.default_rng(number)
    noise = generator.integers(0, 200, (BANDS, 2 * BLOCK, 2 * BLOCK), dtype=np.uint16)
    place = rasterio.Affine(10, 0, 400_000 + number * 10 * (size + 100), 0, -10, 5_000_000)
    profile = {"driver": "GTiff", "width": size, "height": size, "count": BANDS, "dtype": "uint16", "nodata": 0}
    layout = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": options.interleave, "predictor": 2}
    codec = {"compress": options.codec} | ({"zlevel": 6} if options.codec == "deflate" else {})
    with rasterio.open(path, "w", **profile, **layout, **codec, crs="EPSG:32633", transform=place) as dataset:
        for row in range(0, size, BLOCK):
            for column in range(0, size, BLOCK):
                shift = generator.integers(0, BLOCK, 2)
                block = noise[:, shift[0] : shift[0] + BLOCK, shift[1] : shift[1] + BLOCK]
                wave = 1500 + 800 * np.sin(np.arange(column, column + BLOCK) / 300 + row / 500)
                window = Window(column, row, min(BLOCK, size - column), min(BLOCK, size - row))
                dataset.write((block + wave.astype(np.uint16))[:, : window.height, : window.width], window=window)


def stream_of(options: argparse.Namespace, workers: int) -> WindowStream:
    scenes = [stored_scene(path) for path in sorted(options.data.glob("scene*.tif"))]
    return WindowStream(
        scenes,
        options.chips,
        size=options.window,
        batch_size=BATCH,
        seed=0,
        memory_mb=options.memory,
        workers=workers,
    )


def run_stream(options: argparse.Namespace, workers: int) -> dict[str, Any]:
    stream = stream_of(options, workers)
    next(stream_of(options, workers).epoch(0))  # imports count on nobody's account
    began = time.perf_counter()
    chips, first = 0, None
    for batch in stream.epoch(0):
        first = time.perf_counter() - began if first is None else first
        chips += batch.batch_size
    wall = time.perf_counter() - began
    made = stream.plan(0)
    decoded = len(made.reads) * made.block_bytes / 2**20
    return {"wall_s": wall, "chips": chips, "first_batch_s": first, "decoded_mb": decoded, **made.summary()}


def run_loop(options: argparse.Namespace, *, shuffled: bool) -> dict[str, Any]:
    """Open files and read window by window: what a careful user writes; GDAL's cache has the stream's memory."""
    windows = stream_of(options, 1).plan(0).windows
    if shuffled:
        windows = np.random.default_rng(0).permutation(windows)
    files = [rasterio.open(path) for path in sorted(options.data.glob("scene*.tif"))]
    size, chips = options.window, 0
    began = time.perf_counter()
    for first in range(0, len(windows), BATCH):
        part = windows[first : first + BATCH]
        values = np.empty((len(part), BANDS, size, size), np.float32)
        valid = np.empty(values.shape, np.bool_)
        for place, (scene, row, column) in enumerate(part.tolist()):
            stored = files[scene].read(window=Window(column, row, size, size))
            np.not_equal(stored, 0, out=valid[place])
            values[place] = stored
        chips += len(part)
    return {"wall_s": time.perf_counter() - began, "chips": chips}


def run_roof(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Blocks one after the other, each thread with its own file."""
    paths = sorted(options.data.glob("scene*.tif"))[:threads]
    side = min(6, options.size // BLOCK)

    def read(path: Path) -> float:
        total = 0
        with rasterio.Env(GDAL_CACHEMAX=64 * 2**20), rasterio.open(path) as dataset:
            for row in range(side):
                for column in range(side):
                    total += dataset.read(window=Window(column * BLOCK, row * BLOCK, BLOCK, BLOCK)).nbytes
        return total / 2**20

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        decoded = sum(pool.map(read, paths))
    return {"wall_s": time.perf_counter() - began, "chips": 0, "decoded_mb": decoded}


def run_check(options: argparse.Namespace) -> dict[str, Any]:
    """Every seventh window of the stream against rasterio, bit for bit."""
    stream, different, compared, place = stream_of(options, 2), 0, 0, 0
    files = [rasterio.open(path) for path in sorted(options.data.glob("scene*.tif"))]
    began = time.perf_counter()
    for batch in stream.epoch(0):
        image = batch.inputs["image"]
        for k in range(batch.batch_size):
            if place % 7 == 0:
                scene, row, column = stream.plan(0).windows[place].tolist()
                stored = files[scene].read(window=Window(column, row, options.window, options.window))
                same = np.array_equal(image.values[k, 0].numpy(), stored.astype(np.float32))
                different += not (same and np.array_equal(image.valid[k, 0].numpy(), stored != 0))
                compared += 1
            place += 1
    return {"wall_s": time.perf_counter() - began, "chips": 0, "windows_compared": compared, "different": different}


def contend(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one of swath's own contenders in this process."""
    if name.startswith("loop"):
        with rasterio.Env(GDAL_CACHEMAX=int(options.memory * 2**20)):
            result = run_loop(options, shuffled=name == "loop_random")
    elif name == "check":
        result = run_check(options)
    else:
        kind, number = name.split("_")
        result = (run_stream if kind == "swath" else run_roof)(options, int(number))
    return result | {"peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def prepare_cache(folder: Path, *, cold: bool) -> None:
    """Read all files once, or ask the kernel to forget them."""
    for path in sorted(folder.glob("scene*.tif")):
        with path.open("rb") as file:
            if cold:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                while file.read(2**24):
                    pass


def command(name: str, options: argparse.Namespace) -> list[str]:
    """How to run a contender in its own process."""
    if name in PEERS:
        python = str(interpreter(name, options.peers))
        numbers = [str(number) for number in (options.peer_chips, options.window, BATCH)]
        return [python, str(HERE / "peers" / "windows_contender.py"), name, str(options.data), *numbers]
    shared = [f"--{key}={getattr(options, key)}" for key in ("size", "chips", "window", "memory", "data")]
    return [sys.executable, __file__, *shared, "--contender", name]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=5_490, help="rows and columns of a scene; 10980 is a full tile")
    parser.add_argument("--chips", type=int, default=2_000)
    parser.add_argument("--peer-chips", type=int, default=400, help="chips for TorchGeo and xbatcher, which are slower")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--memory", type=float, default=1024, help="MiB for the stream")
    parser.add_argument("--codec", choices=("deflate", "zstd", "lzw"), default="deflate")
    parser.add_argument("--interleave", choices=("pixel", "band"), default="pixel")
    parser.add_argument("--cold", action="store_true", help="ask the kernel to drop the files before each contender")
    parser.add_argument("--peers", type=Path, help="folder with environments; default: bench/peers/.env")
    parser.add_argument("--without", nargs="*", default=(), help="contenders to leave out")
    parser.add_argument("--data", type=Path, help="folder with scenes of an earlier run; made when it is empty")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    return parser.parse_args()


def race(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All contenders in turn."""
    options.data.mkdir(parents=True, exist_ok=True)
    for number in range(SCENES):
        path = options.data / f"scene{number}.tif"
        if not path.exists():
            make(path.with_suffix(".part"), number, options)
            path.with_suffix(".part").rename(path)
    rows = []
    for name in (*OWN, *PEERS):
        if name in options.without:
            continue
        prepare_cache(options.data, cold=options.cold)
        done = subprocess.run(command(name, options), capture_output=True, text=True, check=False)
        if done.returncode:
            rows.append({"contender": name, "error": (done.stderr.strip().splitlines() or ["?"])[-1]})
            continue
        row = {"contender": name, **json.loads(done.stdout.strip().splitlines()[-1])}
        row["chips_s"] = row["chips"] / row["wall_s"]
        if "decoded_mb" in row:
            row["decoded_mb_s"] = row["decoded_mb"] / row["wall_s"]
        rows.append(row)
    return rows


def main() -> None:
    """Run the race, or one contender of it."""
    options = parsed()
    if options.contender:
        print(json.dumps(contend(options.contender, options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.data = options.data or Path(folder)
        rows = race(options)
        stored = sum(path.stat().st_size for path in options.data.glob("scene*.tif"))
    about = {
        "bench": "windows",
        "cache": "cold (posix_fadvise)" if options.cold else "warm (each file read before)",
        "size": options.size,
        "codec": options.codec,
        "interleave": options.interleave,
        "stored_mb": round(stored / 2**20),
    }
    speed = {row["contender"]: row["chips_s"] for row in rows if row.get("chips")}
    for row in rows:
        for loop in ("loop_random", "loop_same_order"):
            if row.get("chips") and loop in speed:
                row[f"times_{loop}"] = row["chips_s"] / speed[loop]
        print(json.dumps({**about, **{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}}))


if __name__ == "__main__":
    main()
