"""Pixels as rows of a feature table, and reproducible samples of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from swath import rng
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.sensors import BandSet
from swath.types import Batch


@dataclass(frozen=True)
class PixelFeatures:
    """Which numbers describe a pixel: its bands, and the mean around it of some of them.

    Args:
        inputs: the bands wanted, per modality name; matched by name, alias and wavelength. Dates are kept apart.
        mean_bands: bands whose mean over a window is added; means run over valid pixels only.
        window: side of that window in pixels, odd.

    Raises:
        ConfigError: an unknown band in ``mean_bands``, or an even window.
    """

    inputs: Mapping[str, BandSet]
    mean_bands: tuple[str, ...] = ()
    window: int = 5

    def __post_init__(self) -> None:
        known = [name for bands in self.inputs.values() for name in bands.names]
        unknown = [name for name in self.mean_bands if name not in known]
        if unknown:
            raise ConfigError(
                f"The mean over a window is asked for {', '.join(unknown)}",
                expected=f"bands of the inputs: {', '.join(known)}",
                remedy=f"the nearest is: {nearest(unknown[0], known)}",
            )
        if self.window < 1 or self.window % 2 == 0:
            raise ConfigError(f"The window is {self.window}", expected="an odd number of pixels", remedy="use 3 or 5")

    def compute(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features float32 ``(B, F, H, W)``, 0 where invalid, and validity bool ``(B, H, W)``.

        A pixel is valid when all wanted bands are valid there on all dates.

        Raises:
            ContractError: a modality is missing, or modalities differ in size.
            InputError: a band is missing.
        """
        layers: list[Tensor] = []
        means: list[Tensor] = []
        masks: list[Tensor] = []
        for name, wanted in self.inputs.items():
            values, valid = _channels(batch, name, wanted)
            chosen = [c for c, band in enumerate(wanted.names) if band in self.mean_bands]
            if chosen:
                means.append(_window_mean(values[:, :, chosen], valid[:, :, chosen], self.window))
            layers.append(values.flatten(1, 2))
            masks.append(valid.flatten(1, 2).all(dim=1))
        if len({mask.shape for mask in masks}) > 1:
            raise ContractError(
                f"The modalities have the sizes {', '.join(str(tuple(mask.shape[1:])) for mask in masks)}",
                expected="one size for per-pixel features",
                remedy="resample the modalities to one grid",
            )
        ready = torch.stack(masks).all(dim=0)
        features = torch.cat(layers + means, dim=1)
        return torch.where(ready[:, None], features, 0.0), ready

    def labelled(self, batch: Batch, target: str, classes: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Feature rows ``(P, F)``, labels ``(P,)`` and usable places ``(B, H, W)`` of the labelled valid pixels.

        Raises:
            ContractError: the batch has no such target.
            InputError: a label lies outside the classes.
        """
        batch.check({target: "segmentation"})
        features, ready = self.compute(batch)
        usable = ready & batch.target_valid[target].expand_as(ready)
        labels = batch.targets[target][usable]
        if labels.numel() and int(labels.max()) >= len(classes):
            raise InputError(
                f"{int((labels >= len(classes)).sum())} training labels lie beyond the classes (up to {labels.max()})",
                expected=f"0 to {len(classes) - 1} ({', '.join(classes)})",
                remedy="check the legend that the labels were made with",
            )
        return features.movedim(1, -1)[usable], labels, usable


@dataclass(frozen=True)
class PixelSampling:
    """How training pixels are drawn.

    Args:
        max_pixels: number of pixels to keep.
        how: ``uniform`` keeps class shares; ``stratified`` takes up to ``max_pixels / K`` of each class.
    """

    max_pixels: int = 40_000
    how: Literal["uniform", "stratified"] = "uniform"


def sample_pixels(
    batches: Iterable[Batch],
    features: PixelFeatures,
    classes: Sequence[str],
    sampling: PixelSampling,
    *,
    target: str,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A random sample of labelled valid pixels in one pass and bounded memory.

    Every pixel gets a random key from its sample's own stream, and those with the smallest keys stay. The sample is
    therefore the same whatever the batching or the order of the batches.

    Returns:
        features ``(P, F)`` and labels ``(P,)`` in a canonical order.

    Raises:
        InputError: there is no labelled valid pixel, or all of them are of one class.
    """
    kept: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]] = []
    for batch in batches:
        rows, labels, usable = features.labelled(batch, target, classes)
        size = usable[0].numel()
        keys = np.stack([rng.generator(seed, "training pixels", name).random(size) for name in batch.ids])
        part = (rows.numpy(), labels.numpy(), keys.reshape(usable.shape)[usable.numpy()])
        kept.append(_smallest(part, len(classes), sampling))
        if sum(len(labels) for _, labels, _ in kept) > 4 * sampling.max_pixels:
            kept = [_smallest(_joined(kept), len(classes), sampling)]
    require_pixels(sum(len(labels) for _, labels, _ in kept))
    chosen = _smallest(_joined(kept), len(classes), sampling)
    require_two_classes(np.bincount(chosen[1], minlength=len(classes)), classes)
    return chosen[0], chosen[1]


