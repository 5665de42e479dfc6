"""How well an image or cube survived: peak signal to noise, structural similarity, spectral angle, and bytes.

All compare a reference with a copy, ``(N, band, y, x)`` where N are frames, and leave out what is not valid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from swath.errors import ConfigError, InputError
from swath.metrics.arrays import as_numpy, check_finite, check_ids, same_shape, usable
from swath.metrics.outcome import Outcome, mean_of, quotient, undefined

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

NOTHING = "there are no valid values"
RADIUS, DEVIATION = 5, 1.5
"""The window of SSIM: 11 x 11 pixels, a Gaussian with a standard deviation of 1.5 pixels."""


@dataclass
class Psnr:
    """``psnr`` = 20 log10(R / sqrt(MSE)) in dB, the MSE over all valid values of all frames. Parts add up.

    Identical data have an infinite PSNR, which is said in the reason (Huynh-Thu and Ghanbari 2008, Electronics Letters
    44, 800-801, on what it is good for).

    Args:
        data_range: R, the range that the data set declares, in the unit of the values; never taken from the data.
        count: values so far.
        squares: their sum of squared differences.

    Raises:
        ConfigError: a range of 0 or below.
    """

    data_range: float
    count: int = 0
    squares: float = 0.0

    def __post_init__(self) -> None:
        _check_range(self.data_range)

    def update(
        self, reference: Numbers, copy: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch of any shape; errors as for ``Regression.update``."""
        first, second, mask = _pair(reference, copy, valid, ids)
        self.count += int(mask.sum())
        self.squares += float(((second - first)[mask] ** 2).sum())

    def __add__(self, other: Psnr) -> Psnr:
        _check_same(self.data_range, other.data_range)
        return Psnr(self.data_range, self.count + other.count, self.squares + other.squares)

    def compute(self) -> dict[str, Outcome]:
        """``psnr`` [dB]."""
        if not self.count:
            return {"psnr": undefined(NOTHING)}
        if self.squares == 0:
            return {"psnr": Outcome(math.inf, self.count, 0, "the copy equals the reference")}
        error = math.sqrt(self.squares / self.count)
        return {"psnr": Outcome(20 * math.log10(self.data_range / error), self.count)}


