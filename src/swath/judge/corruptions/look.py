"""Corruptions of appearance on one modality: to the unit scale of its bands, worse, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from swath.errors import ConfigError, InputError, nearest
from swath.judge.corruptions import severities
from swath.judge.corruptions.blur import gaussian_blur, motion_blur
from swath.judge.corruptions.compression import compression_artifacts
from swath.judge.corruptions.gaps import gaps, lost
from swath.judge.corruptions.noise import gaussian_noise, salt_and_pepper_noise, speckle
from swath.judge.corruptions.parts import for_each_part
from swath.judge.corruptions.scale import IMAGE_KINDS, RADAR, Scale, clip_to_possible, scale_for
from swath.judge.corruptions.tone import brightness_contrast
from swath.judge.corruptions.view import View
from swath.judge.corruptions.weather import clouds, haze
from swath.types import Batch, Modality

if TYPE_CHECKING:
    from torch import Tensor

WEATHER = ("clouds", "haze")
_BY_TORCH = ("clouds",)
"""What torch spreads over threads by itself."""


@dataclass(frozen=True)
class Wanted:
    """Which corruption, how strong, and with which random numbers.

    Args:
        name: canonical name.
        severity: 1 to 5.
        seed: seed of the random streams.
        announced: whether gaps are marked invalid.
    """

    name: str
    severity: int
    seed: int
    announced: bool = False

    @property
    def strength(self) -> float:
        """The number behind the severity."""
        return severities.strength(self.name, self.severity)


def affected(batch: Batch, name: str, modalities: Sequence[str] | None = None) -> tuple[str, ...]:
    """The modalities whose look a corruption changes.

    Raises:
        ConfigError: an unknown modality, or none with bands of an image.
        InputError: clouds or haze on radar alone.
    """
    unknown = [key for key in modalities or () if key not in batch.inputs]
    if unknown:
        raise ConfigError(
            f"There is no input '{unknown[0]}'",
            expected=f"one of {', '.join(batch.inputs)}",
            remedy=f"the nearest are: {nearest(unknown[0], batch.inputs)}",
        )
    found = [key for key in modalities or batch.inputs if _image_bands(batch.inputs[key])]
    if not found:
        raise ConfigError(
            f"No input has bands whose look '{name}' could change",
            expected=f"bands of the kinds {', '.join(IMAGE_KINDS)}",
            remedy="use geometric corruptions, or leave this batch out",
        )
    if name not in WEATHER:
        return tuple(found)
    optical = [key for key in found if _image_bands(batch.inputs[key], radar=False)]
    blind = [key for key in found if key not in optical]
    if blind and (modalities is not None or not optical):
        raise InputError(
            f"'{name}' was asked for '{blind[0]}', which is radar backscatter",
            expected="optical or thermal bands: radar sees through clouds and haze",
            remedy="choose other corruptions for this input, or name the optical inputs in 'modalities'",
        )
    return tuple(optical)


def worsened(batch: Batch, key: str, wanted: Wanted, scale: Scale | None) -> Modality:
    """One modality after a corruption of appearance; values of the bands that it leaves alone are the same.

    Raises:
        InputError: a scale that does not fit, or images smaller than the motion.
    """
    whole = batch.inputs[key]
    if whole.values.numel() == 0:
        return whole
    places = _image_bands(whole, radar=wanted.name not in WEATHER)
    fitting = scale_for(whole, scale, key)
    part = whole
    if len(places) < len(whole.bands):
        part, fitting = _bands_of(whole, places), fitting.select(places)
    count, dates, _, height, width = part.values.shape
    # NumPy asks for large pages where torch does not, which halves the cost of a new array of this size.
    found = torch.from_numpy(np.empty(part.values.shape, np.float32))
    gone = np.zeros((count, dates, 1, height, width), np.bool_) if wanted.name == "gaps" else None

    def work(samples: slice) -> None:
        fine, scaled = fitting.of(samples), found[samples]
        fine.to_unit(part.values[samples], scaled)
        view = View(scaled, part.valid[samples], part.bands, batch.ids[samples], wanted.seed, wanted.name, key)
        if gone is not None:
            gone[samples] = lost(view, wanted.strength)
            gaps(view, gone[samples])
        else:
            _apply(view, wanted)
        fine.to_physical(scaled)
        if wanted.name == "gaussian_noise":
            _speckled(view, part.values[samples], wanted)
        clip_to_possible(scaled, part.bands)
        if not view.whole:
            np.copyto(scaled.numpy(), part.values[samples].numpy(), where=~view.valid.numpy())

    for_each_part(work, count, part.values[0].numel(), spread=wanted.name not in _BY_TORCH)
    values = found if part is whole else whole.values.index_copy(2, torch.tensor(places), found)
    valid = whole.valid
    if wanted.announced and gone is not None:
        valid = valid & ~torch.from_numpy(gone)
    return replace(whole, values=values, valid=valid)


def _image_bands(modality: Modality, *, radar: bool = True) -> list[int]:
    kinds = IMAGE_KINDS if radar else tuple(kind for kind in IMAGE_KINDS if kind != RADAR)
    return [place for place, band in enumerate(modality.bands) if band.kind in kinds]


def _bands_of(modality: Modality, places: list[int]) -> Modality:
    shared = modality.valid.shape[2] == 1
    bands = modality.bands.select([modality.bands.names[place] for place in places])
    valid = modality.valid if shared else modality.valid[:, :, places]
    return replace(modality, values=modality.values[:, :, places], valid=valid, bands=bands)


def _apply(view: View, wanted: Wanted) -> None:
    """Corrupt on the unit scale, in place."""
    match wanted.name:
        case "gaussian_noise" if not all(band.kind == RADAR for band in view.bands):
            gaussian_noise(view, wanted.strength)
        case "gaussian_noise":
            pass  # speckle, which needs physical values
        case "salt_and_pepper_noise":
            salt_and_pepper_noise(view, wanted.strength)
        case "gaussian_blur":
            gaussian_blur(view, wanted.strength)
        case "motion_blur":
            motion_blur(view, wanted.strength)
        case "brightness_contrast":
            brightness_contrast(view, wanted.strength, severities.BRIGHTNESS[wanted.severity - 1])
        case "clouds":
            clouds(view, wanted.strength)
        case "haze":
            haze(view, wanted.strength)
        case _:
            compression_artifacts(view, wanted.strength)


def _speckled(view: View, physical: Tensor, wanted: Wanted) -> None:
    """Bands of backscatter get speckle of the clean values in place of Gaussian noise."""
    radar = np.array([band.kind == RADAR for band in view.bands])
    if not radar.any():
        return
    stream = view if radar.all() else replace(view, modality=f"{view.modality}/radar")
    found = speckle(stream, physical, severities.LOOKS[wanted.severity - 1])
    np.copyto(view.values.numpy(), found.numpy(), where=radar[:, None, None])
