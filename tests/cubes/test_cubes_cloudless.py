"""Clouds of Level-1C: everything around s2cloudless with a made-up classifier, and the real one if it is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.cubes import cloudless
from swath.cubes.cloudless import AVERAGE_OVER, BANDS, CLEAR, CLOUD, DILATION, REACH, THRESHOLD, UNKNOWN
from swath.errors import InputError, MissingError

ROOT = os.environ.get("SWATH_DATA")
THIRTEEN = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@pytest.fixture
def blue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that takes the blue band for the probability of a cloud."""
    monkeypatch.setattr(cloudless, "classifier", lambda: _blue)


def _blue(pixels: np.ndarray) -> np.ndarray:
    assert pixels.ndim == 2
    assert pixels.shape[1] == 10
    return pixels[:, 1].astype(np.float64)


def scene(chance: np.ndarray) -> np.ndarray:
    """Ten bands ``(band, y, x)`` whose blue is given."""
    bands = np.full((10, *chance.shape), 0.3, np.float32)
    bands[1] = chance
    return bands


def by_hand(chance: np.ndarray, known: np.ndarray) -> np.ndarray:
    """States by plain loops over the two disks."""
    height, width = chance.shape
    seen = np.zeros(chance.shape, bool)
    for row, column in zip(*np.nonzero(known), strict=True):
        near = [
            chance[y, x]
            for y in range(max(row - AVERAGE_OVER, 0), min(row + AVERAGE_OVER + 1, height))
            for x in range(max(column - AVERAGE_OVER, 0), min(column + AVERAGE_OVER + 1, width))
            if (y - row) ** 2 + (x - column) ** 2 <= AVERAGE_OVER**2 and known[y, x]
        ]
        seen[row, column] = np.mean(np.array(near, np.float64)) > THRESHOLD
    out = np.where(known, CLEAR, UNKNOWN)
    rows, columns = np.nonzero(seen)
    for row, column in zip(*np.nonzero(known), strict=True):
        if ((rows - row) ** 2 + (columns - column) ** 2 <= DILATION**2).any():
            out[row, column] = CLOUD
    return out


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (7, 13), (30, 31)])
@pytest.mark.usefixtures("blue")
def test_states_are_those_of_plain_loops(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(3)
    chance = draw.choice([0.05, 0.95], shape, p=[0.6, 0.4]).astype(np.float32)
    known = draw.random(shape) > 0.2
    found = cloudless.states(scene(chance), known, BANDS)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, by_hand(chance, known))


@pytest.mark.usefixtures("blue")
def test_a_single_bright_pixel_is_no_cloud_and_a_large_one_grows() -> None:
    chance = np.zeros((41, 41), np.float32)
    chance[20, 20] = 1
    assert (cloudless.states(scene(chance), np.ones((41, 41), bool), BANDS) == CLEAR).all()
    chance[11:30, 11:30] = 1
    found = cloudless.states(scene(chance), np.ones((41, 41), bool), BANDS)
    assert (found[11:30, 11:30] == CLOUD).sum() > 340
    assert (found[20, 9:32] == CLOUD).all()
    assert (found[20, :8] == CLEAR).all()


@pytest.mark.usefixtures("blue")
def test_what_one_band_lacks_is_unknown_and_never_clear_and_does_not_count() -> None:
    bands, valid = scene(np.zeros((9, 9), np.float32)), np.ones((10, 9, 9), bool)
    bands[7, 2, 3] = np.nan
    valid[0, 5, 5] = False
    bands[1, 5, 5] = 999.0  # beneath a mask any number may lie
    found = cloudless.states(bands, valid, BANDS)
    expected = np.full((9, 9), CLEAR)
    expected[2, 3] = expected[5, 5] = UNKNOWN
    np.testing.assert_array_equal(found, expected)
    assert (cloudless.states(bands, np.zeros((9, 9), bool), BANDS) == UNKNOWN).all()
    cloudy = scene(np.ones((9, 9), np.float32))
    cloudy[3, 4, 4] = np.inf
    found = cloudless.states(cloudy, valid, BANDS)
    assert (found[4, 4], found[5, 5], (found == CLOUD).sum()) == (UNKNOWN, UNKNOWN, 79)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 20), st.integers(0, 20), st.integers(1, 12))
def test_a_window_with_its_reach_has_the_states_of_the_whole(seed: int, top: int, left: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    chance, known = draw.random((36, 38)).astype(np.float32), draw.random((36, 38)) > 0.1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloudless, "classifier", lambda: _blue)
        whole = cloudless.states(scene(chance), known, BANDS)
        rows = slice(max(top - REACH, 0), top + size + REACH)
        columns = slice(max(left - REACH, 0), left + size + REACH)
        part = cloudless.states(scene(chance[rows, columns]), known[rows, columns], BANDS)
    inner = part[top - rows.start : top - rows.start + size, left - columns.start : left - columns.start + size]
    np.testing.assert_array_equal(inner, whole[top : top + size, left : left + size])


