"""A masked autoencoder of image series that may know when and where they were taken.

He et al., "Masked autoencoders are scalable vision learners", CVPR 2022, with tokens in space and time as published in
Jakubik et al., arXiv 2310.18660, and with encodings of time and place as in Szwarcman et al., arXiv 2412.02732. Tokens
follow (date, row, column); a class token without a place comes first; positions are fixed and computed, never stored.
The encoder sees the kept tokens alone. The decoder gets a blank for each hidden one and predicts the numbers of all.
Ours differs in what surrounds it: any number of dates and any image size go in, pixels that are not valid stay out of
the loss, and an image that the patch does not divide is refused, padded or resized as the user says, never cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swath.errors import ContractError
from swath.nn.losses import Loss
from swath.nn.masking import Masked, targets
from swath.nn.patches import Order, Patch, patchify, unpatchify
from swath.nn.space_time import MaskedAutoencoderSpec, SpaceTimeEncoder, blocks_of, place_tokens, start_linear
from swath.nn.time_place import PlaceEncoding, TimeEncoding, TimePlace
from swath.nn.transformer import start_normal

__all__ = [
    "MaskedAutoencoder",
    "MaskedAutoencoderSpec",
    "Reconstruction",
    "SpaceTimeDecoder",
    "SpaceTimeEncoder",
    "masked_error",
]

ORDER: Order = "tpqc"
"""Order of the numbers that the decoder predicts for a token: frame, row, column, band."""
_STEADY = 1e-6
"""Added to the variance of a patch before dividing by it."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What a masked autoencoder makes of a batch.

    Args:
        predicted: ``(B, N, V)``, the numbers of all tokens, seen ones among them.
        loss: squared error, mean over the numbers of a token, summed over the hidden tokens with any valid number.
        latent: ``(B, 1 + K, D)``, class token and kept tokens after the encoder.
        size: dates, bands, rows and columns of the images as they were cut.
        patch: of the network.
    """

    predicted: Tensor
    loss: Loss
    latent: Tensor
    size: tuple[int, int, int, int]
    patch: Patch

    def images(self) -> Tensor:
        """Predictions as images ``(B, T, C, H, W)`` of the size as they were cut."""
        return unpatchify(self.predicted, self.size, self.patch, ORDER)


class SpaceTimeDecoder(nn.Module):
    """Kept tokens to the numbers of all tokens.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: MaskedAutoencoderSpec) -> None:
        super().__init__()
        width = spec.decoder_width
        self.spec = spec
        self.embed = nn.Linear(spec.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.time = TimeEncoding(width) if "time" in spec.conditions else None
        self.place = PlaceEncoding(width) if "place" in spec.conditions else None
        self.blocks = blocks_of(width, spec.decoder_depth, spec.decoder_heads, spec, 0.0)
        self.norm = nn.LayerNorm(width, eps=spec.epsilon)
        self.predict = nn.Linear(width, spec.numbers)
        start_linear(self)
        start_normal(self.mask_token)

    def forward(
        self, latent: Tensor, masked: Masked, grid: tuple[int, int, int], about: TimePlace | None = None
    ) -> Tensor:
        """``(B, N, V)`` from ``(B, 1 + K, D)``.

        Args:
            latent: class token and kept tokens.
            masked: which tokens those are.
            grid: tokens along time, rows and columns.
            about: when and where; needed with conditions.
        """
        given = self.embed(latent)
        full = masked.fill(given[:, 1:], self.mask_token).unflatten(1, grid)
        full = place_tokens(full, self.spec, self.time, self.place, about).flatten(1, 3)
        full = torch.cat([given[:, :1], full], dim=1)
        for block in self.blocks:
            full = block(full)
        out: Tensor = self.predict(self.norm(full)[:, 1:])
        return out


class MaskedAutoencoder(nn.Module):
    """Encoder, decoder and the error of what was hidden; see the module's text.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: MaskedAutoencoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = SpaceTimeEncoder(spec)
        self.decoder = SpaceTimeDecoder(spec)

    def forward(
        self, images: Tensor, masked: Masked, *, about: TimePlace | None = None, valid: Tensor | None = None
    ) -> Reconstruction:
        """Make up the hidden tokens.

        Args:
            images: ``(B, T, C, H, W)``, normalised.
            masked: which of the N tokens are seen, see ``swath.nn.masking`` and ``spec.grid``.
            about: when and where; needed with conditions, ``TimePlace.unknown`` for nothing.
            valid: bool, broadcastable to the images: pixels that count. Others may hold anything, NaN too; the encoder
                sees 0, the mean of normalised numbers, and the loss leaves them out.

        Raises:
            ContractError: shapes disagree, a pixel that counts is not finite, or time and place are not told.
        """
        images, valid = _clean(images, valid)
        images, valid = self.encoder.fit(images, valid)
        grid = self.encoder.tokens(images, about)
        latent = self.encoder.encode(grid, masked)
        t, h, w = grid.shape[1:4]
        predicted = self.decoder(latent, masked, (t, h, w), about)
        target = patchify(images, self.spec.patch, ORDER)
        if valid is None:
            counted = masked.hidden[..., None].expand(target.shape)
        else:
            counted = targets(masked.hidden, patchify(valid, self.spec.patch, ORDER))
        loss = masked_error(predicted, target, counted, normalise=self.spec.normalise_target)
        _, dates, bands, rows, columns = images.shape
        return Reconstruction(predicted, loss, latent, (dates, bands, rows, columns), self.spec.patch)


def masked_error(predicted: Tensor, target: Tensor, counted: Tensor, *, normalise: bool = False) -> Loss:
    """Squared error of tokens: the mean over the counted numbers of each token, summed over tokens that have any.

    Args:
        predicted: ``(B, N, V)``.
        target: ``(B, N, V)``, finite.
        counted: bool ``(B, N, V)``.
        normalise: remove mean and variance of each token's counted target numbers first. Where nothing of a token is
            counted its target means nothing.
    """
    number = counted.sum(-1, keepdim=True)
    least = number.clamp_min(1)
    if normalise:
        mean = torch.where(counted, target, 0.0).sum(-1, keepdim=True) / least
        centred = torch.where(counted, target - mean, 0.0)
        variance = centred.square().sum(-1, keepdim=True) / (number - 1).clamp_min(1)
        target = centred / (variance + _STEADY).sqrt()
    error = torch.where(counted, predicted - target, 0.0).square()
    return Loss((error.sum(-1, keepdim=True) / least).sum(), (number > 0).sum())


def _clean(images: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Images with 0 where not valid, and the mask in their shape."""
    if valid is not None:
        try:
            valid = valid.expand(images.shape)
        except RuntimeError as error:
            raise ContractError(
                f"The mask of valid pixels has shape {tuple(valid.shape)} and the images {tuple(images.shape)}",
                expected="the same axes, each equal or 1",
                remedy="keep axes of length 1, such as the band axis of a mask that all bands share",
            ) from error
        images = torch.where(valid, images, 0.0)
    if not images.is_meta and not bool(torch.isfinite(images).all()):
        raise ContractError(
            f"The images hold NaN or infinite numbers in {int((~torch.isfinite(images)).sum())} places",
            expected="finite numbers wherever a pixel counts",
            remedy="mark what is missing as not valid",
        )
    return images, valid
