"""How well hidden tokens of groups of bands were made up.

Cong et al., "SatMAE", NeurIPS 2022: the squared error is averaged within each hidden token and then over the tokens of
all groups, so that a token weighs as much as any other, whatever the number of bands in its group. Ours leaves invalid
numbers out of a token's mean, and a token without any valid number out of the count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from swath.errors import ContractError
from swath.nn.band_groups import Groups
from swath.nn.losses import Loss
from swath.nn.masked_autoencoder import masked_error
from swath.nn.masking import targets
from swath.nn.patches import patchify


def group_loss(predicted: Tensor, target: Tensor, valid: Tensor, hidden: Tensor, *, groups: Groups, patch: int) -> Loss:
    """Mean squared error within each hidden token, summed over the tokens of all groups.

    Args:
        predicted: ``(B, C, H, W)``.
        target: ``(B, C, H, W)``; what is not valid is never read.
        valid: bool ``(B, C, H, W)``.
        hidden: bool ``(B, G h w)``, listed group by group.
        groups: numbers of the bands in each group.
        patch: side of a patch in pixels.

    Returns:
        The sum, and the number of hidden tokens with at least one valid number.

    Raises:
        ContractError: the shapes differ or the patch does not divide the image.
    """
    shape = tuple(predicted.shape)
    if tuple(target.shape) != shape or tuple(valid.shape) != shape:
        raise ContractError(
            f"The predicted image has shape {shape}, the target {tuple(target.shape)} and its mask "
            f"{tuple(valid.shape)}",
            expected="(sample, band, y, x) for all three",
            remedy="compare images of one scale",
        )

    def cut(image: Tensor, group: tuple[int, ...]) -> Tensor:
        return patchify(image[:, None, list(group)], (1, patch, patch), "cpq")

    total = Loss(predicted.new_zeros(()), torch.zeros((), dtype=torch.int64, device=predicted.device))
    for group, part in zip(groups, hidden.unflatten(1, (len(groups), -1)).unbind(1), strict=True):
        counted = targets(part, cut(valid, group))
        # Numbers under the mask may be NaN, whose gradient would be NaN too.
        known = torch.where(counted, cut(target, group), 0.0)
        total = total + masked_error(cut(predicted, group), known, counted)
    return total
