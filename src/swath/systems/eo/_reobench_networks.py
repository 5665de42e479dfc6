"""The two small networks of ``reobench``: a residual network of a quarter of the width, and a vision transformer.

He et al. 2016 (CVPR) with group normalisation (Wu and He 2018, ECCV), which does not depend on the batch; Dosovitskiy
et al. 2021 (ICLR) with the norm before each part and the mean over patches in place of a class token; masked
pretraining after He et al. 2022 (CVPR): the encoder sees a share of the patches, a narrow decoder predicts the pixels
of the others, each patch standardised by its own mean and deviation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from swath.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class ResNet(nn.Module):
    """Four stages of residual blocks, the last 32 times smaller than the image; ResNet-18 has two blocks in each.

    Args:
        bands: C.
        classes: K.
        width: channels of the first stage, a multiple of 8 (64 is the published width).
        blocks: blocks of each stage.
    """

    def __init__(self, bands: int, classes: int, *, width: int = 16, blocks: int = 2) -> None:
        super().__init__()
        self.options = {"bands": bands, "classes": classes, "width": width, "blocks": blocks}
        layers: list[nn.Module] = [nn.Conv2d(bands, width, 3, 2, 1, bias=False), _norm(width), nn.ReLU()]
        layers.append(nn.MaxPool2d(3, 2, 1))
        channels = width
        for stage in range(4):
            for place in range(blocks):
                wide = width * 2**stage
                layers.append(_Block(channels, wide, 2 if stage and not place else 1))
                channels = wide
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, K)`` of standardised images ``(B, C, H, W)``."""
        logits: Tensor = self.head(self.body(images).mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    """Two convolutions around which the input is passed on."""

    def __init__(self, channels: int, wide: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, wide, 3, stride, 1, bias=False),
            _norm(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, 1, 1, bias=False),
            _norm(wide),
        )
        plain = channels == wide and stride == 1
        self.way = nn.Identity() if plain else nn.Sequential(nn.Conv2d(channels, wide, 1, stride), _norm(wide))

    def forward(self, values: Tensor) -> Tensor:
        return functional.relu(self.body(values) + self.way(values))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


class Encoder(nn.Module):
    """Patches to features.

    Args:
        bands: C.
        size: side of the images in pixels.
        patch: side of a patch.
        width: D, of the features.
        depth: blocks.
        heads: of attention.

    Raises:
        ConfigError: patches do not fill the image, or heads do not divide the width.
    """

    def __init__(self, bands: int, size: int, *, patch: int = 8, width: int = 64, depth: int = 4, heads: int = 4):
        super().__init__()
        if size % patch or width % heads:
            raise ConfigError(
                f"Images of {size} pixels, patches of {patch}, {width} features and {heads} heads",
                expected="patches that fill the image and heads that divide the features",
                remedy="for example 64, 8, 64 and 4",
            )
        self.options = {"bands": bands, "size": size, "patch": patch, "width": width, "depth": depth, "heads": heads}
        self.patch = patch
        self.embed = nn.Linear(bands * patch * patch, width)
        self.position = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        self.blocks = nn.Sequential(*(_Attention(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Features ``(B, N, D)`` of images ``(B, C, H, W)``, of the patches with numbers ``kept`` ``(B, N)`` alone."""
        tokens = self.embed(patches(images, self.patch)) + self.position
        if kept is not None:
            tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))
        features: Tensor = self.norm(self.blocks(tokens))
        return features


class _Attention(nn.Module):
    """Attention, then two layers per token, each around which the input is passed on."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        query, key, value = self.mix(self.first(tokens)).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(count, length, width))
        return tokens + self.layers(self.second(tokens))


class VisionTransformer(nn.Module):
    """An encoder with a linear head on the mean of its features.

    Args:
        encoder: random or pretrained.
        classes: K.
    """

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.options = {**encoder.options, "classes": classes}
        self.encoder = encoder
        self.head = nn.Linear(encoder.position.shape[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, K)`` of standardised images ``(B, C, H, W)``."""
        logits: Tensor = self.head(self.encoder(images).mean(dim=1))
        return logits


class MaskedAutoencoder(nn.Module):
    """An encoder that learns to make up for hidden patches.

    Args:
        encoder: what is to be pretrained.
        hidden: share of the patches that it does not see.
        width: features of the decoder.
    """

    def __init__(self, encoder: Encoder, *, hidden: float = 0.75, width: int = 32) -> None:
        super().__init__()
        self.options: dict[str, Any] = {**encoder.options, "hidden": hidden, "decoder": width}
        self.encoder, self.hidden = encoder, hidden
        count, features = encoder.position.shape
        self.enter = nn.Linear(features, width)
        self.unknown = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(0.02 * torch.randn(count, width))
        self.block, self.norm = _Attention(width, 4), nn.LayerNorm(width)
        self.leave = nn.Linear(width, encoder.embed.in_features)

    def forward(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, int]:
        """Sum over the hidden patches of the mean squared error of their pixels, and the number of hidden patches."""
        count, length = len(images), len(self.position)
        order = torch.rand((count, length), generator=rng).argsort(dim=1).to(images.device)
        seen = max(1, round((1 - self.hidden) * length))
        features = self.enter(self.encoder(images, order[:, :seen]))
        width = features.shape[2]
        tokens = self.unknown.expand(count, length - seen, width)
        # Tokens come in the order of the draw; each is brought back to its own place.
        places = order.argsort(dim=1)[..., None].expand(-1, -1, width)
        tokens = torch.cat([features, tokens], dim=1).gather(1, places) + self.position
        made: Tensor = self.leave(self.norm(self.block(tokens)))
        wanted = patches(images, self.encoder.patch)
        wanted = (wanted - wanted.mean(dim=2, keepdim=True)) / (wanted.var(dim=2, keepdim=True) + 1e-4).sqrt()
        errors = (made - wanted).pow(2).mean(dim=2).gather(1, order[:, seen:])
        return errors.sum(), errors.numel()


def patches(images: Tensor, side: int) -> Tensor:
    """The patches of images ``(B, C, H, W)``, row by row: ``(B, N, C * side * side)``."""
    count, bands, height, width = images.shape
    cut = images.view(count, bands, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, bands * side * side)
