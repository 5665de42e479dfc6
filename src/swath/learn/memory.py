"""How much memory training will take, counted on a device without memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swath.learn.config import FitConfig
from swath.nn import count_parameters

FLOAT = 4
"""Bytes of a number in float32."""
HOW = (
    "4 bytes for every parameter, and 16 more for each that learns (gradient, two of AdamW, moving average); "
    "activations: every tensor that one forward pass at this batch size keeps for the gradients, counted on the "
    "meta device of torch. "
    "Loss, working space of operations, chips in memory and the libraries (about 0.4 GiB) come on top"
)


@dataclass(frozen=True)
class Memory:
    """Bytes while training, by what takes them.

    Args:
        parameters: all weights.
        gradients: of those that learn.
        optimiser: two numbers per weight that learns.
        average: the moving average of the weights that learn.
        activations: what the forward pass of a batch keeps.
        inputs: the images of a batch with their masks.
    """

    parameters: int
    gradients: int
    optimiser: int
    average: int
    activations: int
    inputs: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(vars(self).values())


def estimate(network: nn.Module, config: FitConfig, activations: int, inputs: int) -> Memory:
    """Memory of training a network.

    Args:
        network: on any device.
        config: says whether weights are averaged.
        activations: see ``kept_bytes``.
        inputs: bytes of a batch.
    """
    every, learning = count_parameters(network)
    return Memory(
        parameters=FLOAT * every,
        gradients=FLOAT * learning,
        optimiser=2 * FLOAT * learning,
        average=FLOAT * learning if config.ema_decay is not None else 0,
        activations=activations,
        inputs=inputs,
    )


def kept_bytes(network: nn.Module, forward: Callable[[], Tensor]) -> tuple[int, tuple[int, ...]]:
    """Bytes that autograd keeps for the gradients of one forward pass, and the shape of what came out.

    Each piece of memory counts once, however many operations keep it; weights do not count.

    Args:
        network: whose weights are left out.
        forward: calls it.
    """
    weights = {_place(value) for value in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # while a tensor lives no other takes its place

    def note(tensor: Tensor) -> Tensor:
        if _place(tensor) not in weights:
            kept[_place(tensor)] = tensor.untyped_storage().nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = forward()
    return sum(kept.values()), tuple(out.shape)


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
