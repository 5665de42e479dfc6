"""Tuning: no effect at the start, exact merging, who learns, what fits where."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from swath.errors import ConfigError, InputError
from swath.nn import (
    BackboneOptions,
    Network,
    UNet,
    adapt,
    adapted_state,
    backbone,
    count_parameters,
    merge,
    series_encoder,
)
from swath.nn.series import SeriesSpec
from swath.nn.tuned_layers import LowRankConv2d, LowRankLinear
from swath.nn.tuning import load_peft, peft_state

ROUNDING = 4e-6
"""Sums of float32 in another order, through the eighteen layers of a ResNet; the same in float64 agrees to 1e-12."""
Run = Callable[[nn.Module], Tensor]
SMALL = BackboneOptions(width=16, depth=3)


def _kind(network: nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype


def vit() -> tuple[nn.Module, Run]:
    torch.manual_seed(0)
    network = backbone("vit_micro", 2, BackboneOptions(width=24, depth=3))
    image = torch.randn(2, 2, 16, 16)
    return network.eval(), lambda net: net(image.to(_kind(net))).cls


def swin() -> tuple[nn.Module, Run]:
    torch.manual_seed(0)
    network = backbone("swin_micro", 2, BackboneOptions(width=8))
    image = torch.randn(2, 2, 16, 16)
    return network.eval(), lambda net: net(image.to(_kind(net))).cls


def resnet() -> tuple[nn.Module, Run]:
    torch.manual_seed(0)
    network = backbone("resnet18", 2, BackboneOptions(width=8))
    image = torch.randn(2, 2, 32, 32)
    return network.eval(), lambda net: net(image.to(_kind(net))).cls


def unet() -> tuple[nn.Module, Run]:
    torch.manual_seed(0)
    network, image = UNet(2, 3, width=8, depth=2), torch.randn(2, 2, 16, 16)
    return network.eval(), lambda net: net(image.to(_kind(net)))


def series() -> tuple[nn.Module, Run]:
    torch.manual_seed(0)
    network = series_encoder(SeriesSpec("transformer", 2, width=16, depth=2, heads=2))
    values, day, present = torch.randn(2, 4, 2), torch.rand(2, 4) * 300, torch.rand(2, 4) > 0.3
    return network.eval(), lambda net: net(values.to(_kind(net)), day, present).cls


NETWORKS = {"vit": vit, "swin": swin, "resnet": resnet, "unet": unet, "series": series}
PLACES = [
    *((name, "lora") for name in NETWORKS),
    *((name, "adapter") for name in ("vit", "swin", "resnet", "series")),
    *((name, "prompt") for name in ("vit", "series")),
]


def disturb(network: nn.Module) -> None:
    """Move everything that learns."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize(("name", "kind"), PLACES)
def test_no_effect_at_the_start_and_some_after(name: str, kind: str) -> None:
    network, run = NETWORKS[name]()
    before, keys = run(network).detach(), set(network.state_dict())
    names = adapt(network, kind, rank=2, width=3, prompts=2)  # type: ignore[arg-type]
    torch.testing.assert_close(run(network), before, rtol=1e-6, atol=1e-6)
    assert set(names) == {n for n, p in network.named_parameters() if p.requires_grad} and names
    assert not keys & set(names)
    run(network).square().sum().backward()
    frozen = [n for n, p in network.named_parameters() if n not in names and p.grad is not None]
    assert frozen == []
    disturb(network)
    assert float((run(network) - before).detach().abs().max()) > 1e-4


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, ROUNDING), (torch.float64, 1e-12)])
def test_merging_gives_the_same_output_and_an_ordinary_network(name: str, kind: torch.dtype, tolerance: float) -> None:
    network, run = NETWORKS[name]()
    network.to(kind)
    fresh = set(network.state_dict())
    adapt(network, "lora", rank=2, scale=3.0)
    disturb(network)
    tuned = run(network).detach()
    assert merge(network) > 0
    assert set(network.state_dict()) == fresh
    assert not any(isinstance(layer, LowRankLinear | LowRankConv2d) for layer in network.modules())
    difference = float((run(network) - tuned).detach().abs().max() / tuned.detach().abs().max())
    print(f"{name} {kind}: largest relative difference after merging {difference:.1e}")
    assert difference < tolerance
    assert merge(network) == 0


