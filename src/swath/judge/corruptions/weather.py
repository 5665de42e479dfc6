"""Clouds with their shadows, and haze: both depend on the wavelength.

Aerosol optical depth falls as a power of the wavelength (Angstrom 1929); with the exponent 1.3 of continental aerosol
the transmission of a band is ``t_b = t^((0.55 / lambda_b)^1.3)``. Clouds are white up to one micrometre and darker
beyond, where water and ice absorb, and cold in the thermal bands. Their brightness is given on the unit scale of the
band, so it follows what is bright in these images and is no radiative transfer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional

from swath.judge.corruptions.view import VISIBLE_UM, View

if TYPE_CHECKING:
    from torch import Tensor

ANGSTROM = 1.3
AIRLIGHT = 0.9
RAMP = 0.3
"""The haze is up to this share thicker on one side of the frame and thinner on the other."""
CLOUD_UM = (1.0, 1.25, 1.6, 2.2, 3.0)
CLOUD_UNIT = (0.95, 0.85, 0.65, 0.45, 0.05)
"""Brightness of thick cloud on the unit scale, linear between these wavelengths."""
SHADOW = 0.35
"""What thick cloud takes from the ground in its shadow."""
_OCTAVES = (3, 6, 12, 24, 48)
_MARGIN = 0.08
_SOFT = 0.5


def clouds(view: View, cover: float) -> None:
    """``x (1 - 0.35 s) (1 - a) + brightness a``: opacity a, and s the opacity of the cloud whose shadow falls here.

    The opacity is a smooth step of fractal value noise, placed so that a > 0.5 in the share ``cover`` of the frame. The
    shadow is that of the same clouds, shifted by up to 8 % of the longer side in a direction of its own.
    """
    height, width = view.shape[3:]
    margin = max(1, round(_MARGIN * max(height, width)))
    field, shifts = _fractal(view, max(height, width) + 2 * margin, margin)
    here = _windows(field, torch.zeros_like(shifts), margin, (height, width))
    flat = here.flatten(2)
    place = min(flat.shape[2], max(1, round((1 - cover) * flat.shape[2])))
    middle = flat.kthvalue(place, dim=2).values[..., None, None]
    soft = _SOFT * flat.std(dim=2, correction=0).clamp_min(1e-6)[..., None, None]
    opacity = _smooth_step((here - middle) / soft + 0.5)[:, :, None]
    shadow = _smooth_step((_windows(field, shifts, margin, (height, width)) - middle) / soft + 0.5)[:, :, None]
    bright = torch.from_numpy(np.interp(view.wavelengths_um().numpy(), CLOUD_UM, CLOUD_UNIT).astype(np.float32))
    ground = view.values.mul_(1 - SHADOW * shadow)
    ground.add_((bright - ground).mul_(opacity))


def haze(view: View, transmission: float) -> None:
    """``x t_b + 0.9 (1 - t_b)``, the optical depth with a slow ramp of +- 30 % across the frame.

    The ramp is a sum over x and y, so that the transmission is a product of one factor a column and one a row.
    """
    count, dates, _, height, width = view.shape
    angles = np.array([stream.uniform(0, 2 * np.pi, dates) for stream in view.streams(shared=True)])
    angles = angles.reshape(count, dates, 1, 1)
    reach = np.abs(np.cos(angles)) + np.abs(np.sin(angles))
    depth = -np.log(transmission) * (VISIBLE_UM / view.wavelengths_um().double().numpy()[:, :, 0]) ** ANGSTROM
    x, y = ((np.arange(length) + 0.5) / length * 2 - 1 for length in (width, height))
    columns = np.exp(-depth * (1 + RAMP * np.cos(angles) / reach * x)).astype(np.float32)
    rows = np.exp(-depth * RAMP * np.sin(angles) / reach * y).astype(np.float32)
    values = view.values.numpy()
    np.subtract(values, np.float32(AIRLIGHT), out=values)
    np.multiply(values, columns[..., None, :], out=values)
    np.multiply(values, rows[..., :, None], out=values)
    np.add(values, np.float32(AIRLIGHT), out=values)


def _fractal(view: View, side: int, margin: int) -> tuple[Tensor, Tensor]:
    """Value noise ``(B, T, side, side)`` of five octaves, and the shift ``(B, T, 2)`` of the shadows in pixels."""
    count, dates = view.shape[:2]
    lattices = [np.empty((count, dates, cells + 1, cells + 1), np.float32) for cells in _OCTAVES]
    shifts = np.empty((count, dates, 2))
    for place, stream in enumerate(view.streams(shared=True)):
        angle = stream.uniform(0, 2 * np.pi, dates)
        shifts[place] = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        for lattice in lattices:
            lattice[place] = stream.standard_normal(lattice.shape[1:], dtype=np.float32)
    field = torch.zeros(count, dates, side, side)
    for octave, lattice in enumerate(lattices):
        finer = functional.interpolate(torch.from_numpy(lattice), (side, side), mode="bicubic", align_corners=True)
        field.add_(finer, alpha=0.5**octave)
    return field, torch.from_numpy(np.rint(shifts * margin)).long()


def _windows(field: Tensor, shifts: Tensor, margin: int, size: tuple[int, int]) -> Tensor:
    """The window ``(B, T, H, W)`` of each field, moved by its shift; one gather for all."""
    rows = shifts[..., 0, None] + margin + torch.arange(size[0])
    columns = shifts[..., 1, None] + margin + torch.arange(size[1])
    samples = torch.arange(field.shape[0]).view(-1, 1, 1, 1)
    dates = torch.arange(field.shape[1]).view(1, -1, 1, 1)
    return field[samples, dates, rows[..., :, None], columns[..., None, :]]


def _smooth_step(share: Tensor) -> Tensor:
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)
