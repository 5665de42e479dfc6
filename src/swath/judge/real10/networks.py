"""Small networks from scratch: a U-Net for maps, a temporal CNN for series, a CNN for scenes with one answer.

One loop of a fixed number of steps with fixed options for all tasks; nothing is chosen by validation. The temporal CNN
follows Pelletier, Webb and Petitjean, Remote Sensing 11, 2019, with one layer less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from swath import rng
from swath.judge.real10.samples import Inputs, Target
from swath.nn import UNet
from swath.types import IGNORE

STEPS = 150
WIDTH = 16
SERIES_WIDTH = 64
RATE, DECAY = 3e-3, 1e-2
BATCH_TILES, BATCH_SAMPLES = 8, 64
LARGE = 32
"""Side from which on the U-Net works at half resolution inside."""
PREDICT_AT_ONCE = 256
Make = Callable[[Inputs, int], nn.Module]


class TemporalCNN(nn.Module):
    """Series ``(B, C, T)`` to answers ``(B, K, 1, 1)``: two convolutions of three dates, mean over time, two layers."""

    def __init__(self, bands: int, answers: int, width: int = SERIES_WIDTH) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(bands, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.LazyLinear(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, answers))

    def forward(self, series: Tensor) -> Tensor:
        """Answers ``(B, K, 1, 1)``."""
        answers: Tensor = self.head(self.body(series).flatten(1))
        return answers[:, :, None, None]


class SceneCNN(nn.Module):
    """Image ``(B, C, H, W)`` to answers ``(B, K, 1, 1)``: four strided convolutions and the mean over space."""

    def __init__(self, bands: int, answers: int, width: int = WIDTH) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer in ((bands, width), (width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width)):
            layers += [nn.Conv2d(inner, outer, 3, stride=2, padding=1), nn.GroupNorm(8, outer), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(4 * width, answers)

    def forward(self, image: Tensor) -> Tensor:
        """Answers ``(B, K, 1, 1)``."""
        answers: Tensor = self.head(self.body(image).mean(dim=(2, 3)))
        return answers[:, :, None, None]


class Network:
    """The network that fits the task, trained from random weights.

    Inputs are standardised by the training samples, band by band and date by date; invalid values count as the mean.
    Quantities are standardised too and learned by the squared error, classes by cross entropy. AdamW with one cycle of
    the learning rate; maps and scenes are flipped and turned at random.

    Args:
        seed: seed of weights and batches.
        steps: number of steps.
        make: from inputs and the number of answers to a network that gives ``(B, K, h, w)`` for standardised
            ``(B, T C, H, W)``, or ``(B, C, T)`` for series; called with the random stream of the seed. By default the
            one that fits the task.
        rate: peak learning rate.
    """

    def __init__(self, seed: int, steps: int = STEPS, *, make: Make | None = None, rate: float = RATE) -> None:
        self._seed, self._steps, self._make, self._rate = seed, steps, make or _network_for, rate
        self._net: nn.Module | None = None
        self._classes = True

    def fit(self, inputs: Inputs, target: Target) -> Self:
        """Train for the fixed number of steps."""
        self._classes = target.classes
        self._mean, self._spread = _moments(inputs)
        self._offset, self._scale = _target_moments(target)
        images = self._standardised(inputs)
        answers = torch.from_numpy(self._scaled(target))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.key(self._seed, "real10 network") % 2**63)
            self._net = self._make(inputs, len(target.names))
            with torch.no_grad():
                self._net(images[:1])  # lazy layers learn their size
            self._train(images, answers)
        return self

    def predict(self, inputs: Inputs) -> NDArray[Any]:
        """Classes ``(N, h, w)`` or quantities ``(N, K, h, w)``."""
        assert self._net is not None, "fit comes first"
        self._net.eval()
        images = self._standardised(inputs)
        with torch.no_grad():
            parts = [self._net(part) for part in images.split(PREDICT_AT_ONCE)]
        answers = torch.cat(parts).double().numpy()
        if self._classes:
            return np.asarray(answers.argmax(axis=1), np.int64)
        return np.asarray(answers * self._scale + self._offset)

    def _train(self, images: Tensor, answers: Tensor) -> None:
        assert self._net is not None
        self._net.train()
        maps = images.ndim == 4
        size = min(BATCH_TILES if maps else BATCH_SAMPLES, len(images))
        optimiser = torch.optim.AdamW(self._net.parameters(), lr=self._rate, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self._rate, total_steps=self._steps)
        stream = rng.generator(self._seed, "real10 batches")
        order: list[int] = []
        for _ in range(self._steps):
            if len(order) < size:
                order = stream.permutation(len(images)).tolist()
            batch, order = order[:size], order[size:]
            image, answer = images[batch], answers[batch]
            if maps:
                image, answer = _turned(image, answer, int(stream.integers(8)))
            loss = _loss(self._net(image), answer, self._classes)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    def _standardised(self, inputs: Inputs) -> Tensor:
        """``(N, T C, H, W)`` for maps and scenes, ``(N, C, T)`` for series."""
        values = np.where(inputs.valid, (inputs.values - self._mean) / self._spread, 0).astype(np.float32)
        if values.shape[3:] == (1, 1):
            return torch.from_numpy(np.ascontiguousarray(values[..., 0, 0].transpose(0, 2, 1)))
        return torch.from_numpy(values.reshape(len(values), -1, *values.shape[3:]))

    def _scaled(self, target: Target) -> NDArray[Any]:
        if target.classes:
            return target.values.astype(np.int64)
        return np.asarray((target.values - self._offset) / self._scale, np.float32)


def _network_for(inputs: Inputs, answers: int) -> nn.Module:
    times, bands, height, width = inputs.values.shape[1:]
    if (height, width) == (1, 1):
        return TemporalCNN(bands, answers)
    if inputs.dense:
        stride = 2 if min(height, width) >= LARGE else 1
        return UNet(times * bands, answers, width=WIDTH, depth=2, stem_stride=stride, norm="channel")
    return SceneCNN(times * bands, answers)


def _moments(inputs: Inputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of the valid values ``(1, T, C, 1, 1)``."""
    axes = (0, 3, 4)
    count = np.maximum(inputs.valid.sum(axis=axes, keepdims=True), 1)
    values = inputs.values.astype(np.float64)
    mean = np.where(inputs.valid, values, 0).sum(axis=axes, keepdims=True) / count
    spread = np.sqrt(np.where(inputs.valid, (values - mean) ** 2, 0).sum(axis=axes, keepdims=True) / count)
    return mean.astype(np.float32), np.where(spread > 1e-9, spread, 1).astype(np.float32)


def _target_moments(target: Target) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of the known quantities ``(1, K, 1, 1)``; 0 and 1 for classes."""
    if target.classes:
        return np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1))
    known = np.moveaxis(target.values, 1, -1)[target.known]
    spread = known.std(axis=0)
    return known.mean(axis=0)[None, :, None, None], np.where(spread > 1e-9, spread, 1.0)[None, :, None, None]


def _turned(image: Tensor, answer: Tensor, which: int) -> tuple[Tensor, Tensor]:
    """One of the eight symmetries of the square; answers of (1, 1) stay what they are."""
    quarter = which % 4 if image.shape[-1] == image.shape[-2] else 2 * (which % 2)
    image, answer = (torch.rot90(each, quarter, (-2, -1)) for each in (image, answer))
    return (image.flip(-1), answer.flip(-1)) if which >= 4 else (image, answer)


def _loss(answers: Tensor, wanted: Tensor, classes: bool) -> Tensor:
    if classes:
        known = (wanted != IGNORE).sum().clamp_min(1)
        return F.cross_entropy(answers, wanted, ignore_index=IGNORE, reduction="sum") / known
    known_here = torch.isfinite(wanted)
    return ((answers - torch.where(known_here, wanted, answers.detach())) ** 2)[known_here].mean()
