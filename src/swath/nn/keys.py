"""Names of weights elsewhere to names here, for whole published networks.

A table is a list of (pattern, replacement) pairs that are applied to every name in turn. Names that begin with
``head.`` afterwards are the classifier's; a backbone leaves them out. Bands that differ are not solved here: that needs
names of bands, not of weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from swath.errors import InputError

Family = Literal[
    "timm_vit", "timm_swin", "timm_swin2", "resnet", "torchvision_vit", "torchvision_swin", "microsoft_swin"
]
Table = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

_BLOCK: Table = (
    (r"\.attn\.proj\.", ".attention.project."),
    (r"\.attn\.", ".attention."),
    (r"\.mlp\.(fc1|0)\.", ".mlp.expand."),
    (r"\.mlp\.(fc2|3)\.", ".mlp.contract."),
    (r"\.ls([12])\.gamma$", r".scale\1.factor"),
    (r"\.relative_position_bias_table$", ".bias_table"),
)

_COSINE: Table = ((r"\.logit_scale$", ".temperature"), (r"\.cpb_mlp\.", ".bias_network."))

TIMM_VIT: Table = (
    *_BLOCK,
    (r"^cls_token$", "class_token"),
    (r"^pos_embed$", "positions"),
    (r"^patch_embed\.proj\.", "embed.project.0."),
    (r"^head\.", "head.output."),
)
TORCHVISION_VIT: Table = (
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_(weight|bias)$", r".attention.qkv.\1"),
    (r"\.self_attention\.out_proj\.", ".attention.project."),
    (r"\.mlp\.(0|linear_1)\.", ".mlp.expand."),
    (r"\.mlp\.(3|linear_2)\.", ".mlp.contract."),
    (r"^encoder\.pos_embedding$", "positions"),
    (r"^encoder\.ln\.", "norm."),
    (r"^conv_proj\.", "embed.project.0."),
    (r"^heads\.head\.", "head.output."),
)
# The published code merges at the end of a stage, timm at the start of the next one.
_SWIN: Table = (
    *_BLOCK,
    (r"^patch_embed\.proj\.", "embed."),
    (r"^patch_embed\.norm\.", "embed_norm."),
    (r"^layers\.(\d+)\.blocks\.(\d+)\.", r"stages.\1.\2."),
    (r"^head\.(fc\.)?", "head.output."),
)
MICROSOFT_SWIN: Table = (
    *_SWIN,
    (r"^layers\.(\d+)\.downsample\.norm\.", r"merges.\1.norm."),
    (r"^layers\.(\d+)\.downsample\.reduction\.", r"merges.\1.reduce."),
)
TIMM_SWIN: Table = (
    *_SWIN,
    (r"^layers\.(\d+)\.downsample\.norm\.", lambda found: f"merges.{int(found[1]) - 1}.norm."),
    (r"^layers\.(\d+)\.downsample\.reduction\.", lambda found: f"merges.{int(found[1]) - 1}.reduce."),
)
TIMM_SWIN2: Table = (
    *TIMM_SWIN,
    (r"\.q_bias$", ".qkv.query_bias"),
    (r"\.v_bias$", ".qkv.value_bias"),
    *_COSINE,
)
TORCHVISION_SWIN: Table = (
    *_BLOCK,
    *_COSINE,
    (r"^features\.0\.0\.", "embed."),
    (r"^features\.0\.2\.", "embed_norm."),
    (r"^features\.(\d*[13579])\.(\d+)\.", lambda found: f"stages.{int(found[1]) // 2}.{found[2]}."),
    (r"^features\.(\d*[2468])\.reduction\.", lambda found: f"merges.{int(found[1]) // 2 - 1}.reduce."),
    (r"^features\.(\d*[2468])\.norm\.", lambda found: f"merges.{int(found[1]) // 2 - 1}.norm."),
    (r"^head\.", "head.output."),
)
# torchvision and timm name residual networks alike.
RESNET: Table = (
    (r"^conv1\.", "stem."),
    (r"^bn1\.", "stem_norm."),
    (r"^layer(\d)\.", lambda found: f"stages.{int(found[1]) - 1}."),
    (r"\.conv(\d)\.", lambda found: f".convolutions.{int(found[1]) - 1}."),
    (r"\.bn(\d)\.", lambda found: f".norms.{int(found[1]) - 1}."),
    (r"\.downsample\.", ".shortcut."),
    (r"^fc\.", "head.output."),
)
TABLES: dict[Family, Table] = {
    "timm_vit": TIMM_VIT,
    "timm_swin": TIMM_SWIN,
    "timm_swin2": TIMM_SWIN2,
    "resnet": RESNET,
    "torchvision_vit": TORCHVISION_VIT,
    "torchvision_swin": TORCHVISION_SWIN,
    "microsoft_swin": MICROSOFT_SWIN,
}
COMPUTED = re.compile(r"relative_position_index$|relative_coords_table$|attn_mask$|\.k_bias$")
"""Buffers that others store and we compute."""


def rename(name: str, family: Family) -> str:
    """Our name of a weight called ``name`` in the family's published networks."""
    for pattern, replacement in TABLES[family]:
        name = re.sub(pattern, replacement, name)
    return name


def convert(state: Mapping[str, Tensor], family: Family, network: nn.Module) -> dict[str, Tensor]:
    """Published weights under the names and in the shapes of ``network``, complete and without rest.

    Args:
        state: name -> weight, as published.
        family: who published them.
        network: a backbone, or a network with ``backbone`` and ``head``; may be on the meta device.

    Returns:
        What ``network.load_state_dict`` takes.

    Raises:
        InputError: weights are missing, left over, or of another shape; the first of each kind are named.
    """
    wanted = dict(network.state_dict())
    whole = any(name.startswith("backbone.") for name in wanted)
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if COMPUTED.search(name):
            continue
        ours = rename(name, family)
        if ours.startswith("head."):
            if whole:
                found[ours] = value
            continue
        found[f"backbone.{ours}" if whole else ours] = _shaped(ours, value)
    _join_biases(found)
    problems = [
        *(f"missing {name}" for name in wanted if name not in found),
        *(f"left over {name}" for name in found if name not in wanted),
        *(
            f"{name} has shape {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
            for name in wanted
            if name in found and found[name].shape != wanted[name].shape
        ),
    ]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise InputError(
            f"The weights do not fit: {'; '.join(problems[:4])}{more}",
            expected=f"all {len(wanted)} weights of the network, as the family '{family}' names them",
            remedy="build the network with the published size, bands, image side and norm='batch' for a ResNet",
        )
    return found


def _join_biases(found: dict[str, Tensor]) -> None:
    """One bias of query, key and value where they were stored apart; keys have none."""
    for name in [name for name in found if name.endswith(".query_bias")]:
        stem, query = name.removesuffix("query_bias"), found.pop(name)
        value = found.pop(f"{stem}value_bias", torch.zeros_like(query))
        found[f"{stem}bias"] = torch.cat([query, torch.zeros_like(query), value])


def _shaped(name: str, value: Tensor) -> Tensor:
    """Scales per head are stored with one or three axes."""
    return value.reshape(-1, 1, 1) if name.endswith(".temperature") else value
