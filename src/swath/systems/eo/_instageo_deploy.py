"""From trained networks to files and maps: export, whole scenes, and what both cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from swath import cubes
from swath.chips import ChipSet
from swath.files import make_folder
from swath.predict import predict_scene
from swath.predict.export import OnnxPredictor, quantise, write_onnx
from swath.predict.export.single import SingleInput
from swath.systems.eo._instageo_archive import SENSORS, FloodArchive, name_of, truth_of
from swath.systems.eo._instageo_chips import tile_of_chip
from swath.types import Predictor, Split

CALIBRATION_CHIPS = 64
OVERLAP_SHARE = 4
"""Tiles of a scene overlap by one part in so many."""


@dataclass(frozen=True)
class SceneCost:
    """What mapping one scene took.

    Args:
        seconds: by the clock, one for each round.
        megapixels: of the scene.
        miou: mean IoU of the map against the truth.
        map: the last map.
    """

    seconds: tuple[float, ...]
    megapixels: float
    miou: float
    map: Path

    @property
    def speed(self) -> float:
        """Megapixels a second, median over the rounds."""
        return self.megapixels / float(np.median(self.seconds))


def exported(task: Any, chipset: ChipSet, part: Split, out: Path, name: str) -> dict[str, Predictor]:
    """A model as ONNX in float32 and int8, ready to predict.

    Args:
        task: a trained model of one input.
        chipset: gives the ranges of the numbers, from its train part.
        part: which is for what.
        out: folder of the files.
        name: of the files.

    Raises:
        MissingError: the extra ``export`` is not installed.
    """
    make_folder(out)
    ids = part.ids("train")
    drawn = ids[:: max(1, len(ids) // CALIBRATION_CHIPS)][:CALIBRATION_CHIPS]
    batches = [chipset.batch(drawn[at : at + 8]) for at in range(0, len(drawn), 8)]
    plain, whole = out / f"{name}.onnx", out / f"{name}_int8.onnx"
    write_onnx(SingleInput(task), plain, side=chipset.size, source=name)
    quantise(plain, whole, batches)
    return {f"{name}_onnx": OnnxPredictor(plain, threads=1), f"{name}_int8": OnnxPredictor(whole, threads=1)}


def scene_of(archive: FloodArchive, part: Split, sensor: str = SENSORS[0]) -> tuple[Path, Any]:
    """Folder and truth of the flood scene of the first test place."""
    number = min(tile_of_chip(name) for name in part.ids("test"))
    flood = archive.options.floods[number]
    day = flood.days(archive.options.apart)[1]
    folder = archive.scenes / f"tile_{number}"
    return folder / sensor / f"{name_of(flood, day)}_{sensor}", truth_of(folder, flood, day)


def mapped(
    predictors: Mapping[str, Predictor], scene: tuple[Path, Any], out: Path, *, tile: int, rounds: int
) -> dict[str, SceneCost]:
    """Map one scene with each of some predictors, in turn, so that what else the machine does strikes all alike.

    Args:
        predictors: by name.
        scene: its folder, and truth bool ``(y, x)``.
        out: folder of the maps.
        tile: side of a tile in pixels.
        rounds: times that each is run.
    """
    make_folder(out)
    cube, truth = cubes.to_cube(cubes.open(scene[0])), scene[1]
    cube = (cube if cubes.is_physical(cube) else cubes.to_physical(cube)).compute()
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    for _ in range(rounds):
        for name, predictor in predictors.items():
            start = time.perf_counter()
            predict_scene(
                predictor, cube, out / f"{name}.tif", tile=tile, overlap=tile // OVERLAP_SHARE, resume=False,
                progress=False,
            )  # fmt: skip
            seconds[name].append(time.perf_counter() - start)
    return {
        name: SceneCost(tuple(taken), truth.size / 1e6, scene_iou(out / f"{name}.tif", truth), out / f"{name}.tif")
        for name, taken in seconds.items()
    }


def scene_iou(path: Path, truth: Any) -> float:
    """Mean IoU of a map of two classes against the truth, where the map says something."""
    with rasterio.open(path) as raster:
        found, seen = raster.read(1), raster.read_masks(1) > 0
    ious = []
    for value in (0, 1):
        ours, theirs = seen & (found == value), seen & (truth == bool(value))
        union = int((ours | theirs).sum())
        ious.append(int((ours & theirs).sum()) / union if union else float("nan"))
    return float(np.nanmean(ious))


def parameters_of(predictors: Mapping[str, Any]) -> dict[str, int]:
    """Learned numbers of every network among them."""
    return {
        name: sum(each.numel() for each in task.parameters())
        for name, task in predictors.items()
        if hasattr(task, "parameters")
    }
