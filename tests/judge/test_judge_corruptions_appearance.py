from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from corruption_samples import bands, batch, image
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, ContractError, InputError
from swath.judge.corruptions import APPEARANCE, NAMES, Scale, canonical, chosen, corrupt, corrupt_array, strength
from swath.judge.corruptions.blur import line_kernels
from swath.judge.corruptions.view import EXPONENTIAL, NORMAL
from swath.judge.corruptions.weather import CLOUD_UNIT
from swath.types import Batch

SEVERITIES = range(1, 6)


def values(found: Batch) -> np.ndarray:
    return found.inputs["image"].values.numpy()


def psnr(clean: Batch, worse: Batch) -> float:
    error = ((values(clean) - values(worse)) ** 2).mean(axis=(1, 2, 3, 4))
    return float(np.mean(-10 * np.log10(error)))


@pytest.mark.parametrize("name", APPEARANCE)
def test_mean_psnr_falls_with_severity(name: str) -> None:
    clean = batch(64)
    scores = [psnr(clean, corrupt(clean, name, severity, 0)) for severity in SEVERITIES]
    assert all(first > second for first, second in itertools.pairwise(scores)), scores


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    clean = batch(5, dates=2)
    valid = torch.ones(5, 1, 1, 32, 32, dtype=torch.bool)
    valid[2, :, :, 4:20, 7:9] = False  # other samples must not take another way because of one
    clean = replace(clean, inputs={"image": replace(clean.inputs["image"], valid=valid)})
    whole = corrupt(clean, name, 3, 7)
    inputs = clean.inputs["image"]
    for place in (4, 0, 2):
        part = replace(
            inputs, values=inputs.values[[place]], valid=inputs.valid[[place]], time=inputs.time[[place]],
            grid=(inputs.grid[place],),
        )  # fmt: skip
        alone = corrupt(Batch({"image": part}, ids=(clean.ids[place],)), name, 3, 7)
        np.testing.assert_array_equal(values(alone)[0], values(whole)[place])
        assert torch.equal(alone.inputs["image"].valid[0], whole.inputs["image"].valid[place])
    np.testing.assert_array_equal(values(whole), values(corrupt(clean, name, 3, 7)))


@pytest.mark.parametrize("name", NAMES)
def test_input_is_left_as_it_was_and_contract_holds(name: str) -> None:
    clean = batch(2)
    before = values(clean).copy()
    worse = corrupt(clean, name, 5, 0)
    np.testing.assert_array_equal(values(clean), before)
    worse.check()
    assert worse.meta["severity_set"] == "swath-2"
    assert not np.array_equal(values(worse), before)


@pytest.mark.parametrize("name", ["gaussian_noise", "gaps", "clouds", "motion_blur", "rotate"])
def test_seed_and_id_matter(name: str) -> None:
    clean = batch(3)
    first, other = values(corrupt(clean, name, 3, 0)), values(corrupt(clean, name, 3, 1))
    assert not np.array_equal(first, other)
    named = replace(clean, ids=("a", "b", "c"))
    assert not np.array_equal(first, values(corrupt(named, name, 3, 0)))


@pytest.mark.parametrize("name", APPEARANCE)
@pytest.mark.parametrize("channels", [1, 200])
def test_one_band_and_two_hundred(name: str, channels: int) -> None:
    clean = batch(1, 26, channels, names=bands(channels, "reflectance"))
    worse = corrupt(clean, name, 3, 0)
    worse.check()
    assert values(worse).shape == (1, 1, channels, 26, 26)
    assert (np.abs(values(worse) - values(clean)).max(axis=(0, 1, 3, 4)) > 0).all()  # every band


@pytest.mark.parametrize("name", APPEARANCE)
def test_invalid_pixels_stay_and_do_not_leak(name: str) -> None:
    stream = np.random.default_rng(1)
    clean = values(batch(2, 40))
    valid = stream.random((2, 1, 1, 40, 40)) > 0.2
    valid[:, :, :, 10:20, 10:20] = False
    hidden = np.broadcast_to(~valid, clean.shape)
    results = []
    for fill in (0.0, 1e6):
        filled = np.where(hidden, fill, clean)
        given = Batch({"image": image(filled, valid, bands(3, "reflectance"))}, ids=("a", "b"))
        found = corrupt(given, name, 5, 0)
        assert torch.equal(found.inputs["image"].valid, torch.from_numpy(valid))
        np.testing.assert_array_equal(values(found)[hidden], np.float32(fill))
        results.append(values(found))
    # The number that stands for nothing must not change a single valid pixel, beyond the rounding of a spectrum.
    np.testing.assert_allclose(results[0][~hidden], results[1][~hidden], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_valid(name: str) -> None:
    empty = np.zeros((1, 1, 3, 32, 32))
    given = Batch({"image": image(empty, np.zeros((1, 1, 1, 32, 32), bool), bands(3, "reflectance"))}, ids=("a",))
    found = corrupt(given, name, 3, 0)
    found.check()
    assert not found.inputs["image"].valid.any()
    assert np.isfinite(values(found)).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "motion_blur"])
