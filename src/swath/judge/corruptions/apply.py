"""``corrupt``: the one door to all corruptions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from odc.geo.geobox import GeoBox

from swath.errors import ConfigError, InputError, nearest
from swath.judge.corruptions import severities
from swath.judge.corruptions.blur import gaussian_blur, motion_blur
from swath.judge.corruptions.compression import compression_artifacts
from swath.judge.corruptions.gaps import gaps, lost
from swath.judge.corruptions.geometric import Placement, move_nearest, move_values, placement
from swath.judge.corruptions.noise import gaussian_noise, salt_and_pepper_noise, speckle
from swath.judge.corruptions.scale import IMAGE_KINDS, RADAR, Scale, clip_to_possible, scale_for
from swath.judge.corruptions.targets import TargetAdapter, move_targets
from swath.judge.corruptions.tone import brightness_contrast
from swath.judge.corruptions.view import View, radar_is_blind
from swath.judge.corruptions.weather import clouds, haze
from swath.types import Batch, Modality
from swath.types.task import Task

if TYPE_CHECKING:
    from torch import Tensor

WEATHER = ("clouds", "haze")


def corrupt(
    batch: Batch,
    name: str,
    severity: int,
    seed: int,
    *,
    tasks: Mapping[str, Task] | None = None,
    scales: Mapping[str, Scale] | None = None,
    modalities: Sequence[str] | None = None,
    announced: bool = False,
    adapters: Mapping[str, TargetAdapter] | None = None,
) -> Batch:
    """The batch as a worse sensor, worse weather or another pose would have given it; the input stays as it is.

    Tensors have to lie in the memory of the processor.

    What happens to a sample depends on (seed, corruption, id) alone, never on the rest of the batch. The random numbers
    do not depend on the severity, so that one field, direction or pattern grows with it.

    Appearance: values go to the unit scale of their band (colour as it is; else the given scale, or the sample's own
    2nd to 98th percentile), are corrupted there, come back and are clipped to what the kind of band can be. Backscatter
    gets speckle instead of Gaussian noise, and no clouds or haze. Elevation, coordinates and quality flags stay.
    Invalid pixels keep value and mark.

    Geometry: one map per sample for all dates and modalities, their validity, grids and targets; what comes from
    outside the frame is invalid, holds the low end of the scale, and its labels are ignored.

    Args:
        batch: samples; see ``Batch``.
        name: one of ``NAMES`` or the name of a published folder.
        severity: 1 to 5.
        seed: seed of the random streams.
        tasks: task of each target where it cannot be told from integer labels.
        scales: scale of a modality by its name.
        modalities: which inputs to change in appearance; by default all that the corruption makes sense for.
        announced: gaps are marked invalid; by default they are not, as when a provider ships them unnoticed.
        adapters: how to move ragged targets that swath cannot (geometric corruptions only).

    Raises:
        ConfigError: unknown corruption, severity outside 1 to 5, unknown modality, or a target that cannot be moved.
        ContractError: the batch breaks its contract, for example with NaN among its values.
        InputError: clouds or haze on radar alone, images smaller than the motion, faces, or a scale that does not fit.
    """
    name = severities.canonical(name)
    strength = severities.strength(name, severity)
    _check(batch)
    if any(modality.has_faces for modality in batch.inputs.values()):
        raise InputError(
            f"The corruption '{name}' was asked for a grid with faces",
            expected="images on one plane",
            remedy="regrid to a plane first",
        )
    meta = {**batch.meta, "corruption": name, "severity": severity, "severity_set": severities.SEVERITY_SET}
    given = dict(scales or {})
    if name in severities.GEOMETRIC:
        moved = placement(name, strength, batch.ids, seed, _coarsest(batch))
        size = _finest(batch)
        targets, valid = move_targets(batch, moved, name, size, tasks or {}, adapters or {})
        inputs = {key: _moved(each, moved, given.get(key), key) for key, each in batch.inputs.items()}
        return replace(batch, inputs=inputs, targets=targets, target_valid=valid, meta=meta)
    inputs = dict(batch.inputs)
    for key in affected(batch, name, modalities):
        inputs[key] = _worsened(batch, key, name, severity, seed, given.get(key), announced)
    return replace(batch, inputs=inputs, meta=meta)


def _check(batch: Batch) -> None:
    """Raise the sentences of ``Batch.check`` without its costly passes over values that are fine."""
    tensors = all(isinstance(each.values, torch.Tensor) for each in batch.inputs.values())
    # One sum tells whether anything is NaN or infinite; torch takes several passes for it.
    if not tensors or not all(
        each.values.ndim in (5, 6)
        and each.values.dtype == torch.float32
        and each.valid.ndim == each.values.ndim
        and len(each.grid) == each.batch_size == batch.batch_size
        and math.isfinite(float(each.values.numpy().sum(dtype=np.float32)))
        for each in batch.inputs.values()
    ):
        batch.check()


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
        raise radar_is_blind(name, blind[0])
    return tuple(optical)


def _image_bands(modality: Modality, *, radar: bool = True) -> list[int]:
    kinds = IMAGE_KINDS if radar else tuple(kind for kind in IMAGE_KINDS if kind != RADAR)
    return [place for place, band in enumerate(modality.bands) if band.kind in kinds]


def _worsened(
    batch: Batch, key: str, name: str, severity: int, seed: int, scale: Scale | None, announced: bool
) -> Modality:
    """One modality after a corruption of appearance."""
    whole = batch.inputs[key]
    if whole.values.numel() == 0:
        return whole
    places = _image_bands(whole, radar=name not in WEATHER)
    fitting = scale_for(whole, scale, key)
    part, scale = (
        (whole, fitting) if len(places) == len(whole.bands) else (_bands_of(whole, places), fitting.select(places))
    )
    view = View(scale.to_unit(part.values), part.valid, part.bands, batch.ids, seed, name, key)
    values = clip_to_possible(_apply(view, part, scale, severity, lost_mask := _lost(view, severity)), part.bands)
    if not view.whole:
        values = torch.where(part.valid, values, part.values)
    if part is not whole:
        values = whole.values.index_copy(2, torch.tensor(places), values)
    valid = whole.valid & ~lost_mask if announced and lost_mask is not None else whole.valid
    return replace(whole, values=values, valid=valid)


def _bands_of(modality: Modality, places: list[int]) -> Modality:
    shared = modality.valid.shape[2] == 1
    bands = modality.bands.select([modality.bands.names[place] for place in places])
    valid = modality.valid if shared else modality.valid[:, :, places]
    return replace(modality, values=modality.values[:, :, places], valid=valid, bands=bands)


def _lost(view: View, severity: int) -> Tensor | None:
    return lost(view, severities.strength("gaps", severity)) if view.corruption == "gaps" else None


def _apply(view: View, part: Modality, scale: Scale, severity: int, gone: Tensor | None) -> Tensor:
    """Corrupted values in physical units."""
    strength = severities.strength(view.corruption, severity)
    match view.corruption:
        case "gaussian_noise":
            return _noisy(view, part, scale, severity)
        case "salt_and_pepper_noise":
            found = salt_and_pepper_noise(view, strength)
        case "gaussian_blur":
            found = gaussian_blur(view, strength)
        case "motion_blur":
            found = motion_blur(view, strength)
        case "brightness_contrast":
            found = brightness_contrast(view, strength, severities.BRIGHTNESS[severity - 1])
        case "clouds":
            found = clouds(view, strength)
        case "haze":
            found = haze(view, strength)
        case "gaps":
            assert gone is not None
            found = gaps(view, gone)
        case _:
            found = compression_artifacts(view, strength)
    return scale.to_physical(found)


def _noisy(view: View, part: Modality, scale: Scale, severity: int) -> Tensor:
    """Gaussian noise, and speckle in the bands of backscatter."""
    radar = [band.kind == RADAR for band in part.bands]
    looks = severities.LOOKS[severity - 1]
    if all(radar):
        return speckle(view, part.values, looks)
    if not any(radar):
        return scale.to_physical(gaussian_noise(view, severities.strength("gaussian_noise", severity)))
    speckled = speckle(replace(view, modality=f"{view.modality}/radar"), part.values, looks)
    noisy = scale.to_physical(gaussian_noise(view, severities.strength("gaussian_noise", severity)))
    return torch.where(torch.tensor(radar).view(-1, 1, 1), speckled, noisy)


def _moved(modality: Modality, moved: Placement, scale: Scale | None, key: str) -> Modality:
    """One modality after a geometric corruption."""
    strange = [type(grid).__name__ for grid in modality.grid if not isinstance(grid, GeoBox)]
    if strange:
        raise InputError(
            f"The grid of '{key}' is a {strange[0]}, which cannot be turned, scaled or shifted",
            expected="a GeoBox",
            remedy="leave geometric corruptions out for this input",
        )
    if modality.values.numel() == 0:
        return modality
    count, dates, bands, height, width = modality.values.shape
    fitting = scale_for(modality, scale, key)
    fill = fitting.low.expand(count, dates, bands, 1, 1).reshape(count, dates * bands, 1, 1)
    valid = modality.valid.expand(count, dates, bands, height, width).flatten(1, 2)
    shared = modality.valid.shape[2] == 1
    if shared:
        valid = modality.valid.expand(count, dates, 1, height, width)[:, :, 0]
    mask = valid if not shared or bands == 1 else valid.repeat_interleave(bands, dim=1)
    values, seen = move_values(modality.values.flatten(1, 2), mask, moved, fill)
    values, seen = values.view(modality.values.shape), seen.view(modality.values.shape)
    flags = [place for place, band in enumerate(modality.bands) if band.kind == "quality"]
    if flags:
        taken = move_nearest(modality.values[:, :, flags].flatten(1, 2), moved).view(count, dates, -1, height, width)
        values[:, :, flags] = torch.where(seen[:, :, flags], taken, values[:, :, flags])
    boxes = zip(modality.grid, moved.grids((height, width)), strict=True)
    grid = tuple(GeoBox(box.shape, box.affine * change, box.crs) for box, change in boxes if isinstance(box, GeoBox))
    return replace(modality, values=values, valid=seen[:, :, :1] if shared else seen, grid=grid)


def _sizes(batch: Batch) -> list[tuple[int, int]]:
    return [(int(each.values.shape[3]), int(each.values.shape[4])) for each in batch.inputs.values()]


def _coarsest(batch: Batch) -> tuple[int, int]:
    return min(_sizes(batch), key=lambda size: size[0] * size[1])


def _finest(batch: Batch) -> tuple[int, int]:
    """The size of the image that boxes are measured on."""
    return max(_sizes(batch), key=lambda size: size[0] * size[1])
