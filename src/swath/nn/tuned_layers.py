"""Layers that parameter-efficient tuning puts in place of ordinary ones, each without effect at the start."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.nn.resnet import ResidualBlock
from swath.nn.transformer import Attention, Mlp, key_mask


class LowRankLinear(nn.Linear):
    """``y = W x + b + (s / r) U D x`` with D of r rows and U zero at the start.

    Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022. Weight and bias keep their names.

    Args:
        layer: the layer to replace; its parameters are taken over.
        rank: r.
        scale: s.
        generator: for the first D.
    """

    def __init__(self, layer: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.factor = scale / rank
        self.low_down = _start(layer.weight, (rank, layer.in_features), layer.in_features, generator)
        self.low_up = nn.Parameter(torch.zeros_like(layer.weight[:, :1]).repeat(1, rank))

    def forward(self, tokens: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        change = F.linear(F.linear(tokens, self.low_down), self.low_up)
        return F.linear(tokens, self.weight, self.bias) + self.factor * change

    def merged(self) -> nn.Linear:
        """An ordinary layer that computes the same."""
        plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        plain.weight = nn.Parameter(_sum(self.weight, self.low_up, self.low_down, self.factor))
        plain.bias = self.bias
        return plain


class LowRankConv2d(nn.Conv2d):
    """A convolution with a change of low rank: the same kernel to r channels, then 1 x 1 to all, zero at the start.

    Args:
        layer: the convolution to replace, with one group and zero padding; its parameters are taken over.
        rank: r.
        scale: as in ``LowRankLinear``.
        generator: for the first convolution.
    """

    def __init__(self, layer: nn.Conv2d, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            padding=layer.padding,  # type: ignore[arg-type]
            dilation=layer.dilation,  # type: ignore[arg-type]
            bias=layer.bias is not None,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.factor = scale / rank
        inner = layer.weight[0].numel()
        self.low_down = _start(layer.weight, (rank, *layer.weight.shape[1:]), inner, generator)
        self.low_up = nn.Parameter(torch.zeros_like(layer.weight[:, :1, :1, :1]).repeat(1, rank, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, in, H, W)`` to ``(B, out, h, w)``."""
        change = F.conv2d(maps, self.low_down, None, self.stride, self.padding, self.dilation)
        return super().forward(maps) + self.factor * F.conv2d(change, self.low_up)

    def merged(self) -> nn.Conv2d:
        """An ordinary convolution that computes the same."""
        plain = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            padding=self.padding,  # type: ignore[arg-type]
            dilation=self.dilation,  # type: ignore[arg-type]
            bias=self.bias is not None,
            device="meta",
        )
        up, down = self.low_up.flatten(1), self.low_down.flatten(1)
        plain.weight = nn.Parameter(_sum(self.weight, up, down, self.factor))
        plain.bias = self.bias
        return plain


class AdaptedMlp(nn.Module):
    """``mlp(x) + U relu(D x)`` beside the second branch of a transformer block; U is zero at the start.

    Chen et al., "AdaptFormer: adapting vision transformers for scalable visual recognition", NeurIPS 2022.

    Args:
        layer: the branch.
        width: numbers of the bottleneck.
        generator: for the first D.
    """

    def __init__(self, layer: Mlp, width: int, generator: torch.Generator) -> None:
        super().__init__()
        weight = layer.expand.weight
        self.layer = layer
        self.adapter_down = _start(weight, (width, layer.width), layer.width, generator)
        self.adapter_bias = nn.Parameter(weight.new_zeros(width))
        self.adapter_up = nn.Parameter(weight.new_zeros(layer.width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """``(..., D)`` to the same shape."""
        inner = F.relu(F.linear(tokens, self.adapter_down, self.adapter_bias))
        return self.layer(tokens) + F.linear(inner, self.adapter_up)


class AdaptedResidualBlock(nn.Module):
    """``y + U relu(D y)`` behind a residual block, with 1 x 1 convolutions; U is zero at the start.

    Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual adapters", NeurIPS 2017, with a bottleneck.

    Args:
        layer: the block.
        width: channels of the bottleneck.
        generator: for the first D.
    """

    def __init__(self, layer: ResidualBlock, width: int, generator: torch.Generator) -> None:
        super().__init__()
        weight = next(layer.parameters())
        self.layer = layer
        self.adapter_down = _start(weight, (width, layer.channels, 1, 1), layer.channels, generator)
        self.adapter_up = nn.Parameter(weight.new_zeros(layer.channels, width, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` to what the block gives."""
        maps = self.layer(maps)
        return maps + F.conv2d(F.relu(F.conv2d(maps, self.adapter_down)), self.adapter_up)


class PromptedAttention(nn.Module):
    """Attention that also looks at learned prompts, through a gate per head that is 0 at the start.

    ``softmax(q k^T) v + tanh(g) softmax(q k_p^T) v_p`` with keys and values of the prompts from the same linear map.
    Prompts in every block: Jia et al., "Visual prompt tuning", ECCV 2022; the gate: Zhang et al., "LLaMA-Adapter",
    2023. Without a gate, prompts would change the frozen network from the first step.

    Args:
        layer: the attention.
        number: prompts.
        generator: for the first prompts.
    """

    def __init__(self, layer: Attention, number: int, generator: torch.Generator) -> None:
        super().__init__()
        weight = layer.qkv.weight
        self.layer = layer
        width = layer.qkv.in_features
        self.prompts = nn.Parameter(_normal(weight, (number, width), generator))
        self.prompt_gate = nn.Parameter(weight.new_zeros(layer.heads, 1, 1))

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """``(B, N, D)`` to the same shape; see ``Attention``."""
        query, key, value = self.layer.split(tokens)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=key_mask(seen))
        _, key, value = self.layer.split(self.prompts[None].expand(len(tokens), -1, -1))
        extra = F.scaled_dot_product_attention(query, key, value)
        return self.layer.join(mixed + self.prompt_gate.tanh() * extra)


def _start(like: Tensor, shape: tuple[int, ...], inputs: int, generator: torch.Generator) -> nn.Parameter:
    """Normal numbers of variance 1 / inputs, on the device of ``like``."""
    return nn.Parameter(_normal(like, shape, generator) / math.sqrt(inputs))


def _normal(like: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if like.is_meta:
        return like.new_empty(shape)
    return torch.randn(shape, generator=generator).to(device=like.device, dtype=like.dtype)


def _sum(weight: Tensor, up: Tensor, down: Tensor, factor: float) -> Tensor:
    """``W + f U D``, summed in float64 so that merging adds one rounding only."""
    change = up.detach().double() @ down.detach().double()
    return (weight.detach().double() + factor * change.reshape(weight.shape)).to(weight.dtype)
