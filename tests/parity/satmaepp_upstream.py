"""Numbers of the published SatMAE++ code for tests/models/data/satmaepp_reference.json; not a test.

    git clone https://github.com/techmn/satmae_pp && git -C satmae_pp checkout ee173bf50247d3dac16e25077095363001106cb9
    python tests/parity/satmaepp_upstream.py satmae_pp tests/models/data/satmaepp_reference.json

in an environment with torch and timm. Weights, images and noise come from names by formula, as in
tests/models/test_models_satmaepp.py, so that nothing but results has to be kept.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

COMMIT = "ee173bf50247d3dac16e25077095363001106cb9"
FIXED = ("pos_embed", "channel_embed", "decoder_pos_embed", "decoder_channel_embed")
SMALL = {"img_size": 12, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4, "decoder_embed_dim": 16,
         "decoder_depth": 1, "decoder_num_heads": 2, "norm_layer": partial(nn.LayerNorm, eps=1e-6)}  # fmt: skip
GROUPS = {"in_chans": 4, "channel_groups": ((0, 1, 3), (2,)), "channel_embed": 8, "decoder_channel_embed": 4}
RATIO = 0.6


def stream(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(zlib.crc32(name.encode())))


def numbers(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    return torch.from_numpy(stream(name).standard_normal(shape) * scale).float()


def filled(model: Any) -> Any:
    """The network with weights by name; tables of positions stay."""
    state = {
        name: value
        if name in FIXED
        else numbers(name, tuple(value.shape), 0.2) + float(bool(re.search(r"norm\d?\.weight$", name)))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.eval()


def summary(tensor: Tensor) -> dict[str, Any]:
    flat = tensor.double().flatten()
    return {"shape": list(tensor.shape), "sum": float(flat.sum()), "squares": float(flat.square().sum()),
            "first": flat[:6].tolist(), "last": flat[-6:].tolist()}  # fmt: skip


def results(model: Any, images: Tensor, larger: Any) -> dict[str, Any]:
    """Losses, encoder output and images of one network; the noise of its mask is ours."""
    drawn = torch.rand

    def given(*shape: int, **_: Any) -> Tensor:
        return torch.from_numpy(stream("noise").random(shape)).float()

    torch.rand = given  # type: ignore[assignment]
    try:
        with torch.no_grad():
            latent, _, _ = model.forward_encoder(images, RATIO)
            loss, fine, predicted, mask = model(images, larger, RATIO)
            finer = model.forward_multiscale(predicted)
    finally:
        torch.rand = drawn
    if predicted.ndim == 4:  # groups: (sample, band, place, pixel)
        patches = predicted.permute(0, 2, 1, 3).flatten(2)
        image = model.unpatchify(patches, model.patch_size, model.in_c)
    else:
        image = model.unpatchify(predicted, model.patch_embed.patch_size[0], model.in_c)
    return {
        "loss": float(loss),
        "fine": float(fine),
        "latent": summary(latent),
        "image": summary(image),
        "larger": [summary(part) for part in (finer if isinstance(finer, Sequence) else (finer,))],
        "hidden": mask.flatten(1).int().tolist(),
        "names": sorted(model.state_dict()),
    }


def short(value: Any) -> Any:
    """Nine digits are more than single precision holds."""
    if isinstance(value, dict):
        return {key: short(part) for key, part in value.items()}
    if isinstance(value, list):
        return [short(part) for part in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main(checkout: str, out: str) -> None:
    sys.path.insert(0, checkout)
    library = torch.library.Library("torchvision", "DEF")  # a build without its compiled operators still imports
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    timm = importlib.import_module("timm")
    grouped, plain = (importlib.import_module(name) for name in ("models_mae_group_channels", "models_mae"))
    images, twice, four = (numbers(f"images{scale}", (2, 4, 12 * scale, 12 * scale)) for scale in (1, 2, 4))
    found: dict[str, Any] = {
        "made_with": f"github.com/techmn/satmae_pp at commit {COMMIT} (Apache-2.0), timm {timm.__version__}, torch "
        f"{torch.__version__}, on a processor, by tests/parity/satmaepp_upstream.py"
    }
    for key, consistent in (("independent", False), ("consistent", True)):
        model = grouped.MaskedAutoencoderGroupChannelViT(spatial_mask=consistent, **SMALL, **GROUPS)
        found[key] = results(filled(model), images, [twice, four])
    colours = filled(plain.MaskedAutoencoderViT(in_chans=3, **SMALL))
    found["rgb"] = results(colours, numbers("images1", (2, 3, 12, 12)), numbers("images2", (2, 3, 24, 24)))
    Path(out).write_text(json.dumps(short(found), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
