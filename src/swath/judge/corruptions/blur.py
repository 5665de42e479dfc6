"""Blur by normalised convolution: an invalid pixel, and what lies outside the frame, has no weight.

``y = (k * (x v)) / (k * v)`` with v = 1 where valid (Knutsson and Westin 1993, CVPR). Convolutions are products of
spectra, whose cost does not grow with the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from swath.errors import InputError
from swath.judge.corruptions.view import View

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
_LEAST_WEIGHT = 1e-3
_THREADS = 2


def gaussian_blur(view: View, deviation: float) -> Tensor:
    """Isotropic Gaussian of the given standard deviation in pixels, cut at three of them."""
    radius = int(np.ceil(3 * deviation))
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    kernel = np.outer(line, line)
    return _convolved(view, np.asarray(kernel / kernel.sum(), np.float32)[None, None])


def motion_blur(view: View, length: float) -> Tensor:
    """The mean along a line of the given length in pixels, of random direction per sample and date.

    Raises:
        InputError: the image is smaller than the line.
    """
    count, dates, _, height, width = view.shape
    if min(height, width) < length:
        raise InputError(
            f"Images of {height} x {width} pixels in '{view.modality}' are smaller than the motion of {length:g}",
            expected=f"at least {length:g} pixels on each side",
            remedy="take larger images or a lower severity",
        )
    angles = np.array([stream.uniform(0, np.pi, dates) for stream in view.streams()]).reshape(count, dates)
    return _convolved(view, line_kernels(angles, int(length)))


def line_kernels(angles: NDArray[np.float64], length: int) -> Floats:
    """Kernels ``(..., k, k)`` of sum 1: points of equal weight along a line, spread over the four pixels around each.

    Args:
        angles: radians from the x towards the y axis.
        length: pixels; k is the next odd number.
    """
    side = length + 1 - length % 2
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 4 * length + 1)
    x = np.cos(angles)[..., None] * along + side // 2
    y = np.sin(angles)[..., None] * along + side // 2
    kernel = np.zeros((*angles.shape, side, side))
    grid = np.arange(side)
    wide = np.clip(1 - np.abs(x[..., None] - grid), 0, None)
    tall = np.clip(1 - np.abs(y[..., None] - grid), 0, None)
    kernel = np.einsum("...py,...px->...yx", tall, wide)
    return np.asarray(kernel / kernel.sum((-2, -1), keepdims=True), np.float32)


def _convolved(view: View, kernels: Floats) -> Tensor:
    """Normalised convolution of ``(B, T, C, H, W)`` with kernels ``(B or 1, T or 1, k, k)``."""
    height, width = view.shape[3:]
    radius = kernels.shape[-1] // 2
    size = (fft.next_fast_len(height + radius, real=True), fft.next_fast_len(width + radius, real=True))
    spectrum = _spectrum(kernels, size)
    whole = view.whole
    mask = np.ones((1, 1, 1, height, width), np.float32) if whole else view.valid.float().numpy()
    values = view.values.numpy()
    mixed = _product(values if whole else values * mask, spectrum, size)
    weight = _product(mask, spectrum, size)
    if not whole:
        # Where the kernel meets almost nothing valid, the pixel itself is all that is known.
        known = weight > _LEAST_WEIGHT
        mixed = np.where(known, mixed, values)
        weight = np.where(known, weight, np.float32(1))
    return torch.from_numpy(np.divide(mixed, weight, out=np.ascontiguousarray(mixed)))


def _spectrum(kernels: Floats, size: tuple[int, int]) -> NDArray[np.complex64]:
    """Spectra of kernels whose centre lies at pixel 0, with an axis for bands."""
    side = kernels.shape[-1]
    framed = np.zeros((*kernels.shape[:2], 1, *size), np.float32)
    # A frame narrower than the kernel wraps parts of it onto each other; as the frame is longer than image and radius,
    # only parts that reach no pixel do.
    rows, columns = ((np.arange(side) - side // 2) % length for length in size)
    for row, line in zip(rows.tolist(), np.moveaxis(kernels, 2, 0), strict=True):
        for column, weight in zip(columns.tolist(), np.moveaxis(line, 2, 0), strict=True):
            framed[:, :, 0, row, column] += weight
    return np.asarray(fft.rfft2(framed, workers=_THREADS))


def _product(values: Floats, spectrum: NDArray[np.complex64], size: tuple[int, int]) -> Floats:
    height, width = values.shape[-2:]
    found = fft.irfft2(fft.rfft2(values, s=size, workers=_THREADS) * spectrum, s=size, workers=_THREADS)
    return np.asarray(found[..., :height, :width], np.float32)
