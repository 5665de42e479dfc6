"""Prithvi-EO-1.0: who fills gaps and how that is scored, transfer to tasks of real10, controls, and the smoke."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from swath import rng, sensors, systems
from swath.errors import InputError
from swath.judge import load_registration
from swath.judge.real10 import Inputs, Samples, Target
from swath.judge.real10.networks import Network, SceneCNN
from swath.learn.objectives import MaskedReconstruction
from swath.nn import UNet
from swath.sensors import BandSet
from swath.systems.eo import _prithvi_curves as curves
from swath.systems.eo import _prithvi_gaps as gaps
from swath.systems.eo import _prithvi_imputing as imputing
from swath.systems.eo import _prithvi_tasks as few_labels
from swath.systems.eo import _world_series as world_series
from swath.systems.eo import prithvi_eo_1
from swath.systems.eo._prithvi_tasks import Transferred, Tuning
from swath.types import ResultRow

CONFIG = prithvi_eo_1.Config.quick()
SERIES = world_series.made_up(5, 5, 16, 1)
TUNING = Tuning(steps=2, rate=1e-3, head_width=8)


def start(seed: int = 0, hidden: str = "random") -> MaskedReconstruction:
    return prithvi_eo_1.objective(CONFIG, hidden, SERIES, seed)


def maps(side: int = 10, times: int = 2) -> Samples:
    """Tiles of one class each, plain to see in the red band."""
    stream = rng.generator(0, "test maps", side)
    classes = np.tile(np.arange(12) % 2, (side, side, 1)).transpose(2, 0, 1).astype(np.int64)
    bands = sensors.load("sentinel2_l2a").bands
    values = stream.normal(0.2, 0.02, (12, times, len(bands), side, side)).astype(np.float32)
    values[:, :, bands.position("B04")] += 0.2 * classes[:, None].astype(np.float32)
    month, place = np.full((12, times), 4), np.zeros((12, 2))
    inputs = Inputs(values, np.ones(values.shape, bool), bands, month, place, True)
    names = tuple(f"tile {number}" for number in range(12))
    return Samples(inputs, Target(classes, ("low", "high")), names, names, np.ones((12, 2), bool))


def test_shuffled_series_keep_the_distribution_of_each_band_and_nothing_else() -> None:
    mixed = world_series.shuffled(SERIES, 3)
    for band in range(len(world_series.BANDS)):
        np.testing.assert_array_equal(np.sort(mixed.values[:, :, band], None), np.sort(SERIES.values[:, :, band], None))
    season = [np.ptp(series.values[:, :, 3].mean(axis=(2, 3))) for series in (SERIES, mixed)]
    assert season[1] < 0.2 * season[0]
    np.testing.assert_array_equal(mixed.values, world_series.shuffled(SERIES, 3).values)
    assert not np.array_equal(mixed.values, world_series.shuffled(SERIES, 4).values)
    torch.testing.assert_close(mixed.normalise().mean, SERIES.normalise().mean)


def test_all_fill_the_same_dates_and_see_nothing_of_them() -> None:
    (batch,) = world_series.fixed(SERIES.take([0]), dates=3, size=16, per_place=5, seed=0)
    hidden = gaps.hidden_dates(batch, 1, 0, 0).hidden
    normalise = SERIES.normalise()
    unet = imputing.GapUNet(UNet(3 * 7, 6, width=8, depth=1, stem_stride=1), normalise)
    fills = {"network": imputing.NetworkFill(start()), "unet": unet.fill, **imputing.simple_fills(normalise)}
    image = batch.inputs["image"]
    other = image.values.clone()
    other[hidden] = 9.0
    changed = replace(batch, inputs={"image": replace(image, values=other)})
    for name, fill in fills.items():
        made = fill(batch, hidden)
        assert made.shape == (5, 6, 16, 16), name
        np.testing.assert_array_equal(made, fill(changed, hidden), err_msg=name)


def test_network_and_unet_learn_from_the_same_hidden_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    (batch,) = world_series.fixed(SERIES.take([0]), dates=3, size=16, per_place=6, seed=0)
    seen = []
    unet = imputing.GapUNet(UNet(3 * 7, 6, width=8, depth=1, stem_stride=1), SERIES.normalise())
    monkeypatch.setattr(unet.network, "forward", lambda image: seen.append(image) or torch.zeros(6, 6, 16, 16))
    found = unet.loss(batch, torch.Generator().manual_seed(7))
    marks = seen[0].unflatten(1, (3, 7))[:, :, 6, 0, 0].bool()
    task = start(hidden="dates")
    values = imputing.standardised(task.normalise, batch)
    mask = task._mask(values, torch.Generator().manual_seed(7))
    assert torch.equal(mask.hidden.unflatten(1, (3, -1)).all(2), marks) and bool((marks.sum(1) == 1).all())
    expected = values[marks].square().mean(dim=(1, 2, 3)).sum()
    torch.testing.assert_close(found["loss_sum"], expected)
    assert int(found["count"]) == 6


def test_scores_of_what_is_perfect_and_of_the_mean() -> None:
    samples = world_series.fixed(SERIES.take([0, 1]), dates=3, size=16, per_place=3, seed=0)
    normalise = SERIES.normalise()

    def perfect(batch: object, hidden: torch.Tensor) -> np.ndarray:
        return imputing.standardised(normalise, batch)[hidden].numpy()  # type: ignore[arg-type]

    fills = {"perfect": perfect, "zero": lambda batch, hidden: 0 * perfect(batch, hidden)}
    found = imputing.scores(fills, samples, normalise, 0)
    assert found["perfect"] == {"mse": 0.0, "ssim": pytest.approx(1.0)}
    truth = [
        imputing.standardised(normalise, batch)[gaps.hidden_dates(batch, 1, 0, number).hidden]
        for number, batch in enumerate(samples)
    ]
    assert found["zero"]["mse"] == pytest.approx(float(torch.cat(truth).double().square().mean()))
    assert found["zero"]["ssim"] < 0.5


def test_arms_differ_in_the_encoder_alone() -> None:
    samples, other = maps(), start(1)
    with torch.no_grad():
        other.model.encoder.embed.weight.mul_(2.0)
    made = []
    for source in (start(), other):
        model = Transferred(source, replace(TUNING, steps=1, rate=1e-12), 5).fit(samples.inputs, samples.target)
        assert model._made is not None
        made.append(model._made.network)
        wanted, found = source.model.encoder.state_dict(), made[-1].encoder.state_dict()
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, msg=key)
    for one, two in zip(made[0].head.parameters(), made[1].head.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-9, rtol=0)
    assert not torch.allclose(made[0].encoder.embed.weight, made[1].encoder.embed.weight)


def test_a_transformer_learns_tiles_that_no_patch_divides() -> None:
    samples = maps(side=10)
    model = Transferred(start(), Tuning(60, 3e-3, 8), 0).fit(samples.inputs, samples.target)
    answer = model.predict(samples.inputs)
    assert answer.shape == samples.target.values.shape and (answer == samples.target.values).mean() > 0.85


def test_only_the_bands_it_knows_are_read() -> None:
    samples = maps(times=1)
    model = Transferred(start(), TUNING, 0).fit(samples.inputs, samples.target)
    answer = model.predict(samples.inputs)
    other = samples.inputs.values.copy()
    other[:, :, samples.inputs.bands.position("B05")] = 5.0
    np.testing.assert_array_equal(answer, model.predict(replace(samples.inputs, values=other)))
    none = samples.inputs.bands.select(["B01", "B09"])
    strange = replace(samples.inputs, values=samples.inputs.values[:, :, :2], valid=samples.inputs.valid[:, :, :2])
    with pytest.raises(InputError, match="None of the bands"):
        Transferred(start(), TUNING, 0).fit(replace(strange, bands=none), samples.target)


def test_who_was_told_starts_from_what_it_learned() -> None:
    samples = maps(side=8, times=1)
    model = Transferred(start(), TUNING, 0, samples)
    begun: list[tuple[int, dict[str, torch.Tensor]]] = []

    def make(inputs: Inputs, answers: int) -> torch.nn.Module:
        network = model._make(inputs, answers)
        assert model._made is not None
        weights = model._made.network.encoder.state_dict()
        begun.append((len(inputs), {key: value.clone() for key, value in weights.items()}))
        return network

    model._learner._make = make
    few = np.array([3])
    model.fit(samples.inputs.take(few), samples.target.take(few))
    assert [count for count, _ in begun] == [12, 1]
    first, second = (weights["embed.weight"] for _, weights in begun)
    torch.testing.assert_close(first, start().model.encoder.state_dict()["embed.weight"])
    assert model._encoder is not None
    torch.testing.assert_close(second, model._encoder["embed.weight"])
    assert float((second - first).abs().max()) > 1e-4


def test_landsat_bands_match_by_what_they_show() -> None:
    scene = BandSet(tuple(replace(band, kind="radiance") for band in sensors.load("landsat5_tm").bands))
    bands = few_labels.as_reflectance(scene)
    found = bands.match(world_series.bands())
    assert [bands[place].name for place in found.indices if place is not None] == ["B1", "B2", "B3", "B4", "B5", "B7"]
    assert [band.kind for band in bands if band.name in ("B4", "B6")] == ["reflectance", "radiance"]


def test_a_network_of_ones_own_in_the_suites_loop() -> None:
    samples = maps(side=16, times=1)
    asked = []

    def make(inputs: Inputs, answers: int) -> torch.nn.Module:
        asked.append((inputs.values.shape, answers))
        return SceneCNN(inputs.values.shape[2], answers)

    scenes = replace(samples.inputs, dense=False)
    target = Target(samples.target.values[:, :1, :1], samples.target.names)
    model = Network(0, 2, make=make, rate=1e-3).fit(scenes, target)
    assert model.predict(scenes).shape == (12, 1, 1) and asked == [(samples.inputs.values.shape, 2)]


def test_the_loss_curve_in_rows_and_as_a_picture(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,step,loss\n0,5,1.5\n1,10,0.5\n", encoding="utf-8")
    found = curves.rows(tmp_path, ResultRow("r", "s", seed=0))
    assert [(row.group, row.value, row.metric) for row in found] == [
        ("epoch 00", 1.5, "pretraining_loss"), ("epoch 01", 0.5, "pretraining_loss"),
    ]  # fmt: skip
    assert curves.picture(tmp_path, tmp_path / "loss.png").stat().st_size > 1000


def test_the_smoke_and_the_names_that_are_registered(tmp_path: Path) -> None:
    module = systems.load("prithvi_eo_1")
    report = module.run(module.Config.quick(), tmp_path, seed=1)
    assert report.data == "fixture" and {row.data_kind for row in report.rows} == {"fixture"}
    found = {(row.metric, row.backbone, row.group) for row in report.rows}
    registered = load_registration(Path(__file__).parents[2] / "claims" / "prithvi_eo_1.toml")
    for claim in registered:
        groups = [None] if claim.over == "seed" else ["polygons_landsat", "land_use"]
        for who in (claim.contender, claim.baseline):
            assert {(claim.metric, who, group) for group in groups} <= found, claim.name
    assert {kind for claim in registered if (kind := claim.control_kind)} == {"negative", "positive"}
    for name in ("reconstructions.png", "loss.png"):
        assert (tmp_path / name).stat().st_size > 1000
    value = {(row.metric, row.backbone): row.value for row in report.rows if row.group is None}
    assert value["gap_relative_mse", "scratch"] == 1.0
    of_task = [row.value for row in report.rows if row.metric == "score_few" and row.backbone == "told" and row.group]
    assert value["score_few", "told"] == pytest.approx(np.mean(of_task))