def test_low_rank_by_hand() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    network = nn.Sequential(layer)
    assert adapt(network, "lora", rank=2, scale=4.0) == ("0.low_down", "0.low_up")
    disturb(network)
    low = network[0]
    tokens = torch.randn(5, 4)
    weight = layer.weight + 2.0 * low.low_up @ low.low_down
    torch.testing.assert_close(network(tokens), tokens @ weight.T + layer.bias)
    assert low.low_down.shape == (2, 4) and low.low_up.shape == (3, 2)


def test_low_rank_convolution_strides_pads_and_dilates() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=2, dilation=2, bias=False))
    adapt(network, "lora", rank=2)
    disturb(network)
    image = torch.randn(2, 3, 9, 7)
    tuned = network(image)
    assert merge(network) == 1 and type(network[0]) is nn.Conv2d
    torch.testing.assert_close(network(image), tuned, rtol=1e-5, atol=1e-5)


def test_where_low_rank_changes_go() -> None:
    network, _ = vit()
    layers = {name.rsplit(".", 2)[-2] for name in adapt(network, "lora")}
    assert layers == {"qkv", "project"}
    network, _ = vit()
    assert {name.rsplit(".", 2)[-2] for name in adapt(network, "lora", targets=("expand",))} == {"expand"}
    network, _ = resnet()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(adapt(network, "lora")) == 2 * len(convolutions)


def test_the_other_kinds() -> None:
    network, _ = vit()
    everything = tuple(name for name, _ in network.named_parameters())
    assert adapt(network, "full") == everything
    assert adapt(network, "frozen") == () and count_parameters(network)[1] == 0
    biases = adapt(network, "bias")
    assert biases == tuple(name for name in everything if name.endswith("bias"))
    last = adapt(network, "partial", blocks=2)
    assert {name.split(".")[0] for name in last} == {"blocks", "norm"} and {
        name.split(".")[1] for name in last if name.startswith("blocks")
    } == {"2"}
    assert adapt(network, "full") == everything


def test_partial_counts_the_head_of_a_network_as_a_part() -> None:
    network = Network("resnet18", 2, 3, head="linear", options={"width": 8})
    assert {name.split(".")[0] for name in adapt(network, "partial", blocks=1)} == {"head"}
    names = adapt(network, "partial", blocks=2)
    assert {name.rsplit(".", 3)[0] if "backbone" in name else "head" for name in names} == {
        "head",
        "backbone.stages.3.1",
    }


def test_the_head_learns_beside_whatever_kind() -> None:
    for kind in ("frozen", "lora", "adapter", "prompt", "bias"):
        network = Network("vit_micro", 2, 3, head="fcn", options={"width": 24, "depth": 2}, head_width=8)
        names = adapt(network, kind, train=("head",))  # type: ignore[arg-type]
        head = {f"head.{name}" for name, _ in network.head.named_parameters()}
        assert head <= set(names)
        assert not any("low_" in name or "adapter" in name for name in names if name.startswith("head"))
        assert kind != "frozen" or head == set(names)


def test_a_small_file_holds_what_was_learned() -> None:
    network, run = vit()
    adapt(network, "lora", rank=2, train=("norm",))
    disturb(network)
    small = adapted_state(network)
    assert sum(value.numel() for value in small.values()) < 0.2 * count_parameters(network)[0]
    again, _ = vit()
    adapt(again, "lora", rank=2, train=("norm",))
    missing, unexpected = again.load_state_dict(small, strict=False)
    assert unexpected == [] and not set(missing) & set(small)
    assert torch.equal(run(again), run(network))


