"""parse: every wrong key and value becomes one sentence with file, key, value, allowed type and nearest key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swath.errors import ConfigError
from swath.learn import FitConfig, parse


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int = Field(default=32, ge=1, le=512)


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    data: str
    fit: FitConfig = FitConfig()
    network: Inner | None = None
    weights: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _rule(self) -> Outer:
        if self.data == "bad":
            raise ValueError("data and fit do not go together")
        return self


def test_good_values_come_through() -> None:
    outer = parse(Outer, {"data": "x", "fit": {"epochs": "3", "clip_norm": None}, "weights": [1, 2]}, "train.yaml")
    assert (outer.fit.epochs, outer.fit.clip_norm, outer.weights) == (3, None, (1.0, 2.0))
    assert parse(FitConfig, {}, "defaults") == FitConfig()
    assert parse(FitConfig, {"learning_rate": "1e-3"}, "train.yaml").learning_rate == 1e-3


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValidationError):
        FitConfig().epochs = 3


@pytest.mark.parametrize(
    ("mapping", "given", "expected", "remedy"),
    [
        (
            {"epocs": 3},
            "the key 'epocs' is unknown",
            "one of the keys epochs, learning_rate",
            "epochs instead of epocs",
        ),
        ({"LearningRate": 1}, "'LearningRate' is unknown", "learning_rate", "learning_rate instead of LearningRate"),
        ({"epochs": "ten"}, "'epochs' is 'ten' (str)", "a whole number, at least 1", "change 'epochs'"),
        ({"epochs": 0}, "'epochs' is 0 (int)", "a whole number, at least 1", "change 'epochs'"),
        ({"learning_rate": 0}, "'learning_rate' is 0 (int)", "a number, above 0", "change"),
        ({"learning_rate": float("inf")}, "'learning_rate' is inf (float)", "a number", "change"),
        ({"ema_decay": 1.5}, "'ema_decay' is 1.5", "a number, at least 0, below 1 or nothing (null)", "change"),
        ({"device": "gpu"}, "'device' is 'gpu' (str)", "one of 'auto', 'cpu', 'cuda'", "change 'device'"),
        ({"monitor": 3}, "'monitor' is 3 (int)", "a text", "change"),
        ({1: 2}, "'1' is 1 (int)", "Keys should be strings", "change"),
    ],
)
def test_flat_mistakes(mapping: Any, given: str, expected: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(FitConfig, mapping, "train.yaml")
    assert caught.value.given.startswith("train.yaml: ")
    assert given in caught.value.given
    assert expected in caught.value.expected
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"data": "x", "fit": {"epoch": 2}}, r"the key 'fit.epoch' is unknown.*write epochs instead of epoch"),
        ({"data": "x", "network": {"widht": 2}}, r"'network.widht' is unknown.*one of the keys width"),
        ({"data": "x", "network": {"width": 999}}, r"'network.width' is 999 .*at least 1, at most 512"),
        ({"data": "x", "weights": [1, "a"]}, r"'weights.1' is 'a' \(str\).*valid number"),
        ({"data": "x", "fit": 3}, r"'fit' is 3 \(int\)"),
        ({}, r"the key 'data' is missing.*add 'data'"),
        ({"data": "bad"}, r"data and fit do not go together"),
    ],
)
def test_nested_mistakes(mapping: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse(Outer, mapping, "train.yaml")


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(FitConfig, {"epocs": 1, "clip": 2, "epochs": -1}, "train.yaml")
    assert all(part in caught.value.given for part in ("epocs", "'clip'", "'epochs' is -1"))


@pytest.mark.parametrize("content", [None, [1], "epochs: 3", 4])
def test_what_is_no_mapping(content: Any) -> None:
    with pytest.raises(ConfigError, match=r"train.yaml holds .*keys and values"):
        parse(FitConfig, content, "train.yaml")


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.floats() | st.text(max_size=5), max_size=4))
def test_any_mapping_gives_a_config_or_a_sentence(mapping: dict[str, Any]) -> None:
    known = set(mapping) <= set(FitConfig.model_fields)
    try:
        parse(FitConfig, mapping, "here")
    except ConfigError as error:
        assert str(error).startswith("here: ")
    else:
        assert known
