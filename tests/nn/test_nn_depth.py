"""Order of parts and learning rates by depth."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swath.errors import ConfigError
from swath.nn import BackboneOptions, Network, UNet, adapt, backbone, decayed_groups, ordered_parts, series_encoder
from swath.nn.depth import part_of
from swath.nn.series import SeriesSpec

NETWORKS = {
    "vit": lambda: backbone("vit_micro", 2, BackboneOptions(width=24, depth=3)),
    "swin": lambda: backbone("swin_micro", 2, BackboneOptions(width=8)),
    "swin2": lambda: backbone("swin2_micro", 2, BackboneOptions(width=8)),
    "resnet": lambda: backbone("resnet18", 2, BackboneOptions(width=8)),
    "unet": lambda: UNet(2, 3, width=4, depth=1),
    "network": lambda: Network("vit_micro", 2, 3, options={"width": 24, "depth": 2}),
    **{
        kind: lambda kind=kind: series_encoder(SeriesSpec(kind, 2, width=8, depth=2, heads=2))
        for kind in ("tempcnn", "gru", "transformer")
    },
    "any": lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_belongs_to_the_part_that_claims_it(name: str) -> None:
    network = NETWORKS[name]()
    parts = ordered_parts(network)
    for parameter, _ in network.named_parameters():
        claims = [
            index
            for index, prefixes in enumerate(parts)
            if any(parameter == prefix or parameter.startswith(prefix + ".") for prefix in prefixes)
        ]
        assert claims == [part_of(parameter, parts)]
    used = {part_of(parameter, parts) for parameter, _ in network.named_parameters()}
    assert used == set(range(len(parts)))


@pytest.mark.parametrize("name", NETWORKS)
def test_groups_hold_every_parameter_once(name: str) -> None:
    network = NETWORKS[name]()
    groups = decayed_groups(network, learning_rate=0.1, decay=0.5)
    held = [parameter for group in groups for parameter in group["params"]]
    assert len(held) == len({id(parameter) for parameter in held}) == len(list(network.parameters()))
    rates = [group["lr"] for group in groups]
    assert rates == sorted(rates) and rates[-1] == 0.1
    torch.optim.AdamW(groups).step()


def test_rates_by_hand() -> None:
    network = Network("vit_micro", 2, 3, head="linear", options={"width": 24, "depth": 2})
    groups = decayed_groups(network, learning_rate=1.0, decay=0.5, weight_decay=0.2)
    rate = {name: (group["lr"], group["weight_decay"]) for group in groups for name in group["names"]}
    # Parts: embedding, block 0, block 1, normalisation, head.
    assert rate["head.output.weight"] == (1, 0.2) and rate["head.output.bias"] == (1, 0)
    assert rate["backbone.norm.weight"] == (0.5, 0)
    assert rate["backbone.blocks.1.mlp.expand.weight"] == (0.25, 0.2)
    assert rate["backbone.blocks.0.attention.qkv.bias"] == (0.125, 0)
    assert rate["backbone.embed.project.0.weight"] == (0.0625, 0.2)
    assert rate["backbone.positions"] == rate["backbone.class_token"] == (0.0625, 0)


def test_frozen_parameters_are_left_out() -> None:
    network = NETWORKS["network"]()
    names = adapt(network, "lora", train=("head",))
    groups = decayed_groups(network, learning_rate=1.0)
    assert sorted(name for group in groups for name in group["names"]) == sorted(names)
    adapt_all = NETWORKS["network"]()
    adapt(adapt_all, "frozen")
    with pytest.raises(ConfigError, match="No parameter of the network is trainable"):
        decayed_groups(adapt_all, learning_rate=1.0)
    with pytest.raises(ConfigError, match=r"decay per layer is 1\.5"):
        decayed_groups(network, learning_rate=1.0, decay=1.5)
