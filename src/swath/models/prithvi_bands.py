"""The embedding of patches for other bands than the published ones, and stacked files cut into dates and bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.sensors import Band, BandSet

New = Literal["refuse", "mean", "zero"]
"""What a band without a published counterpart gets: nothing (an error), the mean over the published bands, or zeros."""
Stacking = Literal["frame_major", "band_major"]


def kernel_for(
    kernel: Tensor, published: BandSet, wanted: BandSet, *, new: New = "refuse", inflate: bool = False
) -> tuple[Tensor, list[tuple[str, str]]]:
    """A kernel for other bands: slices copied by name, alias or wavelength, the rest as told.

    Args:
        kernel: ``(D, C, t, p, q)`` of the published bands.
        published: the C bands.
        wanted: the bands that will be fed.
        new: see ``New``.
        inflate: multiply all by C / number of wanted bands, so that the sum over bands keeps its size (as I3D does for
            frames, Carreira and Zisserman, CVPR 2017).

    Returns:
        The kernel ``(D, len(wanted), t, p, q)`` and a row (band, where its slice comes from) per wanted band.

    Raises:
        ConfigError: ``new`` is another word.
        ContractError: the kernel has another number of bands.
        InputError: no wanted band is published, or one is not and ``new`` is ``refuse``.
    """
    if new not in get_args(New):
        raise ConfigError(f"'new' is {new!r}", expected=" or ".join(get_args(New)), remedy="choose one of them")
    if kernel.shape[1] != len(published):
        raise ContractError(
            f"The embedding of patches has {kernel.shape[1]} bands",
            expected=f"{len(published)}: {', '.join(published.names)}",
            remedy="give the file that was trained on these bands",
        )
    match = published.match(wanted)
    absent = [band for band, index in zip(wanted, match.indices, strict=True) if index is None]
    if len(absent) == len(wanted) or (absent and new == "refuse"):
        raise InputError(
            f"No published band serves {'; '.join(f'{band.name} ({near(band, published)})' for band in absent)}",
            expected=f"some of {', '.join(published.names)}, by name, alias or wavelength",
            remedy="leave these bands out, or let them start from the others with new='mean' or new='zero'",
        )
    start = kernel.mean(1) if new == "mean" else torch.zeros_like(kernel[:, 0])
    slices = [start if index is None else kernel[:, index] for index in match.indices]
    rows = []
    for band, index, how in zip(wanted, match.indices, match.how, strict=True):
        beginning = f"new: {'mean of all published bands' if new == 'mean' else 'zeros'}"
        rows.append((band.name, beginning if index is None else f"{published[index].name} of the weights, by {how}"))
    made = torch.stack(slices, dim=1)
    return (made * (len(published) / len(wanted)) if inflate else made), rows


def near(band: Band, known: BandSet) -> str:
    """What comes closest to a band that nothing serves: the nearest wavelength, else the nearest names."""
    placed = [item for item in known if item.wavelength_nm is not None and item.kind == band.kind]
    if band.wavelength_nm is None or not placed:
        return f"nearest names: {nearest(band.name, known.names)}"
    wavelength = band.wavelength_nm
    closest = min(placed, key=lambda item: abs((item.wavelength_nm or 0.0) - wavelength))
    return f"{wavelength:g} nm; nearest is {closest.name} at {closest.wavelength_nm:g} nm"


def split_frames(stacked: Tensor, dates: int, stacking: Stacking) -> Tensor:
    """Dates and bands of a file that stacks both on its band axis.

    Files of three dates for the first version exist with 18 bands, and sources disagree about their order: the data
    set is described as date by date, the published loaders read it band by band. It has to be said; ``stacking_order``
    tells what that means for each channel.

    Args:
        stacked: ``(B, dates * C, H, W)``.
        dates: number of dates T.
        stacking: ``frame_major`` (all bands of the first date first) or ``band_major`` (all dates of the first band).

    Returns:
        ``(B, T, C, H, W)``.

    Raises:
        ConfigError: the stacking is another word.
        ContractError: the channels are no multiple of the dates.
    """
    _check_stacking(stacking)
    if stacked.ndim != 4 or dates < 1 or stacked.shape[1] % dates:
        raise ContractError(
            f"The stack has shape {tuple(stacked.shape)} for {dates} dates",
            expected="(sample, dates * bands, y, x)",
            remedy="check the number of dates",
        )
    if stacking == "frame_major":
        return stacked.unflatten(1, (dates, -1))
    return stacked.unflatten(1, (-1, dates)).transpose(1, 2)


def stacking_order(dates: int, bands: Sequence[str], stacking: Stacking) -> list[tuple[int, int, str]]:
    """What each channel of a stacked file is taken for: (channel from 1, date from 1, band).

    Raises:
        ConfigError: the stacking is another word.
    """
    _check_stacking(stacking)
    steps = range(1, dates + 1)
    if stacking == "frame_major":
        order = [(date, band) for date in steps for band in bands]
    else:
        order = [(date, band) for band in bands for date in steps]
    return [(channel, date, band) for channel, (date, band) in enumerate(order, start=1)]


def _check_stacking(stacking: str) -> None:
    if stacking not in get_args(Stacking):
        raise ConfigError(
            f"The stacking is {stacking!r}",
            expected="frame_major (date by date) or band_major (band by band)",
            remedy="look at one channel that you know",
        )
