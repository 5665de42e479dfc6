"""Learning a map task from a share of its labels: draws of whole chips, and contenders that all see the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from swath import rng
from swath.errors import InputError
from swath.judge.real10.contenders import RowLearner, forest, linear_head
from swath.judge.real10.encoders import FrozenEncoder
from swath.judge.real10.features import described
from swath.judge.real10.samples import Inputs, Target, class_strata
from swath.learn.objectives import MaskedReconstruction, pretrained_network
from swath.learn.reproduce import seeded
from swath.metrics import ConfusionMatrix, miou
from swath.nn import Normalise, UNet
from swath.systems.eo._prithvi_scenes import MapTask
from swath.types import IGNORE

Answers = NDArray[np.int64]
Learner = Callable[[Inputs, Target, Inputs], Answers]
"""From chips, their classes and the chips of the test to classes ``(N, H, W)`` of these."""


@dataclass(frozen=True)
class Tuning:
    """How a network learns a task; the same for all of them.

    Args:
        steps: optimiser steps, whatever the share.
        batch_size: chips per step, fewer where there are fewer.
        rate: peak learning rate.
        head_width: channels inside pyramid and head of the transformers.
        unet_width: of the U-Net.
    """

    steps: int
    batch_size: int
    rate: float
    head_width: int
    unet_width: int


@dataclass(frozen=True)
class Drawn:
    """Which chips of a task are learned from and tested, of one seed.

    Args:
        pool: numbers of the chips to learn from; a share is the first of them, so that small shares lie in large ones.
        test: numbers of the chips of places that nothing has seen.
    """

    pool: NDArray[np.int64]
    test: NDArray[np.int64]

    def share(self, share: float) -> NDArray[np.int64]:
        """The first chips of the pool, at least one."""
        return self.pool[: max(1, round(share * len(self.pool)))]


def draw(task: MapTask, tested: NDArray[np.int64], *, pool: int, test: int, seed: int) -> Drawn:
    """Chips of places to learn from and of tested places, in an order of the seed.

    The first chip of the pool shows at least two classes on a twentieth each: a single chip of one class would teach
    nobody anything.

    Args:
        task: the chips.
        tested: numbers of the places of the test.
        pool: how many chips to learn from at most.
        test: how many to test on at most.
        seed: of the order.

    Raises:
        InputError: a part has no chip, or no chip to learn from shows two classes.
    """
    order = rng.generator(seed, "task chips", task.name).permutation(len(task)).astype(np.int64)
    inside = np.isin(task.place[order], tested)
    learned, held = order[~inside], order[inside][:test]
    both = class_strata(task.target)[learned].sum(axis=1) > 1
    if not len(held) or not both.any():
        raise InputError(
            f"Of the {len(task)} chips of '{task.name}' {int(inside.sum())} lie in tested places, and "
            f"{int(both.sum())} of the others show two classes",
            expected="at least one of each",
            remedy="take more places or another seed",
        )
    first = int(both.argmax())
    return Drawn(np.concatenate([learned[first : first + 1], np.delete(learned, first)])[:pool], held)


def tested_places(tasks: Sequence[MapTask], places: int, share: float, seed: int) -> dict[str, NDArray[np.int64]]:
    """Numbers of the places of the test by task: the first of one order of the seed that the task has, at least one.

    Args:
        tasks: whose chips lie near some of the places.
        places: how many there are in all.
        share: of the places of a task that are tested.
        seed: of the order.
    """
    order = rng.generator(seed, "places").permutation(places).astype(np.int64)
    found = {}
    for task in tasks:
        own = order[np.isin(order, task.place)]
        found[task.name] = own[: max(1, round(share * len(own)))]
    return found


class Series(nn.Module):
    """A network of images that sees all dates of a series as bands: ``(B, T, C, H, W)`` to logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, series: Tensor) -> Tensor:
        """Logits ``(B, classes, H, W)``."""
        logits: Tensor = self.network(series.flatten(1, 2))
        return logits


