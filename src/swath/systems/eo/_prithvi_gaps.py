"""How well a hidden date of a series is made up, by networks and by what needs no training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from swath import rng
from swath.learn.objectives import MaskedReconstruction
from swath.learn.task import evaluation
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.nn.masking import Masked, draw_noise, frame_mask
from swath.nn.patches import unpatchify
from swath.nn.time_place import TimePlace
from swath.systems.eo._world_series import Series
from swath.types import Batch

Told = Literal["told", "absent", "wrong"]


def fingerprint(series: Series) -> str:
    """Twelve hexadecimal digits over values, times and places."""
    digest = hashlib.sha256(series.values.tobytes() + series.time.tobytes())
    digest.update("\n".join(str(grid) for grid in series.grids).encode())
    return digest.hexdigest()[:12]


def split(series: Series, test_places: int, seed: int) -> tuple[Series, Series]:
    """Places to learn from and places of the test."""
    order = rng.generator(seed, "places").permutation(len(series))
    return series.take(sorted(order[test_places:].tolist())), series.take(sorted(order[:test_places].tolist()))


def hidden_dates(batch: Batch, tokens: int, seed: int, number: int) -> Masked:
    """Which date of every sample of a batch is hidden; the same for all networks."""
    samples, dates = batch.inputs["image"].values.shape[:2]
    stream = rng.torch_generator(seed, "hidden date", number)
    return frame_mask(draw_noise(stream, samples, dates), tokens, 1)


def error(task: MaskedReconstruction, samples: Sequence[Batch], seed: int, told: Told = "told") -> float:
    """Mean squared error over the pixels of hidden dates, in standard deviations.

    Args:
        task: the network.
        samples: batches of series.
        seed: of the hidden dates.
        told: time and place as they are; none at all; or those of another sample of the next place.
    """
    total, count = 0.0, 0
    for number, batch in enumerate(samples):
        other = samples[(number + 1) % len(samples)] if told == "wrong" else batch
        made, target, hidden = _restored(task, batch, seed, number, told, other)
        total += float((made - target).square()[hidden].double().sum())
        count += int(hidden.sum())
    return total / count


def _restored(
    task: MaskedReconstruction, batch: Batch, seed: int, number: int, told: Told, other: Batch
) -> tuple[Tensor, Tensor, Tensor]:
    """What was made up, what was there, and which pixels were hidden, all ``(B, T, C, H, W)``."""
    model = task.model
    assert isinstance(model, MaskedAutoencoder)  # made so by the system
    image = batch.inputs["image"]
    with evaluation(task), torch.inference_mode():
        values = task.normalise(image.values, image.valid)
        grid = model.spec.grid(values.shape[1], *values.shape[-2:])
        masked = hidden_dates(batch, grid[1] * grid[2], seed, number)
        about = None
        if model.spec.conditions:
            about = TimePlace.unknown(len(values)) if told == "absent" else about_of(other)
        found = model(values, masked, about=about)
        width = masked.hidden[..., None].expand(*masked.hidden.shape, model.spec.numbers)
        return found.images(), values, unpatchify(width, found.size, found.patch, "tpqc")


def about_of(batch: Batch) -> TimePlace:
    """Year, day and place of every sample."""
    image = batch.inputs["image"]
    year, day = image.year_doy()
    places = image.lonlat()[:, :, image.values.shape[-2] // 2, image.values.shape[-1] // 2].double()
    return TimePlace.of(year=year, day=day, longitude=places[:, 0], latitude=places[:, 1])


def simple_errors(task: MaskedReconstruction, samples: Sequence[Batch], seed: int) -> dict[str, float]:
    """The same error for the nearest date, the mean of the others, and linear interpolation between neighbours."""
    sums = dict.fromkeys(("nearest", "mean", "interpolated"), 0.0)
    count = 0
    for number, batch in enumerate(samples):
        image = batch.inputs["image"]
        values = task.normalise(image.values, image.valid).numpy()
        hidden = hidden_dates(batch, 1, seed, number).hidden.numpy()
        for name, made in simple(values, image.time.numpy(), hidden).items():
            sums[name] += float(((made - values[hidden]) ** 2).sum(dtype=np.float64))
        count += int(values[hidden].size)
    return {name: total / count for name, total in sums.items()}


def simple(values: np.ndarray, time: np.ndarray, hidden: np.ndarray) -> dict[str, np.ndarray]:
    """Each hidden image ``(B, C, H, W)`` from the other dates of its series alone: nearest, mean and interpolated.

    Args:
        values: ``(B, T, C, H, W)``.
        time: seconds ``(B, T)``.
        hidden: bool ``(B, T)``, one date of each series.
    """
    samples = np.arange(len(values))
    place = hidden.argmax(axis=1)
    others = np.stack([np.delete(np.arange(values.shape[1]), each) for each in place])
    seen, when = values[samples[:, None], others], time[samples[:, None], others].astype(np.float64)
    target = time[samples, place].astype(np.float64)[:, None]
    nearest = np.abs(when - target).argmin(axis=1)
    before = np.where(when <= target, when, -np.inf)
    after = np.where(when > target, when, np.inf)
    first, second = before.argmax(axis=1), after.argmin(axis=1)
    both = np.isfinite(before.max(axis=1)) & np.isfinite(after.min(axis=1))
    first, second = np.where(both, first, nearest), np.where(both, second, nearest)
    gap = when[samples, second] - when[samples, first]
    share = np.where(gap > 0, (target[:, 0] - when[samples, first]) / np.where(gap > 0, gap, 1), 0.0)
    weight = share[:, None, None, None]
    return {
        "nearest": seen[samples, nearest],
        "mean": seen.mean(axis=1),
        "interpolated": (1 - weight) * seen[samples, first] + weight * seen[samples, second],
    }


def scales(task: MaskedReconstruction) -> dict[str, float]:
    """The learned factors of the encoder's codes."""
    encoder = task.model.encoder
    found = {}
    for name in ("time", "place"):
        part = getattr(encoder, name)
        if part is not None:
            found[name] = float(part.scale.detach())
    return found