def test_one_pixel_and_odd_sides(name: str) -> None:
    for height, width in ((1, 1), (1, 7), (13, 5)):
        found = corrupt(Batch({"image": image(np.full((1, 1, 2, height, width), 0.4))}, ids=("a",)), name, 5, 0)
        found.check()


@pytest.mark.parametrize("name", NAMES)
def test_no_samples(name: str) -> None:
    found = corrupt(Batch({"image": image(np.zeros((0, 1, 3, 32, 32)))}, ids=()), name, 2, 0)
    assert found.batch_size == 0


def test_motion_longer_than_the_image() -> None:
    clean = batch(1, 20)
    corrupt(clean, "motion_blur", 4, 0)
    with pytest.raises(InputError, match="20 x 20 pixels in 'image' are smaller than the motion of 25"):
        corrupt(clean, "motion_blur", 5, 0)


@pytest.mark.parametrize("severity", [0, 6, -1, True, 2.5])
def test_severities_outside(severity: int) -> None:
    with pytest.raises(ConfigError, match="from 1"):
        corrupt(batch(1), "haze", severity, 0)


def test_unknown_name_lists_all() -> None:
    with pytest.raises(ConfigError) as caught:
        corrupt(batch(1), "hase", 1, 0)
    assert all(name in str(caught.value) for name in NAMES)
    assert "the nearest are: haze" in str(caught.value)


def test_names() -> None:
    assert canonical("haze_update_new") == "haze"
    assert chosen("all") == chosen(None) == NAMES
    assert chosen(["translate_image_new", "haze", "haze"]) == ("haze", "translate")
    assert strength("rotate", 5) == 90
    with pytest.raises(ConfigError, match="No corruption"):
        chosen([])


def test_nan_is_refused_in_batches() -> None:
    broken = np.zeros((1, 1, 1, 30, 30))
    broken[0, 0, 0, 3, 3] = np.nan
    with pytest.raises(ContractError, match="NaN"):
        corrupt(Batch({"image": image(broken)}, ids=("a",)), "haze", 1, 0)


@pytest.mark.parametrize("name", NAMES)
def test_nan_in_arrays_is_no_data(name: str) -> None:
    array = values(batch(1, 32))[0, 0].copy()
    array[:, 5:9, 6] = np.nan
    found, valid = corrupt_array(array, name, 3, 0, scale=(0, 1))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found), ~valid)
    if name in APPEARANCE:
        np.testing.assert_array_equal(valid, np.isfinite(array))


