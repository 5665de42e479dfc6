"""A published encoder as the backbone: frozen, with a head that learns, and whole in its checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from learn_samples import Loader, MadeUp

from swath.errors import ConfigError
from swath.learn import FitConfig, ModelTask, fit, load_checkpoint, read_options
from swath.learn.building import build, published_for
from swath.learn.published import PublishedNetwork
from swath.types import Task

DATA = os.environ.get("SWATH_DATA")
NEEDS_DATA = pytest.mark.skipif(not DATA, reason="SWATH_DATA names no directory")


def made(samples: MadeUp, **options: Any) -> ModelTask:
    told: list[str] = []
    task = build(samples, samples.measured(), read_options(options), seed=0, say=told.append)
    assert "what was loaded" in told[0] and "checksum agrees" in told[0]
    return task


@NEEDS_DATA
@pytest.mark.parametrize("task", ["segmentation", "regression"])
def test_a_head_learns_on_frozen_weights(task: Task, tmp_path: Path) -> None:
    samples = MadeUp(task, size=4)
    model = made(samples, pretrained="presto", tuning="frozen")
    assert isinstance(model.network, PublishedNetwork)
    before = {name: value.clone() for name, value in model.network.encoder.state_dict().items()}
    config = FitConfig(epochs=1, learning_rate=0.01, threads=1)
    found = fit(model, Loader(samples, 12), config=config, out=tmp_path, seed=0, progress=False)
    after = model.network.encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all("head" in name for name, value in model.named_parameters() if value.requires_grad)
    again = load_checkpoint(found.last)  # reads no other file
    batch = samples.batch(samples.ids[:2])
    first, second = model.predict(batch), again.predict(batch)
    second.check(batch)
    for name, value in first.outputs.items():
        assert torch.equal(value, second.outputs[name])
    assert torch.equal(first.valid, second.valid)
    dark = batch.inputs["image"]
    assert first.valid.any() and first.valid.shape == ((2, 4, 4) if task == "segmentation" else (2,))
    assert second.valid.any() and dark.values.shape[-1] == 4


@pytest.mark.parametrize(
    ("task", "options", "part"),
    [
        ("segmentation", {"pretrained": "presto", "network": {"backbone": "vit_small"}}, "which is another family"),
        ("segmentation", {"pretrained": "presto", "tuning": "lora"}, "learns nothing itself"),
        ("segmentation", {"pretrained": "presto", "network": {"head": "upernet"}}, "linear or fcn"),
        ("segmentation", {"pretrained": "presto", "time": "gru"}, "joins inputs and dates itself"),
        ("change", {"pretrained": "galileo_nano"}, "one embedding of all dates"),
    ],
)
def test_what_a_published_encoder_cannot_do(task: Task, options: dict[str, Any], part: str) -> None:
    samples = MadeUp(task, {"image": 2 if task == "change" else 1})
    with pytest.raises(ConfigError, match=part):
        published_for(task, samples.inputs, 2, read_options(options))


def test_no_memory_is_needed_to_look() -> None:
    with torch.device("meta"):
        network = published_for("classification", MadeUp().inputs, 3, read_options({"pretrained": "presto"}))
    assert network is not None and network.spec.head == "vector"
    assert published_for("classification", MadeUp().inputs, 3, read_options({})) is None
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())
