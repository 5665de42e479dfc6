"""Noise: Gaussian, salt and pepper, and the speckle of radar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from swath.judge.corruptions.view import EXPONENTIAL, NORMAL, View, words

if TYPE_CHECKING:
    from torch import Tensor


def gaussian_noise(view: View, deviation: float) -> Tensor:
    """``x + N(0, deviation^2)``, independent per pixel, band and date; a signal of 1 has the ratio 1 / deviation."""
    noise = np.empty((len(view.ids), int(np.prod(view.shape[1:]))), np.float32)
    table = NORMAL * np.float32(deviation)
    for row, stream in zip(noise, view.streams(), strict=True):
        np.take(table, words(stream, row.size), out=row, mode="clip")  # 'raise' would copy once more
    values = view.values.numpy()
    return torch.from_numpy(np.add(values, noise.reshape(view.shape), out=values))


def salt_and_pepper_noise(view: View, share: float) -> Tensor:
    """A share of the pixels becomes 0 or 1 in all bands at once, half of them each."""
    count, dates, _, height, width = view.shape
    size = dates * height * width
    drawn = np.empty((count, size), np.uint16)
    for row, stream in zip(drawn, view.streams(), strict=True):
        row[:] = words(stream, size)
    field = drawn.reshape(count, dates, 1, height, width)
    values = view.values.numpy()
    # A threshold on one field: what is hit at one severity stays hit at the next. Its last bit is as good as a coin.
    np.copyto(values, (field & 1).astype(np.float32), where=field < share * 65_536)
    return torch.from_numpy(values)


def speckle(view: View, physical: Tensor, looks: int) -> Tensor:
    """Multiplicative gamma noise of mean 1 on backscatter: the mean of ``looks`` exponential intensities.

    Fewer looks take the first of the same draws, so that one pattern grows with severity.

    Args:
        view: gives streams, bands and shape.
        physical: backscatter ``(B, T, C, H, W)``; bands in dB get ``10 log10`` of the factor added.
        looks: number of looks; signal to noise is its square root.
    """
    size = int(np.prod(view.shape[1:]))
    factor = np.zeros((len(view.ids), size), np.float32)
    for row, stream in zip(factor, view.streams(), strict=True):
        for _ in range(looks):
            row += EXPONENTIAL[words(stream, size)]
    noise = torch.from_numpy((factor / np.float32(looks)).reshape(view.shape))
    decibels = torch.tensor([band.unit.lower() == "db" for band in view.bands]).view(-1, 1, 1)
    return torch.where(decibels, physical + 10 * noise.log10(), physical * noise)
