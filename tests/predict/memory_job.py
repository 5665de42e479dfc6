"""Predict a scene in a process of its own; prints by how much the peak of its memory grew after the imports, in MiB.

Args of the command: scene, map, and ``whole`` to load the whole scene first, as a tool without windows would.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from swath import cubes
from swath.predict import predict_scene
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

BANDS = tuple(f"band {number}" for number in range(1, 7))


class Two:
    """Two classes by the sign of the first band."""

    task: Task = "segmentation"
    classes = ("low", "high")
    inputs = {"optical": BandSet.of(*BANDS, unit="DN")}  # noqa: RUF012

    def predict(self, batch: Batch) -> Prediction:
        """Logits of every pixel."""
        first = batch.inputs["optical"].values[:, 0, 0]
        return Prediction(self.task, {"logits": torch.stack([-first, first], dim=1)}, first > -9, self.classes)


def peak() -> float:
    """The largest resident memory of this process so far, MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    scene, out, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    before = peak()
    cube = cubes.to_cube(cubes.open(scene))
    if how == ["whole"]:
        cube = cube.load()
    report = predict_scene(Two(), cube, out, batch_size=4, progress=False)
    print(peak() - before, report.valid_share, report.skipped, report.predicted)


if __name__ == "__main__":
    main()
