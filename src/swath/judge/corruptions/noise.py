"""Noise: Gaussian, salt and pepper, and the speckle of radar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from swath.judge.corruptions.view import EXPONENTIAL, NORMAL, View, words

if TYPE_CHECKING:
    from torch import Tensor

_PIECE = 1 << 15
"""Numbers drawn at a time: their 64-bit positions in a table are 256 kB."""


def gaussian_noise(view: View, deviation: float) -> None:
    """``x + N(0, deviation^2)``, independent per pixel, band and date; a signal of 1 has the ratio 1 / deviation."""
    rows = view.values.numpy().reshape(len(view.ids), -1)
    table, noise = NORMAL * np.float32(deviation), np.empty(_PIECE, np.float32)
    for row, stream in zip(rows, view.streams(), strict=True):
        drawn = words(stream, row.size)
        for start in range(0, row.size, _PIECE):
            part = row[start : start + _PIECE]
            found = noise[: part.size]
            np.take(table, drawn[start : start + _PIECE], out=found, mode="clip")  # 'raise' would copy once more
            np.add(part, found, out=part)


def salt_and_pepper_noise(view: View, share: float) -> None:
    """A share of the pixels becomes 0 or 1 in all bands at once, half of them each."""
    _, dates, bands, height, width = view.shape
    size = height * width
    below = np.uint16(np.ceil(share * 65_536))
    rows = view.values.numpy().reshape(len(view.ids), dates, bands, size)
    for row, stream in zip(rows, view.streams(), strict=True):
        drawn = words(stream, dates * size).reshape(dates, size)
        for date, field in enumerate(drawn):
            # A threshold on one field: what is hit at one severity stays hit at the next. Its last bit is a coin.
            places = np.flatnonzero(field < below)
            coins = (field[places] & 1).astype(np.float32)
            for band in row[date]:
                band[places] = coins


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
