"""One switch for how much of a network learns: ``adapt(network, kind)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from swath import rng
from swath.errors import ConfigError, InputError
from swath.nn.checks import check_whole
from swath.nn.depth import ordered_parts, part_of
from swath.nn.resnet import ResidualBlock
from swath.nn.transformer import Attention, Mlp
from swath.nn.tuned_layers import (
    AdaptedMlp,
    AdaptedResidualBlock,
    LowRankConv2d,
    LowRankLinear,
    PromptedAttention,
)

Kind = Literal["full", "frozen", "lora", "adapter", "prompt", "partial", "bias"]
KINDS: tuple[Kind, ...] = ("full", "frozen", "lora", "adapter", "prompt", "partial", "bias")
ATTENTION = ("qkv", "project")
"""Layers that low-rank changes reach in a transformer."""
BIASES = ("bias",)
"""How the names of biases begin; recurrent layers number theirs."""
ADDED = ("low_down", "low_up", "adapter_down", "adapter_bias", "adapter_up", "prompts", "prompt_gate")
"""Last part of the names of all parameters that adapting adds."""
_PEFT = "base_model.model."


def adapt(
    network: nn.Module,
    kind: Kind,
    *,
    rank: int = 8,
    scale: float | None = None,
    width: int = 64,
    prompts: int = 8,
    blocks: int = 2,
    targets: Sequence[str] = (),
    train: Sequence[str] = (),
    seed: int = 0,
) -> tuple[str, ...]:
    """Choose what of a network learns, in place. Whatever is added changes nothing before the first step.

    ======== =======================================================================================
    full     everything
    frozen   nothing
    lora     a change of low rank beside attention layers, or beside all convolutions and linear layers without any
    adapter  a bottleneck beside every transformer block's second branch, or behind every residual block
    prompt   prompts that every attention of a plain transformer looks at, through a gate
    partial  the last ``blocks`` parts that the network names (blocks, final normalisation, head)
    bias     all biases (Ben Zaken et al., "BitFit", ACL 2022)
    ======== =======================================================================================

    Args:
        network: a backbone, or a network with a backbone inside.
        kind: one of the kinds above.
        rank: lora: rank of the change.
        scale: lora: factor of the change before it is divided by the rank; the rank when None.
        width: adapter: numbers of the bottleneck.
        prompts: prompt: number per block.
        blocks: partial: number of parts, counted from the output.
        targets: lora: last part of the names of the layers to change; () for the choice above.
        train: prefixes of parameters that learn whatever the kind, such as ("head",); nothing is added inside them.
        seed: for the numbers in what is added.

    Returns:
        Names of the parameters that learn, in the order of the network.

    Raises:
        ConfigError: the kind or a number is wrong, a prefix names nothing, the network has no place for what the kind
            adds, or it is already adapted.
    """
    if kind not in KINDS:
        raise ConfigError(f"The kind of tuning is {kind!r}", expected=f"one of {', '.join(KINDS)}", remedy="choose one")
    check_whole("adapt", {"rank": rank, "width": width, "prompts": prompts, "blocks": blocks})
    _check_fresh(network)
    _check_train(network, train)
    match kind:
        case "lora":
            _add_low_rank(network, rank, float(rank) if scale is None else scale, targets, train, seed)
        case "adapter":
            _add_adapters(network, width, train, seed)
        case "prompt":
            _add_prompts(network, prompts, train, seed)
    learns = _rule(network, kind, blocks)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(learns(name) or _under(name, train))
    return tuple(name for name, parameter in network.named_parameters() if parameter.requires_grad)


def merge(network: nn.Module) -> int:
    """Write low-rank changes into the weights, in place: the same output, and an ordinary network again.

    Returns:
        Number of layers merged. Adapters and prompts cannot be merged and stay.
    """
    changed = _changed(network)
    for name, layer in changed:
        _replace(network, name, layer.merged())
    return len(changed)


def adapted_state(network: nn.Module) -> dict[str, Tensor]:
    """All that learns, for a small file beside the published weights; ``load_state_dict(..., strict=False)`` reads it.

    Buffers, such as statistics of batch normalisation, are not part of it.
    """
    return {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}


def peft_state(network: nn.Module, rename: Callable[[str], str] = str) -> dict[str, Tensor]:
    """Low-rank changes by the names of the library peft, for files that others read.

    ``base_model.model.LAYER.lora_A.weight`` is what goes down to the rank, ``lora_B.weight`` what comes up again. The
    factor is not part of it: ``lora_alpha`` of the file's configuration is ``scale`` of ``adapt``, ``r`` is ``rank``.

    Args:
        network: adapted with ``lora``.
        rename: our name of a weight of the layer, such as ``blocks.0.attention.qkv.weight`` -> its name elsewhere.
    """
    found: dict[str, Tensor] = {}
    for layer, module in _changed(network):
        there = _PEFT + rename(f"{layer}.weight").removesuffix(".weight")
        found[f"{there}.lora_A.weight"] = module.low_down.detach()
        found[f"{there}.lora_B.weight"] = module.low_up.detach()
    return found


def load_peft(network: nn.Module, state: Mapping[str, Tensor], rename: Callable[[str], str] = str) -> int:
    """Put low-rank changes from a file of the library peft into a network, in place.

    Args:
        network: adapted with ``lora``, with the rank, scale and layers of the file.
        state: name -> tensor.
        rename: as in ``peft_state``.

    Returns:
        Number of layers.

    Raises:
        InputError: changes are missing, left over, or of another shape.
    """
    wanted = peft_state(network, rename)
    faults = [
        *(f"missing {name}" for name in wanted if name not in state),
        *(f"left over {name}" for name in state if name not in wanted),
        *(
            f"{name} has shape {tuple(state[name].shape)}, not {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in state and state[name].shape != value.shape
        ),
    ]
    if faults:
        raise InputError(
            f"The low-rank changes do not fit: {'; '.join(faults[:4])}",
            expected=f"the {len(wanted)} tensors of the {len(wanted) // 2} layers that were adapted",
            remedy="adapt the network with the rank and the targets of the file, and give the table of names",
        )
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(state[name])
    return len(wanted) // 2


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Number of all parameters and of those that learn."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, learns in sizes if learns)


def _rule(network: nn.Module, kind: Kind, blocks: int) -> Callable[[str], bool]:
    """Whether a parameter of this name learns."""
    if kind == "partial":
        parts = ordered_parts(network)
        return lambda name: part_of(name, parts) >= len(parts) - blocks
    if kind == "bias":
        return lambda name: name.rsplit(".", 1)[-1].startswith(BIASES) and not name.endswith("bias_table")
    if kind in ("full", "frozen"):
        return lambda name: kind == "full"
    return lambda name: name.rsplit(".", 1)[-1] in ADDED


def _add_low_rank(
    network: nn.Module, rank: int, scale: float, targets: Sequence[str], train: Sequence[str], seed: int
) -> None:
    layers = {
        name: layer
        for name, layer in network.named_modules()
        if name and (isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and _plain(layer)))
    }
    free = {name: layer for name, layer in layers.items() if not _under(name, train)}
    wanted = tuple(targets)
    if not wanted and any(name.rsplit(".", 1)[-1] == "qkv" for name in free):
        wanted = ATTENTION
    chosen = [name for name in free if not wanted or name.rsplit(".", 1)[-1] in wanted]
    if not chosen:
        raise ConfigError(
            f"No linear layer or convolution of the network is named {', '.join(wanted) or 'anything'}",
            expected="at least one layer to change",
            remedy=f"choose from {', '.join(sorted({name.rsplit('.', 1)[-1] for name in free})[:12]) or 'no layer'}",
        )
    for name in chosen:
        layer, generator = free[name], rng.torch_generator(seed, "adapt", name)
        if isinstance(layer, nn.Linear):
            _replace(network, name, LowRankLinear(layer, rank, scale, generator))
        else:
            _replace(network, name, LowRankConv2d(layer, rank, scale, generator))


def _add_adapters(network: nn.Module, width: int, train: Sequence[str], seed: int) -> None:
    places = [
        (name, layer)
        for name, layer in network.named_modules()
        if name and isinstance(layer, Mlp | ResidualBlock) and not _under(name, train)
    ]
    _check_places(places, "adapter", "transformer or residual blocks (ViT, Swin, ResNet, transformer of series)")
    for name, layer in places:
        generator = rng.torch_generator(seed, "adapt", name)
        if isinstance(layer, Mlp):
            _replace(network, name, AdaptedMlp(layer, width, generator))
        else:
            _replace(network, name, AdaptedResidualBlock(layer, width, generator))


def _add_prompts(network: nn.Module, number: int, train: Sequence[str], seed: int) -> None:
    places = [
        (name, layer)
        for name, layer in network.named_modules()
        if name and isinstance(layer, Attention) and not _under(name, train)
    ]
    _check_places(places, "prompt", "plain attention (ViT, transformer of series, token fusion)")
    for name, layer in places:
        _replace(network, name, PromptedAttention(layer, number, rng.torch_generator(seed, "adapt", name)))


def _changed(network: nn.Module) -> list[tuple[str, LowRankLinear | LowRankConv2d]]:
    return [(name, part) for name, part in network.named_modules() if isinstance(part, LowRankLinear | LowRankConv2d)]


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    above, _, last = name.rpartition(".")
    layer.train(network.get_submodule(name).training)
    setattr(network.get_submodule(above), last, layer)


def _plain(layer: nn.Conv2d) -> bool:
    return layer.groups == 1 and layer.padding_mode == "zeros"


def _under(name: str, prefixes: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def _check_fresh(network: nn.Module) -> None:
    before = [name for name, _ in network.named_parameters() if name.rsplit(".", 1)[-1] in ADDED]
    if before:
        raise ConfigError(
            f"The network is already adapted: it holds '{before[0]}'",
            expected="a network as it was built or loaded",
            remedy="merge() low-rank changes first, or build the network anew",
        )


def _check_train(network: nn.Module, train: Sequence[str]) -> None:
    names = [name for name, _ in network.named_parameters()]
    for prefix in train:
        if not any(_under(name, [prefix]) for name in names):
            raise ConfigError(
                f"No parameter of the network is named '{prefix}'",
                expected=f"prefixes such as {', '.join(dict.fromkeys(name.split('.')[0] for name in names))}",
                remedy="correct the name in 'train'",
            )


def _check_places(places: Sequence[object], kind: str, expected: str) -> None:
    if not places:
        raise ConfigError(
            f"The network has no place for the kind '{kind}'",
            expected=expected,
            remedy="use lora, partial or bias, which work on every network",
        )