class Ssim:
    """``ssim``: mean over frames of the mean structural similarity of a frame.

    With means, variances and covariance in an 11 x 11 Gaussian window of standard deviation 1.5, C1 = (0.01 R)^2 and
    C2 = (0.03 R)^2: (2 mu_x mu_y + C1) (2 cov + C2) / ((mu_x^2 + mu_y^2 + C1) (var_x + var_y + C2)), averaged over
    bands and over pixels whose whole window is valid (Wang et al. 2004, IEEE TIP 13, 600-612). Beyond its border a
    frame is continued by reflection, as torchmetrics does and therefore the compression papers; the original leaves the
    border out, which gives other numbers for small frames. A frame without a complete valid window is left out and
    counted. Parts add up; the order has no effect.

    Args:
        data_range: R, as for ``Psnr``.

    Raises:
        ConfigError: a range of 0 or below.
    """

    def __init__(self, data_range: float) -> None:
        _check_range(data_range)
        self.data_range = data_range
        self.frames: list[float] = []

    def update(
        self, reference: Numbers, copy: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add frames.

        Args:
            reference: ``(N, band, y, x)``, y and x at least 11.
            copy: the same shape and unit.
            valid: bool, broadcastable.
            ids: names of the frames for errors.

        Raises:
            InputError: shapes differ or are too small, or a used value is NaN or infinite.
        """
        first, second, mask = _pair(reference, copy, valid, ids)
        if first.ndim != 4 or min(first.shape[2:]) < 2 * RADIUS + 1:
            raise InputError(
                f"The frames have shape {first.shape}",
                expected="(frames, band, y, x) with at least 11 x 11 pixels",
                remedy="add axes of length 1; smaller pictures have no SSIM",
            )
        for frame in range(len(first)):
            self.frames.append(_similarity(first[frame], second[frame], mask[frame], self.data_range))

    def __add__(self, other: Ssim) -> Ssim:
        _check_same(self.data_range, other.data_range)
        merged = Ssim(self.data_range)
        merged.frames = self.frames + other.frames
        return merged

    def compute(self) -> dict[str, Outcome]:
        """``ssim``."""
        return {"ssim": mean_of(self.frames, "frames", "have no complete valid window")}


@dataclass
class SpectralAngle:
    """``sam``: mean over pixels of arccos(<x, y> / (|x| |y|)) in radians, x and y the spectra of a pixel.

    The cosine is clipped to [-1, 1]. A pixel counts when all its bands are valid; pixels whose spectrum has length 0 in
    either image have no angle and are counted as skipped (Kruse et al. 1993, Remote Sensing of Environment 44,
    145-163). Parts add up.

    Args:
        count: pixels so far.
        skipped: valid pixels without an angle.
        total: sum of angles [radians].
    """

    count: int = 0
    skipped: int = 0
    total: float = 0.0

    def update(
        self, reference: Numbers, copy: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch ``(N, band, ...)``; ``valid`` broadcasts to it; errors as for ``Regression.update``."""
        first, second, mask = _pair(reference, copy, valid, ids)
        if first.ndim < 2:
            raise InputError(
                f"The spectra have shape {first.shape}",
                expected="(N, band, ...)",
                remedy="put bands on the second axis",
            )
        whole = mask.all(axis=1)
        one, two = (np.moveaxis(part, 1, -1)[whole] for part in (first, second))
        length = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        some = length > 0
        cosine = np.clip((one[some] * two[some]).sum(axis=1) / length[some], -1, 1)
        self.count += int(some.sum())
        self.skipped += int((~some).sum())
        self.total += float(np.arccos(cosine).sum())

    def __add__(self, other: SpectralAngle) -> SpectralAngle:
        return SpectralAngle(self.count + other.count, self.skipped + other.skipped, self.total + other.total)

    def compute(self) -> dict[str, Outcome]:
        """``sam`` [radians]."""
        reason = f"{self.skipped} pixels have a spectrum of length 0" if self.skipped else ""
        if not self.count:
            return {"sam": undefined(reason or NOTHING, skipped=self.skipped)}
        return {"sam": Outcome(self.total / self.count, self.count, self.skipped, reason)}


@dataclass
class Compression:
    """``bpppb`` = compressed bytes * 8 / (t y x band), before padding, and ``ratio`` = compressed / original bytes.

    Bytes are those of all streams with their containers. A ratio means nothing without the dtype it starts from, so
    that stands in its reason. Parts add up.

    Args:
        dtype: dtype of the original values.
        compressed: bytes so far.
        elements: values so far.
    """

    dtype: str
    compressed: int = 0
    elements: int = 0

    def update(self, compressed_bytes: int, shape: Sequence[int]) -> None:
        """Add one cube.

        Args:
            compressed_bytes: size of everything that is needed to read it back.
            shape: its axes before padding.

        Raises:
            InputError: a negative size.
        """
        if compressed_bytes < 0 or min(shape, default=0) < 0:
            raise InputError(
                f"{compressed_bytes} bytes for the shape {tuple(shape)}", expected="no negative size", remedy="add up"
            )
        self.compressed += int(compressed_bytes)
        self.elements += math.prod(shape)

    def __add__(self, other: Compression) -> Compression:
        if np.dtype(self.dtype) != np.dtype(other.dtype):
            raise InputError(
                f"The originals are {self.dtype} and {other.dtype}", expected="one dtype", remedy="report them apart"
            )
        return Compression(self.dtype, self.compressed + other.compressed, self.elements + other.elements)

    def compute(self) -> dict[str, Outcome]:
        """``bpppb`` [bits per pixel per band] and ``ratio``."""
        original = self.elements * np.dtype(self.dtype).itemsize
        ratio = quotient(self.compressed, original, self.elements, "there are no values")
        if self.elements:
            ratio = Outcome(ratio.value, ratio.count, 0, f"of {np.dtype(self.dtype)}")
        return {
            "bpppb": quotient(self.compressed * 8, self.elements, self.elements, "there are no values"),
            "ratio": ratio,
        }


def _similarity(
    first: NDArray[np.float64], second: NDArray[np.float64], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Mean SSIM of one frame ``(band, y, x)``; NaN without a complete valid window."""
    steps = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (steps / DEVIATION) ** 2)
    weights /= weights.sum()

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        across = ndimage.correlate1d(values, weights, axis=2, mode="mirror")
        return np.asarray(ndimage.correlate1d(across, weights, axis=1, mode="mirror"))

    window = (1, 2 * RADIUS + 1, 2 * RADIUS + 1)
    whole = ndimage.minimum_filter(mask.astype(np.uint8), size=window, mode="mirror") > 0
    if not whole.any():
        return math.nan
    x, y = np.where(mask, first, 0.0), np.where(mask, second, 0.0)
    # Variances do not change with an offset; without it, values far from 0 keep their digits.
    offset = float(x[mask].mean())
    mean_x, mean_y = smooth(x), smooth(y)
    x, y = np.where(mask, x - offset, 0.0), np.where(mask, y - offset, 0.0)
    shifted_x, shifted_y = smooth(x), smooth(y)
    spread = smooth(x * x) - shifted_x**2 + smooth(y * y) - shifted_y**2
    shared = smooth(x * y) - shifted_x * shifted_y
    small, smaller = (0.03 * data_range) ** 2, (0.01 * data_range) ** 2
    top = (2 * mean_x * mean_y + smaller) * (2 * shared + small)
    bottom = (mean_x**2 + mean_y**2 + smaller) * (spread + small)
    return float((top / bottom)[whole].mean())


def _pair(
    reference: Numbers, copy: Numbers, valid: Numbers | None, ids: Sequence[str] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both images as float64 and the mask, checked; what stands under the mask is as it came."""
    first, second = as_numpy(reference), as_numpy(copy)
    same_shape(first, second, ("reference", "copy"))
    mask = usable(valid, first.shape, "reference")
    check_ids(ids, len(first) if first.ndim else 1)
    check_finite("reference", first, mask, ids)
    check_finite("copy", second, mask, ids)
    return first.astype(np.float64), second.astype(np.float64), mask


def _check_range(data_range: float) -> None:
    if not 0 < data_range < math.inf:
        raise ConfigError(
            f"The data range is {data_range}",
            expected="a finite number above 0",
            remedy="give the range that the data set declares, such as 65535 or 1.0",
        )


def _check_same(first: float, second: float) -> None:
    if first != second:
        raise InputError(f"The data ranges are {first} and {second}", expected="one range", remedy="score them apart")