def test_stored_integers() -> None:
    stored = (values(batch(1, 32))[0, 0] * 9000 + 500).astype(np.uint16)
    with pytest.raises(InputError, match="uint16 and comes without a scale"):
        corrupt_array(stored, "haze", 1, 0)
    found, _ = corrupt_array(stored, "gaussian_noise", 5, 0, scale=(0, 10_000))
    assert found.dtype == np.uint16
    error = found.astype(float) - stored
    assert 2000 < error.std() < 2800  # 0.26 of 10,000, a little less where values end at 0
    # Compression keeps the depth of 16 bits: the error is in steps of the 8-bit code, not the image.
    coded, _ = corrupt_array(stored, "compression_artifacts", 1, 0, scale=(0, 10_000))
    assert len(np.unique(coded)) > 256
    eight, _ = corrupt_array((stored // 256).astype(np.uint8), "haze", 1, 0)
    assert eight.dtype == np.uint8


def test_array_errors() -> None:
    with pytest.raises(InputError, match="shape"):
        corrupt_array(np.zeros((4, 4)), "haze", 1, 0)
    with pytest.raises(ConfigError, match="below the high"):
        corrupt_array(np.zeros((1, 4, 4), np.uint16), "haze", 1, 0, scale=(5, 5))


def test_noise_has_the_stated_signal_to_noise() -> None:
    clean = Batch({"image": image(np.full((4, 1, 3, 64, 64), 0.5))}, ids=tuple("abcd"))
    noise = values(corrupt(clean, "gaussian_noise", 1, 0)) - 0.5
    assert abs(noise.std() - 0.04) < 0.0004
    assert abs(noise.mean()) < 0.001
    # Severities share their draws: the strong noise is the weak one, grown.
    np.testing.assert_allclose(values(corrupt(clean, "gaussian_noise", 2, 0)) - 0.5, 2 * noise, atol=1e-6)


def test_tables_of_quantiles() -> None:
    assert abs(NORMAL.std() - 1) < 1e-6 and abs(NORMAL.mean()) < 1e-6 and NORMAL.max() > 4.2
    assert abs(EXPONENTIAL.mean() - 1) < 1e-4 and abs(EXPONENTIAL.std() - 1) < 1e-3


def test_salt_and_pepper_takes_all_bands_and_nests() -> None:
    clean = Batch({"image": image(np.full((2, 1, 3, 64, 64), 0.5))}, ids=("a", "b"))
    before = np.zeros((2, 64, 64), bool)
    for severity, share in zip(SEVERITIES, (0.01, 0.03, 0.06, 0.10, 0.17), strict=True):
        found = values(corrupt(clean, "salt_and_pepper_noise", severity, 0))[:, 0]
        hit = found[:, 0] != 0.5
        assert (found[:, :1] == found).all() and set(np.unique(found)) == {0.0, 0.5, 1.0}
        assert abs(hit.mean() - share) < 0.01
        assert (hit | ~before).all()
        before = hit


def test_speckle_in_decibels() -> None:
    radar = bands(2, "backscatter", "dB")
    clean = Batch({"image": image(np.full((2, 1, 2, 96, 96), -12.0), names=radar)}, ids=("a", "b"))
    for severity, looks in zip(SEVERITIES, (16, 8, 4, 2, 1), strict=True):
        factor = 10 ** ((values(corrupt(clean, "gaussian_noise", severity, 0)) + 12) / 10)
        assert abs(factor.mean() - 1) < 0.03
        assert abs(factor.mean() / factor.std() / np.sqrt(looks) - 1) < 0.05


@pytest.mark.parametrize("name", ["clouds", "haze"])
def test_radar_sees_through_weather(name: str) -> None:
    radar = bands(2, "backscatter", "dB")
    alone = Batch({"s1": image(np.full((1, 1, 2, 32, 32), -12.0), names=radar)}, ids=("a",))
    with pytest.raises(InputError, match="radar sees through"):
        corrupt(alone, name, 1, 0)
    both = replace(alone, inputs={**alone.inputs, **batch(1).inputs})
    found = corrupt(both, name, 3, 0)
    assert torch.equal(found.inputs["s1"].values, both.inputs["s1"].values)
    assert not torch.equal(found.inputs["image"].values, both.inputs["image"].values)
    with pytest.raises(InputError, match="radar sees through"):
        corrupt(both, name, 1, 0, modalities=["s1"])
    with pytest.raises(ConfigError, match="no input 's3'"):
        corrupt(both, name, 1, 0, modalities=["s3"])


def test_haze_depends_on_wavelength() -> None:
    waves = (440.0, 550.0, None, 850.0, 2200.0)
    clean = Batch({"image": image(np.zeros((1, 1, 5, 33, 33)), names=bands(5, waves=waves))}, ids=("a",))
    found = values(corrupt(clean, "haze", 4, 0))[0, 0]
    middle = found[:, 16, 16]  # the ramp is 0 in the centre
    expected = [0.9 * (1 - 0.5 ** ((0.55 / (wave or 550) * 1000) ** 1.3)) for wave in waves]
    np.testing.assert_allclose(middle, expected, rtol=1e-4)


def test_clouds_cover_what_they_say_and_darken_beyond_one_micrometre() -> None:
    waves = (550.0, 1600.0, 2200.0, 11_000.0)
    clean = Batch({"image": image(np.zeros((3, 1, 4, 64, 64)), names=bands(4, waves=waves))}, ids=("a", "b", "c"))
    before = np.zeros((3, 64, 64))
    for severity, cover in zip(SEVERITIES, (0.1, 0.2, 0.35, 0.5, 0.65), strict=True):
        found = values(corrupt(clean, "clouds", severity, 0))[:, 0]
        opacity = found[:, 0] / 0.95
        assert abs((opacity > 0.5).mean() - cover) < 0.001
        assert (opacity >= before - 1e-6).all()
        before = opacity
    peak = found.max(axis=(0, 2, 3))
    np.testing.assert_allclose(peak, (0.95, CLOUD_UNIT[2], CLOUD_UNIT[3], CLOUD_UNIT[4]), atol=1e-3)


def test_one_cloud_for_all_optical_sensors() -> None:
    flat = np.zeros((1, 1, 1, 48, 48))
    given = Batch({"a": image(flat), "b": image(flat)}, ids=("x",))
    found = corrupt(given, "clouds", 3, 0)
    assert torch.equal(found.inputs["a"].values, found.inputs["b"].values)
    noisy = corrupt(given, "gaussian_noise", 3, 0)
    assert not torch.equal(noisy.inputs["a"].values, noisy.inputs["b"].values)


@pytest.mark.parametrize("announced", [False, True])
def test_gaps(announced: bool) -> None:
    count = 12
    clean = Batch({"image": image(np.full((count, 1, 2, 80, 80), 0.5))}, ids=tuple(map(str, range(count))))
    before = np.zeros((count, 80, 80), bool)
    kinds = set()
    for severity, share in zip(SEVERITIES, (0.05, 0.1, 0.2, 0.3, 0.4), strict=True):
        found = corrupt(clean, "gaps", severity, 0, announced=announced)
        gone = values(found)[:, 0, 0] == 0
        assert abs(gone.mean(axis=(1, 2)) - share).max() <= 0.02
        assert (gone | ~before).all()
        seen = found.inputs["image"].valid.expand(count, 1, 2, 80, 80)[:, 0, 0].numpy()
        assert (seen == ~gone).all() if announced else seen.all()
        before = gone
    for each in before:
        kinds.add("rows" if each.all(1).any() else "columns" if each.all(0).any() else "blocks")
    assert kinds == {"rows", "columns", "blocks"}


def test_blur_keeps_constants_and_means_over_a_line() -> None:
    clean = Batch({"image": image(np.full((2, 1, 1, 40, 31), 0.3))}, ids=("a", "b"))
    for name in ("gaussian_blur", "motion_blur"):
        np.testing.assert_allclose(values(corrupt(clean, name, 5, 0)), 0.3, atol=1e-6)
    kernels = line_kernels(np.array([0.0, np.pi / 2]), 5)
    np.testing.assert_allclose(kernels[0][2], kernels[1][:, 2], atol=1e-7)
    assert kernels[0][[0, 1, 3, 4]].max() < 1e-6
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, atol=1e-6)


def test_gaussian_blur_is_the_textbook_one_inside() -> None:
    from scipy import ndimage

    clean = batch(1, 48)
    found = values(corrupt(clean, "gaussian_blur", 3, 0))[0, 0]
    expected = ndimage.gaussian_filter(values(clean)[0, 0], (0, 2, 2), truncate=3)
    np.testing.assert_allclose(found[:, 8:-8, 8:-8], expected[:, 8:-8, 8:-8], atol=1e-5)


def test_brightness_by_hand() -> None:
    clean = Batch({"image": image(np.full((8, 1, 1, 4, 4), 0.3))}, ids=tuple("abcdefgh"))
    found = values(corrupt(clean, "brightness_contrast", 3, 0))[:, 0, 0, 0, 0]
    low, high = 0.5 - 0.2 * 0.7 - 0.15, 0.5 - 0.2 * 0.7 + 0.15
    assert np.minimum(abs(found - low), abs(found - high)).max() < 1e-6
    assert np.ptp(found) > 0.2  # both signs occur


def test_elevation_and_flags_keep_their_numbers() -> None:
    from swath.sensors import Band, BandSet

    names = BandSet((Band("red", kind="reflectance"), Band("dem", kind="elevation", unit="m")))
    given = Batch({"image": image(np.random.default_rng(0).random((1, 1, 2, 32, 32)), names=names)}, ids=("a",))
    found = values(corrupt(given, "gaussian_noise", 5, 0))
    np.testing.assert_array_equal(found[:, :, 1], values(given)[:, :, 1])
    only = Batch({"image": image(np.zeros((1, 1, 1, 32, 32)), names=names.select(["dem"]))}, ids=("a",))
    with pytest.raises(ConfigError, match="No input has bands"):
        corrupt(only, "gaussian_noise", 5, 0)


def test_scale_given_or_of_the_sample() -> None:
    clean = batch(2, names=bands(3, "reflectance"))
    third = {"image": Scale.given([0.0] * 3, [0.5] * 3)}
    noise = values(corrupt(clean, "gaussian_noise", 1, 0, scales=third)) - values(clean)
    assert abs(noise.std() - 0.02) < 0.001
    with pytest.raises(InputError, match="4 bands"):
        corrupt(clean, "haze", 1, 0, scales={"image": Scale.given([0.0] * 4, [1.0] * 4)})
    clean = batch(2, 96, names=bands(3, "reflectance"))
    own = Scale.of_samples(clean.inputs["image"])
    expected = np.quantile(values(clean), (0.02, 0.98), axis=(1, 3, 4))
    np.testing.assert_allclose(own.low.numpy()[:, 0, :, 0, 0], expected[0], atol=2e-3)
    np.testing.assert_allclose(own.high.numpy()[:, 0, :, 0, 0], expected[1], atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    severity=st.integers(1, 5),
    height=st.integers(25, 40),
    width=st.integers(25, 40),
    seed=st.integers(0, 2**40),
)
def test_any_size_keeps_the_contract(name: str, severity: int, height: int, width: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    seen = stream.random((2, 1, 1, height, width)) > 0.3
    given_ = Batch({"image": image(stream.random((2, 1, 3, height, width)), seen)}, ids=("a", "b"))
    found = corrupt(given_, name, severity, seed)
    found.check()
    assert values(found).min() >= 0 and values(found).max() <= 1
