"""Artefacts of lossy compression: what JPEG adds to an image, and nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from swath.judge.corruptions.view import View

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 255.0


def compression_artifacts(view: View, quality: float) -> Tensor:
    """``x + (decode(encode(q)) - q)`` with q the image in 8 bits: only the error of the coding is added.

    Rounding to 8 bits itself changes nothing, so 16-bit bands keep their depth. Three bands of colour are coded as one
    colour image with the usual halved chroma, all others band by band. Invalid pixels are coded as the mean of the
    valid ones, so that their fill cannot ring into their neighbours.
    """
    values = view.values.numpy()
    valid = np.broadcast_to(view.valid.numpy(), values.shape)
    whole = view.whole
    colour = len(view.bands) == 3 and all(band.kind == "colour" for band in view.bands)
    for image, seen in zip(values.reshape(-1, *values.shape[2:]), valid.reshape(-1, *values.shape[2:]), strict=True):
        stored = np.rint(np.clip(_filled(image, seen) if not whole else image, 0, 1) * LEVELS).astype(np.uint8)
        if colour:
            coded = _coded(np.ascontiguousarray(stored.transpose(1, 2, 0)), int(quality)).transpose(2, 0, 1)
        else:
            coded = np.stack([_coded(band, int(quality)) for band in stored])
        image += (coded.astype(np.float32) - stored) / np.float32(LEVELS)
    return torch.from_numpy(values)


def _filled(image: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    known = np.maximum(seen.sum((1, 2), keepdims=True), 1)
    mean = (image * seen).sum((1, 2), keepdims=True, dtype=np.float64) / known
    return np.where(seen, image, mean.astype(np.float32))


def _coded(stored: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    with io.BytesIO() as memory:
        Image.fromarray(stored).save(memory, format="JPEG", quality=quality)
        with Image.open(memory) as image:
            return np.asarray(image)
