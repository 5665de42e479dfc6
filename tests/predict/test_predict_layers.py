"""Layers and groups: formulas by hand, names that clash, what is needed for what."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from swath.errors import ConfigError, ContractError
from swath.predict.fields import Fields, Group, groups_of, most_probable, output_stride, stack, values_of
from swath.predict.layers import entropy, groups_for, layers, margin
from swath.sensors import BandSet
from swath.types import Prediction

BANDS = {"optical": BandSet.of("red")}


def predictor(task: str, classes: tuple[str, ...] = (), **more: Any) -> Any:
    return SimpleNamespace(task=task, classes=classes, inputs=BANDS, predict=None, **more)


def pixel(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


def test_margin_and_entropy_by_hand() -> None:
    assert margin(pixel(0.5, 0.2, 0.3)).item() == pytest.approx(0.2)
    assert margin(pixel(0.2, 0.5, 0.3)).item() == pytest.approx(0.2)
    assert margin(pixel(0.4, 0.4, 0.2)).item() == 0
    assert margin(pixel(1.0)).item() == 1
    assert entropy(pixel(0.5, 0.5)).item() == pytest.approx(1)
    assert entropy(pixel(0.9, 0.1)).item() == pytest.approx(-(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2))
    assert entropy(pixel(1.0, 0.0)).item() == 0 and entropy(pixel(1.0)).item() == 0


def test_margin_needs_no_sorting() -> None:
    share = np.random.default_rng(0).dirichlet(np.ones(7), (5, 6)).transpose(2, 0, 1).astype(np.float32)
    best = np.sort(share, axis=0)
    np.testing.assert_allclose(margin(share), best[-1] - best[-2], atol=1e-7)
    np.testing.assert_array_equal(most_probable(share), share.argmax(axis=0))


@pytest.mark.parametrize(
    ("asked", "outputs"),
    [
        (
            predictor("segmentation", ("a", "b")),
            ["class", "probability", "probability_float16", "confidence", "margin", "entropy"],
        ),
        (predictor("pixel_regression"), ["mean"]),
        (predictor("pixel_regression", extras={"variance": ("v",)}), ["mean", "std", "variance"]),
        (predictor("embedding", ("e0",), extras={"spread": ("spread",)}), ["embedding", "spread"]),
    ],
)
def test_the_known_outputs(asked: Any, outputs: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        layers(asked, ("nothing",), None)
    assert caught.value.expected == f"one or more of {', '.join(outputs)}"
    assert [layer.name for layer in layers(asked, outputs, None)] == outputs
    assert layers(asked, (), None)[0].name == outputs[0]


def test_extras_may_not_take_the_names_of_computed_outputs() -> None:
    for extras in ({"margin": ("m",)}, {"class": ("c",), "spread": ("s",)}):
        with pytest.raises(ConfigError, match=r"announces the extra outputs (margin|class)"):
            layers(predictor("segmentation", ("a",), extras=extras), (), None)
    with pytest.raises(ConfigError, match="announces the extra outputs std"):
        layers(predictor("pixel_regression", extras={"variance": ("v",), "std": ("s",)}), (), None)


def test_only_what_is_needed_is_blended() -> None:
    asked = predictor("pixel_regression", ("height",), extras={"variance": ("height",), "spread": ("height",)})
    names = [group.name for group in groups_for(asked, layers(asked, ("std",), None))]
    assert names == ["mean", "variance"]  # the group of the task always
    assert [group.name for group in groups_for(asked, layers(asked, ("mean",), None))] == ["mean"]
    assert list(groups_of(asked)) == ["mean", "variance", "spread"]


def test_encoding_replaces_what_lies_under_the_mask() -> None:
    (layer,) = layers(predictor("segmentation", ("a", "b")), ("probability",), None)
    fields = Fields(
        np.array([[[0.25, np.nan]], [[0.75, np.inf]]], dtype=np.float32), (Group("probability", ("a", "b")),)
    )
    stored = layer.encode(fields, np.array([[True, False]]))
    assert stored.dtype == np.uint8 and stored.tolist() == [[[50, 255]], [[150, 255]]]
    (layer,) = layers(predictor("embedding", ("e",)), (), None)
    values = np.array([[[65_504.0, 1e9]]], dtype=np.float32)
    fields = Fields(values, (Group("embedding", ("e",)),))
    assert layer.encode(fields, np.array([[True, False]])).dtype == np.float16
    with pytest.raises(ContractError, match="1 numbers beyond half precision, such as 1e\\+09"):
        layer.encode(fields, np.array([[True, True]]))


def test_groups_of_a_prediction() -> None:
    valid = torch.ones((1, 1, 1), dtype=torch.bool)
    mean, log_variance = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), math.log(4.0))
    answer = Prediction("pixel_regression", {"mean": mean, "log_variance": log_variance}, valid)
    assert stack(answer, (Group("mean", ("m",)), Group("variance", ("m",)))).ravel() == pytest.approx([3.0, 4.0])
    with pytest.raises(ContractError, match="but no 'spread'"):
        values_of(answer, Group("spread", ("s",)))
    fields = Fields(np.zeros((2, 1, 1), dtype=np.float32), (Group("mean", ("m",)), Group("variance", ("m",))))
    assert fields["variance"].shape == (1, 1, 1)
    with pytest.raises(KeyError):
        fields["spread"]


def test_stride_is_one_unless_the_predictor_says_otherwise() -> None:
    assert output_stride(predictor("embedding")) == 1
    assert output_stride(predictor("embedding", output_stride=4)) == 4
