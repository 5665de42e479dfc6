"""``train`` keeps the features of a frozen backbone where they are the same in every epoch, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from learn_samples import Loader, MadeUp

from swath.errors import ConfigError
from swath.learn import FitConfig, ModelTask, fit, read_options
from swath.learn.building import build, make_goal
from swath.learn.options import TrainOptions
from swath.learn.published import PublishedNetwork
from swath.learn.reproduce import seeded
from swath.learn.training import can_keep, with_features

STILL = {"flips": False, "rotations": False, "brightness": 0}
VIT = {"backbone": "vit_micro", "head": "linear", "options": {"width": 12, "depth": 1, "patch": 4}}
CONFIG = FitConfig(epochs=2, learning_rate=0.02, threads=1)


class OfChips(Loader):
    """A loader that says what it reads."""

    @property
    def chipset(self) -> MadeUp:
        return self.samples


def made(samples: MadeUp, options: TrainOptions) -> ModelTask:
    return build(samples, samples.measured(), options, seed=0, say=lambda text: None)


def presto(samples: MadeUp) -> ModelTask:
    """A head on an encoder of the published kind, with made-up weights."""
    goal = make_goal(samples, samples.measured(), read_options(None))
    with seeded(0, "stand-in"):
        network = PublishedNetwork("presto", goal.raw)
        torch.nn.init.normal_(next(network.encoder.parameters()), std=0.1)
    return ModelTask(network.using(samples.inputs["image"]), goal)


def trained(task: ModelTask, loader: Any, out: Path) -> dict[str, torch.Tensor]:
    fit(task, loader, config=CONFIG, out=out, seed=0, progress=False)
    return task.state_dict()


@pytest.mark.parametrize("kind", ["vit", "presto"])
def test_a_run_with_kept_features_is_the_run_without(kind: str, tmp_path: Path) -> None:
    samples = MadeUp(size=4 if kind == "presto" else 8)
    options = read_options({"augment": STILL, "network": VIT, "tuning": "frozen"})
    first, second = (presto(samples) if kind == "presto" else made(samples, options) for _ in range(2))
    told: list[str] = []
    kept = with_features(first, OfChips(samples, 12), options, tmp_path / "run", say=told.append)
    assert "are kept in" in told[0] and (tmp_path / "run" / "features").is_dir()
    ours, theirs = trained(first, kept, tmp_path / "run"), trained(second, OfChips(samples, 12), tmp_path / "plain")
    moved = [name for name in ours if not torch.equal(ours[name], made_start(kind, samples, options)[name])]
    assert moved and all("encoder" not in name for name in moved)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)


def made_start(kind: str, samples: MadeUp, options: TrainOptions) -> dict[str, torch.Tensor]:
    return (presto(samples) if kind == "presto" else made(samples, options)).state_dict()


def test_nothing_is_kept_where_something_differs_between_epochs(tmp_path: Path) -> None:
    samples = MadeUp()
    loader = OfChips(samples, 12)
    for options in (
        read_options({"network": VIT, "tuning": "frozen"}),  # augmentation is on
        read_options({"network": VIT, "augment": STILL}),  # the backbone learns
        read_options({"network": VIT, "augment": STILL, "tuning": "frozen", "cache": False}),
    ):
        task = made(samples, options)
        assert with_features(task, loader, options, tmp_path) is loader
    two = MadeUp(dates={"image": 1, "radar": 1})
    options = read_options({"network": VIT, "augment": STILL, "tuning": "frozen"})
    assert not can_keep(made(two, options))
    assert not list(tmp_path.iterdir())


def test_views_are_for_changed_chips_and_frozen_backbones(tmp_path: Path) -> None:
    samples = MadeUp()
    loader = OfChips(samples, 12)
    changing = read_options({"network": VIT, "tuning": "frozen", "cache_views": 2})
    assert len(with_features(made(samples, changing), loader, changing, tmp_path, say=lambda text: None)) == 2
    for wrong, part in (
        ({"tuning": "frozen", "augment": STILL}, "nothing changes"),
        ({}, "backbone learns"),
    ):
        options = read_options({"network": VIT, "cache_views": 2, **wrong})
        with pytest.raises(ConfigError, match=part):
            with_features(made(samples, options), loader, options, tmp_path / "other")
