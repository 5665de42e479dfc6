"""Geometric corruptions: one affine map per sample, for image, validity, labels and grid alike.

Pixel p of the frame (edge coordinates: 0 is the outer edge of the first pixel, 0.5 its centre) goes to
``c + L (p - c) + t`` with the centre c. Values are bilinear; a pixel is valid when every pixel it mixes is. A label is
the class with the largest bilinear share, which is the nearest pixel's except where the three others agree against it:
this way a label always is what a perfect reader of the moved image would say. Where a label is unknown or outside the
frame among those mixed, it is ignored.

Source coordinates are rounded to 1/1024 pixel. Weights are then exact in float32, and so are sums of them: image and
label agree to the last pixel, ties included, and quarter turns move pixels without mixing any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional
from affine import Affine
from numpy.typing import NDArray

from swath import rng
from swath.types import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
_STEP = 1024.0


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the pixels of B frames go.

    Args:
        linear: float64 ``(B, 2, 2)`` over x, y.
        shift: float64 ``(B, 2)`` x, y in pixels of ``frame``.
        frame: height and width of the frame that ``shift`` is measured in.
    """

    linear: Floats
    shift: Floats
    frame: tuple[int, int]

    def matrices(self, size: tuple[int, int]) -> Floats:
        """``(B, 2, 3)``: input to output edge coordinates of a raster of this size that covers the same ground."""
        stretch = np.array([size[1] / self.frame[1], size[0] / self.frame[0]])
        linear = self.linear * stretch[:, None] / stretch[None, :]
        centre = np.array([size[1], size[0]]) / 2
        offset = centre - linear @ centre + self.shift * stretch
        return np.concatenate([linear, offset[..., None]], axis=2)

    def sources(self, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Where each output pixel comes from: x and y of pixel centres, float32 ``(B, H, W)``, and whether inside."""
        matrices = self.matrices(size)
        inverse = np.linalg.inv(matrices[:, :, :2])
        height, width = size
        x = (np.arange(width) + 0.5) - matrices[:, 0, 2, None]
        y = (np.arange(height) + 0.5) - matrices[:, 1, 2, None]
        found = []
        for axis in (0, 1):
            by_x, by_y = inverse[:, axis, 0, None, None], inverse[:, axis, 1, None, None]
            place = by_x * x[:, None, :] + by_y * y[:, :, None] - 0.5
            found.append(np.rint(place * _STEP) / _STEP)
        inside = np.ones(found[0].shape, np.bool_)
        for place, length in zip(found, (width, height), strict=True):
            inside &= (place >= -0.5) & (place < length - 0.5)
        across, down = (torch.from_numpy(place.astype(np.float32)) for place in found)
        return across, down, torch.from_numpy(inside)

    def whole_steps(self, size: tuple[int, int]) -> list[tuple[int, int]] | None:
        """Rows and columns to shift by, where every map is a shift by whole pixels of this raster; else None."""
        shift = self.shift * [size[1] / self.frame[1], size[0] / self.frame[0]]
        if (self.linear != np.eye(2)).any() or (shift != np.rint(shift)).any():
            return None
        return [(int(y), int(x)) for x, y in shift]

    def grids(self, size: tuple[int, int]) -> list[Affine]:
        """Per sample the map from output to input edge coordinates, to be multiplied to the affine of a grid."""
        return [~Affine(*matrix.ravel()) for matrix in self.matrices(size)]


def placement(name: str, strength: float, ids: tuple[str, ...], seed: int, frame: tuple[int, int]) -> Placement:
    """The maps of a corruption for these samples; signs and directions do not depend on the strength.

    Args:
        name: ``rotate`` (degrees, random sign, positive from the x towards the y axis), ``scale`` (factor about the
            centre; below 1 the rest of the frame stays empty) or ``translate`` (share of each side in a random
            direction, rounded to whole pixels of ``frame``).
        strength: the number behind the severity.
        ids: B names.
        seed: seed of the streams.
        frame: height and width of the coarsest raster, so that whole pixels there are whole in finer ones.
    """
    linear = np.tile(np.eye(2), (len(ids), 1, 1))
    shift = np.zeros((len(ids), 2))
    for place, name_of_sample in enumerate(ids):
        stream = rng.generator(seed, f"corruption/{name}", name_of_sample)
        if name == "rotate":
            angle = np.radians(strength) * (1 - 2 * stream.integers(0, 2))
            cosine, sine = (0.0 if abs(part) < 1e-12 else part for part in (np.cos(angle), np.sin(angle)))
            linear[place] = [[cosine, -sine], [sine, cosine]]
        elif name == "scale":
            linear[place] *= strength
        else:
            angle = stream.uniform(0, 2 * np.pi)
            shift[place] = np.rint(strength * np.array([np.cos(angle) * frame[1], np.sin(angle) * frame[0]]))
    return Placement(linear, shift, frame)


def move_values(values: Tensor, valid: Tensor, moved: Placement, fill: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear values and strict validity.

    Args:
        values: float32 ``(B, N, H, W)``.
        valid: bool ``(B, N or 1, H, W)``.
        moved: where pixels go.
        fill: what invalid places hold, broadcastable to ``values``.
    """
    size = (int(values.shape[2]), int(values.shape[3]))
    steps = moved.whole_steps(size)
    if steps is not None:
        return _shifted(values, valid, steps, fill)
    across, down, inside = moved.sources(size)
    found = _bilinear(values, across, down)
    inside = inside[:, None]
    # Weights are exact, so the share of valid sources is exactly 1 where all of them are.
    seen = inside if valid.numpy().all() else inside & (_bilinear(valid.float(), across, down) == 1)
    moved_values, hidden = found.numpy(), ~seen.numpy()
    np.copyto(moved_values, fill.expand(*values.shape[:2], 1, 1).numpy(), where=hidden)
    return torch.from_numpy(moved_values), seen.expand(-1, valid.shape[1], -1, -1)


def _shifted(values: Tensor, valid: Tensor, steps: list[tuple[int, int]], fill: Tensor) -> tuple[Tensor, Tensor]:
    """``move_values`` for shifts by whole pixels: a copy."""
    height, width = values.shape[2:]
    found = fill.expand(values.shape).numpy().copy()
    seen = np.zeros(tuple(valid.shape), np.bool_)
    given, usable = values.numpy(), valid.numpy()
    for place, (down, across) in enumerate(steps):
        rows, rows_from = slice(max(down, 0), height + min(down, 0)), slice(max(-down, 0), height - max(down, 0))
        columns = slice(max(across, 0), width + min(across, 0))
        columns_from = slice(max(-across, 0), width - max(across, 0))
        mask = usable[place, :, rows_from, columns_from]
        seen[place, :, rows, columns] = mask
        np.copyto(found[place, :, rows, columns], given[place, :, rows_from, columns_from], where=mask)
    return torch.from_numpy(found), torch.from_numpy(seen)


def move_labels(labels: Tensor, valid: Tensor, moved: Placement) -> tuple[Tensor, Tensor]:
    """Labels int64 ``(B, H, W)`` by the largest bilinear share (ties: the lowest class), and where valid."""
    height, width = labels.shape[1:]
    across, down, inside = moved.sources((height, width))
    known = labels.masked_fill(~valid, IGNORE)
    sources, weights = _four(known, across, down)
    shares = torch.stack([((sources == each) * weights).sum(dim=0) for each in sources])
    last = torch.iinfo(torch.int64).max
    winner = torch.where(shares == shares.amax(dim=0), sources, last).amin(dim=0)
    usable = inside & ~((sources == IGNORE) & (weights > 0)).any(dim=0)
    return winner.masked_fill(~usable, IGNORE), usable


def move_nearest(values: Tensor, moved: Placement) -> Tensor:
    """The value of the nearest pixel ``(B, N, H, W)``, for flags that cannot be mixed."""
    height, width = values.shape[2:]
    across, down, _ = moved.sources((height, width))
    columns = (across + 0.5).floor().long().clamp(0, width - 1)
    rows = (down + 0.5).floor().long().clamp(0, height - 1)
    place = (rows * width + columns).flatten(1)[:, None].expand(-1, values.shape[1], -1)
    return values.flatten(2).gather(2, place).view(values.shape)


def _four(labels: Tensor, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """The four labels ``(4, B, H, W)`` that a pixel mixes, and their weights."""
    height, width = labels.shape[1:]
    left, top = across.floor(), down.floor()
    right_share, low_share = across - left, down - top
    sources, weights = [], []
    for row, tall in ((top, 1 - low_share), (top + 1, low_share)):
        for column, wide in ((left, 1 - right_share), (left + 1, right_share)):
            place = row.long().clamp(0, height - 1) * width + column.long().clamp(0, width - 1)
            sources.append(labels.flatten(1).gather(1, place.flatten(1)).view(labels.shape))
            weights.append(tall * wide)
    return torch.stack(sources), torch.stack(weights)


def _bilinear(values: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """``grid_sample`` in a frame whose sides are powers of two, where its normalised coordinates are exact."""
    height, width = values.shape[2:]
    tall, wide = (1 << max(length - 1, 0).bit_length() for length in (height, width))
    if (tall, wide) != (height, width):
        values = functional.pad(values, (0, wide - width, 0, tall - height), mode="replicate")
    grid = torch.stack([(2 * across + 1) / wide - 1, (2 * down + 1) / tall - 1], dim=-1)
    return functional.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)
