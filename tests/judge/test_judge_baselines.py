from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judge_samples import BANDS, CLASSES, MakeBatches
from sklearn.neighbors import NearestCentroid

from swath.errors import ConfigError, ContractError, InputError
from swath.judge import (
    ForestOptions,
    MajorityClass,
    NearestColour,
    PixelFeatures,
    PixelSampling,
    RandomForest,
    score,
)
from swath.judge.pixels import sample_pixels
from swath.sensors import BandSet
from swath.types import IGNORE, Batch, Predictor

INPUTS = {"image": BANDS}
SMALL = ForestOptions(trees=12, max_depth=8, jobs=1, sampling=PixelSampling(2000))


def contenders(classes: tuple[str, ...] = CLASSES) -> list:
    with_means = replace(SMALL, mean_bands=("red", "green"))
    return [MajorityClass(INPUTS, classes), NearestColour(INPUTS, classes), RandomForest(INPUTS, classes, with_means)]


def pixels(batches: list[Batch]) -> tuple[np.ndarray, np.ndarray]:
    """Valid labelled pixels of all batches, the slow way."""
    rows, labels = [], []
    for batch in batches:
        use = batch.target_valid["label"] & batch.inputs["image"].valid[:, 0, 0]
        rows.append(batch.inputs["image"].values[:, 0].movedim(1, -1)[use].numpy())
        labels.append(batch.targets["label"][use].numpy())
    return np.concatenate(rows), np.concatenate(labels)


def with_image(batch: Batch, **changes: object) -> Batch:
    return replace(batch, inputs={"image": replace(batch.inputs["image"], **changes)})


def test_they_are_predictors_and_beat_each_other_in_order(make_batches: MakeBatches) -> None:
    train, test = make_batches(count=16, seed=1), make_batches(count=6, seed=2)
    values = []
    for predictor in contenders():
        assert isinstance(predictor, Predictor)
        values.append(score(predictor.fit(train), test).value("accuracy"))
    assert values[0] < values[1] < values[2]


def test_majority_class_gives_the_class_shares(make_batches: MakeBatches) -> None:
    batches = make_batches()
    _, labels = pixels(batches)
    prediction = MajorityClass(INPUTS, CLASSES).fit(batches).predict(batches[0])
    prediction.check(batches[0])
    expected = np.bincount(labels, minlength=3) / len(labels)
    assert prediction.probability()[1, :, 3, 4].numpy() == pytest.approx(expected, abs=1e-6)


def test_nearest_colour_equals_scikit_learn(make_batches: MakeBatches) -> None:
    train, test = make_batches(count=8, seed=1), make_batches(count=4, seed=2)
    rows, labels = pixels(train)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    reference = NearestCentroid().fit((rows - mean) / deviation, labels)
    prediction = NearestColour(INPUTS, CLASSES).fit(train).predict(test[0])
    colours = test[0].inputs["image"].values[:, 0].movedim(1, -1).reshape(-1, 3).numpy()
    expected = reference.predict((colours - mean) / deviation)
    seen = prediction.valid.flatten().numpy()
    assert (prediction.label().flatten().numpy() == expected)[seen].all()
    assert prediction.probability().sum(dim=1).numpy() == pytest.approx(1, abs=1e-5)


def test_nearest_colour_survives_large_offsets_and_constant_bands(make_batches: MakeBatches) -> None:
    train = make_batches(count=8, seed=1)
    shift = torch.tensor([0.0, 1e4, 0.0])[None, None, :, None, None]
    lifted = [with_image(batch, values=batch.inputs["image"].values + shift) for batch in train]
    flat = [with_image(batch, values=batch.inputs["image"].values * (shift == 0)) for batch in train]
    plain = score(NearestColour(INPUTS, CLASSES).fit(train), train).value("accuracy")
    assert score(NearestColour(INPUTS, CLASSES).fit(lifted), lifted).value("accuracy") == pytest.approx(plain, abs=0.02)
    assert score(NearestColour(INPUTS, CLASSES).fit(flat), flat).value("accuracy") > 0.4


def test_values_under_the_mask_change_nothing(make_batches: MakeBatches) -> None:
    train, (test, *_) = make_batches(count=8, seed=1, invalid=0.3), make_batches(count=4, seed=2, invalid=0.3)

    def spoiled(batch: Batch) -> Batch:
        image = batch.inputs["image"]
        return with_image(batch, values=torch.where(image.valid, image.values, 1e6))

    for clean, dirty in zip(contenders(), contenders(), strict=True):
        first = clean.fit(train).predict(test)
        second = dirty.fit([spoiled(batch) for batch in train]).predict(spoiled(test))
        assert torch.equal(first.outputs["logits"], second.outputs["logits"])
        assert torch.equal(first.valid, test.inputs["image"].valid[:, 0, 0])
        assert bool(torch.isfinite(first.outputs["logits"]).all())


def test_bands_are_found_by_name(make_batches: MakeBatches) -> None:
    train, (test, *_) = make_batches(count=8, seed=1), make_batches(count=4, seed=2)
    order = [2, 0, 1]
    turned = with_image(
        test, values=test.inputs["image"].values[:, :, order], bands=BandSet(tuple(BANDS[i] for i in order))
    )
    for predictor in contenders():
        predictor.fit(train)
        assert torch.equal(predictor.predict(test).label(), predictor.predict(turned).label())
    with pytest.raises(InputError, match="No source band serves nir"):
        NearestColour({"image": BandSet.of("red", "nir")}, CLASSES).fit(train)