@pytest.mark.usefixtures("blue")
def test_bands_are_found_by_name_whatever_their_order() -> None:
    draw = np.random.default_rng(0)
    bands, valid = draw.random((13, 8, 9)).astype(np.float32), draw.random((13, 8, 9)) > 0.01
    first = cloudless.states(bands, valid, THIRTEEN)
    order = draw.permutation(13)
    words = ["CIRRUS" if name == "B10" else name.lower() for name in np.array(THIRTEEN)[order]]
    np.testing.assert_array_equal(cloudless.states(bands[order], valid[order], words), first)
    chance, known = cloudless.probabilities(bands, valid, THIRTEEN)
    np.testing.assert_array_equal(chance, np.where(known, bands[1], 0).astype(np.float64))
    assert known.sum() == valid[[0, 1, 3, 4, 7, 8, 9, 10, 11, 12]].all(axis=0).sum()


@pytest.mark.usefixtures("blue")
def test_what_cannot_be_used_is_refused() -> None:
    bands = scene(np.zeros((4, 4), np.float32))
    with pytest.raises(InputError, match="The band B10 is missing"):
        cloudless.states(bands[:9], np.ones((4, 4), bool), tuple(name for name in BANDS if name != "B10"))
    with pytest.raises(InputError, match=r"cubes\.to_physical"):
        cloudless.states(bands * 10_000, np.ones((4, 4), bool), BANDS)
    with pytest.raises(InputError, match="one name a band"):
        cloudless.states(bands, np.ones((4, 4), bool), BANDS[:9])
    with pytest.raises(InputError, match="one name a band"):
        cloudless.states(bands, np.ones((4, 5), bool), BANDS)


def test_blocks_are_averaged_where_all_of_them_is_valid() -> None:
    values = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    valid = np.ones(values.shape, bool)
    valid[0, 1, 3], values[1, 2, 0] = False, np.nan
    mean, whole = cloudless.averaged(values, valid, 2)
    assert mean.shape == whole.shape == (2, 2, 3)
    np.testing.assert_array_equal(whole, [[[1, 0, 1], [1, 1, 1]], [[1, 1, 1], [0, 1, 1]]])
    assert mean[0, 0, 0] == (0 + 1 + 7 + 8) / 4
    assert mean[0, 0, 1] == 0
    same, full = cloudless.averaged(values, valid, 1)
    np.testing.assert_array_equal(full, valid & np.isfinite(values))
    np.testing.assert_array_equal(same[full], values[full])
    assert cloudless.averaged(values, valid, 6)[0].shape == (2, 0, 1)


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s2cloudless", None)
    cloudless.classifier.cache_clear()
    with pytest.raises(MissingError, match=r"pip install 'swath\[clouds\]'") as caught:
        cloudless.states(scene(np.zeros((2, 2), np.float32)), np.ones((2, 2), bool), BANDS)
    assert "\n" not in str(caught.value)


def test_the_real_classifier_gives_the_masks_of_its_package() -> None:
    package = pytest.importorskip("s2cloudless", reason="the extra 'clouds' (package s2cloudless) is not installed")
    cloudless.classifier.cache_clear()
    draw = np.random.default_rng(1)
    smooth = np.kron(draw.random((10, 6, 6)) * 0.5, np.ones((1, 12, 12)))
    bands = (smooth + 0.1 * draw.random((10, 72, 72))).astype(np.float32)
    theirs = package.S2PixelCloudDetector(threshold=THRESHOLD, average_over=AVERAGE_OVER, dilation_size=DILATION)
    image = np.moveaxis(bands, 0, -1)[None]
    chance, known = cloudless.probabilities(bands, np.ones((72, 72), bool), BANDS)
    assert known.all()
    np.testing.assert_array_equal(chance, theirs.get_cloud_probability_maps(image)[0])
    found = cloudless.states(bands, np.ones((72, 72), bool), BANDS)
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))  # the package reflects the image at its edges
    share = (found == CLOUD)[inner].mean()
    assert 0.05 < share < 0.95
    np.testing.assert_array_equal((found == CLOUD)[inner], theirs.get_cloud_masks(image)[0][inner] == 1)


def test_the_real_classifier_repeats_published_masks_of_real_scenes() -> None:
    pytest.importorskip("s2cloudless", reason="the extra 'clouds' (package s2cloudless) is not installed")
    if ROOT is None:
        pytest.skip("SWATH_DATA is unset: the real scenes are not here")
    cloudless.classifier.cache_clear()
    folder = Path(ROOT) / "eolearn_eopatch"
    images = np.load(folder / "REFERENCE_SCENES.npy").transpose(0, 3, 1, 2)
    ndvi, chances, masks = (
        np.load(folder / name)[..., 0] for name in ("data/NDVI.npy", "data/CLP_S2C.npy", "mask/CLM_S2C.npy")
    )
    differing = 0
    for image in images:
        index = (image[7] - image[3]) / (image[7] + image[3])
        date = int(np.argmin(np.abs(ndvi - index).max(axis=(1, 2))))
        chance, _ = cloudless.probabilities(image, np.ones(image.shape[1:], bool), THIRTEEN)
        np.testing.assert_allclose(chance, chances[date], atol=1e-6)
        cloud = cloudless.states(image, np.ones(image.shape[1:], bool), THIRTEEN) == CLOUD
        differing += int((cloud != (masks[date] == 1))[REACH:-REACH, REACH:-REACH].sum())
    assert differing == 0
