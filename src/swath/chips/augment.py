"""Random changes of chips, the same for image, validity and label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import rng
from swath.errors import ConfigError, ContractError
from swath.types import Batch, Modality

if TYPE_CHECKING:
    from torch import Tensor

BRIGHTNESS_KINDS = ("reflectance", "radiance", "colour", "variable")
NOISE_KINDS = (*BRIGHTNESS_KINDS, "backscatter", "brightness_temperature")
TRANSPOSE, FLIP_ROWS, FLIP_COLUMNS = 4, 2, 1


@dataclass(frozen=True)
class Augment:
    """Flips, quarter turns, brightness and noise, drawn per chip and epoch.

    Each chip has its own random stream ``(seed, "augment", epoch, id)``, so that what happens to it depends neither on
    the batch it falls into nor on the number of workers. Geometry is one of the eight symmetries of the square (four
    where a modality is not square, which cannot be turned by a quarter), the same for all dates, modalities (whatever
    their resolution), masks, labels, quantities and grids: every number stays at its place on Earth. Values of
    coordinate bands therefore move with their pixels, which is right; a band that is a component along x or y (wind,
    slope) would need another sign, and must not be flipped.
    Invalid pixels keep their fill.

    Args:
        flips: mirror along x and y.
        rotations: turn by quarter turns.
        brightness: values are multiplied by a number from 1 - b to 1 + b, one per chip and modality and never one per
            date, so that what differs between dates stays a change, in bands of reflectance, radiance, colour and plain
            variables; 0 to below 1.
        noise: Gaussian noise, in shares of the band's standard deviation over the valid pixels of the chip and date, in
            the same bands and those of backscatter and brightness temperature.

    Raises:
        ConfigError: a number is out of range.
    """

    flips: bool = True
    rotations: bool = True
    brightness: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.brightness < 1.0:
            raise ConfigError(f"brightness = {self.brightness}", expected="0 to below 1", remedy="change it")
        if not 0.0 <= self.noise < np.inf:
            raise ConfigError(f"noise = {self.noise}", expected="a number of at least 0", remedy="change it")

    def __call__(self, batch: Batch, *, seed: int, epoch: int) -> Batch:
        """A changed batch of the same shapes.

        Args:
            batch: modalities of any shapes in pixels that show the same ground, and targets with the axes
                (sample, ..., y, x) on the pixels of one of them, or without pixels.
            seed: seed of the random streams.
            epoch: number of the epoch.

        Raises:
            ContractError: a target has other pixels than every modality, or a grid is no GeoBox.
        """
        streams = [rng.generator(seed, "augment", epoch, name) for name in batch.ids]
        shapes = _shapes(batch)
        symmetries = self._draw(streams, square=all(rows == columns for rows, columns in shapes))
        inputs = {}
        for name, modality in sorted(batch.inputs.items()):
            # A stream per modality: else the dates of one would decide what another meets.
            own = [rng.generator(seed, "augment", epoch, sample, name) for sample in batch.ids]
            inputs[name] = self._shake(_moved(modality, symmetries), streams if len(batch.inputs) == 1 else own)
        return replace(
            batch,
            inputs=inputs,
            targets=_move_all(batch.targets, symmetries, shapes),
            target_valid=_move_all(batch.target_valid, symmetries, shapes),
        )

    def _draw(self, streams: list[np.random.Generator], *, square: bool) -> NDArray[np.int64]:
        """Symmetry of each chip: bits for transposing, then flipping rows and columns."""
        codes = np.array([stream.integers(0, 8) for stream in streams], np.int64)
        if self.flips and self.rotations:
            return codes if square else codes & (FLIP_ROWS | FLIP_COLUMNS)
        if self.flips:
            return codes & (FLIP_ROWS | FLIP_COLUMNS)
        if self.rotations:
            turns = np.array([0, TRANSPOSE | FLIP_COLUMNS, FLIP_ROWS | FLIP_COLUMNS, TRANSPOSE | FLIP_ROWS])
            return turns[codes % 4] if square else turns[[0, 2]][codes % 2]
        return np.zeros_like(codes)

    def _shake(self, modality: Modality, streams: list[np.random.Generator]) -> Modality:
        """Brightness and noise, where valid."""
        import torch

        if self.brightness == 0.0 and self.noise == 0.0:
            return modality
        values = modality.values.clone()
        valid = modality.valid.expand_as(values)
        factors = np.array([stream.uniform(-1.0, 1.0) for stream in streams]) * self.brightness + 1.0
        bright = torch.tensor([band.kind in BRIGHTNESS_KINDS for band in modality.bands])
        values[:, :, bright] *= torch.from_numpy(factors.astype(np.float32))[:, None, None, None, None]
        if self.noise > 0.0:
            noisy = torch.tensor([band.kind in NOISE_KINDS for band in modality.bands])
            drawn = np.stack([stream.standard_normal(values.shape[1:], dtype=np.float32) for stream in streams])
            spread = _spread(values, valid)[:, :, noisy]
            values[:, :, noisy] += self.noise * spread * torch.from_numpy(drawn)[:, :, noisy]
        return replace(modality, values=torch.where(valid, values, modality.values))


def _spread(values: Tensor, valid: Tensor) -> Tensor:
    """Standard deviation over valid pixels per sample, date and band, ``(B, T, C, 1, 1)``."""
    import torch

    count = valid.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    mean = torch.where(valid, values, 0.0).sum(dim=(-2, -1), keepdim=True) / count
    return (torch.where(valid, values - mean, 0.0).square().sum(dim=(-2, -1), keepdim=True) / count).sqrt()


def _shapes(batch: Batch) -> set[tuple[int, int]]:
    """Rows and columns of the modalities."""
    if any(modality.has_faces for modality in batch.inputs.values()):
        raise ContractError(
            "An input has faces",
            expected="rows and columns, which can be mirrored and turned",
            remedy="augment chips of map products only",
        )
    return {(int(m.values.shape[-2]), int(m.values.shape[-1])) for m in batch.inputs.values()}


def _moved(modality: Modality, symmetries: NDArray[np.int64]) -> Modality:
    return replace(
        modality,
        values=move(modality.values, symmetries),
        valid=modality.valid if _flat(modality.valid) else move(modality.valid, symmetries),
        grid=tuple(move_grid(grid, int(code)) for grid, code in zip(modality.grid, symmetries, strict=True)),
    )


def _flat(tensor: Tensor) -> bool:
    return tensor.shape[-2:] == (1, 1)


def _move_all(
    tensors: Mapping[str, Any], symmetries: NDArray[np.int64], shapes: set[tuple[int, int]]
) -> dict[str, Any]:
    """Move targets that are maps; those without pixels stay."""
    import torch

    moved = {}
    for name, tensor in tensors.items():
        mapped = isinstance(tensor, torch.Tensor) and tensor.ndim >= 3 and not _flat(tensor)
        if mapped and tuple(tensor.shape[-2:]) not in shapes:
            raise ContractError(
                f"The target '{name}' has the shape {tuple(tensor.shape)} and the inputs {sorted(shapes)} pixels",
                expected="the same pixels as an input",
                remedy="bring the target to the grid of the inputs before augmenting, or augment none",
            )
        moved[name] = move(tensor, symmetries) if mapped else tensor
    return moved


def move(tensor: Tensor, symmetries: NDArray[np.int64]) -> Tensor:
    """Apply a symmetry of the square to each sample ``(B, ..., y, x)``: transpose, then flip rows, then columns.

    Args:
        tensor: square maps where a symmetry transposes.
        symmetries: a sum of TRANSPOSE, FLIP_ROWS and FLIP_COLUMNS per sample.
    """
    import torch

    if len(tensor) != len(symmetries):
        # One mask shared by all samples; from here on each sample needs its own.
        tensor = tensor.expand(len(symmetries), *tensor.shape[1:])
    result = tensor.clone()
    for code in np.unique(symmetries).tolist():
        chosen = torch.from_numpy(symmetries == code)
        part = tensor[chosen]
        part = part.transpose(-2, -1) if code & TRANSPOSE else part
        axes = [axis for axis, bit in ((-2, FLIP_ROWS), (-1, FLIP_COLUMNS)) if code & bit]
        result[chosen] = part.flip(axes) if axes else part
    return result


def move_grid(grid: Any, symmetry: int) -> GeoBox:
    """The grid of a moved chip: each pixel keeps its place on Earth.

    Raises:
        ContractError: the grid is no GeoBox.
    """
    if not isinstance(grid, GeoBox):
        raise ContractError(
            f"A chip has a grid of type {type(grid).__name__}",
            expected="a GeoBox, the one grid that can be mirrored",
            remedy="augment chips of map products only",
        )
    if symmetry == 0:
        return grid
    rows, columns = (int(length) for length in grid.shape)
    affine = grid.affine
    if symmetry & TRANSPOSE:
        affine, rows, columns = affine @ Affine(0, 1, 0, 1, 0, 0), columns, rows
    if symmetry & FLIP_ROWS:
        affine = affine @ Affine(1, 0, 0, 0, -1, rows)
    if symmetry & FLIP_COLUMNS:
        affine = affine @ Affine(-1, 0, columns, 0, 1, 0)
    return GeoBox((rows, columns), affine, grid.crs)
