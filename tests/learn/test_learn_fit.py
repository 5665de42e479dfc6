"""fit: learns, accumulates exactly, resumes bit for bit, refuses what cannot work."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import learn_fakes as fakes
import pandas as pd
import pytest
import torch
from learn_fakes import CONFIG, MadeUpLoader, everything, make_batch, make_task, score, train
from safetensors.torch import load_file

from swath.errors import ConfigError, ContractError, InputError, ResourceError
from swath.learn import FitConfig, SegmentationTask, fit, load_checkpoint
from swath.learn.state import STATE
from swath.types import IGNORE, Batch


class Stopped(Exception):
    pass


def stop_at(number: int) -> Callable[[int], None]:
    def maybe(batch: int) -> None:
        if batch == number:
            raise Stopped

    return maybe


def assert_same(one: Mapping[str, object], two: Mapping[str, object]) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, two[name]), name  # type: ignore[arg-type]
        else:
            assert value == two[name], name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, object]]:
    found = {}
    for dropout in (True, False):
        out = tmp_path_factory.mktemp("whole")
        train(out, MadeUpLoader(), dropout=dropout)
        found[dropout] = everything(out)
    return found


@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("batch", [0, 3, 4, 5, 9, 14])
def test_stopped_and_continued_is_uninterrupted(
    batch: int, dropout: bool, tmp_path: Path, uninterrupted: dict[bool, dict[str, object]]
) -> None:
    """5 batches an epoch in groups of 2: stops before any state, within a group, within and at the end of an epoch."""
    with pytest.raises(Stopped):
        train(tmp_path, MadeUpLoader(on_batch=stop_at(batch)), dropout=dropout)
    torch.manual_seed(batch)  # whatever happened to the global stream in between
    asked: list[int] = []
    result = train(tmp_path, MadeUpLoader(on_batch=asked.append), dropout=dropout)
    assert result.resumed == (batch >= 4)
    assert min(asked) == {0: 0, 3: 0, 4: 4, 5: 5, 9: 7, 14: 14}[batch]  # the last state saved before
    assert_same(everything(tmp_path), uninterrupted[dropout])


def test_killed_and_continued_is_uninterrupted(tmp_path: Path, uninterrupted: dict[bool, dict[str, object]]) -> None:
    """A real SIGKILL in another process, in the second epoch, between two saved states."""
    command = [sys.executable, str(Path(fakes.__file__)), str(tmp_path), "8"]
    done = subprocess.run(command, cwd=Path(fakes.__file__).parent, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (tmp_path / STATE).exists()
    assert train(tmp_path, MadeUpLoader()).resumed
    assert_same(everything(tmp_path), uninterrupted[True])


def test_the_seed_and_the_dropout_matter(tmp_path: Path, uninterrupted: dict[bool, dict[str, object]]) -> None:
    """The comparison above could not fail if the random stream had no effect."""
    fit(make_task(dropout=True), MadeUpLoader(), config=CONFIG, out=tmp_path, seed=1, validate=score, progress=False)
    other = everything(tmp_path)
    name = "training_state:model.network.layers.0.weight"
    assert not torch.equal(other[name], uninterrupted[True][name])  # type: ignore[arg-type]


def test_a_finished_run_returns_at_once_with_its_weights(tmp_path: Path) -> None:
    first, second = make_task(), make_task(seed=9)
    arguments = {"config": CONFIG, "out": tmp_path, "seed": 0, "validate": score, "progress": False}
    one = fit(first, MadeUpLoader(), **arguments)  # type: ignore[arg-type]
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))}
    two = fit(second, MadeUpLoader(on_batch=stop_at(0)), **arguments)  # type: ignore[arg-type]
    assert {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))} == before
    assert replace(one, resumed=True) == two and not one.resumed
    assert_same(dict(first.state_dict()), dict(second.state_dict()))


def test_it_learns_and_leaves_what_it_says(tmp_path: Path) -> None:
    task, loader = make_task(width=8), MadeUpLoader(samples=64, batch_size=8)
    untrained = score(task, 0)["accuracy"]
    config = FitConfig(epochs=12, learning_rate=0.05, monitor="accuracy", threads=1)
    random_before = torch.get_rng_state()
    result = fit(task, loader, config=config, out=tmp_path, seed=0, validate=score, progress=True)
    assert torch.equal(torch.get_rng_state(), random_before)
    assert not torch.are_deterministic_algorithms_enabled()
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log) == ["epoch", "step", "loss", "lr", "grad_norm", "wall_s", "accuracy", "epoch_number"]
    assert log["step"].tolist() == [8 * (epoch + 1) for epoch in range(12)]
    assert log["loss"].iloc[-1] < 0.5 * log["loss"].iloc[0]
    assert log["wall_s"].is_monotonic_increasing
    assert log["lr"].iloc[-1] == pytest.approx(0.05 * config.final_share)
    assert log["accuracy"].iloc[-1] > max(0.6, untrained + 0.2)  # the commonest class alone scores 0.40
    assert (result.epochs, result.steps, len(result.history)) == (12, 96, 12)
    assert result.best is not None and result.best_epoch == int(log["accuracy"].to_numpy().argmax())
    assert result.best_value == log["accuracy"].max()
    # Both checkpoints hold the averaged weights: they score exactly what the log says.
    assert score(load_checkpoint(result.best), 0)["accuracy"] == result.best_value
    assert score(load_checkpoint(result.last), 0)["accuracy"] == log["accuracy"].iloc[-1]
    assert score(task, 0)["accuracy"] == log["accuracy"].iloc[-1]
    state, last = load_file(tmp_path / STATE), load_file(tmp_path / "last" / "model.safetensors")
    for name, weight in task.state_dict().items():
        assert torch.equal(last[name], weight) and torch.equal(state[f"average.{name}"], weight)
        assert not torch.equal(state[f"model.{name}"], weight)
    assert not list(tmp_path.rglob("*.part"))


def test_accumulation_divides_by_the_count_of_the_group(tmp_path: Path) -> None:
    """Two batches in one step are one batch of both, although their valid counts differ much."""

    def sparse(batch: Batch) -> Batch:
        label = batch.targets["label"].clone()
        for position, name in enumerate(batch.ids):
            if name == "chip-03":
                label[position, 1:] = IGNORE
        return replace(batch, targets={"label": label}, target_valid={"label": label != IGNORE})

    weights = []
    for name, size, accumulate in (("whole", 4, 1), ("parts", 1, 4)):
        config = FitConfig(epochs=1, learning_rate=0.05, accumulate=accumulate, threads=1, ema_decay=None)
        task = make_task()
        loader = MadeUpLoader(samples=4, batch_size=size, change=sparse)
        result = fit(task, loader, config=config, out=tmp_path / name, seed=0, progress=False)
        assert result.steps == 1
        weights.append(torch.cat([parameter.detach().flatten() for parameter in task.parameters()]))
        weights.append(torch.tensor([result.history[0]["loss"], result.history[0]["grad_norm"]]))
    torch.testing.assert_close(weights[0], weights[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weights[1], weights[3], rtol=1e-4, atol=1e-5)


def test_nothing_valid_moves_nothing(tmp_path: Path) -> None:
    def hide(batch: Batch) -> Batch:
        label = torch.full_like(batch.targets["label"], IGNORE)
        return replace(batch, targets={"label": label}, target_valid={"label": label != IGNORE})

    task, fresh = make_task(), make_task()
    config = FitConfig(epochs=1, weight_decay=0.5, threads=1)
    result = fit(task, MadeUpLoader(change=hide), config=config, out=tmp_path, seed=0, progress=False)
    for name, weight in task.state_dict().items():
        torch.testing.assert_close(weight, fresh.state_dict()[name])
    assert pd.isna(result.history[0]["loss"]) and result.steps == 5


def test_validation_sees_the_averaged_weights_in_evaluation_mode(tmp_path: Path) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def look(task: SegmentationTask, epoch: int) -> dict[str, float]:
        assert not task.training
        seen.append({name: weight.clone() for name, weight in task.state_dict().items()})
        return {"miou": float(-epoch)}

    task = make_task()
    config = FitConfig(epochs=2, threads=1)
    result = fit(task, MadeUpLoader(), config=config, out=tmp_path, seed=0, validate=look, progress=False)
    assert result.best_epoch == 0
    assert_same(seen[0], dict(load_file(tmp_path / "best" / "model.safetensors")))
    assert_same(seen[1], dict(load_file(tmp_path / "last" / "model.safetensors")))
    assert_same(seen[1], dict(task.state_dict()))


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    config = FitConfig(epochs=2, checkpoint_every_epochs=2, ema_decay=None, clip_norm=None, threads=1)
    result = fit(make_task(), MadeUpLoader(), config=config, out=tmp_path, seed=0, progress=False)
    assert result.best is None and result.best_value is None
    assert load_checkpoint(result.last).classes == fakes.CLASSES


@pytest.mark.parametrize(("mode", "expected"), [("max", 2), ("min", 0)])
def test_the_monitor_decides_and_nan_never_wins(mode: str, expected: int, tmp_path: Path) -> None:
    values = {0: 1.0, 1: float("nan"), 2: 3.0, 3: 2.0}
    config = FitConfig(epochs=4, monitor="score", monitor_mode=mode, threads=1)  # type: ignore[arg-type]
    loader = MadeUpLoader(samples=2)
    result = fit(
        make_task(),
        loader,
        config=config,
        out=tmp_path,
        seed=0,
        validate=lambda _, e: {"score": values[e]},
        progress=False,
    )
    assert result.best_epoch == expected and result.best_value == values[expected]
    again = fit(make_task(), loader, config=config, out=tmp_path, seed=0, progress=False)
    assert again.best_epoch == expected  # NaN in the history does not hinder a later start


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"config": CONFIG.model_copy(update={"learning_rate": 0.5})}, "config.learning_rate was 0.02 and is now 0.5"),
        ({"config": CONFIG.model_copy(update={"epochs": 9})}, "config.epochs was 3 and is now 9"),
        ({"loader": MadeUpLoader(samples=4)}, "batches was 5 and is now 2"),
        ({"task": make_task(valid_rule="all")}, 'task.valid_rule was "any" and is now "all"'),
    ],
)
def test_a_run_that_was_started_differently_is_refused(
    change: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    arguments = {"task": make_task(), "loader": MadeUpLoader(), "config": CONFIG, "seed": 0, "validate": score}
    fit(**arguments, out=tmp_path, progress=False)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=sentence):
        fit(**(arguments | change), out=tmp_path, progress=False)  # type: ignore[arg-type]
    how = CONFIG.model_copy(update={"checkpoint_every_steps": None, "device": "cpu"})
    assert fit(**(arguments | {"config": how}), out=tmp_path, progress=False).resumed  # type: ignore[arg-type]


def test_a_loss_that_is_not_finite_names_step_and_samples(tmp_path: Path) -> None:
    def overflow(batch: Batch) -> Batch:
        if "chip-07" not in batch.ids:
            return batch
        image = batch.inputs["image"]
        return replace(batch, inputs={"image": replace(image, values=torch.full_like(image.values, 3e38))})

    loader = MadeUpLoader(change=overflow)
    step = next(n for n, batch in enumerate(loader.epoch(0)) if "chip-07" in batch.ids)
    with pytest.raises(InputError, match=rf"is nan at step {step} \(epoch 0\) for the samples .*chip-07"):
        fit(make_task(), loader, config=FitConfig(epochs=1, threads=1), out=tmp_path, seed=0, progress=False)
    assert not (tmp_path / "last").exists()


def test_a_missing_monitor_names_the_nearest(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"monitor": "acuracy"})
    with pytest.raises(ConfigError, match=r"'monitor' is 'acuracy'.*set monitor to accuracy"):
        fit(make_task(), MadeUpLoader(), config=config, out=tmp_path, seed=0, validate=score, progress=False)


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    def attempt(task: SegmentationTask, loader: MadeUpLoader, config: FitConfig = CONFIG) -> None:
        fit(task, loader, config=config, out=tmp_path / "x", seed=0, progress=False)

    with pytest.raises(InputError, match="holds no batches"):
        attempt(make_task(), MadeUpLoader(samples=0))
    with pytest.raises(InputError, match="no trainable parameters"):
        attempt(make_task().requires_grad_(False), MadeUpLoader())
    with pytest.raises(ConfigError, match="'precision' is 'bfloat16' on a processor"):
        attempt(make_task(), MadeUpLoader(), FitConfig(device="cpu", precision="bfloat16"))
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="finds no graphics card"):
            attempt(make_task(), MadeUpLoader(), FitConfig(device="cuda"))
    assert not (tmp_path / "x").exists()
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match="is a file"):
        attempt(make_task(), MadeUpLoader())


def test_a_loader_that_gives_too_few_batches_is_named(tmp_path: Path) -> None:
    class Short(MadeUpLoader):
        def __len__(self) -> int:
            return 5

    loader = Short(samples=4)
    loader.epoch = lambda epoch, start=0: iter([make_batch([0, 1])])  # type: ignore[method-assign]
    with pytest.raises(ContractError, match="The loader gave 1 batches in epoch 0"):
        fit(make_task(), loader, config=FitConfig(threads=1), out=tmp_path, seed=0, progress=False)


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_damaged_state_is_named(damage: str, tmp_path: Path) -> None:
    train(tmp_path, MadeUpLoader())
    state = tmp_path / STATE
    state.write_bytes(state.read_bytes()[:-40] if damage == "truncated" else b"PK not a state")
    with pytest.raises(InputError, match=f"{STATE} cannot be read"):
        train(tmp_path, MadeUpLoader())


def test_a_state_of_another_network_is_named(tmp_path: Path) -> None:
    """Same record, other weights: cannot happen by configuration, only by a changed class."""
    train(tmp_path, MadeUpLoader())
    task = make_task(dropout=True)
    task.network.layers.append(torch.nn.Conv2d(3, 3, 1))  # type: ignore[union-attr, operator]
    with pytest.raises(InputError, match="does not fit this run"):
        fit(task, MadeUpLoader(), config=CONFIG, out=tmp_path, seed=0, validate=score, progress=False)


def test_batches_are_checked_before_the_first_step(tmp_path: Path) -> None:
    def double(batch: Batch) -> Batch:
        image = batch.inputs["image"]
        return replace(batch, inputs={"image": replace(image, values=image.values.double())})

    with pytest.raises(ContractError, match="dtype float64"):
        fit(make_task(), MadeUpLoader(change=double), config=FitConfig(threads=1), out=tmp_path, seed=0, progress=False)
