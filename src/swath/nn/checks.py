"""Checks that all networks share: whole numbers in options, images in ``forward``, padding to a multiple."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from swath import limits
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


def check_shares(owner: str, *, drop_path: float, mlp_ratio: float) -> None:
    """Refuse a rate of stochastic depth outside [0, 1) and branches without hidden numbers.

    Raises:
        ConfigError: names the option that is wrong.
    """
    if not 0 <= drop_path < 1:
        raise ConfigError(f"{owner}: 'drop_path' is {drop_path}", expected="0 to below 1", remedy="change 'drop_path'")
    if not 0 < mlp_ratio < float("inf"):
        raise ConfigError(f"{owner}: 'mlp_ratio' is {mlp_ratio}", expected="above 0", remedy="4 is usual")


def check_parameters(owner: str, number: float) -> None:
    """Refuse sizes that declare more weights than are believed, before any of them is allocated.

    Args:
        owner: name for the message.
        number: about how many parameters the sizes declare.

    Raises:
        ConfigError: tells the number, the limit, and how to raise it.
    """
    if number > limits.PARAMETERS.value:
        raise ConfigError(
            f"The {owner} would have about 10^{len(str(int(number))) - 1} parameters",
            expected=f"at most {limits.PARAMETERS.value}",
            remedy=f"change its sizes; if they are meant, set {limits.PARAMETERS.variable}",
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
