"""Which tokens a masked autoencoder sees, and which it has to make up.

He et al., "Masked autoencoders are scalable vision learners", CVPR 2022, shuffle the tokens, keep the first K, and put
the rest back as blanks. Masks of groups of bands follow Cong et al., "SatMAE", NeurIPS 2022: drawn for every group and
place, or once for all groups of a place. Whole dates and given clouds follow Jakubik et al., arXiv 2310.18660.
All noise is drawn by the caller, so that a mask can be repeated, compared and tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swath.errors import ConfigError, ContractError


@dataclass(frozen=True)
class Masked:
    """A mask over the N tokens of each of B samples.

    Args:
        kept: int64 ``(B, K)``, numbers of the tokens that are seen, in the order in which the encoder gets them.
        restore: int64 ``(B, N)``, for every token its place in the list of the kept tokens followed by the hidden ones.
        hidden: bool ``(B, N)``, True where a token is not seen.
    """

    kept: Tensor
    restore: Tensor
    hidden: Tensor

    def select(self, tokens: Tensor) -> Tensor:
        """The kept tokens ``(B, K, D)`` out of ``(B, N, D)``."""
        return tokens.gather(1, self.kept[..., None].expand(-1, -1, tokens.shape[-1]))

    def fill(self, tokens: Tensor, blank: Tensor) -> Tensor:
        """All tokens ``(B, N, D)`` at their places: the kept ones, ``(B, K, D)``, and ``blank``, ``(1, 1, D)``."""
        absent = self.restore.shape[1] - tokens.shape[1]
        listed = torch.cat([tokens, blank.to(tokens.dtype).expand(tokens.shape[0], absent, -1)], dim=1)
        return listed.gather(1, self.restore[..., None].expand(-1, -1, listed.shape[-1]))


def draw_noise(rng: torch.Generator, *shape: int, device: torch.device | str = "cpu") -> Tensor:
    """Noise from 0 to 1, drawn where the generator lives, so that every device gets the same numbers."""
    return torch.rand(shape, generator=rng, device=rng.device).to(device)


def random_mask(noise: Tensor, ratio: float) -> Masked:
    """Keep the K = int(N (1 - ratio)) tokens of the smallest noise.

    Args:
        noise: float ``(B, N)``.
        ratio: share of tokens to hide.

    Raises:
        ConfigError: the ratio is not between 0 and 1, or keeps none or all of the N tokens.
        ContractError: the noise has other axes.
    """
    _check_axes("noise", noise, ("sample", "token"))
    number = kept_number(noise.shape[1], ratio)
    return _split(noise.argsort(dim=1, stable=True), number)


def consistent_mask(noise: Tensor, groups: int, ratio: float) -> Masked:
    """Hide the same places in all groups of bands; tokens are listed group by group.

    Where groups are masked independently (``random_mask`` over all G L tokens), another group often shows the very
    place that is to be made up; here a hidden place is hidden altogether.

    Args:
        noise: float ``(B, L)``, one number per place.
        groups: number of groups G.
        ratio: share of places to hide.

    Returns:
        A mask over G L tokens, of which G int(L (1 - ratio)) are kept, group by group.

    Raises:
        ConfigError: the ratio keeps no place or all, or there is no group.
        ContractError: the noise has other axes.
    """
    _check_axes("noise", noise, ("sample", "place"))
    if groups < 1:
        raise ConfigError(f"There are {groups} groups of bands", expected="at least 1", remedy="list the groups")
    places = noise.shape[1]
    number = kept_number(places, ratio)
    order = noise.argsort(dim=1, stable=True)[:, None] + places * torch.arange(groups, device=noise.device)[:, None]
    listed = torch.cat([order[..., :number].flatten(1), order[..., number:].flatten(1)], dim=1)
    return _split(listed, groups * number)


def frame_mask(noise: Tensor, places: int, frames: int) -> Masked:
    """Hide whole dates: in each sample the ``frames`` dates with the largest noise.

    Args:
        noise: float ``(B, T)``, one number per date of tokens.
        places: tokens per date.
        frames: how many dates to hide.

    Raises:
        ConfigError: no date or every date would be hidden.
        ContractError: the noise has other axes.
    """
    _check_axes("noise", noise, ("sample", "date"))
    dates = noise.shape[1]
    if not 1 <= frames < dates:
        raise ConfigError(
            f"{frames} of {dates} dates are to be hidden",
            expected=f"at least 1 and at most {dates - 1}" if dates > 1 else "series of at least 2 dates",
            remedy="hide fewer dates, or give longer series",
        )
    order = noise.argsort(dim=1, stable=True)
    tokens = order[..., None] * places + torch.arange(places, device=noise.device)
    return _split(tokens.flatten(1), (dates - frames) * places)


def given_mask(hidden: Tensor, noise: Tensor) -> Masked:
    """Hide given tokens, such as those under the clouds of another scene.

    All samples keep equally many tokens, as many as the sample with the fewest left. The others hide more of theirs,
    those of the largest noise; where only the given ones shall count as targets, use ``hidden`` as it was given.

    Args:
        hidden: bool ``(B, N)``, True where a token must not be seen. ``patchify(clouds, ...).any(-1)`` makes it.
        noise: float ``(B, N)``.

    Raises:
        ContractError: the two differ in shape, or a sample would keep no token (its number is told).
    """
    _check_axes("mask", hidden, ("sample", "token"))
    if hidden.dtype != torch.bool or noise.shape != hidden.shape:
        raise ContractError(
            f"The mask is {hidden.dtype} of shape {tuple(hidden.shape)}, the noise of shape {tuple(noise.shape)}",
            expected="a boolean mask and noise of one shape",
            remedy="draw one number per token",
        )
    left = (~hidden).sum(1)
    if not bool((left > 0).all()):
        raise ContractError(
            f"All tokens of sample {int((left == 0).nonzero()[0])} are to be hidden",
            expected="at least one token to be seen in every sample",
            remedy="leave out samples that are covered altogether",
        )
    # Two stable sorts: by noise, then the hidden ones behind the others.
    order = noise.argsort(dim=1, stable=True)
    behind = hidden.gather(1, order).int().argsort(dim=1, stable=True)
    return _split(order.gather(1, behind), int(left.min()))


def targets(hidden: Tensor, valid: Tensor) -> Tensor:
    """Which numbers of which tokens count in the loss: the valid ones of the hidden tokens.

    A token without any valid pixel counts nowhere, seen or hidden.

    Args:
        hidden: bool ``(B, N)``.
        valid: bool ``(B, N, V)``, cut from the mask of valid pixels by ``patchify``.

    Returns:
        bool ``(B, N, V)``.
    """
    return hidden[..., None] & valid


def kept_number(tokens: int, ratio: float) -> int:
    """K = int(N (1 - ratio)).

    Raises:
        ConfigError: the ratio is not between 0 and 1, or K would be 0 or N.
    """
    if not 0 < ratio < 1:
        raise ConfigError(
            f"The share of hidden tokens is {ratio}", expected="above 0 and below 1", remedy="0.75 is usual"
        )
    number = int(tokens * (1 - ratio))
    if not 0 < number < tokens:
        raise ConfigError(
            f"Hiding {ratio} of {tokens} tokens would leave {number} to be seen and {tokens - number} to be made up",
            expected="at least one of each",
            remedy="change the share, take larger images or smaller patches",
        )
    return number


def _split(order: Tensor, number: int) -> Masked:
    """The mask that keeps the first tokens of a shuffled list ``(B, N)`` of all tokens."""
    restore = torch.empty_like(order)
    restore.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
    return Masked(order[:, :number], restore, restore >= number)


def _check_axes(what: str, tensor: Tensor, axes: tuple[str, str]) -> None:
    if tensor.ndim != 2:
        raise ContractError(
            f"The {what} has shape {tuple(tensor.shape)}", expected=f"({', '.join(axes)})", remedy="give two axes"
        )
