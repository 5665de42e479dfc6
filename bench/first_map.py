"""A first map with four tools: seconds to install, seconds and memory for a scene, score, and what happens to NaN.

The job is that of ``swath run sen1floods11_halves`` with the 13 bands of Sentinel-2: learn flood water on the left
half of the one Sen1Floods11 chip (real, hand-drawn labels), map the right half, which nobody saw. Everybody gets the
same 128 windows of 64 x 64 pixels per seed and 20 epochs; every tool trains a U-Net of its own parts, with one setting
that nobody tuned on the right half. Intervals are t intervals over seeds; they say nothing of other floods.
The clock runs for a scene of 4,096 x 4,096 pixels, the same chip mirrored, from the GeoTIFF to the finished COG.

    SWATH_DATA=... python bench/first_map.py --seeds 3 --large 1024
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import xarray as xr
from peers.environments import install_seconds, interpreter
from scipy import stats

from predict import peak_mb
from swath import chips, cubes, verbs
from swath.predict import predict_scene
from swath.sources.published import sen1floods11
from swath.sources.published.sen1floods11 import LEGEND
from swath.systems.eo import _scene_parts as parts
from swath.systems.eo import sen1floods11_halves as halves
from swath.types import IGNORE

HERE = Path(__file__).parent
OWN, ALL = ("unet", "random_forest"), ("unet", "random_forest", "terratorch", "rslearn")
SIZE, WINDOWS = 64, 128


def case(root: Path, seed: int, folder: Path, large: int) -> dict[str, Path]:
    """Training windows, the scene and a large scene as files that every tool reads."""
    chip = halves.choose(sen1floods11.open(root), None)
    cube, labels = halves.inputs_of(chip)["S2"], chip.labels().values
    values = cube["data"].values[0].astype(np.float32)
    own = halves.cut_in_halves((labels.shape[0], labels.shape[1]), "left", 64, SIZE).train
    places = chips.random_windows(labels[own].shape, SIZE, WINDOWS, seed)
    images = np.stack([values[:, y : y + SIZE, x : x + SIZE] for y, x in places])
    known = np.stack([labels[own][y : y + SIZE, x : x + SIZE] for y, x in places])
    seen = values[:, *own]
    files = {"case": folder / f"case_{seed}.npz", "scene": folder / "scene.tif", "large": folder / "large.tif"}
    np.savez(
        files["case"],
        images=images,
        labels=np.where(known == IGNORE, 255, known).astype(np.uint8),
        mean=seen.mean(axis=(1, 2)),
        std=seen.std(axis=(1, 2)),
    )
    stored = np.rint(values * 1e4).astype(np.int16)
    write(files["scene"], stored, cube)
    turns = -(-large // stored.shape[1])
    mirrored = np.pad(stored, ((0, 0), *(((0, (turns - 1) * stored.shape[1])),) * 2), mode="symmetric")
    write(files["large"], mirrored[:, :large, :large], cube)
    return files


def write(path: Path, stored: np.ndarray[Any, Any], cube: xr.Dataset) -> None:
    """Reflectance times 10,000 as a tiled GeoTIFF with band names and scale."""
    box, size = cubes.geobox_of(cube), {"height": stored.shape[1], "width": stored.shape[2], "count": len(stored)}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "nodata": -32768}
    place = {"crs": str(box.crs), "transform": box.affine, "dtype": "int16"}
    with rasterio.open(path, "w", driver="GTiff", **size, **layout, **place) as dataset:
        dataset.descriptions = cubes.bands_of(cube).names
        dataset.scales = (1e-4,) * len(stored)
        dataset.write(stored)


def own_turn(options: argparse.Namespace) -> None:
    """Train our U-Net or forest, map, time, and put a hole into the scene."""
    torch.set_num_threads(2)
    config, files = halves.Config(), {name: options.turn / f"{name}.tif" for name in ("scene", "large")}
    chip = halves.choose(sen1floods11.open(options.root), None)
    cube, labels = halves.inputs_of(chip)["S2"], chip.labels()
    rows, columns = halves.cut_in_halves((labels.shape[0], labels.shape[1]), "left", 64, SIZE).train
    own = labels[rows, columns]
    places = chips.random_windows((own.shape[0], own.shape[1]), SIZE, WINDOWS, options.seed)
    job = parts.Job(cube.isel(y=rows, x=columns), own, places, SIZE, LEGEND)
    forest, work = parts.Forest(config.trees, config.forest_pixels), options.turn / "own"
    training = config.training
    if options.contender == "random_forest":  # the network is trained beside it, but nobody asks for it here
        training = training.model_copy(update={"fit": training.fit.model_copy(update={"epochs": 1})})
    known = parts.contenders(job, training, forest, work, seed=options.seed)
    map_with = known[options.contender]
    labelled, row = {}, {}
    for kind in ("whole", "hole"):
        scene = cubes.to_physical(verbs.as_cube(verbs.open(files["scene"]))).load()
        if kind == "hole":
            scene["data"][..., 200:210, 200:210] = np.nan
        target = options.turn / f"{kind}.tif"
        predict_scene(map_with, scene, target, tile=128, overlap=32, strict=False, progress=False)
        labelled[kind] = parts.read_map(target)
    np.save(options.turn / "labels.npy", labelled["whole"])
    hole = labelled["hole"] == IGNORE
    row = {"nan_out": int(hole.sum()), "nan_classes": []}
    row["changed_outside"] = int((labelled["hole"] != labelled["whole"])[~hole].sum())
    if options.clock:
        began, busy = time.perf_counter(), time.process_time()
        large = cubes.to_physical(verbs.as_cube(verbs.open(files["large"])))
        predict_scene(map_with, large, options.turn / "large_map.tif", tile=128, overlap=32, progress=False)
        row |= {"scene_s": time.perf_counter() - began, "scene_cpu_s": time.process_time() - busy}
        row |= {"peak_rss_mb": peak_mb()}
    print(json.dumps({"contender": options.contender, "seed": options.seed, **row}))


def score(labels: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Accuracy and mean IoU of two classes."""
    known = truth != IGNORE
    said, true = labels[known], truth[known]
    ious = [((said == k) & (true == k)).sum() / ((said == k) | (true == k)).sum() for k in (0, 1)]
    return float((said == true).mean()), float(np.mean(ious))


