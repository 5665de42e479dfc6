"""Features of a frozen encoder: as good as computing them, refused when they belong to something else."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_fakes import MadeUpLoader, make_batch, make_task
from torch import nn

from swath.chips import Augment
from swath.errors import ConfigError, ContractError, InputError, ResourceError
from swath.learn import FitConfig, SegmentationTask, fit
from swath.learn.cache import RECORD, CachedLoader, cached_loader
from swath.learn.features import CachedBatch, observe, replayed
from swath.learn.parallel import take_samples
from swath.types import Batch, Features

CONFIG = FitConfig(epochs=3, learning_rate=0.02, accumulate=2, threads=1)


def make_frozen(seed: int = 0) -> SegmentationTask:
    """A task whose encoder is frozen, and counts how often it is asked."""
    task = make_task(seed, width=8)
    task.network.get_submodule("encoder").requires_grad_(False)
    return task


def encoder_of(task: SegmentationTask) -> nn.Module:
    return task.network.get_submodule("encoder")


def count_calls(task: SegmentationTask) -> list[int]:
    calls: list[int] = []
    encoder_of(task).get_submodule("levels.0").register_forward_hook(lambda *given: calls.append(1))
    return calls


@pytest.mark.parametrize(("number", "tolerance"), [("float32", 1e-5), ("float16", 3e-3)])
def test_a_run_with_the_cache_is_the_run_without(number: str, tolerance: float, tmp_path: Path) -> None:
    plain, cached = make_frozen(), make_frozen()
    calls, tasks = count_calls(cached), (plain, cached)
    loader = cached_loader(
        cached,
        MadeUpLoader(),
        tmp_path / "features",
        number=number,  # type: ignore[arg-type]
        fingerprint="x",
    )
    assert len(calls) == 5 + 2  # one epoch, and two looks at one batch
    results = [
        fit(task, batches, config=CONFIG, out=tmp_path / name, seed=0, progress=False)
        for task, batches, name in zip(tasks, (MadeUpLoader(), loader), ("plain", "cached"), strict=True)
    ]
    assert len(calls) == 7  # not once while training
    for one, two in zip(results[0].history, results[1].history, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=tolerance)
    one, two, fresh = (torch.cat([p.detach().flatten() for p in t.parameters()]) for t in (*tasks, make_frozen()))
    assert (two - one).norm() < 10 * tolerance * (one - fresh).norm()  # Adam follows the sign of small gradients too
    assert "forward" not in vars(encoder_of(cached))
    # The next run reads what is there, in another process's memory too.
    again = cached_loader(
        cached,
        MadeUpLoader(),
        tmp_path / "features",
        number=number,  # type: ignore[arg-type]
        fingerprint="x",
    )
    assert len(calls) == 7
    copied: CachedLoader = pickle.loads(pickle.dumps(again))
    for one, two in zip(again.epoch(1), copied.epoch(1), strict=True):
        assert isinstance(one, CachedBatch) and isinstance(two, CachedBatch)
        assert one.ids == two.ids
        assert all(torch.equal(a, b) for a, b in zip(one.features.maps, two.features.maps, strict=True))


def test_features_are_those_of_the_samples_in_any_order(tmp_path: Path) -> None:
    task = make_frozen()
    loader = cached_loader(task, MadeUpLoader(samples=5), tmp_path / "f", number="float32", fingerprint="x")
    for epoch, start in ((0, 0), (3, 1), (7, 2)):
        for batch in loader.epoch(epoch, start):
            assert isinstance(batch, CachedBatch)
            wanted = observe(task, Batch(batch.inputs, batch.targets, batch.target_valid, batch.ids))
            assert wanted.strides == batch.features.strides and len(wanted.maps) == len(batch.features.maps)
            for one, two in zip(wanted.maps, batch.features.maps, strict=True):
                torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
                assert two.is_contiguous(memory_format=torch.channels_last)
            batch.features.check()


@dataclass
class Augmented(MadeUpLoader):
    """Noise that depends on the epoch, as augmentation does."""

    augment: Augment | None = None

    def epoch(self, epoch: int, start: int = 0):  # type: ignore[no-untyped-def]
        for batch in super().epoch(epoch, start):
            yield batch if self.augment is None else self.augment(batch, seed=0, epoch=epoch)


def test_augmentation_needs_views(tmp_path: Path) -> None:
    task, loader = make_frozen(), Augmented(samples=4, augment=Augment(flips=True, rotations=True))
    with pytest.raises(ConfigError, match="changes its samples at random"):
        cached_loader(task, loader, tmp_path / "f", fingerprint="x")
    with pytest.raises(ConfigError, match="views = 0"):
        cached_loader(task, loader, tmp_path / "f", fingerprint="x", views=0)
    off = replace(loader, augment=Augment(flips=False, rotations=False))
    assert len(cached_loader(task, off, tmp_path / "off", fingerprint="x")) == 2
    cached = cached_loader(task, loader, tmp_path / "f", number="float32", fingerprint="x", views=2)
    seen = {}
    for epoch in range(4):
        for batch, original in zip(cached.epoch(epoch), loader.epoch(epoch % 2), strict=True):
            assert isinstance(batch, CachedBatch) and batch.ids == original.ids
            torch.testing.assert_close(batch.features.maps[0], observe(task, original).maps[0], rtol=1e-5, atol=1e-5)
            seen.update({(epoch, name): batch.features.maps[0][i] for i, name in enumerate(batch.ids)})
    names = {name for _, name in seen}
    assert all(torch.equal(seen[0, name], seen[2, name]) for name in names)
    assert any(not torch.equal(seen[0, name], seen[1, name]) for name in names)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"task": "other weights"}, "encoder was "),
        ({"task": "other statistics"}, "statistics was "),
        ({"fingerprint": "y"}, 'data was "x" and is now "y"'),
        ({"number": "float32"}, 'number was "float16" and is now "float32"'),
        ({"views": 2}, "views was null and is now 2"),
    ],
)
def test_features_of_something_else_are_refused(change: dict[str, object], sentence: str, tmp_path: Path) -> None:
    task = make_frozen()
    cached_loader(task, MadeUpLoader(), tmp_path / "f", fingerprint="x")
    before = {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()}
    if change.get("task") == "other weights":
        with torch.no_grad():
            next(encoder_of(task).parameters())[0, 0, 0, 0] += 1e-3
    if change.get("task") == "other statistics":
        task.normalise.mean[0] = 0.4
    options = {"fingerprint": "x"} | {name: value for name, value in change.items() if name != "task"}
    with pytest.raises(ConfigError, match=f"do not belong to this run: {sentence}"):
        cached_loader(task, MadeUpLoader(), tmp_path / "f", **options)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()} == before


def test_the_head_may_change(tmp_path: Path) -> None:
    task = make_frozen()
    cached_loader(task, MadeUpLoader(), tmp_path / "f", fingerprint="x")
    with torch.no_grad():
        for parameter in task.network.get_submodule("decoder").parameters():
            parameter.add_(1.0)
    assert len(cached_loader(task, MadeUpLoader(), tmp_path / "f", fingerprint="x")) == 5


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    with pytest.raises(ContractError, match="because its encoder learns"):
        cached_loader(make_task(), MadeUpLoader(), folder, fingerprint="x")
    with pytest.raises(ContractError, match="because it has no encoder"):
        cached_loader(make_task(dropout=True).requires_grad_(False), MadeUpLoader(), folder, fingerprint="x")
    with pytest.raises(ConfigError, match="no fingerprint"):
        cached_loader(make_frozen(), MadeUpLoader(), folder)
    with pytest.raises(ResourceError, match=r"would take about .* GiB.*at most 1e-06 GiB"):
        cached_loader(make_frozen(), MadeUpLoader(), folder, fingerprint="x", most_gib=1e-6)
    with pytest.raises(InputError, match="no batches"):
        cached_loader(make_frozen(), MadeUpLoader(samples=0), folder, fingerprint="x")
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_features_beyond_float16_are_named(tmp_path: Path) -> None:
    task = make_frozen()
    encoder_of(task).register_forward_hook(
        lambda module, given, answer: Features(tuple(level + 1e5 for level in answer.maps), answer.strides)
    )
    with pytest.raises(InputError, match=r"samples chip-.* are not finite as float16.*float32"):
        cached_loader(task, MadeUpLoader(), tmp_path / "f", fingerprint="x")
    assert not list(tmp_path.iterdir())
    assert len(cached_loader(task, MadeUpLoader(), tmp_path / "f", number="float32", fingerprint="x")) == 5


class Hiding(SegmentationTask):
    """Hides pixels from its encoder at random."""

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        image = batch.inputs["image"]
        values = image.values * torch.rand(image.values.shape, generator=rng).round()
        return super().loss(replace(batch, inputs={"image": replace(image, values=values)}), rng)


def test_what_the_encoder_sees_at_random_is_not_kept(tmp_path: Path) -> None:
    task = make_frozen()
    task.__class__ = Hiding
    with pytest.raises(ContractError, match="sees something else each time"):
        cached_loader(task, MadeUpLoader(), tmp_path / "f", fingerprint="x")


def test_a_sample_that_is_not_kept_is_named(tmp_path: Path) -> None:
    task = make_frozen()
    loader = cached_loader(task, MadeUpLoader(samples=4), tmp_path / "f", fingerprint="x")
    with pytest.raises(ContractError, match="no features of the sample 'chip-09'"):
        loader.features(["chip-09"])
    more = CachedLoader(MadeUpLoader(samples=6), tmp_path / "f", None)
    with pytest.raises(ContractError, match=r"keeps no features of the sample 'chip-0[45]'"):
        list(more.epoch(0))


@pytest.mark.parametrize("damage", ["record", "foreign", "short"])
def test_damaged_folders_are_named(damage: str, tmp_path: Path) -> None:
    task, folder = make_frozen(), tmp_path / "f"
    cached_loader(task, MadeUpLoader(), folder, fingerprint="x")
    if damage == "record":
        (folder / RECORD).unlink()
    elif damage == "foreign":
        (folder / RECORD).write_text(json.dumps({"key": 3}))
    else:
        path = folder / "map_0.bin"
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"features.json|map_0.bin cannot be read"):
        list(cached_loader(task, MadeUpLoader(), folder, fingerprint="x").epoch(0))


def _die(batch: int) -> None:
    if batch == 3:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_while_computing_leaves_no_cache(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path / "f")]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "f").exists() and list(tmp_path.iterdir())  # what it had begun is there, under another name
    assert len(cached_loader(make_frozen(), MadeUpLoader(), tmp_path / "f", fingerprint="x")) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@settings(deadline=None, max_examples=20)
@given(size=st.integers(1, 7), processes=st.integers(1, 4))
def test_parts_of_a_batch_are_the_batch(size: int, processes: int) -> None:
    plain = make_batch(list(range(size)))
    features = Features(
        (torch.arange(size * 4.0).reshape(size, 1, 2, 2),), (4,), None, torch.arange(size * 1.0)[:, None]
    )
    batch = CachedBatch(**{**vars(plain), "meta": {"group": plain.ids}, "features": features})
    parts = [take_samples(batch, slice(rank, None, processes)) for rank in range(processes)]
    full = [part for part in parts if part.ids]
    assert sorted(name for part in full for name in part.ids) == sorted(batch.ids)
    for part in full:
        part.check()
        assert isinstance(part, CachedBatch) and part.meta["group"] == part.ids
        rows = [batch.ids.index(name) for name in part.ids]
        assert torch.equal(part.inputs["image"].values, plain.inputs["image"].values[rows])
        assert torch.equal(part.targets["label"], plain.targets["label"][rows])
        assert part.features.cls is not None and part.features.cls[:, 0].tolist() == rows
        assert torch.equal(part.features.maps[0], features.maps[0][rows])


def test_a_batch_without_features_changes_nothing() -> None:
    task = make_task()
    with replayed(task, make_batch([0])):
        assert "forward" not in vars(encoder_of(task))


if __name__ == "__main__":
    cached_loader(make_frozen(), MadeUpLoader(on_batch=_die), Path(sys.argv[1]), fingerprint="x")
