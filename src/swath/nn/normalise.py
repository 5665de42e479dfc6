"""Standardise the bands of an image without letting values under the mask through."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from swath.errors import InputError

SMALLEST_STD = 1e-6
"""Below this a band counts as constant: dividing by it would turn rounding noise into signal."""


class Normalise(nn.Module):
    """z-scores ``(x - mean) / std`` per band, exactly 0 wherever ``valid`` is False.

    0 is the mean of every band, so a missing value says "nothing unusual here", and no number that lies under the mask
    (not even NaN) can reach the network. A band with a standard deviation below 1e-6 is only centred (divided by 1),
    and a warning names it.

    The statistics are buffers that move with the module but are not part of its ``state_dict``: a checkpoint writes
    them once, readable, in its JSON file.

    Args:
        mean: mean per band, in the unit of the values.
        std: standard deviation per band, in the unit of the values.
        names: band names for messages, in the same order.

    Raises:
        InputError: the lists are empty, differ in length, or hold a number that is not finite or negative.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, names: Sequence[str] = ()) -> None:
        super().__init__()
        centre = torch.as_tensor(mean, dtype=torch.float64).reshape(-1)
        spread = torch.as_tensor(std, dtype=torch.float64).reshape(-1)
        labels = tuple(names) or tuple(f"band {position}" for position in range(len(centre)))
        _check_statistics(centre, spread, labels)
        constant = spread < SMALLEST_STD
        if bool(constant.any()):
            called = ", ".join(name for name, flat in zip(labels, constant.tolist(), strict=True) if flat)
            warnings.warn(
                f"The standard deviation of {called} is below {SMALLEST_STD:g}, so the band is only centred, not "
                "scaled. What to do: drop it if it is constant, or change its unit if its numbers are that small.",
                stacklevel=2,
            )
        self.register_buffer("mean", centre.float(), persistent=False)
        self.register_buffer("std", torch.where(constant, 1.0, spread).float(), persistent=False)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Standardised values.

        Args:
            values: ``(..., C, H, W)``, for example (sample, time, band, y, x), in physical units.
            valid: bool, broadcastable to ``values``.

        Returns:
            z-scores of the same shape, 0 where not valid.
        """
        standardised = (values - self.mean[:, None, None]) / self.std[:, None, None]
        return torch.where(valid, standardised, 0.0)


def _check_statistics(mean: Tensor, std: Tensor, names: Sequence[str]) -> None:
    if not len(mean) == len(std) == len(names) or len(mean) == 0:
        raise InputError(
            f"The statistics hold {len(mean)} means and {len(std)} standard deviations for {len(names)} bands",
            expected="one mean and one standard deviation per band, for at least one band",
            remedy="compute the statistics again for exactly these bands",
        )
    usable = torch.isfinite(mean) & torch.isfinite(std) & (std >= 0)
    if not bool(usable.all()):
        position = int(torch.nonzero(~usable)[0])
        raise InputError(
            f"The statistics of {names[position]} are mean {float(mean[position])}, "
            f"standard deviation {float(std[position])}",
            expected="finite numbers, the standard deviation not negative",
            remedy="compute the statistics again over valid pixels; a band without any valid pixel has no statistics",
        )
