"""Checks that all networks share: whole numbers in options, images in ``forward``, padding to a multiple."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from swath.errors import ConfigError, ContractError


def check_whole(owner: str, values: Mapping[str, int], smallest: int = 1) -> None:
    """Refuse options that are not whole numbers of at least ``smallest``.

    Raises:
        ConfigError: names the first option that is wrong.
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
            raise ConfigError(
                f"{owner}: '{name}' is {str(value)[:40]}",
                expected=f"a whole number of at least {smallest}",
                remedy=f"change '{name}'",
            )


def check_image(owner: str, image: Tensor, bands: int, *, dates: bool = False) -> None:
    """Refuse anything but ``(B, bands, H, W)``, or ``(B, T, bands, H, W)`` where ``dates`` is set.

    Raises:
        ContractError: tells the shape that came and the one that was expected.
    """
    axes = 5 if dates else 4
    if image.ndim != axes or image.shape[-3] != bands or 0 in image.shape[1:]:
        order = "(sample, date, band, y, x)" if dates else "(sample, band, y, x)"
        raise ContractError(
            f"{owner} was given an image of shape {tuple(image.shape)}",
            expected=f"{order} with {bands} bands and at least one pixel",
            remedy="select the bands; keep or squeeze the date axis as this network asks",
        )


def pad_to(image: Tensor, multiple: int) -> Tensor:
    """Repeat the lower and right border of ``(B, C, H, W)`` until ``multiple`` divides H and W.

    Zeros would be a value like any other to the network; the border is at least a value of this image.
    """
    below, beside = -image.shape[-2] % multiple, -image.shape[-1] % multiple
    if below or beside:
        image = F.pad(image, (0, beside, 0, below), mode="replicate")
    return image
