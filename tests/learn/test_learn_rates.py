"""Learning rates by depth, frozen parts that stay as they are, curves, and states of older runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from learn_fakes import BANDS, CLASSES, CONFIG, DropoutNet, MadeUpLoader, everything, make_task, score, train
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from swath.errors import ConfigError, MissingError
from swath.learn import FitConfig, SegmentationTask, fit, parse, seeded
from swath.learn.frozen import is_frozen, training_mode
from swath.learn.optimise import MovingAverage, make_optimiser, rates, set_rates
from swath.learn.record import ARCHITECTURES
from swath.learn.state import STATE
from swath.nn import Network, Normalise, adapt

SHORT = FitConfig(epochs=1, learning_rate=0.02, threads=1, ema_decay=None)


class Holder(nn.Module):
    """The parameters of a task around a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.temperature = nn.Parameter(torch.ones(1))


def make_network(backbone: str, **options: object) -> Holder:
    with seeded(0, "weights"):
        return Holder(Network(backbone, 2, 3, head="fcn", head_width=8, options=dict(options)))


def shares(task: nn.Module, config: FitConfig) -> dict[str, float]:
    """Parameter name to the share of its group."""
    names = {parameter: name for name, parameter in task.named_parameters()}
    groups = make_optimiser(task, config).param_groups
    return {names[parameter]: group["share"] for group in groups for parameter in group["params"]}


def test_by_default_there_is_one_rate_in_two_groups() -> None:
    groups = make_optimiser(make_task(), FitConfig(betas=(0.8, 0.95))).param_groups
    assert [(group["name"], group["share"]) for group in groups] == [("rest", 1.0)] * 2
    assert [group["betas"] for group in groups] == [(0.8, 0.95)] * 2


def test_rates_fall_from_the_head_to_the_embedding() -> None:
    task = make_network("vit_micro", depth=2, width=24, patch=4, image=8)
    found = shares(task, FitConfig(layer_decay=0.5))
    assert set(found) == {name for name, _ in task.named_parameters()}
    for name, share in found.items():  # embedding, 2 blocks, final norm, head: 4, 3, 2, 1, 0 factors
        part = name.removeprefix("network.")
        depth = 4
        if part.startswith("backbone.blocks."):
            depth = 3 - int(part.split(".")[2])
        elif part.startswith("backbone.norm"):
            depth = 1
        elif not part.startswith("backbone."):
            depth = 0
        assert share == 0.5**depth, name
    assert {0.5**depth for depth in range(5)} == set(found.values())


def test_the_encoder_has_a_share_and_both_compose() -> None:
    task = make_network("vit_micro", depth=2, width=24, patch=4, image=8)
    dual = shares(task, FitConfig(encoder_learning_rate=0.1))
    assert {share for name, share in dual.items() if ".backbone." in name} == {0.1}
    assert {share for name, share in dual.items() if ".backbone." not in name} == {1.0}
    decayed, both = (shares(task, FitConfig(layer_decay=0.5, encoder_learning_rate=each)) for each in (1.0, 0.1))
    for name, share in both.items():
        assert share == pytest.approx(decayed[name] * (0.1 if ".backbone." in name else 1.0))


def test_the_schedule_multiplies_each_peak_and_the_log_names_the_groups(tmp_path: Path) -> None:
    task = make_task(width=4)
    optimiser = make_optimiser(task, FitConfig(encoder_learning_rate=0.25))
    set_rates(optimiser, 0.008)
    assert {(group["name"], group["lr"]) for group in optimiser.param_groups} == {("encoder", 0.002), ("rest", 0.008)}
    assert rates(optimiser, 0.008) == {"lr": 0.008, "lr.encoder": 0.002, "lr.rest": 0.008}
    config = SHORT.model_copy(update={"epochs": 3, "encoder_learning_rate": 0.25})
    fit(task, MadeUpLoader(), config=config, out=tmp_path, seed=0, progress=False)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log)[3:6] == ["lr", "lr.encoder", "lr.rest"]
    assert (log["lr.encoder"] / log["lr"]).tolist() == pytest.approx([0.25] * 3)
    assert log["lr"].nunique() == 3


def test_rates_act_on_the_weights(tmp_path: Path) -> None:
    """Adam's first step moves every weight by about its rate, so the share shows in the weights themselves."""
    task, before = make_task(), make_task().state_dict()
    config = SHORT.model_copy(update={"encoder_learning_rate": 0.01, "warmup_share": 0.0, "weight_decay": 0.0})
    fit(task, MadeUpLoader(samples=2), config=config, out=tmp_path, seed=0, progress=False)
    moved = {name: float((tensor - before[name]).abs().max()) for name, tensor in task.state_dict().items()}
    assert max(moved[name] for name in moved if ".encoder." in name) == pytest.approx(2e-4, rel=0.05)
    assert max(moved[name] for name in moved if ".decoder." in name) == pytest.approx(2e-2, rel=0.05)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="a DropoutNet has no encoder"):
        make_optimiser(make_task(dropout=True), FitConfig(encoder_learning_rate=0.5))
    with pytest.raises(ConfigError, match=r"'encoder_learning_rate' is 0.0001 .*at least 0.01, at most 1"):
        parse(FitConfig, {"encoder_learning_rate": 1e-4}, "train.yaml")
    with pytest.raises(ConfigError, match=r"'layer_decay' is 0 .*above 0, at most 1"):
        parse(FitConfig, {"layer_decay": 0}, "train.yaml")
    with pytest.raises(ConfigError, match=r"'betas' is 0.9 .*a list of a number, at least 0, below 1"):
        parse(FitConfig, {"betas": 0.9}, "train.yaml")
    with pytest.raises(ConfigError, match=r"'betas.1' is 1.0"):
        parse(FitConfig, {"betas": [0.9, 1.0]}, "train.yaml")


