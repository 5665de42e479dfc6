"""Narrow networks in place of the published sizes, and files in the published layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from swath import rng
from swath.models import sizes
from swath.models.prithvi_keys import published_name
from swath.nn.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSpec

_WIDTHS = {"v1_100": 48, "v2_tiny_tl": 16, "v2_100_tl": 48, "v2_300": 32, "v2_300_tl": 32, "v2_600": 64}
_WIDTHS["v2_600_tl"] = 64


def narrow_sizes() -> dict[str, MaskedAutoencoderSpec]:
    """Every published size with a few blocks of small width."""
    found = {}
    for name, spec in sizes.PRITHVI.items():
        width = _WIDTHS[name.removeprefix("prithvi_eo_")]
        small = {"width": width, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
        found[name] = replace(spec, **small, taps=(1,))
    return found


def network_of(spec: MaskedAutoencoderSpec) -> MaskedAutoencoder:
    """With made-up weights that depend on their names alone."""
    network = MaskedAutoencoder(spec).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(0.2 * torch.randn(value.shape, generator=rng.torch_generator(0, "prithvi", name)))
            if "norm" in name and name.endswith("weight"):
                value.add_(1.0)
    return network


def published(network: MaskedAutoencoder, *, flat: bool = False, prefix: str = "") -> dict[str, Tensor]:
    """Its weights by their published names, with tables of positions that must not be used."""
    tensors = {published_name(name): value.detach().clone() for name, value in network.state_dict().items()}
    tensors["encoder.pos_embed"] = torch.full((1, 7, network.spec.width), 1e6)
    tensors["decoder.decoder_pos_embed"] = torch.full((1, 7, 16), 1e6)
    if flat:
        tensors = {name.split(".", 1)[1]: value for name, value in tensors.items()}
    return {prefix + name: value for name, value in tensors.items()}


def write(folder: Path, tensors: Mapping[str, Tensor], *, wrapped: bool = False) -> Path:
    """A torch file as published."""
    path = folder / "weights.pt"
    torch.save({"model": dict(tensors)} if wrapped else dict(tensors), path)
    return path
