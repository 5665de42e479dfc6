"""Images to patches and back, in each of the orders in which published masked autoencoders lay out their numbers.

Tokens always follow (date, row, column). Within a token the numbers follow one of

- ``tpqc``: frame of the tubelet, row, column, band; space-time masked autoencoders (Tong et al., "VideoMAE", 2022).
- ``pqc``: row, column, band; plain images (He et al., "Masked autoencoders are scalable vision learners", CVPR 2022).
- ``cpq``: band, row, column; groups of bands (Cong et al., "SatMAE", NeurIPS 2022).

A decoder's weights only make sense with the order they were trained with, so that it is always named.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from swath.errors import ConfigError, ContractError
from swath.nn.checks import check_whole

Order = Literal["tpqc", "pqc", "cpq"]
Patch = tuple[int, int, int]
"""Frames, rows and columns of a patch."""

_SIDES = ("dates", "rows", "columns")
# Where the axes of a cut image (sample, date, frame, band, row, p, column, q) go, after (sample, date, row, column).
_AXES: dict[Order, tuple[int, ...]] = {"tpqc": (2, 5, 7, 3), "pqc": (2, 5, 7, 3), "cpq": (2, 3, 5, 7)}


def grid_of(size: tuple[int, int, int], patch: Patch) -> tuple[int, int, int]:
    """Tokens along time, rows and columns.

    Args:
        size: dates, rows and columns of the images.
        patch: frames, rows and columns of a patch.

    Raises:
        ConfigError: a side of the patch is not a whole number of at least 1.
        ContractError: a side of the image is 0 or no multiple of the patch; the nearest sizes are named.
    """
    check_whole("The patch", dict(zip(_SIDES, patch, strict=True)))
    for side, length, step in zip(_SIDES, size, patch, strict=True):
        if length < 1 or length % step:
            below, above = length // step * step, (length // step + 1) * step
            near = f"{below} or {above}" if below else str(above)
            raise ContractError(
                f"The image has {length} {side} and the patch {step}",
                expected=f"a multiple of {step} {side}; the nearest is {near}",
                remedy="crop or pad the image, or choose a patch that divides it",
            )
    return size[0] // patch[0], size[1] // patch[1], size[2] // patch[2]


def patchify(images: Tensor, patch: Patch, order: Order) -> Tensor:
    """Cut images into patches.

    Args:
        images: ``(B, T, C, H, W)``, any dtype; a mask of valid pixels is cut by the same call.
        patch: frames t, rows p and columns q of a patch. One frame for the orders ``pqc`` and ``cpq``.
        order: order of the numbers in a token.

    Returns:
        ``(B, N, V)`` with N = T/t H/p W/q tokens of V = t p q C numbers.

    Raises:
        ConfigError: the patch or the order is none.
        ContractError: the axes are others, or the patch does not divide the image.
    """
    _check_order(patch, order)
    if images.ndim != 5:
        raise ContractError(
            f"The images have shape {tuple(images.shape)}",
            expected="(sample, date, band, y, x)",
            remedy="keep the date axis, of length 1 for single images",
        )
    batch, dates, bands, rows, columns = images.shape
    t, h, w = grid_of((dates, rows, columns), patch)
    cut = images.reshape(batch, t, patch[0], bands, h, patch[1], w, patch[2])
    return cut.permute(0, 1, 4, 6, *_AXES[order]).reshape(batch, t * h * w, patch[0] * bands * patch[1] * patch[2])


def unpatchify(patches: Tensor, shape: tuple[int, int, int, int], patch: Patch, order: Order) -> Tensor:
    """Join patches to images: the inverse of ``patchify``.

    Args:
        patches: ``(B, N, V)``.
        shape: dates T, bands C, rows H and columns W of the images.
        patch: frames, rows and columns of a patch.
        order: order of the numbers in a token.

    Returns:
        ``(B, T, C, H, W)``.

    Raises:
        ConfigError: the patch or the order is none.
        ContractError: the patches are not those of such images.
    """
    _check_order(patch, order)
    dates, bands, rows, columns = shape
    t, h, w = grid_of((dates, rows, columns), patch)
    number, values = t * h * w, patch[0] * bands * patch[1] * patch[2]
    if patches.ndim != 3 or tuple(patches.shape[1:]) != (number, values):
        raise ContractError(
            f"The patches have shape {tuple(patches.shape)}",
            expected=f"(sample, {number}, {values}) for images of {dates} dates, {bands} bands, {rows} x {columns}",
            remedy="give the shape and the patch with which the images were cut",
        )
    sizes = {2: patch[0], 3: bands, 5: patch[1], 7: patch[2]}
    placed = (0, 1, 4, 6, *_AXES[order])
    cut = patches.reshape(-1, t, h, w, *(sizes[axis] for axis in _AXES[order]))
    back = cut.permute(*(placed.index(axis) for axis in range(8)))
    return back.reshape(-1, dates, bands, rows, columns)


def _check_order(patch: Patch, order: Order) -> None:
    if order not in get_args(Order):
        raise ConfigError(
            f"The order of the numbers in a patch is {order!r}",
            expected=f"one of {', '.join(get_args(Order))}",
            remedy="tpqc for series, pqc for plain images, cpq for groups of bands",
        )
    if order != "tpqc" and patch[0] != 1:
        raise ConfigError(
            f"The patch has {patch[0]} frames and the order is {order}",
            expected="one frame per patch, for this order has no place for more",
            remedy="use the order tpqc",
        )
