"""SegmentationTask: bands by name, masks, loss, predictor contract; one-class training sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_fakes import BANDS, CLASSES, make_batch, make_task
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError
from swath.learn import SegmentationLoss, SegmentationTask, check_classes, evaluation, parse
from swath.nn import Normalise, UNet, losses
from swath.sensors import Band, BandSet
from swath.types import IGNORE, Batch, Modality, Predictor

RNG = torch.Generator()


def with_image(batch: Batch, **changes: Any) -> Batch:
    return replace(batch, inputs={"image": replace(batch.inputs["image"], **changes)})


@pytest.mark.parametrize("ids", [[], [4], [1, 2, 3]])
@pytest.mark.parametrize("size", [1, 7, 8])
def test_it_is_a_predictor(ids: list[int], size: int) -> None:
    task, batch = make_task(), make_batch(ids, size=size)
    assert isinstance(task, Predictor)
    prediction = task.predict(batch)
    prediction.check(batch)
    assert prediction.outputs["logits"].shape == (len(ids), 3, size, size)
    assert prediction.valid.shape == (len(ids), size, size)
    assert (prediction.task, prediction.classes) == ("segmentation", CLASSES)
    assert torch.equal(prediction.valid, batch.inputs["image"].valid[:, 0, 0])


def test_predicting_leaves_modes_and_gradients_alone() -> None:
    task = make_task(dropout=True).train()
    task.network.layers[1].eval()  # type: ignore[index, union-attr]
    modes = [part.training for part in task.modules()]
    batch = make_batch([1])
    one, two = task.predict(batch), task.predict(batch)
    assert [part.training for part in task.modules()] == modes
    assert torch.equal(one.outputs["logits"], two.outputs["logits"])  # no dropout
    assert not one.outputs["logits"].requires_grad
    with pytest.raises(RuntimeError), evaluation(task):
        raise RuntimeError
    assert [part.training for part in task.modules()] == modes


def test_bands_are_matched_by_name_alias_and_wavelength() -> None:
    task, batch = make_task(), make_batch([1, 2])
    image = batch.inputs["image"]
    logits = task.predict(batch).outputs["logits"]
    noise = torch.full_like(image.values[:, :, :1], 123.0)
    bands = BandSet(
        (
            Band("N", wavelength_nm=842.0, width_nm=145.0, kind="reflectance"),
            Band("SCL", kind="quality"),
            Band("red"),
        )
    )
    values = torch.cat([image.values[:, :, 1:], noise, image.values[:, :, :1]], dim=2)
    other = task.predict(with_image(batch, values=values, bands=bands))
    assert torch.equal(other.outputs["logits"], logits)
    assert torch.equal(
        task.loss(with_image(batch, values=values, bands=bands), RNG)["loss_sum"], task.loss(batch, RNG)["loss_sum"]
    )
    with pytest.raises(InputError, match="No source band serves B08"):
        task.predict(with_image(batch, bands=BandSet.of("B04", "B11")))


@settings(deadline=None, max_examples=25)
@given(hidden=st.sampled_from([1e30, -3.0, float("nan")]), seed=st.integers(0, 2**31))
def test_values_under_the_mask_change_nothing(hidden: float, seed: int) -> None:
    task, batch = make_task(), make_batch([1, 2])
    image = batch.inputs["image"]
    valid = torch.rand(image.values.shape, generator=torch.Generator().manual_seed(seed)) > 0.3
    one = with_image(batch, valid=valid)
    two = with_image(batch, valid=valid, values=torch.where(valid, image.values, hidden))
    assert torch.equal(task.predict(one).outputs["logits"], task.predict(two).outputs["logits"])
    assert torch.equal(task.loss(one, RNG)["loss_sum"], task.loss(two, RNG)["loss_sum"])


def test_valid_rules() -> None:
    valid = torch.tensor([[True, True], [True, False], [False, False]]).T.reshape(1, 1, 2, 1, 3)
    batch = make_batch([1], size=3)
    image = batch.inputs["image"]
    batch = with_image(batch, valid=valid.expand(image.values.shape))
    anywhere = make_task(valid_rule="any").predict(batch).valid[0, 0].tolist()
    everywhere = make_task(valid_rule="all").predict(batch).valid[0, 0].tolist()
    assert (anywhere, everywhere) == ([True, True, False], [True, False, False])


def test_an_unwanted_band_does_not_make_a_pixel_valid() -> None:
    batch = make_batch([1], size=2)
    image = batch.inputs["image"]
    valid = torch.tensor([False, False, True]).reshape(1, 1, 3, 1, 1)
    values = torch.cat([image.values, image.values[:, :, :1]], dim=2)
    changed = with_image(batch, values=values, valid=valid, bands=BandSet((*BANDS, Band("extra"))))
    assert not bool(make_task().predict(changed).valid.any())
    assert float(make_task().loss(changed, RNG)["count"]) == 0


def test_the_loss_is_that_of_the_valid_labels() -> None:
    loss = SegmentationLoss(class_weights=(1.0, 0.5, 2.0))
    task, batch = make_task(loss=loss), make_batch([1, 2])
    image, label = batch.inputs["image"], batch.targets["label"]
    usable = batch.target_valid["label"] & image.valid[:, 0, 0]
    expected = nn.functional.cross_entropy(
        task(image.values, image.valid.expand_as(image.values)),
        torch.where(usable, label, IGNORE),
        weight=torch.tensor([1.0, 0.5, 2.0]),
        ignore_index=IGNORE,
    )
    found = task.loss(batch, RNG)
    torch.testing.assert_close(found["loss_sum"] / found["count"], expected)


@pytest.mark.parametrize("weighting", ["torch", "mean"])
def test_terms_add_up(weighting: Any) -> None:
    batch = make_batch([1, 2])
    task = make_task(loss=SegmentationLoss(class_weights=(1.0, 2.0, 3.0)))
    image = batch.inputs["image"]
    logits = task(image.values, image.valid.expand_as(image.values)).detach()
    target, valid = batch.targets["label"], batch.target_valid["label"]
    weights = torch.tensor([1.0, 2.0, 3.0])
    mixed = SegmentationLoss(cross_entropy=0.5, focal=0.1, dice=2.0, lovasz=0.25, weighting=weighting)
    expected = (
        0.5 * losses.cross_entropy(logits, target, valid, class_weights=weights, weighting=weighting).mean()
        + 0.1 * losses.focal(logits, target, valid, class_weights=weights).mean()
        + 2.0 * losses.dice(logits, target, valid).mean()
        + 0.25 * losses.lovasz_softmax(logits, target, valid).mean()
    )
    torch.testing.assert_close(mixed(logits, target, valid, weights).mean(), expected)
    only: Tensor = SegmentationLoss(cross_entropy=0, dice=1)(logits, target, valid, None).mean()
    torch.testing.assert_close(only, losses.dice(logits, target, valid).mean())


def test_a_loss_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.yaml: .*at least one of cross_entropy, focal, dice and lovasz"):
        parse(SegmentationLoss, {"cross_entropy": 0}, "train.yaml")


def test_batches_that_cannot_serve_are_named() -> None:
    task, batch = make_task(), make_batch([1])
    image = batch.inputs["image"]
    with pytest.raises(ContractError, match="no target 'label'"):
        task.loss(replace(batch, targets={}, target_valid={}), RNG)
    with pytest.raises(ContractError, match=r"no input 'image' \(it has radar\)"):
        task.predict(replace(batch, inputs={"radar": image}))
    two_dates = Modality(
        image.values.expand(-1, 2, -1, -1, -1), image.valid, image.bands, image.time.expand(-1, 2), image.grid
    )
    with pytest.raises(ContractError, match="with one date"):
        task.predict(replace(batch, inputs={"image": two_dates}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"normalise": Normalise([0], [1])}, "1 means in the statistics and 2 bands"),
        ({"network": UNet(3, 3, width=4, depth=1)}, "3 input channels of the network and 2 bands"),
        ({"network": UNet(2, 4, width=4, depth=1)}, "4 output channels of the network and 3 classes"),
        ({"classes": ("a", "a", "b")}, "2 different names and 3 classes"),
        ({"colours": ("#000000",)}, "1 colours and 3 classes"),
        ({"loss": SegmentationLoss(class_weights=(1.0, 2.0))}, "2 class weights and 3 classes"),
    ],
)
def test_numbers_that_do_not_fit_are_named(changes: dict[str, Any], sentence: str) -> None:
    parts: dict[str, Any] = {
        "network": UNet(2, 3, width=4, depth=1),
        "normalise": Normalise([0, 0], [1, 1]),
        "bands": BANDS,
        "classes": CLASSES,
    }
    with pytest.raises(ConfigError, match=f"There are {sentence}"):
        SegmentationTask(**(parts | changes))


def test_a_training_set_of_one_class_is_refused() -> None:
    check_classes([5, 0, 1], CLASSES)
    check_classes(torch.tensor([0, 2, 3]), CLASSES)
    with pytest.raises(InputError, match=r"only the class 'soil' \(12 pixels\) out of water, soil, plants"):
        check_classes([0, 12, 0], CLASSES)
    with pytest.raises(InputError, match="no labelled pixel"):
        check_classes([0, 0, 0], CLASSES)
    with pytest.raises(InputError, match="only the class 'all'"):
        check_classes([9], ["all"])
    with pytest.raises(InputError, match="2 class counts for 3 classes"):
        check_classes([1, 2], CLASSES)
    with pytest.raises(InputError, match="no labelled pixel out of no classes"):
        check_classes([], [])
