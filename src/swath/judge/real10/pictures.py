"""The task of pictures with one answer each: the seven kinds of scene of RSSCN7."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError
from swath.judge.real10.samples import NO_MONTH, Inputs, Samples, Target, class_strata
from swath.sensors import BandSet
from swath.sources.published import rsscn7

SIDE = 64
"""Side that larger pictures are averaged to."""


def scenes(root: Path) -> Samples:
    """Kinds of scenes from colour; groups are blocks of ten numbers, which often show one place.

    Raises:
        InputError: there is no picture, one is damaged, or sizes differ.
    """
    found = rsscn7.open(root)
    images = [_reduced(scene.image()) for scene in found]
    if len({image.shape for image in images}) > 1:
        raise InputError(
            f"The pictures in {root} differ in size", expected="one size", remedy="check the data set with its reader"
        )
    values = np.stack(images)[:, None]
    count = len(found)
    target = Target(np.array([scene.label for scene in found], np.int64)[:, None, None], rsscn7.CLASSES)
    return Samples(
        inputs=Inputs(
            values,
            np.ones(values.shape, bool),
            BandSet.of(*rsscn7.BANDS, kind="colour"),
            np.full((count, 1), NO_MONTH, np.int64),
            np.full((count, 2), np.nan),
            dense=False,
        ),
        target=target,
        ids=tuple(scene.id for scene in found),
        groups=tuple(scene.group for scene in found),
        strata=class_strata(target),
    )


def files(root: Path) -> list[Path]:
    """The pictures."""
    return [scene.path for scene in rsscn7.open(root)]


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colours from 0 to 1 ``(3, y, x)``, averaged over whole squares down to about ``SIDE``."""
    step = max(1, min(image.shape[1:]) // SIDE)
    height, width = (length // step * step for length in image.shape[1:])
    squares = image[:, :height, :width].reshape(3, height // step, step, width // step, step)
    return np.asarray(squares.mean(axis=(2, 4), dtype=np.float32) / np.float32(255), np.float32)