def require_pixels(count: int) -> None:
    """Raises InputError when no pixel is left to train on."""
    if not count:
        raise InputError(
            "There is no labelled valid pixel to train on",
            expected="labels where the wanted bands are valid",
            remedy="check the split, the labels and the masks",
        )


def require_two_classes(counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raises InputError when fewer than two classes occur."""
    require_pixels(int(counts.sum()))
    present = [name for name, count in zip(classes, counts, strict=True) if count]
    if len(present) < 2:
        raise InputError(
            f"The training pixels hold one class only ({present[0]})",
            expected="at least two classes",
            remedy="add labels of other classes, or check the split",
        )


Sample = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]


def _joined(parts: list[Sample]) -> Sample:
    rows, labels, keys = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(labels), np.concatenate(keys)


def _smallest(sample: Sample, classes: int, sampling: PixelSampling) -> Sample:
    """The rows with the smallest keys, overall or of each class, in the order of their keys."""
    rows, labels, keys = sample
    order = np.argsort(keys, kind="stable")
    if sampling.how == "stratified":
        quota = max(sampling.max_pixels // classes, 1)
        chosen = [order[labels[order] == index][:quota] for index in range(classes)]
        order = np.concatenate(chosen)
        order = order[np.argsort(keys[order], kind="stable")]
    else:
        order = order[: sampling.max_pixels]
    return rows[order], labels[order], keys[order]


def _channels(batch: Batch, name: str, wanted: BandSet) -> tuple[Tensor, Tensor]:
    """Values and validity of the wanted bands, both ``(B, T, C, H, W)``."""
    if name not in batch.inputs:
        raise ContractError(
            f"The batch has the inputs {', '.join(batch.inputs)}",
            expected=f"an input '{name}'",
            remedy="name the modality as the loader does",
        )
    modality = batch.inputs[name]
    if modality.has_faces:
        raise ContractError(
            f"'{name}' lies on HEALPix faces",
            expected="rows and columns",
            remedy="regrid it to latitude and longitude for per-pixel baselines",
        )
    indices = list(modality.bands.match(wanted).require())
    values = modality.values[:, :, indices]
    valid = modality.valid.expand_as(modality.values)[:, :, indices]
    return values, valid


def _window_mean(values: Tensor, valid: Tensor, window: int) -> Tensor:
    """Mean of the valid values in a window around each pixel, ``(B, T * C, H, W)``; 0 where none is valid."""
    number = valid.flatten(1, 2).float()
    filled = torch.where(valid, values, 0.0).flatten(1, 2)
    sums = functional.avg_pool2d(filled, window, stride=1, padding=window // 2)
    counts = functional.avg_pool2d(number, window, stride=1, padding=window // 2)
    return torch.where(counts > 0, sums / counts.clamp_min(torch.finfo(torch.float32).tiny), 0.0)