def race(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All tools, all seeds; prints one line of JSON each."""
    chip = halves.choose(sen1floods11.open(options.root), None)
    labels = chip.labels().values
    test = halves.cut_in_halves((labels.shape[0], labels.shape[1]), "left", 64, SIZE).test
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            files = case(options.root, seed, folder, options.large)
            for contender in options.contenders:
                shutil.rmtree(folder / "own", ignore_errors=True)
                clock = ["--large", str(files["large"])] if seed == 0 else []
                if contender in OWN:
                    command = [sys.executable, __file__, "--turn", name, "--contender", contender]
                    command += ["--root", str(options.root), "--seed", str(seed), *(["--clock"] if clock else [])]
                else:
                    script = HERE / "peers" / "first_map_contender.py"
                    command = [str(interpreter(contender, options.peers)), "-W", "ignore", str(script), contender]
                    command += [str(files["case"]), str(files["scene"]), str(folder / "labels.npy")]
                    command += ["--seed", str(seed), *clock]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(json.dumps({"contender": contender, "seed": seed, "failed": done.stderr[-300:]}))
                    continue
                accuracy, miou = score(np.load(folder / "labels.npy")[test], labels[test])
                row = json.loads(done.stdout.strip().splitlines()[-1])
                rows.append({**row, "accuracy": accuracy, "miou": miou})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def table(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """The rows of the README."""
    for contender in options.contenders:
        mine = [row for row in rows if row["contender"] == contender]
        if not mine:
            continue
        values = np.array([row["miou"] for row in mine]) * 100
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
        installed = f"{install_seconds('swath' if contender in OWN else contender, options.peers):.0f} s"
        first = mine[0]
        print(
            f"{contender:14s} install {installed:6s} scene {first.get('scene_s', np.nan):6.1f} s  "
            f"processor {first.get('scene_cpu_s', np.nan):6.1f} s  {first.get('peak_rss_mb', np.nan):6.0f} MiB  "
            f"mIoU {values.mean():.1f} +- {half:.1f} ({len(values)} seeds)  100 NaN in: {first['nan_out']} out, "
            f"as class {first['nan_classes']}, {first['changed_outside']} changed outside"
        )


def main() -> None:
    """Run the bench."""
    told = Path(os.environ.get("SWATH_DATA", ".")) / "sen1floods11_sample"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=told, help="the Sen1Floods11 sample")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="only seed 0 runs against the clock")
    parser.add_argument("--large", type=int, default=4_096, help="rows and columns of the scene against the clock")
    parser.add_argument("--contenders", nargs="*", default=ALL, choices=ALL)
    parser.add_argument("--peers", type=Path, help="folder of environments; default bench/peers/.env, made when absent")
    parser.add_argument("--turn", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--contender", choices=OWN, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--clock", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        own_turn(options)
    elif not options.root.is_dir():
        print(f"first_map: no data at '{options.root}'; set SWATH_DATA. Nothing was run.")
    else:
        table(race(options), options)


if __name__ == "__main__":
    main()