def test_the_same_seed_gives_the_same_start() -> None:
    states = []
    for seed in (3, 3, 4):
        network, _ = vit()
        adapt(network, "lora", seed=seed)
        states.append(network.blocks[1].attention.qkv.low_down)  # type: ignore[index,union-attr]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_prompts_by_hand() -> None:
    from swath.nn.transformer import Attention

    torch.manual_seed(0)
    network = nn.Sequential(Attention(4, 1))
    adapt(network, "prompt", prompts=3)
    prompted, tokens = network[0], torch.randn(1, 2, 4)
    with torch.no_grad():
        prompted.prompt_gate.fill_(0.7)
    query, key, value = prompted.layer.qkv(tokens)[0].split(4, dim=1)
    _, extra_key, extra_value = prompted.layer.qkv(prompted.prompts).split(4, dim=1)
    mixed = (query @ key.T / 2).softmax(1) @ value
    mixed = mixed + torch.tanh(torch.tensor(0.7)) * (query @ extra_key.T / 2).softmax(1) @ extra_value
    torch.testing.assert_close(network(tokens)[0], prompted.layer.project(mixed))


def test_training_mode_is_kept() -> None:
    network, _ = vit()
    adapt(network, "adapter")
    assert not any(layer.training for layer in network.modules())


def test_on_the_meta_device() -> None:
    with torch.device("meta"):
        network = backbone("vit_base", 13)
    everything, _ = count_parameters(network)
    adapt(network, "lora", rank=8)
    added = 12 * 8 * (768 + 3 * 768 + 768 + 768)
    assert count_parameters(network) == (everything + added, added)


def test_low_rank_changes_travel_by_the_names_of_peft() -> None:
    first, run = vit()
    adapt(first, "lora", rank=4, scale=8.0, targets=("qkv",))
    with torch.no_grad():
        for name, value in first.named_parameters():
            if name.endswith("low_up"):
                value.add_(torch.randn_like(value))

    def there(name: str) -> str:
        return name.replace(".attention.", ".attn.")

    state = peft_state(first, there)
    assert len(state) == 2 * 3
    assert state["base_model.model.blocks.2.attn.qkv.lora_A.weight"].shape == (4, 24)
    assert state["base_model.model.blocks.2.attn.qkv.lora_B.weight"].shape == (72, 4)
    second, _ = vit()
    adapt(second, "lora", rank=4, scale=8.0, targets=("qkv",), seed=1)
    assert not torch.allclose(run(first), run(second))
    assert load_peft(second, state, there) == 3
    assert torch.equal(run(first), run(second))
    # As the library defines it: the output gains lora_alpha / r B A x.
    layer = first.get_submodule("blocks.0.attention.qkv")
    tokens = torch.randn(5, 24)
    down, up = (state[f"base_model.model.blocks.0.attn.qkv.lora_{part}.weight"] for part in "AB")
    plain = nn.functional.linear(tokens, layer.weight, layer.bias)  # type: ignore[arg-type]
    torch.testing.assert_close(layer(tokens), plain + 8.0 / 4 * tokens @ down.T @ up.T)
    less = {name: value for name, value in state.items() if "blocks.1" not in name}
    with pytest.raises(InputError, match=r"missing base_model\.model\.blocks\.1"):
        load_peft(second, less, there)
    with pytest.raises(InputError, match="left over more"):
        load_peft(second, state | {"more": torch.zeros(1)}, there)
    with pytest.raises(InputError, match=r"has shape \(8, 24\), not \(4, 24\)"):
        load_peft(second, {name: value.repeat(2, 1) for name, value in state.items()}, there)


def test_what_does_not_fit_is_named() -> None:
    network, _ = vit()
    with pytest.raises(ConfigError, match="kind of tuning is 'loro'"):
        adapt(network, "loro")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="named 'neck'"):
        adapt(network, "frozen", train=("neck",))
    with pytest.raises(ConfigError, match=r"named query.*choose from 0, contract, expand"):
        adapt(network, "lora", targets=("query",))
    with pytest.raises(ConfigError, match="'rank' is 0"):
        adapt(network, "lora", rank=0)
    adapt(network, "lora")
    with pytest.raises(ConfigError, match=r"already adapted: it holds 'blocks\.0"):
        adapt(network, "adapter")
    for name, kind in (("unet", "adapter"), ("resnet", "prompt"), ("swin", "prompt")):
        with pytest.raises(ConfigError, match=f"no place for the kind '{kind}'"):
            adapt(NETWORKS[name]()[0], kind)  # type: ignore[arg-type]