def tuned(network: nn.Module, images: Tensor, classes: Tensor, tuning: Tuning, seed: int) -> None:
    """Learn all weights of a network; AdamW with one cycle of the rate, chips turned and mirrored.

    Args:
        network: of ``(B, T, C, H, W)``.
        images: standardised.
        classes: int64 ``(N, H, W)``.
        tuning: steps, chips and rate.
        seed: of the order.
    """
    network.train()
    size = min(tuning.batch_size, len(images))
    optimiser = torch.optim.AdamW(network.parameters(), lr=tuning.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, tuning.rate, total_steps=tuning.steps)
    stream, order = rng.generator(seed, "task batches"), np.zeros(0, np.int64)
    for _ in range(tuning.steps):
        if len(order) < size:
            order = stream.permutation(len(images))
        batch, order = order[:size], order[size:]
        image, wanted = images[batch], classes[batch]
        quarter, mirrored = int(stream.integers(4)), bool(stream.integers(2))
        image, wanted = (torch.rot90(each, quarter, (-2, -1)) for each in (image, wanted))
        if mirrored:
            image, wanted = image.flip(-1), wanted.flip(-1)
        loss = F.cross_entropy(network(image), wanted, ignore_index=IGNORE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def mapped(network: nn.Module, images: Tensor) -> Answers:
    """Classes ``(N, H, W)`` that a network gives."""
    network.eval()
    with torch.inference_mode():
        return np.concatenate([network(part).argmax(dim=1).numpy() for part in images.split(32)])


def transformer(
    start: MaskedReconstruction, tuning: Tuning, seed: int, told: Mapping[str, Tensor] | None = None
) -> Learner:
    """The encoder of a masked autoencoder under a U-Net head, all weights learned.

    Args:
        start: whose encoder and statistics are taken.
        tuning: how to learn.
        seed: of the head and the order of chips.
        told: weights that the encoder begins with instead.
    """

    def learn(inputs: Inputs, target: Target, test: Inputs) -> Answers:
        network = under_head(start, len(target.names), tuning, seed)
        if told is not None:
            network.get_submodule("encoder").load_state_dict(told)
        tuned(network, standardised(start.normalise, inputs), classes_of(target), tuning, seed)
        return mapped(network, standardised(start.normalise, test))

    return learn


def told_weights(
    start: MaskedReconstruction, task: MapTask, chips: NDArray[np.int64], tuning: Tuning, seed: int
) -> dict[str, Tensor]:
    """Weights of an encoder that has learned the answers of chips, those of the test too; for a control."""
    inputs, target = task.inputs.take(chips), task.target.take(chips)
    network = under_head(start, len(target.names), tuning, seed)
    tuned(network, standardised(start.normalise, inputs), classes_of(target), tuning, seed)
    return network.get_submodule("encoder").state_dict()


def under_head(start: MaskedReconstruction, classes: int, tuning: Tuning, seed: int) -> nn.Module:
    """The encoder under a new head, whose weights are those of the seed."""
    with seeded(seed, "task head"):
        return pretrained_network(start, start.bands, classes, head="unet", head_width=tuning.head_width).network


def unet(normalise: Normalise, tuning: Tuning, seed: int) -> Learner:
    """A U-Net from random weights with the same statistics, steps and order of chips.

    Args:
        normalise: statistics of the unlabelled series.
        tuning: how to learn.
        seed: of weights and order.
    """

    def learn(inputs: Inputs, target: Target, test: Inputs) -> Answers:
        dates, bands = inputs.values.shape[1:3]
        with seeded(seed, "task unet"):
            network = Series(UNet(dates * bands, len(target.names), width=tuning.unet_width, depth=2, stem_stride=1))
        tuned(network, standardised(normalise, inputs), classes_of(target), tuning, seed)
        return mapped(network, standardised(normalise, test))

    return learn


def pixel_forest(seed: int) -> Learner:
    """A random forest on bands, indices and season of every pixel, as the suite of real tasks has it."""

    def learn(inputs: Inputs, target: Target, test: Inputs) -> Answers:
        return np.asarray(RowLearner(described, forest, seed).fit(inputs, target).predict(test), np.int64)

    return learn


def frozen(encoder: FrozenEncoder, task: str, seed: int) -> Learner:
    """A linear head on what a published encoder gives, which itself learns nothing.

    Args:
        encoder: the encoder.
        task: name of the task.
        seed: of the drawn pixels.
    """

    def learn(inputs: Inputs, target: Target, test: Inputs) -> Answers:
        head = RowLearner(lambda shown: encoder.features(shown, task), linear_head, seed).fit(inputs, target)
        return np.asarray(head.predict(test), np.int64)

    return learn


def score(task: MapTask, chips: NDArray[np.int64], answers: Answers) -> float:
    """Mean IoU over all pixels of chips and the classes that are there or were said."""
    confusion = ConfusionMatrix(task.target.names)
    truth = torch.from_numpy(task.target.values[chips])
    confusion.update(truth, torch.from_numpy(answers), torch.ones_like(truth, dtype=torch.bool))
    return float(miou(confusion.counts))


def standardised(normalise: Normalise, inputs: Inputs) -> Tensor:
    """Images ``(N, T, C, H, W)`` in the statistics of the unlabelled series, 0 where invalid."""
    image: Tensor = normalise(torch.from_numpy(inputs.values), torch.from_numpy(inputs.valid))
    return image


def classes_of(target: Target) -> Tensor:
    """Classes as the loss takes them."""
    return torch.from_numpy(target.values)
