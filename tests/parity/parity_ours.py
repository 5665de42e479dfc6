"""What swath makes of the recipe, in the axis orders of the published code."""

from __future__ import annotations

import numpy as np
import parity_recipe as recipe
import torch
from torch import Tensor

from swath.models.prithvi_keys import published_name
from swath.nn.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSpec
from swath.nn.masking import random_mask
from swath.nn.time_place import TimePlace


def spec_of(case: recipe.Case) -> MaskedAutoencoderSpec:
    model = case.model
    side = max(model["img_size"]) if isinstance(model["img_size"], list) else model["img_size"]
    return MaskedAutoencoderSpec(
        bands=model["in_chans"],
        image=side,
        dates=model["num_frames"],
        patch=tuple(model["patch_size"]),
        width=model["embed_dim"],
        depth=model["depth"],
        heads=model["num_heads"],
        decoder_width=model["decoder_embed_dim"],
        decoder_depth=model["decoder_depth"],
        decoder_heads=model["decoder_num_heads"],
        conditions=("time", "place") if model["coords_encoding"] else (),
        positions="resized" if case.name == "other_size" else "recomputed",
        normalise_target=model["norm_pix_loss"],
        taps=tuple(range(model["depth"])),
    )


def network_of(case: recipe.Case, dtype: torch.dtype) -> MaskedAutoencoder:
    network = MaskedAutoencoder(spec_of(case)).to(dtype)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(recipe.weight(published_name(name), tuple(parameter.shape))))
    return network


def about_of(case: recipe.Case, dtype: torch.dtype) -> TimePlace | None:
    if not case.model["coords_encoding"]:
        return None
    if not case.about:
        return TimePlace.unknown(case.samples)
    when, where = (torch.from_numpy(part).to(dtype) for part in recipe.about(case))
    return TimePlace.of(year=when[..., 0], day=when[..., 1], latitude=where[:, 0], longitude=where[:, 1])


def run(case: recipe.Case, dtype: torch.dtype, *, gradients: bool) -> dict[str, np.ndarray]:
    network = network_of(case, dtype)
    images = torch.from_numpy(recipe.images(case)).to(dtype).movedim(2, 1)
    about = about_of(case, dtype)
    with torch.set_grad_enabled(gradients):
        features = network.encoder(images, about)
        found = network(images, random_mask(torch.from_numpy(recipe.noise(case)), case.ratio), about=about)
        loss = found.loss.mean()
    made = {f"features {index}": _tokens(part) for index, part in enumerate(features.maps)}
    assert features.cls is not None
    made["class"] = features.cls.detach().numpy()
    if gradients:
        loss.backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            made[f"gradient {published_name(name)}"] = parameter.grad.numpy()
    made["predicted"] = found.images().detach().movedim(1, 2).numpy()
    made["loss"] = loss.detach().numpy().reshape(1)
    return made


def _tokens(part: Tensor) -> np.ndarray:
    """``(B, t h w, D)``."""
    return part.detach().movedim(2, -1).flatten(1, 3).numpy()
