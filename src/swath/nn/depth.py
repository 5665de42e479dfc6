"""The parts of a network in order from input to output, and learning rates that fall towards the input."""

from __future__ import annotations

from typing import Any

from torch import nn

from swath.errors import ConfigError

INSIDE = ("backbone", "encoder", "student")
"""Attributes under which a network that is a backbone with something on top keeps its backbone."""


def ordered_parts(network: nn.Module) -> list[tuple[str, ...]]:
    """Names of the parts of a network from input to output, each a tuple of prefixes of parameter names.

    A backbone tells its own order (``layer_names``). A network with a ``backbone``, ``encoder`` or ``student`` has the
    parts of that one first and all the rest as the last part. Otherwise each child is a part.
    """
    if hasattr(network, "layer_names"):
        names: list[tuple[str, ...]] = network.layer_names()  # type: ignore[operator]  # torch types all attributes alike
        return names
    for inside in INSIDE:
        child = getattr(network, inside, None)
        if isinstance(child, nn.Module):
            below = [tuple(f"{inside}.{name}" for name in part) for part in ordered_parts(child)]
            rest = tuple(name for name, other in network.named_children() if other is not child)
            rest += tuple(name for name, _ in network.named_parameters(recurse=False))
            return [*below, rest] if rest else below
    return [(name,) for name, _ in network.named_children()]


def part_of(name: str, parts: list[tuple[str, ...]]) -> int:
    """Number of the part to which a parameter belongs; the last one when none claims it (heads, new layers)."""
    for index, prefixes in enumerate(parts):
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes):
            return index
    return len(parts) - 1


def decayed_groups(
    network: nn.Module, *, learning_rate: float, decay: float = 0.75, weight_decay: float = 0.05
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: the learning rate falls by a factor per part from output to input.

    Part i of n learns at ``learning_rate * decay^(n - 1 - i)``. Biases, normalisations and other parameters with one
    axis, class tokens and positions get no weight decay. Frozen parameters are left out. Source: Clark et al.,
    "ELECTRA", ICLR 2020; for images Bao et al., "BEiT", ICLR 2022.

    Args:
        network: any network; see ``ordered_parts`` for its order.
        learning_rate: of the last part.
        decay: factor per part, in (0, 1].
        weight_decay: of matrices and kernels.

    Returns:
        Groups with the keys ``params``, ``lr``, ``weight_decay``, ``names``, from input to output.

    Raises:
        ConfigError: ``decay`` is not in (0, 1], or nothing is trainable.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"The decay per layer is {decay}", expected="a number in (0, 1]", remedy="0.75 is usual")
    parts = ordered_parts(network)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        part, plain = part_of(name, parts), parameter.ndim <= 1 or _is_table(name)
        group = groups.setdefault(
            (part, plain),
            {
                "params": [],
                "lr": learning_rate * decay ** (len(parts) - 1 - part),
                "weight_decay": 0.0 if plain else weight_decay,
                "names": [],
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    if not groups:
        raise ConfigError(
            "No parameter of the network is trainable",
            expected="at least one",
            remedy="adapt the network with another kind than 'frozen', or leave the head trainable",
        )
    return [groups[key] for key in sorted(groups)]


def _is_table(name: str) -> bool:
    last = name.rsplit(".", 1)[-1]
    return last in ("class_token", "positions", "stack_positions", "bias_table")