def test_window_means_equal_brute_force(make_batches: MakeBatches) -> None:
    (batch,) = make_batches(count=2, size=7, invalid=0.4)
    features, ready = PixelFeatures(INPUTS, ("green",), window=3).compute(batch)
    image = batch.inputs["image"]
    assert features.shape == (2, 4, 7, 7)
    for sample, y, x in np.ndindex(2, 7, 7):
        window = (slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2))
        values = image.values[sample, 0, 1][window][image.valid[sample, 0, 0][window]]
        if ready[sample, y, x]:
            assert float(features[sample, 3, y, x]) == pytest.approx(float(values.mean()), abs=1e-5)
        else:
            assert features[sample, :, y, x].abs().sum() == 0


def test_two_modalities_and_two_dates(make_batches: MakeBatches) -> None:
    (batch,) = make_batches(count=2, batch_size=2)
    image = batch.inputs["image"]
    twice = replace(
        image,
        values=torch.cat([image.values, image.values + 1], dim=1),
        valid=torch.cat([image.valid, torch.zeros_like(image.valid)], dim=1),
        time=torch.tensor([[0, 1], [0, 1]]),
    )
    both = replace(batch, inputs={"image": image, "series": twice})
    features, ready = PixelFeatures({"image": BANDS.select(["red"]), "series": BANDS}).compute(both)
    assert features.shape[1] == 1 + 2 * 3
    assert not ready.any()


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 7), st.sampled_from(["uniform", "stratified"]), st.integers(30, 300), st.randoms())
def test_pixel_sample_depends_on_nothing_but_the_seed(
    make_batches: MakeBatches, batch_size: int, how: str, number: int, shuffler: object
) -> None:
    features, sampling = PixelFeatures(INPUTS), PixelSampling(number, how)  # type: ignore[arg-type]
    reference = sample_pixels(make_batches(7), features, CLASSES, PixelSampling(10**6), target="label", seed=0)
    assert len(reference[1]) == len(pixels(make_batches(7))[1])
    expected = sample_pixels(make_batches(7), features, CLASSES, sampling, target="label", seed=3)
    assert len(expected[1]) <= max(number, 3)
    batches = make_batches(7, batch_size=batch_size)
    shuffler.shuffle(batches)  # type: ignore[attr-defined]
    found = sample_pixels(iter(batches), features, CLASSES, sampling, target="label", seed=3)
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()


def test_stratified_sample_balances_classes(make_batches: MakeBatches) -> None:
    batches = make_batches(12)
    options = PixelSampling(300, "stratified")
    _, labels = sample_pixels(batches, PixelFeatures(INPUTS), CLASSES, options, target="label", seed=0)
    assert np.bincount(labels).tolist() == [100, 100, 100]


def test_forest_is_repeatable_and_depends_on_the_seed(make_batches: MakeBatches) -> None:
    train, (test, *_) = make_batches(count=8, seed=1), make_batches(count=4, seed=2)
    logits = [
        RandomForest(INPUTS, CLASSES, replace(SMALL, jobs=jobs), seed).fit(train).predict(test).outputs["logits"]
        for jobs, seed in ((1, 0), (2, 0), (1, 1))
    ]
    assert torch.allclose(logits[0], logits[1], atol=1e-5)
    assert not torch.equal(logits[0], logits[2])


def test_classes_without_training_pixels_are_never_predicted(make_batches: MakeBatches) -> None:
    train, (test, *_) = make_batches(count=8, seed=1), make_batches(count=4, seed=2)
    wide = ("water", *CLASSES, "urban")
    moved = []
    for batch in train:
        labels = torch.where(batch.target_valid["label"], batch.targets["label"] + 1, IGNORE)
        moved.append(replace(batch, targets={"label": labels}))
    for predictor in contenders(wide):
        prediction = predictor.fit(moved).predict(test)
        prediction.check(test)
        assert set(prediction.label()[prediction.valid].tolist()) <= {1, 2, 3}


def test_bad_input_gets_a_sentence(make_batches: MakeBatches) -> None:
    train = make_batches(count=2)
    for predictor in contenders():
        with pytest.raises(ContractError, match="before it was fitted"):
            predictor.predict(train[0])
        with pytest.raises(InputError, match="no labelled valid pixel"):
            predictor.fit(make_batches(count=2, invalid=1.0))
        with pytest.raises(InputError, match="no labelled valid pixel"):
            predictor.fit([])
    for predictor in contenders(CLASSES[:2]):
        with pytest.raises(InputError, match="beyond the classes"):
            predictor.fit(train)
    one = [replace(b, targets={"label": torch.where(b.target_valid["label"], 0, IGNORE)}) for b in train]
    for predictor in contenders()[1:]:
        with pytest.raises(InputError, match=r"one class only \(forest\)"):
            predictor.fit(one)
    with pytest.raises(ConfigError, match="nearest is: green"):
        PixelFeatures(INPUTS, ("gren",))
    with pytest.raises(ConfigError, match="odd"):
        PixelFeatures(INPUTS, window=4)
    with pytest.raises(ConfigError, match="forest of 0 trees"):
        RandomForest(INPUTS, CLASSES, ForestOptions(trees=0))
    with pytest.raises(ContractError, match="an input 'radar'"):
        PixelFeatures({"radar": BANDS}).compute(train[0])
