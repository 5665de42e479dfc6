"""Blur by normalised convolution: an invalid pixel, and what lies outside the frame, has no weight.

``y = (k * (x v)) / (k * v)`` with v = 1 where valid (Knutsson and Westin 1993, CVPR). Both kernels are symmetric about
their centre, so a convolution is a sum of pairs ``w (x[p + d] + x[p - d])``. Images lie in a frame of zeros, one after
another in one long line of numbers, where every shift is a shift along that line: each pair is three passes over a
block that stays in the cache. A Gaussian takes one convolution along each axis; a line has about two pairs a pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError
from swath.judge.corruptions.view import View

Floats = NDArray[np.float32]
LEAST_SHARE = 1e-6
"""Weights of a kernel below this are left out; together they are less than 1e-4 of it."""
_LEAST_WEIGHT = 1e-3
_BLOCK = 1 << 15


class Taps(NamedTuple):
    """One symmetric kernel: its middle weight, and the distance (rows, columns) and weight of half of the others."""

    middle: float
    halves: tuple[tuple[int, int, float], ...]


def gaussian_blur(view: View, deviation: float) -> None:
    """Isotropic Gaussian of the given standard deviation in pixels, cut at three of them."""
    radius = int(np.ceil(3 * deviation))
    line = np.exp(-0.5 * (np.arange(radius + 1) / deviation) ** 2)
    line /= line[0] + 2 * line[1:].sum()
    down = Taps(line[0], tuple((step, 0, line[step]) for step in range(1, radius + 1)))
    across = Taps(line[0], tuple((0, step, line[step]) for step in range(1, radius + 1)))
    _blur(view.values.numpy(), view.valid.numpy(), (across, down), radius)


def motion_blur(view: View, length: float) -> None:
    """The mean along a line of the given length in pixels, of random direction per sample and date.

    Raises:
        InputError: the image is smaller than the line.
    """
    count, dates, _, height, width = view.shape
    if min(height, width) < length:
        raise InputError(
            f"Images of {height} x {width} pixels in '{view.modality}' are smaller than the motion of {length:g}",
            expected=f"at least {length:g} pixels on each side",
            remedy="take larger images or a lower severity",
        )
    angles = np.array([stream.uniform(0, np.pi, dates) for stream in view.streams()]).reshape(count, dates)
    kernels = line_kernels(angles, int(length))
    values, valid = view.values.numpy(), view.valid.numpy()
    for sample, date in np.ndindex(count, dates):
        seen = valid[sample, min(date, valid.shape[1] - 1)]
        _blur(values[sample, date], seen, (taps_of(kernels[sample, date]),), kernels.shape[-1] // 2)


def line_kernels(angles: NDArray[np.float64], length: int) -> Floats:
    """Kernels ``(..., k, k)`` of sum 1: points of equal weight along a line, spread over the four pixels around each.

    Args:
        angles: radians from the x towards the y axis.
        length: pixels; k is the next odd number.
    """
    side = length + 1 - length % 2
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 4 * length + 1)
    x = np.cos(angles)[..., None] * along + side // 2
    y = np.sin(angles)[..., None] * along + side // 2
    grid = np.arange(side)
    wide = np.clip(1 - np.abs(x[..., None] - grid), 0, None)
    tall = np.clip(1 - np.abs(y[..., None] - grid), 0, None)
    kernel = np.einsum("...py,...px->...yx", tall, wide)
    return np.asarray(kernel / kernel.sum((-2, -1), keepdims=True), np.float32)


def taps_of(kernel: Floats) -> Taps:
    """The taps of a kernel ``(k, k)`` that is symmetric about its centre."""
    centre = kernel.shape[0] // 2
    even = (kernel.astype(np.float64) + kernel[::-1, ::-1]) / 2
    rows, columns = np.nonzero(even > LEAST_SHARE)
    steps = zip((rows - centre).tolist(), (columns - centre).tolist(), strict=True)
    halves = [(down, across) for down, across in steps if (down, across) > (0, 0)]
    weights = [float(even[centre + down, centre + across]) for down, across in halves]
    total = float(even[centre, centre]) + 2 * sum(weights)
    pairs = tuple((*step, weight / total) for step, weight in zip(halves, weights, strict=True))
    return Taps(float(even[centre, centre]) / total, pairs)


def _blur(values: Floats, valid: NDArray[np.bool_], passes: tuple[Taps, ...], radius: int) -> None:
    """Blur images ``(..., H, W)`` in place; ``valid`` broadcasts to them."""
    height, width = values.shape[-2:]
    if valid.all():
        mixed = _summed(values, passes, radius)
        weight = _weight_of_all((height, width), passes, radius)
        np.divide(mixed, weight, out=values)
        return
    mask = valid.astype(np.float32)
    mixed = _summed(values * mask, passes, radius)
    weight = _summed(mask, passes, radius)
    # Where the kernel meets almost nothing valid, the pixel itself is all that is known.
    np.divide(mixed, weight, out=values, where=weight > _LEAST_WEIGHT)


def _weight_of_all(size: tuple[int, int], passes: tuple[Taps, ...], radius: int) -> Floats:
    """What ``_summed`` gives for ones: in the middle of the frame it is the same everywhere, so few pixels tell it."""
    small = [min(length, 2 * radius + 1) for length in size]
    weight = _summed(np.ones((1, *small), np.float32), passes, radius)[0]
    places = []
    for length, short in zip(size, small, strict=True):
        place = np.arange(length)
        places.append(np.where(place < length - radius, np.minimum(place, radius), place - length + short))
    return weight[np.ix_(*places)] if small != list(size) else weight


def _summed(images: Floats, passes: tuple[Taps, ...], radius: int) -> Floats:
    """Weighted sums over the neighbours in images ``(..., H, W)``, what lies outside being 0.

    A pass along rows has to come before one down the columns: it leaves numbers beside the image, which the other
    keeps in their columns.
    """
    height, width = images.shape[-2:]
    frame = (int(np.prod(images.shape[:-2])), height + 2 * radius, width + 2 * radius)
    inner = (slice(None), slice(radius, radius + height), slice(radius, radius + width))
    framed = np.zeros(frame, np.float32)
    framed[inner] = images.reshape(-1, height, width)
    line = framed.reshape(-1)
    for taps in passes:
        line = _pass(line, taps, frame[2])
    return line.reshape(frame)[inner].reshape(images.shape)


def _pass(line: Floats, taps: Taps, stride: int) -> Floats:
    """One convolution along the line of numbers; ``stride`` is the step from row to row."""
    steps = [(down * stride + across, np.float32(weight)) for down, across, weight in taps.halves]
    reach = max((step for step, _ in steps), default=0)
    last = line.size - reach
    found, pair = np.empty(line.size, np.float32), np.empty(_BLOCK, np.float32)
    found[:reach] = found[last:] = 0
    for start in range(reach, last, _BLOCK):
        stop = min(start + _BLOCK, last)
        part, both = found[start:stop], pair[: stop - start]
        np.multiply(line[start:stop], np.float32(taps.middle), out=part)
        for step, weight in steps:
            np.add(line[start - step : stop - step], line[start + step : stop + step], out=both)
            np.multiply(both, weight, out=both)
            np.add(part, both, out=part)
    return found