def test_layer_decay_without_an_encoder_goes_by_children() -> None:
    found = shares(make_task(dropout=True), FitConfig(layer_decay=0.5))
    assert set(found.values()) == {1.0}  # one child, all of it the last part


def test_a_state_of_before_these_options_goes_on(tmp_path: Path) -> None:
    """A setting that the older run did not know counts as its default; another value is still a difference."""
    train(tmp_path, MadeUpLoader())
    path = tmp_path / STATE
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    started = json.loads(metadata["started_with"])
    for name in ("betas", "layer_decay", "encoder_learning_rate"):
        del started["config"][name]
    save_file(load_file(path), path, metadata | {"started_with": json.dumps(started)})
    assert train(tmp_path, MadeUpLoader()).resumed
    with pytest.raises(ConfigError, match=r"config.layer_decay was 1.0 and is now 0.5"):
        train(tmp_path, MadeUpLoader(), config=CONFIG.model_copy(update={"layer_decay": 0.5}))


class FrozenBody(nn.Module):
    """A body with batch normalisation and dropout under a head with its own; only the head learns."""

    def __init__(self, in_channels: int = 2, out_channels: int = 3) -> None:
        super().__init__()
        self.spec = DropoutNet(in_channels, out_channels).spec
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(0.9))
        self.head = nn.Sequential(nn.BatchNorm2d(8), nn.Dropout(0.1), nn.Conv2d(8, out_channels, 1))
        self.encoder.requires_grad_(False)
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.modes.append((self.encoder[2].training, self.head[1].training))
        logits: torch.Tensor = self.head(self.encoder(image))
        return logits


ARCHITECTURES["frozen body"] = f"{FrozenBody.__module__}:FrozenBody"


def test_frozen_parts_stay_as_they_are(tmp_path: Path) -> None:
    with seeded(0, "weights"):
        network = FrozenBody()
    task = SegmentationTask(network, Normalise([0.5, 0.5], [0.3, 0.3]), BANDS, CLASSES)
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    config = SHORT.model_copy(update={"epochs": 2, "ema_decay": 0.9, "monitor": "accuracy"})
    fit(task, MadeUpLoader(), config=config, out=tmp_path, seed=0, validate=score, progress=False)
    after = task.state_dict()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor) == (".encoder." in name), name
    trained = [mode for mode in network.modes if mode[1]]
    assert len(trained) == 10 and all(mode == (False, True) for mode in trained)  # also after validation
    stored = load_file(tmp_path / STATE)
    assert not [name for name in stored if name.startswith(("average.network.encoder", "optimiser.network.encoder"))]


@pytest.mark.parametrize("kind", ["frozen", "lora", "partial"])
def test_adapted_networks_keep_their_statistics(kind: str) -> None:
    """Batch normalisation of which nothing learns, also beside what adapting added and below learning blocks."""
    task = make_network("resnet18", norm="batch")
    adapt(task.network, kind, train=("head",), blocks=3)  # type: ignore[arg-type]
    training_mode(task)
    layers = {name: part for name, part in task.named_modules() if isinstance(part, nn.BatchNorm2d)}
    frozen = [name for name, part in layers.items() if is_frozen(part)]
    assert frozen and {name for name, part in layers.items() if not part.training} == set(frozen)
    assert task.training and task.network.training


def test_the_average_follows_what_learns() -> None:
    task = make_task()
    task.network.get_submodule("encoder").requires_grad_(False)
    assert all(".decoder." in name for name in MovingAverage(task, 0.9).average)


def read_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard.*")
def test_curves_are_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    plain, drawn = tmp_path / "plain", tmp_path / "drawn"
    config = CONFIG.model_copy(update={"encoder_learning_rate": 0.5})
    train(plain, MadeUpLoader(), dropout=False, config=config)
    watched = config.model_copy(update={"tensorboard": True})

    def stop(batch: int) -> None:
        if batch == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(drawn, MadeUpLoader(on_batch=stop), dropout=False, config=watched)
    train(drawn, MadeUpLoader(), dropout=False, config=watched)
    one, two = everything(plain), everything(drawn)
    assert one["log"] == two["log"] and all(torch.equal(one[name], two[name]) for name in one if name != "log")
    found, log = read_curves(drawn / "curves"), pd.read_csv(drawn / "log.csv")
    for name in ("loss", "lr", "lr.encoder", "lr.rest", "grad_norm", "accuracy"):
        assert [step for step, _ in found[f"epoch/{name}"]] == log["step"].tolist(), name
        assert [value for _, value in found[f"epoch/{name}"]] == pytest.approx(log[name].tolist(), rel=1e-6)
    assert [step for step, _ in found["step/loss"]] == list(range(1, 10))  # each once, though steps were repeated
    assert all(math.isfinite(value) for _, value in found["step/loss"])


def test_without_the_extra_it_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def absent(name: str, *rest: object) -> object:
        if name.split(".")[0] == "tensorboard":
            raise ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard")
        return real(name, *rest)  # type: ignore[arg-type]

    import sys

    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingError, match=r"pip install 'swath\[tensorboard\]'"):
        train(tmp_path, MadeUpLoader(), config=CONFIG.model_copy(update={"tensorboard": True}))
    assert not (tmp_path / STATE).exists()
