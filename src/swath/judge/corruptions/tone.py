"""Brightness and contrast."""

from __future__ import annotations

import numpy as np

from swath.judge.corruptions.view import View


def brightness_contrast(view: View, contrast: float, brightness: float) -> None:
    """``(x - 0.5) contrast + 0.5 + sign brightness``, with a random sign per sample and date."""
    count, dates = view.shape[:2]
    signs = np.array([stream.integers(0, 2, dates) * 2 - 1 for stream in view.streams()], np.float32)
    shift = signs.reshape(count, dates, 1, 1, 1) * np.float32(brightness) + np.float32(0.5 * (1 - contrast))
    values = view.values.numpy()
    np.multiply(values, np.float32(contrast), out=values)
    np.add(values, shift, out=values)
