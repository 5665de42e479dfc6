"""Every task on one spine: it learns, is rebuilt from its record, and never looks under the mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from learn_samples import FIRST, OPTICAL, Loader, MadeUp

from swath.errors import ConfigError, ContractError, InputError
from swath.learn import FitConfig, ModelTask, fit, load_checkpoint, read_options, save_checkpoint
from swath.learn.building import build
from swath.learn.goals import MONITOR, TASKS, LabelGoal, ordered_logits
from swath.learn.intake import latest
from swath.learn.objective import SUITED
from swath.learn.training import with_monitor
from swath.types import Batch, Modality, Task

SMALL: dict[str, Any] = {"network": {"width": 4, "depth": 1, "head_width": 8}, "series": {"width": 8, "heads": 2}}
BOTH = {"optical": 2, "radar": 1}


def made(samples: MadeUp, seed: int = 0, **options: Any) -> ModelTask:
    merged = {**SMALL, **options, "network": {**SMALL["network"], **options.get("network", {})}}
    return build(samples, samples.measured(), read_options(merged), seed=seed)


def of(task: Task) -> MadeUp:
    return MadeUp(task, {"image": 2 if task == "change" else 1})


def with_input(batch: Batch, name: str, **changes: Any) -> Batch:
    return replace(batch, inputs={**batch.inputs, name: replace(batch.inputs[name], **changes)})


@pytest.mark.parametrize("task", TASKS)
def test_every_task_learns_and_is_rebuilt(task: Task, tmp_path: Path) -> None:
    samples = of(task)
    model = made(samples)
    epochs = 40 if task == "change" else 12  # whether two sides of a threshold differ takes longer to see
    config = with_monitor(FitConfig(epochs=epochs, learning_rate=0.02, ema_decay=None, threads=1), task)
    tally = model.goal.tally()

    def validate(learned: Any, epoch: int) -> dict[str, float]:
        tally = learned.goal.tally()
        batch = samples.batch(samples.ids)
        tally.update(batch.targets[samples.target], batch.target_valid[samples.target], learned.predict(batch))
        return tally.scores()

    assert MONITOR[task][0] in tally.scores()  # before anything was counted
    found = fit(model, Loader(samples), config=config, out=tmp_path, seed=0, validate=validate, progress=False)
    first, best = found.history[0][config.monitor], found.best_value
    assert best is not None and (best < 0.7 * first if config.monitor_mode == "min" else best > max(first, 0.6))
    again = load_checkpoint(found.last)
    assert isinstance(again, ModelTask) and again.record() == model.record()
    batch = samples.batch(samples.ids[:3])
    batch.check({samples.target: task})
    before, after = model.predict(batch), again.predict(batch)
    after.check(batch, model.extras)
    for name, value in before.outputs.items():
        assert torch.equal(value, after.outputs[name])
    shape = batch.targets[samples.target].shape
    key, value = next(iter(after.outputs.items()))
    if key == "mean":
        assert value.shape == shape
    else:
        assert value.shape == (shape if task == "multilabel" else (shape[0], len(samples.classes), *shape[1:]))
    assert json.loads(json.dumps(model.record())) == model.record()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dates", [{"optical": 2, "radar": 1}, {"optical": 3, "radar": 3}])
def test_values_under_the_mask_change_nothing(task: Task, dates: dict[str, int]) -> None:
    if task == "change":
        dates = {"optical": 2, "radar": 2}
    samples = MadeUp(task, dates)
    model = made(samples, fusion="early" if len(set(dates.values())) == 1 else "late")
    batch = samples.batch(samples.ids[:3])
    optical = batch.inputs["optical"]
    hole = optical.valid.clone()
    hole[:, -1, :, 2:5] = False
    batch = with_input(batch, "optical", valid=hole)
    dirty = with_input(batch, "optical", values=torch.where(hole, optical.values, 1e9))
    assert torch.equal(model(batch)[0], model(dirty)[0]) and torch.equal(model(batch)[1], model(dirty)[1])
    stream = torch.Generator()
    assert model.loss(batch, stream)["loss_sum"] == model.loss(dirty, stream)["loss_sum"]


@pytest.mark.parametrize("task", ["segmentation", "regression"])
@pytest.mark.parametrize("fusion", ["early", "late", "token"])
def test_an_input_may_be_missing(task: Task, fusion: str) -> None:
    samples = MadeUp(task, {"optical": 1, "radar": 1})
    model = made(samples, fusion=fusion)
    batch = samples.batch(samples.ids[:3])
    radar = batch.inputs["radar"]
    unseen = with_input(batch, "radar", valid=torch.zeros_like(radar.valid))
    left_out = replace(batch, inputs={"optical": batch.inputs["optical"]})
    masked, without = model.predict(unseen), model.predict(left_out)
    for name, value in masked.outputs.items():
        assert torch.allclose(value, without.outputs[name], atol=1e-5) and torch.isfinite(value).all()
    only = model.predict(replace(batch, inputs={"radar": radar}))
    only.check(batch)
    with pytest.raises(ContractError, match="optical, radar"):
        model.predict(replace(batch, inputs={"other": radar}))


def test_nothing_seen_is_no_prediction_and_no_loss() -> None:
    for task in TASKS:
        samples = of(task)
        model = made(samples)
        batch = samples.batch(samples.ids[:2])
        image = batch.inputs["image"]
        dark = with_input(batch, "image", valid=torch.zeros_like(image.valid))
        found = model.predict(dark)
        assert not found.valid.any()
        assert all(torch.isfinite(value).all() for value in found.outputs.values())
        loss = model.loss(dark, torch.Generator())
        assert loss["loss_sum"] == 0 and loss["count"] == 0
        loss["loss_sum"].backward()
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_change_needs_both_dates() -> None:
    samples = of("change")
    model = made(samples)
    batch = samples.batch(samples.ids[:1])
    valid = torch.ones_like(batch.inputs["image"].valid)
    valid[:, 0, :, 3] = False
    known = model.predict(with_input(batch, "image", valid=valid)).valid
    assert not known[:, 3].any() and known[:, 4].all()


def test_inputs_of_other_resolution_meet_late() -> None:
    samples = MadeUp("segmentation", BOTH, coarse=True)
    model = made(samples, time="attention")
    batch = samples.batch(samples.ids[:2])
    assert model.predict(batch).outputs["logits"].shape == (2, 3, 8, 8)
    with pytest.raises(ContractError, match="fusion to late or token"):
        both = replace(samples, dates={"optical": 1, "radar": 1})
        made(both, fusion="early").predict(both.batch(both.ids[:2]))


def test_hiding_inputs_while_training() -> None:
    samples = MadeUp("segmentation", {"optical": 1, "radar": 1})
    model = made(samples, modality_dropout=0.5)
    assert model.intake is not None
    seen = model.intake(samples.batch(samples.ids))
    hidden = seen.hiding(0.5, torch.Generator().manual_seed(0))
    there = torch.stack([mask.flatten(1).any(1) for mask in hidden.seen.values()])
    assert there.any(0).all() and not there.all() and there.any(1).all()
    for name, mask in hidden.seen.items():
        kept = mask.flatten(1).any(1)
        assert not hidden.images[name][~kept].any()
        assert torch.equal(hidden.images[name][kept], seen.images[name][kept])
    assert seen.hiding(0.0, torch.Generator()) is seen
    batch = samples.batch(samples.ids)
    losses = [float(model.loss(batch, torch.Generator().manual_seed(s))["loss_sum"].detach()) for s in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    first, second = (model.predict(batch).outputs["logits"] for _ in range(2))
    assert torch.equal(first, second)  # never while predicting


def test_encoders_of_dates_need_dates() -> None:
    samples = MadeUp("segmentation", {"image": 3})
    model = made(samples, time="transformer")
    batch = samples.batch(samples.ids[:2])
    assert torch.isfinite(model(batch)[0]).all()
    with pytest.raises(InputError, match="without a date"):
        model(with_input(batch, "image", time=batch.inputs["image"].time * 0))
    assert torch.isfinite(made(samples)(with_input(batch, "image", time=batch.inputs["image"].time * 0))[0]).all()
    # A date that is not there needs no time.
    time, valid = batch.inputs["image"].time.clone(), batch.inputs["image"].valid.clone()
    time[:, 0], valid[:, 0] = 0, False
    assert torch.isfinite(model(with_input(batch, "image", time=time, valid=valid))[0]).all()


def test_one_date_out_of_several_is_the_latest_valid_one() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).T.reshape(1, 3, 1, 1, 2)
    valid = torch.tensor([[1, 1, 0], [0, 0, 0]]).T.reshape(1, 3, 1, 1, 2).bool()
    found, seen = latest(values, valid)
    assert found.shape == (1, 1, 1, 1, 2) and found[0, 0, 0, 0, 0] == 2.0
    assert seen.flatten().tolist() == [True, False]


def test_a_scene_offers_one_merged_input() -> None:
    """Predicting gives every input all dates of the cube; one that has a single date takes its latest value."""
    samples = MadeUp("segmentation", BOTH)
    model = made(samples)
    batch = samples.batch(samples.ids[:1])
    radar = batch.inputs["radar"]
    twice = replace(
        radar,
        values=torch.cat([torch.full_like(radar.values, 9.0), radar.values], 1),
        valid=torch.cat([torch.zeros_like(radar.valid), radar.valid], 1),
        time=torch.tensor([[FIRST, FIRST + 1]]),
    )
    merged = replace(batch, inputs={**batch.inputs, "radar": twice})
    assert torch.equal(model(merged)[0], model(batch)[0])


def test_quantities_keep_their_units() -> None:
    samples = of("regression")
    model = made(samples, loss="gaussian_nll")
    assert model.extras == {"variance": ("height", "mass")}
    with torch.no_grad():
        for parameter in model.network.head.parameters():
            parameter.zero_()
    found = model.predict(samples.batch(samples.ids[:2])).outputs
    assert found["mean"].tolist() == [[100.0, 5.0]] * 2  # 0 inside is the mean of the training targets
    assert torch.allclose(found["log_variance"].exp(), torch.tensor([[2500.0, 4.0]] * 2))


@pytest.mark.parametrize("task", TASKS)
def test_every_suited_loss_learns_and_no_other_is_taken(task: Task) -> None:
    samples = of(task)
    batch = samples.batch(samples.ids[:4])
    for name in SUITED[task]:
        model = made(samples, loss=name)
        loss = model.loss(batch, torch.Generator())
        (loss["loss_sum"] / loss["count"]).backward()
        moved = [p for p in model.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert torch.isfinite(loss["loss_sum"]) and loss["count"] > 0 and moved, name
        model.predict(batch).check(batch, model.extras)
    odd = "bce" if task != "multilabel" else "dice"
    with pytest.raises(ConfigError, match=f"'{odd}' does not suit the task '{task}'"):
        made(samples, loss=odd)


def test_ordered_classes_by_hand() -> None:
    found = ordered_logits(torch.tensor([[0.0, -1.0], [5.0, 9.0]])).exp()
    assert torch.allclose(found.sum(1), torch.ones(2))
    low, high = torch.tensor(0.0).sigmoid(), torch.tensor(-1.0).sigmoid()
    assert torch.allclose(found[0], torch.stack([1 - low, low - high, high]))
    assert found[1].argmax() == 2 and found[1, 1] < 1e-6  # the running minimum leaves nothing between


def test_class_weights_follow_the_counts() -> None:
    weights = made(MadeUp("classification"), class_balance=1.0).goal.class_weights
    assert weights is not None and weights.tolist() == pytest.approx([400 / 600, 400 / 200, 1.0])
    several = made(MadeUp("multilabel"), class_balance=1.0).goal.class_weights
    assert several is not None and several.tolist() == pytest.approx([6 / 10, 10 / 6])
    flat = made(MadeUp("classification"), class_balance=0.0).goal.class_weights
    assert flat is not None and flat.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("method", ["frozen", "linear", "lora", "bottleneck", "prompt", "partial", "bias"])
def test_tuning_survives_a_checkpoint(method: str, tmp_path: Path) -> None:
    samples = MadeUp("segmentation", {"image": 2})
    network = {"backbone": "vit_micro", "options": {"width": 12, "depth": 2, "heads": 3, "patch": 4}}
    network["options"] = {"width": 12, "depth": 2, "patch": 4}
    options = {"network": {"head_width": 8, **network}, "tuning": {"method": method, "rank": 2, "width": 4}}
    model = build(samples, samples.measured(), read_options(options), seed=0)
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    total = len(list(model.parameters()))
    assert 0 < len(learning) < total and any("head" in name for name in learning)
    if method in ("frozen", "linear"):
        assert not any(".backbone." in name for name in learning)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.rand_like(parameter) * 0.01)
    save_checkpoint(tmp_path / "m", model, config={}, provenance={})
    again = load_checkpoint(tmp_path / "m")
    batch = samples.batch(samples.ids[:2])
    assert torch.equal(again.predict(batch).outputs["logits"], model.predict(batch).outputs["logits"])


@pytest.mark.parametrize(
    ("samples", "options", "part"),
    [
        (MadeUp("classification"), {"network": {"head": "unet"}}, "the head 'vector'"),
        (MadeUp("segmentation"), {"network": {"head": "vector"}}, "numbers per pixel"),
        (MadeUp("segmentation"), {"tuning": "linear", "network": {"head": "unet"}}, "leave the head out"),
        (MadeUp("change"), {}, "no input has two dates"),
        (MadeUp("segmentation"), {"time": "gru"}, "no input has more than one date"),
        (MadeUp("segmentation"), {"bands": {"imag": ["B04"]}}, "nearest is image"),
        (MadeUp("segmentation", BOTH), {"bands": ["B04"]}, "one list for each input"),
        (MadeUp("segmentation"), {"loss": {"dice": 1, "mse": 1}}, "'mse' does not suit"),
        (MadeUp("segmentation"), {"pretrained": "prest"}, "nearest name is presto"),
        (MadeUp("segmentation"), {"tuning": "prompt"}, "no place for the kind 'prompt'"),
    ],
)
def test_options_that_do_not_fit_the_samples(samples: MadeUp, options: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        made(samples, **options)


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="class weights"):
        LabelGoal("classification", ("a", "b"), class_weights=[1.0])
    samples = MadeUp()
    model = made(samples)
    batch = samples.batch(samples.ids[:1])
    with pytest.raises(ContractError, match="no target 'label'"):
        model.loss(replace(batch, targets={}, target_valid={}), torch.Generator())
    small = replace(batch, targets={"label": batch.targets["label"][:, :4]},
                    target_valid={"label": batch.target_valid["label"][:, :4]})  # fmt: skip
    with pytest.raises(ContractError, match="pixels of the first input"):
        model.loss(small, torch.Generator())
    image = batch.inputs["image"]
    other = Modality(image.values[:, :, :1], image.valid, OPTICAL[:1], image.time, image.grid)
    with pytest.raises(InputError, match="B08"):
        model(replace(batch, inputs={"image": other}))
