"""Processes that share a batch: the same as one process, resumed like one, and a death that is told."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learn_fakes import CONFIG, MadeUpLoader, everything, make_task, score

from swath.errors import ConfigError, ContractError, InputError, ResourceError
from swath.learn import FitConfig, SegmentationTask, fit
from swath.learn.reproduce import choose_device, threads_of
from swath.types import IGNORE, Batch

TWO = CONFIG.model_copy(update={"processes": 2})


def uneven(batch: Batch) -> Batch:
    """Nearly no label in every second sample, so that the processes count very different numbers of pixels."""
    label = batch.targets["label"].clone()
    label[1::2, 1:] = IGNORE
    return replace(batch, targets={"label": label}, target_valid={"label": label != IGNORE})


class Uneven(MadeUpLoader):
    """Three samples a batch and one in the last: the second process has fewer, and at the end none."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__(samples=10, batch_size=3, on_batch=None, change=uneven)
        self.stop = stop

    def epoch(self, epoch: int, start: int = 0):  # type: ignore[no-untyped-def]
        for number, batch in enumerate(super().epoch(epoch, start), start=start):
            if multiprocessing.parent_process() is None and epoch * len(self) + number == self.stop:
                raise KeyboardInterrupt
            yield batch


def run(out: Path, loader: MadeUpLoader, config: FitConfig, *, task: SegmentationTask | None = None) -> None:
    fit(task or make_task(), loader, config=config, out=out, seed=0, validate=score, progress=False)
    assert not multiprocessing.active_children()


def test_two_processes_are_one(tmp_path: Path) -> None:
    """Weights, moments, average, log and checkpoints of a run of two processes that was stopped and continued.

    The processes count very different numbers of pixels, so that a mean of their means would be something else.
    """
    run(tmp_path / "one", Uneven(), CONFIG)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "two", Uneven(stop=9), TWO)
    assert not multiprocessing.active_children()
    run(tmp_path / "two", Uneven(), TWO)
    one, two = everything(tmp_path / "one"), everything(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-4, msg=name)
    lines = [[[float(cell) for cell in line] for line in found["log"][1:]] for found in (one, two)]
    assert len(lines[0]) == 3
    for line, other in zip(*lines, strict=True):
        assert other == pytest.approx(line, rel=1e-4)


class Dying(Uneven):
    """Its process kills itself at the third batch, unless it is the first one."""

    def epoch(self, epoch: int, start: int = 0):  # type: ignore[no-untyped-def]
        for number, batch in enumerate(super().epoch(epoch, start)):
            if multiprocessing.parent_process() is not None and number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch


class Overflowing(Uneven):
    """A sample whose values overflow, in the share of the second process."""

    def epoch(self, epoch: int, start: int = 0):  # type: ignore[no-untyped-def]
        for batch in super().epoch(epoch, start):
            image = batch.inputs["image"]
            values = image.values.clone()
            values[1::2] = 3e38
            yield replace(batch, inputs={"image": replace(image, values=values)})


@pytest.mark.parametrize(
    ("loader", "error", "sentence"),
    [
        (Dying(), ResourceError, r"training process 1 was killed by SIGKILL .*goes on from the last state"),
        (Overflowing(), InputError, r"loss is nan at step 0 \(epoch 0\) for the samples chip-\d\d\. "),
    ],
)
def test_what_befalls_another_process_is_told(
    loader: MadeUpLoader, error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    with pytest.raises(error, match=sentence):
        run(tmp_path, loader, TWO)
    assert time.monotonic() - began < 120  # no hang
    assert not multiprocessing.active_children() and not torch.distributed.is_initialized()


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot be sent to another process"):
        run(tmp_path, MadeUpLoader(change=lambda batch: batch), TWO)
    with pytest.raises(ConfigError, match=r"'precision' is 'bfloat16' on a processor"):
        choose_device(TWO.model_copy(update={"precision": "bfloat16"}))
    assert choose_device(TWO)[0].type == "cpu"
    assert not multiprocessing.active_children()


def test_threads_are_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert threads_of(FitConfig(threads=3, processes=2)) == 3
    assert threads_of(FitConfig()) is None
    assert threads_of(FitConfig(processes=2)) == 2
    assert threads_of(FitConfig(processes=9)) == 1
