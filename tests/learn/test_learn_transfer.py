"""A pretrained encoder under a head: equal weights, other bands by name, what is absent or new is told."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from masked_fakes import BANDS, SmoothLoader, grouped, smooth_batch, space_time

from swath import sensors
from swath.errors import InputError
from swath.learn import FitConfig, SegmentationTask, fit, load_checkpoint, save_checkpoint
from swath.learn.objectives import MaskedReconstruction, PretrainedNetwork, pretrained_encoder, pretrained_network
from swath.learn.record import ARCHITECTURES
from swath.nn.grouped import GroupedEncoder
from swath.nn.space_time import SpaceTimeEncoder
from swath.nn.time_place import TimePlace
from swath.sensors import Band, BandSet
from swath.types import Batch, Features

EVERY = [grouped(), space_time(("time",))]


def rows(report: object) -> dict[str, str]:
    return dict(report.bands)  # type: ignore[attr-defined]


def encode(encoder: GroupedEncoder | SpaceTimeEncoder, image: torch.Tensor) -> Features:
    if isinstance(encoder, GroupedEncoder):
        grouped_features: Features = encoder(image)
        return grouped_features
    features: Features = encoder(image[:, None], TimePlace.unknown(len(image)))
    return features


def labelled(batch: Batch) -> Batch:
    """The same with a label per pixel: dark or bright in B02."""
    label = (batch.inputs["image"].values[:, 0, 0] > 0.2).long()
    return replace(batch, targets={"label": label}, target_valid={"label": torch.ones_like(label, dtype=torch.bool)})


@pytest.mark.parametrize("task", EVERY)
def test_weights_are_those_of_the_checkpoint(task: MaskedReconstruction, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", task, config={}, provenance={})
    made = pretrained_network(tmp_path / "best", BANDS, 3, head="fcn", head_width=16)
    stored = task.model.encoder.state_dict()
    found = made.network.encoder.state_dict()
    assert set(found) == set(stored) and all(found[name].equal(stored[name]) for name in stored)
    assert made.report.numbers[0] == made.report.numbers[1] and not made.report.new
    assert made.bands == BANDS and made.normalise.mean.tolist() == task.normalise.mean.tolist()
    image = torch.randn(2, 4, 18, 14)  # no multiple of the patch
    assert made.network(image).shape == (2, 3, 18, 14)
    assert pretrained_network(task, BANDS, 5, head="vector").network(image).shape == (2, 5)
    assert pretrained_network(task, BANDS, 5, head="upernet", head_width=16).network(image).shape == (2, 5, 18, 14)


@pytest.mark.parametrize("task", EVERY)
def test_a_lost_band_is_its_mean(task: MaskedReconstruction) -> None:
    offered = sensors.load("sentinel2_l2a").bands.select(["B12", "B08", "B02", "B03"])
    encoder, used, report = pretrained_encoder(task, offered)
    assert used.names == ("B02", "B03", "B08")  # the order of pretraining
    told = rows(report)
    assert told["B04"].startswith("absent") and told["B12"].startswith("new")
    assert told["B08"] == "B08 of pretraining, by name"
    whole, _, _ = pretrained_encoder(task, BANDS)
    image = torch.randn(1, 4, 16, 16)
    image[:, 2] = 0.0  # the mean of B04
    with torch.no_grad():
        full, cut = encode(whole, image), encode(encoder, image[:, [0, 1, 3]])
    for one, other in zip(full.maps, cut.maps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_group_without_bands_is_left_out_and_the_others_keep_their_code() -> None:
    task = grouped()
    encoder, used, report = pretrained_encoder(task, BANDS.select(["B03"]))
    assert encoder.spec.groups == ((0,),) and encoder.spec.group_codes == (1,)  # type: ignore[union-attr]
    assert used.names == ("B03",)
    assert encoder.state_dict()["project.0.weight"].equal(task.model.encoder.state_dict()["project.1.weight"])
    assert rows(report)["B02"].startswith("absent")


def test_bands_of_another_sensor() -> None:
    landsat = sensors.load("landsat8_oli").bands
    _, used, report = pretrained_encoder(grouped(), landsat)
    assert used.names == ("B2", "B3", "B4", "B5") and rows(report)["B5"] == "B08 of pretraining, by alias"
    bare = BandSet((Band("first", wavelength_nm=482.0, width_nm=60.0, kind="reflectance"),))
    assert rows(pretrained_encoder(grouped(), bare)[2])["first"] == "B02 of pretraining, by wavelength"
    with pytest.raises(InputError, match="None of the bands VV, VH"):
        pretrained_encoder(grouped(), BandSet.of("VV", "VH", kind="backscatter", unit="dB"))


@pytest.mark.parametrize("task", EVERY)
def test_fine_tuning_learns(task: MaskedReconstruction, tmp_path: Path) -> None:
    made = pretrained_network(task, BANDS, 2, head="linear")
    network = made.network
    segmenter = SegmentationTask(network, made.normalise, made.bands, ("dark", "bright"))
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    batch = labelled(smooth_batch([0, 1, 2, 3], holes=0.0))
    optimiser = torch.optim.AdamW(segmenter.parameters(), lr=3e-3)
    generator = torch.Generator()
    values = []
    for _ in range(30):
        found = segmenter.loss(batch, generator)
        optimiser.zero_grad()
        (found["loss_sum"] / found["count"]).backward()
        optimiser.step()
        values.append(float(found["loss_sum"].detach() / found["count"]))
    assert values[-1] < 0.5 * values[0]
    assert not network.encoder.state_dict()["class_token"].equal(before["class_token"])


def test_a_tuned_network_comes_back_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"{PretrainedNetwork.__module__}:{PretrainedNetwork.__qualname__}"
    monkeypatch.setitem(ARCHITECTURES, "pretrained_encoder", place)
    for number, source in enumerate(EVERY):
        made = pretrained_network(source, BANDS.select(["B08", "B03"]), 2, head="linear")
        task = SegmentationTask(made.network, made.normalise, made.bands, ("dark", "bright")).eval()
        save_checkpoint(tmp_path / str(number), task, config={}, provenance={})
        again = load_checkpoint(tmp_path / str(number))
        batch = smooth_batch([0, 1])
        assert again.predict(batch).outputs["logits"].equal(task.predict(batch).outputs["logits"])


def test_series_are_pooled() -> None:
    made = pretrained_network(space_time(), BANDS, 3, head="linear")
    series = torch.randn(2, 3, 4, 16, 16)
    assert made.network(series).shape == (2, 3, 16, 16)
    assert made.network(series[:, 0]).shape == (2, 3, 16, 16)


def test_the_network_is_rebuilt_from_its_spec() -> None:
    network = pretrained_network(grouped(), BANDS, 3, head="linear").network
    again = PretrainedNetwork(**asdict(network.spec))
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 4, 16, 16)
    assert again.eval()(image).equal(network.eval()(image))
    assert (network.spec.in_channels, network.spec.out_channels) == (4, 3)


def test_pretraining_then_transfer_runs_through(tmp_path: Path) -> None:
    config = FitConfig(epochs=1, threads=1, ema_decay=None)
    result = fit(grouped(), SmoothLoader(samples=4), config=config, out=tmp_path, seed=0, progress=False)
    made = pretrained_network(result.last, BANDS, 2, head="vector")
    assert made.network(torch.zeros(1, 4, 16, 16)).shape == (1, 2)
