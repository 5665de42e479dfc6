"""Series of images to tokens in space and time, which may know when and where they were taken.

Jakubik et al., arXiv 2310.18660, and Szwarcman et al., arXiv 2412.02732. Tokens follow (date, row, column); a class
token without a place comes first; positions are fixed and computed, never stored. Ours differs in what surrounds it:
any number of dates and any image size go in, tokens can be missing, and an image that the patch does not divide is
refused, padded or resized as the user says, never cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.checks import check_image, check_parameters, check_shares, check_whole
from swath.nn.masking import Masked
from swath.nn.patches import Patch, grid_of
from swath.nn.positions import resize_block, sine_cosine_3d
from swath.nn.time_place import PlaceEncoding, TimeEncoding, TimePlace
from swath.nn.transformer import Block, drop_rates, start_normal
from swath.types import Features

Condition = Literal["time", "place"]
Positions = Literal["recomputed", "resized"]
Border = Literal["refuse", "pad", "resize"]


@dataclass(frozen=True)
class MaskedAutoencoderSpec:
    """All that fixes the shape of a masked autoencoder.

    Args:
        bands: bands of the input.
        image: side in pixels for which positions are laid out where they are ``resized``.
        dates: dates of a series in pretraining; other numbers go in as well.
        patch: dates, rows and columns of a token.
        width: numbers D per token in the encoder.
        depth: blocks of the encoder.
        heads: attention heads of the encoder.
        decoder_width: numbers per token in the decoder.
        decoder_depth: blocks of the decoder.
        decoder_heads: attention heads of the decoder.
        mlp_ratio: hidden numbers of a block's second branch, as a multiple of its width.
        conditions: what is added to the tokens: ``time``, ``place``, both or nothing.
        positions: for images of another size than ``image``, ``recomputed`` (a token every patch, wherever it is) or
            ``resized`` (the table of ``image`` stretched, bicubic).
        border: what happens to images that the patch does not divide: ``refuse``, ``pad`` (the border repeated, not
            valid) or ``resize`` (bilinear, to the nearest multiple).
        normalise_target: predict each patch with its own mean and variance removed.
        taps: blocks, counted from 0, whose outputs become feature maps; () for the last.
        drop_path: largest rate of stochastic depth in the encoder.
        epsilon: added to the variance in normalisations.

    Raises:
        ConfigError: a number is out of range or a word unknown.
    """

    bands: int
    image: int = 224
    dates: int = 4
    patch: Patch = (1, 16, 16)
    width: int = 768
    depth: int = 12
    heads: int = 12
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    mlp_ratio: float = 4.0
    conditions: tuple[Condition, ...] = ()
    positions: Positions = "recomputed"
    border: Border = "refuse"
    normalise_target: bool = False
    taps: tuple[int, ...] = ()
    drop_path: float = 0.0
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        sizes = ("bands", "image", "dates", "width", "depth", "heads", "decoder_width", "decoder_depth")
        check_whole("Masked autoencoder", {name: getattr(self, name) for name in (*sizes, "decoder_heads")})
        check_shares("Masked autoencoder", drop_path=self.drop_path, mlp_ratio=self.mlp_ratio)
        # A checkpoint stores lists where the constructor was given tuples.
        for name in ("patch", "conditions", "taps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "taps", self.taps or (self.depth - 1,))
        sides = ("dates of a patch", "rows of a patch", "columns of a patch")
        check_whole("Masked autoencoder", dict(zip(sides, self.patch, strict=True)))
        _check_word("positions", self.positions, get_args(Positions))
        _check_word("border", self.border, get_args(Border))
        for condition in self.conditions:
            _check_word("conditions", condition, get_args(Condition))
        if "time" in self.conditions and self.patch[0] != 1:
            raise ConfigError(
                f"Masked autoencoder: a token covers {self.patch[0]} dates and time is among the conditions",
                expected="one date per token, because a token has one time",
                remedy="set the first number of 'patch' to 1, or leave time out",
            )
        if list(self.taps) != sorted(set(self.taps)) or not all(0 <= tap < self.depth for tap in self.taps):
            raise ConfigError(
                f"Masked autoencoder: 'taps' is {self.taps}",
                expected=f"different blocks from 0 to {self.depth - 1} in rising order",
                remedy="list the blocks whose outputs you want, such as (2, 5, 8, 11)",
            )
        inner = 2 * int(2 + self.mlp_ratio)
        blocks = inner * (self.depth * self.width**2 + self.decoder_depth * self.decoder_width**2)
        check_parameters("masked autoencoder", blocks + self.numbers * (self.width + self.decoder_width))

    @property
    def numbers(self) -> int:
        """Numbers V of a token as it is predicted."""
        return self.patch[0] * self.patch[1] * self.patch[2] * self.bands

    def grid(self, dates: int, rows: int, columns: int) -> tuple[int, int, int]:
        """Tokens along time, rows and columns of images of this size, after padding or resizing where that was chosen.

        Raises:
            ContractError: the patch does not divide the dates, or the rows and columns where ``border`` is ``refuse``.
        """
        return grid_of((dates, *_fitted(rows, columns, self)), self.patch)


class SpaceTimeEncoder(nn.Module):
    """Image series to features; see the module's text.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: MaskedAutoencoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.channels = (spec.width,) * len(spec.taps)
        self.strides = (spec.patch[1],) * len(spec.taps)
        self.embed = nn.Conv3d(spec.bands, spec.width, spec.patch, spec.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.time = TimeEncoding(spec.width) if "time" in spec.conditions else None
        self.place = PlaceEncoding(spec.width) if "place" in spec.conditions else None
        self.blocks = blocks_of(spec.width, spec.depth, spec.heads, spec, spec.drop_path)
        self.norm = nn.LayerNorm(spec.width, eps=spec.epsilon)
        start_linear(self)
        start_normal(self.class_token)
        nn.init.xavier_uniform_(self.embed.weight.view(spec.width, -1))

    def forward(self, images: Tensor, about: TimePlace | None = None, present: Tensor | None = None) -> Features:
        """Features of all tokens.

        Args:
            images: ``(B, T, C, H, W)``, normalised, finite everywhere.
            about: when and where; needed with conditions, ``TimePlace.unknown`` for nothing.
            present: bool ``(B, t, h, w)``, tokens that may be looked at; None for all.

        Returns:
            One map ``(B, t, D, h, w)`` per tap. As published, the last block's output is normalised and those of
            earlier blocks are not; 0 where no token is present. ``tokens`` ``(B, t h w, D)`` and ``cls`` ``(B, D)`` are
            those of the last block.

        Raises:
            ContractError: images, dates or mask do not fit, or time and place are not told.
        """
        images, _ = self.fit(images, None)
        grid = self.tokens(images, about)
        usable = None if present is None else _flat(present, grid)
        seen = None if usable is None else F.pad(usable, (1, 0), value=True)
        full = self._with_class(grid.flatten(1, 3))
        outputs = []
        for index, block in enumerate(self.blocks):
            full = block(full, seen)
            if index in self.spec.taps:
                outputs.append(full)
        last = self.norm(full)
        if self.spec.taps[-1] == self.spec.depth - 1:
            outputs[-1] = last
        if usable is not None:
            outputs = [torch.where(seen[..., None], output, 0.0) for output in outputs]  # type: ignore[index]
        maps = tuple(output[:, 1:].reshape(grid.shape).movedim(-1, 2) for output in outputs)
        return Features(maps, self.strides, tokens=last[:, 1:], cls=last[:, 0])

    def encode(self, grid: Tensor, masked: Masked) -> Tensor:
        """Class token and kept tokens ``(B, 1 + K, D)`` after all blocks, from all tokens ``(B, t, h, w, D)``.

        Raises:
            ContractError: the mask is for other numbers of samples or tokens.
        """
        tokens = grid.flatten(1, 3)
        if tuple(masked.hidden.shape) != tuple(tokens.shape[:2]):
            raise ContractError(
                f"The mask is for {tuple(masked.hidden.shape)} samples and tokens",
                expected=f"{tuple(tokens.shape[:2])}, one for each token of {tuple(grid.shape[1:4])} (date, y, x)",
                remedy="draw it for the grid that spec.grid(dates, rows, columns) gives",
            )
        full = self._with_class(masked.select(tokens))
        for block in self.blocks:
            full = block(full)
        out: Tensor = self.norm(full)
        return out

    def tokens(self, images: Tensor, about: TimePlace | None) -> Tensor:
        """Tokens ``(B, t, h, w, D)`` with positions, time and place, before the first block.

        Raises:
            ContractError: the patch does not divide the images, or time and place are not told.
        """
        _, dates, _, rows, columns = images.shape
        if torch.compiler.is_exporting():
            # Positions are a constant of a graph: it is for one size, and says so to whoever asked for a free one.
            dates, rows, columns = int(dates), int(rows), int(columns)
        grid_of((dates, rows, columns), self.spec.patch)
        # One copy here in place of one in each pass of the convolution.
        grid = self.embed(images.movedim(1, 2).contiguous()).movedim(1, -1)
        return place_tokens(grid, self.spec, self.time, self.place, about)

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output, for partial freezing and learning rates by depth."""
        first = ("embed", "class_token", "time", "place")
        return [first, *((f"blocks.{index}",) for index in range(len(self.blocks))), ("norm",)]

    def _with_class(self, tokens: Tensor) -> Tensor:
        return torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)

    def fit(self, images: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Images and their mask of valid pixels in a size that the patch divides, as ``border`` says.

        Raises:
            ContractError: the images have other axes or bands.
        """
        check_image("The masked autoencoder", images, self.spec.bands, dates=True)
        return _fit(images, valid, self.spec)


def blocks_of(width: int, depth: int, heads: int, spec: MaskedAutoencoderSpec, drop_path: float) -> nn.ModuleList:
    """The blocks of an encoder or decoder."""
    return nn.ModuleList(
        Block(width, heads, mlp_ratio=spec.mlp_ratio, drop_path=rate, epsilon=spec.epsilon)
        for rate in drop_rates(drop_path, depth)
    )


def start_linear(network: nn.Module) -> None:
    """First weights of all linear layers as published: uniform after Glorot and Bengio, 2010; zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


@lru_cache(maxsize=32)
def _kept_table(grid: tuple[int, int, int], width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # kept for training too
        return sine_cosine_3d(*grid, width, date_last=True).to(device, dtype)


def _table(dates: int, rows: int, columns: int, width: int, like: Tensor) -> Tensor:
    """Positions on the device and in the type of ``like``.

    While a graph is traced its sizes become whole numbers and nothing is kept: its tensors mean nothing outside of it.
    """
    if torch.compiler.is_exporting():
        return sine_cosine_3d(int(dates), int(rows), int(columns), width, date_last=True).to(like)
    return _kept_table((dates, rows, columns), width, like.device, like.dtype)


def place_tokens(
    grid: Tensor,
    spec: MaskedAutoencoderSpec,
    time: TimeEncoding | None,
    place: PlaceEncoding | None,
    about: TimePlace | None,
) -> Tensor:
    """Tokens ``(B, t, h, w, D)`` with positions and conditions added."""
    batch, dates, rows, columns, width = grid.shape
    if spec.positions == "resized":
        laid_out = (spec.image // spec.patch[1], spec.image // spec.patch[2])
        table = resize_block(_table(dates, *laid_out, width, grid), rows, columns)
    else:
        table = _table(dates, rows, columns, width, grid)
    grid = grid + table
    if (time or place) and (about is None or about.samples != batch):
        raise ContractError(
            "Time and place are not told" if about is None else f"Time and place are those of {about.samples} samples",
            expected=f"{' and '.join(spec.conditions)} of {batch} samples, which this network adds to its tokens",
            remedy="give TimePlace.of(...), or TimePlace.unknown(samples) to go without",
        )
    if time is not None and about is not None:
        grid = grid + time(about, dates)[:, :, None, None]
    if place is not None and about is not None:
        grid = grid + place(about)[:, :, None, None]
    return grid


def _fitted(rows: int, columns: int, spec: MaskedAutoencoderSpec) -> tuple[int, int]:
    """Rows and columns after padding or resizing."""
    sides = tuple(zip((rows, columns), spec.patch[1:], strict=True))
    if spec.border == "refuse":
        return rows, columns
    if spec.border == "pad":
        down, across = (-(-side // step) * step for side, step in sides)
    else:
        down, across = (max(1, round(side / step)) * step for side, step in sides)
    return down, across


def _fit(images: Tensor, valid: Tensor | None, spec: MaskedAutoencoderSpec) -> tuple[Tensor, Tensor | None]:
    """Images and mask as ``border`` says."""
    rows, columns = images.shape[-2:]
    down, across = _fitted(rows, columns, spec)
    if (down, across) == (rows, columns):
        return images, valid
    flat = images.flatten(0, 1)
    mask = torch.ones_like(flat) if valid is None else valid.flatten(0, 1).to(flat.dtype)
    if spec.border == "pad":
        missing = (0, across - columns, 0, down - rows)
        flat, mask = F.pad(flat, missing, mode="replicate"), F.pad(mask, missing)
    else:
        flat, mask = (
            F.interpolate(part, size=(down, across), mode="bilinear", align_corners=False) for part in (flat, mask)
        )
    # A resized pixel counts where all that went into it does.
    return flat.unflatten(0, images.shape[:2]), (mask > 1 - 1e-3).unflatten(0, images.shape[:2])


def _flat(present: Tensor, grid: Tensor) -> Tensor:
    if tuple(present.shape) != tuple(grid.shape[:4]):
        raise ContractError(
            f"The mask of tokens has shape {tuple(present.shape)}",
            expected=f"one bool per token: (sample, date, y, x) = {tuple(grid.shape[:4])}",
            remedy="make it with vit.token_mask from the valid pixels, with the same patch",
        )
    return present.flatten(1)


def _check_word(name: str, word: Any, allowed: tuple[str, ...]) -> None:
    if word not in allowed:
        raise ConfigError(
            f"Masked autoencoder: '{name}' is {word!r}", expected=" or ".join(allowed), remedy="choose one of them"
        )
