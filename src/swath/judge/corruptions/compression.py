"""Artefacts of lossy compression: what JPEG adds to an image, and nothing else."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swath.judge.corruptions.view import View

LEVELS = 255.0


def compression_artifacts(view: View, quality: float) -> None:
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
        scaled = np.multiply(image if whole else _filled(image, seen), np.float32(LEVELS))
        np.rint(np.clip(scaled, np.float32(0), np.float32(LEVELS), out=scaled), out=scaled)
        stored = scaled.astype(np.uint8)
        coded = _coded(stored, int(quality)) if colour else [_coded(band[None], int(quality))[0] for band in stored]
        for band, before, after in zip(image, scaled, coded, strict=True):
            np.subtract(after, before, out=before)
            np.multiply(before, np.float32(1 / LEVELS), out=before)
            np.add(band, before, out=band)


def _filled(image: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    known = np.maximum(seen.sum((1, 2), keepdims=True), 1)
    mean = (image * seen).sum((1, 2), keepdims=True, dtype=np.float64) / known
    return np.where(seen, image, mean.astype(np.float32))


def _coded(stored: NDArray[np.uint8], quality: int) -> list[NDArray[np.uint8]]:
    """One or three bands after coding."""
    bands = [Image.fromarray(band) for band in stored]
    with io.BytesIO() as memory:
        (Image.merge("RGB", bands) if len(bands) == 3 else bands[0]).save(memory, format="JPEG", quality=quality)
        with Image.open(memory) as image:
            return [np.asarray(band) for band in image.split()]
