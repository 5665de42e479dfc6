"""How well hidden tokens and finer images were made up.

He et al., "Masked autoencoders are scalable vision learners", CVPR 2022: the squared error is averaged within each
hidden token and then over them, so that tokens weigh alike. Cong et al., NeurIPS 2022, do so for groups of bands, large
or small. Ours leaves invalid numbers out of a token's mean, and a token without any valid number out of the count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from swath.errors import ContractError
from swath.nn.band_groups import Groups
from swath.nn.losses import Loss
from swath.nn.patches import patchify


def token_loss(predicted: Tensor, target: Tensor, valid: Tensor, hidden: Tensor) -> Loss:
    """Mean squared error within each hidden token, summed over them.

    Args:
        predicted: ``(B, N, V)``.
        target: ``(B, N, V)``; what is not valid is never read.
        valid: bool ``(B, N, V)``.
        hidden: bool ``(B, N)``.

    Returns:
        The sum, and the number of hidden tokens with at least one valid number.

    Raises:
        ContractError: the shapes differ.
    """
    shape = tuple(predicted.shape)
    if tuple(target.shape) != shape or tuple(valid.shape) != shape or tuple(hidden.shape) != shape[:2]:
        raise ContractError(
            f"The predicted tokens have shape {shape}, the targets {tuple(target.shape)}, their mask "
            f"{tuple(valid.shape)} and the hidden tokens {tuple(hidden.shape)}",
            expected="(sample, token, value) for the first three and (sample, token) for the last",
            remedy="cut prediction, target and mask with the same patch and order",
        )
    counted = valid & hidden[..., None]
    number = counted.sum(-1)
    error = torch.where(counted, predicted - torch.where(counted, target, 0.0), 0.0).square().sum(-1)
    return Loss((error / number.clamp_min(1)).sum(), (number > 0).sum())


def group_loss(predicted: Tensor, target: Tensor, valid: Tensor, hidden: Tensor, *, groups: Groups, patch: int) -> Loss:
    """``token_loss`` over the tokens of all groups of bands.

    Args:
        predicted: ``(B, C, H, W)``.
        target: ``(B, C, H, W)``.
        valid: bool ``(B, C, H, W)``.
        hidden: bool ``(B, G h w)``, listed group by group.
        groups: numbers of the bands in each group.
        patch: side of a patch in pixels.

    Raises:
        ContractError: the shapes differ or the patch does not divide the image.
    """
    parts = hidden.unflatten(1, (len(groups), -1)).unbind(1)

    def cut(image: Tensor, group: tuple[int, ...]) -> Tensor:
        return patchify(image[:, None, list(group)], (1, patch, patch), "cpq")

    terms = [
        token_loss(cut(predicted, group), cut(target, group), cut(valid, group), part)
        for group, part in zip(groups, parts, strict=True)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
