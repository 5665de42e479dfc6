"""Where a network is cut into a frozen encoder and what learns from its features, and how the encoder is spared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from swath import rng
from swath.errors import ContractError
from swath.learn.frozen import encoder_name, is_frozen, network_of
from swath.learn.task import Trainable, evaluation
from swath.types import Batch, Features


@dataclass(frozen=True, eq=False)
class CachedBatch(Batch):
    """A batch that carries what the frozen encoder sees in it.

    Args:
        features: the answer of the encoder, float32, for all samples.
    """

    features: Features = field(default_factory=lambda: Features((), ()))

    def to(self, device: torch.device | str) -> CachedBatch:
        """The same batch with all tensors, features included, on ``device``."""
        seen = self.features
        moved = Features(
            tuple(level.to(device) for level in seen.maps),
            seen.strides,
            None if seen.tokens is None else seen.tokens.to(device),
            None if seen.cls is None else seen.cls.to(device),
        )
        return CachedBatch(**vars(super().to(device)) | {"features": moved})


@contextmanager
def replayed(task: nn.Module, batch: Batch) -> Iterator[None]:
    """The encoder answers with the features that the batch carries, for the length of a block; else nothing changes.

    Raises:
        ContractError: the batch carries features and the task has no frozen encoder.
    """
    if not isinstance(batch, CachedBatch):
        yield
        return
    encoder = frozen_encoder(task)
    vars(encoder)["forward"] = lambda *given: batch.features
    try:
        yield
    finally:
        del vars(encoder)["forward"]


def frozen_encoder(task: nn.Module) -> nn.Module:
    """The encoder of the network of a task.

    Raises:
        ContractError: there is none, or a part of it learns.
    """
    network = network_of(task)[1]
    name = encoder_name(network)
    encoder = network.get_submodule(name) if name else None
    if encoder is None or not is_frozen(encoder):
        given = f"its {name} learns" if name else "it has no encoder"
        raise ContractError(
            f"Features of a {type(network).__name__} cannot be kept, because {given}",
            expected="a network with a backbone or encoder of which nothing learns",
            remedy='freeze it with nn.adapt(network, "frozen", train=("head",)), or train without the cache',
        )
    return encoder


def observe(task: Trainable, batch: Batch, *, draw: int = 0) -> Features:
    """What the frozen encoder answers on the way to the loss of a batch, in evaluation mode.

    Args:
        task: a task with a frozen encoder.
        batch: any batch.
        draw: number of the random stream that the task gets.

    Raises:
        ContractError: the encoder was not asked just once, or its answer is no ``Features`` of the samples.
    """
    assert isinstance(task, nn.Module)
    encoder, seen = frozen_encoder(task), []
    hook = encoder.register_forward_hook(lambda module, given, answer: seen.append(answer))
    device = next(encoder.parameters()).device
    try:
        with evaluation(task), torch.no_grad():
            task.loss(batch.to(device), rng.torch_generator(draw, "features"))
    finally:
        hook.remove()
    parts = [part for answer in seen if isinstance(answer, Features) for part in parts_of(answer).values()]
    if len(seen) != 1 or not parts or any(len(part) != batch.batch_size for part in parts):
        raise ContractError(
            f"The {type(encoder).__name__} was asked {len(seen)} times for a batch and gave "
            f"{type(seen[0]).__name__ if seen else 'nothing'}",
            expected="one answer of features per batch, with an entry per sample",
            remedy="train without the cache",
        )
    answer: Features = seen[0]
    return answer


def check_repeatable(task: Trainable, batch: Batch) -> None:
    """Refuse a task that changes at random what its encoder is given.

    Raises:
        ContractError: two looks at one batch differ.
    """
    first, second = (parts_of(observe(task, batch, draw=draw)).values() for draw in (0, 1))
    if any(not torch.equal(one, two) for one, two in zip(first, second, strict=True)):
        raise ContractError(
            "The encoder sees something else each time it is shown the same samples",
            expected="features that depend on the sample alone",
            remedy="switch off what hides inputs at random (modality_dropout, masks), or train without the cache",
        )


def parts_of(features: Features) -> dict[str, Tensor]:
    """File name to tensor."""
    named = {f"map_{level}": tensor for level, tensor in enumerate(features.maps)}
    more = {"tokens": features.tokens, "cls": features.cls}
    return named | {name: tensor for name, tensor in more.items() if tensor is not None}
