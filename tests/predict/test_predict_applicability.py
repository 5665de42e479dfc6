"""The area of applicability: by hand, its invariants, and as a map layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swath.errors import ConfigError, ContractError, InputError
from swath.predict.applicability import (
    APPLICABILITY,
    DISSIMILARITY,
    Applicability,
    WithApplicability,
    applicability_layers,
    feature_names,
    mean_distance,
    whisker,
)
from swath.predict.fields import Fields, Group
from swath.predict.inputs import SceneInputs
from swath.predict.window import WindowReader
from swath.sensors import BandSet
from swath.types import Batch, Modality


def tables(rows: int = 12) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, (rows, 3), elements=st.floats(-100, 100, width=32), unique=True)


def test_by_hand() -> None:
    """Four pixels at 0, 1, 3, 4 in two folds: mean 2, deviation sqrt(2.5), mean distance 14 / 6 in raw units."""
    samples = np.array([[0.0], [1.0], [3.0], [4.0]])
    found = Applicability.fit(samples, ["west", "west", "east", "east"])
    deviation = np.sqrt(2.5)
    assert found.mean.tolist() == [2.0] and found.scale.tolist() == pytest.approx([1 / deviation])
    assert found.distance == pytest.approx((1 + 3 + 4 + 2 + 3 + 1) / 6 / deviation)
    # To the other fold: 3, 2, 2, 3 in raw units; all within the whisker.
    assert found.threshold == pytest.approx(3 / (14 / 6))
    index = found.dissimilarity(np.array([[0.0], [2.0], [10.0], [4.5]]))
    assert index == pytest.approx(np.array([0, 1, 6, 0.5]) / (14 / 6), rel=1e-6)
    assert found.inside(index).tolist() == [True, True, False, True]


def test_weights_by_hand() -> None:
    """The second feature is scaled by half: a step of one deviation in it counts half as much."""
    samples = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    found = Applicability.fit(samples, [0, 0, 1, 1], weights=[2.0, 1.0])
    index = found.dissimilarity(np.array([[2.0, 1.0], [1.0, 2.0]])) * found.distance
    assert index == pytest.approx([1.0, 0.5])


def test_whisker_leaves_out_outliers() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 50.0])  # quartiles 2.5 and 6, whisker up to 11.25
    assert whisker(values) == 7.0
    assert whisker(np.array([2.0])) == 2.0


def test_mean_distance_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(37, 2))
    whole = mean_distance(points)
    monkeypatch.setattr("swath.predict.applicability.PAIRS", 100)
    assert mean_distance(points) == pytest.approx(whole)
    assert mean_distance(points[:1]) == 0.0


@settings(max_examples=40, deadline=None)
@given(samples=tables(), more=tables(4), pixels=tables(9))
def test_more_training_pixels_never_raise_the_index(samples: np.ndarray, more: np.ndarray, pixels: np.ndarray) -> None:
    found = Applicability.fit(samples, np.arange(len(samples)) % 3)
    assert (found.adding(more).dissimilarity(pixels) <= found.dissimilarity(pixels)).all()


@settings(max_examples=40, deadline=None)
@given(samples=tables(), pixels=tables(9), power=st.integers(-6, 6), shift=st.integers(-64, 64))
def test_units_do_not_matter(samples: np.ndarray, pixels: np.ndarray, power: int, shift: int) -> None:
    """DN or reflectance, Celsius or kelvin: the index is the same."""
    folds = np.arange(len(samples)) % 2
    factor = np.array([2.0**power, 1.0, 2.0**-power])
    first = Applicability.fit(samples, folds)
    second = Applicability.fit(samples * factor + shift, folds)
    spread = samples.std(axis=0).min()
    if spread < 1e-2:  # float32 pixels cannot resolve a feature that hardly varies beside its shift
        return
    tolerance = 1e-4 * (1 + (abs(shift) + 100) / spread)
    assert second.threshold == pytest.approx(first.threshold, abs=tolerance)
    np.testing.assert_allclose(
        second.dissimilarity(pixels * factor + shift), first.dissimilarity(pixels), rtol=1e-3, atol=tolerance
    )


def test_equal_pixels_and_blocks_change_nothing() -> None:
    random = np.random.default_rng(1)
    found = Applicability.fit(random.normal(size=(50, 3)), np.arange(50) % 5)
    pixels = random.integers(-3, 3, size=(1000, 3)).astype(np.float32)
    whole = found.dissimilarity(pixels)
    np.testing.assert_array_equal(found.dissimilarity(pixels, block=7), whole)
    brute = np.sqrt((((pixels - found.mean) * found.scale)[:, None] - found.samples[None]) ** 2).astype(float)
    expected = np.sqrt((brute**2).sum(axis=2)).min(axis=1) / found.distance
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    assert found.dissimilarity(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("number", [0.1, 0.3, 300.1, -1e-7, 0.0])
@pytest.mark.parametrize("count", [3, 7, 250])
def test_rounding_of_a_constant_feature_is_no_deviation(number: float, count: int) -> None:
    samples = np.stack([np.arange(count, dtype=float), np.full(count, number)], axis=1)
    assert Applicability.fit(samples, np.arange(count) % 2).scale[1] == 1.0


def test_the_largest_float32_is_far_away_and_no_error() -> None:
    found = Applicability.fit(np.array([[0.0], [1e-3], [2e-3]]), [0, 1, 0])
    ends = np.array([[-3.4e38], [3.4e38], [1e-3]], np.float32)
    index = found.dissimilarity(ends)
    assert np.isfinite(index).all()
    assert found.inside(index).tolist() == [False, False, True]


def test_a_constant_feature_counts_when_it_changes() -> None:
    samples = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])
    found = Applicability.fit(samples, [0, 1, 2])
    assert found.dissimilarity(np.array([[1.0, 9.0]]))[0] > found.threshold


@pytest.mark.parametrize(
    ("samples", "folds", "weights", "match"),
    [
        ([[0.0], [1.0]], [0, 0], None, "1 fold"),
        ([[1.0], [1.0]], [0, 1], None, "all the same"),
        ([[np.nan], [1.0]], [0, 1], None, "NaN"),
        ([[0.0], [1.0]], [0, 1], [-1.0], "none negative"),
        ([[0.0], [1.0]], [0, 1], [0.0], "not all 0"),
        ([[0.0], [1.0]], [0], None, "one fold per pixel"),
    ],
)
def test_bad_training_pixels(samples: list, folds: list, weights: list | None, match: str) -> None:  # type: ignore[type-arg]
    with pytest.raises((InputError, ConfigError), match=match):
        Applicability.fit(np.array(samples), folds, weights=weights)


def test_save_and_load(tmp_path: Path) -> None:
    found = Applicability.fit(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 4, features=("red", "nir"))
    path = tmp_path / "area.safetensors"
    found.save(path)
    again = Applicability.load(path)
    pixels = np.random.default_rng(1).normal(size=(9, 2))
    np.testing.assert_array_equal(again.dissimilarity(pixels), found.dissimilarity(pixels))
    assert (again.features, again.threshold) == (("red", "nir"), found.threshold)


@pytest.mark.parametrize("damage", ["truncate", "json", "names", "missing", "distance"])
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "area.safetensors"
    record = Applicability.fit(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 4).save(path)
    content = json.loads(record.read_text())
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:50])
    elif damage == "json":
        record.write_text("{")
    elif damage == "names":
        record.write_text(json.dumps({**content, "features": ["one"]}))
    elif damage == "distance":
        record.write_text(json.dumps({**content, "distance": 0.0}))
    else:
        record.unlink()
    with pytest.raises(InputError, match=r"area\.safetensors"):
        Applicability.load(path)


# as a predictor and as layers


def batch_of(cube: object, fake: type, size: int = 6) -> tuple[Batch, object]:
    predictor = fake(lambda batch: batch.inputs["optical"].values[:, 0])
    inputs = SceneInputs(cube, predictor.inputs)  # type: ignore[arg-type]
    window = WindowReader(inputs.cube, inputs.bands, wrap=False, budget=2**24).read((0, size), (0, size))
    return inputs.batch([window], [(0, 0)], size), predictor


def test_the_wrapped_predictor(make: Callable, fake: type) -> None:  # type: ignore[type-arg]
    random = np.random.default_rng(0)
    values = random.uniform(0, 1, (3, 6, 6))
    valid = np.ones((1, 3, 6, 6), bool)
    valid[0, 1, 2, 3] = False  # one band is missing there
    batch, predictor = batch_of(make(values, valid), fake)
    found = Applicability.fit(values.reshape(3, -1).T[:20], np.arange(20) % 2, features=("red", "green", "blue"))
    wrapped = WithApplicability(predictor, found)  # type: ignore[arg-type]
    assert wrapped.extras == {DISSIMILARITY: (DISSIMILARITY,)}
    prediction = wrapped.predict(batch)
    index = prediction.outputs[DISSIMILARITY]
    assert index.shape == (1, 1, 6, 6) and index.dtype == torch.float32
    expected = found.dissimilarity(values.reshape(3, -1).T).reshape(6, 6)
    seen = np.ones((6, 6), bool)
    seen[2, 3] = False
    np.testing.assert_allclose(index[0, 0].numpy()[seen], expected[seen], rtol=1e-5, atol=1e-6)
    assert index[0, 0, 2, 3] > found.threshold
    prediction.check(batch, wrapped.extras)
    np.testing.assert_array_equal(prediction.outputs["logits"], predictor.predict(batch).outputs["logits"])  # type: ignore[attr-defined]
    coarse = WithApplicability(predictor, found, step=4).predict(batch).outputs[DISSIMILARITY][0, 0]  # type: ignore[arg-type]
    assert coarse.shape == (6, 6) and (coarse[:4, :4] == coarse[0, 0]).all() and coarse[5, 5] == index[0, 0, 4, 4]
    with pytest.raises(ConfigError, match="step"):
        WithApplicability(predictor, found, step=0)  # type: ignore[arg-type]


def test_wrong_number_of_features(make: Callable, fake: type) -> None:  # type: ignore[type-arg]
    batch, predictor = batch_of(make(np.ones((3, 6, 6))), fake)
    found = Applicability.fit(np.random.default_rng(0).normal(size=(9, 2)), np.arange(9))
    with pytest.raises(ContractError, match="3 numbers per pixel"):
        WithApplicability(predictor, found).predict(batch)  # type: ignore[arg-type]
    other = Batch({"radar": batch.inputs["optical"]}, ids=batch.ids)
    right = Applicability.fit(np.random.default_rng(0).normal(size=(9, 3)), np.arange(9))
    wrapped = WithApplicability(predictor, right)  # type: ignore[arg-type]
    wrapped.predictor = type("Any", (), {"predict": lambda self, batch: None})()
    with pytest.raises(ContractError, match="'optical'"):
        wrapped.predict(other)
    assert isinstance(batch.inputs["optical"], Modality)


def test_layers() -> None:
    found = Applicability.fit(np.array([[0.0], [1.0], [3.0], [4.0]]), [0, 0, 1, 1])
    index = np.array([[[0.5, found.threshold], [found.threshold * 1.01, np.nan]]], np.float32)
    fields = Fields(index, (Group(DISSIMILARITY, (DISSIMILARITY,)),))
    valid = np.array([[True, True], [True, False]])
    layers = applicability_layers(found)
    assert layers[APPLICABILITY].encode(fields, valid).tolist() == [[[1, 1], [0, 255]]]
    stored = layers[DISSIMILARITY].encode(fields, valid)
    assert stored.dtype == np.float32 and stored[0, 0, 0] == 0.5 and np.isnan(stored[0, 1, 1])
    assert layers[APPLICABILITY].legend is not None and layers[APPLICABILITY].legend.names == ("outside", "inside")


def test_feature_names_of_dates() -> None:
    inputs = {"a": BandSet.of("red", "nir"), "b": BandSet.of("vv")}
    assert feature_names(inputs) == ("red", "nir", "vv")
    assert feature_names(inputs, 2) == ("red 1", "nir 1", "red 2", "nir 2", "vv 1", "vv 2")
