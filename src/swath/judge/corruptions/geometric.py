"""Geometric corruptions: one affine map per sample, for image, validity, labels and grid alike.

Pixel p of the frame (edge coordinates: 0 is the outer edge of the first pixel, 0.5 its centre) goes to
``c + L (p - c) + t`` with the centre c. Values are bilinear; a pixel is valid when every pixel it mixes is. A label is
the class with the largest bilinear share, which is the nearest pixel's except where the three others agree against it:
this way a label always is what a perfect reader of the moved image would say. Where a label is unknown or outside the
frame among those mixed, it is ignored.

Source coordinates are sums of a number a column and a number a row, both rounded to 1/1024 pixel. Weights are then
exact in float32, and so are sums of them: image and label agree to the last pixel, ties included, and quarter turns
move pixels without mixing any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from affine import Affine
from numpy.typing import NDArray

from swath import rng
from swath.judge.corruptions.parts import for_each_part
from swath.types import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Parts = tuple[NDArray[np.float32], NDArray[np.float32]]
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
        columns, rows = self.parts(size)
        across, down = (torch.from_numpy(columns[axis][:, None, :] + rows[axis][:, :, None]) for axis in (0, 1))
        inside = (across >= -0.5) & (across < size[1] - 0.5)
        inside &= down >= -0.5
        inside &= down < size[0] - 0.5
        return across, down, inside

    def parts(self, size: tuple[int, int]) -> tuple[Parts, Parts]:
        """Sources as sums of a number a column and a number a row, each x and y, float32 ``(B, W)`` and ``(B, H)``.

        Both are whole multiples of 1/1024 pixel, so their sum is exact up to 16,384 pixels a side.
        """
        matrices = self.matrices(size)
        inverse = np.linalg.inv(matrices[:, :, :2])
        height, width = size
        x = (np.arange(width) + 0.5) - matrices[:, 0, 2, None]
        y = (np.arange(height) + 0.5) - matrices[:, 1, 2, None]
        columns = [np.rint(inverse[:, axis, 0, None] * x * _STEP) / _STEP for axis in (0, 1)]
        rows = [np.rint((inverse[:, axis, 1, None] * y - 0.5) * _STEP) / _STEP for axis in (0, 1)]
        return (
            (columns[0].astype(np.float32), columns[1].astype(np.float32)),
            (rows[0].astype(np.float32), rows[1].astype(np.float32)),
        )

    def upright(self) -> bool:
        """Whether all maps keep the directions of the axes; a corruption does so for all samples or for none."""
        return bool((self.linear[:, [0, 1], [1, 0]] == 0).all())

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
    if moved.upright():
        return _stretched(values, valid, moved, fill)
    inside = moved.sources(size)[2][:, None]
    # Weights are exact, so the share of valid sources is exactly 1 where all of them are.
    seen = inside if bool(valid.numpy().all()) else inside & (_bilinear(valid.float(), moved) == 1)
    found = _bilinear(values, moved)
    np.copyto(found.numpy(), fill.expand(*values.shape[:2], 1, 1).numpy(), where=~seen.numpy())
    return found, seen.expand(-1, valid.shape[1], -1, -1)


def _shifted(values: Tensor, valid: Tensor, steps: list[tuple[int, int]], fill: Tensor) -> tuple[Tensor, Tensor]:
    """``move_values`` for shifts by whole pixels: a copy."""
    height, width = values.shape[2:]
    found, seen = np.empty(tuple(values.shape), np.float32), np.zeros(tuple(valid.shape), np.bool_)
    given, usable, low = values.numpy(), valid.numpy(), fill.expand(*values.shape[:2], 1, 1).numpy()
    whole = bool(usable.all())
    for place, (down, across) in enumerate(steps):
        rows, columns = (_overlap(step, length) for step, length in ((down, height), (across, width)))
        mask = usable[place, :, rows[1], columns[1]]
        seen[place, :, rows[0], columns[0]] = mask
        _fill_around(found[place], rows[0], columns[0], low[place])
        inner, source = found[place, :, rows[0], columns[0]], given[place, :, rows[1], columns[1]]
        inner[...] = source if whole else np.where(mask, source, low[place])
    return torch.from_numpy(found), torch.from_numpy(seen)


def _overlap(step: int, length: int) -> tuple[slice, slice]:
    """Where pixels of a line go when it is shifted by ``step``, and where they come from."""
    step = max(min(step, length), -length)
    return slice(max(step, 0), length + min(step, 0)), slice(max(-step, 0), length - max(step, 0))


def _fill_around(image: NDArray[np.float32], rows: slice, columns: slice, low: NDArray[np.float32]) -> None:
    """Fill an image ``(N, H, W)`` outside a window."""
    image[:, : rows.start] = low
    image[:, rows.stop :] = low
    image[:, rows, : columns.start] = low
    image[:, rows, columns.stop :] = low


def _stretched(values: Tensor, valid: Tensor, moved: Placement, fill: Tensor) -> tuple[Tensor, Tensor]:
    """``move_values`` for maps that keep the axes: first rows are mixed, then columns, and only those inside."""
    count, channels, height, width = values.shape
    columns, rows = moved.parts((height, width))
    found = np.empty((count, channels, height, width), np.float32)
    seen = np.zeros((count, valid.shape[1], height, width), np.bool_)
    given, usable, low = values.numpy(), valid.numpy(), fill.expand(count, channels, 1, 1).numpy()
    whole = bool(usable.all())

    def work(samples: slice) -> None:
        for place in range(samples.start, samples.stop):
            down = _line(rows[1][place] + columns[1][place, 0], height)
            across = _line(columns[0][place] + rows[0][place, 0], width)
            _fill_around(found[place], down.inside, across.inside, low[place])
            inner = found[place, :, down.inside, across.inside]
            inner[...] = _mixed(given[place], down, across)
            mask = seen[place, :, down.inside, across.inside]
            mask[...] = True if whole else _mixed(usable[place].astype(np.float32), down, across) == 1
            if not whole:
                np.copyto(inner, low[place], where=~mask)

    for_each_part(work, count, channels * height * width)
    return torch.from_numpy(found), torch.from_numpy(seen)


class _Line(NamedTuple):
    """Which output pixels of a line lie inside, the two pixels that each mixes, and the share of the second."""

    inside: slice
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    share: NDArray[np.float32]


def _line(sources: NDArray[np.float32], length: int) -> _Line:
    """From where each pixel of a line comes; sources rise or fall steadily, so what is inside is one piece."""
    within = np.flatnonzero((sources >= -0.5) & (sources < length - 0.5))
    inside = slice(int(within[0]), int(within[-1]) + 1) if within.size else slice(0, 0)
    first = np.floor(sources[inside])
    share = (sources[inside] - first).astype(np.float32)
    lower, upper = (np.clip(first + step, 0, length - 1).astype(np.intp) for step in (0, 1))
    return _Line(inside, lower, upper, share)


def _mixed(images: NDArray[np.float32], down: _Line, across: _Line) -> NDArray[np.float32]:
    """Bilinear mixture of images ``(N, H, W)``; shares are multiples of 1/1024, so weights are exact."""
    low = down.share[:, None]
    rows, other = (np.take(images, place, axis=1) for place in (down.first, down.second))
    rows *= 1 - low
    rows += np.multiply(other, low, out=other)
    found, other = (np.take(rows, place, axis=2) for place in (across.first, across.second))
    found *= 1 - across.share
    found += np.multiply(other, across.share, out=other)
    return found


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


def _bilinear(values: Tensor, moved: Placement) -> Tensor:
    """``grid_sample`` in a frame whose sides are powers of two, where its normalised coordinates are exact."""
    height, width = values.shape[2:]
    tall, wide = (1 << max(length - 1, 0).bit_length() for length in (height, width))
    columns, rows = moved.parts((height, width))
    if (tall, wide) != (height, width):
        values = functional.pad(values, (0, wide - width, 0, tall - height), mode="replicate")
    found = np.empty((len(values), values.shape[1], height, width), np.float32)

    def work(samples: slice) -> None:
        # One at a time: then the threads are ours, and a grid stays in the cache.
        grid = np.empty((height, width, 2), np.float32)
        for place in range(samples.start, samples.stop):
            for axis, side in enumerate((wide, tall)):
                # (2 x + 1) / side - 1, taken apart like x itself.
                across = (2 * columns[axis][place] + 1) / np.float32(side) - 1
                np.add(across, (2 * rows[axis][place] / np.float32(side))[:, None], out=grid[..., axis])
            found[place] = functional.grid_sample(
                values[place : place + 1],
                torch.from_numpy(grid)[None],
                mode="bilinear",
                padding_mode="border",
                align_corners=False,
            )[0].numpy()

    for_each_part(work, len(values), values.shape[1] * height * width)
    return torch.from_numpy(found)
