"""Brightness and contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from swath.judge.corruptions.view import View

if TYPE_CHECKING:
    from torch import Tensor


def brightness_contrast(view: View, contrast: float, brightness: float) -> Tensor:
    """``(x - 0.5) contrast + 0.5 + sign brightness``, with a random sign per sample and date."""
    count, dates = view.shape[:2]
    signs = np.array([stream.integers(0, 2, dates) * 2 - 1 for stream in view.streams()], np.float32)
    shift = torch.from_numpy(signs.reshape(count, dates, 1, 1, 1)) * brightness + 0.5 * (1 - contrast)
    return view.values.mul_(contrast).add_(shift)
