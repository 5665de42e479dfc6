"""Masked reconstruction: the loss by its parts, invalid pixels, dates and places, records, resumption, judging."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from masked_fakes import BANDS, FIRST, SmoothLoader, grouped, smooth_batch, space_time, standardise
from matplotlib.image import imread

from swath import rng
from swath.errors import ConfigError, ContractError, InputError
from swath.learn import FitConfig, SegmentationTask, fit, save_checkpoint
from swath.learn.objectives import (
    MaskedReconstruction,
    MaskingOptions,
    Restored,
    load_masked,
    masked_validation,
    picture,
)
from swath.learn.objectives.judging import scores
from swath.nn import UNet, losses
from swath.nn.masking import draw_noise, random_mask
from swath.nn.multiscale import scales
from swath.nn.reconstruction import group_loss
from swath.sensors import BandSet
from swath.types import Batch


def stream(seed: int = 0) -> torch.Generator:
    return rng.torch_generator(seed, "test")


def changed(batch: Batch, **parts: Any) -> Batch:
    return replace(batch, inputs={"image": replace(batch.inputs["image"], **parts)})


def value(task: MaskedReconstruction, batch: Batch, seed: int = 0) -> float:
    found = task.loss(batch, stream(seed))
    return float(found["loss_sum"].detach()) / max(float(found["count"]), 1)


def test_loss_of_several_scales_by_its_parts() -> None:
    task, batch = grouped(2, fine_weight=0.25), smooth_batch([0, 1], 32, holes=0.02)
    modality = batch.inputs["image"]
    valid = modality.valid.expand_as(modality.values)
    levels = scales(task.normalise(modality.values, valid)[:, 0], valid[:, 0], 2)
    mask = random_mask(draw_noise(stream(), 2, 2 * 4), 0.75)  # 8 pixels, patches of 4, two groups
    made = task.model(levels[0][0], mask)
    tokens = group_loss(made.image, *levels[0], mask.hidden, groups=((0, 2, 3), (1,)), patch=4)
    twice, four = (losses.l1(made.larger[n], *levels[n + 1]).mean() for n in (0, 1))
    found = task.loss(batch, stream())
    assert int(found["count"]) == int(tokens.count) <= 12
    wanted = 0.75 * tokens.mean() + 0.25 * (twice + four) / 2
    torch.testing.assert_close(found["loss_sum"] / found["count"], wanted)


@pytest.mark.parametrize("task", [grouped(), grouped(1), space_time()])
def test_what_is_invalid_never_counts(task: MaskedReconstruction) -> None:
    batch = smooth_batch([0, 1, 2])
    modality = batch.inputs["image"]
    wild = changed(batch, values=torch.where(modality.valid, modality.values, float("nan")))
    first, second = task.loss(batch, stream()), task.loss(wild, stream())
    assert first["loss_sum"].equal(second["loss_sum"]) and first["count"].equal(second["count"])
    second["loss_sum"].backward()
    assert all(bool(p.grad.isfinite().all()) for p in task.parameters() if p.grad is not None)
    nothing = task.loss(changed(batch, valid=torch.zeros_like(modality.valid)), stream())
    assert float(nothing["loss_sum"].detach()) == 0 and float(nothing["count"]) == 0


def test_masks_depend_on_the_generator_alone() -> None:
    task, batch = grouped(), smooth_batch([0, 1])
    assert value(task, batch) == value(task, batch) != value(task, batch, seed=1)
    assert value(grouped(kind="consistent"), batch) != value(task, batch)


@pytest.mark.parametrize("task", [grouped(), space_time()])
def test_bands_are_found_by_name(task: MaskedReconstruction) -> None:
    batch = smooth_batch([0, 1])
    modality, order = batch.inputs["image"], [3, 1, 0, 2]
    other = changed(batch, values=modality.values[:, :, order], bands=BandSet(tuple(BANDS[i] for i in order)))
    assert value(task, other) == value(task, batch)
    short = changed(batch, values=modality.values[:, :, :3], bands=BANDS[:3])
    with pytest.raises(InputError, match="B08"):
        task.loss(short, stream())
    with pytest.raises(ContractError, match="no input 'image'"):
        task.loss(replace(batch, inputs={"sar": modality}), stream())


def test_dates_of_a_grouped_network_are_samples() -> None:
    task, batch = grouped(), smooth_batch([0], dates=3)
    restored = task.restore(batch, stream())
    assert restored.made.shape == (1, 3, 4, 16, 16)
    modality = batch.inputs["image"]
    apart = replace(
        smooth_batch([0, 1, 2]),
        inputs={"image": replace(modality, values=modality.values.transpose(0, 1), valid=modality.valid.transpose(0, 1),
                                 time=modality.time.T, grid=modality.grid * 3)},
    )  # fmt: skip
    assert value(task, apart) == value(task, batch)


def test_hidden_pixels_of_groups_and_dates() -> None:
    restored = grouped().restore(smooth_batch([0]), stream())
    mask = random_mask(draw_noise(stream(), 1, 32), 0.75).hidden.reshape(2, 4, 4)
    for band, group in enumerate((0, 1, 0, 0)):
        assert restored.hidden[0, 0, band].equal(mask[group].repeat_interleave(4, 0).repeat_interleave(4, 1))
    assert restored.pasted()[~restored.hidden].equal(restored.original[~restored.hidden])
    assert restored.pasted()[restored.hidden].equal(restored.made[restored.hidden])
    series = space_time(masking={"kind": "dates", "dates": 2}).restore(smooth_batch([0, 1], dates=3), stream())
    whole = series.hidden.flatten(2)
    assert whole.all(2).equal(whole.any(2)) and whole.all(2).sum(1).tolist() == [2, 2]
    tube = space_time(masking={"kind": "consistent", "ratio": 0.5}).restore(smooth_batch([0], dates=3), stream())
    assert tube.hidden[:, 0].equal(tube.hidden[:, 2]) and not tube.hidden.all()
    with pytest.raises(ConfigError, match="every date by itself"):
        grouped(kind="dates")


def test_when_and_where_are_told() -> None:
    batch = smooth_batch([0, 1], dates=2)
    modality = batch.inputs["image"]
    task = space_time(("time", "place"), {"drop_metadata": 0.0})
    later = changed(batch, time=modality.time + 86_400 * 90)
    assert value(task, later) != value(task, batch)
    deaf = space_time(("time", "place"), {"drop_metadata": 1.0})
    assert value(deaf, later) == value(deaf, batch)
    about = task._about(batch)
    assert about is not None
    places = modality.lonlat()[:, :, 8, 8]
    torch.testing.assert_close(about.longitude.float(), places[:, 0], atol=2e-4, rtol=0)
    torch.testing.assert_close(about.latitude.float(), places[:, 1], atol=2e-4, rtol=0)
    assert about.year[0].tolist() == [2024, 2024] and about.day[0].tolist() == [152, 182]
    unknown = modality.time.clone()
    unknown[1, 0] = 0
    with pytest.raises(InputError, match="date of the sample 'chip-01'"):
        task.loss(changed(batch, time=unknown), stream())
    assert value(space_time(), changed(batch, time=unknown)) == value(space_time(), batch)
    assert modality.time[0, 0] == FIRST


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="takes 4 bands; there are 3"):
        MaskedReconstruction(grouped().model, standardise(), BANDS[:3])
    with pytest.raises(ContractError, match="nearest is 8 or 12"):
        grouped().loss(smooth_batch([0], 10), stream())
    with pytest.raises(ContractError, match="multiple of 4"):
        grouped(2).loss(smooth_batch([0], 18), stream())


@pytest.mark.parametrize("task", [grouped(1, kind="consistent", ratio=0.5), space_time(("time",), dates=2)])
def test_checkpoints_give_the_same_network(task: MaskedReconstruction, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", task, config={}, provenance={})
    again = load_masked(tmp_path / "best")
    assert again.record() == task.record() and again.masking == task.masking and not again.training
    batch = smooth_batch([0], dates=2)
    assert again.restore(batch, stream()).made.equal(task.restore(batch, stream()).made)
    (tmp_path / "best" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError):
        load_masked(tmp_path / "best")


def test_checkpoints_of_other_tasks_are_refused(tmp_path: Path) -> None:
    other = SegmentationTask(UNet(4, 2, width=8, depth=1), standardise(), BANDS, ("water", "land"))
    save_checkpoint(tmp_path / "best", other, config={}, provenance={})
    with pytest.raises(InputError, match="of the task 'segmentation'"):
        load_masked(tmp_path / "best")


FIT = FitConfig(epochs=3, learning_rate=3e-3, threads=1, ema_decay=0.9, monitor="masked_mse", monitor_mode="min")


class Stopped(Exception):
    pass


def test_a_run_that_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    held_out = masked_validation(SmoothLoader(samples=2, batch_size=2))
    whole, parts = grouped(), grouped()
    fit(whole, SmoothLoader(), config=FIT, out=tmp_path / "whole", seed=0, validate=held_out, progress=False)

    def stop(batch: int) -> None:
        if batch == 3:
            raise Stopped

    with pytest.raises(Stopped):
        fit(parts, SmoothLoader(on_batch=stop), config=FIT, out=tmp_path / "parts", seed=0, validate=held_out,
            progress=False)  # fmt: skip
    parts = grouped()
    result = fit(parts, SmoothLoader(), config=FIT, out=tmp_path / "parts", seed=0, validate=held_out, progress=False)
    assert result.resumed
    for one, other in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("kind", ["grouped", "space_time"])
def test_it_learns_to_make_slopes_up(kind: str, tmp_path: Path) -> None:
    task = grouped(ratio=0.5) if kind == "grouped" else space_time(masking={"ratio": 0.5})
    loader = SmoothLoader(samples=128, batch_size=8)
    held_out = masked_validation(SmoothLoader(samples=8, batch_size=8))
    config = FIT.model_copy(update={"epochs": 10, "learning_rate": 2e-2})
    result = fit(task, loader, config=config, out=tmp_path, seed=0, validate=held_out, progress=False)
    last = result.history[-1]
    assert last["masked_mse"] < 0.5 * last["masked_mse_mean"]
    assert last["masked_psnr"] > result.history[0]["masked_psnr"] + 3
    assert held_out(task, 7) == held_out(task, 8)  # the same tokens are hidden every time


def test_scores_by_hand() -> None:
    original = torch.tensor([0.0, 2.0, 4.0, -1.0]).reshape(1, 1, 1, 2, 2)
    made = torch.tensor([0.0, 3.0, 1.0, 9.0]).reshape(1, 1, 1, 2, 2)
    hidden = torch.tensor([False, True, True, True]).reshape(1, 1, 1, 2, 2)
    valid = torch.tensor([True, True, True, False]).reshape(1, 1, 1, 2, 2)
    fine = original.repeat_interleave(2, 3).repeat_interleave(2, 4)
    everywhere = torch.ones_like(fine, dtype=torch.bool)
    found = scores([Restored(original, made, hidden, valid, ((fine, fine + 1, everywhere),))])
    assert found["masked_mse"] == pytest.approx((1 + 9) / 2)
    assert found["masked_mse_mean"] == pytest.approx((4 + 16) / 2)
    assert found["masked_psnr"] == pytest.approx(10 * math.log10(16 / 5))  # the range of the valid pixels is 4
    assert found["psnr_2x"] == pytest.approx(10 * math.log10(16))
    finer = {"psnr_2x", "psnr_2x_bilinear", "psnr_2x_bilinear_seen", "psnr_2x_bicubic_input"}
    assert set(found) == {"masked_mse", "masked_mse_mean", "masked_psnr"} | finer
    # Flat images enlarge to themselves: 3 where made up, 4 where seen, and 4 is right.
    flat = torch.full((1, 1, 1, 2, 2), 4.0)
    level = Restored(flat, flat - 1, hidden, torch.ones_like(hidden), ((fine * 0 + 4, fine, everywhere),))
    assert scores([replace(level, hidden=torch.zeros_like(hidden))])["psnr_2x_bilinear_seen"] == math.inf
    assert scores([replace(level, hidden=torch.ones_like(hidden))])["psnr_2x_bilinear_seen"] == pytest.approx(
        scores([level])["psnr_2x_bilinear"]
    )
    assert scores([level])["psnr_2x_bicubic_input"] > 100  # nothing is hidden from it
    empty = scores([Restored(original, made, hidden & False, valid)])
    assert math.isnan(empty["masked_mse"]) and math.isnan(empty["masked_psnr"])


@pytest.mark.parametrize("task", [grouped(2, ratio=0.5), space_time()])
def test_pictures(task: MaskedReconstruction, tmp_path: Path) -> None:
    path = picture(task, smooth_batch([0, 1, 2]), tmp_path / "picture.png", samples=2)
    drawn = imread(path)
    assert drawn.shape[0] > 300 and drawn[..., :3].std() > 0.05
    with pytest.raises(ConfigError, match="0 samples"):
        picture(task, smooth_batch([]), tmp_path / "none.png")


def test_options_are_checked() -> None:
    for ratio in (0.0, 1.0):
        with pytest.raises(ValueError, match="ratio"):
            MaskingOptions(ratio=ratio)
