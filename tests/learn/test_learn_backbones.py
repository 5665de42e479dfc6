"""Published encoders that learn: narrow ones through the same path, from files in the published layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learn_samples import Loader, MadeUp

from swath import sensors
from swath.errors import ConfigError, ContractError, InputError
from swath.learn import FitConfig, ModelTask, fit, load_checkpoint, read_options
from swath.learn.building import Measured, build
from swath.learn.distil import Distilled
from swath.learn.optimise import make_optimiser
from swath.learn.options import DistilOptions
from swath.learn.students import student_of
from swath.learn.transferred import TransferredNetwork
from swath.learn.when_where import about, places_of
from swath.models import satmaepp
from swath.models.backbones import NAMES, PublishedOptions, published_options, serve, spec_of
from swath.models.prithvi_keys import published_name
from swath.nn.grouped import GroupedEncoder
from swath.nn.space_time import SpaceTimeEncoder
from swath.sensors import Band, BandSet
from swath.types import Batch, Task
from swath.weights import entry

NARROW = {"width": 32, "depth": 2, "heads": 2, "patch": 8}
CONFIG = FitConfig(epochs=1, learning_rate=0.01, threads=1)
TL, GROUPED = "prithvi_eo_v2_300_tl", "satmaepp_vitl_grouped"


def weights(folder: Path, name: str, **options: Any) -> Path:
    """A file of a narrow encoder by the published names."""
    spec = spec_of(name, PublishedOptions(**{**NARROW, **options}))
    torch.manual_seed(3)
    network = SpaceTimeEncoder(spec) if not hasattr(spec, "groups") else GroupedEncoder(spec)  # type: ignore[arg-type]
    state = {f"encoder.{key}": torch.randn_like(value) * 0.1 for key, value in network.state_dict().items()}
    if name in satmaepp.NAMES:
        turned = (("encoder.project.", "patch_embed."), ("encoder.class_token", "cls_token"), ("encoder.", ""),
                  (".attention.project.", ".attn.proj."), (".attention.", ".attn."), (".mlp.expand.", ".mlp.fc1."),
                  (".mlp.contract.", ".mlp.fc2."))  # fmt: skip
        tensors = {}
        for key, value in state.items():
            for ours, theirs in turned:
                key = key.replace(ours, theirs)
            number = key.removeprefix("patch_embed.")
            tensors[f"patch_embed.{number[0]}.proj{number[1:]}" if number != key else key] = value
    else:
        tensors = {published_name(key): value for key, value in state.items()}
        tensors["encoder.pos_embed"] = torch.full((1, 3, 32), 1e6)
    path = folder / f"{name}.pt"
    torch.save({"model": tensors}, path)
    return path


def made(samples: MadeUp, name: str, where: str | Path, told: list[str] | None = None, **more: Any) -> ModelTask:
    network = {"backbone": name, "weights": str(where), "options": NARROW, "head_width": 8, **more.pop("network", {})}
    options = read_options({"network": network, **more})
    lines: list[str] = [] if told is None else told
    return build(samples, samples.measured(), options, seed=0, say=lines.append)


def body(task: ModelTask) -> Any:
    assert isinstance(task.network, TransferredNetwork)
    return task.network.body


def state(task: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.state_dict().items()}


@pytest.mark.parametrize("name", [TL, "prithvi_eo_v1_100", GROUPED])
def test_weights_of_a_file_learn_and_come_back(tmp_path: Path, name: str) -> None:
    samples, told = MadeUp("segmentation", {"image": 2}, size=12), []  # type: ignore[var-annotated]
    path = weights(tmp_path, name)
    task = made(samples, name, path, told, network={"head": "fcn"})
    stored = torch.load(path, weights_only=True)["model"]
    norm = "norm.weight" if name == GROUPED else "encoder.norm.weight"
    assert torch.equal(body(task).encoder.norm.weight, stored[norm])
    report = told[-1]
    assert "checksum NOT verified" in report and "B04" in report and "absent from the chips" in report
    assert ("time and place of the chips enter" in report) == (name == TL)
    result = fit(task, Loader(samples, 12), config=CONFIG, out=tmp_path / "run", seed=0, progress=False)
    assert not torch.equal(body(task).encoder.norm.weight, stored[norm])
    path.unlink()
    again, batch = load_checkpoint(result.last), samples.batch(samples.ids[:2])  # needs no other file
    first, second = task.predict(batch), again.predict(batch)
    assert torch.equal(first.outputs["logits"], second.outputs["logits"]) and torch.equal(first.valid, second.valid)
    assert first.outputs["logits"].shape == (2, 3, 12, 12)


@pytest.mark.parametrize(
    ("tuning", "learns"),
    [
        ("full", ""), ("frozen", "body.head"), ("linear", "body.head"), ("lora", "low_"), ("bottleneck", "adapter_"),
        ("prompt", "prompt"), ("bias", "bias"), ({"method": "partial", "blocks": 2}, "norm"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [TL, GROUPED])
def test_every_way_of_tuning(tuning: Any, learns: str, name: str) -> None:
    task = made(MadeUp(size=16), name, "random", tuning=tuning)
    learning = [key for key, value in task.named_parameters() if value.requires_grad]
    assert any(learns in key for key in learning) and any("body.head" in key for key in learning)
    if tuning != "full":
        frozen = [key for key, value in task.named_parameters() if not value.requires_grad]
        assert any("encoder.blocks.0.attention." in key and "qkv" in key for key in frozen)
    batch = MadeUp(size=16).batch(["chip-00", "chip-01"])
    found = task.loss(batch, torch.Generator())
    found["loss_sum"].backward()
    assert all(
        value.grad is not None for key, value in task.named_parameters() if value.requires_grad and learns in key
    )


def test_learning_rates_fall_by_block() -> None:
    task = made(MadeUp(size=16), TL, "random", network={"head": "linear"})
    config = FitConfig(learning_rate=1.0, layer_decay=0.5)
    groups = make_optimiser(task, config).param_groups
    rates = sorted({round(group["lr"], 6) for group in groups})
    assert rates == [0.0625, 0.125, 0.25, 0.5, 1.0]  # embedding, two blocks, normalisation, head


@pytest.mark.parametrize("task", ["segmentation", "pixel_regression", "classification", "multilabel", "regression"])
@pytest.mark.parametrize(("name", "time"), [(TL, "concat"), (TL, "attention"), (GROUPED, "pool")])
def test_every_task_and_join_of_dates(task: Task, name: str, time: str) -> None:
    samples = MadeUp(task, {"image": 3}, size=10)
    dense = task in ("segmentation", "pixel_regression")
    if not dense and time == "concat":
        with pytest.raises(ConfigError, match="class token, which has no dates"):
            made(samples, name, "random", time=time)
        return
    network = {"head": "transposed" if time == "concat" else "unet"} if dense else {}
    model = made(samples, name, "random", time=time, network=network)
    batch = samples.batch(samples.ids[:2])
    model.predict(batch).check(batch)
    assert torch.isfinite(model.loss(batch, torch.Generator())["loss_sum"])


def test_a_head_of_some_dates_takes_no_others() -> None:
    model = made(MadeUp(dates={"image": 3}, size=16), TL, "random", time="concat")
    with pytest.raises(ContractError, match="have 2 dates"):
        model.predict(MadeUp(dates={"image": 2}, size=16).batch(["chip-00"]))
    pooled = made(MadeUp(dates={"image": 3}, size=16), TL, "random")
    other = MadeUp(dates={"image": 2}, size=16).batch(["chip-00"])
    pooled.predict(other).check(other)


@pytest.mark.parametrize("border", ["pad", "resize"])
def test_sizes_that_the_patch_does_not_divide(border: str) -> None:
    samples = MadeUp(size=13)
    model = made(samples, "prithvi_eo_v2_600", "random", network={"options": {**NARROW, "patch": 14, "border": border}})
    batch = samples.batch(samples.ids[:1])
    model.predict(batch).check(batch)


def test_values_are_scaled_by_the_published_statistics() -> None:
    task = made(MadeUp(size=16), TL, "random")
    assert task.intake is not None
    normalise: Any = task.intake.normalise["image"]
    # Red, and narrow near infrared, of the second version: reflectance times 10000.
    np.testing.assert_allclose(normalise.mean.tolist(), [0.1433, 0.2734], rtol=1e-5)
    np.testing.assert_allclose(normalise.std.tolist(), [0.2178, 0.1850], rtol=1e-5)
    assert body(task).reading.slots == (2, 3)
    series = torch.randn(1, 1, 2, 8, 8)
    whole = body(task)._slotted(series)
    assert torch.equal(whole[:, :, [2, 3]], series) and float(whole[:, :, [0, 1, 4, 5]].abs().max()) == 0
    grouped = body(made(MadeUp(size=16), GROUPED, "random"))
    # 0 is the mean, half of the way from two standard deviations below to two above, in 255 steps.
    assert float(grouped._slotted(torch.zeros(1, 1, 2, 1, 1))[0, 0, 0]) == pytest.approx(127 / 255)
    assert grouped._groups_served() == [True, False, False]


def test_numbers_of_another_unit_are_refused() -> None:
    samples = MadeUp(size=16)
    stored = Measured({"image": (("B04", "B08"), (1200.0, 2500.0), (800.0, 900.0))}, samples.class_counts(), 16)
    options = read_options({"network": {"backbone": TL, "weights": "random", "options": NARROW}})
    with pytest.raises(InputError, match="pretrained on mean"):
        build(samples, stored, options, seed=0, say=lambda text: None)


def test_what_is_not_valid_is_not_seen() -> None:
    samples = MadeUp(dates={"image": 2}, size=16)
    batch = samples.batch(samples.ids[:2])
    task = made(samples, TL, "random", network={"head": "fcn"})
    image = batch.inputs["image"]
    dark = image.valid.clone()
    dark[:, 1] = False  # nothing of the second date
    values = torch.where(dark, image.values, 77.0)

    def answer(value: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        changed = Batch(
            {"image": replace(image, values=value, valid=valid)}, batch.targets, batch.target_valid, batch.ids
        )
        return task.predict(changed).outputs["logits"]

    assert torch.equal(answer(values, dark), answer(torch.where(dark, image.values, -5.0), dark))
    assert not torch.equal(answer(values, dark), answer(image.values, image.valid))


def test_when_and_where_enter_and_may_be_absent() -> None:
    samples = MadeUp(size=16)
    task, batch = made(samples, TL, "random"), samples.batch(samples.ids[:2])
    image = batch.inputs["image"]

    def answer(time: torch.Tensor, model: ModelTask = task) -> torch.Tensor:
        changed = Batch({"image": replace(image, time=time)}, batch.targets, batch.target_valid, batch.ids)
        return model.predict(changed).outputs["logits"]

    assert not torch.equal(answer(image.time), answer(image.time + 150 * 86_400))
    nothing = torch.zeros_like(image.time)
    assert torch.isfinite(answer(nothing)).all() and not torch.equal(answer(nothing), answer(image.time))
    mute = made(samples, TL, "random", network={"options": {**NARROW, "time": False, "place": False}})
    assert torch.equal(answer(image.time, mute), answer(nothing, mute))


def test_dates_and_places_by_hand() -> None:
    days = torch.tensor([[0.0, 19_000.0], [18_262.0, 18_627.5]], dtype=torch.float64)  # 1 January 2020, 31 December
    places = torch.tensor([[float("nan"), 3.0], [-70.0, -20.0]], dtype=torch.float64)
    found = about(days, places, ("time", "place"))
    assert found.time_known.tolist() == [False, True] and found.place_known.tolist() == [False, True]
    assert found.year[1].tolist() == [2020, 2020] and found.day[1].tolist() == [0, 365]
    assert (float(found.longitude[1]), float(found.latitude[1])) == (-70.0, -20.0)
    assert not about(days, places, ("place",)).time_known.any()
    assert about(days[:0], places[:0], ("time", "place")).samples == 0
    grid = MadeUp(size=8).batch(["chip-00"]).inputs["image"].grid
    np.testing.assert_allclose(places_of(grid).tolist(), [[15.0, 45.15]], atol=0.01)
    assert places_of(()).shape == (0, 2)


def test_other_bands_by_name_and_wavelength() -> None:
    landsat = serve(entry(TL), sensors.load("landsat8_oli").bands, "leave", {})
    assert landsat.bands.names == ("B2", "B3", "B4", "B5", "B6", "B7") and landsat.slots == (0, 1, 2, 3, 4, 5)
    offered = BandSet((Band("VV", kind="backscatter", unit="dB"), *sensors.load("sentinel2_l2a").bands.select(["B04"])))
    left = serve(entry(TL), offered, "leave", {})
    assert left.bands.names == ("B04",) and "left out" in dict(left.rows)["VV"]
    kept = serve(entry(TL), offered, "mean", {"VV": (-12.0, 4.0)})
    assert kept.bands.names == ("B04", "VV") and kept.slots == (2, 6) and kept.mean[1] == -12.0
    with pytest.raises(InputError, match="No band of the chips fits"):
        serve(entry(TL), BandSet.of("VV", kind="backscatter", unit="dB"), "leave", {})
    counts = BandSet((replace(offered[1], unit="DN"),))
    with pytest.raises(InputError, match="has the unit 'DN'"):
        serve(entry(TL), counts, "leave", {})


def test_new_bands_start_from_the_others(tmp_path: Path) -> None:
    samples, path = MadeUp(size=16), weights(tmp_path, TL)
    bands = BandSet((*samples.inputs["image"], Band("coherence", kind="variable")))

    class More(MadeUp):
        @property
        def inputs(self) -> Any:
            return {"image": bands}

    values = ("B04", "B08", "coherence"), [0.2, 0.3, 0.5], [0.1, 0.1, 0.2]
    measured = Measured({"image": values}, samples.class_counts(), 16)
    for word in ("mean", "zero"):
        options = read_options(
            {"network": {"backbone": TL, "weights": str(path), "options": {**NARROW, "new_bands": word}}}
        )
        task = build(More(size=16), measured, options, seed=0, say=lambda text: None)
        kernel = body(task).encoder.embed.weight
        stored = torch.load(path, weights_only=True)["model"]["encoder.patch_embed.proj.weight"]
        assert torch.equal(kernel[:, :6], stored)
        wanted = stored.mean(1) if word == "mean" else torch.zeros_like(stored[:, 0])
        assert torch.equal(kernel[:, 6], wanted)


def test_random_weights_are_said_loudly_and_files_of_others_refused(tmp_path: Path) -> None:
    told: list[str] = []
    made(MadeUp(size=16), TL, "random", told)
    assert told[0].startswith("WARNING") and "RANDOM" in told[0]
    with pytest.raises(InputError, match="There is no file"):
        made(MadeUp(size=16), TL, tmp_path / "nowhere.pt")
    with pytest.raises(InputError, match="2 blocks of width 32"):
        made(MadeUp(size=16), TL, weights(tmp_path, TL), network={"options": {**NARROW, "width": 64}})
    with pytest.raises(InputError, match=r"holds the weights of|another family"):
        made(MadeUp(size=16), TL, weights(tmp_path, GROUPED))


def test_a_teacher_on_a_published_encoder_has_students() -> None:
    samples = MadeUp(dates={"image": 2}, size=16)
    teacher = made(samples, TL, "random", time="concat", network={"head": "transposed"})
    options = read_options({"teacher": "run", "distil": {"depth": 1}})
    made_up = student_of(teacher, samples, samples.measured(), options, seed=0, say=lambda text: None)
    assert torch.equal(
        body(made_up).encoder.blocks[0].mlp.expand.weight, body(teacher).encoder.blocks[0].mlp.expand.weight
    )
    assert not torch.equal(body(made_up).head.output.weight, body(teacher).head.output.weight)
    found = Distilled(made_up, teacher, DistilOptions()).loss(samples.batch(samples.ids[:2]), torch.Generator())
    assert torch.isfinite(found["loss_sum"])


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"network": {"backbone": "prithvi_eo_v2_300_tk"}}, "nearest is prithvi_eo_v2_300"),
        ({"network": {"backbone": TL, "options": {"widht": 3}}}, "nearest is width"),
        ({"network": {"backbone": TL, "options": {"border": "refuse"}}}, "pad or resize"),
        ({"network": {"backbone": TL, "stem_stride": 2}}, "'stem_stride' of the backbone"),
        ({"network": {"backbone": GROUPED, "options": {"border": "pad"}}}, "'border' of the backbone"),
        ({"network": {"backbone": "unet", "weights": "x.pt"}}, "'weights' is given with the backbone 'unet'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        read_options(options)


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"time": "gru"}, "'time' was given"),
        ({"fusion": "late"}, "'fusion' was given"),
        ({"pretrained": "presto"}, "brings its own weights"),
        ({"pretrained": "some/run"}, "brings its own weights"),
    ],
)
def test_options_that_a_published_backbone_has_no_use_for(more: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        made(MadeUp(size=16), TL, "random", **more)
    with pytest.raises(ConfigError, match="reads one"):
        made(MadeUp(dates={"optical": 1, "radar": 1}, size=16), TL, "random")
    with pytest.raises(ConfigError, match="The task is 'change'"):
        made(MadeUp("change", {"image": 2}, size=16), TL, "random")
    with pytest.raises(ConfigError, match=r"write network: \{backbone: prithvi_eo_v2_300_tl\}"):
        build(MadeUp(), MadeUp().measured(), read_options({"pretrained": TL}), seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes_take_no_memory(name: str) -> None:
    options = published_options(name, {})
    spec = spec_of(name, options)
    with torch.device("meta"):
        encoder = GroupedEncoder(spec) if hasattr(spec, "groups") else SpaceTimeEncoder(spec)  # type: ignore[arg-type]
    assert len(spec.taps) == 4 and spec.taps[-1] == spec.depth - 1
    assert {12: (2, 5, 8, 11), 24: (5, 11, 17, 23), 32: (7, 15, 23, 31)}[spec.depth] == spec.taps
    assert encoder.channels == (spec.width,) * 4
