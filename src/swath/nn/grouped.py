"""Masked autoencoders for groups of bands.

Cong et al., "SatMAE: pre-training transformers for temporal and multi-spectral satellite imagery", NeurIPS 2022: bands
of one kind share a token, so that a place has one token per group. The position of a token is a sine-cosine code of its
place beside one of its group. The decoder makes the hidden tokens up, each group with a linear map of its own. With a
``MultiScaleHead`` on top this is SatMAE++ (Noman et al., CVPR 2024); with one group and no code of it, the masked
autoencoder of He et al., CVPR 2022.
Ours differs in three ways. Any image size goes in, since positions are computed. Every group's prediction is put at the
bands of that group: the published code lines the predictions up group by group and compares them with the bands in
their input order, so that with (B2, B3, B4, B8), (B5, ...) the fourth prediction of the first group learns B5;
``prediction="listed"`` does the same, for its weights. Groups by name or wavelength come from
``band_groups.find_groups``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.band_groups import Groups, check_groups, positions, split_width
from swath.nn.checks import check_image, check_parameters, check_shares, check_whole, pad_to
from swath.nn.masking import Masked
from swath.nn.multiscale import MultiScaleHead
from swath.nn.patches import Order, grid_of, unpatchify
from swath.nn.positions import sine_cosine
from swath.nn.transformer import Block, masked_mean, start_normal
from swath.nn.vit import tokens_seen
from swath.types import Features


@dataclass(frozen=True)
class GroupedSpec:
    """All that fixes the shape of an encoder of groups of bands.

    Args:
        bands: bands of the input.
        groups: numbers of the bands in each group; every band in exactly one.
        patch: side of a patch in pixels.
        width: numbers D per token.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden numbers of a block's second branch, as a multiple of D.
        group_width: how many of the D numbers of a position tell the group; None for a quarter (256 of 1024, as
            published), 0 for none.
        group_codes: the number that stands for each group in its code; () for 0, 1, 2, ... An encoder that keeps some
            groups only keeps their numbers.
        taps: blocks, counted from 0, whose outputs become feature maps; () for the last.
        epsilon: added to the variance in normalisations.

    Raises:
        ConfigError: a number is out of range, or a band is in no group or in two.
    """

    bands: int
    groups: Groups
    patch: int = 8
    width: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    group_width: int | None = None
    group_codes: tuple[int, ...] = ()
    taps: tuple[int, ...] = ()
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_whole(
            "The encoder", {name: getattr(self, name) for name in ("bands", "patch", "width", "depth", "heads")}
        )
        check_shares("The encoder", drop_path=0.0, mlp_ratio=self.mlp_ratio)
        object.__setattr__(self, "groups", tuple(tuple(group) for group in self.groups))
        object.__setattr__(self, "group_codes", tuple(self.group_codes) or tuple(range(len(self.groups))))
        object.__setattr__(self, "taps", tuple(self.taps) or (self.depth - 1,))
        if self.group_width is None:
            object.__setattr__(self, "group_width", self.width // 4)
        check_groups(self.groups, self.bands)
        split_width("encoder", self.width, self.group_width)
        if len(self.group_codes) != len(self.groups) or min(self.group_codes) < 0:
            raise ConfigError(
                f"The numbers of the groups are {self.group_codes} for {len(self.groups)} groups",
                expected="one number of at least 0 per group",
                remedy="leave 'group_codes' out to count them",
            )
        if list(self.taps) != sorted(set(self.taps)) or not all(0 <= tap < self.depth for tap in self.taps):
            raise ConfigError(
                f"'taps' is {self.taps}",
                expected=f"different blocks from 0 to {self.depth - 1} in rising order",
                remedy="list the blocks whose outputs you want",
            )
        per_block = self.width * int(4 + 2 * self.mlp_ratio)
        check_parameters("encoder", self.width * (self.bands * self.patch**2 + self.depth * per_block))

    @property
    def place_width(self) -> int:
        """Numbers of a position that tell the place."""
        return self.width - (self.group_width or 0)


class GroupedEncoder(nn.Module):
    """Tokens of groups of bands, and features of whole images; see the module's text.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: GroupedSpec) -> None:
        super().__init__()
        self.spec = spec
        self.channels = (spec.width,) * len(spec.taps)
        self.strides = (spec.patch,) * len(spec.taps)
        self.project = nn.ModuleList(nn.Conv2d(len(group), spec.width, spec.patch, spec.patch) for group in spec.groups)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.blocks = nn.ModuleList(
            Block(spec.width, spec.heads, mlp_ratio=spec.mlp_ratio, epsilon=spec.epsilon) for _ in range(spec.depth)
        )
        self.norm = nn.LayerNorm(spec.width, eps=spec.epsilon)
        start_masked(self)
        start_normal(self.class_token)

    def forward(self, image: Tensor, present: Tensor | None = None) -> Features:
        """Features of an image of any size; the border is repeated to whole patches.

        Args:
            image: ``(B, C, H, W)``, finite everywhere.
            present: bool ``(B, G, h, w)`` or ``(B, h, w)``, True where a token may be used; None for all.

        Returns:
            One map ``(B, D, h, w)`` per tap: the mean over the groups present, 0 where there is none; ``tokens``
            ``(B, G h w, D)``; ``cls`` ``(B, D)``, the mean of the tokens present, as the published fine-tuning pools.

        Raises:
            ContractError: the image or the mask does not fit.
        """
        check_image("The encoder", image, self.spec.bands)
        grid = self.tokens(pad_to(image, self.spec.patch))
        seen = tokens_seen(present, grid)
        usable = None if seen is None else seen.flatten(1)
        tokens = grid.flatten(1, 3)
        if usable is not None:
            tokens = torch.where(usable[..., None], tokens, 0.0)
        outputs = self._run(tokens, usable)
        maps = tuple(_mean_of_groups(output[:, 1:].reshape(grid.shape), seen) for output in outputs)
        last = outputs[-1][:, 1:]
        return Features(maps, self.strides, tokens=last, cls=masked_mean(last, usable))

    def tokens(self, image: Tensor) -> Tensor:
        """Embedded patches with their positions ``(B, G, h, w, D)`` of an image of whole patches."""
        groups = zip(self.project, self.spec.groups, strict=True)
        embedded = torch.stack([part(image[:, list(group)]) for part, group in groups], dim=1).movedim(2, -1)
        rows, columns = embedded.shape[2:4]
        return embedded + positions(rows, columns, self.spec.group_codes, self.spec.width, self.spec.group_width).to(
            embedded
        )

    def encode(self, image: Tensor, mask: Masked) -> Tensor:
        """Class token and kept tokens ``(B, 1 + K, D)`` of ``(B, C, H, W)``; tokens are listed group by group."""
        return self._run(mask.select(self.tokens(image).flatten(1, 3)), None)[-1]

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output, for partial freezing and learning rates by depth."""
        return [("project", "class_token"), *((f"blocks.{index}",) for index in range(self.spec.depth)), ("norm",)]

    def _run(self, tokens: Tensor, usable: Tensor | None) -> list[Tensor]:
        """Normalised outputs of the tapped blocks and, last, of the last block."""
        # The class token has no position: its place and group codes are zero in the published encoder.
        full = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1).to(tokens), tokens], dim=1)
        mask = None if usable is None else nn.functional.pad(usable, (1, 0), value=True)
        outputs: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            full = block(full, mask)
            if index in self.spec.taps and index < self.spec.depth - 1:
                outputs.append(self.norm(full))
        return [*outputs, self.norm(full)]


@dataclass(frozen=True)
class GroupedDecoderSpec:
    """Shape of the decoder and of the head.

    Args:
        width: numbers per token.
        depth: number of blocks.
        heads: attention heads per block.
        group_width: how many of the numbers of a position tell the group; None for a quarter, 0 for none.
        order: order of the numbers in a predicted patch; see ``nn.patches``.
        prediction: ``bands`` puts each group's prediction at the bands of that group; ``listed`` reads the predictions
            of all groups, one after the other, as the bands in the order of the input, as the published code does.
        doublings: finer images that a ``MultiScaleHead`` makes; 0 for no such head.
        ratio: channels of that head as a multiple of the bands.
    """

    width: int = 512
    depth: int = 8
    heads: int = 16
    group_width: int | None = None
    order: Order = "cpq"
    prediction: Literal["bands", "listed"] = "bands"
    doublings: int = 0
    ratio: int = 4

    def __post_init__(self) -> None:
        check_whole("The decoder", {name: getattr(self, name) for name in ("width", "depth", "heads", "ratio")})
        check_whole("The decoder", {"doublings": self.doublings}, smallest=0)
        if self.group_width is None:
            object.__setattr__(self, "group_width", self.width // 4)
        split_width("decoder", self.width, self.group_width)
        if self.prediction not in ("bands", "listed"):
            raise ConfigError(
                f"'prediction' is {self.prediction!r}",
                expected="bands or listed",
                remedy="listed is for published weights",
            )


@dataclass(frozen=True)
class Reconstruction:
    """What an autoencoder made up.

    Args:
        image: ``(B, C, H, W)``, standardised bands; whole, though only hidden tokens are judged.
        larger: images of 2, 4, ... times its size.
    """

    image: Tensor
    larger: tuple[Tensor, ...] = ()


class GroupedAutoencoder(nn.Module):
    """Encoder, decoder and, where asked for, the head of several scales.

    Args:
        encoder: sizes of the encoder.
        decoder: sizes of the decoder.
    """

    def __init__(self, encoder: GroupedSpec, decoder: GroupedDecoderSpec) -> None:
        super().__init__()
        self.encoder_spec, self.decoder_spec = encoder, decoder
        self.encoder = GroupedEncoder(encoder)
        self.embed = nn.Linear(encoder.width, decoder.width)
        self.blank = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.blocks = nn.ModuleList(
            Block(decoder.width, decoder.heads, mlp_ratio=encoder.mlp_ratio, epsilon=encoder.epsilon)
            for _ in range(decoder.depth)
        )
        self.norm = nn.LayerNorm(decoder.width, eps=encoder.epsilon)
        self.predict = nn.ModuleList(
            nn.Linear(decoder.width, len(group) * encoder.patch**2) for group in encoder.groups
        )
        for part in (self.embed, self.blocks, self.predict):
            start_masked(part)
        start_normal(self.blank)
        self.head = MultiScaleHead(encoder.bands, decoder.doublings, decoder.ratio) if decoder.doublings else None

    def forward(self, image: Tensor, mask: Masked) -> Reconstruction:
        """Make the image up from the tokens that are kept.

        Args:
            image: ``(B, C, H, W)``, finite, whole patches.
            mask: over G h w tokens, listed group by group.

        Raises:
            ContractError: image or mask do not fit.
        """
        check_image("The autoencoder", image, self.encoder_spec.bands)
        rows, columns = self.grid(image)
        number = len(self.encoder_spec.groups) * rows * columns
        if tuple(mask.hidden.shape) != (image.shape[0], number):
            raise ContractError(
                f"The mask has shape {tuple(mask.hidden.shape)}",
                expected=f"(sample, token) = ({image.shape[0]}, {number}), the tokens listed group by group",
                remedy="draw it for this image, patch and number of groups",
            )
        made = self._decode(self.encoder.encode(image, mask), mask, (rows, columns))
        return Reconstruction(made, self.head(made) if self.head is not None else ())

    def grid(self, image: Tensor) -> tuple[int, int]:
        """Tokens along rows and columns of ``(..., H, W)``.

        Raises:
            ContractError: the patch does not divide the image.
        """
        patch = self.encoder_spec.patch
        return grid_of((1, *image.shape[-2:]), (1, patch, patch))[1:]

    def _decode(self, encoded: Tensor, mask: Masked, grid: tuple[int, int]) -> Tensor:
        """The image made up, ``(B, C, H, W)``."""
        spec, decoder = self.encoder_spec, self.decoder_spec
        narrow = self.embed(encoded)
        full = torch.cat([narrow[:, :1], mask.fill(narrow[:, 1:], self.blank)], dim=1)
        full = full + self._positions(grid).to(full)
        for block in self.blocks:
            full = block(full)
        tokens = self.norm(full)[:, 1:].unflatten(1, (len(spec.groups), -1))
        size = (grid[0] * spec.patch, grid[1] * spec.patch)
        images = [
            unpatchify(part(tokens[:, index]), (1, len(group), *size), (1, spec.patch, spec.patch), decoder.order)[:, 0]
            for index, (part, group) in enumerate(zip(self.predict, spec.groups, strict=True))
        ]
        listed = torch.cat(images, dim=1)
        if decoder.prediction == "listed":
            return listed
        bands = [band for group in spec.groups for band in group]
        return listed[:, [bands.index(band) for band in range(spec.bands)]]

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Positions ``(1, 1 + N, D)`` of the decoder; the class token has place 0 and the next free group."""
        spec, width, part = self.encoder_spec, self.decoder_spec.width, self.decoder_spec.group_width or 0
        table = positions(*grid, spec.group_codes, width, part).flatten(1, 3)
        own = torch.zeros(1, 1, width)
        if part:
            own[..., width - part :] = sine_cosine(torch.tensor([max(spec.group_codes) + 1]), part)
        return torch.cat([own, table], dim=1)


def start_masked(network: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in linear maps and patch embeddings, as masked autoencoders start."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
            if module.bias is not None and isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)


def _mean_of_groups(grid: Tensor, seen: Tensor | None) -> Tensor:
    """``(B, G, h, w, D)`` to ``(B, D, h, w)`` over the groups present."""
    if seen is None:
        return grid.mean(1).movedim(-1, 1)
    kept = torch.where(seen[..., None], grid, 0.0).sum(1)
    return (kept / seen.sum(1).clamp_min(1)[..., None]).movedim(-1, 1)
