from __future__ import annotations

import math

import numpy as np
import pytest

from swath.errors import ConfigError, InputError
from swath.metrics import Compression, Psnr, SpectralAngle, Ssim


def test_hand_worked_psnr() -> None:
    """A constant error of 0.1 on a range of 1: 20 log10(1 / 0.1) = 20 dB; the masked value has no effect."""
    reference = np.zeros((1, 1, 2, 2))
    copy = np.array([[[[0.1, -0.1], [0.1, np.nan]]]])
    metric = Psnr(1.0)
    metric.update(reference, copy, np.isfinite(copy))
    assert metric.compute()["psnr"].value == pytest.approx(20)
    assert metric.count == 3
    exact = Psnr(65535)
    exact.update(np.full((2, 2), 60000, np.uint16), np.full((2, 2), 60000, np.uint16))
    assert exact.compute()["psnr"].value == math.inf
    assert exact.compute()["psnr"].reason == "the copy equals the reference"
    small = Psnr(255)
    small.update(np.array([0], np.uint8), np.array([255], np.uint8))  # no overflow in the difference
    assert small.compute()["psnr"].value == 0


def slow_ssim(x: np.ndarray, y: np.ndarray, data_range: float) -> float:
    """One band, pixel by pixel, with the window written out and the border reflected."""
    at = np.arange(-5, 6)
    window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    a, b = np.pad(x, 5, mode="reflect"), np.pad(y, 5, mode="reflect")
    values = []
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            p, q = a[row : row + 11, column : column + 11], b[row : row + 11, column : column + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 17)])
def test_ssim_equals_brute_force(height: int, width: int) -> None:
    stream = np.random.default_rng(height)
    reference = 5000 + 100 * stream.random((2, 2, height, width))
    copy = reference + 30 * stream.normal(size=reference.shape)
    metric = Ssim(200.0)
    metric.update(reference, copy)
    expected = [np.mean([slow_ssim(reference[f, b], copy[f, b], 200.0) for b in range(2)]) for f in range(2)]
    assert metric.frames == pytest.approx(expected, rel=1e-6)
    assert metric.compute()["ssim"].value == pytest.approx(np.mean(expected), rel=1e-6)


def test_ssim_of_a_copy_is_1_and_masks_keep_windows_out() -> None:
    stream = np.random.default_rng(0)
    reference = stream.random((3, 1, 20, 24))
    same = Ssim(1.0)
    same.update(reference, reference)
    assert same.compute()["ssim"].value == pytest.approx(1)
    # A spoilt corner changes nothing once it is masked: windows that touch it are left out.
    spoilt, valid = reference.copy(), np.ones(reference.shape, bool)
    spoilt[:, :, :4, :4], valid[:, :, :4, :4] = np.nan, False
    masked = Ssim(1.0)
    masked.update(reference, spoilt, valid)
    assert masked.compute()["ssim"].value == pytest.approx(1)
    valid[1] = False
    hidden = Ssim(1.0)
    hidden.update(reference, spoilt, valid)
    answer = hidden.compute()["ssim"]
    assert (answer.count, answer.skipped) == (2, 1)
    assert answer.reason == "1 of 3 frames have no complete valid window"


def test_hand_worked_angle() -> None:
    """Angles of 0, 90 and 45 degrees; a dark pixel has none; a pixel with one masked band does not count."""
    reference = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [1, 1]], float)
    copy = np.array([[5, 0], [0, 2], [1, 0], [1, 1], [9, 9]], float)
    valid = np.ones((5, 2), bool)
    valid[4, 1] = False
    metric = SpectralAngle()
    metric.update(reference, copy, valid)
    answer = metric.compute()["sam"]
    assert answer.value == pytest.approx((0 + math.pi / 2 + math.pi / 4) / 3)
    assert (answer.count, answer.skipped) == (3, 1)
    assert "length 0" in answer.reason
    dark = SpectralAngle()
    dark.update(np.zeros((1, 3, 2, 2)), np.ones((1, 3, 2, 2)))
    assert np.isnan(dark.compute()["sam"].value)
    assert "4 pixels" in dark.compute()["sam"].reason


def test_angle_equals_brute_force() -> None:
    reference, copy = np.random.default_rng(0).random((2, 3, 6, 4, 5))
    angles = []
    for frame in range(3):
        for y in range(4):
            for x in range(5):
                a, b = reference[frame, :, y, x], copy[frame, :, y, x]
                angles.append(math.acos(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b)))
    metric = SpectralAngle()
    metric.update(reference, copy)
    assert metric.compute()["sam"].value == pytest.approx(np.mean(angles))


def test_hand_worked_bytes() -> None:
    """100 bytes for 2 x 4 x 5 x 10 values are 2 bits each; as uint16 they were 800 bytes."""
    metric = Compression("uint16")
    metric.update(60, (2, 4, 5, 5))
    metric = metric + Compression("uint16", 40, 200)
    answers = metric.compute()
    assert answers["bpppb"].value == 2
    assert answers["ratio"].value == 0.125
    assert answers["ratio"].reason == "of uint16"
    assert all(np.isnan(answer.value) for answer in Compression("uint8").compute().values())
    with pytest.raises(InputError, match="one dtype"):
        metric + Compression("uint8")
    with pytest.raises(InputError, match="negative"):
        metric.update(-1, (2, 2))


def test_no_evidence_and_bad_input() -> None:
    for metric in (Psnr(1.0), Ssim(1.0), SpectralAngle()):
        for answer in metric.compute().values():
            assert np.isnan(answer.value)
            assert answer.reason
    frames = np.zeros((2, 1, 12, 12))
    broken = frames.copy()
    broken[1, 0, 3, 3] = np.nan
    for metric in (Psnr(1.0), Ssim(1.0), SpectralAngle()):
        with pytest.raises(InputError, match=r"'copy' holds 1 NaN .* samples \['late'\]"):
            metric.update(frames, broken, ids=["early", "late"])
    with pytest.raises(InputError, match="11 x 11"):
        Ssim(1.0).update(frames[..., :10], frames[..., :10])
    with pytest.raises(InputError, match="bands on the second axis"):
        SpectralAngle().update(np.zeros(3), np.zeros(3))
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="data range"):
            Psnr(wrong)
    with pytest.raises(InputError, match="one range"):
        Ssim(1.0) + Ssim(2.0)
    with pytest.raises(InputError, match="one range"):
        Psnr(1.0) + Psnr(2.0)
